//! The scenario file: text in, [`Scenario`] or *all* its problems out. Parsed in two steps: into a tree of values with
//! their places, then into checked types. Never touches the disk.

pub mod dialect;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod limits;
mod model;
pub mod plan;
mod read;
mod schema;
#[cfg(test)]
mod tests;

pub use model::{
    Arrival, Attribute, Behavior, BrokerKind, ClientAction, ClientGroup, Cluster, DecoderKind, Direction,
    Distribution, EmptyVariable, EventAction, EventToxic, Executor, FaultSpec, FaultSpecKind, Gaps,
    Guarantee, HostileGroup, InvalidTemplate, Lb, LbKind, LbPolicy, LinkEffect, LinkFault, LinkKind, Mix,
    Nemesis, NemesisFault, OnDown, Order, Output, OutputFormat, Pace, PayloadSize, Persistence,
    ProcessAction, PublisherSpec, Quiesce, ReadLimits, Reading, Reconnect, ReconnectPolicy, RedisAction,
    RedisSet, RedisShape, RedisTarget, Scenario, Session, SpawnCluster, Stage, Stream, Subscribe, Target,
    Template, Tls, Toxic, ToxicKind, TransportKind, Verify, Which,
};
pub use read::cluster::{WHERE_CREDENTIALS_GO, broker_named, has_credentials, out_of_reach};
pub use read::expand::{Variables, variables};
pub use read::fault_links::cannot_pass_a_proxy;
pub use read::overrides::ScenarioSource;
pub use read::problem::{Problem, Problems};
pub use read::scenario::parse;
pub use schema::schema::schema;
