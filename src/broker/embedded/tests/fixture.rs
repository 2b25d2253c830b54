//! An embedded log whose clock a test sets, and events for it. Read [`Log`] first.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::broker::embedded::clock::Clock;
use crate::broker::embedded::log::Embedded;
use crate::broker::embedded::store::Store;
use crate::broker::{BrokerUrl, Durability, Entry, LogLimits, NewEvent, OpenError, PageLimit};
use crate::protocol::{Address, Cursor, EventType, MessageId, Position};
use crate::runtime::Tasks;

/// A log whose clock the test sets.
pub(super) struct Log {
    pub(super) log: Embedded,
    clock: Arc<AtomicU64>,
    steady: Arc<AtomicU64>,
    tasks: Tasks,
}

impl std::ops::Deref for Log {
    type Target = Embedded;
    fn deref(&self) -> &Embedded {
        &self.log
    }
}

pub(super) async fn open(url: &BrokerUrl, limits: LogLimits, now_ms: u64) -> Log {
    let store = Store::open(url, &limits, Durability::Accepted).await.unwrap();
    start(store, limits, now_ms).await
}

pub(super) async fn start(store: Store, limits: LogLimits, now_ms: u64) -> Log {
    let (tasks, clock) = (Tasks::new(), Arc::new(AtomicU64::new(now_ms)));
    let steady = Arc::new(AtomicU64::new(0));
    let log = Embedded::start(store, limits, Clock::manual(Arc::clone(&clock), Arc::clone(&steady)), &tasks)
        .await
        .unwrap();
    Log { log, clock, steady, tasks }
}

impl Log {
    pub(super) fn set_clock(&self, now_ms: u64) {
        self.clock.store(now_ms, Ordering::SeqCst);
    }

    /// Lets time pass that no clock on the wall shows.
    pub(super) fn pass(&self, ms: u64) {
        self.steady.fetch_add(ms, Ordering::SeqCst);
    }

    pub(super) async fn put(&self, event: NewEvent) -> Cursor {
        let appended = self.append(event).await.unwrap();
        assert!(!appended.duplicate);
        appended.cursor
    }

    /// Ends a log that may have failed.
    pub(super) async fn abandon(self) {
        self.tasks.token().cancel();
        assert_eq!(self.tasks.join(Duration::from_secs(60)).await, Ok(()));
    }

    pub(super) async fn close(self) {
        self.tasks.token().cancel();
        assert_eq!(self.tasks.join(Duration::from_secs(60)).await, Ok(()));
        assert_eq!(self.tasks.failure(), None);
    }

    pub(super) async fn mailbox_ids(&self, owner: &Address) -> (Vec<String>, u64) {
        let all = PageLimit::entries(usize::MAX);
        let mailbox = self.mail_after(owner, Position::default(), all).await.unwrap();
        (ids(&mailbox.entries), mailbox.overflowed)
    }
}

pub(super) fn ids(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.message_id.to_string()).collect()
}

pub(super) fn event(id: &str) -> NewEvent {
    NewEvent {
        message_id: MessageId::parse(id).unwrap(),
        address: user(),
        event_type: EventType::parse("MESSAGE").unwrap(),
        envelope: Arc::from("{}"),
        mailbox: false,
        fresh: false,
    }
}

pub(super) fn mail(id: &str) -> NewEvent {
    NewEvent { mailbox: true, ..event(id) }
}

pub(super) fn user() -> Address {
    "user:u".parse().unwrap()
}

/// A place for `file:`, and `memory:` beside it.
pub(super) struct Places {
    pub(super) dir: tempfile::TempDir,
}

impl Places {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    pub(super) fn file(&self) -> BrokerUrl {
        BrokerUrl::File(self.path())
    }

    pub(super) fn both(&self) -> [BrokerUrl; 2] {
        [BrokerUrl::Memory, self.file()]
    }
}

pub(super) async fn open_error(path: &Path) -> OpenError {
    let limits = LogLimits::default();
    Store::open(&BrokerUrl::File(path.to_owned()), &limits, Durability::Accepted).await.unwrap_err()
}
