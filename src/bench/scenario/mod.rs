//! The scenario file: text in, [`Scenario`] or *all* its problems out. Read twice: first into a tree that remembers
//! where each value stood, then into checked types. Never touches the disk.

pub mod dialect;
mod model;
pub mod plan;
pub mod read;
pub mod schema;
#[cfg(test)]
mod tests;

pub use model::{
    Arrival, BrokerKind, ClientAction, ClientGroup, Cluster, DecoderKind, Executor, FaultSpec, FaultSpecKind,
    Gaps, Guarantee, Lb, LbKind, LbPolicy, LinkEffect, LinkFault, LinkKind, Mix, Nemesis, NemesisFault,
    OnDown, Order, Output, OutputFormat, Pace, PayloadSize, Persistence, ProcessAction, PublisherSpec,
    Quiesce, Reading, Reconnect, ReconnectPolicy, RedisAction, RedisSet, RedisShape, RedisTarget, Scenario,
    Session, SpawnCluster, Spread, Stage, Subscribe, Target, Tls, Verify,
};
pub use read::cluster::{WHERE_CREDENTIALS_GO, broker_named, has_credentials, out_of_reach};
pub use read::expand::{Variables, variables};
pub use read::fault_links::cannot_pass_a_proxy;
pub use read::overrides::Origin;
pub use read::problem::{Problem, Problems};
pub use read::scenario::parse;
pub use read::template::{InvalidTemplate, Template};
pub use schema::schema::schema;

pub use model::toxic::{Direction, Stream, Toxic, ToxicKind};
