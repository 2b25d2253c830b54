//! The scenario file: text in, [`Scenario`] or *all* its problems out. Read twice: first into a tree that remembers
//! where each value stood, then into checked types. Never touches the disk.

mod model;
mod template;

pub use model::{
    Arrival, BrokerKind, ClientGroup, Cluster, DecoderKind, Executor, FaultSpec, FaultSpecKind, Gaps,
    Guarantee, LbPolicy, Mix, Order, Output, OutputFormat, Pace, PayloadSize, ProcessAction, PublisherSpec,
    Quiesce, Reconnect, ReconnectPolicy, Scenario, SpawnCluster, Stage, Subscribe, Target, Verify,
};
pub use template::{InvalidTemplate, Template};

mod problem;
pub(crate) use problem::did_you_mean;
pub use problem::{Problem, Problems, parse};
