//! What is told of a run. [`Report`] is data with a version, [`TimeSeries`] what happened in which second; [`ReportFiles`]
//! writes both down in every format. Pure: the same run gives the same text, in whatever format.
//! Read [`Report`] first, then [`ReportFiles`].

mod costs;
mod csv;
mod formats;
mod hdr;
mod html;
mod junit;
mod markdown;
mod model;
mod schema;
#[cfg(test)]
mod tests;
pub mod text;
mod time_series;
mod usage;
pub mod wording;

pub use formats::{LOG_FILE, REPORT_FILE, ReportFiles, SERIES_FILE, file_names};
pub use hdr::{LogError, read_log};
pub use junit::render as render_junit;
pub use model::{
    CounterReport, Delivery, FaultReport, MetricReport, Report, RunFacts, SCHEMA_VERSION, Summary,
};
pub use schema::schema;
pub use time_series::{CHRONICLE_VERSION, CountRow, Label, PhaseEdge, SeriesColumn, TimeSeries};
pub use usage::{ClusterReport, RedisReport};
