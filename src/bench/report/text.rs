//! A report for people: verdict first, then delivery, thresholds, faults, metrics.

use super::Report;

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colour {
    /// Plain.
    #[default]
    Off,
    /// ANSI.
    On,
}

/// The report as text.
#[must_use]
pub fn render(report: &Report, colour: Colour) -> String {
    let _ = (report, colour);
    todo!()
}
