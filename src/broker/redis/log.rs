//! The log as the broker's contract describes it: asks the server what can be read, and the one writer for what is
//! published. Read [`Redis`] first.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::entry::{Raw, id, position, stored};
use super::follower::{self, Follower};
use super::history::{End, FIELDS, Meta, Way};
use super::keys::Keys;
use super::limits::{
    ANSWER_BYTES, HISTORIES, OLDEST_COUNT, Protections, RANGE_COUNT, RANGE_COUNT_MIN, READ_COUNT,
    REPAIR_LOOK, REPAIR_WAIT,
};
use super::link::{Ask, Conn, Finder, Line, Trouble};
use super::probe::Probes;
use super::scripts::Scripts;
use super::unread::Unread;
use super::url::RedisUrl;
use super::writer::{Parcel, Writer};
use super::{setup, sweeper};
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

/// What the tasks of one log share.
pub(super) struct Shared {
    pub(super) finder: Arc<Finder>,
    pub(super) keys: Keys,
    pub(super) scripts: Scripts,
    pub(super) limits: LogLimits,
    pub(super) durability: Durability,
    pub(super) protections: Protections,
    pub(super) line: Line,
    pub(super) unread: Unread,
    /// Somebody saw that the history may have ended: the follower looks at once.
    pub(super) doubt: Notify,
    pub(super) counters: Counters,
    /// Marks on their way through the log.
    pub(super) probes: Probes,
    /// The history that this process lives in, as far as it knows.
    epoch: Mutex<Epoch>,
    /// Since when somebody has asked who brings back what these histories lost: a crowd that comes back waits together,
    /// and not one after the other.
    asked: Mutex<VecDeque<(Epoch, Instant)>>,
    parcels: mpsc::Sender<Parcel>,
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

    /// Closes the history of a server that ruled before, if nobody did it yet; returns the epoch that holds.
    pub(super) async fn begin(&self, conn: &mut Conn, old: Option<Epoch>) -> Result<Epoch, Trouble> {
        let proposed = Epoch::from_random(rand::random());
        let mut script = self.scripts.begin.key(&self.keys.log);
        script.key(&self.keys.meta).arg(proposed.to_string());
        script.arg(self.term(&conn.term)).arg(old.map_or(String::new(), |old| old.to_string()));
        let epoch: String =
            conn.ask("begin a history", Ask::Script(&script), self.protections.response).await?;
        epoch.parse().map_err(|_| self.damaged(conn, "begin a history"))
    }

    /// The term to be told to the scripts.
    pub(super) fn term<'a>(&self, term: &'a str) -> &'a str {
        if self.protections.terms { term } else { "" }
    }

    fn damaged(&self, conn: &Conn, operation: &'static str) -> Trouble {
        let cause = format!("{} holds what no node of this system wrote", self.keys.meta);
        Trouble::Broken(StoreError { operation, place: conn.place.to_string(), cause })
    }

    pub(super) fn error(&self, operation: &'static str, cause: &str) -> StoreError {
        StoreError { operation, place: self.finder.place(), cause: cause.to_owned() }
    }
}

/// What the server told at one moment.
struct Look {
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
        Self::open_with(url, limits, durability, Protections::default(), tasks).await
    }

    pub(super) async fn open_with(
        url: &RedisUrl,
        limits: LogLimits,
        durability: Durability,
        protections: Protections,
        tasks: &Tasks,
    ) -> Result<Self, OpenError> {
        let keys = Keys::new(&url.prefix);
        let finder = Arc::new(Finder::new(url.clone(), keys.log.clone()));
        let mut conn = finder.open().await.map_err(OpenError::Store)?;
        setup::check(&mut conn, durability).await?;
        let (line, keeper) = Line::new(&finder, conn.clone(), protections.response);
        let (parcels, queue) = mpsc::channel(limits.append_queue.max(1));
        let shared = Arc::new(Shared {
            finder,
            keys,
            scripts: Scripts::default(),
            limits,
            durability,
            protections,
            line,
            unread: Unread::default(),
            doubt: Notify::new(),
            counters: Counters::default(),
            probes: Probes::default(),
            epoch: Mutex::new(Epoch::from_random(0)),
            asked: Mutex::default(),
            parcels,
            tasks: tasks.clone(),
        });
        let epoch =
            shared.begin(&mut conn, None).await.map_err(|trouble| OpenError::Store(trouble.error()))?;
        shared.set_epoch(epoch);
        tasks.spawn("redis line", keeper.run(tasks.token().clone()));
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
        match self.shared.parcels.try_send(Parcel::new(event, answer)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Err(AppendError::Busy { waiting: self.shared.parcels.max_capacity() });
            }
            Err(TrySendError::Closed(_)) => return Err(AppendError::Closed),
        }
        match answered.await {
            Ok(result) => result,
            // The writer answers everything that it took; it dropped this one unanswered only if it panicked.
            Err(_) => Err(AppendError::Store(self.shared.error("append", "the writer died"))),
        }
    }

    /// Looks at the log, at one moment: its numbers, what stands at a position, and what comes after it. `None` where no
    /// history has begun.
    async fn look_at(&self, at: Position, count: usize) -> Result<Option<Look>, StoreError> {
        let keys = &self.shared.keys;
        let mut all = redis::pipe();
        all.atomic();
        all.cmd("HMGET").arg(&keys.meta).arg(&FIELDS);
        all.cmd("XRANGE").arg(&keys.log).arg("-").arg("+").arg("COUNT").arg(OLDEST_COUNT);
        all.cmd("XREVRANGE").arg(&keys.log).arg(id(at)).arg("-").arg("COUNT").arg(1);
        let behind = format!("({}", id(at));
        if at == (Position { ms: u64::MAX, seq: u64::MAX }) {
            // Redis refuses a range behind the last id that there can be.
            all.cmd("XRANGE").arg(&keys.log).arg("+").arg("-");
        } else {
            all.cmd("XRANGE").arg(&keys.log).arg(behind).arg("+").arg("COUNT").arg(count);
        }
        let (fields, oldest, nearest, after): (Vec<Option<String>>, Vec<Raw>, Vec<Raw>, Vec<Raw>) =
            self.shared.line.ask("read", Ask::Pipeline(&all)).await?;
        let nearest = nearest.first().and_then(|raw| position(&raw.0));
        Ok(Meta::read(&fields, &oldest).map(|meta| Look { meta, nearest, after }))
    }

    async fn look(&self, at: Position, count: usize) -> Result<Look, StoreError> {
        let none = || self.shared.error("read", "no history has begun there");
        self.look_at(at, count).await?.ok_or_else(none)
    }

    /// As [`Redis::look`], after the history of a server that ruled before was closed.
    async fn look_settled(&self, at: Position, count: usize) -> Result<Look, StoreError> {
        let term = self.shared.line.term().await?;
        if let Some(look) = self.look_at(at, count).await?
            && (!self.shared.protections.terms || look.meta.term == *term)
        {
            return Ok(look);
        }
        // Between the end of one master and the first append to the next: nobody may take what is left of the old
        // history for all of it.
        let mut conn = self.shared.finder.open().await?;
        self.shared.begin(&mut conn, Some(self.shared.epoch())).await.map_err(Trouble::error)?;
        if conn.term != term {
            self.shared.line.renew();
        }
        self.shared.doubt.notify_one();
        self.look(at, count).await
    }

    pub(in crate::broker) async fn read_after(
        &self,
        after: Cursor,
        limit: PageLimit,
    ) -> Result<Page, StoreError> {
        let count = limit.entries.clamp(1, RANGE_COUNT);
        let mut page = Page::default();
        let mut at = after;
        let mut look = self.look_settled(at.position, count).await?;
        if at.epoch != look.meta.epoch {
            let (sync, gap) = self.translate(after, &look.meta).await?;
            page.sync = sync;
            page.gap = gap;
            at = gap.map_or(page.sync.as_ref().map_or(after, |sync| sync.to), |gap| gap.resumed_after);
            look = self.look(at.position, count).await?;
        }
        if page.gap.is_none()
            && let Some(gap) = look.meta.missing(at.position, look.nearest)
        {
            page.gap = Some(gap);
            at = gap.resumed_after;
            look = self.look(at.position, count).await?;
        }
        self.fill(&mut page, at, look, limit).await?;
        Ok(page)
    }

    /// Takes entries until the limit or the end of the log is reached.
    async fn fill(
        &self,
        page: &mut Page,
        from: Cursor,
        look: Look,
        limit: PageLimit,
    ) -> Result<(), StoreError> {
        let epoch = look.meta.epoch;
        let (mut raw, mut bytes, mut at) = (look.after, 0, from.position);
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
            let more = self.look(at, wanted).await?;
            if more.meta.epoch != epoch || more.meta.missing(at, more.nearest).is_some() {
                // The history ended meanwhile, or was trimmed. What was read is right; the next read is told.
                return Ok(());
            }
            raw = more.after;
        }
    }

    /// Follows a cursor through the histories that came after its own.
    async fn translate(
        &self,
        from: Cursor,
        meta: &Meta,
    ) -> Result<(Option<Synced>, Option<Missing>), StoreError> {
        let mut way = Way::new(from.epoch, meta.epoch);
        while let Some(epoch) = way.open() {
            way.go(self.end_of(epoch).await?);
        }
        let Some(ended) = way.ended() else { return Ok((None, Some(meta.unknown_epoch()))) };
        let sync = Synced::new(from, ended.into(), meta.epoch);
        let mut whole = true;
        for (stood, end) in sync.passed().zip(sync.ended.iter()) {
            let lost_here = stood.position > end.position;
            whole &= match self.covered(end.epoch, lost_here).await? {
                // More may be gone than any node remembers: then also those are concerned who had not come so far.
                Some(after) => after <= end.position || stood.position >= after,
                None => !lost_here,
            };
        }
        let gap = Missing { reason: GapReason::Rollback, resumed_after: sync.to, missed: None };
        Ok((Some(sync), (!whole).then_some(gap)))
    }

    async fn end_of(&self, epoch: Epoch) -> Result<Option<End>, StoreError> {
        let mut get = redis::cmd("HGET");
        get.arg(&self.shared.keys.meta).arg(format!("end:{epoch}"));
        let end: Option<String> =
            self.shared.line.ask("read the end of a history", Ask::Command(&get)).await?;
        Ok(end.as_deref().and_then(End::parse))
    }

    /// After which position of an old history everything that was lost comes back, if a node said that it has it. Who
    /// stands on the lost branch may have to wait a moment until one does.
    async fn covered(&self, epoch: Epoch, wait: bool) -> Result<Option<Position>, StoreError> {
        let mut get = redis::cmd("HGET");
        get.arg(&self.shared.keys.meta).arg(format!("cov:{epoch}"));
        let deadline = self.shared.asked_since(epoch) + REPAIR_WAIT;
        loop {
            let covered: Option<String> =
                self.shared.line.ask("read what comes back", Ask::Command(&get)).await?;
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
        let epoch = self.look_settled(Position::ZERO, 1).await?.meta.epoch;
        let (mut newest, mut bytes, mut before) = (Vec::new(), 0, "+".to_owned());
        while newest.len() < limit {
            let count = fitting(bytes, newest.len()).min(limit - newest.len());
            let mut range = redis::cmd("XREVRANGE");
            range.arg(&self.shared.keys.log).arg(&before).arg("-").arg("COUNT").arg(count);
            let raw: Vec<Raw> = self.shared.line.ask("read", Ask::Command(&range)).await?;
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
        let meta = self.look_settled(Position::ZERO, 1).await?.meta;
        if at.epoch != meta.epoch {
            return Ok(None);
        }
        let mut range = redis::cmd("XRANGE");
        range.arg(&self.shared.keys.log).arg(id(at.position)).arg(id(at.position));
        let raw: Vec<Raw> = self.shared.line.ask("read", Ask::Command(&range)).await?;
        Ok(raw.first().and_then(stored).map(|stored| stored.entry(meta.epoch)))
    }

    pub(in crate::broker) fn follow(&self, after: Cursor) -> Follower {
        follower::start(&self.shared, after, &self.shared.tasks)
    }

    pub(in crate::broker) async fn bounds(&self) -> Result<Bounds, StoreError> {
        let meta = self.look_settled(Position::ZERO, 1).await?.meta;
        let mut count = redis::cmd("ZCARD");
        count.arg(&self.shared.keys.boxes);
        let mailboxes: u64 = self.shared.line.ask("count mailboxes", Ask::Command(&count)).await?;
        Ok(meta.bounds(mailboxes))
    }
}

/// How many entries fit into one answer, judged by those that were read: few at first.
pub(super) fn fitting(bytes: u64, entries: usize) -> usize {
    let mean =
        bytes.checked_div(entries as u64).map_or(ANSWER_BYTES / RANGE_COUNT as u64, |mean| mean.max(1));
    usize::try_from(ANSWER_BYTES / mean).unwrap_or(READ_COUNT).clamp(RANGE_COUNT_MIN, READ_COUNT)
}
