//! Which nodes share the log: says again and again that this one is alive, and knows who else is. A broker that is away
//! costs freshness, never an answer: what was known last stays known, and is called stale. Read [`Roster::run`] first.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use crate::broker::roster::{ALIVE_FOR, BEAT_EVERY};
use crate::broker::{Alive, Broker, StoreError};
use crate::protocol::NodeId;
use crate::protocol::api::Server;
use crate::runtime::clock::{millis, unix_ms};

/// A node's place among the others. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Roster {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    broker: Broker,
    incarnation: Arc<str>,
    born: Instant,
    deadline: Duration,
    metrics: Arc<Metrics>,
    known: Mutex<Known>,
    /// How far the clock that is most ahead is ahead of this node's, milliseconds.
    ahead_ms: AtomicU64,
    soon: Notify,
}

#[derive(Debug, Default)]
struct Known {
    members: Vec<Member>,
    beaten: Option<Instant>,
}

/// A node that is alive, as far as anybody knows.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// This life of it.
    pub(crate) incarnation: Arc<str>,
    /// What it said of itself.
    pub(crate) server: Server,
    /// How long it had lived when it said so.
    uptime: Duration,
    /// Its clock then.
    clock_ms: u64,
    /// How long ago that was when this node read it, and when that was.
    age_when_read: Duration,
    read: Instant,
}

/// The nodes that are alive.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// Oldest life first; this node is one of them if the broker has heard of it.
    pub(crate) members: Vec<Member>,
    /// The broker could not be asked: this was known last.
    pub(crate) stale: bool,
}

/// What a node says of itself to the others.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(flatten)]
    server: Server,
    uptime_ms: u64,
    clock_ms: u64,
}

/// Why the broker does not know that this node is alive, or the node who else is.
#[derive(Debug, thiserror::Error)]
enum RosterError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the broker did not answer within {0:?}")]
    Silent(Duration),
}

impl Member {
    /// How long ago it was heard of.
    pub(crate) fn age(&self) -> Duration {
        self.age_when_read + self.read.elapsed()
    }

    /// The row of the roster.
    pub(crate) fn row(&self) -> Server {
        Server {
            incarnation: self.incarnation.to_string(),
            last_beat_ms: millis(self.age()),
            ..self.server.clone()
        }
    }

    fn read(alive: &Alive, read: Instant) -> Option<Self> {
        let Record { server, uptime_ms, clock_ms } = serde_json::from_str(&alive.record).ok()?;
        Some(Self {
            incarnation: Arc::clone(&alive.incarnation),
            server,
            uptime: Duration::from_millis(uptime_ms),
            clock_ms,
            age_when_read: alive.age,
            read,
        })
    }

    /// Whether this life was silent before the other one of the same node began: the node was started again.
    fn is_succeeded_by(&self, other: &Self) -> bool {
        self.server.instance_id == other.server.instance_id
            && self.incarnation != other.incarnation
            && self.age() > other.uptime + other.age()
    }
}

impl View {
    /// Everybody but this one.
    pub(crate) fn others(&self, incarnation: &str) -> Vec<Member> {
        self.members.iter().filter(|member| &*member.incarnation != incarnation).cloned().collect()
    }

    /// Ids that several nodes have at once.
    pub(crate) fn duplicates(&self) -> Vec<NodeId> {
        let (mut seen, mut twice) = (HashSet::new(), Vec::new());
        for member in &self.members {
            let id = &member.server.instance_id;
            if !seen.insert(id) && !twice.contains(id) {
                twice.push(id.clone());
            }
        }
        twice
    }
}

/// What the broker told, without the former lives of nodes that were started again.
fn members(alive: &[Alive], read: Instant) -> Vec<Member> {
    let all: Vec<_> = alive.iter().filter_map(|alive| Member::read(alive, read)).collect();
    if all.len() < alive.len() {
        tracing::debug!(unread = alive.len() - all.len(), "nodes that say what this version cannot read");
    }
    all.iter().filter(|member| !all.iter().any(|other| member.is_succeeded_by(other))).cloned().collect()
}

impl Roster {
    /// Nobody is known, and nobody knows of this node.
    pub(crate) fn new(broker: Broker, deadline: Duration, metrics: Arc<Metrics>) -> Self {
        let shared = Shared {
            broker,
            incarnation: Arc::from(ulid::Ulid::generate().to_string()),
            born: Instant::now(),
            deadline,
            metrics,
            known: Mutex::default(),
            ahead_ms: AtomicU64::default(),
            soon: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// This life of this node.
    pub(crate) fn incarnation(&self) -> &Arc<str> {
        &self.shared.incarnation
    }

    /// Who is alive. Asks the broker, and does not wait for ever.
    pub(crate) async fn read(&self) -> View {
        match self.refresh().await {
            Ok(()) => View { stale: false, ..self.known() },
            Err(error) => {
                tracing::debug!(%error, "the roster cannot be read");
                self.known()
            }
        }
    }

    /// Who was alive when this node looked last. Asks nobody.
    pub(crate) fn known(&self) -> View {
        View { members: self.lock().members.clone(), stale: true }
    }

    /// How long ago the broker last heard of this node; since its start if it never has.
    pub(crate) fn own_age(&self) -> Duration {
        self.lock().beaten.unwrap_or(self.shared.born).elapsed()
    }

    /// The time by the clock of the cluster that is most ahead, as far as this node knows, milliseconds since 1970. What
    /// is numbered by it on one node comes behind what another one has numbered before.
    pub(crate) fn cluster_ms(&self) -> u64 {
        unix_ms() + self.shared.ahead_ms.load(Ordering::Relaxed)
    }

    /// Says at once what has changed.
    pub(crate) fn beat_soon(&self) {
        self.shared.soon.notify_one();
    }

    /// Before the first stream: the others know of this node, and it of them.
    pub(crate) async fn enter(&self, own: Server) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(%error, "the roster cannot be read; other nodes are not known yet");
        }
        let same =
            self.known().members.into_iter().filter(|member| member.server.instance_id == own.instance_id);
        for other in same {
            tracing::warn!(
                id = %own.instance_id,
                url = other.server.url,
                heard_of = ?other.age(),
                "another node has the same --id, unless it is this one before it was started again"
            );
        }
        if let Err(error) = self.beat(own).await {
            tracing::warn!(%error, "this node cannot say that it is alive; trying again");
        }
    }

    /// Beats until the token ends it, then leaves: from that moment on nobody counts on this node. `own` is what it says
    /// of itself.
    pub(crate) async fn run(self, own: impl Fn() -> Server + Send, token: CancellationToken) {
        let mut interval = tokio::time::interval(BEAT_EVERY);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut mood = Mood::default();
        loop {
            tokio::select! {
                () = token.cancelled() => break,
                _ = interval.tick() => {}
                () = self.shared.soon.notified() => {}
            }
            tokio::select! {
                () = token.cancelled() => break,
                beaten = self.beat_and_look(own()) => mood.note(&self, beaten),
            }
        }
        let left = within(self.shared.deadline, self.shared.broker.leave(self.incarnation())).await;
        if let Err(error) = left {
            tracing::warn!(%error, "this node could not say that it leaves; it is forgotten in {ALIVE_FOR:?}");
        }
    }

    async fn beat_and_look(&self, own: Server) -> Result<(), RosterError> {
        self.beat(own).await?;
        self.refresh().await
    }

    async fn beat(&self, own: Server) -> Result<(), RosterError> {
        let uptime_ms = millis(self.shared.born.elapsed());
        let record = Record { server: own, uptime_ms, clock_ms: unix_ms() };
        let record =
            serde_json::to_string(&record).expect("a struct of text and numbers always becomes JSON");
        let record = Arc::from(record);
        let beat = self.shared.broker.beat(self.incarnation(), &record);
        let outcome = within(self.shared.deadline, beat).await;
        match &outcome {
            Ok(()) => self.lock().beaten = Some(Instant::now()),
            Err(_) => {
                self.shared.metrics.beat_errors.fetch_add(1, Ordering::Relaxed);
            }
        }
        outcome
    }

    async fn refresh(&self) -> Result<(), RosterError> {
        let alive = within(self.shared.deadline, self.shared.broker.alive()).await?;
        let members = members(&alive, Instant::now());
        let now_ms = unix_ms();
        let ahead = members.iter().map(|member| {
            let clock_ms = member.clock_ms.saturating_add(millis(member.age_when_read));
            clock_ms.saturating_sub(now_ms)
        });
        self.shared.ahead_ms.store(ahead.max().unwrap_or(0), Ordering::Relaxed);
        self.shared.metrics.cluster_nodes.store(members.len() as u64, Ordering::Relaxed);
        self.lock().members = members;
        Ok(())
    }

    /// A node with this one's id that was heard of after this one began.
    fn twin(&self) -> Option<Member> {
        let members = self.known().members;
        let own = members.iter().find(|member| member.incarnation == *self.incarnation())?;
        let (incarnation, id) = (Arc::clone(&own.incarnation), own.server.instance_id.clone());
        members.into_iter().find(|member| {
            member.incarnation != incarnation
                && member.server.instance_id == id
                && member.age() < self.shared.born.elapsed()
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // A holder only moves values in and out; what a panic left is whole.
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was said in the log already: each change once.
#[derive(Debug, Default)]
struct Mood {
    away: bool,
    twin: bool,
}

impl Mood {
    fn note(&mut self, roster: &Roster, beaten: Result<(), RosterError>) {
        match beaten {
            Err(error) if !self.away => {
                tracing::warn!(%error, "the roster is out of reach; trying again every {BEAT_EVERY:?}");
                self.away = true;
            }
            Ok(()) if self.away => {
                tracing::info!("the roster is in reach again");
                self.away = false;
            }
            Ok(()) | Err(_) => {}
        }
        let twin = roster.twin();
        if twin.is_some() != self.twin {
            self.twin = twin.is_some();
            match twin {
                Some(twin) => tracing::error!(
                    id = %twin.server.instance_id,
                    url = twin.server.url,
                    "two nodes have the same --id; events to one of them reach both. Give each an id of its own"
                ),
                None => tracing::info!("no other node has this id any more"),
            }
        }
    }
}

async fn within<T>(
    deadline: Duration,
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, RosterError> {
    match tokio::time::timeout(deadline, question).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(RosterError::Silent(deadline)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::broker::{BrokerUrl, Durability, LogLimits};
    use crate::runtime::Tasks;

    pub(crate) fn server(id: &str, connections: u64, state: &str) -> Server {
        Server {
            instance_id: NodeId::parse(id).unwrap(),
            instance_name: id.to_owned(),
            url: "http://127.0.0.1:9".to_owned(),
            state: state.to_owned(),
            connections,
            lag: 0,
            version: "0".to_owned(),
            started_at: 0,
            incarnation: String::new(),
            last_beat_ms: 0,
        }
    }

    /// A node that was heard of just now.
    pub(crate) fn member(incarnation: &str, server: Server) -> Member {
        let (uptime, age_when_read) = (Duration::ZERO, Duration::ZERO);
        let incarnation = Arc::from(incarnation);
        Member { incarnation, server, uptime, clock_ms: 0, age_when_read, read: Instant::now() }
    }

    fn alive(incarnation: &str, id: &str, uptime_ms: u64, age_ms: u64) -> Alive {
        let record = Record { server: server(id, 0, "ready"), uptime_ms, clock_ms: 0 };
        Alive {
            incarnation: Arc::from(incarnation),
            record: Arc::from(serde_json::to_string(&record).unwrap()),
            age: Duration::from_millis(age_ms),
        }
    }

    async fn broker(tasks: &Tasks) -> Broker {
        Broker::open(&BrokerUrl::Memory, LogLimits::default(), Durability::Accepted, tasks).await.unwrap()
    }

    pub(crate) async fn roster(broker: &Broker) -> Roster {
        let metrics = Arc::new(Metrics::new(Instant::now()));
        Roster::new(broker.clone(), Duration::from_secs(5), metrics)
    }

    #[track_caller]
    fn check(alive: &[Alive], expected: &[&str], duplicates: usize) {
        let view = View { members: members(alive, Instant::now()), stale: false };
        let lives: Vec<_> = view.members.iter().map(|member| &*member.incarnation).collect();
        assert_eq!((lives.as_slice(), view.duplicates().len()), (expected, duplicates));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_was_started_again_is_one_node_and_two_with_one_id_are_two() {
        // Silent for 8 s, its successor has lived for 5 s.
        check(&[alive("1", "a", 90_000, 8_000), alive("2", "a", 4_000, 1_000)], &["2"], 0);
        // Heard of since the other one began: both are alive.
        check(&[alive("1", "a", 90_000, 1_900), alive("2", "a", 4_000, 1_000)], &["1", "2"], 1);
        check(&[alive("1", "a", 90_000, 8_000), alive("2", "b", 4_000, 1_000)], &["1", "2"], 0);
        let strange = Alive { record: Arc::from("{}"), ..alive("3", "c", 0, 0) };
        check(&[alive("1", "a", 0, 0), strange], &["1"], 0);
    }

    #[tokio::test]
    async fn a_node_is_in_the_roster_from_its_entry_until_it_leaves() {
        let tasks = Tasks::new();
        let log = broker(&tasks).await;
        let (roster, watcher) = (roster(&log).await, roster(&log).await);
        roster.enter(server("a", 0, "starting")).await;
        let states = async || {
            let view = watcher.read().await;
            assert!(!view.stale);
            view.members.into_iter().map(|member| member.server.state).collect::<Vec<_>>()
        };
        assert_eq!(states().await, ["starting"]);
        let token = CancellationToken::new();
        let beating = roster.clone().run(|| server("a", 7, "ready"), token.clone());
        let watch = async {
            while states().await != ["ready"] {
                tokio::task::yield_now().await;
            }
            token.cancel();
        };
        tokio::join!(beating, watch);
        assert!(states().await.is_empty());
        tasks.token().cancel();
    }

    /// A roster that has seen another node, whose clock is so far ahead.
    pub(crate) async fn roster_beside_a_clock_ahead(ahead_ms: u64) -> Roster {
        let tasks = Tasks::new();
        let log = broker(&tasks).await;
        let roster = roster(&log).await;
        let record = Record { server: server("b", 0, "ready"), uptime_ms: 0, clock_ms: unix_ms() + ahead_ms };
        log.beat(&Arc::from("2"), &Arc::from(serde_json::to_string(&record).unwrap())).await.unwrap();
        assert!(roster.cluster_ms() < unix_ms() + ahead_ms / 2, "not seen yet");
        roster.read().await;
        tasks.token().cancel();
        roster
    }

    #[tokio::test]
    async fn a_clock_that_is_ahead_sets_the_time_of_the_cluster() {
        let hour = 3_600_000;
        let ahead = roster_beside_a_clock_ahead(hour).await.cluster_ms() - unix_ms();
        assert!((hour - 60_000..=hour + 60_000).contains(&ahead), "{ahead}");
    }
}
