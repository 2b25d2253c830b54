//! shared

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::sync::Semaphore;

use super::end_mark::EndMark;
use crate::bench::ids::RunId;
use crate::bench::load::progress::Progress;
use crate::bench::metrics::clock::RunClock;
use crate::client::Policy;

/// What a crowd does.
#[derive(Debug, Clone)]
pub struct AdhocOptions {
    /// URL of the stream; `{i}` stands for the client's number.
    pub url: String,
    /// How many clients.
    pub clients: u32,
    /// First connects are spread over this time.
    pub ramp: Duration,
    /// Sent with each connect.
    pub headers: HeaderMap,
    /// How clients come back.
    pub policy: Policy,
    /// So many publishers must end until the crowd may be complete; zero: it only listens.
    pub ends: u32,
}

/// What the clients of a crowd share.
#[derive(Debug)]
pub(super) struct AdhocContext {
    pub(super) options: AdhocOptions,
    pub(super) http: reqwest::Client,
    /// Counts from the machine's boot, as a publisher in another process does.
    pub(super) clock: RunClock,
    pub(super) progress: Progress,
    pub(super) gate: Semaphore,
    /// Clients that were connected at least once.
    pub(super) arrived: AtomicU32,
    /// Clients that came to an end before they were told to.
    pub(super) departed: AtomicU32,
    /// Clients that have everything.
    pub(super) complete: AtomicU32,
    /// Whether any event had an id.
    pub(super) has_ids: AtomicBool,
    /// Events of any kind that came, but control events.
    pub(super) events: AtomicU64,
    /// End marks by run: written once a run, so a lock does no harm.
    pub(super) marks: Mutex<HashMap<RunId, EndMark>>,
}

impl AdhocContext {
    pub(super) fn marks(&self) -> HashMap<RunId, EndMark> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn all_departed(&self) -> bool {
        self.departed.load(Ordering::Relaxed) >= self.options.clients
    }

    pub(super) fn all_complete(&self) -> bool {
        self.options.ends > 0 && self.complete.load(Ordering::Relaxed) >= self.options.clients
    }

    pub(super) fn has_ends(&self) -> bool {
        let known = self.marks.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.options.ends > 0 && known >= usize::try_from(self.options.ends).unwrap_or(usize::MAX)
    }
}
