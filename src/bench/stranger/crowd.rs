//! Many clients on one URL: started, watched until it is over, and added up. Read [`Crowd`] first.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::listener::{Left, Listener};
use super::{EndMark, Owed};
use crate::bench::payload::RunId;
use crate::bench::plan::SubscriberId;
use crate::bench::progress::{Progress, Snapshot};
use crate::bench::recorder::Recorder;
use crate::bench::stopwatch::RunClock;
use crate::bench::swarm::{Orders, SharedRecorder, Tape};
use crate::client::Policy;

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

/// What a crowd does.
#[derive(Debug, Clone)]
pub struct CrowdOptions {
    /// URL of the stream; `{i}` stands for the client's number.
    pub url: String,
    /// How many clients.
    pub clients: u32,
    /// First connects are spread over this time.
    pub ramp: Duration,
    /// Sent with each connect.
    pub headers: HeaderMap,
    /// How clients come back.
    pub policy: Policy,
    /// So many publishers must end until the crowd may be complete; zero: it only listens.
    pub ends: u32,
}

/// What the clients of a crowd share.
#[derive(Debug)]
pub(super) struct Square {
    pub(super) options: CrowdOptions,
    pub(super) http: reqwest::Client,
    /// Counts from the machine's boot, as a publisher in another process does.
    pub(super) clock: RunClock,
    pub(super) progress: Progress,
    pub(super) gate: Semaphore,
    /// Clients that were connected at least once.
    pub(super) arrived: AtomicU32,
    /// Clients that came to an end before they were told to.
    pub(super) departed: AtomicU32,
    /// Clients that have everything.
    pub(super) complete: AtomicU32,
    /// Whether any event had an id.
    pub(super) has_ids: AtomicBool,
    /// Events of any kind that came, but control events.
    pub(super) events: AtomicU64,
    /// End marks by run: written once a run, so a lock does no harm.
    pub(super) marks: Mutex<HashMap<RunId, EndMark>>,
}

impl Square {
    pub(super) fn marks(&self) -> HashMap<RunId, EndMark> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_deserted(&self) -> bool {
        self.departed.load(Ordering::Relaxed) >= self.options.clients
    }

    fn all_complete(&self) -> bool {
        self.options.ends > 0 && self.complete.load(Ordering::Relaxed) >= self.options.clients
    }

    fn has_ends(&self) -> bool {
        let known = self.marks.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.options.ends > 0 && known >= usize::try_from(self.options.ends).unwrap_or(usize::MAX)
    }
}

/// Clients at work.
#[derive(Debug)]
pub struct Crowd {
    square: Arc<Square>,
    orders: Orders,
    clients: JoinSet<Left>,
    recorders: Vec<SharedRecorder>,
}

/// What a crowd found.
#[derive(Debug)]
pub struct Found {
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
    pub stuck: usize,
}

impl Crowd {
    /// Starts all clients.
    #[must_use]
    pub fn start(options: CrowdOptions, http: reqwest::Client) -> Self {
        let recorders: Vec<SharedRecorder> = (0..RECORDERS).map(|_| SharedRecorder::default()).collect();
        let square = Arc::new(Square {
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
        let orders = Orders::default();
        let mut clients = JoinSet::new();
        for (number, recorder) in (0..square.options.clients).zip(recorders.iter().cycle()) {
            let ear = orders.ear(SubscriberId(number));
            let listener = Listener::new(
                Arc::clone(&square),
                number,
                Tape::new(Arc::clone(recorder), RunClock::default()),
                ear,
            );
            clients.spawn(listener.run());
        }
        Self { square, orders, clients, recorders }
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
            if all_came || self.square.is_deserted() || Instant::now() >= deadline {
                return arrived;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until every client has everything, or is gone, or publishers have ended and nothing comes any more.
    pub async fn settled(&self) {
        let mut last = (0, Instant::now());
        loop {
            if self.square.all_complete() || self.square.is_deserted() {
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
    pub async fn end(mut self) -> Found {
        let connected_at_end = self.square.progress.snapshot().connected;
        self.orders.end();
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
        let stuck = self.clients.len();
        self.clients.shutdown().await;
        let mut recorder = Recorder::default();
        for shared in &self.recorders {
            recorder.merge(std::mem::take(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner)));
        }
        let counted = self.square.progress.snapshot();
        Found {
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
            stuck,
        }
    }
}
