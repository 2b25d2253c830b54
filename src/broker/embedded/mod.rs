//! The log in this process: `memory:` and `file:DIR`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::{
    AppendError, Appended, Bounds, BrokerUrl, Durability, Entry, LogLimits, Mailbox, NewEvent, OpenError,
    Page, StoreError,
};
use crate::protocol::{Address, Cursor, Epoch, MessageId, Position};
use crate::runtime::Tasks;

/// PLACEHOLDER until the real one lands: enough of `memory:` for the node to be developed against.
#[derive(Debug, Clone)]
pub struct Embedded {
    inner: Arc<Mutex<Inner>>,
    newest: watch::Sender<Position>,
}

#[derive(Debug)]
struct Inner {
    epoch: Epoch,
    entries: VecDeque<Entry>,
    ids: HashMap<MessageId, Cursor>,
    newest: Position,
}

/// Follows an embedded log.
#[derive(Debug)]
pub struct Follower {
    log: Embedded,
    at: Cursor,
    newest: watch::Receiver<Position>,
}

impl Embedded {
    pub(super) async fn open(
        _: &BrokerUrl,
        _: LogLimits,
        _: Durability,
        _: &Tasks,
    ) -> Result<Self, OpenError> {
        let inner = Inner {
            epoch: Epoch::from_random(rand::random()),
            entries: VecDeque::new(),
            ids: HashMap::new(),
            newest: Position::ZERO,
        };
        Ok(Self { inner: Arc::new(Mutex::new(inner)), newest: watch::channel(Position::ZERO).0 })
    }
    pub(super) fn kind(&self) -> &'static str {
        "memory"
    }
    pub(super) async fn append(&self, event: NewEvent) -> Result<Appended, AppendError> {
        let mut inner = self.inner.lock().unwrap();
        if let Some(cursor) = inner.ids.get(&event.message_id) {
            return Ok(Appended { cursor: *cursor, duplicate: true });
        }
        let ms =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
        inner.newest = inner.newest.next().max(Position { ms, seq: 0 });
        let cursor = Cursor::new(inner.epoch, inner.newest);
        inner.ids.insert(event.message_id.clone(), cursor);
        inner.entries.push_back(Entry {
            cursor,
            message_id: event.message_id,
            address: event.address,
            event_type: event.event_type,
            envelope: event.envelope,
        });
        self.newest.send_replace(inner.newest);
        Ok(Appended { cursor, duplicate: false })
    }
    pub(super) async fn read_after(&self, after: Cursor, limit: usize) -> Result<Page, StoreError> {
        let inner = self.inner.lock().unwrap();
        Ok(Page {
            gap: None,
            entries: inner
                .entries
                .iter()
                .filter(|e| e.cursor.position > after.position)
                .take(limit)
                .cloned()
                .collect(),
        })
    }
    pub(super) async fn read_newest(&self, limit: usize, _: u64) -> Result<Vec<Entry>, StoreError> {
        let inner = self.inner.lock().unwrap();
        Ok(inner.entries.iter().skip(inner.entries.len().saturating_sub(limit)).cloned().collect())
    }
    pub(super) async fn get(&self, at: Cursor) -> Result<Option<Entry>, StoreError> {
        Ok(self.inner.lock().unwrap().entries.iter().find(|e| e.cursor == at).cloned())
    }
    pub(super) fn follow(&self, after: Cursor) -> Follower {
        Follower { log: self.clone(), at: after, newest: self.newest.subscribe() }
    }
    pub(super) async fn bounds(&self) -> Result<Bounds, StoreError> {
        let inner = self.inner.lock().unwrap();
        Ok(Bounds {
            epoch: inner.epoch,
            start: Position::ZERO,
            newest: inner.newest,
            length: inner.entries.len() as u64,
            bytes: 0,
            mailboxes: 0,
            mailbox_messages: 0,
        })
    }
    pub(super) async fn mailbox(&self, _: &Address) -> Result<Mailbox, StoreError> {
        Ok(Mailbox::default())
    }
    pub(super) async fn confirm(&self, _: &Address, _: Position) -> Result<u64, StoreError> {
        Ok(0)
    }
}

impl Follower {
    pub(super) async fn next(&mut self, limit: usize) -> Result<Page, StoreError> {
        loop {
            self.newest.borrow_and_update();
            let page = self.log.read_after(self.at, limit).await?;
            if let Some(last) = page.entries.last() {
                self.at = last.cursor;
                return Ok(page);
            }
            let _ = self.newest.changed().await;
        }
    }
}
