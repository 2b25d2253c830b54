//! What a run measures: names, clocks, histograms, series by second, and the expressions that thresholds are written in.

pub mod buckets;
pub mod clock;
pub mod format;
pub mod latency;
pub mod metric;
pub mod recorder;
pub mod series;
pub mod tags;
pub mod threshold;
pub mod time;
