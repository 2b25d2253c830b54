//! Follows the log, and repairs it where it lost its tail: a task with a connection of its own, which waits in the
//! server for new entries. Every connection begins by checking that the history is still the present one. Read
//! [`Task::run`] first, then [`Task::settle`].

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{Ask, Conn, ConnError};
use super::entry::{Raw, id, position, stored};
use super::finder::backoff;
use super::limits::{
    ANSWER_BYTES, BLOCK, BLOCK_GRACE, HISTORIES, PACED_BELOW, PAGES, PRELOAD, RANGE_COUNT, READ_PAUSE,
};
use super::log::{Look, Shared, fitting};
use super::meta::{EpochChain, HistoryEnd, Meta};
use super::recent_entries::RecentEntries;
use super::writer::append_again;
use crate::broker::{Missing, NewEvent, Origins, Page, StoreError, Synced};
use crate::protocol::api::GapReason;
use crate::protocol::{Cursor, Epoch, Position};
use crate::runtime::Tasks;

/// Follows a log in Redis. After the log was closed it waits for ever.
pub struct Follower {
    pages: mpsc::Receiver<Result<Page, StoreError>>,
    /// The task, until the first call of `next` starts it.
    task: Option<Box<(Task, Tasks)>>,
    /// Entries that were received and not returned yet.
    rest: Page,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("rest", &self.rest.entries.len()).finish_non_exhaustive()
    }
}

impl Follower {
    pub(in crate::broker) async fn next(&mut self, limit: usize) -> Result<Page, StoreError> {
        if let Some(begin) = self.task.take() {
            let (task, tasks) = *begin;
            let token = tasks.token().clone();
            tasks.spawn("redis follower", task.run(token));
        }
        if self.rest.entries.is_empty() {
            match self.pages.recv().await {
                Some(page) => self.rest = page?,
                None => std::future::pending().await,
            }
        }
        let behind = self.rest.entries.split_off(limit.min(self.rest.entries.len()));
        let mut page = std::mem::replace(&mut self.rest, Page { entries: behind, ..Page::default() });
        // A full channel means that the caller is behind; one page that is ready proves nothing.
        page.more = !self.rest.entries.is_empty() || self.pages.len() == PAGES;
        Ok(page)
    }
}

/// Starts to follow from a cursor on.
pub(super) fn start(shared: &Arc<Shared>, after: Cursor, tasks: &Tasks) -> Follower {
    let (sender, pages) = mpsc::channel(PAGES);
    shared.in_flight.watch();
    let task = Task {
        shared: Arc::clone(shared),
        pages: sender,
        at: after,
        read_up_to: after.position,
        recent: None,
        again: Vec::new(),
        sync: None,
        gap: None,
        is_interrupted: false,
        mean_bytes: ANSWER_BYTES / RANGE_COUNT as u64,
        settled_to: after.position,
        checked_for: None,
    };
    Follower { pages, task: Some(Box::new((task, tasks.clone()))), rest: Page::default() }
}

struct Task {
    shared: Arc<Shared>,
    pages: mpsc::Sender<Result<Page, StoreError>>,
    /// The newest entry that was read.
    at: Cursor,
    /// The newest id that was read, of entries that no node wrote too.
    read_up_to: Position,
    /// `None` until the log was read for the first time.
    recent: Option<RecentEntries>,
    /// Events that still have to be appended again.
    again: Vec<(NewEvent, Origins)>,
    /// Goes to the node in front of the next entries.
    sync: Option<Synced>,
    gap: Option<Missing>,
    is_interrupted: bool,
    /// Bytes of an entry, lately; a guess at first.
    mean_bytes: u64,
    /// Up to here all entries belong to the history that is followed, even if other histories began in between.
    settled_to: Position,
    /// The last entry for which the history was checked, because it does not follow the one before it.
    checked_for: Option<Position>,
}

/// When the handshake of this connection read the term of the server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Handshake {
    Fresh,
    Earlier,
}

/// Why a task stops reading on a connection without an error.
enum Stop {
    /// The history has to be checked again, on a new connection.
    Recheck,
    /// The follower was dropped.
    Closed,
}

impl Task {
    async fn run(mut self, token: CancellationToken) {
        let mut backoff = backoff();
        loop {
            let pages = self.pages.clone();
            let stopped = tokio::select! {
                () = token.cancelled() => return,
                () = pages.closed() => return,
                stopped = self.read(&mut backoff) => stopped,
            };
            match stopped {
                // A log that another program damaged must not keep a core busy.
                Ok(Stop::Recheck) => tokio::time::sleep(READ_PAUSE).await,
                Ok(Stop::Closed) => return,
                Err(error) => {
                    self.is_interrupted = true;
                    // The answer may have been too large.
                    self.mean_bytes = self.mean_bytes.saturating_mul(2);
                    // Where pages are waiting, the node does not need this error now.
                    let _full = self.pages.try_send(Err(error.into_store_error()));
                    let wait = backoff.next_wait(&mut rand::rng());
                    tokio::select! {
                        () = token.cancelled() => return,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// Reads on one connection until it fails.
    async fn read(&mut self, backoff: &mut crate::runtime::Backoff) -> Result<Stop, ConnError> {
        let shared = Arc::clone(&self.shared);
        let mut conn = shared.finder.open().await.map_err(ConnError::Broken)?;
        if !self.settle(&mut conn, Handshake::Fresh).await? {
            return Ok(Stop::Recheck);
        }
        backoff.reset();
        if std::mem::take(&mut self.is_interrupted) && self.send(Page::default()).await.is_err() {
            return Ok(Stop::Closed);
        }
        loop {
            let began = Instant::now();
            let raw = tokio::select! {
                raw = self.wait_for_entries(&mut conn) => raw?,
                // A read that waits in the server would hold up the check on this connection; hence a new one.
                () = shared.recheck.notified() => return Ok(Stop::Recheck),
            };
            if raw.is_empty() {
                if self.has_news() {
                    if self.send(Page::default()).await.is_err() {
                        return Ok(Stop::Closed);
                    }
                    continue;
                }
                if !self.settle(&mut conn, Handshake::Earlier).await? {
                    return Ok(Stop::Recheck);
                }
                continue;
            }
            let few = raw.len() < RANGE_COUNT;
            if let Some(stop) = self.take(&raw).await {
                return Ok(stop);
            }
            if few && began.elapsed() < PACED_BELOW {
                tokio::time::sleep(READ_PAUSE).await;
            }
        }
    }

    /// Sends a page, with the pending gap and sync in front of it.
    async fn send(&mut self, page: Page) -> Result<(), Stop> {
        let page = Page { gap: self.gap.take(), sync: self.sync.take(), ..page };
        self.pages.send(Ok(page)).await.map_err(|_| Stop::Closed)
    }

    fn has_news(&self) -> bool {
        self.gap.is_some() || self.sync.is_some()
    }

    async fn wait_for_entries(&self, conn: &mut Conn) -> Result<Vec<Raw>, ConnError> {
        let count = fitting(self.mean_bytes, 1);
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(count);
        // A pending gap or sync goes with the next entries, or at once where there are none.
        if !self.has_news() {
            read.arg("BLOCK").arg(u64::try_from(BLOCK.as_millis()).unwrap_or(1_000));
        }
        read.arg("STREAMS").arg(&self.shared.keys.log).arg(id(self.read_up_to));
        let streams: Option<Vec<(String, Vec<Raw>)>> =
            conn.ask("follow the log", Ask::Command(&read), BLOCK + BLOCK_GRACE).await?;
        Ok(streams.into_iter().flatten().next().map(|(_, entries)| entries).unwrap_or_default())
    }

    /// Takes entries in the order of the log. Stops before one that belongs to another history.
    async fn take(&mut self, raw: &[Raw]) -> Option<Stop> {
        let mut page = Page::default();
        let mut bytes = 0;
        for raw in raw {
            let Some(stored) = stored(raw) else {
                if self.shared.probes.arrived(raw) {
                    self.read_up_to = position(&raw.0).unwrap_or(self.read_up_to);
                    continue;
                }
                tracing::warn!(
                    id = raw.0,
                    log = self.shared.keys.log,
                    "skipped an entry that no node wrote; if another program writes to this stream, use another ?prefix=NAME in --broker"
                );
                self.read_up_to = position(&raw.0).unwrap_or(self.read_up_to);
                continue;
            };
            let other = stored.position > self.settled_to
                && stored.begins.is_some_and(|epoch| epoch != self.at.epoch);
            let is_odd = other || stored.before < self.at.position;
            if is_odd && self.checked_for != Some(stored.position) {
                self.checked_for = Some(stored.position);
                self.read_up_to = self.at.position;
                if !page.entries.is_empty()
                    && let Err(stop) = self.send(page).await
                {
                    return Some(stop);
                }
                return Some(Stop::Recheck);
            }
            if is_odd {
                tracing::warn!(
                    id = raw.0,
                    log = self.shared.keys.log,
                    "an entry does not follow the one before it; if another program writes to this stream, use another ?prefix=NAME in --broker"
                );
            }
            if stored.before != self.at.position {
                // Trimmed between two reads, or not written by a node: then a gap is better than no event at all.
                let is_trimmed = stored.before > self.at.position;
                let reason = if is_trimmed { GapReason::Trimmed } else { GapReason::Rollback };
                let resumed_after = Cursor::new(self.at.epoch, stored.before.max(self.at.position));
                let so_far = std::mem::take(&mut page);
                if (!so_far.entries.is_empty() || self.has_news())
                    && let Err(stop) = self.send(so_far).await
                {
                    return Some(stop);
                }
                self.gap = Some(Missing { reason, resumed_after, missed: None });
                self.recent = Some(RecentEntries::new(resumed_after.position));
            }
            bytes += stored.bytes();
            self.at.position = stored.position;
            self.read_up_to = stored.position;
            self.shared.in_flight.done(&stored.message_id);
            let mailbox = stored.mailbox;
            let mut entry = stored.entry(self.at.epoch);
            if let Some(recent) = &mut self.recent {
                recent.note(&mut entry, mailbox);
            }
            page.entries.push(entry);
        }
        if page.entries.is_empty() {
            return None;
        }
        self.mean_bytes = bytes / page.entries.len() as u64;
        self.send(page).await.err()
    }

    /// Makes sure that the next entries follow the ones that were read: in the same history, or in the one that
    /// continues it. `false`: needs a new connection.
    async fn settle(&mut self, conn: &mut Conn, handshake: Handshake) -> Result<bool, ConnError> {
        for _ in 0..HISTORIES {
            let Some((meta, nearest)) = self.read_server(conn).await? else {
                // The term that an old connection knows may be out of date, and two nodes that each keep their own
                // would end one history after the other.
                if handshake == Handshake::Earlier {
                    return Ok(false);
                }
                self.shared.begin(conn, Some(self.at.epoch)).await?;
                continue;
            };
            if meta.epoch != self.at.epoch {
                self.adopt(conn, &meta).await?;
                continue;
            }
            self.shared.set_epoch(meta.epoch);
            self.settled_to = meta.newest;
            if meta.newest > self.at.position {
                // Nothing came, and yet there is something: another program has moved the end of the stream to and fro.
                self.read_up_to = self.at.position;
            }
            self.read_back();
            if !self.again.is_empty() {
                match append_again(&self.shared, conn, self.at.epoch, &self.again).await {
                    Ok(true) => self.note_repair(),
                    Ok(false) => continue,
                    // The rest of the log can be read all the same; the next check tries again.
                    Err(ConnError::Refused(error)) => {
                        tracing::warn!(%error, events = self.again.len(), "lost events cannot be appended again yet");
                    }
                    Err(error) => return Err(error),
                }
            }
            let gap = meta.missing(self.at.position, nearest);
            self.remember(conn, gap).await?;
            self.gap = self.gap.or(gap);
            return Ok(true);
        }
        Err(ConnError::Broken(StoreError {
            operation: "follow the log",
            place: conn.place.to_string(),
            cause: format!(
                "Redis was restarted or failed over {HISTORIES} times while this node read the log"
            ),
        }))
    }

    /// The log's numbers, and the entry at the cursor or the last one before it. `None` where the history of an earlier
    /// term has yet to be closed.
    async fn read_server(&self, conn: &mut Conn) -> Result<Option<(Meta, Option<Position>)>, ConnError> {
        let script = self.shared.look(self.at.position);
        let (fields, oldest, nearest): Look =
            conn.ask("read the state of the log", Ask::Script(&script), self.shared.response).await?;
        let nearest = nearest.first().and_then(|raw| position(&raw.0));
        let meta = Meta::read(&fields, &oldest);
        Ok(meta.filter(|meta| meta.term == *conn.term).map(|meta| (meta, nearest)))
    }

    /// Moves to the history that came after the followed one, and collects the events that were lost at its end.
    async fn adopt(&mut self, conn: &mut Conn, meta: &Meta) -> Result<(), ConnError> {
        let old = self.at;
        let Some(ended) = self.ended(conn, meta.epoch).await? else {
            // The log does not know how the two histories are connected.
            let resumed_after = meta.bounds(0).start_cursor();
            let gap = Missing { reason: GapReason::Epoch, resumed_after, missed: None };
            self.go_to(resumed_after);
            self.recent = Some(RecentEntries::new(resumed_after.position));
            self.gap = Some(gap);
            return Ok(());
        };
        let sync = Synced::new(old, ended.into(), meta.epoch);
        let (to, lost) = (sync.to, sync.is_lost());
        self.shared.counters.epochs.fetch_add(1, Ordering::Relaxed);
        if let Some(recent) = &mut self.recent {
            if lost {
                self.shared.announce_repair(conn, old.epoch, recent.reaches_back_to(to.position)).await?;
            }
            // From here on nothing may fail until all of it stands in `again`.
            let gone = recent.lose(&sync.ended);
            #[cfg(test)]
            let gone = self.shared.finder.ablation.repaired(gone);
            self.again.extend(gone);
        }
        self.shared.in_flight.rebase(&sync.ended, meta.epoch);
        tracing::warn!(
            old = %old,
            new = %to,
            lost,
            again = self.again.len(),
            "Redis was restarted or failed over; the log goes on under a new epoch, and this node appends lost events again"
        );
        self.sync = Some(match self.sync.take() {
            None => sync,
            Some(told) => {
                let both = told.ended.iter().chain(sync.ended.iter()).copied();
                Synced::new(told.from, both.collect(), to.epoch)
            }
        });
        self.go_to(to);
        Ok(())
    }

    /// Collects publishes that were acknowledged in another history and did not survive into this one. They may turn up
    /// late: a master that was replaced may have acknowledged them after the other nodes had moved on.
    fn read_back(&mut self) {
        let lost = self.shared.in_flight.lost(self.at);
        #[cfg(test)]
        let lost = self.shared.finder.ablation.read_back(lost);
        let known: HashSet<_> = self.again.iter().map(|(event, _)| event.message_id.clone()).collect();
        let lost: Vec<_> = lost.into_iter().filter(|(event, _)| !known.contains(&event.message_id)).collect();
        self.shared.counters.republished.fetch_add(lost.len() as u64, Ordering::Relaxed);
        self.again.extend(lost);
    }

    fn go_to(&mut self, cursor: Cursor) {
        self.at = cursor;
        self.read_up_to = cursor.position;
    }

    fn note_repair(&mut self) {
        let count = self.again.len() as u64;
        self.again.clear();
        if count > 0 {
            self.shared.counters.repaired.fetch_add(count, Ordering::Relaxed);
            tracing::warn!(events = count, "appended lost events again");
        }
        if let Some(sync) = &mut self.sync {
            sync.appended_again = count;
        }
    }

    /// Forgets everything before a gap; at start, loads the newest entries.
    async fn remember(&mut self, conn: &mut Conn, gap: Option<Missing>) -> Result<(), ConnError> {
        if let Some(gap) = gap {
            self.go_to(gap.resumed_after);
            self.recent = Some(RecentEntries::new(gap.resumed_after.position));
        }
        if self.recent.is_some() {
            return Ok(());
        }
        let mut range = redis::cmd("XREVRANGE");
        range.arg(&self.shared.keys.log).arg(id(self.at.position)).arg("-").arg("COUNT").arg(PRELOAD);
        let raw: Vec<Raw> =
            conn.ask("read the newest entries", Ask::Command(&range), self.shared.response).await?;
        let entries: Vec<_> = raw.iter().rev().filter_map(stored).collect();
        let mut recent = RecentEntries::new(entries.first().map_or(self.at.position, |first| first.before));
        for stored in entries {
            let mailbox = stored.mailbox;
            recent.note(&mut stored.entry(self.at.epoch), mailbox);
        }
        self.recent = Some(recent);
        Ok(())
    }

    /// The ended histories from the followed one to the present.
    async fn ended(&self, conn: &mut Conn, present: Epoch) -> Result<Option<Vec<Cursor>>, ConnError> {
        let mut chain = EpochChain::new(self.at.epoch, present);
        while let Some(epoch) = chain.next_unknown() {
            chain.push(self.end_of(conn, epoch).await?);
        }
        Ok(chain.ended())
    }

    /// How a history ended. A history that this node has followed and that the log does not know was lost as a whole.
    async fn end_of(&self, conn: &mut Conn, epoch: Epoch) -> Result<Option<HistoryEnd>, ConnError> {
        let (keys, response) = (&self.shared.keys, self.shared.response);
        let mut get = redis::cmd("HGET");
        get.arg(&keys.meta).arg(format!("end:{epoch}"));
        let mut end: Option<String> =
            conn.ask("read the end of a history", Ask::Command(&get), response).await?;
        if end.is_none() && epoch == self.at.epoch && self.recent.is_some() {
            let mut script = self.shared.scripts.adopt.key(&keys.meta);
            script.arg(epoch.to_string());
            end = conn.ask("report a lost history", Ask::Script(&script), response).await?;
        }
        Ok(end.as_deref().and_then(HistoryEnd::parse))
    }
}
