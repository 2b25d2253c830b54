//! One stream from its first byte to its last: asks its feed what comes next, writes it, waits. Owns the socket, the
//! feed and the stream's places in the lists, so all of them end together. Read [`Stream::run`] first.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::admission::Admitted;
use super::close::{CloseCode, RetryPolicy, close_frame};
use super::connections::{AckMode, Connection, Registered};
use super::feed::{Accepted, Feed, Step};
use super::limits::TAIL_PAUSE;
use super::mailbox::{confirm_or_repeat, unconfirmed};
use super::metrics::Metrics;
use super::quiet::Quiet;
use super::window::{Window, WindowFrame};
use super::writer::{SocketWriter, StreamEnd, WriteError};
use crate::broker::{Broker, Entry, Missing, Page, PageLimit, Synced};
use crate::protocol::api::{GapEvent, SyncEvent};
use crate::protocol::event::control;
use crate::protocol::{Address, Cursor, Frame};
use crate::runtime::mutant::{self, Mutant};

/// Mailbox messages encoded into one write.
const BACKLOG_BATCH: usize = 64;
/// What a client is told when the log let a deadline pass.
const LOG_SILENT: &str = "the log did not answer in time";

/// What all streams of a node share.
#[derive(Debug)]
pub(crate) struct StreamContext {
    /// The log, for replays.
    pub(crate) broker: Broker,
    /// Its newest part.
    pub(crate) window: Window,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
    /// Streams that may read the log at the same time.
    pub(crate) replay_permits: Semaphore,
    /// Waits and intervals.
    pub(crate) timing: StreamTiming,
}

/// Waits and intervals of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamTiming {
    /// A quiet stream gets a comment this often.
    pub(crate) heartbeat: Duration,
    /// A quiet stream gets a `CURSOR` this often, if the log moved on.
    pub(crate) cursor: Duration,
    /// A read of the log may take this long, the wait for a permit included.
    pub(crate) log_read: Duration,
    /// What clients are told of coming back.
    pub(crate) retry: RetryPolicy,
}

/// How heartbeats look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum HeartbeatForm {
    /// A comment line.
    #[default]
    Comment,
    /// An event.
    Event,
}

/// A stream that is ready to be written.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Headers of the response.
    pub(crate) headers: HeaderMap,
    /// What comes before everything else: `retry:`, `CONNECTION`, gaps, mailbox.
    pub(crate) opening: Bytes,
    /// What happens after that.
    pub(crate) body: Body,
}

/// Unconfirmed messages of mailboxes that the log will not bring again: they go first, without an `id:`.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// The messages, in log order.
    pub(crate) entries: Vec<Entry>,
    /// What is written behind them: it carries the position that the stream starts from. Were it in front, a client
    /// that dies in between would confirm with its cursor what it never got.
    pub(crate) then: Bytes,
}

/// What a stream does after its opening.
#[derive(Debug)]
pub(crate) enum Body {
    /// It ends: the client was refused.
    End,
    /// It follows the log.
    Follow(Box<Following>),
}

/// A stream that follows the log.
#[derive(Debug)]
pub(crate) struct Following {
    /// What comes first.
    pub(crate) backlog: Backlog,
    /// What comes next.
    pub(crate) feed: Feed,
    /// Its place in the list of connections.
    pub(crate) registered: Registered,
    /// Its place among the admitted.
    pub(crate) admitted: Admitted,
    /// What it shares with the others.
    pub(crate) context: Arc<StreamContext>,
    /// How heartbeats look.
    pub(crate) heartbeat: HeartbeatForm,
    /// When mailbox messages count as confirmed.
    pub(crate) ack: AckMode,
}

/// Why a stream ended by itself, and what the client is still told.
enum Ending {
    /// Nothing more can be written.
    Silent(CloseCode),
    /// The client is told.
    Told(CloseCode, Arc<str>),
}

/// What a write came to: the position that the client knows now, if it was told one.
type Wrote = Result<Option<Cursor>, Ending>;

impl From<WriteError> for Ending {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stalled(_) => Self::Silent(CloseCode::Stalled),
            WriteError::Gone(_) => Self::Silent(CloseCode::ClientGone),
        }
    }
}

impl Stream {
    /// Writes the stream until it ends.
    pub(crate) async fn run(self, writer: SocketWriter, end: StreamEnd) {
        let Self { headers, opening, body } = self;
        let opened = async {
            writer.head(http::StatusCode::OK, &headers).await?;
            writer.body(&opening).await
        };
        let opened = opened.await;
        // A stream may last for days; what only its beginning needed must not last with it.
        drop((headers, opening));
        match (body, opened) {
            (Body::End, Ok(_)) => writer.end(end).await,
            (Body::End, Err(error)) => {
                tracing::debug!(%error, "a refused client left before it was told why");
            }
            (Body::Follow(following), Ok(bytes)) => {
                following.count_bytes(bytes);
                following.run(writer, end).await;
            }
            (Body::Follow(following), Err(error)) => {
                let Ending::Silent(code) = error.into() else { return };
                following.context.metrics.count_closed(code);
            }
        }
    }
}

impl Following {
    fn connection(&self) -> &Arc<Connection> {
        self.registered.connection()
    }

    async fn run(mut self: Box<Self>, writer: SocketWriter, end: StreamEnd) {
        let code = match self.follow(&writer).await {
            Ending::Silent(code) => code,
            Ending::Told(code, reason) => {
                let retry = self.context.timing.retry.jittered(&mut rand::rng());
                let mut frame = close_frame(code, &reason, retry);
                if mutant::is_on(Mutant::DrainCuts) && code == CloseCode::Shutdown {
                    frame.truncate(frame.len() / 2);
                }
                if let Err(error) = writer.body(&frame).await {
                    tracing::debug!(%error, "a client left before it was told why its stream ends");
                }
                writer.end(end).await;
                code
            }
        };
        self.context.metrics.count_closed(code);
        tracing::debug!(connection = %self.connection().identity.id, reason = code.label(), "stream ended");
        drop(self.admitted);
    }

    async fn follow(&mut self, writer: &SocketWriter) -> Ending {
        if let Err(ending) = self.write_backlog(writer).await {
            return ending;
        }
        let timing = self.context.timing;
        let mut quiet = Quiet::new(Instant::now(), self.feed.cursor(), timing);
        loop {
            if let Some(order) = self.connection().close_order()
                && order.at <= Instant::now()
            {
                return Ending::Told(order.code, order.reason);
            }
            let wrote = match self.feed.step() {
                Step::Frames(mut frames) if mutant::is_on(Mutant::BatchReversed) => {
                    frames.reverse();
                    self.write_frames(writer, &frames).await
                }
                Step::Frames(frames) => self.write_frames(writer, &frames).await,
                Step::Gap(missing) => self.write_gap(writer, missing).await,
                Step::Sync(sync) => self.write_sync(writer, &sync).await,
                Step::ReadLog { after, limit } => self.replay(writer, after, limit).await,
                Step::TooSlow => return Ending::Told(CloseCode::Slow, "too far behind".into()),
                Step::Idle => {
                    self.note_place();
                    match self.rest(writer, &mut quiet).await {
                        Some(ending) => return ending,
                        None => continue,
                    }
                }
            };
            match wrote {
                Ok(told) => quiet.wrote(Instant::now(), told),
                Err(ending) => return ending,
            }
            self.note_place();
            // A replay may read for minutes, or wait for its permits, without an event for this client.
            if let Err(error) = self.write_due(writer, &mut quiet).await {
                return error.into();
            }
            // A feed with a long backlog never waits; the other streams of this worker want their turn.
            tokio::task::consume_budget().await;
        }
    }

    /// Sends what a stream needs that was sent nothing for a while.
    async fn write_due(&self, writer: &SocketWriter, quiet: &mut Quiet) -> Result<(), WriteError> {
        match quiet.due(Instant::now(), self.feed.cursor(), self.heartbeat) {
            Some(bytes) => self.write(writer, &bytes).await,
            None => Ok(()),
        }
    }

    /// Writes bytes that are no frames of the window, and counts them.
    async fn write(&self, writer: &SocketWriter, bytes: &[u8]) -> Result<(), WriteError> {
        let count = writer.body(bytes).await?;
        self.count_bytes(count);
        Ok(())
    }

    /// Sends what is due, then waits for a reason to ask the feed again.
    async fn rest(&mut self, writer: &SocketWriter, quiet: &mut Quiet) -> Option<Ending> {
        if let Err(error) = self.write_due(writer, quiet).await {
            return Some(error.into());
        }
        let connection = Arc::clone(self.connection());
        let close_at = connection.close_order().map(|order| order.at);
        let wake_at = close_at.map_or(quiet.next(), |at| at.min(quiet.next()));
        tokio::select! {
            biased;
            () = connection.wake().woken() => None,
            () = writer.gone() => Some(Ending::Silent(CloseCode::ClientGone)),
            () = tokio::time::sleep_until(wake_at) => None,
        }
    }

    async fn write_backlog(&mut self, writer: &SocketWriter) -> Result<(), Ending> {
        let backlog = std::mem::take(&mut self.backlog);
        self.write_mail(writer, &backlog.entries).await?;
        if mutant::is_on(Mutant::MailTwice) {
            self.write_mail(writer, &backlog.entries).await?;
        }
        if !backlog.then.is_empty() {
            self.write(writer, &backlog.then).await?;
        }
        Ok(())
    }

    /// Messages of mailboxes, in log order and without an `id:`: their position comes behind them.
    async fn write_mail(&self, writer: &SocketWriter, messages: &[Entry]) -> Result<(), Ending> {
        for messages in messages.chunks(BACKLOG_BATCH) {
            let mut out = BytesMut::new();
            for message in messages {
                let (event, data) = (message.event_type.as_str(), &message.envelope);
                Frame { retry: None, id: None, event, data }.encode_into(&mut out);
            }
            self.write(writer, &out).await?;
            let count = messages.len() as u64;
            self.connection().sent.fetch_add(count, Ordering::Relaxed);
            self.context.metrics.sent.fetch_add(count, Ordering::Relaxed);
            self.context.metrics.mailbox_resent.fetch_add(count, Ordering::Relaxed);
        }
        self.confirm_written(|owner| {
            let newest = messages.iter().rev().find(|message| message.address == *owner)?;
            Some(newest.cursor)
        })
        .await;
        Ok(())
    }

    /// Returns the position that the client has been told thereby.
    async fn write_frames(&self, writer: &SocketWriter, frames: &[Arc<WindowFrame>]) -> Wrote {
        let Some(last) = frames.last() else { return Ok(None) };
        let connection = self.connection();
        connection.blocked.store(true, Ordering::Relaxed);
        let written = writer.frames(frames).await;
        connection.blocked.store(false, Ordering::Relaxed);
        let bytes = written?;
        self.count_frames(frames, bytes);
        self.confirm_written(|owner| {
            let newest = frames.iter().rev().find(|frame| frame.address == *owner)?;
            Some(newest.cursor)
        })
        .await;
        Ok(Some(last.cursor))
    }

    fn count_frames(&self, frames: &[Arc<WindowFrame>], bytes: usize) {
        let connection = self.connection();
        let metrics = &self.context.metrics;
        let count = frames.len() as u64;
        connection.sent.fetch_add(count, Ordering::Relaxed);
        metrics.sent.fetch_add(count, Ordering::Relaxed);
        self.count_bytes(bytes);
        for frame in frames {
            frame.written.fetch_add(1, Ordering::Relaxed);
        }
        if !connection.replaying.load(Ordering::Relaxed) {
            let now = Instant::now();
            let latencies = frames.iter().map(|frame| {
                let since_tail = now.saturating_duration_since(frame.tailed_at).as_micros();
                frame.age_at_tail_us.saturating_add(u64::try_from(since_tail).unwrap_or(u64::MAX))
            });
            // The low bits of the address differ from connection to connection and cost nothing.
            metrics.record_latency(Arc::as_ptr(connection) as u64 >> 6, latencies);
        }
    }

    fn count_bytes(&self, bytes: usize) {
        self.connection().bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.context.metrics.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// With `ack=written`, what was written is confirmed: for each mailbox of this client, up to the newest position
    /// that was written for its owner.
    async fn confirm_written(&self, newest_for: impl Fn(&Address) -> Option<Cursor>) {
        if self.ack != AckMode::Written {
            return;
        }
        for owner in self.connection().identity.mailboxes() {
            if let Some(newest) = newest_for(&owner) {
                confirm_or_repeat(&self.context, &owner, newest).await;
            }
        }
    }

    async fn write_gap(&self, writer: &SocketWriter, missing: Missing) -> Wrote {
        self.write_mail_before(writer, missing.resumed_after).await?;
        let newest = Some(self.context.window.tip().to_event_id());
        let event = GapEvent {
            reason: missing.reason,
            requested: Some(self.connection().cursor().to_string()),
            oldest: Some(missing.resumed_after.to_event_id()),
            newest,
            missed: missing.missed,
        };
        self.context.metrics.count_gap(missing.reason);
        self.write(writer, &gap_frame(&event, Some(missing.resumed_after))).await?;
        Ok(Some(missing.resumed_after))
    }

    /// Without an `id:`: a client that leaves now comes back with the cursor of the lost history, which says what it
    /// has had; with one of the new history it would get that again.
    async fn write_sync(&self, writer: &SocketWriter, sync: &Synced) -> Wrote {
        self.context.metrics.syncs.fetch_add(1, Ordering::Relaxed);
        self.write(writer, &sync_frame(sync)).await?;
        Ok(None)
    }

    /// What the log trimmed under the reader, its mailboxes may still have: it goes in front of the `GAP`, whose id would
    /// confirm it unseen.
    async fn write_mail_before(&self, writer: &SocketWriter, resumed_after: Cursor) -> Result<(), Ending> {
        let known = self.connection().cursor();
        let question = unconfirmed(&self.context, &self.connection().identity, resumed_after);
        let (mut messages, _overflowed) =
            match tokio::time::timeout(self.context.timing.log_read, question).await {
                Ok(Ok(mail)) => mail,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "a stream with a gap cannot read its mailboxes");
                    return Err(log_unavailable("the log cannot be read"));
                }
                Err(_) => return Err(log_unavailable(LOG_SILENT)),
            };
        // By position alone: a mailbox speaks of the present history, a stream may be about to go over to it.
        messages.retain(|message| message.cursor.position > known.position);
        self.write_mail(writer, &messages).await
    }

    async fn replay(&mut self, writer: &SocketWriter, after: Cursor, limit: PageLimit) -> Wrote {
        self.connection().replaying.store(true, Ordering::Relaxed);
        let question = read_page(&self.context, after, limit);
        let page = match tokio::time::timeout(self.context.timing.log_read, question).await {
            Ok(page) => page.map_err(|reason| log_unavailable(&reason))?,
            Err(_) => return Err(log_unavailable(LOG_SILENT)),
        };
        let Accepted { sync, gap, frames } = self.feed.accept(&page, Instant::now());
        if let Some(sync) = sync {
            self.write_sync(writer, &sync).await?;
        }
        let told_gap = match gap {
            Some(missing) => self.write_gap(writer, missing).await?,
            None => None,
        };
        let told_frames = self.write_frames(writer, &frames).await?;
        self.connection().replaying.store(self.feed.is_replaying(), Ordering::Relaxed);
        if page.entries.is_empty() && self.feed.is_replaying() {
            // At the end of a history that the tail has yet to go over to.
            tokio::time::sleep(TAIL_PAUSE).await;
        }
        Ok(told_frames.or(told_gap))
    }

    fn note_place(&self) {
        let connection = self.connection();
        connection.set_cursor(self.feed.cursor());
        connection.lag.store(self.feed.lag(), Ordering::Relaxed);
    }
}

fn log_unavailable(reason: &str) -> Ending {
    Ending::Told(CloseCode::LogUnavailable, reason.into())
}

/// Reads a page of the log under a permit, so that a storm of reconnects is no storm on the log.
async fn read_page(context: &StreamContext, after: Cursor, limit: PageLimit) -> Result<Page, String> {
    let _permit = context.replay_permits.acquire().await.map_err(|closed| closed.to_string())?;
    context.metrics.replay_pages.fetch_add(1, Ordering::Relaxed);
    context.broker.read_after(after, limit).await.map_err(|error| {
        tracing::warn!(%error, "a replay cannot read the log");
        "the log cannot be read".to_owned()
    })
}

/// A `GAP` event. `id` is the position that it moves the client to.
pub(crate) fn gap_frame(event: &GapEvent, id: Option<Cursor>) -> Bytes {
    let data = serde_json::to_string(event).expect("a struct of text and numbers always becomes JSON");
    Frame { retry: None, id, event: control::GAP, data: &data }.encode()
}

/// A `SYNC` event.
pub(crate) fn sync_frame(sync: &Synced) -> Bytes {
    let event = SyncEvent {
        old_epoch: sync.from.epoch.to_string(),
        new_epoch: sync.to.epoch.to_string(),
        from: sync.from.to_event_id(),
        to: sync.to.to_event_id(),
        appended_again: sync.appended_again,
    };
    let data = serde_json::to_string(&event).expect("a struct of text and numbers always becomes JSON");
    Frame { retry: None, id: None, event: control::SYNC, data: &data }.encode()
}
