//! A log of each kind for the facts of the suite, with the helpers that they share. Read [`Bed`] first.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::tests::redis_server::{self, Topology};
use crate::broker::{
    Bounds, Broker, BrokerUrl, Durability, Entry, LogLimits, Missing, NewEvent, Page, PageLimit,
};
use crate::protocol::api::GapReason;
use crate::protocol::{Address, Cursor, EventType, MessageId};
use crate::runtime::Tasks;

/// Makes logs of one kind.
pub(super) struct Bed {
    url: BrokerUrl,
    durability: Durability,
    /// Removed with the bed.
    _dir: Option<tempfile::TempDir>,
}

impl Bed {
    pub(super) fn memory() -> Self {
        Self { url: BrokerUrl::Memory, durability: Durability::Accepted, _dir: None }
    }

    pub(super) fn redis(topology: Topology) -> Self {
        Self { url: redis_server::url(topology), durability: Durability::Accepted, _dir: None }
    }

    pub(super) fn file(durability: Durability) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { url: BrokerUrl::File(dir.path().join("log")), durability, _dir: Some(dir) }
    }

    /// Whether a log of this kind is there again after it was closed.
    pub(super) fn is_durable(&self) -> bool {
        match self.url {
            BrokerUrl::Memory => false,
            BrokerUrl::File(_) | BrokerUrl::Redis(_) => true,
        }
    }

    /// Whether publishes wait for a writer; into RAM they are written at once.
    pub(super) fn has_queue(&self) -> bool {
        self.is_durable()
    }

    /// Whether the bounds of all mailboxes together hold at once. Those in Redis are looked at now and then.
    pub(super) fn bounds_all_mailboxes(&self) -> bool {
        !matches!(self.url, BrokerUrl::Redis(_))
    }

    /// Another log of the same kind.
    pub(super) fn anew(&self) -> Self {
        match self.url {
            BrokerUrl::Memory => Self::memory(),
            BrokerUrl::File(_) => Self::file(self.durability),
            BrokerUrl::Redis(_) => Self::redis(Topology::Standalone),
        }
    }

    pub(super) async fn open(&self, limits: LogLimits) -> Log {
        let tasks = Tasks::new();
        let broker = Broker::open(&self.url, limits, self.durability, &tasks).await.unwrap();
        Log { broker, tasks }
    }
}

/// An open log with its tasks.
pub(super) struct Log {
    pub(super) broker: Broker,
    pub(super) tasks: Tasks,
}

impl std::ops::Deref for Log {
    type Target = Broker;
    fn deref(&self) -> &Broker {
        &self.broker
    }
}

impl Log {
    /// Ends the tasks of the log and drops it, so that it can be opened again.
    pub(super) async fn close(self) {
        self.tasks.token().cancel();
        assert_eq!(self.tasks.join(Duration::from_secs(60)).await, Ok(()));
        assert_eq!(self.tasks.failure(), None);
    }

    pub(super) async fn put(&self, event: NewEvent) -> Cursor {
        let appended = self.append(event).await.unwrap();
        assert!(!appended.duplicate);
        appended.cursor
    }

    pub(super) async fn put_many(&self, count: usize) -> Vec<Cursor> {
        let mut cursors = Vec::new();
        for n in 0..count {
            cursors.push(self.put(event(&format!("m{n}"), "all")).await);
        }
        cursors
    }

    pub(super) async fn look(&self) -> Bounds {
        self.bounds().await.unwrap()
    }

    pub(super) async fn page(&self, after: Cursor, limit: usize) -> Page {
        self.read_after(after, PageLimit::entries(limit)).await.unwrap()
    }

    pub(super) async fn mailbox_ids(&self, owner: &str) -> (Vec<String>, u64) {
        let mailbox = self.mailbox(&address(owner)).await.unwrap();
        (ids(&mailbox.entries), mailbox.overflowed)
    }

    pub(super) async fn confirmed(&self, owner: &str, up_to: Cursor) -> u64 {
        self.confirm(&address(owner), up_to.position).await.unwrap()
    }
}

pub(super) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

pub(super) fn event(id: &str, to: &str) -> NewEvent {
    NewEvent {
        message_id: MessageId::parse(id).unwrap(),
        address: address(to),
        event_type: EventType::parse("MESSAGE").unwrap(),
        envelope: Arc::from(format!(r#"{{"id":"{id}"}}"#)),
        mailbox: false,
        fresh: false,
    }
}

pub(super) fn mail(id: &str, to: &str) -> NewEvent {
    NewEvent { mailbox: true, ..event(id, to) }
}

pub(super) fn ids(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.message_id.to_string()).collect()
}

pub(super) fn named(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("m{n}")).collect()
}

pub(super) fn at_most(max_events: u64) -> LogLimits {
    LogLimits { max_events, ..LogLimits::default() }
}

#[track_caller]
pub(super) fn check_gap(page: &Page, reason: GapReason, resumed_after: Cursor, missed: Option<u64>) {
    assert_eq!(page.gap, Some(Missing { reason, resumed_after, missed }));
}

/// A wake that is lost must fail, not hang. Far longer than any fact takes.
pub(super) async fn in_time(fact: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(60), fact).await.expect("something waits for ever");
}

pub(super) fn bytes_of(event: &NewEvent) -> u64 {
    let texts = [event.message_id.as_str(), event.event_type.as_str(), &event.envelope];
    (texts.map(str::len).iter().sum::<usize>() + event.address.to_string().len()) as u64
}
