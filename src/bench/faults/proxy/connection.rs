//! One connection through a proxy: two pipelines, two sockets, one task. Its only queue is the chunk that is being written;
//! everything else waits in a [`Pipeline`], which is bounded. Decides nothing: read [`super::pipeline`] first.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::http::{Findings, Http};
use super::pipeline::{Pipeline, Step};
use super::toxic_stage::{Chunk, Outcome};
use crate::bench::scenario::{Direction, Toxic};
use crate::runtime::sleep_until_opt;

/// Bytes read at once. The buffer is on the stack only while bytes are read, so an idle connection has none.
const READ_MAX: usize = 8 * 1024;

/// The toxics of a proxy, as its connections see them.
pub(super) type Toxics = watch::Receiver<Arc<[Toxic]>>;

/// Bytes that went through one direction of a proxy, over all its connections.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
}

// Relaxed: the numbers are only displayed.
impl Traffic {
    /// Read from one side, and written to the other.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.received.load(Ordering::Relaxed), self.sent.load(Ordering::Relaxed))
    }

    fn note_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn note_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// The pipelines of both directions, and what stands before them.
#[derive(Debug)]
pub(super) struct Lanes {
    http: Http,
    up: Pipeline,
    down: Pipeline,
    toxics: Toxics,
    born: Instant,
}

impl Lanes {
    /// For a connection that is accepted now. `seed` is its own.
    pub(super) fn new(seed: u64, mut toxics: Toxics, findings: &Arc<Findings>) -> Self {
        let now = Arc::clone(&toxics.borrow_and_update());
        let http = Http::new(seed, &now, findings);
        let up = Pipeline::new(Direction::Upstream, seed, &now);
        let down = Pipeline::new(Direction::Downstream, seed, &now);
        Self { http, up, down, toxics, born: Instant::now() }
    }

    /// Waits until the upstream may be dialled: a toxic that stops the client's bytes also stops the connect.
    pub(super) async fn passable(&mut self) {
        while self.up.is_dead() {
            self.changed().await;
        }
    }

    async fn changed(&mut self) {
        // The proxy that holds the sender ends its connections before it goes.
        if self.toxics.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.apply();
    }

    fn apply(&mut self) {
        let toxics = Arc::clone(&self.toxics.borrow_and_update());
        let now = self.born.elapsed();
        self.http.set_toxics(now, &toxics);
        self.up.set_toxics(now, &toxics);
        self.down.set_toxics(now, &toxics);
    }
}

/// Two streams and the pipelines between them.
#[derive(Debug)]
pub(super) struct Link<S> {
    http: Http,
    /// From the client to the upstream.
    up: Half<S>,
    /// From the upstream to the client.
    down: Half<S>,
    toxics: Toxics,
    born: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(super) fn new(pipelines: Lanes, client: S, server: S, traffic: [Arc<Traffic>; 2]) -> Self {
        let (from_client, to_client) = tokio::io::split(client);
        let (from_server, to_server) = tokio::io::split(server);
        let [up, down] = traffic;
        Self {
            http: pipelines.http,
            up: Half::new(pipelines.up, from_client, to_server, up),
            down: Half::new(pipelines.down, from_server, to_client, down),
            toxics: pipelines.toxics,
            born: pipelines.born,
        }
    }

    /// Carries bytes until both sides have ended, a toxic ends the connection, or `stop` is cancelled. Returns the
    /// streams, the client's first, for the caller to close or reset.
    pub(super) async fn carry(mut self, stop: &CancellationToken) -> (Outcome, S, S) {
        let outcome = loop {
            self.pump();
            if self.up.is_done && self.down.is_done {
                break Outcome::Closed;
            }
            let reads_up = self.up.wants_input() && self.http.wants_input(Direction::Upstream);
            let reads_down = self.down.wants_input() && self.http.wants_input(Direction::Downstream);
            // What a full pipeline does not take leaves when it has room.
            let wake = self.http.wake_at().filter(|_| self.down.pipeline.wants_input());
            let wake = wake.map(|at| self.born + at);
            let turn = tokio::select! {
                biased;
                () = stop.cancelled() => break Outcome::Closed,
                Ok(()) = self.toxics.changed() => {
                    let toxics = Arc::clone(&self.toxics.borrow_and_update());
                    let now = self.born.elapsed();
                    self.http.set_toxics(now, &toxics);
                    self.up.pipeline.set_toxics(now, &toxics);
                    self.down.pipeline.set_toxics(now, &toxics);
                    continue;
                }
                () = sleep_until_opt(wake), if wake.is_some() => continue,
                turn = self.up.turn(self.born, reads_up) => (turn, Direction::Upstream),
                turn = self.down.turn(self.born, reads_down) => (turn, Direction::Downstream),
            };
            match turn {
                (Turn::Goes, _) => {}
                (Turn::Read(chunk), direction) => self.http.take_in(direction, self.born.elapsed(), chunk),
                (Turn::Ends(outcome), _) => break outcome,
                // A side that no longer takes bytes is treated as one that sends none.
                (Turn::NobodyListens, Direction::Upstream) => self.down.pipeline.push(Chunk::Broken),
                (Turn::NobodyListens, Direction::Downstream) => self.up.pipeline.push(Chunk::Broken),
            }
        };
        let client = self.up.reader.unsplit(self.down.writer);
        let server = self.down.reader.unsplit(self.up.writer);
        (outcome, client, server)
    }
}

impl<S> Link<S> {
    /// Hands the pipelines what may leave now.
    fn pump(&mut self) {
        let now = self.born.elapsed();
        self.http.wake(now);
        for (half, direction) in
            [(&mut self.up, Direction::Upstream), (&mut self.down, Direction::Downstream)]
        {
            while half.pipeline.wants_input()
                && let Some(chunk) = self.http.next(direction, now)
            {
                half.pipeline.push(chunk);
            }
        }
    }
}

/// One direction: a pipeline between a reader and a writer.
#[derive(Debug)]
struct Half<S> {
    pipeline: Pipeline,
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    /// The chunk that is being written.
    pending: Bytes,
    /// Whether the reader's peer has said its last.
    is_read: bool,
    /// Whether the end was passed on, or the writer's peer is gone.
    is_done: bool,
    traffic: Arc<Traffic>,
}

/// The result of one turn.
enum Turn {
    Goes,
    Read(Chunk),
    Ends(Outcome),
    /// The writer's peer is gone.
    NobodyListens,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Half<S> {
    fn new(pipeline: Pipeline, reader: ReadHalf<S>, writer: WriteHalf<S>, traffic: Arc<Traffic>) -> Self {
        Self { pipeline, reader, writer, pending: Bytes::new(), is_read: false, is_done: false, traffic }
    }

    fn wants_input(&self) -> bool {
        !self.is_read && self.pipeline.wants_input()
    }

    /// Reads once, writes once, or waits. Cancel-safe.
    async fn turn(&mut self, born: Instant, may_read: bool) -> Turn {
        let now = born.elapsed();
        let finish_at = self.pipeline.finish_at();
        let mut until = finish_at;
        // A connection that a toxic ends, ends even if a chunk is still being written.
        if self.pending.is_empty() || finish_at.is_some_and(|at| at <= now) {
            match self.pipeline.step(now) {
                Step::Write(bytes) => self.pending = bytes,
                Step::End => return self.end().await,
                Step::Finish(outcome) => return Turn::Ends(outcome),
                Step::Wait(time) => until = time,
            }
        }
        if self.is_done {
            self.pending.clear();
        }
        let may_write = !self.pending.is_empty() && !self.pipeline.is_stalled();
        let wake = until.map(|time| born + time);
        tokio::select! {
            read = read(&mut self.reader), if may_read => Turn::Read(self.chunk_of(read)),
            written = self.writer.write(&self.pending), if may_write => self.note_written(written.ok()),
            () = sleep_until_opt(wake), if wake.is_some() => Turn::Goes,
            () = std::future::pending::<()>() => Turn::Goes,
        }
    }

    fn chunk_of(&mut self, read: std::io::Result<Bytes>) -> Chunk {
        let chunk = match read {
            Ok(bytes) if bytes.is_empty() => Chunk::End,
            Ok(bytes) => {
                self.traffic.note_received(bytes.len());
                return Chunk::Data(bytes);
            }
            Err(_) => Chunk::Broken,
        };
        // The end may leave later, and is read once.
        self.is_read = true;
        chunk
    }

    fn note_written(&mut self, written: Option<usize>) -> Turn {
        if let Some(bytes) = written {
            self.pending.advance(bytes);
            self.traffic.note_sent(bytes);
            return Turn::Goes;
        }
        self.pending.clear();
        self.is_done = true;
        Turn::NobodyListens
    }

    async fn end(&mut self) -> Turn {
        self.is_done = true;
        // A peer that is gone needs no end.
        let _gone = self.writer.shutdown().await;
        Turn::Goes
    }
}

/// Reads what has arrived; empty at the end of the stream.
async fn read(reader: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Bytes> {
    poll_fn(|context| {
        let mut space = [0; READ_MAX];
        let mut buffer = ReadBuf::new(&mut space);
        match Pin::new(&mut *reader).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled()))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
