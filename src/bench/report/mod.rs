//! What is told of a run. [`Report`] is data with a version; [`text::render`] and [`Report::to_json`] write it down.
//! Pure: the same report gives the same text.

mod model;
#[cfg(test)]
mod tests;
pub mod text;

pub use model::{
    CounterReport, Delivery, FaultReport, MetricReport, ProcessReport, Report, RunFacts, SCHEMA_VERSION,
    Summary,
};
