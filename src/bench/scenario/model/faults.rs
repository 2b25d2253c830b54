//! What a scenario breaks, and whom that meets. Read [`FaultSpec`] first.

use std::fmt;
use std::time::Duration;

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
