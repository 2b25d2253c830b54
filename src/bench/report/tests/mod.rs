//! Tests of the reports.

mod formats;
mod report;
