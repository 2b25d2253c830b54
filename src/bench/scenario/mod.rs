//! The scenario file: text in, [`Scenario`] or *all* its problems out. Read twice: first into a tree that remembers
//! where each value stood, then into checked types. Never touches the disk.

mod clients;
mod cluster;
mod dialect;
#[cfg(test)]
mod docs;
mod expand;
mod faults;
mod form;
mod limits;
mod links;
mod model;
mod nemesis;
mod origin;
mod problem;
mod publishers;
mod raw;
mod read;
mod schema;
mod section;
mod sources;
mod specimen;
mod template;
#[cfg(test)]
mod tests;
mod words;

pub use cluster::{WHERE_CREDENTIALS_GO, broker_named, has_credentials, out_of_reach};
pub use expand::{Variables, variables};
pub use links::cannot_pass_a_proxy;
pub use model::{
    Arrival, BrokerKind, ClientAction, ClientGroup, Cluster, DecoderKind, Executor, FaultSpec, FaultSpecKind,
    Gaps, Guarantee, Lb, LbKind, LbPolicy, LinkEffect, LinkFault, LinkKind, Mix, Nemesis, NemesisFault,
    OnDown, Order, Output, OutputFormat, Pace, PayloadSize, Persistence, ProcessAction, PublisherSpec,
    Quiesce, Reading, Reconnect, ReconnectPolicy, RedisAction, RedisSet, RedisShape, RedisTarget, Scenario,
    Session, SpawnCluster, Spread, Stage, Subscribe, Target, Tls, Verify,
};
pub use origin::Origin;
pub(crate) use problem::did_you_mean;
pub use problem::{Problem, Problems};
pub use read::parse;
pub use schema::schema;
pub use template::{InvalidTemplate, Template};
