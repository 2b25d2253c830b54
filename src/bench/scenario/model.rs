//! A scenario, checked and ready to plan: every value here is within its allowed range, every name parsed.
//! Read [`Scenario`] first.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::template::Template;
use crate::bench::threshold::Threshold;

/// What is run and judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Name: letters, digits, `-` and `_`.
    pub name: String,
    /// A sentence for people; may be empty.
    pub description: String,
    /// One seed for arrivals, targets, payload sizes, jitter and fault targets.
    pub seed: u64,
    /// How long publishers publish and faults happen, the warm-up included. Quiescence comes after it.
    pub duration: Duration,
    /// The first part of `duration`, recorded with `phase:warmup`.
    pub warmup: Duration,
    /// What is judged.
    pub cluster: Cluster,
    /// Who chooses a node for the swarm, and how.
    pub lb: Lb,
    /// Groups of virtual clients, in the order of their names.
    pub clients: Vec<ClientGroup>,
    /// Publishers, in the order of their names.
    pub publishers: Vec<PublisherSpec>,
    /// Faults, in the order of the file.
    pub faults: Vec<FaultSpec>,
    /// What must hold.
    pub verify: Verify,
    /// What must hold of the metrics.
    pub thresholds: Vec<Threshold>,
    /// Where results go.
    pub output: Output,
}

/// The nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum Cluster {
    /// Child processes that the run starts.
    Spawn(SpawnCluster),
    /// Nodes that are there already, by base URL without a slash at the end. Process faults are not possible.
    Attach(Vec<String>),
}

impl Cluster {
    /// How many nodes.
    #[must_use]
    pub fn nodes(&self) -> usize {
        match self {
            Self::Spawn(spawn) => spawn.nodes,
            Self::Attach(urls) => urls.len(),
        }
    }
}

/// Nodes that the run starts as child processes, named `n1`, `n2`, …
#[derive(Debug, Clone, PartialEq)]
pub struct SpawnCluster {
    /// How many.
    pub nodes: usize,
    /// Which log they keep.
    pub broker: BrokerKind,
    /// `--max-connections` of each node, if the scenario sets it.
    pub max_connections: Option<u64>,
    /// Any other flag of the node, without its dashes, passed as `--flag value`; `None` for `flag = true`, which is
    /// passed as `--flag` alone. `flag = false` is left out.
    pub flags: BTreeMap<String, Option<String>>,
    /// How long a node may take to become ready.
    pub ready_timeout: Duration,
}

impl SpawnCluster {
    /// The smallest one.
    #[must_use]
    pub fn one_in_memory() -> Self {
        Self {
            nodes: 1,
            broker: BrokerKind::Memory,
            max_connections: None,
            flags: BTreeMap::new(),
            ready_timeout: super::limits::READY_TIMEOUT_DEFAULT,
        }
    }
}

/// Which log the spawned nodes keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerKind {
    /// `memory:`.
    Memory,
    /// `file:DIR` in a directory of the run; survives a kill.
    File,
    /// One that all nodes share, in Redis.
    Redis(RedisSet),
}

/// The Redis that the nodes share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisSet {
    /// How its servers stand together.
    pub shape: RedisShape,
    /// What survives a kill.
    pub persistence: Persistence,
    /// Replicas, of each master.
    pub replicas: u32,
    /// A master takes no writes with fewer replicas than this.
    pub min_replicas: u32,
    /// The URL of one that is there already: then the run starts none.
    pub external: Option<String>,
}

impl RedisSet {
    /// The usual set of a shape.
    #[must_use]
    pub const fn new(shape: RedisShape) -> Self {
        let replicas = match shape {
            RedisShape::Single => 0,
            RedisShape::Sentinel | RedisShape::Cluster => 1,
        };
        Self { shape, persistence: Persistence::Aof, replicas, min_replicas: 0, external: None }
    }
}

/// How the servers of a [`RedisSet`] stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisShape {
    /// One, and its replicas if it has any: nobody fails over.
    Single,
    /// One with replicas, and three Sentinels that fail over.
    Sentinel,
    /// Redis Cluster: three masters, each with its replicas.
    Cluster,
}

/// What a spawned Redis writes to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// Each write, synced every second.
    Aof,
    /// A snapshot every few seconds.
    Rdb,
    /// Nothing.
    None,
}

/// Who chooses a node for a connection or a publish, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lb {
    /// Who.
    pub kind: LbKind,
    /// How. A node that does not answer is passed over.
    pub policy: LbPolicy,
}

impl Default for Lb {
    fn default() -> Self {
        Self { kind: LbKind::Swarm, policy: LbPolicy::RoundRobin }
    }
}

/// Who chooses a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LbKind {
    /// The swarm itself: clients and publishers connect to the nodes.
    Swarm,
    /// An nginx that the run starts, and everybody connects to.
    Nginx,
    /// The same with HAProxy.
    Haproxy,
}

/// How a node is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LbPolicy {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest connections.
    LeastConn,
    /// Any.
    Random,
    /// By the client's address; only of a real balancer.
    IpHash,
    /// By a cookie that the balancer sets; only of a real balancer.
    Cookie,
    /// By `userId`, else `clientId`, so that few move when a node goes; only of a real balancer.
    ConsistentHash,
}

/// A group of virtual clients that do the same.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientGroup {
    /// Name; the tag `group`.
    pub name: String,
    /// How many, and when.
    pub executor: Executor,
    /// So much later than the executor says.
    pub joins: Duration,
    /// What they listen to.
    pub subscribe: Subscribe,
    /// What they do when a stream ends.
    pub reconnect: Reconnect,
    /// How they read the stream.
    pub decoder: DecoderKind,
    /// Nodes that they connect to, counted from zero; all where none is named.
    pub nodes: Vec<u16>,
    /// Whether they are owed what was put into their mailboxes before they came.
    pub mailbox: bool,
}

/// How many clients there are, and when.
#[derive(Debug, Clone, PartialEq)]
pub enum Executor {
    /// All from the beginning to the end.
    Constant {
        /// How many.
        clients: u32,
        /// Zero: they connect before the run's clock starts. Else they join evenly over this time.
        ramp: Duration,
    },
    /// As many as the stages say. Clients that are no longer wanted leave, the newest first.
    Ramping {
        /// One after the other, from zero clients on.
        stages: Vec<Stage>,
    },
}

/// A straight line to a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stage {
    /// How long.
    pub duration: Duration,
    /// Clients (or events per second) at its end.
    pub target: f64,
}

/// What client number `i` of a group listens to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Subscribe {
    /// Topics.
    pub topics: Vec<Template>,
    /// User id.
    pub user: Option<Template>,
    /// Client id; without one the client is named `<group>-<i>`.
    pub client: Option<Template>,
}

/// What a client does when its stream ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reconnect {
    /// Whom it behaves like.
    pub policy: ReconnectPolicy,
    /// Whether it says `Last-Event-ID`.
    pub last_event_id: bool,
    /// Added to every wait: up to this share of it, at random; 0 to 1.
    pub jitter: f64,
    /// Longest wait.
    pub max_delay: Duration,
}

/// Whom a reconnecting client behaves like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReconnectPolicy {
    /// An EventSource: obeys `retry:`, never comes back after a status other than 200.
    Browser,
    /// A fetch-based client: as the libraries do, stops at a clean end.
    Fetch,
    /// Comes back from everything but 204.
    Tolerant,
    /// Never comes back.
    None,
}

/// Which decoder reads the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecoderKind {
    /// Ours.
    Strict,
    /// The crate of that name.
    EventsourceStream,
}

/// A source of events.
#[derive(Debug, Clone, PartialEq)]
pub struct PublisherSpec {
    /// Name.
    pub name: String,
    /// When events are due.
    pub pace: Pace,
    /// Publishes without an answer, beyond which one that is due is dropped and counted.
    pub max_in_flight: u32,
    /// Shares of the kinds of addresses; at least one is above zero.
    pub mix: Mix,
    /// Size of `data`.
    pub payload: PayloadSize,
    /// 0 or 1.
    pub qos: u8,
    /// Whether a publish without a definite answer is sent again, with the same id. Not for a cluster that does not
    /// know idempotency keys.
    pub retry: bool,
    /// Nodes that events are posted to, counted from zero; all where none is named.
    pub nodes: Vec<u16>,
}

/// When events are due.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    /// How they are spread.
    pub arrival: Arrival,
    /// Events per second: straight lines, one after the other, beginning at `from`.
    pub from: f64,
    /// The lines. A constant rate is one stage with the same rate.
    pub stages: Vec<Stage>,
}

/// How arrivals are spread at a given rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Evenly.
    Uniform,
    /// At random, as independent sources would.
    Poisson,
}

/// Weights of the kinds of addresses; they need not sum up to one.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Mix {
    /// To all.
    pub broadcast: f64,
    /// To one of the topics that clients subscribed to.
    pub topic: f64,
    /// To one of the users.
    pub user: f64,
    /// To one of the clients.
    pub client: f64,
}

/// Size of a payload in bytes, before the envelope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PayloadSize {
    /// Always this.
    Fixed(u32),
    /// Log-normal.
    LogNormal {
        /// Half of them are smaller.
        median: u32,
        /// One of a hundred is larger.
        p99: u32,
    },
}

/// Something that is broken on purpose.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultSpec {
    /// Name in reports and tags; `kill-1` when the scenario gives none.
    pub name: String,
    /// When.
    pub at: Duration,
    /// How long; `None`: until the run heals everything before it waits for quiescence.
    pub lasts: Option<Duration>,
    /// What.
    pub kind: FaultSpecKind,
}

/// What is broken.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultSpecKind {
    /// A process.
    Process {
        /// What is done to it.
        action: ProcessAction,
        /// Which nodes.
        target: Target,
    },
    /// Nodes, each ended and started again, one after the other.
    RollingRestart {
        /// Which nodes.
        target: Target,
    },
    /// The Redis that the nodes share.
    Redis {
        /// What is done to it.
        action: RedisAction,
        /// To which of its servers.
        target: RedisTarget,
    },
    /// Connections, cut by the clients themselves at one moment.
    ReconnectStorm {
        /// How many clients; `None`: all.
        clients: Option<u32>,
    },
}

/// What is done to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisAction {
    /// SIGKILL; healed by starting it again on the same data.
    Kill,
    /// SIGTERM, and started again once it has ended (and `for` has passed, if given).
    Restart,
    /// SIGSTOP; healed by SIGCONT.
    Pause,
    /// Another server is made master by those whose task that is.
    Failover,
    /// Everything is deleted.
    Flush,
    /// The log loses its oldest events.
    Trim {
        /// So many of the newest stay.
        keep: u32,
    },
    /// Replicas get nothing any more; healed by letting them in again.
    ReplicationCut {
        /// Nodes cannot read the log meanwhile either.
        unread: bool,
    },
    /// The log's newest id is moved into the future, as if the server's clock had been ahead.
    ClockSkew {
        /// So far ahead.
        by: Duration,
    },
}

impl RedisAction {
    /// Whether it is over as soon as it is done, so that there is nothing to heal.
    #[must_use]
    pub fn is_momentary(self) -> bool {
        match self {
            Self::Failover | Self::Flush | Self::Trim { .. } | Self::ClockSkew { .. } => true,
            Self::Kill | Self::Restart | Self::Pause | Self::ReplicationCut { .. } => false,
        }
    }
}

impl fmt::Display for RedisAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "redis-kill",
            Self::Restart => "redis-restart",
            Self::Pause => "redis-pause",
            Self::Failover => "redis-failover",
            Self::Flush => "redis-flush",
            Self::Trim { .. } => "redis-trim",
            Self::ReplicationCut { .. } => "replication-cut",
            Self::ClockSkew { .. } => "clock-skew",
        })
    }
}

/// Which servers a fault of Redis meets. Who is master is looked up when the fault is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisTarget {
    /// The master that has the log.
    Primary,
    /// The replicas of that master.
    Replicas,
    /// All servers with data.
    All,
}

impl fmt::Display for RedisTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Replicas => "replicas",
            Self::All => "all",
        })
    }
}

/// What is done to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProcessAction {
    /// SIGKILL; healed by starting it again.
    Kill,
    /// SIGTERM, and its end awaited; healed by starting it again.
    Term,
    /// SIGTERM, and started again once it has ended (and `for` has passed, if given).
    Restart,
    /// SIGSTOP; healed by SIGCONT.
    Pause,
}

impl fmt::Display for ProcessAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Term => "term",
            Self::Restart => "restart",
            Self::Pause => "pause",
        })
    }
}

/// Which nodes a fault meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One, drawn from the seed.
    One,
    /// All.
    All,
    /// So many, drawn from the seed.
    Random(u32),
    /// These: `n1`, `n2`, …
    Named(Vec<String>),
}

/// What must hold of the deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verify {
    /// The guarantee.
    pub delivery: Guarantee,
    /// Whether order is judged.
    pub order: Order,
    /// Whether a declared gap is forgiven.
    pub gaps: Gaps,
    /// How the end is awaited.
    pub quiesce: Quiesce,
    /// Whether every mailbox that got something must be empty in the end.
    pub mailboxes_empty: bool,
}

/// What is owed to a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// What was published while a session was open. What is published between sessions may be missed.
    AtMostOnce,
    /// What was published between the first confirmed subscription and the final close, across all reconnects.
    /// Across a reconnect an event may be repeated, within a session never.
    AtLeastOnce,
    /// The same, and nothing is ever repeated.
    ExactlyOnce,
}

/// Which order is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// None.
    None,
    /// Events of one publisher to one address, of which the second was sent after the first was acknowledged,
    /// arrive in this order within a session.
    PerPublisherAddress,
}

/// Whether a declared gap is forgiven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gaps {
    /// An event that the server itself said to be missing is counted, and forgiven.
    Allowed,
    /// It fails the run, under its own name.
    Forbidden,
}

/// How the end is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiesce {
    /// The run is quiet when nothing arrived anywhere for this long.
    pub idle: Duration,
    /// What is not there by then is unknown, not lost.
    pub timeout: Duration,
    /// Whether fresh clients read everything again from the oldest event on.
    pub audit_read: bool,
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Directory of the run; `{name}` and `{seed}` are filled in. `None`: no files.
    pub dir: Option<String>,
    /// What is written there.
    pub formats: Vec<OutputFormat>,
}

/// What a report is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}
