//! The sections of the page, in their order. Read [`render`] first.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use super::time::{Curve, TimeChart, Unit, millis};
use super::{curve, gantt, tables};
use crate::bench::exit::Grade;
use crate::bench::metrics::format::readable;
use crate::bench::metrics::metric::Trend;
use crate::bench::metrics::series::Counted;
use crate::bench::report::csv::skew;
use crate::bench::report::hdr::ms;
use crate::bench::report::model::Report;
use crate::bench::report::time_series::{CountRow, TimeSeries};
use crate::bench::report::wording::{escaped, grouped, plural};
use crate::bench::verdict::Status;
use crate::bench::verdict::diagnosis::Finding;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// What is counted over a slot is drawn in its middle, and what holds at its end there.
const MIDDLE: f64 = 0.5;
const END: f64 = 1.0;
/// Styles of the curves of nodes; with more nodes, several share a style.
const NODE_CLASSES: [&str; 6] = ["c1", "c2", "c3", "c4", "c5", "c6"];
/// With more nodes, one curve shows their sum.
const NODE_CURVES: usize = 12;

/// The page as a complete HTML document.
#[must_use]
pub(in crate::bench::report) fn render(report: &Report, series: &TimeSeries) -> String {
    let title = format!("{} {}", report.summary.verdict, report.summary.scenario);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>{}</title><style>{STYLE}</style></head><body><main>",
        escaped(&title)
    );
    page.push_str(&head(report));
    page.push_str(&diagnosis(report));
    page.push_str(&tiles(report));
    page.push_str(&over_time(report, series));
    page.push_str(&faults(report, series));
    page.push_str(&losses(report));
    page.push_str(&expectations(report));
    page.push_str(&figures(report));
    let _ok = writeln!(page, "</main><div id=\"tip\" hidden></div><script>{SCRIPT}</script></body></html>");
    page
}

fn section(title: &str, sub: &str, body: &str) -> String {
    let sub = if sub.is_empty() { String::new() } else { format!("<p class=\"sub\">{}</p>", escaped(sub)) };
    format!("<section><h2>{}</h2>{sub}{body}</section>", escaped(title))
}

fn head(report: &Report) -> String {
    let (exit, run) = (report.verdict.exit, &report.run);
    let (class, sign) = match exit.grade() {
        Grade::Good => ("pass", "✓"),
        Grade::Inconclusive => ("unknown", "?"),
        Grade::Bad => ("fail", "✗"),
    };
    let mut out = format!(
        "<header class=\"{class}\"><div class=\"verdict\"><span class=\"sign\">{sign}</span> {}</div>\
         <div class=\"what\"><h1>{}</h1><p>{}</p></div><div class=\"code\">exit code <b>{}</b></div></header>",
        exit.word(),
        escaped(&report.summary.scenario),
        escaped(&run.description),
        exit.code()
    );
    let baseline = report.harness.as_ref().map(|baseline| {
        format!("harness floor p50 {}, p99 {}", millis(baseline.p50_ms), millis(baseline.p99_ms))
    });
    let facts = [
        Some(plural(run.nodes, "node")),
        Some(plural(run.clients, "client")),
        Some(readable(std::time::Duration::from_millis(run.duration_ms))),
        Some(run.guarantee.clone()),
        Some(format!("seed {}", run.seed)),
        baseline,
        run.started_at.clone(),
        Some(format!("run {}", run.id)),
    ];
    let facts: Vec<String> =
        facts.into_iter().flatten().map(|fact| format!("<li>{}</li>", escaped(&fact))).collect();
    let _ok = write!(out, "<ul class=\"facts\">{}</ul>", facts.concat());
    out.push_str(&findings(report));
    out
}

/// The causes, as far as they are known; empty where nothing stood out.
fn diagnosis(report: &Report) -> String {
    let item = |finding: &Finding| {
        let (what, evidence) = (escaped(&finding.what), escaped(&finding.evidence));
        let remedy = match finding.remedy.as_str() {
            "" => String::new(),
            remedy => format!("<p class=\"remedy\">→ {}</p>", escaped(remedy)),
        };
        format!("<li><b>{what}</b><p>{evidence}</p>{remedy}</li>")
    };
    if report.diagnosis.is_empty() {
        return String::new();
    }
    let items: String = report.diagnosis.iter().map(item).collect();
    section("Diagnosis", "the likeliest root cause first", &format!("<ol class=\"diagnosis\">{items}</ol>"))
}

/// Why the run did not pass; empty where it did.
fn findings(report: &Report) -> String {
    let mut items = Vec::new();
    let is_told = |status: &Status| matches!(status, Status::Fail | Status::Unknown);
    for check in report.verdict.checks.iter().filter(|check| is_told(&check.status)) {
        let examples = tables::first_examples(report, &check.name);
        let examples: String =
            examples.iter().map(|text| format!("<div class=\"eg\">{}</div>", escaped(text))).collect();
        let (mark, name) = (tables::mark(check.status), escaped(&check.name));
        items.push(format!("<li>{mark} <b>{name}</b> {}{examples}</li>", escaped(&check.detail)));
    }
    for result in report.verdict.thresholds.iter().filter(|result| is_told(&result.status)) {
        let (mark, measured) = (tables::mark(result.status), escaped(&result.measured));
        let (key, expression) = (escaped(&result.key), escaped(&result.expression));
        items.push(format!("<li>{mark} <code>{key} {expression}</code> {measured}</li>"));
    }
    for problem in &report.verdict.problems {
        items.push(format!("<li>{} {}</li>", tables::mark(Status::Fail), escaped(&problem.message)));
    }
    if items.is_empty() { String::new() } else { format!("<ul class=\"findings\">{}</ul>", items.concat()) }
}

fn tiles(report: &Report) -> String {
    let (delivery, summary) = (&report.delivery, &report.summary);
    let share = match delivery.expected {
        0 => "nothing was owed".to_owned(),
        owed => format!("of {} owed", grouped(owed)),
    };
    let time = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), millis);
    let whole = report.metrics.iter().find(|metric| metric.key == "delivery_latency");
    let is_lost = whole.is_some_and(|metric| metric.p99_of_expected_is_lost);
    let of_expected =
        if is_lost { "infinite".to_owned() } else { time(summary.delivery_latency_p99_of_expected_ms) };
    let repeated = summary.events_duplicated;
    let tiles = [
        ("arrived", grouped(delivery.ok), share, false),
        ("lost", grouped(delivery.lost), format!("{} unseen", grouped(delivery.unseen)), delivery.lost > 0),
        (
            "GAP events",
            grouped(delivery.gap_events),
            format!("cover {} deliveries", grouped(delivery.gap_declared)),
            false,
        ),
        (
            "duplicated",
            grouped(repeated),
            format!("{} in a session", grouped(delivery.duplicated_in_session)),
            delivery.duplicated_in_session > 0,
        ),
        ("reordered", grouped(delivery.reordered), "of one publisher and address".to_owned(), false),
        ("latency p50", time(summary.delivery_latency_p50_ms), "from the due time".to_owned(), false),
        (
            "latency p99",
            time(summary.delivery_latency_p99_ms),
            format!("with missing events counted as infinite: {of_expected}"),
            is_lost,
        ),
        (
            "published",
            grouped(delivery.publishes.ok),
            format!(
                "{} failed, {} dropped",
                grouped(delivery.publishes.fail + delivery.publishes.indeterminate),
                grouped(delivery.publishes.dropped)
            ),
            delivery.publishes.dropped > 0,
        ),
    ];
    let tile = |(name, value, sub, is_bad): (&str, String, String, bool)| {
        let class = if is_bad { "tile bad" } else { "tile" };
        format!(
            "<div class=\"{class}\"><div class=\"name\">{name}</div><div class=\"value\">{}</div><div class=\"sub\">{}</div></div>",
            escaped(&value),
            escaped(&sub)
        )
    };
    format!("<div class=\"tiles\">{}</div>", tiles.into_iter().map(tile).collect::<String>())
}

fn over_time(report: &Report, series: &TimeSeries) -> String {
    let latency = TimeChart {
        id: "latency",
        size: (1120.0, 280.0),
        unit: Unit::Millis,
        curves: latency_curves(series),
    };
    let mut out = section(
        "Latency over time",
        "from the due time of an event to its arrival, by the second in which it was due; shaded: faults",
        &latency.render(report, series),
    );
    // Each on a scale of its own: a broadcast is published once and delivered a thousand times.
    let rate = |id, title, curves| {
        let chart = TimeChart { id, size: (550.0, 200.0), unit: Unit::Count, curves };
        section(title, "", &chart.render(report, series))
    };
    let delivered = rate("delivered", "Delivered per second", delivered_curves(series));
    let published = rate("published", "Published per second", published_curves(series));
    let _ok = write!(out, "<div class=\"two\">{delivered}{published}</div>");
    let skewed = series.counts.iter().filter_map(|row| skew(&row.counted.connections)).fold(0.0, f64::max);
    let sub = match series.nodes.len() {
        0 | 1 => String::new(),
        _ => format!("the node with the most connections had up to {skewed:.2} times the mean"),
    };
    let nodes =
        TimeChart { id: "nodes", size: (1120.0, 180.0), unit: Unit::Count, curves: node_curves(series) };
    out.push_str(&section("Connections by node", &sub, &nodes.render(report, series)));
    let trouble = trouble_curves(series);
    let beside = if trouble.is_empty() {
        section(
            "Reconnects and errors",
            "",
            "<p class=\"none\">None: no client reconnected, no connect failed.</p>",
        )
    } else {
        let chart = TimeChart { id: "trouble", size: (550.0, 270.0), unit: Unit::Count, curves: trouble };
        section("Reconnects and errors per second", "", &chart.render(report, series))
    };
    let curve = section(
        "Percentiles of latency",
        "without the warm-up, with replayed events",
        &curve::render(report, series),
    );
    let _ok = write!(out, "<div class=\"two\">{curve}{beside}</div>");
    out
}

fn slots(series: &TimeSeries) -> u32 {
    let count = series.seconds() / u64::from(series.slot_seconds.max(1));
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn latency_curves(series: &TimeSeries) -> Vec<Curve> {
    let by_slot = series.by_slot(Trend::DeliveryLatency, |_| true);
    let values = |percent: f64| {
        let value = |histogram: &Histogram<u64>| ms(histogram.value_at_percentile(percent)).max(0.001);
        (0..slots(series)).map(|slot| by_slot.get(&slot).map(value)).collect()
    };
    [("max", "c4", 100.0), ("p99", "c3", 99.0), ("p95", "c2", 95.0), ("p50", "c1", 50.0)]
        .map(|(name, class, percent)| Curve {
            name: name.to_owned(),
            class,
            values: values(percent),
            place: MIDDLE,
        })
        .into()
}

/// A curve of counts; a slot without counts has no value.
fn counted(series: &TimeSeries, name: &str, class: &'static str, of: impl Fn(&Counted) -> f64) -> Curve {
    let width = u64::from(series.slot_seconds.max(1));
    let mut rows = series.counts.iter().peekable();
    let value = |slot: u32| {
        let second = u64::from(slot) * width;
        while rows.next_if(|row| row.second < second).is_some() {}
        rows.next_if(|row| row.second == second).map(|CountRow { counted, .. }| of(counted))
    };
    Curve { name: name.to_owned(), class, values: (0..slots(series)).map(value).collect(), place: MIDDLE }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a slot are far below 2^53")]
fn per_second(count: u64, series: &TimeSeries) -> f64 {
    count as f64 / f64::from(series.slot_seconds.max(1))
}

fn delivered_curves(series: &TimeSeries) -> Vec<Curve> {
    vec![counted(series, "delivered", "c1", |counted| per_second(counted.delivered, series))]
}

fn published_curves(series: &TimeSeries) -> Vec<Curve> {
    let rate = |of: fn(&Counted) -> u64| move |counted: &Counted| per_second(of(counted), series);
    let mut curves = vec![counted(series, "published", "c3", rate(|counted| counted.published))];
    if series.counts.iter().any(|row| row.counted.dropped > 0) {
        curves.push(counted(series, "never sent", "c4", rate(|counted| counted.dropped)));
    }
    curves
}

fn node_curves(series: &TimeSeries) -> Vec<Curve> {
    if series.nodes.len() > NODE_CURVES {
        let sum = |counted: &Counted| counted.connections.iter().map(|count| f64::from(*count)).sum();
        return vec![Curve { place: END, ..counted(series, "all nodes", "c1", sum) }];
    }
    let curve = |(index, name): (usize, &String)| {
        let of =
            move |counted: &Counted| counted.connections.get(index).map_or(0.0, |count| f64::from(*count));
        Curve { place: END, ..counted(series, name, NODE_CLASSES[index % NODE_CLASSES.len()], of) }
    };
    series.nodes.iter().enumerate().map(curve).collect()
}

/// Curves of counts that are 0 in a healthy run.
fn trouble_curves(series: &TimeSeries) -> Vec<Curve> {
    type Count = fn(&Counted) -> u64;
    let kinds: [(&str, &'static str, Count); 4] = [
        ("reconnects", "c1", |counted| counted.reconnects),
        ("failed connects", "c4", |counted| counted.connect_errors),
        ("GAP events", "c5", |counted| counted.gaps),
        ("publishes not acknowledged", "c3", |counted| counted.not_acknowledged),
    ];
    let there = kinds.into_iter().filter(|(_, _, of)| series.counts.iter().any(|row| of(&row.counted) > 0));
    there
        .map(|(name, class, of)| counted(series, name, class, |counted| per_second(of(counted), series)))
        .collect()
}

fn faults(report: &Report, series: &TimeSeries) -> String {
    if report.faults.is_empty() {
        return String::new();
    }
    let body = gantt::render(report, series) + &tables::faults(&report.faults);
    section("Faults", "times since the start of the load", &body)
}

fn losses(report: &Report) -> String {
    let anomalies = &report.delivery.anomalies;
    if anomalies.is_empty() {
        return String::new();
    }
    section("Anomalies", "with the first examples of each kind", &tables::anomalies(anomalies))
}

fn expectations(report: &Report) -> String {
    let mut out = String::from("<div class=\"two\">");
    out.push_str(&section("Verification", &report.run.guarantee, &tables::checks(&report.verdict.checks)));
    let thresholds = if report.verdict.thresholds.is_empty() {
        "<p class=\"none\">The scenario has none.</p>".to_owned()
    } else {
        tables::thresholds(report)
    };
    out.push_str(&section("Thresholds", "latencies include missing events as infinite values", &thresholds));
    out.push_str("</div>");
    out
}

fn figures(report: &Report) -> String {
    let is_whole = |metric: &crate::bench::report::model::MetricReport| !metric.key.contains('{');
    let mut metrics = tables::metrics(report, is_whole);
    if report.metrics.iter().any(|metric| !is_whole(metric)) {
        let parts = tables::metrics(report, |metric| !is_whole(metric));
        let _ok = write!(metrics, "<details><summary>by phase, group and path</summary>{parts}</details>");
    }
    let mut out = section("Metrics", "figures without a phase leave out the warm-up", &metrics);
    if !report.processes.is_empty() {
        out.push_str(&section("Processes", "", &tables::processes(report)));
    }
    if !report.counters.is_empty() {
        out.push_str(&section("Counters", "the warm-up included", &tables::counters(report)));
    }
    out
}
