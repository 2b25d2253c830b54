//! Reports of a run that was judged. [`Report`] is data with a version, [`TimeSeries`] holds counts and latencies by second,
//! [`ReportFiles`] renders both in every format. Pure: the same run gives the same files. Decides nothing.
//! Read [`Report`] first, then [`ReportFiles`].

mod build;
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
mod wording;

pub use formats::{LOG_FILE, REPORT_FILE, ReportFiles, SERIES_FILE, file_names};
pub use hdr::{LogError, read_log};
pub use junit::render as render_junit;
pub use model::{Delivery, FaultReport, MetricReport, Report, RunFacts, SCHEMA_VERSION, Summary};
pub use schema::schema;
pub use time_series::{CountRow, Label, PhaseEdge, SeriesColumn, TIME_SERIES_VERSION, TimeSeries};
pub use usage::{ClusterReport, CounterReport, RedisReport};
