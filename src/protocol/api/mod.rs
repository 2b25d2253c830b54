//! JSON bodies of the HTTP interface, shared by the node that writes them and by bench and console that read them. Keys
//! are camelCase. The doc comments are the descriptions of `web/openapi.json`: a test writes that file from these types.
//! Read [`PublishRequest`] first.

mod access;
mod cluster;
mod connections;
mod control;
mod log;
mod metrics;
mod object;
mod problem;
mod publish;

pub use access::{RevokeRequest, Revoked};
pub use cluster::{
    DrainRequest, DrainStatus, Presence, Rebalance, RebalanceRequest, RebalanceStatus, Server, Servers,
    Unreachable, Whereabouts,
};
pub use connections::{ConnectionAt, ConnectionList, ConnectionRow};
pub use control::{CloseEvent, ConnectionEvent, GapEvent, GapReason, Resumed, SyncEvent};
pub use log::{EventLedger, History, LogEvent, Pending, WrittenBy};
pub use metrics::{HistogramDump, LogMetrics, LogServer, MemoryUsage, NodeMetrics};
pub use object::object;
pub use problem::Problem;
pub use publish::{AckRequest, Acked, BatchAnswer, BatchEvent, BatchOutcome, PublishRequest, Published};
