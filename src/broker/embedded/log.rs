//! The shell around the rules: reads go to the store, and changes to the one writer, but for an append to RAM, which is
//! made at once. Read [`Embedded`] first.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLockWriteGuard};
use std::time::Instant;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use super::clock::Clock;
use super::memory::Memory;
use super::reading;
use super::store::Store;
use super::tables::Reads;
use super::writer::{Command, Writer, advance};
use super::writing::Rules;
use crate::broker::roster::{Alive, LocalRoster};
use crate::broker::{
    AppendError, Appended, Bounds, BrokerUrl, Condition, Durability, Entry, LogLimits, Mailbox, NewEvent,
    OpenError, Page, PageLimit, StoreError,
};
use crate::protocol::{Address, Cursor, Position};
use crate::runtime::Tasks;

/// A log in this process. Clones share it; when the last one is gone and the writer has ended, a directory is free
/// for the next process.
#[derive(Clone)]
pub struct Embedded {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<Store>,
    limits: LogLimits,
    rules: Rules,
    clock: Clock,
    commands: mpsc::Sender<Command>,
    newest: watch::Sender<Position>,
    roster: Mutex<LocalRoster>,
}

/// Follows an embedded log. After the log was closed it waits for ever.
#[derive(Debug)]
pub struct Follower {
    log: Embedded,
    at: Cursor,
    newest: watch::Receiver<Position>,
}

impl Embedded {
    pub(in crate::broker) async fn open(
        url: &BrokerUrl,
        limits: LogLimits,
        durability: Durability,
        tasks: &Tasks,
    ) -> Result<Self, OpenError> {
        let store = Store::open(url, &limits, durability).await?;
        Self::start(store, limits, Clock::system(), tasks).await.map_err(OpenError::Store)
    }

    pub(super) async fn start(
        store: Store,
        limits: LogLimits,
        clock: Clock,
        tasks: &Tasks,
    ) -> Result<Self, StoreError> {
        let store = Arc::new(store);
        let meta = store.read(|tables| Ok(*tables.meta())).await?;
        clock.begin_at(meta.fence.ms);
        let newest = meta.newest;
        let newest = watch::Sender::new(newest);
        let (commands, queue) = mpsc::channel(limits.append_queue.max(1));
        let rules = Rules::new(limits.clone());
        let writer = Writer {
            store: Arc::clone(&store),
            rules: rules.clone(),
            clock: clock.clone(),
            queue,
            newest: newest.clone(),
        };
        tasks.spawn("log writer", writer.run(tasks.clone()));
        Ok(Self {
            shared: Arc::new(Shared {
                store,
                limits,
                rules,
                clock,
                commands,
                newest,
                roster: Mutex::default(),
            }),
        })
    }

    pub(in crate::broker) fn kind(&self) -> &'static str {
        match self.shared.store.as_ref() {
            Store::Memory(_) => "memory",
            Store::File(_) => "file",
        }
    }

    fn roster(&self) -> MutexGuard<'_, LocalRoster> {
        // Poison means that a holder panicked; the map behind the lock is whole all the same.
        self.shared.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::broker) fn beat(&self, incarnation: &Arc<str>, record: &Arc<str>) {
        self.roster().beat(incarnation, record, Instant::now());
    }

    pub(in crate::broker) fn leave(&self, incarnation: &str) {
        self.roster().leave(incarnation);
    }

    pub(in crate::broker) fn alive(&self) -> Vec<Alive> {
        self.roster().alive(Instant::now())
    }

    pub(in crate::broker) async fn append(&self, event: NewEvent) -> Result<Appended, AppendError> {
        if let Some(tables) = self.shared.store.in_memory() {
            return self.append_at_once(tables, event);
        }
        let (answer, answered) = oneshot::channel();
        match self.shared.commands.try_send(Command::Append { event, answer }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Err(AppendError::Busy { waiting: self.shared.commands.max_capacity() });
            }
            Err(TrySendError::Closed(_)) => return Err(AppendError::Closed),
        }
        match answered.await {
            Ok(result) => result,
            // The writer answers everything that it took; it dropped this one unanswered only if it panicked.
            Err(_) => Err(AppendError::Store(
                self.shared.store.error("append events", &"the task that writes has failed"),
            )),
        }
    }

    /// Without a disk there is nothing to wait for, and so nothing to gather a batch for: between the publisher and the
    /// tables, another task would only cost time.
    fn append_at_once(
        &self,
        mut tables: RwLockWriteGuard<'_, Memory>,
        event: NewEvent,
    ) -> Result<Appended, AppendError> {
        let Shared { rules, clock, commands, newest, .. } = &*self.shared;
        if commands.is_closed() {
            return Err(AppendError::Closed);
        }
        let appended = rules.append(&mut *tables, event, clock.now_ms()).map_err(AppendError::Store)?;
        rules.trim_to_size(&mut *tables).map_err(AppendError::Store)?;
        let position = tables.meta().newest;
        drop(tables);
        advance(newest, position);
        Ok(appended)
    }

    pub(in crate::broker) async fn confirm(
        &self,
        owner: &Address,
        up_to: Position,
    ) -> Result<u64, StoreError> {
        if !owner.has_mailbox() {
            return Ok(0);
        }
        let closed = || self.shared.store.error("confirm mailbox messages", &"the log is closed");
        let (answer, answered) = oneshot::channel();
        let command = Command::Confirm { owner: owner.clone(), up_to, answer };
        self.shared.commands.send(command).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Proves that the log can be written: a write that changes nothing goes through the queue of the writer. Into RAM
    /// nothing can fail.
    pub(in crate::broker) async fn probe(&self) -> Result<(), StoreError> {
        const PROVE: &str = "write a probe";
        let Shared { store, commands, .. } = &*self.shared;
        let (answer, answered) = oneshot::channel();
        if let Some(error) = store.failure() {
            return Err(error);
        }
        let closed = || store.error(PROVE, &"the log is closed");
        commands.send(Command::Probe { answer }).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Why the log can no longer be written by this process.
    pub(in crate::broker) fn failure(&self) -> Option<StoreError> {
        self.shared.store.failure()
    }

    pub(in crate::broker) fn condition(&self) -> Condition {
        Condition { clock_ahead: self.shared.clock.ahead(), ..self.shared.store.condition() }
    }

    pub(in crate::broker) async fn read_after(
        &self,
        after: Cursor,
        limit: PageLimit,
    ) -> Result<Page, StoreError> {
        self.shared.store.read(move |tables| reading::read_after(tables, after, limit)).await
    }

    pub(in crate::broker) async fn read_newest(
        &self,
        limit: usize,
        max_bytes: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        self.shared.store.read(move |tables| tables.newest_entries(limit, max_bytes)).await
    }

    pub(in crate::broker) async fn get(&self, at: Cursor) -> Result<Option<Entry>, StoreError> {
        let of_this_history = move |tables: &dyn Reads| tables.meta().epoch == at.epoch;
        self.shared
            .store
            .read(move |tables| if of_this_history(tables) { tables.entry(at.position) } else { Ok(None) })
            .await
    }

    pub(in crate::broker) async fn bounds(&self) -> Result<Bounds, StoreError> {
        self.shared.store.read(|tables| Ok(tables.meta().bounds())).await
    }

    pub(in crate::broker) async fn mail_after(
        &self,
        owner: &Address,
        after: Position,
        limit: PageLimit,
    ) -> Result<Mailbox, StoreError> {
        if !owner.has_mailbox() {
            return Ok(Mailbox::default());
        }
        let (owner, limits, now) = (owner.clone(), self.shared.limits.clone(), self.shared.clock.now_ms());
        self.shared
            .store
            .read(move |tables| reading::mailbox(tables, (&owner, after), limit, (&limits, now)))
            .await
    }

    pub(in crate::broker) fn follow(&self, after: Cursor) -> Follower {
        Follower { log: self.clone(), at: after, newest: self.shared.newest.subscribe() }
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("store", &self.shared.store).finish_non_exhaustive()
    }
}

impl Follower {
    pub(in crate::broker) async fn next(&mut self, limit: usize) -> Result<Page, StoreError> {
        loop {
            // Marked as seen before the read, so that an append after the read wakes the wait below.
            self.newest.borrow_and_update();
            let page = self.log.read_after(self.at, PageLimit::entries(limit.max(1))).await?;
            let reached = page.entries.last().map(|entry| entry.cursor);
            if let Some(at) = reached.or(page.gap.map(|gap| gap.resumed_after)) {
                // No await between here and the return: a cancelled call has not moved.
                self.at = at;
                return Ok(page);
            }
            if self.newest.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
