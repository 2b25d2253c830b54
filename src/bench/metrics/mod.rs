//! Measurements of a run: metrics, clocks, histograms, series over time, and expressions of thresholds. Never judges.
//! Read [`metric::Metric`] first, then [`recorder::Recorder`].

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
