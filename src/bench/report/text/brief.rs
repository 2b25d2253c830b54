//! Puts the sections together: all of them, or as much as fits on a screen. Read [`render`] first.

use super::page::{Colour, Paint, Section};
use super::sections;
use crate::bench::report::model::Report;

/// Lines of a brief report.
const LINES: usize = 30;
/// Lines of its diagnosis, the title included.
const DIAGNOSIS_LINES: usize = 10;

/// The report in at most 30 lines, with a newline at its end. What does not fit is counted.
#[must_use]
pub fn render(report: &Report, colour: Colour) -> String {
    let diagnosis = sections::diagnosis(report, colour, DIAGNOSIS_LINES);
    let mut all = vec![
        sections::verdict(report, colour),
        diagnosis,
        sections::delivery(report, colour),
        sections::thresholds(report, colour, false),
        sections::faults(&report.faults, colour),
    ];
    all.retain(|section| !section.lines.is_empty());
    let gaps = if lines(&all) + all.len() > LINES { 0 } else { all.len() };
    // The last one first: what failed matters more than what was broken on purpose.
    for index in (0..all.len()).rev() {
        let over = (lines(&all) + gaps).saturating_sub(LINES);
        let fits = all[index].lines.len().saturating_sub(over);
        all[index].shrink_to(fits);
    }
    joined(&all, if gaps > 0 { "\n\n" } else { "\n" }, &sections::last_line(report, colour))
}

/// The report with every metric, counter and process.
#[must_use]
pub fn render_full(report: &Report, colour: Colour) -> String {
    let mut all = vec![
        sections::verdict(report, colour),
        sections::diagnosis(report, colour, usize::MAX),
        sections::delivery_in_full(report, colour),
        sections::thresholds(report, colour, true),
        sections::faults(&report.faults, colour),
        sections::metrics(report, colour),
        sections::costs(report, colour),
    ];
    all.retain(|section| !section.lines.is_empty());
    joined(&all, "\n\n", &sections::last_line(report, colour))
}

/// Lines of the whole text and the last one, without empty ones between sections.
fn lines(sections: &[Section]) -> usize {
    sections.iter().map(|section| section.lines.len()).sum::<usize>() + 1
}

fn joined(sections: &[Section], gap: &str, last: &str) -> String {
    let mut text = String::new();
    for section in sections {
        text.push_str(&section.lines.join("\n"));
        text.push_str(gap);
    }
    text.push_str(last);
    text.push('\n');
    text
}

impl Colour {
    pub(super) fn exit(self, report: &Report) -> String {
        use crate::bench::exit::Grade;
        let exit = report.verdict.exit;
        let paint = match exit.grade() {
            Grade::Good => Paint::Good,
            Grade::Inconclusive => Paint::Inconclusive,
            Grade::Bad => Paint::Bad,
        };
        self.paint(paint, exit.word())
    }
}
