//! A report as one page for a browser: verdict first, then what happened when, then all figures. It holds everything that
//! it needs and asks no network for anything. Pure. Read [`render`] first.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use super::time::{Curve, TimeChart, Unit, millis};
use super::{curve, gantt, tables};
use crate::bench::exit::Grade;
use crate::bench::metrics::format::readable;
use crate::bench::metrics::metric::Trend;
use crate::bench::metrics::series::Counted;
use crate::bench::report::csv::skew;
use crate::bench::report::formats::ReportFiles;
use crate::bench::report::hdr::ms;
use crate::bench::report::model::Report;
use crate::bench::report::time_series::{CountRow, TimeSeries};
use crate::bench::report::wording::{escaped, grouped, plural};
use crate::bench::verdict::outcome::Status;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// Curves of nodes that are told apart by colour and dashes; more share them.
const NODE_CLASSES: [&str; 6] = ["c1", "c2", "c3", "c4", "c5", "c6"];
/// Beyond so many nodes, a curve each would say nothing.
const NODE_CURVES: usize = 12;

/// The page.
#[must_use]
pub(in crate::bench::report) fn render(told: &ReportFiles) -> String {
    let (report, chronicle) = (&told.report, &told.chronicle);
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
    page.push_str(&tiles(report));
    page.push_str(&over_time(report, chronicle));
    page.push_str(&faults(report, chronicle));
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
        Grade::Doubtful => ("unknown", "?"),
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
    let floor = report
        .harness
        .as_ref()
        .map(|floor| format!("harness floor p50 {}, p99 {}", millis(floor.p50_ms), millis(floor.p99_ms)));
    let facts = [
        Some(plural(run.nodes, "node")),
        Some(plural(run.clients, "client")),
        Some(readable(std::time::Duration::from_millis(run.duration_ms))),
        Some(run.guarantee.clone()),
        Some(format!("seed {}", run.seed)),
        floor,
        run.started_at.clone(),
        Some(format!("run {}", run.id)),
    ];
    let facts: Vec<String> =
        facts.into_iter().flatten().map(|fact| format!("<li>{}</li>", escaped(&fact))).collect();
    let _ok = write!(out, "<ul class=\"facts\">{}</ul>", facts.concat());
    out.push_str(&findings(report));
    out
}

/// What made the verdict, if it is no pass.
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
    for trouble in &report.verdict.troubles {
        items.push(format!("<li>{} {}</li>", tables::mark(Status::Fail), escaped(&trouble.message)));
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
        if is_lost { "lost".to_owned() } else { time(summary.delivery_latency_p99_of_expected_ms) };
    let repeated = summary.events_duplicated;
    let tiles = [
        ("arrived", grouped(delivery.ok), share, false),
        ("lost", grouped(delivery.lost), format!("{} unseen", grouped(delivery.unseen)), delivery.lost > 0),
        (
            "declared gaps",
            grouped(delivery.gap_events),
            format!("cover {} deliveries", grouped(delivery.gap_declared)),
            false,
        ),
        (
            "repeated",
            grouped(repeated),
            format!("{} in a session", grouped(delivery.duplicated_in_session)),
            delivery.duplicated_in_session > 0,
        ),
        ("out of order", grouped(delivery.reordered), "of one publisher and address".to_owned(), false),
        ("latency p50", time(summary.delivery_latency_p50_ms), "from when it was due".to_owned(), false),
        (
            "latency p99",
            time(summary.delivery_latency_p99_ms),
            format!("of what was owed: {of_expected}"),
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

fn over_time(report: &Report, chronicle: &TimeSeries) -> String {
    let latency = TimeChart {
        id: "latency",
        size: (1120.0, 280.0),
        unit: Unit::Millis,
        curves: latency_curves(chronicle),
    };
    let mut out = section(
        "Latency over time",
        "from when an event was due to its arrival, by the second in which it was due; shaded: what was broken",
        &latency.render(report, chronicle),
    );
    let rates =
        TimeChart { id: "rates", size: (1120.0, 200.0), unit: Unit::Count, curves: rate_curves(chronicle) };
    out.push_str(&section("Events per second", "", &rates.render(report, chronicle)));
    let skewed = chronicle.counts.iter().filter_map(|row| skew(&row.counted.connections)).fold(0.0, f64::max);
    let sub = match chronicle.nodes.len() {
        0 | 1 => String::new(),
        _ => format!("the fullest node had up to {skewed:.2} times the mean"),
    };
    let nodes =
        TimeChart { id: "nodes", size: (1120.0, 180.0), unit: Unit::Count, curves: node_curves(chronicle) };
    out.push_str(&section("Connections by node", &sub, &nodes.render(report, chronicle)));
    let trouble = trouble_curves(chronicle);
    let beside = if trouble.is_empty() {
        section(
            "Reconnects and errors",
            "",
            "<p class=\"none\">None: no client came back, no connect failed.</p>",
        )
    } else {
        let chart = TimeChart { id: "trouble", size: (550.0, 270.0), unit: Unit::Count, curves: trouble };
        section("Reconnects and errors per second", "", &chart.render(report, chronicle))
    };
    let curve = section(
        "Percentiles of latency",
        "without the warm-up, replayed events too",
        &curve::render(report, chronicle),
    );
    let _ok = write!(out, "<div class=\"two\">{curve}{beside}</div>");
    out
}

fn slots(chronicle: &TimeSeries) -> u32 {
    let count = chronicle.seconds() / u64::from(chronicle.slot_seconds.max(1));
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn latency_curves(chronicle: &TimeSeries) -> Vec<Curve> {
    let by_slot = chronicle.by_slot(Trend::DeliveryLatency, |_| true);
    let values = |percent: f64| {
        let value = |histogram: &Histogram<u64>| ms(histogram.value_at_percentile(percent)).max(0.001);
        (0..slots(chronicle)).map(|slot| by_slot.get(&slot).map(value)).collect()
    };
    [("max", "c4", 100.0), ("p99", "c3", 99.0), ("p95", "c2", 95.0), ("p50", "c1", 50.0)]
        .map(|(name, class, percent)| Curve { name: name.to_owned(), class, values: values(percent) })
        .into()
}

/// A curve from what was counted; without a row there is no value.
fn counted(chronicle: &TimeSeries, name: &str, class: &'static str, of: impl Fn(&Counted) -> f64) -> Curve {
    let width = u64::from(chronicle.slot_seconds.max(1));
    let mut rows = chronicle.counts.iter().peekable();
    let value = |slot: u32| {
        let second = u64::from(slot) * width;
        while rows.next_if(|row| row.second < second).is_some() {}
        rows.next_if(|row| row.second == second).map(|CountRow { counted, .. }| of(counted))
    };
    Curve { name: name.to_owned(), class, values: (0..slots(chronicle)).map(value).collect() }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a slot are far below 2^53")]
fn per_second(count: u64, chronicle: &TimeSeries) -> f64 {
    count as f64 / f64::from(chronicle.slot_seconds.max(1))
}

fn rate_curves(chronicle: &TimeSeries) -> Vec<Curve> {
    let rate = |of: fn(&Counted) -> u64| move |counted: &Counted| per_second(of(counted), chronicle);
    let mut curves = vec![
        counted(chronicle, "delivered", "c1", rate(|counted| counted.delivered)),
        counted(chronicle, "published", "c3", rate(|counted| counted.published)),
    ];
    if chronicle.counts.iter().any(|row| row.counted.dropped > 0) {
        curves.push(counted(chronicle, "never sent", "c4", rate(|counted| counted.dropped)));
    }
    curves
}

fn node_curves(chronicle: &TimeSeries) -> Vec<Curve> {
    if chronicle.nodes.len() > NODE_CURVES {
        let sum = |counted: &Counted| counted.connections.iter().map(|count| f64::from(*count)).sum();
        return vec![counted(chronicle, "all nodes", "c1", sum)];
    }
    let curve = |(index, name): (usize, &String)| {
        let of =
            move |counted: &Counted| counted.connections.get(index).map_or(0.0, |count| f64::from(*count));
        counted(chronicle, name, NODE_CLASSES[index % NODE_CLASSES.len()], of)
    };
    chronicle.nodes.iter().enumerate().map(curve).collect()
}

/// What a healthy run has nothing of.
fn trouble_curves(chronicle: &TimeSeries) -> Vec<Curve> {
    type Count = fn(&Counted) -> u64;
    let kinds: [(&str, &'static str, Count); 4] = [
        ("reconnects", "c1", |counted| counted.reconnects),
        ("failed connects", "c4", |counted| counted.connect_errors),
        ("GAP events", "c5", |counted| counted.gaps),
        ("publishes not acknowledged", "c3", |counted| counted.not_acknowledged),
    ];
    let there =
        kinds.into_iter().filter(|(_, _, of)| chronicle.counts.iter().any(|row| of(&row.counted) > 0));
    there
        .map(|(name, class, of)| {
            counted(chronicle, name, class, |counted| per_second(of(counted), chronicle))
        })
        .collect()
}

fn faults(report: &Report, chronicle: &TimeSeries) -> String {
    if report.faults.is_empty() {
        return String::new();
    }
    let body = gantt::render(report, chronicle) + &tables::faults(&report.faults);
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
    out.push_str(&section(
        "Thresholds",
        "latencies include, as infinitely long, what never came",
        &thresholds,
    ));
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
    let mut out = section("Metrics", "without the warm-up where no phase is named", &metrics);
    if !report.processes.is_empty() {
        out.push_str(&section("Processes", "", &tables::processes(report)));
    }
    if !report.counters.is_empty() {
        out.push_str(&section("Counters", "the warm-up included", &tables::counters(report)));
    }
    out
}
