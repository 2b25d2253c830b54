//! The faults of a scenario and their targets, before nodes and clients are drawn. Read [`FaultSpec`] first.

use std::fmt;
use std::time::Duration;

use super::links::{LinkEffect, LinkKind};

/// A fault of `[[faults]]`, or one that a [`Nemesis`] drew.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultSpec {
    /// Name in reports and tags; `kill-1` when the scenario gives none.
    pub name: String,
    /// Since the start of the run.
    pub at: Duration,
    /// Time until the heal; `None`: the run heals it before it waits for quiescence.
    pub lasts: Option<Duration>,
    pub kind: FaultSpecKind,
}

/// What a fault does, and to which targets.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultSpecKind {
    /// Ends, restarts or pauses the processes of nodes.
    Process { action: ProcessAction, target: Target },
    /// Restarts nodes one after the other.
    RollingRestart { target: Target },
    /// Breaks servers of the Redis that the nodes share.
    Redis { action: RedisAction, target: RedisTarget },
    /// Breaks links that pass the fault proxy.
    Link(LinkFault),
    /// Takes down the network link of nodes that run in network namespaces.
    Netns { target: Target },
    /// Changes the number of nodes: starts more, or drains some.
    Scale {
        /// Number of nodes afterwards.
        to: u16,
    },
    /// Makes clients misbehave.
    Clients {
        action: ClientAction,
        /// Number of clients, drawn from the seed; `None`: all.
        clients: Option<u32>,
        /// Name of the group; `None`: clients of all groups.
        group: Option<String>,
    },
}

impl FaultSpecKind {
    /// Whether the fault has no duration, so that there is nothing to heal.
    #[must_use]
    pub fn is_momentary(&self) -> bool {
        match self {
            Self::Redis { action, .. } => action.is_momentary(),
            Self::Clients { action, .. } => action.is_momentary(),
            Self::Process { .. }
            | Self::RollingRestart { .. }
            | Self::Link(_)
            | Self::Netns { .. }
            | Self::Scale { .. } => false,
        }
    }
}

/// A fault of links that pass the fault proxy.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkFault {
    pub link: LinkKind,
    pub effect: LinkEffect,
    /// The nodes whose links break.
    pub target: Target,
}

/// What the chosen clients do, all at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAction {
    /// Cut their connections and reconnect as their policy says.
    ReconnectStorm,
    /// Leave for good; the same number of new clients joins at the same moment.
    ChurnBurst,
    /// Read slowly until the heal.
    SlowDown { bytes_per_sec: u32 },
}

impl ClientAction {
    /// Whether the action has no duration, so that there is nothing to heal.
    #[must_use]
    pub fn is_momentary(self) -> bool {
        match self {
            Self::ReconnectStorm | Self::ChurnBurst => true,
            Self::SlowDown { .. } => false,
        }
    }
}

impl fmt::Display for ClientAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReconnectStorm => "reconnect-storm",
            Self::ChurnBurst => "churn-burst",
            Self::SlowDown { .. } => "slow-down",
        })
    }
}

/// Faults that are drawn from the seed, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Nemesis {
    /// No fault begins before this time of the run.
    pub from: Duration,
    /// Every fault is healed by this time of the run.
    pub until: Duration,
    /// Mean time from the heal of one fault to the next; drawn between 0.5 and 1.5 times this.
    pub every: Duration,
    /// Candidates, drawn with equal probability.
    pub faults: Vec<NemesisFault>,
}

/// A fault that a [`Nemesis`] may draw.
#[derive(Debug, Clone, PartialEq)]
pub struct NemesisFault {
    /// `type` as the scenario writes it; part of the name of each drawn fault.
    pub type_name: String,
    pub kind: FaultSpecKind,
    /// Shortest and longest duration; ignored for momentary faults.
    pub lasts: (Duration, Duration),
}

/// What a fault does to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisAction {
    /// SIGKILL; healed by starting it again on the same data.
    Kill,
    /// SIGTERM, and started again once it has ended (and `for` has passed, if given).
    Restart,
    /// SIGSTOP; healed by SIGCONT.
    Pause,
    /// A replica is promoted: by the Sentinels, or by `CLUSTER FAILOVER`.
    Failover,
    /// Deletes all data.
    Flush,
    /// Deletes the oldest events of the log.
    Trim {
        /// Number of newest events that stay.
        keep: u32,
    },
    /// Stops replication from the master; healed by allowing it again.
    ReplicationCut {
        /// Whether nodes cannot read the log in the meantime either.
        unread: bool,
    },
    /// The log's newest id is moved into the future, as if the server's clock had been ahead.
    ClockSkew {
        /// Distance to the real time.
        by: Duration,
    },
}

impl RedisAction {
    /// Whether the action has no duration, so that there is nothing to heal.
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

/// Target servers of a Redis fault. The master is looked up when the fault is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisTarget {
    /// The master that holds the log.
    Primary,
    /// The replicas of that master.
    Replicas,
    /// All masters and replicas.
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

/// What a fault does to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProcessAction {
    /// SIGKILL; healed by starting it again.
    Kill,
    /// SIGTERM, and waits for the exit; healed by starting it again.
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

/// Target nodes of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One, drawn from the seed.
    One,
    /// As many as possible while more than half stay untouched, drawn from the seed.
    Minority,
    /// The fewest that are more than half, drawn from the seed.
    Majority,
    All,
    /// This number of nodes, drawn from the seed.
    Random(u32),
    /// By name: `n1`, `n2`, …
    Named(Vec<String>),
}
