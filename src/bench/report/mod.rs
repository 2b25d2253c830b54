//! What is told of a run. [`Report`] is data with a version; [`text::render`] and [`Report::to_json`] write it down.
//! Pure: the same report gives the same text.

mod model;
#[cfg(test)]
mod tests;
pub mod text;
mod usage;

pub use model::{
    CounterReport, Delivery, FaultReport, MetricReport, Report, RunFacts, SCHEMA_VERSION, Summary,
};
pub use usage::{ClusterReport, MailboxReport, ProcessReport, RedisReport};
