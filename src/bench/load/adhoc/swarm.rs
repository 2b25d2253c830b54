//! Many clients on one URL: started, watched until it is over, and added up. Read [`AdhocSwarm`] first.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::{Left, Listener};
use super::shared::{AdhocContext, AdhocOptions};
use super::tally::Owed;
use crate::bench::ids::SubscriberId;
use crate::bench::load::clients::{Commands, SampleBuffer, SharedRecorder};
use crate::bench::load::progress::{Progress, Snapshot};
use crate::bench::metrics::clock::RunClock;
use crate::bench::metrics::recorder::Recorder;

/// Recorders that clients hand their tapes in to.
const RECORDERS: usize = 8;
/// First connects under way at once: the swarm must not overflow the listener's backlog before it has begun.
const CONNECTS_AT_ONCE: usize = 256;
/// How often it looks whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Once publishers have ended, what did not come within this silence does not come.
const SILENCE: Duration = Duration::from_secs(3);
/// Clients only have to drop their sockets.
const GRACE: Duration = Duration::from_secs(20);

/// Clients at work.
#[derive(Debug)]
pub struct AdhocSwarm {
    square: Arc<AdhocContext>,
    commands: Commands,
    clients: JoinSet<Left>,
    recorders: Vec<SharedRecorder>,
}

/// What a crowd found.
#[derive(Debug)]
pub struct AdhocResult {
    /// Clients that were connected at least once.
    pub connected: u32,
    /// Clients that were connected when it was over.
    pub connected_at_end: u64,
    /// Why one of the others was not.
    pub connect_failure: Option<String>,
    /// Events, control events aside.
    pub events: u64,
    /// Whether any event had an id, so that a client could say what it had last.
    pub has_ids: bool,
    /// What was owed by publishers whose end is known, over all clients.
    pub owed: Owed,
    /// Clients that lack something.
    pub incomplete: u32,
    /// Publishers whose end is known.
    pub ends: u32,
    /// Connects that failed.
    pub connect_errors: u64,
    /// Streams opened after the first one of a client.
    pub reconnects: u64,
    /// All measurements.
    pub recorder: Recorder,
    /// Clients that did not end in time and were not counted.
    pub not_stopped: usize,
}

impl AdhocSwarm {
    /// Starts all clients.
    #[must_use]
    pub fn start(options: AdhocOptions, http: reqwest::Client) -> Self {
        let recorders: Vec<SharedRecorder> = (0..RECORDERS).map(|_| SharedRecorder::default()).collect();
        let square = Arc::new(AdhocContext {
            http,
            clock: RunClock::since_boot(),
            progress: Progress::default(),
            gate: Semaphore::new(CONNECTS_AT_ONCE),
            arrived: AtomicU32::new(0),
            departed: AtomicU32::new(0),
            complete: AtomicU32::new(0),
            events: AtomicU64::new(0),
            has_ids: AtomicBool::default(),
            marks: Mutex::default(),
            options,
        });
        let commands = Commands::default();
        let mut clients = JoinSet::new();
        for (number, recorder) in (0..square.options.clients).zip(recorders.iter().cycle()) {
            let receiver = commands.receiver(SubscriberId(number));
            let listener = Listener::new(
                Arc::clone(&square),
                number,
                SampleBuffer::new(Arc::clone(recorder), RunClock::default()),
                receiver,
            );
            clients.spawn(listener.run());
        }
        Self { square, commands, clients, recorders }
    }

    /// The counters now.
    #[must_use]
    pub fn progress(&self) -> Snapshot {
        self.square.progress.snapshot()
    }

    /// Waits until every client was connected once, at most this long. Says how many were.
    pub async fn connected(&self, patience: Duration) -> u32 {
        let deadline = Instant::now() + patience;
        loop {
            let arrived = self.square.arrived.load(Ordering::Relaxed);
            let all_came = arrived >= self.square.options.clients;
            if all_came || self.square.all_departed() || Instant::now() >= deadline {
                return arrived;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until every client has everything, or is gone, or publishers have ended and nothing comes any more.
    pub async fn settled(&self) {
        let mut last = (0, Instant::now());
        loop {
            if self.square.all_complete() || self.square.all_departed() {
                return;
            }
            let events = self.square.events.load(Ordering::Relaxed);
            if events != last.0 {
                last = (events, Instant::now());
            }
            if self.square.has_ends() && last.1.elapsed() >= SILENCE {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Ends all clients and adds up what they saw.
    pub async fn end(mut self) -> AdhocResult {
        let connected_at_end = self.square.progress.snapshot().connected;
        self.commands.end();
        let marks = self.square.marks();
        let deadline = Instant::now() + GRACE;
        let (mut owed, mut incomplete, mut connect_failure) = (Owed::default(), 0, None);
        while let Ok(Some(joined)) = tokio::time::timeout_at(deadline, self.clients.join_next()).await {
            let left = match joined {
                Ok(left) => left,
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            };
            let own = left.tally.owed(&marks);
            incomplete += u32::from(!own.is_met());
            owed.add(&own);
            connect_failure = connect_failure.or(left.never_connected);
        }
        let not_stopped = self.clients.len();
        self.clients.shutdown().await;
        let mut recorder = Recorder::default();
        for shared in &self.recorders {
            recorder.merge(std::mem::take(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner)));
        }
        let counted = self.square.progress.snapshot();
        AdhocResult {
            connected: self.square.arrived.load(Ordering::Relaxed),
            connected_at_end,
            connect_failure,
            events: self.square.events.load(Ordering::Relaxed),
            has_ids: self.square.has_ids.load(Ordering::Relaxed),
            owed,
            incomplete,
            ends: u32::try_from(marks.len()).unwrap_or(u32::MAX),
            connect_errors: counted.connect_errors,
            reconnects: counted.reconnects,
            recorder,
            not_stopped,
        }
    }
}
