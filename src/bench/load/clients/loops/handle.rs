//! How tasks reach a loop, and what a loop is given. Read [`Message`] first.

use std::sync::Arc;

use crate::bench::load::clients::context::SwarmContext;
use crate::bench::load::clients::control::Commands;
use crate::bench::load::clients::ledgers::LedgerSender;
use crate::bench::load::clients::sample_buffer::SharedRecorder;
use crate::bench::metrics::tags::Source;
use crate::bench::verdict::ledger::IdTable;
use crate::client::{ConnectError, Opened, Request};
use crate::net::{Inbox, Key};
use crate::runtime::Tasks;

/// What a loop is told. At most one message of each client is under way.
#[derive(Debug)]
pub(in crate::bench::load::clients) enum Message {
    /// What became of an attempt to connect, and whether it was one of those that must not all come at once.
    Opened { key: Key, request: Box<Request>, opened: Result<Opened, ConnectError>, is_limited: bool },
    /// The swarm is over.
    Stop,
    /// A test wants to see what becomes of a run whose loop panics.
    Panic,
}

/// What others hold of a loop.
pub(in crate::bench::load::clients) type LoopHandle = Arc<Inbox<Message>>;

/// What a loop needs beside its clients.
#[derive(Debug, Clone)]
pub(in crate::bench::load::clients) struct LoopSetting {
    pub(in crate::bench::load::clients) context: Arc<SwarmContext>,
    pub(in crate::bench::load::clients) commands: Commands,
    /// Owner of the connects, and of clients that go on as tasks.
    pub(in crate::bench::load::clients) tasks: Tasks,
    /// Takes the ledger of each client that has ended.
    pub(in crate::bench::load::clients) ledgers: LedgerSender,
    pub(in crate::bench::load::clients) recorder: SharedRecorder,
    pub(in crate::bench::load::clients) ids: IdTable,
    /// The process, for its lateness.
    pub(in crate::bench::load::clients) source: Source,
    /// Connects under way at most, of those that must not all come at once.
    pub(in crate::bench::load::clients) connects_at_once: usize,
}
