//! Words and figures that all formats share: names, plurals, times, escaping. Read [`word`] first.

use std::time::Duration;

use crate::bench::metrics::format::readable;
use crate::bench::verdict::Status;
use crate::bench::verdict::ledger::Anomaly;
use crate::runtime::thousands;

/// The name of a status in reports.
#[must_use]
pub(super) fn word(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Note => "note",
        Status::Unknown => "unknown",
        Status::Fail => "fail",
    }
}

/// A text escaped for XML and HTML, also in attributes. Control characters, which XML forbids, become `�`.
#[must_use]
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

pub(super) fn plural(count: u64, what: &str) -> String {
    format!("{} {}", grouped(count), crate::runtime::plural(count, what))
}

/// `1 204 331`
pub(super) fn grouped(count: u64) -> String {
    thousands::grouped(count, ' ')
}

/// `3 in the window of kill-1, 1 in the window of kill-2`; empty where all occurred outside of windows.
pub(super) fn windows(anomaly: &Anomaly) -> String {
    let window = |(name, count): &(String, u64)| format!("{} in the window of {name}", grouped(*count));
    anomaly.by_fault.iter().map(window).collect::<Vec<_>>().join(", ")
}

pub(super) fn time(ms: Option<f64>) -> String {
    ms.map_or_else(|| "–".to_owned(), |ms| readable(Duration::from_secs_f64(ms / 1e3)))
}
