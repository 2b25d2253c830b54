//! `[cluster]` and `[lb]` of a checked scenario: nodes, their log, and the load balancer in front of them.
//! Read [`Cluster`] first.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::scenario::limits;

/// The nodes under test.
#[derive(Debug, Clone, PartialEq)]
pub enum Cluster {
    /// Child processes that the run starts.
    Spawn(SpawnCluster),
    /// Running nodes, by base URL without a trailing slash. Process faults are not possible.
    Attach(Vec<String>),
}

impl Cluster {
    /// Number of nodes at the start.
    #[must_use]
    pub fn nodes(&self) -> usize {
        match self {
            Self::Spawn(spawn) => spawn.nodes,
            Self::Attach(urls) => urls.len(),
        }
    }

    /// Number of nodes with those that `scale` faults start.
    #[must_use]
    pub fn nodes_at_most(&self) -> usize {
        match self {
            Self::Spawn(spawn) => spawn.nodes + spawn.spares,
            Self::Attach(urls) => urls.len(),
        }
    }
}

/// Which certificates are accepted from nodes with `https` URLs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tls {
    /// PEM file with the only accepted certificate authorities; `None`: those of the machine.
    pub ca: Option<PathBuf>,
    /// Accept any certificate. For laboratories only.
    pub insecure: bool,
}

/// Nodes that the run starts as child processes, named `n1`, `n2`, …
#[derive(Debug, Clone, PartialEq)]
pub struct SpawnCluster {
    /// Number of nodes at the start.
    pub nodes: usize,
    /// Number of nodes that only faults start.
    pub spares: usize,
    pub broker: BrokerKind,
    /// Whether each node runs in a network namespace of its own.
    pub has_namespaces: bool,
    /// `--max-connections` of each node, if the scenario sets it.
    pub max_connections: Option<u64>,
    /// Other flags of the node without dashes, passed as `--flag value`. `None` stands for `flag = true` and is passed
    /// as `--flag` alone; `flag = false` is left out.
    pub flags: BTreeMap<String, Option<String>>,
    /// Longest time for a node to become ready.
    pub ready_timeout: Duration,
}

impl SpawnCluster {
    /// One node with an in-memory log: a scenario without `[cluster]`.
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

/// The log of spawned nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerKind {
    /// `memory:`, lost on a restart.
    Memory,
    /// `file:DIR` below the directory of the run; survives a kill.
    File,
    /// In a Redis that all nodes share.
    Redis(RedisSet),
}

/// The Redis servers that hold the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisSet {
    pub shape: RedisShape,
    pub persistence: Persistence,
    /// Replicas of each master.
    pub replicas: u32,
    /// `min-replicas-to-write` of each master: it refuses writes with fewer replicas.
    pub min_replicas: u32,
    /// URL of a running Redis; `None`: the run starts the servers.
    pub external: Option<String>,
}

impl RedisSet {
    /// The default set of a shape: persistence by AOF, and one replica where the shape fails over.
    #[must_use]
    pub const fn new(shape: RedisShape) -> Self {
        let replicas = match shape {
            RedisShape::Single => 0,
            RedisShape::Sentinel | RedisShape::Cluster => 1,
        };
        Self { shape, persistence: Persistence::Aof, replicas, min_replicas: 0, external: None }
    }
}

/// The topology of a [`RedisSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisShape {
    /// One master and its replicas, if any; no failover.
    Single,
    /// One master with replicas, and three Sentinels that fail over.
    Sentinel,
    /// Redis Cluster: three masters, each with its replicas.
    Cluster,
}

/// What a spawned Redis writes to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// Each write (append-only file), synced every second.
    Aof,
    /// A snapshot (RDB) every few seconds.
    Rdb,
    /// No file: data are lost with the process.
    None,
}

/// Load balancing of connections and publishes over nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lb {
    pub kind: LbKind,
    pub policy: LbPolicy,
    /// For [`LbKind::Swarm`]; a real load balancer always reroutes.
    pub on_down: OnDown,
}

/// What happens to a connection to a node that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDown {
    /// It goes to another node.
    Reroute,
    /// It fails, and so do later ones, until the node answers again.
    Refuse,
}

impl Default for Lb {
    fn default() -> Self {
        Self { kind: LbKind::Swarm, policy: LbPolicy::RoundRobin, on_down: OnDown::Reroute }
    }
}

/// The load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LbKind {
    /// None: the swarm chooses, and clients and publishers connect to the nodes.
    Swarm,
    /// An nginx that the run starts; clients and publishers connect to it.
    Nginx,
    /// An HAProxy that the run starts; clients and publishers connect to it.
    Haproxy,
}

/// How the load balancer chooses a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LbPolicy {
    /// Each node in turn.
    RoundRobin,
    /// The node with the fewest connections.
    LeastConn,
    /// Uniformly at random.
    Random,
    /// By the client's address.
    IpHash,
    /// The node of the first connection, remembered by a cookie.
    Cookie,
    /// By `userId`, else `clientId`, so that few move when a node goes.
    ConsistentHash,
}
