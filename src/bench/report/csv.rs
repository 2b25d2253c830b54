//! Reports as CSV: a table with a row per slot of time, and one with the figures of the whole run, one per row.
//! Read [`series`] first.

use std::fmt::Write as _;

use super::hdr::ms;
use super::model::{FaultReport, MetricReport, Report};
use super::time_series::{CountRow, TimeSeries};
use crate::bench::metrics::metric::Trend;

/// A row for each slot: phase, active faults, counts, connections, latency of the deliveries that were due in it.
#[must_use]
pub(super) fn series(report: &Report, series: &TimeSeries) -> String {
    let mut text = String::from(
        "second,phase,faults,delivered,published,not_acknowledged,dropped,reconnects,connect_errors,gaps,connections,\
         connection_skew",
    );
    for node in &series.nodes {
        push(&mut text, &format!("connections_{node}"));
    }
    text.push_str(
        ",delivery_latency_count,delivery_latency_p50_ms,delivery_latency_p95_ms,delivery_latency_p99_ms,\
         delivery_latency_p999_ms,delivery_latency_max_ms\n",
    );
    let latencies = series.by_slot(Trend::DeliveryLatency, |_| true);
    let width = u64::from(series.slot_seconds.max(1));
    for slot in 0..series.seconds() / width {
        let second = slot * width;
        let _ok = write!(text, "{second}");
        push(&mut text, series.phase_at(second * 1_000));
        push(&mut text, &active_faults(&report.faults, second, width).join(" "));
        let row = series.counts.iter().find(|row| row.second == second);
        push_counts(&mut text, row, series.nodes.len());
        match u32::try_from(slot).ok().and_then(|slot| latencies.get(&slot)) {
            Some(histogram) => {
                push(&mut text, &histogram.len().to_string());
                for percent in [50.0, 95.0, 99.0, 99.9, 100.0] {
                    push(&mut text, &format!("{:.3}", ms(histogram.value_at_percentile(percent))));
                }
            }
            None => text.push_str(",0,,,,,"),
        }
        text.push('\n');
    }
    text
}

/// Names of the faults that were active in a slot.
fn active_faults(faults: &[FaultReport], second: u64, width: u64) -> Vec<&str> {
    #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
    let (from, to) = (second as f64 * 1e3, (second + width) as f64 * 1e3);
    let is_active = |fault: &&FaultReport| {
        fault.applied_ms.is_some_and(|applied| {
            applied < to && fault.healed_ms.is_none_or(|healed| healed.max(applied) >= from)
        })
    };
    faults.iter().filter(is_active).map(|fault| fault.name.as_str()).collect()
}

fn push_counts(text: &mut String, row: Option<&CountRow>, nodes: usize) {
    let Some(CountRow { counted, .. }) = row else {
        text.push_str(&",".repeat(9 + nodes));
        return;
    };
    for count in [
        counted.delivered,
        counted.published,
        counted.not_acknowledged,
        counted.dropped,
        counted.reconnects,
        counted.connect_errors,
        counted.gaps,
        counted.connections.iter().map(|count| u64::from(*count)).sum(),
    ] {
        push(text, &count.to_string());
    }
    push(text, &skew(&counted.connections).map_or(String::new(), |skew| format!("{skew:.3}")));
    for node in 0..nodes {
        push(text, &counted.connections.get(node).map_or(String::new(), u32::to_string));
    }
}

/// Connections of the fullest node by the mean: 1 where all nodes have the same. `None` without connections.
#[must_use]
pub(super) fn skew(connections: &[u32]) -> Option<f64> {
    let (most, sum) =
        (connections.iter().max()?, connections.iter().map(|count| f64::from(*count)).sum::<f64>());
    #[expect(clippy::cast_precision_loss, reason = "nodes are few")]
    let mean = sum / connections.len() as f64;
    (mean > 0.0).then(|| f64::from(*most) / mean)
}

/// The figures of the whole run, one per row: kind, name, figure, value.
#[must_use]
pub(super) fn summary(report: &Report) -> String {
    let mut text = String::from("kind,name,figure,value\n");
    let summary = &report.summary;
    for (figure, value) in [
        ("scenario", summary.scenario.clone()),
        ("verdict", summary.verdict.clone()),
        ("exit_code", summary.exit_code.to_string()),
        ("failed", summary.failed.join("; ")),
        ("seed", report.run.seed.to_string()),
        ("nodes", report.run.nodes.to_string()),
        ("clients", report.run.clients.to_string()),
        ("duration_ms", report.run.duration_ms.to_string()),
    ] {
        row(&mut text, ["run", &report.run.id, figure, &value]);
    }
    if let Some(baseline) = &report.harness {
        row(&mut text, ["harness", "floor", "p50_ms", &baseline.p50_ms.to_string()]);
        row(&mut text, ["harness", "floor", "p99_ms", &baseline.p99_ms.to_string()]);
    }
    let delivery = &report.delivery;
    for (name, count) in [
        ("events_expected", delivery.expected),
        ("events_ok", delivery.ok),
        ("events_recovered", delivery.recovered),
        ("events_lost", delivery.lost),
        ("events_unseen", delivery.unseen),
        ("events_gap_declared", delivery.gap_declared),
        ("events_duplicated", summary.events_duplicated),
        ("events_reordered", delivery.reordered),
        ("events_unexpected", delivery.unexpected.total()),
        ("publish_ok", delivery.publishes.ok),
        ("publish_fail", delivery.publishes.fail),
        ("publish_indeterminate", delivery.publishes.indeterminate),
        ("publish_dropped", delivery.publishes.dropped),
    ] {
        row(&mut text, ["deliveries", name, "count", &count.to_string()]);
    }
    for result in &report.verdict.thresholds {
        let name = format!("{} {}", result.key, result.expression);
        row(&mut text, ["threshold", &name, super::wording::word(result.status), &result.measured]);
    }
    report.faults.iter().for_each(|fault| fault_rows(&mut text, fault));
    report.metrics.iter().for_each(|metric| metric_rows(&mut text, metric));
    for counter in &report.counters {
        row(&mut text, ["counter", &counter.key, "count", &counter.count.to_string()]);
    }
    text
}

fn fault_rows(text: &mut String, fault: &FaultReport) {
    let figures = [
        ("planned_ms", Some(fault.planned_ms)),
        ("applied_ms", fault.applied_ms),
        ("healed_ms", fault.healed_ms),
        ("detect_ms", fault.detect_ms),
        ("reconnect_p95_ms", fault.reconnect_p95_ms),
        ("recovery_p95_ms", fault.recovery_p95_ms),
    ];
    for (figure, value) in figures.into_iter().filter_map(|(figure, value)| Some((figure, value?))) {
        row(text, ["fault", &fault.name, figure, &value.to_string()]);
    }
    let counts = [
        ("sessions_cut", fault.sessions_cut),
        ("never_recovered", fault.never_recovered),
        ("not_back", fault.not_back),
        ("lost", fault.lost),
    ];
    for (figure, count) in counts {
        row(text, ["fault", &fault.name, figure, &count.to_string()]);
    }
}

fn metric_rows(text: &mut String, metric: &MetricReport) {
    row(text, ["metric", &metric.key, "count", &metric.count.to_string()]);
    row(text, ["metric", &metric.key, "missing", &metric.missing.to_string()]);
    let figures = [
        ("min_ms", metric.min),
        ("avg_ms", metric.avg),
        ("p50_ms", metric.med),
        ("p90_ms", metric.p90),
        ("p99_ms", metric.p99),
        ("p999_ms", metric.p999),
        ("max_ms", metric.max),
    ];
    for (figure, value) in figures.into_iter().filter_map(|(figure, value)| Some((figure, value?))) {
        row(text, ["metric", &metric.key, figure, &value.to_string()]);
    }
}

fn row(text: &mut String, cells: [&str; 4]) {
    text.push_str(&cells.map(quoted).join(","));
    text.push('\n');
}

fn push(text: &mut String, cell: &str) {
    text.push(',');
    text.push_str(&quoted(cell));
}

/// A cell, quoted by RFC 4180. An apostrophe keeps spreadsheets from reading a cell as a formula.
fn quoted(cell: &str) -> String {
    let cell = if cell.starts_with(['=', '+', '@']) { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cannot_break_the_table_or_become_formulas() {
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"so\"\nnow"), "\"say \"\"so\"\"\nnow\"");
        assert_eq!(quoted("=1+1"), "'=1+1");
        assert_eq!(quoted("n1"), "n1");
    }

    #[test]
    fn skew_is_the_fullest_node_by_the_mean() {
        assert_eq!(skew(&[2, 2]), Some(1.0));
        assert_eq!(skew(&[4, 0]), Some(2.0));
        assert_eq!((skew(&[0, 0]), skew(&[])), (None, None));
    }
}
