//! The types of a checked scenario. Data only: the reader checks ranges and names before it makes one.
//! Read [`Scenario`] first.

mod cluster;
mod event_toxic;
mod faults;
mod hostile;
mod links;
mod scenario;
mod template;
mod time_scale;
mod toxic;

pub use cluster::{
    BrokerKind, Cluster, Lb, LbKind, LbPolicy, OnDown, Persistence, RedisSet, RedisShape, SpawnCluster, Tls,
};
pub use event_toxic::{EventAction, EventToxic, Which};
pub use faults::{
    ClientAction, FaultSpec, FaultSpecKind, LinkFault, Nemesis, NemesisFault, ProcessAction, RedisAction,
    RedisTarget, Target,
};
pub use hostile::{Behavior, HostileGroup};
pub use links::{LinkEffect, LinkKind};

pub use scenario::{
    Arrival, ClientGroup, DecoderKind, Distribution, EmptyVariable, Executor, Gaps, Guarantee, Mix, Order,
    Output, OutputFormat, Pace, PayloadSize, PublisherSpec, Quiesce, ReadLimits, Reading, Reconnect,
    ReconnectPolicy, Scenario, Session, Stage, Subscribe, TransportKind, Verify,
};
pub use template::{InvalidTemplate, Template};
pub use toxic::{Attribute, Direction, Stream, Toxic, ToxicKind};
