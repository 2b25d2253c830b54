//! A scenario, checked and ready to plan: every value here is within its allowed range, every name parsed.
//! Read [`Scenario`] first.

mod cluster;
mod fault_range;
mod faults;
mod links;
mod scenario;
pub(super) mod toxic;

pub use cluster::{
    BrokerKind, Cluster, Lb, LbKind, LbPolicy, OnDown, Persistence, RedisSet, RedisShape, SpawnCluster, Tls,
};
pub use faults::{
    ClientAction, FaultSpec, FaultSpecKind, Nemesis, NemesisFault, ProcessAction, RedisAction, RedisTarget,
    Target,
};
pub use links::{LinkEffect, LinkFault, LinkKind};

pub use scenario::{
    Arrival, ClientGroup, DecoderKind, Executor, Gaps, Guarantee, Mix, Order, Output, OutputFormat, Pace,
    PayloadSize, PublisherSpec, Quiesce, Reading, Reconnect, ReconnectPolicy, Scenario, Session, Spread,
    Stage, Subscribe, Verify,
};
