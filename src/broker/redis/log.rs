//! The log as the contract of the broker describes it: reads go to the server, publishes to the one writer. Read
//! [`Redis`] first.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::ScriptInvocation;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::command_connection::CommandConn;
use super::connection::{Ask, Conn, ConnError};
use super::entry::{Raw, id, position, stored};
use super::finder::Finder;
use super::follower::{self, Follower};
use super::in_flight::InFlight;
use super::keys::Keys;
use super::limits::{
    ANSWER_BYTES, HISTORIES, OLDEST_COUNT, RANGE_COUNT, RANGE_COUNT_MIN, READ_COUNT, REPAIR_LOOK,
    REPAIR_WAIT, RESPONSE,
};
use super::meta::{EpochChain, FIELDS, HistoryEnd, Meta};
use super::probe::Probes;
use super::scripts::Scripts;
use super::url::RedisUrl;
use super::writer::{QueuedAppend, Writer};
use super::{permissions, setup, sweeper};
use crate::broker::{
    AppendError, Appended, Bounds, Durability, Entry, LogLimits, Missing, NewEvent, OpenError, Page,
    PageLimit, Repairs, StoreError, Synced,
};
use crate::protocol::api::GapReason;
use crate::protocol::{Cursor, Epoch, Position};
use crate::runtime::Tasks;

/// A log in Redis. Clones share the connections.
#[derive(Clone)]
pub struct Redis {
    pub(super) shared: Arc<Shared>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("place", &self.shared.finder.place()).finish_non_exhaustive()
    }
}

/// State that the tasks of one log share.
pub(super) struct Shared {
    pub(super) finder: Arc<Finder>,
    pub(super) keys: Keys,
    pub(super) scripts: Scripts,
    pub(super) limits: LogLimits,
    pub(super) durability: Durability,
    /// How long an answer may take: [`RESPONSE`].
    pub(super) response: Duration,
    pub(super) commands: CommandConn,
    pub(super) in_flight: InFlight,
    /// Wakes the follower when the history may have ended.
    pub(super) recheck: Notify,
    pub(super) counters: Counters,
    /// Probes on their way through the log.
    pub(super) probes: Probes,
    /// The newest epoch that this process knows.
    epoch: Mutex<Epoch>,
    /// When the first reader asked whether the lost entries of a history come back. Readers that come after it share
    /// its deadline instead of waiting one after the other.
    asked: Mutex<VecDeque<(Epoch, Instant)>>,
    appends: mpsc::Sender<QueuedAppend>,
    pub(super) tasks: Tasks,
}

/// What happened to the log since start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Histories that ended.
    pub(super) epochs: AtomicU64,
    /// Lost events that this node appended again.
    pub(super) repaired: AtomicU64,
    /// Acknowledged events that were lost before anybody read them, and that this node published again.
    pub(super) republished: AtomicU64,
}

impl Shared {
    pub(super) fn epoch(&self) -> Epoch {
        *self.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_epoch(&self, epoch: Epoch) {
        *self.epoch.lock().unwrap_or_else(PoisonError::into_inner) = epoch;
    }

    fn asked_since(&self, epoch: Epoch) -> Instant {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, since)) = asked.iter().find(|(known, _)| *known == epoch) {
            return *since;
        }
        if asked.len() == HISTORIES {
            asked.pop_front();
        }
        let now = Instant::now();
        asked.push_back((epoch, now));
        now
    }

    /// Reads the numbers of the log, and the entry at a position.
    pub(super) fn look(&self, at: Position) -> ScriptInvocation<'_> {
        let mut script = self.scripts.look.key(&self.keys.log);
        script.key(&self.keys.meta).arg(FIELDS).arg(OLDEST_COUNT).arg(id(at));
        script
    }

    /// Closes the history of an earlier term, unless another node has done so; returns the present epoch.
    pub(super) async fn begin(&self, conn: &mut Conn, old: Option<Epoch>) -> Result<Epoch, ConnError> {
        let proposed = Epoch::from_random(rand::random());
        let mut script = self.scripts.begin.key(&self.keys.log);
        script.key(&self.keys.meta).arg(proposed.to_string());
        script.arg(&*conn.term).arg(old.map_or(String::new(), |old| old.to_string()));
        let (epoch, was_lost): (String, u8) =
            conn.ask("begin a history", Ask::Script(&script), self.response).await?;
        if was_lost == 1 {
            tracing::warn!(
                meta = self.keys.meta,
                log = self.keys.log,
                "somebody removed the key with the numbers of the log, and not the log; a new history goes on from its newest entry"
            );
        }
        epoch.parse().map_err(|_| self.damaged(conn, "begin a history"))
    }

    /// Tells all readers that every event that an old history lost after this position comes back.
    pub(super) async fn announce_repair(
        &self,
        conn: &mut Conn,
        old: Epoch,
        after: Position,
    ) -> Result<(), ConnError> {
        #[cfg(test)]
        if !self.finder.ablation.announces_repair() {
            return Ok(());
        }
        let mut script = self.scripts.cover.key(&self.keys.meta);
        script.arg(old.to_string()).arg(id(after));
        let _covered: String =
            conn.ask("announce a repair of the log", Ask::Script(&script), self.response).await?;
        Ok(())
    }

    fn damaged(&self, conn: &Conn, operation: &'static str) -> ConnError {
        let cause = format!(
            "{} holds values that no node wrote; use another ?prefix=NAME in --broker, or remove the key",
            self.keys.meta
        );
        ConnError::Broken(StoreError { operation, place: conn.place.to_string(), cause })
    }

    pub(super) fn error(&self, operation: &'static str, cause: &str) -> StoreError {
        StoreError { operation, place: self.finder.place(), cause: cause.to_owned() }
    }
}

/// What `lua/look.lua` returns.
pub(super) type Look = (Vec<Option<String>>, Vec<Raw>, Vec<Raw>);

/// State of the log at one moment.
struct ServerSnapshot {
    meta: Meta,
    /// The entry at the cursor, or the last one before it.
    nearest: Option<Position>,
    after: Vec<Raw>,
}

impl Redis {
    pub(in crate::broker) async fn open(
        url: &RedisUrl,
        limits: LogLimits,
        durability: Durability,
        tasks: &Tasks,
    ) -> Result<Self, OpenError> {
        let keys = Keys::new(&url.prefix);
        let finder = Arc::new(Finder::new(url.clone(), keys.log.clone()));
        let mut conn = finder.open().await.map_err(OpenError::Store)?;
        let scripts = Scripts::default();
        setup::check(&mut conn, durability, &limits).await?;
        setup::check_permissions(&mut conn, &permissions::missing(&scripts, &keys)).await?;
        let response = RESPONSE;
        #[cfg(test)]
        let response = finder.ablation.response(response);
        let (commands, keeper) = CommandConn::new(&finder, conn.clone(), response);
        let (appends, queue) = mpsc::channel(limits.append_queue.max(1));
        let shared = Arc::new(Shared {
            finder,
            keys,
            scripts,
            limits,
            durability,
            response,
            commands,
            in_flight: InFlight::default(),
            recheck: Notify::new(),
            counters: Counters::default(),
            probes: Probes::default(),
            epoch: Mutex::new(Epoch::from_random(0)),
            asked: Mutex::default(),
            appends,
            tasks: tasks.clone(),
        });
        let epoch = shared
            .begin(&mut conn, None)
            .await
            .map_err(|error| OpenError::Store(error.into_store_error()))?;
        shared.set_epoch(epoch);
        tasks.spawn("redis commands", keeper.run(tasks.token().clone()));
        tasks.spawn("redis writer", Writer::new(Arc::clone(&shared), queue, conn).run(tasks.token().clone()));
        tasks.spawn("redis sweeper", sweeper::run(Arc::clone(&shared), tasks.token().clone()));
        Ok(Self { shared })
    }

    pub(in crate::broker) fn kind(&self) -> &'static str {
        "redis"
    }

    pub(in crate::broker) fn repairs(&self) -> Repairs {
        let counters = &self.shared.counters;
        Repairs {
            histories: counters.epochs.load(Ordering::Relaxed),
            appended_again: counters.repaired.load(Ordering::Relaxed),
            published_again: counters.republished.load(Ordering::Relaxed),
        }
    }

    pub(in crate::broker) async fn probe(&self) -> Result<(), StoreError> {
        self.shared.probes.run(&self.shared).await
    }

    pub(in crate::broker) async fn append(&self, event: NewEvent) -> Result<Appended, AppendError> {
        let (answer, answered) = oneshot::channel();
        match self.shared.appends.try_send(QueuedAppend::new(event, answer)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Err(AppendError::Busy { waiting: self.shared.appends.max_capacity() });
            }
            Err(TrySendError::Closed(_)) => return Err(AppendError::Closed),
        }
        match answered.await {
            Ok(result) => result,
            // The writer answers everything that it took; it dropped this one unanswered only if it panicked.
            Err(_) => {
                Err(AppendError::Store(self.shared.error("append events", "the task that writes has failed")))
            }
        }
    }

    /// Reads the entries after a position, and then the numbers of the log and the entry at the position. `None` where
    /// no history has begun. In this order: if the position is sound at the later moment, nothing behind it was trimmed
    /// before.
    async fn try_read_server(
        &self,
        at: Position,
        count: usize,
    ) -> Result<Option<ServerSnapshot>, StoreError> {
        let mut range = redis::cmd("XRANGE");
        range.arg(&self.shared.keys.log).arg(format!("({}", id(at))).arg("+").arg("COUNT").arg(count);
        // Redis refuses a range behind the last id that there can be.
        let is_last = at == (Position { ms: u64::MAX, seq: u64::MAX });
        let after = match count {
            1.. if !is_last => self.shared.commands.ask("read the log", Ask::Command(&range)).await?,
            _ => Vec::new(),
        };
        let (fields, oldest, nearest): Look =
            self.shared.commands.ask("read the log", Ask::Script(&self.shared.look(at))).await?;
        let nearest = nearest.first().and_then(|raw| position(&raw.0));
        Ok(Meta::read(&fields, &oldest).map(|meta| ServerSnapshot { meta, nearest, after }))
    }

    async fn read_server(&self, at: Position, count: usize) -> Result<ServerSnapshot, StoreError> {
        let none = || self.shared.error("read the log", "the log has no history yet");
        self.try_read_server(at, count).await?.ok_or_else(none)
    }

    /// As [`Redis::read_server`], after the history of an earlier term was closed.
    async fn read_settled(&self, at: Position, count: usize) -> Result<ServerSnapshot, StoreError> {
        let term = self.shared.commands.term().await?;
        if let Some(snapshot) = self.try_read_server(at, count).await?
            && snapshot.meta.term == *term
        {
            return Ok(snapshot);
        }
        // Between the end of one master and the first append to the next, a reader must not take the rest of the old
        // history for all of it.
        let mut conn = self.shared.finder.open().await?;
        self.shared.begin(&mut conn, Some(self.shared.epoch())).await.map_err(ConnError::into_store_error)?;
        if conn.term != term {
            self.shared.commands.renew();
        }
        self.shared.recheck.notify_one();
        self.read_server(at, count).await
    }

    pub(in crate::broker) async fn read_after(
        &self,
        after: Cursor,
        limit: PageLimit,
    ) -> Result<Page, StoreError> {
        let count = limit.entries.clamp(1, RANGE_COUNT);
        let mut page = Page::default();
        let mut at = after;
        let mut snapshot = self.read_settled(at.position, count).await?;
        if at.epoch != snapshot.meta.epoch {
            let (sync, gap) = self.translate(after, &snapshot.meta).await?;
            page.sync = sync;
            page.gap = gap;
            at = gap.map_or(page.sync.as_ref().map_or(after, |sync| sync.to), |gap| gap.resumed_after);
            snapshot = self.read_server(at.position, count).await?;
        }
        if page.gap.is_none()
            && let Some(gap) = snapshot.meta.missing(at.position, snapshot.nearest)
        {
            page.gap = Some(gap);
            at = gap.resumed_after;
            snapshot = self.read_server(at.position, count).await?;
        }
        self.fill(&mut page, at, snapshot, limit).await?;
        Ok(page)
    }

    /// Takes entries until the limit or the end of the log is reached.
    async fn fill(
        &self,
        page: &mut Page,
        from: Cursor,
        snapshot: ServerSnapshot,
        limit: PageLimit,
    ) -> Result<(), StoreError> {
        let epoch = snapshot.meta.epoch;
        let (mut raw, mut bytes, mut at) = (snapshot.after, 0, from.position);
        loop {
            let asked = raw.len();
            for raw in raw {
                at = position(&raw.0).unwrap_or(at);
                let Some(stored) = stored(&raw) else { continue };
                bytes += stored.bytes();
                if page.entries.len() >= limit.entries || (bytes > limit.bytes && !page.entries.is_empty()) {
                    page.more = true;
                    return Ok(());
                }
                page.entries.push(stored.entry(epoch));
            }
            let wanted = limit.entries.saturating_sub(page.entries.len()).min(RANGE_COUNT);
            if wanted == 0 || asked == 0 || bytes >= limit.bytes {
                return Ok(());
            }
            let more = self.read_server(at, wanted).await?;
            if more.meta.epoch != epoch || more.meta.missing(at, more.nearest).is_some() {
                // The history ended meanwhile, or was trimmed. The entries that were read are right; the next read
                // reports the change.
                return Ok(());
            }
            raw = more.after;
        }
    }

    /// Translates a cursor through the histories that came after its own.
    async fn translate(
        &self,
        from: Cursor,
        meta: &Meta,
    ) -> Result<(Option<Synced>, Option<Missing>), StoreError> {
        let mut chain = EpochChain::new(from.epoch, meta.epoch);
        while let Some(epoch) = chain.next_unknown() {
            chain.push(self.end_of(epoch).await?);
        }
        let Some(ended) = chain.ended() else { return Ok((None, Some(meta.unknown_epoch()))) };
        let sync = Synced::new(from, ended.into(), meta.epoch);
        let mut whole = true;
        for (stood, end) in sync.passed().zip(sync.ended.iter()) {
            let lost_here = stood.position > end.position;
            whole &= match self.covered(end.epoch, lost_here).await? {
                // More may be lost than any node remembers; then readers that stand before the end are affected too.
                Some(after) => after <= end.position || stood.position >= after,
                None => !lost_here,
            };
        }
        let gap = Missing { reason: GapReason::Rollback, resumed_after: sync.to, missed: None };
        Ok((Some(sync), (!whole).then_some(gap)))
    }

    async fn end_of(&self, epoch: Epoch) -> Result<Option<HistoryEnd>, StoreError> {
        let mut get = redis::cmd("HGET");
        get.arg(&self.shared.keys.meta).arg(format!("end:{epoch}"));
        let end: Option<String> =
            self.shared.commands.ask("read the end of a history", Ask::Command(&get)).await?;
        Ok(end.as_deref().and_then(HistoryEnd::parse))
    }

    /// The position of an old history after which every lost entry comes back, if a node has announced that. With
    /// `wait`, for a reader on the lost branch, waits up to [`REPAIR_WAIT`] for the announcement.
    async fn covered(&self, epoch: Epoch, wait: bool) -> Result<Option<Position>, StoreError> {
        let mut get = redis::cmd("HGET");
        get.arg(&self.shared.keys.meta).arg(format!("cov:{epoch}"));
        let deadline = self.shared.asked_since(epoch) + REPAIR_WAIT;
        loop {
            let covered: Option<String> =
                self.shared.commands.ask("read the announced repair", Ask::Command(&get)).await?;
            let covered = covered.as_deref().and_then(position);
            if covered.is_some() || !wait || Instant::now() >= deadline {
                return Ok(covered);
            }
            tokio::time::sleep(REPAIR_LOOK).await;
        }
    }

    pub(in crate::broker) async fn read_newest(
        &self,
        limit: usize,
        max_bytes: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        let epoch = self.read_settled(Position::ZERO, 0).await?.meta.epoch;
        let (mut newest, mut bytes, mut before) = (Vec::new(), 0, "+".to_owned());
        while newest.len() < limit {
            let count = fitting(bytes, newest.len()).min(limit - newest.len());
            let mut range = redis::cmd("XREVRANGE");
            range.arg(&self.shared.keys.log).arg(&before).arg("-").arg("COUNT").arg(count);
            let raw: Vec<Raw> = self.shared.commands.ask("read the log", Ask::Command(&range)).await?;
            let Some(last) = raw.last() else { break };
            before = format!("({}", last.0);
            for stored in raw.iter().filter_map(stored) {
                bytes += stored.bytes();
                if bytes > max_bytes {
                    newest.reverse();
                    return Ok(newest);
                }
                newest.push(stored.entry(epoch));
            }
        }
        newest.reverse();
        Ok(newest)
    }

    pub(in crate::broker) async fn get(&self, at: Cursor) -> Result<Option<Entry>, StoreError> {
        let meta = self.read_settled(Position::ZERO, 0).await?.meta;
        if at.epoch != meta.epoch {
            return Ok(None);
        }
        let mut range = redis::cmd("XRANGE");
        range.arg(&self.shared.keys.log).arg(id(at.position)).arg(id(at.position));
        let raw: Vec<Raw> = self.shared.commands.ask("read the log", Ask::Command(&range)).await?;
        Ok(raw.first().and_then(stored).map(|stored| stored.entry(meta.epoch)))
    }

    pub(in crate::broker) fn follow(&self, after: Cursor) -> Follower {
        follower::start(&self.shared, after, &self.shared.tasks)
    }

    pub(in crate::broker) async fn bounds(&self) -> Result<Bounds, StoreError> {
        let meta = self.read_settled(Position::ZERO, 0).await?.meta;
        let mut count = redis::cmd("ZCARD");
        count.arg(&self.shared.keys.boxes);
        let mailboxes: u64 = self.shared.commands.ask("count mailboxes", Ask::Command(&count)).await?;
        Ok(meta.bounds(mailboxes))
    }
}

/// How many entries fit into one answer, estimated from the entries read so far; few at first.
pub(super) fn fitting(bytes: u64, entries: usize) -> usize {
    let mean =
        bytes.checked_div(entries as u64).map_or(ANSWER_BYTES / RANGE_COUNT as u64, |mean| mean.max(1));
    usize::try_from(ANSWER_BYTES / mean).unwrap_or(READ_COUNT).clamp(RANGE_COUNT_MIN, READ_COUNT)
}
