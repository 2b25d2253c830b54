//! The tables of the page. Read [`table`] first.

use std::fmt::Write as _;

use super::time::millis;
use crate::bench::report::costs::{cluster, kib, mib, per_connection};
use crate::bench::report::model::{FaultReport, MetricReport, Report};
use crate::bench::report::usage::CounterReport;
use crate::bench::report::wording::{escaped, grouped, windows, word};
use crate::bench::verdict::history::facts::ProcessReport;
use crate::bench::verdict::ledger::{Anomaly, Example};
use crate::bench::verdict::{Check, Status};

/// The content of a table cell.
enum Cell {
    Text(String),
    Figure(String),
    Code(String),
    Mark(Status),
}

fn table(class: &str, head: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) -> String {
    let mut out = format!("<div class=\"scroll\"><table class=\"{class}\"><thead><tr>");
    for title in head {
        let _ok = write!(out, "<th>{}</th>", escaped(title));
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        row.iter().for_each(|cell| out.push_str(&cell.html()));
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
    out
}

impl Cell {
    fn html(&self) -> String {
        match self {
            Self::Text(text) => format!("<td>{}</td>", escaped(text)),
            Self::Figure(text) => format!("<td class=\"n\">{}</td>", escaped(text)),
            Self::Code(text) => format!("<td><code>{}</code></td>", escaped(text)),
            Self::Mark(status) => format!("<td class=\"m\">{}</td>", mark(*status)),
        }
    }
}

/// A sign and a word, for readers who cannot tell the colours apart.
pub(super) fn mark(status: Status) -> String {
    let sign = match status {
        Status::Pass => "✓",
        Status::Note => "·",
        Status::Unknown => "?",
        Status::Fail => "✗",
    };
    format!("<span class=\"mark {0}\">{sign} {0}</span>", word(status))
}

fn figure(ms: Option<f64>) -> Cell {
    Cell::Figure(ms.map_or_else(|| "–".to_owned(), millis))
}

fn number(count: u64) -> Cell {
    Cell::Figure(grouped(count))
}

/// Checks: those that did not pass first, then the passed ones in one row.
pub(super) fn checks(checks: &[Check]) -> String {
    let (passed, mut others): (Vec<&Check>, Vec<&Check>) =
        checks.iter().partition(|check| check.status == Status::Pass);
    others.sort_by_key(|check| std::cmp::Reverse(check.status));
    let row = |check: &Check| {
        vec![Cell::Mark(check.status), Cell::Text(check.name.clone()), Cell::Text(check.detail.clone())]
    };
    let passed: Vec<&str> = passed.into_iter().map(|check| check.name.as_str()).collect();
    let all_well = (!passed.is_empty()).then(|| {
        vec![Cell::Mark(Status::Pass), Cell::Text("none of".to_owned()), Cell::Text(passed.join(", "))]
    });
    table("checks", &["", "verification", ""], others.into_iter().map(row).chain(all_well))
}

/// Thresholds with their measured values.
pub(super) fn thresholds(report: &Report) -> String {
    let rows = report.verdict.thresholds.iter().map(|result| {
        vec![
            Cell::Mark(result.status),
            Cell::Code(result.key.clone()),
            Cell::Code(result.expression.clone()),
            Cell::Figure(result.measured.clone()),
        ]
    });
    table("thresholds", &["", "metric", "must be", "measured"], rows)
}

/// Faults with their times and their impact.
pub(super) fn faults(faults: &[FaultReport]) -> String {
    let row = |fault: &FaultReport| {
        vec![
            Cell::Text(fault.title.clone()),
            figure(Some(fault.planned_ms)),
            figure(fault.applied_ms),
            figure(fault.healed_ms),
            number(fault.sessions_cut),
            figure(fault.detect_ms),
            figure(fault.reconnect_p95_ms),
            figure(fault.recovery_p95_ms),
            number(fault.never_recovered),
            number(fault.lost),
            Cell::Text(fault.error.clone().unwrap_or_default()),
        ]
    };
    let head = [
        "fault",
        "planned",
        "applied",
        "healed",
        "sessions cut",
        "detected after",
        "reconnect p95",
        "recovery p95",
        "never reconnected",
        "lost",
        "",
    ];
    table("faults", &head, faults.iter().map(row))
}

/// Anomalies by kind: occurrences in the windows of faults, and the first examples.
pub(super) fn anomalies(anomalies: &[Anomaly]) -> String {
    let mut out = String::new();
    for anomaly in anomalies {
        let _ok = write!(
            out,
            "<h3>{} <span class=\"count\">{}</span></h3><p class=\"sub\">{}</p>",
            escaped(anomaly.kind.name()),
            grouped(anomaly.count),
            escaped(&windows(anomaly))
        );
        let row = |example: &Example| {
            let seq = example.seq.map_or(String::new(), |seq| {
                if seq.first == seq.last {
                    seq.first.to_string()
                } else {
                    format!("{}–{}", seq.first, seq.last)
                }
            });
            vec![
                Cell::Text(example.publisher.clone().unwrap_or_default()),
                Cell::Code(example.address.clone().unwrap_or_default()),
                Cell::Figure(seq),
                Cell::Text(example.subscriber.clone().unwrap_or_default()),
                Cell::Text(example.fault.clone().unwrap_or_default()),
                Cell::Text(example.note.clone()),
            ]
        };
        let head = ["publisher", "address", "numbers", "at client", "in the window of", ""];
        out.push_str(&table("examples", &head, anomaly.examples.iter().map(row)));
    }
    out
}

/// The first examples of a failed check, for the top of the page.
pub(super) fn first_examples(report: &Report, name: &str) -> Vec<String> {
    report
        .anomaly(name)
        .into_iter()
        .flat_map(|anomaly| anomaly.examples.iter().take(2))
        .map(ToString::to_string)
        .collect()
}

/// Distributions of the metrics that `is_meant` selects.
pub(super) fn metrics(report: &Report, is_meant: impl Fn(&MetricReport) -> bool) -> String {
    let row = |metric: &MetricReport| {
        let figure = |value: Option<f64>| match value {
            Some(number) if metric.is_of_numbers() => Cell::Figure(format!("{number:.0}")),
            value => figure(value),
        };
        let of_expected = match (metric.missing, metric.p99_of_expected_is_lost) {
            (0, _) => Cell::Figure(String::new()),
            (_, true) => Cell::Figure("lost".to_owned()),
            (_, false) => figure(metric.p99_of_expected),
        };
        vec![
            Cell::Code(metric.key.clone()),
            number(metric.count),
            figure(metric.min),
            figure(metric.avg),
            figure(metric.med),
            figure(metric.p90),
            figure(metric.p99),
            figure(metric.p999),
            figure(metric.max),
            of_expected,
        ]
    };
    let head = ["metric", "count", "min", "mean", "p50", "p90", "p99", "p99.9", "max", "p99 of expected"];
    table("metrics", &head, report.metrics.iter().filter(|metric| is_meant(metric)).map(row))
}

/// Counters of clients and publishers.
pub(super) fn counters(report: &Report) -> String {
    let row = |counter: &CounterReport| vec![Cell::Code(counter.key.clone()), number(counter.count)];
    table("counters", &["counter", ""], report.counters.iter().map(row))
}

/// Resources of each process.
pub(super) fn processes(report: &Report) -> String {
    let row = |process: &ProcessReport| {
        let per_connection =
            per_connection(process).map_or(String::new(), |bytes| format!("{:.1} KiB", kib(bytes)));
        vec![
            Cell::Text(process.id.clone()),
            number(process.connections_peak.into()),
            Cell::Figure(format!("{:.1} MiB", mib(process.rss_peak_bytes))),
            Cell::Figure(format!("{:.1} MiB", mib(process.rss_idle_bytes))),
            Cell::Figure(per_connection),
            Cell::Figure(format!("{:.2} s", process.cpu_seconds)),
            number(process.open_files_peak),
            number(process.starts.into()),
        ]
    };
    let head = [
        "process",
        "connections at most",
        "memory at most",
        "idle",
        "by connection",
        "CPU",
        "open files at most",
        "starts",
    ];
    let mut out = table("processes", &head, report.processes.iter().map(row));
    for line in cluster(&report.cluster) {
        let _ok = write!(out, "<p class=\"sub\">{}</p>", escaped(&line));
    }
    out
}
