//! The roster: the nodes that share the log. Sends beats of this node to the broker, and reads which nodes are alive.
//! While the broker does not answer, the last known nodes stay in the view, marked as stale. Read [`Roster::run`]
//! first.

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

/// The roster of one node. Clones share its state.
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
    /// Milliseconds by which the fastest clock of all nodes is ahead of this node's clock.
    ahead_ms: AtomicU64,
    soon: Notify,
}

#[derive(Debug, Default)]
struct Known {
    members: Vec<Member>,
    last_beat: Option<Instant>,
}

/// A node in the roster.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Identity of one process of the node: a restart has another one.
    pub(crate) incarnation: Arc<str>,
    /// The row that the node sent with its last beat.
    pub(crate) server: Server,
    /// The node checks signatures of requests. Earlier builds do not.
    pub(crate) checks_signatures: bool,
    /// Time since the start of the node, at its last beat.
    uptime: Duration,
    /// The clock of the node at its last beat, milliseconds since 1970.
    clock_ms: u64,
    /// Age of its last beat when this node read the roster.
    age_when_read: Duration,
    /// When this node read the roster.
    read: Instant,
}

/// The nodes that are alive, as this node knows them.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// In the order of their starts. Contains this node if the broker has a beat of it.
    pub(crate) members: Vec<Member>,
    /// The broker did not answer: these are the members that were known last.
    pub(crate) stale: bool,
}

/// The record that a node sends to the broker with each beat.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(flatten)]
    server: Server,
    uptime_ms: u64,
    clock_ms: u64,
    #[serde(default)]
    checks_signatures: bool,
}

/// Why a beat or a read of the roster failed.
#[derive(Debug, thiserror::Error)]
enum RosterError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the broker did not answer within {0:?}")]
    Timeout(Duration),
}

impl Member {
    /// Time since the last beat of the node.
    pub(crate) fn age(&self) -> Duration {
        self.age_when_read + self.read.elapsed()
    }

    /// The row of `/api/sse/servers`.
    pub(crate) fn row(&self) -> Server {
        Server {
            incarnation: self.incarnation.to_string(),
            last_beat_ms: millis(self.age()),
            ..self.server.clone()
        }
    }

    fn read(alive: &Alive, read: Instant) -> Option<Self> {
        let Record { server, uptime_ms, clock_ms, checks_signatures } =
            serde_json::from_str(&alive.record).ok()?;
        Some(Self {
            incarnation: Arc::clone(&alive.incarnation),
            server,
            checks_signatures,
            uptime: Duration::from_millis(uptime_ms),
            clock_ms,
            age_when_read: alive.age,
            read,
        })
    }

    /// Whether `other` is a later start of the same node: this incarnation sent its last beat before `other` began.
    fn is_succeeded_by(&self, other: &Self) -> bool {
        self.server.instance_id == other.server.instance_id
            && self.incarnation != other.incarnation
            && self.age() > other.uptime + other.age()
    }
}

impl View {
    /// All members but the one with this incarnation.
    pub(crate) fn others(&self, incarnation: &str) -> Vec<Member> {
        self.members.iter().filter(|member| &*member.incarnation != incarnation).cloned().collect()
    }

    /// Node ids that more than one member has.
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

/// The members of the broker's answer, without the earlier incarnations of restarted nodes.
fn members(alive: &[Alive], read: Instant) -> Vec<Member> {
    let all: Vec<_> = alive.iter().filter_map(|alive| Member::read(alive, read)).collect();
    if all.len() < alive.len() {
        tracing::debug!(
            unread = alive.len() - all.len(),
            "the roster has records that this version cannot parse"
        );
    }
    all.iter().filter(|member| !all.iter().any(|other| member.is_succeeded_by(other))).cloned().collect()
}

impl Roster {
    /// A roster without members. Each request to the broker may take `deadline`.
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

    /// Identity of this process of the node.
    pub(crate) fn incarnation(&self) -> &Arc<str> {
        &self.shared.incarnation
    }

    /// Reads the members from the broker, within the deadline.
    pub(crate) async fn read(&self) -> View {
        match self.refresh().await {
            Ok(()) => View { stale: false, ..self.known() },
            Err(error) => {
                tracing::debug!(%error, "the roster cannot be read");
                self.known()
            }
        }
    }

    /// The members at the last read; does not ask the broker.
    pub(crate) fn known(&self) -> View {
        View { members: self.lock().members.clone(), stale: true }
    }

    /// Time since the last beat that the broker recorded; since the start of the node if there is none.
    pub(crate) fn own_age(&self) -> Duration {
        self.lock().last_beat.unwrap_or(self.shared.born).elapsed()
    }

    /// Milliseconds since 1970 by the fastest clock of all nodes, as far as this node knows. An id that is made from
    /// it on one node sorts after ids that other nodes have made before.
    pub(crate) fn cluster_ms(&self) -> u64 {
        unix_ms() + self.shared.ahead_ms.load(Ordering::Relaxed)
    }

    /// Sends a beat at once, because the node's row has changed.
    pub(crate) fn beat_soon(&self) {
        self.shared.soon.notify_one();
    }

    /// Joins the roster before the first stream: reads the other nodes and sends the first beat.
    pub(crate) async fn enter(&self, own: Server) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(%error, "cannot read the roster; the other nodes are not known yet");
        }
        let same =
            self.known().members.into_iter().filter(|member| member.server.instance_id == own.instance_id);
        for other in same {
            tracing::warn!(
                id = %own.instance_id,
                url = other.server.url,
                last_beat = ?other.age(),
                "the roster lists a node with the same --id; if this node was just restarted, the entry disappears by itself; if not, give each node its own --id"
            );
        }
        if let Err(error) = self.beat(own).await {
            tracing::warn!(%error, "cannot tell the other nodes that this node is alive; trying again");
        }
    }

    /// Sends a beat every [`BEAT_EVERY`] until the token is cancelled, then leaves the roster, so that other nodes
    /// stop counting on this one. `own` makes the row of this node.
    pub(crate) async fn run(self, own: impl Fn() -> Server + Send, token: CancellationToken) {
        let mut interval = tokio::time::interval(BEAT_EVERY);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut log_once = LogOnce::default();
        loop {
            tokio::select! {
                () = token.cancelled() => break,
                _ = interval.tick() => {}
                () = self.shared.soon.notified() => {}
            }
            tokio::select! {
                () = token.cancelled() => break,
                outcome = self.beat_and_refresh(own()) => log_once.log_changes(&self, outcome),
            }
        }
        let left = within(self.shared.deadline, self.shared.broker.leave(self.incarnation())).await;
        if let Err(error) = left {
            tracing::warn!(%error, "cannot leave the roster; this node disappears from it after {ALIVE_FOR:?}");
        }
    }

    async fn beat_and_refresh(&self, own: Server) -> Result<(), RosterError> {
        self.beat(own).await?;
        self.refresh().await
    }

    async fn beat(&self, own: Server) -> Result<(), RosterError> {
        let uptime_ms = millis(self.shared.born.elapsed());
        let record = Record { server: own, uptime_ms, clock_ms: unix_ms(), checks_signatures: true };
        let record =
            serde_json::to_string(&record).expect("a struct of text and numbers always becomes JSON");
        let record = Arc::from(record);
        let beat = self.shared.broker.beat(self.incarnation(), &record);
        let outcome = within(self.shared.deadline, beat).await;
        match &outcome {
            Ok(()) => self.lock().last_beat = Some(Instant::now()),
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

    /// Another member with this node's id, whose last beat came after this node began.
    fn duplicate_id(&self) -> Option<Member> {
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
        // A holder only moves values in and out, so a panic leaves the value intact.
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs each change of the roster's state once.
#[derive(Debug, Default)]
struct LogOnce {
    is_unreachable: bool,
    is_duplicate: bool,
}

impl LogOnce {
    fn log_changes(&mut self, roster: &Roster, outcome: Result<(), RosterError>) {
        match outcome {
            Err(error) if !self.is_unreachable => {
                tracing::warn!(%error, "the roster cannot be reached; trying again every {BEAT_EVERY:?}");
                self.is_unreachable = true;
            }
            Ok(()) if self.is_unreachable => {
                tracing::info!("the roster can be reached again");
                self.is_unreachable = false;
            }
            Ok(()) | Err(_) => {}
        }
        let duplicate = roster.duplicate_id();
        if duplicate.is_some() != self.is_duplicate {
            self.is_duplicate = duplicate.is_some();
            match duplicate {
                Some(other) => tracing::error!(
                    id = %other.server.instance_id,
                    url = other.server.url,
                    "two nodes have the same --id, so an event to one of them reaches both; give each node its own --id"
                ),
                None => tracing::info!("no other node has the same --id any more"),
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
        Err(_) => Err(RosterError::Timeout(deadline)),
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

    /// A node whose beat has just come.
    pub(crate) fn member(incarnation: &str, server: Server) -> Member {
        let (uptime, age_when_read) = (Duration::ZERO, Duration::ZERO);
        let incarnation = Arc::from(incarnation);
        Member {
            incarnation,
            server,
            checks_signatures: true,
            uptime,
            clock_ms: 0,
            age_when_read,
            read: Instant::now(),
        }
    }

    fn alive(incarnation: &str, id: &str, uptime_ms: u64, age_ms: u64) -> Alive {
        let record =
            Record { server: server(id, 0, "ready"), uptime_ms, clock_ms: 0, checks_signatures: true };
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
    async fn a_restarted_node_is_one_node_and_two_nodes_with_one_id_are_two() {
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

    /// A roster that has read a node whose clock is this far ahead.
    pub(crate) async fn roster_beside_a_clock_ahead(ahead_ms: u64) -> Roster {
        let tasks = Tasks::new();
        let log = broker(&tasks).await;
        let roster = roster(&log).await;
        let record = Record {
            server: server("b", 0, "ready"),
            uptime_ms: 0,
            clock_ms: unix_ms() + ahead_ms,
            checks_signatures: true,
        };
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
