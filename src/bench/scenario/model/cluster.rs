//! What a scenario says of nodes, of the log that they keep or share, and of what stands in front of them.
//! Read [`Cluster`] first.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::scenario::read::limits;

/// The nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum Cluster {
    /// Child processes that the run starts.
    Spawn(SpawnCluster),
    /// Nodes that are there already, by base URL without a slash at the end. Process faults are not possible.
    Attach(Vec<String>),
}

impl Cluster {
    /// How many nodes there are from the beginning.
    #[must_use]
    pub fn nodes(&self) -> usize {
        match self {
            Self::Spawn(spawn) => spawn.nodes,
            Self::Attach(urls) => urls.len(),
        }
    }

    /// How many there ever are.
    #[must_use]
    pub fn nodes_at_most(&self) -> usize {
        match self {
            Self::Spawn(spawn) => spawn.nodes + spawn.spares,
            Self::Attach(urls) => urls.len(),
        }
    }
}

/// Whose certificates are accepted of nodes that speak `https`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tls {
    /// A file with certificates of authorities, in PEM: these, and nobody else. `None`: those of the machine.
    pub ca: Option<PathBuf>,
    /// Anybody's. For a laboratory.
    pub insecure: bool,
}

/// Nodes that the run starts as child processes, named `n1`, `n2`, …
#[derive(Debug, Clone, PartialEq)]
pub struct SpawnCluster {
    /// How many.
    pub nodes: usize,
    /// How many more there may be, once a fault starts them.
    pub spares: usize,
    /// Which log they keep.
    pub broker: BrokerKind,
    /// Whether each has a host of its own: a network namespace.
    pub has_namespaces: bool,
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
            spares: 0,
            broker: BrokerKind::Memory,
            has_namespaces: false,
            max_connections: None,
            flags: BTreeMap::new(),
            ready_timeout: limits::READY_TIMEOUT_DEFAULT,
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
    /// How.
    pub policy: LbPolicy,
    /// What becomes of a connection to a node that does not answer; a real balancer always finds another one.
    pub on_down: OnDown,
}

/// What becomes of a connection to a node that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDown {
    /// It goes to another one.
    Reroute,
    /// It fails, and so does the next one, until the node is back.
    Refuse,
}

impl Default for Lb {
    fn default() -> Self {
        Self { kind: LbKind::Swarm, policy: LbPolicy::RoundRobin, on_down: OnDown::Reroute }
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
    /// By the client's address.
    IpHash,
    /// Where it was sent the first time, by a cookie.
    Cookie,
    /// By `userId`, else `clientId`, so that few move when a node goes.
    ConsistentHash,
}
