//! What is told of a run. [`Report`] is data with a version, [`Chronicle`] what happened in which second; [`Told`]
//! writes both down in every format. Pure: the same run gives the same text, in whatever format.
//! Read [`Report`] first, then [`Told`].

mod chronicle;
mod costs;
mod csv;
mod hdr;
mod html;
mod junit;
mod markdown;
mod model;
mod schema;
#[cfg(test)]
mod tests;
pub mod text;
mod told;
mod usage;

pub use chronicle::{CHRONICLE_VERSION, Chronicle, CountRow, Label, PhaseEdge, Strand};
pub use hdr::{LogError, read_log};
pub use junit::render as render_junit;
pub use schema::schema;

pub use model::{
    CounterReport, Delivery, FaultReport, HarnessFloor, MetricReport, Report, RunFacts, SCHEMA_VERSION,
    Summary,
};
pub use told::{LOG_FILE, REPORT_FILE, SERIES_FILE, Told, file_names};
pub use usage::{ClusterReport, MailboxReport, ProcessReport, RedisReport};
