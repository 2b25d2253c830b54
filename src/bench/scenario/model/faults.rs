//! What a scenario breaks, and whom that meets. Read [`FaultSpec`] first.

use std::fmt;
use std::time::Duration;

use super::links::LinkFault;

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
    /// Links that pass the fault proxy.
    Link(LinkFault),
    /// The cables of nodes that have hosts of their own.
    Netns {
        /// Which nodes.
        target: Target,
    },
    /// Another number of nodes: more are started, or some drained.
    Scale {
        /// So many.
        to: u16,
    },
    /// Clients, by what they do themselves.
    Clients {
        /// What.
        action: ClientAction,
        /// How many; `None`: all.
        clients: Option<u32>,
        /// Of which group; `None`: of any.
        group: Option<String>,
    },
}

/// What clients do all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAction {
    /// They cut their connections, and come back as their policy says.
    ReconnectStorm,
    /// They leave for good, and as many new ones come in the same moment.
    ChurnBurst,
    /// They read slowly for a while.
    SlowDown {
        /// So slowly.
        bytes_per_sec: u32,
    },
}

impl ClientAction {
    /// Whether it is over as soon as it is done.
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
    /// Nothing is broken before.
    pub from: Duration,
    /// Everything is mended by then.
    pub until: Duration,
    /// From the heal of one to the next, on average: a half of it to one and a half.
    pub every: Duration,
    /// What may be drawn, each as likely as the others.
    pub faults: Vec<NemesisFault>,
}

/// What a [`Nemesis`] may do.
#[derive(Debug, Clone, PartialEq)]
pub struct NemesisFault {
    /// The word of its type.
    pub word: String,
    /// What.
    pub kind: FaultSpecKind,
    /// The shortest and the longest; without meaning for what is over at once.
    pub lasts: (Duration, Duration),
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
    /// As many as can be without so that more than half are left, drawn from the seed.
    Minority,
    /// The fewest that are more than half, drawn from the seed.
    Majority,
    /// All.
    All,
    /// So many, drawn from the seed.
    Random(u32),
    /// These: `n1`, `n2`, …
    Named(Vec<String>),
}
