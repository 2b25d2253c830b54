//! One stream from its first byte to its last: asks its feed for the next step, writes it, waits. Owns the socket,
//! the feed and the stream's entries in the lists, so that all of them end together. Read [`Stream::run`] first.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use tokio::time::Instant;

use super::admission::Admitted;
use super::close::{CloseCode, close_frame};
use super::connections::{AckMode, Connection, Registered};
use super::feed::{Accepted, Feed, Step};
use super::keepalive::Keepalive;
use super::limits::TAIL_PAUSE;
use super::mailbox::{confirm_or_repeat, unconfirmed};
use super::stream_context::{HeartbeatForm, StreamContext};
use super::window::WindowFrame;
use super::writer::{SocketWriter, StreamEnd, WriteError};
use crate::broker::{Entry, Missing, Page, PageLimit, Synced};
use crate::protocol::api::{GapEvent, SyncEvent};
use crate::protocol::event::control;
use crate::protocol::{Address, Cursor, Frame};

/// Mailbox messages encoded into one write.
const BACKLOG_BATCH: usize = 64;
/// The reason in the `CLOSE` of a stream that waited too long for the log.
const LOG_TIMEOUT: &str = "the log did not answer in time";

/// A stream that is ready to be written to its socket.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Headers of the response.
    pub(crate) headers: HeaderMap,
    /// The first part of the body: `retry:`, `CONNECTION`, `SYNC` and `GAP`.
    pub(crate) opening: Bytes,
    /// What follows the opening.
    pub(crate) body: StreamBody,
}

/// Unconfirmed mailbox messages from before the stream's start position. They are written first, without an `id:`.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// The messages, in log order.
    pub(crate) entries: Vec<Entry>,
    /// The frame after them, with the position that the stream starts from. If it came first, a client that dies in
    /// between would confirm messages that it never got.
    pub(crate) then: Bytes,
}

/// The part of a stream after its opening.
#[derive(Debug)]
pub(crate) enum StreamBody {
    /// Nothing: the client was refused.
    End,
    /// The events of the log.
    Follow(Box<Following>),
}

/// A stream that follows the log.
#[derive(Debug)]
pub(crate) struct Following {
    pub(crate) backlog: Backlog,
    pub(crate) feed: Feed,
    /// The stream's entry in the list of connections.
    pub(crate) registered: Registered,
    /// The stream's permission; frees its place when dropped.
    pub(crate) admitted: Admitted,
    pub(crate) context: Arc<StreamContext>,
    pub(crate) heartbeat: HeartbeatForm,
    /// When mailbox messages count as confirmed.
    pub(crate) ack: AckMode,
}

/// Why a stream ended, and whether the client still gets a `CLOSE`.
enum StreamClose {
    /// The socket takes no more bytes, so no `CLOSE` is sent.
    Silent(CloseCode),
    /// The client gets a `CLOSE` with this reason.
    Announced(CloseCode, Arc<str>),
}

/// The last `id:` of a write, which is the position that the client knows now; `None` if the write had none.
type WriteResult = Result<Option<Cursor>, StreamClose>;

impl From<WriteError> for StreamClose {
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
        // A stream may last for days, so its headers and opening are freed now.
        drop((headers, opening));
        match (body, opened) {
            (StreamBody::End, Ok(_)) => writer.end(end).await,
            (StreamBody::End, Err(error)) => {
                tracing::debug!(%error, "a refused client disconnected before it got its CLOSE");
            }
            (StreamBody::Follow(following), Ok(bytes)) => {
                following.count_bytes(bytes);
                following.run(writer, end).await;
            }
            (StreamBody::Follow(following), Err(error)) => {
                let StreamClose::Silent(code) = error.into() else { return };
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
            StreamClose::Silent(code) => code,
            StreamClose::Announced(code, reason) => {
                let retry = self.context.timing.retry.jittered(&mut rand::rng());
                let frame = close_frame(code, &reason, retry);
                if let Err(error) = writer.body(&frame).await {
                    tracing::debug!(%error, "a client disconnected before it got its CLOSE");
                }
                writer.end(end).await;
                code
            }
        };
        self.context.metrics.count_closed(code);
        tracing::debug!(connection = %self.connection().identity.id, reason = code.label(), "stream ended");
        drop(self.admitted);
    }

    async fn follow(&mut self, writer: &SocketWriter) -> StreamClose {
        if let Err(close) = self.write_backlog(writer).await {
            return close;
        }
        let timing = self.context.timing;
        let mut keepalive = Keepalive::new(Instant::now(), self.feed.cursor(), timing);
        loop {
            if let Some(order) = self.connection().close_order()
                && order.at <= Instant::now()
            {
                return StreamClose::Announced(order.code, order.reason);
            }
            let wrote = match self.feed.step() {
                Step::Frames(frames) => self.write_frames(writer, &frames).await,
                Step::Gap(missing) => self.write_gap(writer, missing).await,
                Step::Sync(sync) => self.write_sync(writer, &sync).await,
                Step::ReadLog { after, limit } => self.replay(writer, after, limit).await,
                Step::TooSlow => return StreamClose::Announced(CloseCode::Slow, "too far behind".into()),
                Step::Idle => {
                    self.record_position();
                    match self.wait(writer, &mut keepalive).await {
                        Some(close) => return close,
                        None => continue,
                    }
                }
            };
            match wrote {
                Ok(told) => keepalive.wrote(Instant::now(), told),
                Err(close) => return close,
            }
            self.record_position();
            // A replay may read the log, or wait for permits, for minutes without an event for this client.
            if let Err(error) = self.write_due(writer, &mut keepalive).await {
                return error.into();
            }
            // A feed with a long backlog never waits, so it yields to the other streams of this worker.
            tokio::task::consume_budget().await;
        }
    }

    /// Writes the heartbeat and `CURSOR` that are due.
    async fn write_due(&self, writer: &SocketWriter, keepalive: &mut Keepalive) -> Result<(), WriteError> {
        match keepalive.due(Instant::now(), self.feed.cursor(), self.heartbeat) {
            Some(bytes) => self.write(writer, &bytes).await,
            None => Ok(()),
        }
    }

    /// Writes bytes other than frames of the window, and counts them.
    async fn write(&self, writer: &SocketWriter, bytes: &[u8]) -> Result<(), WriteError> {
        let count = writer.body(bytes).await?;
        self.count_bytes(count);
        Ok(())
    }

    /// Writes the frames that are due, then waits until the feed should be asked again.
    async fn wait(&mut self, writer: &SocketWriter, keepalive: &mut Keepalive) -> Option<StreamClose> {
        if let Err(error) = self.write_due(writer, keepalive).await {
            return Some(error.into());
        }
        let connection = Arc::clone(self.connection());
        let close_at = connection.close_order().map(|order| order.at);
        let wake_at = close_at.map_or(keepalive.next(), |at| at.min(keepalive.next()));
        tokio::select! {
            biased;
            () = connection.wake().woken() => None,
            () = writer.gone() => Some(StreamClose::Silent(CloseCode::ClientGone)),
            () = tokio::time::sleep_until(wake_at) => None,
        }
    }

    async fn write_backlog(&mut self, writer: &SocketWriter) -> Result<(), StreamClose> {
        let backlog = std::mem::take(&mut self.backlog);
        self.write_mail(writer, &backlog.entries).await?;
        if !backlog.then.is_empty() {
            self.write(writer, &backlog.then).await?;
        }
        Ok(())
    }

    /// Writes mailbox messages in log order, without an `id:`: a later frame carries their position.
    async fn write_mail(&self, writer: &SocketWriter, messages: &[Entry]) -> Result<(), StreamClose> {
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

    /// Writes frames of the window, and returns the position of the last one.
    async fn write_frames(&self, writer: &SocketWriter, frames: &[Arc<WindowFrame>]) -> WriteResult {
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

    /// With `ack=written`, confirms written messages: each mailbox of this stream up to the newest position that was
    /// written for its owner.
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

    async fn write_gap(&self, writer: &SocketWriter, missing: Missing) -> WriteResult {
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

    /// Without an `id:`: a client that reconnects now sends its cursor of the lost history, which says what it has
    /// had. With a cursor of the new history it would get those events again.
    async fn write_sync(&self, writer: &SocketWriter, sync: &Synced) -> WriteResult {
        self.context.metrics.syncs.fetch_add(1, Ordering::Relaxed);
        self.write(writer, &sync_frame(sync)).await?;
        Ok(None)
    }

    /// Writes the mailbox messages that the log has trimmed. They go before the `GAP`, whose `id:` would otherwise
    /// confirm them undelivered.
    async fn write_mail_before(
        &self,
        writer: &SocketWriter,
        resumed_after: Cursor,
    ) -> Result<(), StreamClose> {
        let known = self.connection().cursor();
        let read = unconfirmed(&self.context, &self.connection().identity, resumed_after);
        let (mut messages, _overflowed) = match tokio::time::timeout(self.context.timing.log_read, read).await
        {
            Ok(Ok(mail)) => mail,
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot read the mailboxes of a client that gets a GAP event");
                return Err(log_unavailable("the log cannot be read"));
            }
            Err(_) => return Err(log_unavailable(LOG_TIMEOUT)),
        };
        // By position alone: a mailbox holds positions of the present history, and the stream may still be in an
        // older one.
        messages.retain(|message| message.cursor.position > known.position);
        self.write_mail(writer, &messages).await
    }

    async fn replay(&mut self, writer: &SocketWriter, after: Cursor, limit: PageLimit) -> WriteResult {
        self.connection().replaying.store(true, Ordering::Relaxed);
        let read = read_page(&self.context, after, limit);
        let page = match tokio::time::timeout(self.context.timing.log_read, read).await {
            Ok(page) => page.map_err(|reason| log_unavailable(&reason))?,
            Err(_) => return Err(log_unavailable(LOG_TIMEOUT)),
        };
        let Accepted { sync, gap, frames } = self.feed.accept(&page, Instant::now());
        if let Some(sync) = sync {
            self.write_sync(writer, &sync).await?;
        }
        let after_gap = match gap {
            Some(missing) => self.write_gap(writer, missing).await?,
            None => None,
        };
        let after_frames = self.write_frames(writer, &frames).await?;
        self.connection().replaying.store(self.feed.is_replaying(), Ordering::Relaxed);
        if page.entries.is_empty() && self.feed.is_replaying() {
            // At the end of a history, where the tail has not arrived yet.
            tokio::time::sleep(TAIL_PAUSE).await;
        }
        Ok(after_frames.or(after_gap))
    }

    fn record_position(&self) {
        let connection = self.connection();
        connection.set_cursor(self.feed.cursor());
        connection.lag.store(self.feed.lag(), Ordering::Relaxed);
    }
}

fn log_unavailable(reason: &str) -> StreamClose {
    StreamClose::Announced(CloseCode::LogUnavailable, reason.into())
}

/// Reads a page of the log under a permit, so that many reconnects at once do not overload the log.
async fn read_page(context: &StreamContext, after: Cursor, limit: PageLimit) -> Result<Page, String> {
    let _permit = context.replay_permits.acquire().await.map_err(|closed| closed.to_string())?;
    context.metrics.replay_pages.fetch_add(1, Ordering::Relaxed);
    context.broker.read_after(after, limit).await.map_err(|error| {
        tracing::warn!(%error, "a replay cannot read the log");
        "the log cannot be read".to_owned()
    })
}

/// A `GAP` event. `id` is the position that it moves the client to; `None` leaves the client where it is.
pub(crate) fn gap_frame(event: &GapEvent, id: Option<Cursor>) -> Bytes {
    let data = serde_json::to_string(event).expect("a struct of text and numbers always becomes JSON");
    Frame { retry: None, id, event: control::GAP, data: &data }.encode()
}

/// A `SYNC` event, without an `id:`.
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
