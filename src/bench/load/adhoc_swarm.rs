//! A swarm without a scenario file: builds a scenario of one group in memory, runs its clients as those of a run, and adds up
//! their tallies. Its events come from `sse-bench publish` in other processes. Read [`AdhocSwarm::start`] first.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::bench::ids::RunId;
use crate::bench::load::adhoc::{AdhocShared, Owed};
use crate::bench::load::balancer::Balancer;
use crate::bench::load::clients::context::SwarmContext;
use crate::bench::load::clients::{Commands, Swarm, Transports};
use crate::bench::load::progress::Snapshot;
use crate::bench::metrics::clock::{RunClock, monotonic_nanos};
use crate::bench::metrics::recorder::Recorder;
use crate::bench::scenario::plan::Plan;
use crate::bench::scenario::{
    self, Executor, LbPolicy, Reading, Reconnect, ReconnectPolicy, Template, TransportKind,
};
use crate::bench::verdict::Seen;
use crate::client::{HttpOptions, HttpOptionsError, ReconnectOptions};

/// The scenario whose clients are replaced by those of the options.
const SCENARIO: &str = "schema = 1\nname = \"swarm\"\nduration = \"1h\"\n[clients.c]\nclients = 1\n";
/// Time between two checks whether the swarm is done.
const CHECK_EVERY: Duration = Duration::from_millis(20);
/// After all publishers have ended, events that have not arrived within this silence are missing.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// Time for clients to stop: they only have to close their sockets.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// The clients of an ad hoc swarm.
#[derive(Debug, Clone)]
pub struct AdhocOptions {
    /// URL of the stream; `{i}` stands for the client's number.
    pub url: String,
    /// Number of clients.
    pub clients: u32,
    /// First connects are spread over this time.
    pub ramp: Duration,
    /// Sent with each connect. Names and values have been checked.
    pub headers: Vec<(String, Template)>,
    /// Value of `Accept-Encoding`.
    pub accept_encoding: String,
    /// Longest line and most data of one event, in bytes; `None`: as for the largest payload that can be published.
    pub max_event: Option<u64>,
    /// What clients do when a stream ends.
    pub policy: ReconnectPolicy,
    /// Number of publishers whose events are all owed; zero: no event is owed.
    pub publishers: u32,
}

/// The running clients of one URL.
#[derive(Debug)]
pub struct AdhocSwarm {
    swarm: Swarm,
    shared: Arc<AdhocShared>,
    clients: u32,
}

/// The results of an ad hoc swarm.
#[derive(Debug)]
pub struct AdhocResult {
    /// Clients that were connected at least once.
    pub connected: u32,
    /// Clients that were connected just before the swarm was stopped.
    pub connected_at_end: u64,
    /// Counts after the stop.
    pub progress: Snapshot,
    /// Why a client failed to connect; `None` when all were connected once.
    pub connect_failure: Option<String>,
    /// Whether any event had an `id:`, so that a client could resume.
    pub has_ids: bool,
    /// Sums over all clients, of publishers whose end mark has arrived.
    pub owed: Owed,
    /// Clients with a fault in `owed`.
    pub incomplete: u32,
    /// Publishers whose end mark has arrived.
    pub ends: u32,
    /// Measurements of all clients.
    pub recorder: Recorder,
    /// Clients that did not stop in time.
    pub not_stopped: usize,
    /// Streams with a line or an event that is longer than the clients take in, and the limit in bytes; `None`: none.
    pub too_long: Option<(u64, u64)>,
}

impl AdhocSwarm {
    /// Starts all clients.
    ///
    /// # Errors
    /// [`HttpOptionsError`] when TLS cannot be set up.
    pub fn start(options: AdhocOptions, http: &HttpOptions) -> Result<Self, HttpOptionsError> {
        let mut scenario = scenario::parse("swarm", SCENARIO, &[]).expect("the text is a constant");
        let AdhocOptions { url, clients, ramp, headers, accept_encoding, max_event, policy, publishers } =
            options;
        for group in &mut scenario.clients {
            group.executor = Executor::Constant { clients, ramp };
            group.headers.clone_from(&headers);
            let (accept_encoding, transport) = (accept_encoding.clone(), TransportKind::default());
            group.reading = Reading { accept_encoding, max_event, format: None, transport };
            let max_delay = ReconnectOptions::default().max_delay;
            group.reconnect = Reconnect { policy, last_event_id: true, jitter: 0.0, max_delay };
        }
        let plan = Arc::new(Plan::new(&scenario, RunId::from_random(0)));
        let transports = Transports::new(&plan, http)?;
        let balancer = Balancer::new(LbPolicy::RoundRobin, [url.clone()]);
        let shared = Arc::new(AdhocShared::new(url, publishers));
        let mut context = SwarmContext::new(plan, transports, balancer, RunClock::default());
        context.adhoc = Some(Arc::clone(&shared));
        // Other processes publish, by the clock that counts from the boot.
        context.clock.start_at(monotonic_nanos());
        context.start();
        Ok(Self { swarm: Swarm::start(&Arc::new(context), Commands::default()), shared, clients })
    }

    /// Counts up to now.
    #[must_use]
    pub fn progress(&self) -> Snapshot {
        self.swarm.context().progress.snapshot()
    }

    fn have_all_left(&self) -> bool {
        self.swarm.context().board.alive() == 0
    }

    /// Waits until clients have panicked, for which [`Self::end`] will panic too.
    pub async fn failed(&self) {
        self.swarm.failed().await;
    }

    /// Waits until every client was connected once or never will be, at most for `patience`. Returns how many were.
    pub async fn connected(&self, patience: Duration) -> u32 {
        let deadline = Instant::now() + patience;
        loop {
            let connected = self.shared.connected.load(Ordering::Relaxed);
            let refused = self.progress().refused(u64::from(connected), u64::from(self.clients));
            let is_known = connected >= self.clients || refused.is_some() || self.have_all_left();
            if is_known || Instant::now() >= deadline {
                return connected;
            }
            tokio::time::sleep(CHECK_EVERY).await;
        }
    }

    /// Waits until every client has everything or has left, or all publishers have ended and no event arrives any more.
    pub async fn settled(&self) {
        let mut last = (0, Instant::now());
        while self.shared.complete.load(Ordering::Relaxed) < self.clients && !self.have_all_left() {
            let events = self.progress().delivered;
            if events != last.0 {
                last = (events, Instant::now());
            }
            if self.shared.has_all_marks() && last.1.elapsed() >= SILENCE_MAX {
                return;
            }
            tokio::time::sleep(CHECK_EVERY).await;
        }
    }

    /// Stops all clients and adds up what they received.
    pub async fn end(self) -> AdhocResult {
        let (context, connected_at_end) = (Arc::clone(self.swarm.context()), self.progress().connected);
        let ended = self.swarm.end(STOP_TIMEOUT).await;
        let marks = self.shared.marks().clone();
        let (mut owed, mut incomplete) = (Owed::default(), 0);
        for tally in self.shared.take_tallies() {
            let own = tally.owed(&marks);
            incomplete += u32::from(!own.is_met());
            owed.add(&own);
        }
        let connected = self.shared.connected.load(Ordering::Relaxed);
        let reason =
            || context.progress.connect_failure().unwrap_or("the swarm was stopped first").to_owned();
        AdhocResult {
            connected,
            connected_at_end,
            progress: context.progress.snapshot(),
            connect_failure: (connected < self.clients).then(reason),
            has_ids: self.shared.has_ids.load(Ordering::Relaxed),
            owed,
            incomplete,
            ends: u32::try_from(marks.len()).unwrap_or(u32::MAX),
            recorder: ended.recorder,
            not_stopped: ended.not_stopped,
            too_long: ended.sightings.iter().find_map(|sighting| match sighting.seen {
                Seen::TooLong(limit) => Some((sighting.count, limit)),
                Seen::Crate(_) | Seen::StampAt(_) | Seen::Greeting(_) | Seen::Unknown(_) | Seen::Altered => {
                    None
                }
            }),
        }
    }
}
