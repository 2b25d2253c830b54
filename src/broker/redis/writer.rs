//! The one task that publishes. It takes all waiting publishes as one batch, one batch at a time so that order is kept,
//! and sends a batch until the log has it or its time is over. Message ids keep repeated batches from being appended
//! twice. Read [`Writer::run`] first.

use std::collections::VecDeque;
use std::sync::Arc;

use redis::ScriptInvocation;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{Ask, Conn, ConnError};
use super::entry::position;
use super::finder::backoff;
use super::keys::Bucket;
use super::limits::{BATCH_BYTES, BATCH_EVENTS, CLOSE_PATIENCE, PUBLISH_PATIENCE, WAIT, WAIT_FSYNC};
use super::log::Shared;
use crate::broker::{AppendError, Appended, Durability, NewEvent, Origins, StoreError};
use crate::protocol::{Cursor, Epoch};
use crate::runtime::clock::{millis, unix_ms};

/// What Redis says at its `maxmemory`.
const OUT_OF_MEMORY: &str = "when used memory > 'maxmemory'";

/// A publish in the queue, with the sender of its answer.
#[derive(Debug)]
pub(super) struct QueuedAppend {
    event: NewEvent,
    answer: oneshot::Sender<Result<Appended, AppendError>>,
    since: Instant,
    /// Distinguishes this publish from others with the same message id.
    publish_id: String,
    /// It was sent without getting an answer, and may be in the log.
    sent: bool,
}

impl QueuedAppend {
    pub(super) fn new(event: NewEvent, answer: oneshot::Sender<Result<Appended, AppendError>>) -> Self {
        let publish_id = format!("{:x}", rand::random::<u64>());
        Self { event, answer, since: Instant::now(), publish_id, sent: false }
    }

    /// The caller may be gone; its answer is then dropped.
    fn answer(self, result: Result<Appended, AppendError>) {
        drop(self.answer.send(result));
    }

    /// Answers a publish that failed or was too late. If it was sent, the log may have it.
    fn give_up(self, shared: &Shared, cause: StoreError) {
        shared.in_flight.done(&self.event.message_id);
        let error = match self.sent {
            true => AppendError::Store(cause),
            false if cause.cause.contains(OUT_OF_MEMORY) => AppendError::BrokerFull(cause),
            false => AppendError::Away(cause),
        };
        self.answer(Err(error));
    }
}

/// The writer of one process.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<QueuedAppend>,
    conn: Option<Conn>,
    /// When the remaining publishes are given up; set when the process ends.
    close_at: Option<Instant>,
}

/// Result of sending a batch once.
enum Sent {
    /// Where each event stands, whether it was there already, and whether its mailbox has it, too.
    Kept(Vec<(Appended, bool)>),
    /// The server became master after the epoch was read.
    NewTerm,
    /// The epoch is no longer the present one.
    NewEpoch,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, queue: mpsc::Receiver<QueuedAppend>, conn: Conn) -> Self {
        Self { shared, queue, conn: Some(conn), close_at: None }
    }

    /// Writes until the token ends it, and then everything that was accepted.
    pub(super) async fn run(mut self, token: CancellationToken) {
        let mut waiting = VecDeque::new();
        let mut received = Vec::new();
        loop {
            let count = tokio::select! {
                count = self.queue.recv_many(&mut received, BATCH_EVENTS) => count,
                () = token.cancelled(), if self.close_at.is_none() => {
                    self.queue.close();
                    self.close_at = Some(Instant::now() + CLOSE_PATIENCE);
                    continue;
                }
            };
            // The queue is closed and empty.
            if count == 0 {
                return;
            }
            waiting.extend(received.drain(..));
            while let Some(batch) = cut_batch(&mut waiting) {
                self.deliver(batch, &token).await;
            }
            // Those who were answered, and those who have come meanwhile, go first: what they publish now is one batch.
            tokio::task::yield_now().await;
        }
    }

    /// Sends a batch until it is in the log, or given up.
    async fn deliver(&mut self, mut batch: Vec<QueuedAppend>, token: &CancellationToken) {
        let mut backoff = backoff();
        let mut last = StoreError {
            operation: "append events",
            place: self.shared.finder.place(),
            cause: "the publish waited longer than its deadline".to_owned(),
        };
        loop {
            batch = self.drop_expired(batch, &last, token);
            if batch.is_empty() {
                return;
            }
            match self.send(&mut batch).await {
                Ok(Sent::Kept(kept)) => return self.answer(batch, kept).await,
                // Also for another epoch: a master that was replaced while nothing was sent to it answers the same.
                Ok(Sent::NewTerm | Sent::NewEpoch) => match self.begin().await {
                    Ok(()) => continue,
                    Err(error) => last = self.note(error),
                },
                Err(error) => {
                    if let ConnError::Refused(cause) = &error
                        && !cause.cause.contains("TRYAGAIN")
                    {
                        // The server is up and refuses; its reason will last longer than a publisher waits.
                        tracing::warn!(error = %cause, "Redis refuses appends to the log, so publishes fail");
                        batch.into_iter().for_each(|append| append.give_up(&self.shared, cause.clone()));
                        return;
                    }
                    if backoff.attempt() == 0 {
                        tracing::warn!(error = %error, "the log cannot be written; trying again");
                    }
                    last = self.note(error);
                }
            }
            let wait = backoff.next_wait(&mut rand::rng());
            tokio::select! {
                () = token.cancelled(), if self.close_at.is_none() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn note(&mut self, error: ConnError) -> StoreError {
        if error.is_broken() {
            self.conn = None;
        }
        error.into_store_error()
    }

    fn drop_expired(
        &mut self,
        batch: Vec<QueuedAppend>,
        why: &StoreError,
        token: &CancellationToken,
    ) -> Vec<QueuedAppend> {
        if token.is_cancelled() && self.close_at.is_none() {
            self.queue.close();
            self.close_at = Some(Instant::now() + CLOSE_PATIENCE);
        }
        let now = Instant::now();
        let closing = self.close_at.is_some_and(|at| at <= now);
        let is_over = |append: &QueuedAppend| closing || now.duration_since(append.since) >= PUBLISH_PATIENCE;
        let (over, left): (Vec<_>, Vec<_>) = batch.into_iter().partition(is_over);
        over.into_iter().for_each(|append| append.give_up(&self.shared, why.clone()));
        left
    }

    async fn conn(&mut self) -> Result<&mut Conn, ConnError> {
        if self.conn.is_none() {
            self.conn = Some(self.shared.finder.open().await.map_err(ConnError::Broken)?);
        }
        Ok(self.conn.as_mut().expect("it was opened above"))
    }

    /// Uses a new connection: the term that an old one knows may be out of date, and two nodes that each keep their own
    /// would end one history after the other.
    async fn begin(&mut self) -> Result<(), ConnError> {
        self.conn = None;
        let shared = Arc::clone(&self.shared);
        let epoch = shared.begin(self.conn().await?, Some(shared.epoch())).await?;
        shared.set_epoch(epoch);
        shared.recheck.notify_one();
        Ok(())
    }

    async fn send(&mut self, batch: &mut [QueuedAppend]) -> Result<Sent, ConnError> {
        let shared = Arc::clone(&self.shared);
        let epoch = shared.epoch();
        let conn = self.conn().await?;
        batch.iter().for_each(|append| shared.in_flight.sending(&append.event));
        let nowhere = Origins::default();
        let events = batch.iter().map(|append| AppendArgs {
            event: &append.event,
            origins: &nowhere,
            publish_id: &append.publish_id,
            fresh: append.event.fresh && !append.sent,
        });
        let script = append_script(&shared, conn, epoch, events);
        let ask = Ask::Script(&script);
        let answer: Vec<String> = match conn.ask("append events", ask, shared.response).await {
            Ok(answer) => answer,
            Err(error) => {
                batch.iter_mut().for_each(|append| append.sent |= error.may_have_written());
                return Err(error);
            }
        };
        parse_reply(&shared, conn, epoch, &answer)
    }

    async fn answer(&mut self, batch: Vec<QueuedAppend>, kept: Vec<(Appended, bool)>) {
        for (append, (appended, _)) in batch.iter().zip(&kept) {
            self.shared.in_flight.acknowledged(&append.event.message_id, appended.cursor, appended.duplicate);
        }
        let safe = self.make_safe().await;
        for (append, (appended, has_mail)) in batch.into_iter().zip(kept) {
            let [list, _] = self.shared.keys.mailbox(&append.event.address);
            append.answer(match &safe {
                Ok(()) if has_mail => Ok(appended),
                Ok(()) => Err(AppendError::Store(self.shared.error(
                    "put an event into a mailbox",
                    &format!("the event is in the log, but {list} holds values that no node wrote, or this user must not use it; remove the key"),
                ))),
                Err(cause) => Err(AppendError::Store(cause.clone())),
            });
        }
    }

    /// Waits until the batch is as durable as an acknowledgement promises.
    async fn make_safe(&mut self) -> Result<(), StoreError> {
        let wait = if self.shared.durability == Durability::Fsync { WAIT_FSYNC } else { WAIT };
        let wait_ms = millis(wait);
        let (mut command, promised) = match self.shared.durability {
            Durability::Accepted => return Ok(()),
            Durability::Replicated => (redis::cmd("WAIT"), "a replica"),
            Durability::Fsync => (redis::cmd("WAITAOF"), "the disk"),
        };
        command.arg(1).arg(if self.shared.durability == Durability::Fsync { 0 } else { wait_ms });
        if self.shared.durability == Durability::Fsync {
            command.arg(wait_ms);
        }
        let patience = wait + self.shared.response;
        let conn = self.conn().await.map_err(ConnError::into_store_error)?;
        let place = conn.place.to_string();
        let answer: Result<redis::Value, _> =
            conn.ask("confirm a copy of the events", Ask::Command(&command), patience).await;
        let confirmed = match answer {
            Ok(redis::Value::Int(count)) => count,
            Ok(redis::Value::Array(counts)) => match counts.first() {
                Some(redis::Value::Int(count)) => *count,
                _ => 0,
            },
            Ok(_) => 0,
            Err(error) => return Err(self.note(error)),
        };
        if confirmed >= 1 {
            return Ok(());
        }
        let cause = format!(
            "{promised} did not confirm the append within {}, so the event may or may not be in the log",
            humantime::format_duration(wait)
        );
        Err(StoreError { operation: "append events", place, cause })
    }
}

/// Takes as many events as one script may have.
fn cut_batch(waiting: &mut VecDeque<QueuedAppend>) -> Option<Vec<QueuedAppend>> {
    let mut batch = vec![waiting.pop_front()?];
    let mut bytes = batch[0].event.envelope.len();
    while batch.len() < BATCH_EVENTS
        && let Some(next) = waiting.front()
    {
        bytes += next.event.envelope.len();
        if bytes > BATCH_BYTES {
            break;
        }
        batch.extend(waiting.pop_front());
    }
    Some(batch)
}

/// What the append script is told of an event.
#[derive(Clone, Copy)]
pub(super) struct AppendArgs<'a> {
    pub(super) event: &'a NewEvent,
    /// Its earlier places.
    pub(super) origins: &'a Origins,
    pub(super) publish_id: &'a str,
    /// Nobody can have published its message id before.
    pub(super) fresh: bool,
}

/// The script that appends these events in this epoch.
pub(super) fn append_script<'a>(
    shared: &'a Shared,
    conn: &Conn,
    epoch: Epoch,
    events: impl Iterator<Item = AppendArgs<'a>> + Clone,
) -> ScriptInvocation<'a> {
    let (keys, limits) = (&shared.keys, &shared.limits);
    let bucket = Bucket::at(unix_ms(), millis(limits.idempotency_window));
    let mut script = shared.scripts.append.key(&keys.log);
    script.key(&keys.meta);
    keys.seen(bucket.number).iter().for_each(|key| {
        script.key(key);
    });
    script.key(&keys.boxes);
    let has_mailbox = |event: &NewEvent| event.mailbox && event.address.has_mailbox();
    for AppendArgs { event, .. } in events.clone().filter(|append| has_mailbox(append.event)) {
        let [list, state] = keys.mailbox(&event.address);
        script.key(list).key(state);
    }
    script.arg(epoch.to_string()).arg(&*conn.term).arg(limits.max_events).arg(limits.max_bytes);
    script.arg(bucket.kept_ms.div_ceil(1_000)).arg(limits.mailbox_max_messages);
    script.arg(limits.mailbox_max_age.as_secs().max(1)).arg(bucket.number);
    script.arg(if bucket.needs_earlier { "1" } else { "0" });
    script.arg(conn.server_ms().map(|ms| ms.to_string()).unwrap_or_default());
    for AppendArgs { event, origins, publish_id, fresh } in events {
        script.arg(event.message_id.as_str()).arg(event.address.to_string()).arg(event.event_type.as_str());
        script.arg(&*event.envelope).arg(if has_mailbox(event) { "1" } else { "0" });
        script.arg(origins.to_string()).arg(publish_id).arg(if fresh { "1" } else { "0" });
    }
    script
}

fn parse_reply(shared: &Shared, conn: &mut Conn, epoch: Epoch, answer: &[String]) -> Result<Sent, ConnError> {
    let place = Arc::clone(&conn.place);
    let damaged = || {
        let cause = format!(
            "the append script answered {answer:?}; the key {} may belong to another program: use another ?prefix=NAME in --broker",
            shared.keys.log
        );
        ConnError::Broken(StoreError { operation: "append events", place: place.to_string(), cause })
    };
    match answer.first().map(String::as_str) {
        Some("OK") => {
            if let Some(ms) = answer.get(1).and_then(|ms| ms.parse().ok()) {
                conn.note_server_ms(ms);
            }
            let kept = answer.get(2..).unwrap_or_default().chunks_exact(2).map(|pair| {
                let cursor = Cursor::new(epoch, position(&pair[0])?);
                Some((Appended { cursor, duplicate: pair[1] == "1" }, pair[1] != "M"))
            });
            kept.collect::<Option<Vec<_>>>().map(Sent::Kept).ok_or_else(damaged)
        }
        Some("TERM") => Ok(Sent::NewTerm),
        Some("EPOCH") => Ok(Sent::NewEpoch),
        _ => Err(damaged()),
    }
}

/// Appends events that the log lost, each with its earlier places. `false`: another history began meanwhile.
pub(super) async fn append_again(
    shared: &Shared,
    conn: &mut Conn,
    epoch: Epoch,
    lost: &[(NewEvent, Origins)],
) -> Result<bool, ConnError> {
    let mut rest = lost;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take(BATCH_EVENTS).take_while(|(event, _)| {
            bytes += event.envelope.len();
            bytes <= BATCH_BYTES
        });
        let (batch, behind) = rest.split_at(fits.count().max(1));
        let events = batch.iter().map(|(event, origins)| {
            // Other nodes append the same events again.
            AppendArgs { event, origins, publish_id: "", fresh: false }
        });
        let script = append_script(shared, conn, epoch, events);
        let answer: Vec<String> =
            conn.ask("append lost events again", Ask::Script(&script), shared.response).await?;
        match parse_reply(shared, conn, epoch, &answer)? {
            Sent::Kept(_) => rest = behind,
            Sent::NewTerm | Sent::NewEpoch => return Ok(false),
        }
    }
    Ok(true)
}
