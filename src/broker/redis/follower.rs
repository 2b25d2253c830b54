//! Follows the log, and repairs it where it lost its tail: a task with a connection of its own, which waits in the
//! server for new entries. Every connection begins with the question whether the history still holds. Read
//! [`Task::run`] first, then [`Task::settle`].

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::entry::{Raw, id, position, stored};
use super::history::{End, FIELDS, Meta, Way};
use super::limits::{
    ANSWER_BYTES, BLOCK, BLOCK_GRACE, HISTORIES, OLDEST_COUNT, PACED_BELOW, PAGES, PRELOAD, RANGE_COUNT,
    READ_PAUSE,
};
use super::link::{Ask, Conn, Trouble, backoff};
use super::log::{Shared, fitting};
use super::recent::Recent;
use super::writer::append_again;
use crate::broker::{Missing, NewEvent, Origins, Page, StoreError, Synced};
use crate::protocol::api::GapReason;
use crate::protocol::{Cursor, Epoch, Position};
use crate::runtime::Tasks;
use crate::runtime::mutant::{self, Mutant};

/// Follows a log in Redis. After the log was closed nothing comes any more, and it waits for ever.
pub struct Follower {
    pages: mpsc::Receiver<Result<Page, StoreError>>,
    /// Starts with the first question: before that nobody waits for anything.
    task: Option<Box<(Task, Tasks)>>,
    /// What was received and not handed out.
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
        // Where the task waits to hand over a page, whoever takes them is behind; one that is ready proves nothing.
        page.more = !self.rest.entries.is_empty() || self.pages.len() == PAGES;
        Ok(page)
    }
}

/// Starts to follow from a cursor on.
pub(super) fn start(shared: &Arc<Shared>, after: Cursor, tasks: &Tasks) -> Follower {
    let (sender, pages) = mpsc::channel(PAGES);
    shared.unread.watch();
    let task = Task {
        shared: Arc::clone(shared),
        pages: sender,
        at: after,
        read_up_to: after.position,
        recent: None,
        again: Vec::new(),
        sync: None,
        gap: None,
        in_trouble: false,
        mean_bytes: ANSWER_BYTES / RANGE_COUNT as u64,
        settled_to: after.position,
    };
    Follower { pages, task: Some(Box::new((task, tasks.clone()))), rest: Page::default() }
}

struct Task {
    shared: Arc<Shared>,
    pages: mpsc::Sender<Result<Page, StoreError>>,
    /// The newest entry that was read.
    at: Cursor,
    /// The newest id that was looked at: entries that others put into the stream have ids too.
    read_up_to: Position,
    /// `None` until the first look at the log.
    recent: Option<Recent>,
    /// What is still to be appended again.
    again: Vec<(NewEvent, Origins)>,
    /// What the node has yet to be told, in front of the next entries.
    sync: Option<Synced>,
    gap: Option<Missing>,
    in_trouble: bool,
    /// Bytes of an entry, lately; a guess at first.
    mean_bytes: u64,
    /// Up to here the log was looked at as a whole: what stands there belongs to the history that is followed, whatever
    /// histories began in between.
    settled_to: Position,
}

/// When the server was asked for its term on this connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Greeted {
    Now,
    Before,
}

/// Why a task stops reading on a connection without trouble.
enum Stop {
    /// The history has to be looked at again, on a new connection.
    Doubt,
    /// Nobody takes the pages any more.
    Over,
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
                // So that a log which somebody else damaged costs a look now and then, and not a core.
                Ok(Stop::Doubt) => tokio::time::sleep(READ_PAUSE).await,
                Ok(Stop::Over) => return,
                Err(trouble) => {
                    self.in_trouble = true;
                    // It may have been too much for one answer.
                    self.mean_bytes = self.mean_bytes.saturating_mul(2);
                    // Where pages wait to be taken, the node does not need to hear of it now.
                    let _full = self.pages.try_send(Err(trouble.error()));
                    let wait = backoff.next_wait(&mut rand::rng());
                    tokio::select! {
                        () = token.cancelled() => return,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// Reads on one connection until there is trouble.
    async fn read(&mut self, backoff: &mut crate::runtime::Backoff) -> Result<Stop, Trouble> {
        let shared = Arc::clone(&self.shared);
        let mut conn = shared.finder.open().await.map_err(Trouble::Broken)?;
        if !self.settle(&mut conn, Greeted::Now).await? {
            return Ok(Stop::Doubt);
        }
        backoff.reset();
        let is_tail_skipping = mutant::is_on(Mutant::TailSkips);
        if !is_tail_skipping
            && std::mem::take(&mut self.in_trouble)
            && self.send(Page::default()).await.is_err()
        {
            return Ok(Stop::Over);
        }
        loop {
            let began = Instant::now();
            let raw = tokio::select! {
                raw = self.wait_for_entries(&mut conn) => raw?,
                // What waits in the server on this connection would hold up the question; hence a new one.
                () = shared.doubt.notified() => return Ok(Stop::Doubt),
            };
            if raw.is_empty() {
                if self.has_news() {
                    if self.send(Page::default()).await.is_err() {
                        return Ok(Stop::Over);
                    }
                    continue;
                }
                if !self.settle(&mut conn, Greeted::Before).await? {
                    return Ok(Stop::Doubt);
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

    /// Sends a page, with what the node has yet to be told in front of it.
    async fn send(&mut self, page: Page) -> Result<(), Stop> {
        let page = Page { gap: self.gap.take(), sync: self.sync.take(), ..page };
        self.pages.send(Ok(page)).await.map_err(|_| Stop::Over)
    }

    fn has_news(&self) -> bool {
        self.gap.is_some() || self.sync.is_some()
    }

    async fn wait_for_entries(&self, conn: &mut Conn) -> Result<Vec<Raw>, Trouble> {
        let count = fitting(self.mean_bytes, 1);
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(count);
        // News go with the entries that follow, and at once where none does.
        if !self.has_news() {
            read.arg("BLOCK").arg(u64::try_from(BLOCK.as_millis()).unwrap_or(1_000));
        }
        read.arg("STREAMS").arg(&self.shared.keys.log).arg(id(self.read_up_to));
        let streams: Option<Vec<(String, Vec<Raw>)>> =
            conn.ask("follow the log", Ask::Command(&read), BLOCK + BLOCK_GRACE).await?;
        Ok(streams.into_iter().flatten().next().map(|(_, entries)| entries).unwrap_or_default())
    }

    /// Takes entries as they stand in the log. Stops before one that belongs to another history.
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
                    "an entry is none of this system's; passed over"
                );
                self.read_up_to = position(&raw.0).unwrap_or(self.read_up_to);
                continue;
            };
            let other = stored.position > self.settled_to
                && stored.begins.is_some_and(|epoch| epoch != self.at.epoch);
            if other || stored.before < self.at.position {
                self.read_up_to = self.at.position;
                if !page.entries.is_empty()
                    && let Err(stop) = self.send(page).await
                {
                    return Some(stop);
                }
                return Some(Stop::Doubt);
            }
            if stored.before > self.at.position {
                // Trimmed between two reads.
                let resumed_after = Cursor::new(self.at.epoch, stored.before);
                let so_far = std::mem::take(&mut page);
                if (!so_far.entries.is_empty() || self.has_news())
                    && let Err(stop) = self.send(so_far).await
                {
                    return Some(stop);
                }
                self.gap = Some(Missing { reason: GapReason::Trimmed, resumed_after, missed: None });
                self.recent = Some(Recent::new(stored.before));
            }
            bytes += stored.bytes();
            self.at.position = stored.position;
            self.read_up_to = stored.position;
            self.shared.unread.done(&stored.message_id);
            let mailbox = stored.mailbox;
            let mut entry = stored.entry(self.at.epoch);
            if let Some(recent) = &mut self.recent {
                recent.note(&mut entry, mailbox);
            }
            if mutant::is_on(Mutant::TailSkips) && std::mem::take(&mut self.in_trouble) {
                continue;
            }
            page.entries.push(entry);
        }
        if page.entries.is_empty() {
            return None;
        }
        self.mean_bytes = bytes / page.entries.len() as u64;
        self.send(page).await.err()
    }

    /// Makes sure that what comes next comes after what was read: the same history, or the one that went on from it.
    /// `false`: that takes a new connection.
    async fn settle(&mut self, conn: &mut Conn, greeted: Greeted) -> Result<bool, Trouble> {
        for _ in 0..HISTORIES {
            let Some((meta, nearest)) = self.look(conn).await? else {
                // What an old connection knows of the term may be out of date, and two nodes that each hold on to
                // their own would end one history after the other.
                if greeted == Greeted::Before {
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
            self.read_back();
            if !self.again.is_empty() {
                match append_again(&self.shared, conn, self.at.epoch, &self.again).await {
                    Ok(true) => self.note_repair(),
                    Ok(false) => continue,
                    // What is there can be read all the same; the next look tries again.
                    Err(Trouble::Refused(error)) => {
                        tracing::warn!(%error, events = self.again.len(), "what was lost cannot be appended again yet");
                    }
                    Err(trouble) => return Err(trouble),
                }
            }
            let gap = meta.missing(self.at.position, nearest);
            self.remember(conn, gap).await?;
            self.gap = self.gap.or(gap);
            return Ok(true);
        }
        Err(Trouble::Broken(StoreError {
            operation: "follow the log",
            place: conn.place.to_string(),
            cause: format!("{HISTORIES} histories ended while one was being looked at"),
        }))
    }

    /// The log's numbers, and the entry at the cursor or the last one before it. `None` where the history of a server
    /// that ruled before has yet to be closed.
    async fn look(&self, conn: &mut Conn) -> Result<Option<(Meta, Option<Position>)>, Trouble> {
        let keys = &self.shared.keys;
        let mut all = redis::pipe();
        all.atomic();
        all.cmd("HMGET").arg(&keys.meta).arg(&FIELDS);
        all.cmd("XRANGE").arg(&keys.log).arg("-").arg("+").arg("COUNT").arg(OLDEST_COUNT);
        all.cmd("XREVRANGE").arg(&keys.log).arg(id(self.at.position)).arg("-").arg("COUNT").arg(1);
        let (fields, oldest, nearest): (Vec<Option<String>>, Vec<Raw>, Vec<Raw>) =
            conn.ask("look at the log", Ask::Pipeline(&all), self.shared.protections.response).await?;
        let nearest = nearest.first().and_then(|raw| position(&raw.0));
        let meta = Meta::read(&fields, &oldest);
        Ok(meta.filter(|meta| meta.term == self.shared.term(&conn.term)).map(|meta| (meta, nearest)))
    }

    /// Goes over to the history that came after the one that was followed, and takes along what that one lost.
    async fn adopt(&mut self, conn: &mut Conn, meta: &Meta) -> Result<(), Trouble> {
        let old = self.at;
        let Some(ended) = self.ended(conn, meta.epoch).await? else {
            // Nobody knows how the two belong together.
            let resumed_after = meta.bounds(0).start_cursor();
            let gap = Missing { reason: GapReason::Epoch, resumed_after, missed: None };
            self.go_to(resumed_after);
            self.recent = Some(Recent::new(resumed_after.position));
            self.gap = Some(gap);
            return Ok(());
        };
        let sync = Synced::new(old, ended.into(), meta.epoch);
        let (to, lost) = (sync.to, sync.is_lost());
        self.shared.counters.epochs.fetch_add(1, Ordering::Relaxed);
        if let Some(recent) = &mut self.recent {
            if lost && self.shared.protections.repair {
                let mut script = self.shared.scripts.cover.key(&self.shared.keys.meta);
                script.arg(old.epoch.to_string()).arg(id(recent.reaches_back_to(to.position)));
                let response = self.shared.protections.response;
                let _covered: String =
                    conn.ask("say what comes back", Ask::Script(&script), response).await?;
            }
            // From here on nothing may fail until all of it stands in `again`.
            let gone = recent.lose(&sync.ended);
            if self.shared.protections.repair && !mutant::is_on(Mutant::RollbackForgets) {
                self.again.extend(gone);
            }
        }
        self.shared.unread.go_over(&sync.ended, meta.epoch);
        tracing::warn!(
            old = %old,
            new = %to,
            lost,
            again = self.again.len(),
            "the history of the log has ended and goes on under another epoch"
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

    /// Whatever was acknowledged in another history and is not left in this one was lost, whenever that comes to light:
    /// a master that was deposed may have acknowledged it after the others had gone over.
    fn read_back(&mut self) {
        let lost = self.shared.unread.lost(self.at);
        if !self.shared.protections.read_back || mutant::is_on(Mutant::RollbackForgets) {
            return;
        }
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
            tracing::warn!(events = count, "what the log had lost was appended again");
        }
        if let Some(sync) = &mut self.sync {
            sync.appended_again = count;
        }
    }

    /// Remembers nothing from before a gap; at start, loads a little to have something to remember.
    async fn remember(&mut self, conn: &mut Conn, gap: Option<Missing>) -> Result<(), Trouble> {
        if let Some(gap) = gap {
            self.go_to(gap.resumed_after);
            self.recent = Some(Recent::new(gap.resumed_after.position));
        }
        if self.recent.is_some() {
            return Ok(());
        }
        let mut range = redis::cmd("XREVRANGE");
        range.arg(&self.shared.keys.log).arg(id(self.at.position)).arg("-").arg("COUNT").arg(PRELOAD);
        let raw: Vec<Raw> = conn
            .ask("load the newest entries", Ask::Command(&range), self.shared.protections.response)
            .await?;
        let entries: Vec<_> = raw.iter().rev().filter_map(stored).collect();
        let mut recent = Recent::new(entries.first().map_or(self.at.position, |first| first.before));
        for stored in entries {
            let mailbox = stored.mailbox;
            recent.note(&mut stored.entry(self.at.epoch), mailbox);
        }
        self.recent = Some(recent);
        Ok(())
    }

    /// The histories that have ended from the one that was followed to the present.
    async fn ended(&self, conn: &mut Conn, present: Epoch) -> Result<Option<Vec<Cursor>>, Trouble> {
        let mut way = Way::new(self.at.epoch, present);
        while let Some(epoch) = way.open() {
            way.go(self.end_of(conn, epoch).await?);
        }
        Ok(way.ended())
    }

    /// How a history ended. One that this node lived in and that the log does not know was lost as a whole.
    async fn end_of(&self, conn: &mut Conn, epoch: Epoch) -> Result<Option<End>, Trouble> {
        let (keys, response) = (&self.shared.keys, self.shared.protections.response);
        let mut get = redis::cmd("HGET");
        get.arg(&keys.meta).arg(format!("end:{epoch}"));
        let mut end: Option<String> =
            conn.ask("read the end of a history", Ask::Command(&get), response).await?;
        if end.is_none() && epoch == self.at.epoch && self.recent.is_some() {
            let mut script = self.shared.scripts.adopt.key(&keys.meta);
            script.arg(epoch.to_string());
            end = conn.ask("tell of a lost history", Ask::Script(&script), response).await?;
        }
        Ok(end.as_deref().and_then(End::parse))
    }
}
