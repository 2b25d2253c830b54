//! The sections of a report as text, in their order. Read [`verdict`] first.

use std::time::Duration;

use super::page::{Colour, Paint, Section, broken};
use crate::bench::metrics::format::readable;
use crate::bench::report::costs;
use crate::bench::report::model::{FaultReport, MetricReport, Report};
use crate::bench::report::wording::{grouped, plural, time, windows};
use crate::bench::scenario::TransportKind;
use crate::bench::verdict::diagnosis::Finding;
use crate::bench::verdict::ledger::Anomaly;
use crate::bench::verdict::{Check, Status};

/// Examples of each anomaly in full; the JSON has more.
const EXAMPLES: usize = 3;
/// A heal that is later than planned by more than this is reported: phases follow the plan.
const LATE_HEAL_MS: f64 = 1_000.0;
/// Columns of a sentence in the diagnosis.
const COLUMNS: usize = 108;
/// Names of failed expectations in the last line; the sections name all.
const NAMES: usize = 3;

/// What was run, and the verdict.
pub(super) fn verdict(report: &Report, colour: Colour) -> Section {
    let (exit, run) = (report.verdict.exit, &report.run);
    let word = colour.exit(report);
    let title = format!("{word}  {}  (exit code {})", report.summary.scenario, exit.code());
    let mut section = Section::new(colour, "VERDICT", &title);
    let baseline = report.harness.as_ref().map(|baseline| {
        let through = if baseline.through_proxy { " through the fault proxy" } else { "" };
        let (p50, p99) = (time(Some(baseline.p50_ms)), time(Some(baseline.p99_ms)));
        format!(" · harness floor{through} p50 {p50} p99 {p99}")
    });
    section.line(&format!(
        "    seed {} · {} · {}{} · {}{} · run {}",
        run.seed,
        plural(run.nodes, "node"),
        plural(run.clients, "client"),
        readers(&run.transports),
        readable(Duration::from_millis(run.duration_ms)),
        baseline.unwrap_or_default(),
        run.id
    ));
    section
}

/// What reads the streams, where that was chosen.
fn readers(transports: &[String]) -> String {
    match transports {
        [] => String::new(),
        [usual] if *usual == TransportKind::Loops.name() => String::new(),
        chosen => format!(" by {}", chosen.join(" and ")),
    }
}

/// The verdict again, with the names of what failed: the last line is the one that is read first.
pub(super) fn last_line(report: &Report, colour: Colour) -> String {
    let failed: Vec<String> = report.verdict.failed_by_name().collect();
    let named = failed.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match failed.len().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let colon = if failed.is_empty() { "" } else { ": " };
    format!("  {}  exit code {}{colon}{named}{more}", colour.exit(report), report.verdict.exit.code())
}

/// The findings: the cause of each, as many as fit into so many lines, then their details, as far as there is room. No section
/// without findings.
pub(super) fn diagnosis(report: &Report, colour: Colour, lines: usize) -> Section {
    let findings = &report.diagnosis;
    if findings.is_empty() {
        return Section::default();
    }
    let mut room = lines.saturating_sub(1);
    let heads = (1..).zip(findings).map(|(number, finding)| head(colour, number, finding));
    let fits = |head: &Vec<String>| {
        let is_in = head.len() <= room;
        room = room.saturating_sub(head.len());
        is_in
    };
    let mut blocks: Vec<Vec<String>> = heads.take_while(fits).collect();
    let mut room = lines.saturating_sub(1) - blocks.iter().map(Vec::len).sum::<usize>();
    let mut in_full = 0;
    for (block, finding) in blocks.iter_mut().zip(findings) {
        let mut details = details(finding);
        if room == 0 && !details.is_empty() {
            break;
        }
        in_full += usize::from(details.len() <= room);
        if details.len() > room {
            details.truncate(room);
            let last = details.pop();
            details.extend(last.map(|last| last + " …"));
        }
        room -= details.len();
        block.append(&mut details);
    }
    let rest = match (findings.len(), blocks.len()) {
        (all, shown) if all > in_full => {
            format!("{shown} of {all} findings, {in_full} with all details (--full shows all)")
        }
        _ => String::new(),
    };
    let mut section = Section::new(colour, "DIAGNOSIS", &rest);
    section.lines.extend(blocks.into_iter().flatten());
    section
}

/// The number of a finding and its cause.
fn head(colour: Colour, number: usize, finding: &Finding) -> Vec<String> {
    part(&format!("{number}."), &finding.what, |line| colour.paint(Paint::Bold, line))
}

/// What shows it, then what to change.
fn details(finding: &Finding) -> Vec<String> {
    let plain = |line: &str| line.to_owned();
    [part("  ", &finding.evidence, plain), part(" →", &finding.remedy, plain)].concat()
}

/// A sentence in lines, behind a lead.
fn part(lead: &str, text: &str, painted: impl Fn(&str) -> String) -> Vec<String> {
    let lines = broken(text, COLUMNS);
    // Two more columns for a line that goes on: it is never taken for another part.
    let line = |(index, line): (usize, &String)| match index {
        0 => format!("    {lead} {}", painted(line)),
        _ => format!("         {}", painted(line)),
    };
    lines.iter().enumerate().map(line).collect()
}

/// Deliveries and publishes in figures, and what did not pass, a line each.
pub(super) fn delivery(report: &Report, colour: Colour) -> Section {
    let mut section = figures(report, colour);
    for check in unpassed(report) {
        section.line(&check_line(check, colour));
    }
    let passed = passed(report);
    if !passed.is_empty() {
        let mark = colour.mark(Status::Pass);
        section.line(&format!("    {mark} none of {} other defects", passed.len()));
    }
    Section { what: "lines", least: 5, ..section }
}

/// The same with examples and the names of all checks.
pub(super) fn delivery_in_full(report: &Report, colour: Colour) -> Section {
    let mut section = figures(report, colour);
    for check in unpassed(report) {
        section.line(&check_line(check, colour));
        if let Some(anomaly) = report.anomaly(&check.name) {
            examples(&mut section, anomaly);
        }
    }
    let passed = passed(report).join(", ");
    for (index, line) in broken(&passed, COLUMNS - 4).iter().enumerate() {
        match index {
            0 => section.line(&format!("    {} none: {line}", colour.mark(Status::Pass))),
            _ => section.line(&format!("            {line}")),
        }
    }
    section
}

fn unpassed(report: &Report) -> impl Iterator<Item = &Check> {
    report.verdict.checks.iter().filter(|check| check.status != Status::Pass)
}

fn passed(report: &Report) -> Vec<&str> {
    let passed = report.verdict.checks.iter().filter(|check| check.status == Status::Pass);
    passed.map(|check| check.name.as_str()).collect()
}

fn figures(report: &Report, colour: Colour) -> Section {
    let delivery = &report.delivery;
    let mut section = Section::new(colour, "DELIVERY", &report.run.guarantee);
    let counts = [
        ("expected", delivery.expected),
        ("ok", delivery.ok),
        ("recovered", delivery.recovered),
        ("lost", delivery.lost),
        ("unseen", delivery.unseen),
        ("gap declared", delivery.gap_declared),
    ];
    let counts = counts.map(|(name, count)| format!("{name} {}", grouped(count)));
    section.line(&format!("    {}", counts.join("   ")));
    let publishes = delivery.publishes;
    section.line(&format!(
        "    published {}   refused {}   indeterminate {}   dropped {}",
        grouped(publishes.ok),
        grouped(publishes.fail),
        grouped(publishes.indeterminate),
        grouped(publishes.dropped)
    ));
    for (publisher, reason) in &delivery.publish_failures {
        section.line(&format!("    the last publish of {publisher} that failed: {reason}"));
    }
    section
}

fn check_line(check: &Check, colour: Colour) -> String {
    format!("    {} {:<30} {}", colour.mark(check.status), check.name, check.detail)
}

fn examples(section: &mut Section, anomaly: &Anomaly) {
    if !anomaly.by_fault.is_empty() {
        section.line(&format!("        {}", windows(anomaly)));
    }
    for example in anomaly.examples.iter().take(EXAMPLES) {
        section.line(&format!("        {example}"));
    }
}

/// The thresholds: all of them, or those that do not hold.
pub(super) fn thresholds(report: &Report, colour: Colour, is_full: bool) -> Section {
    let results = &report.verdict.thresholds;
    if results.is_empty() {
        return Section::default();
    }
    let held = results.iter().filter(|result| result.status == Status::Pass).count();
    let mut section = Section::new(colour, "THRESHOLDS", &format!("{held} of {} hold", results.len()));
    let shown: Vec<_> = results.iter().filter(|result| is_full || result.status != Status::Pass).collect();
    let width = shown.iter().map(|result| result.key.chars().count()).max().unwrap_or(0);
    for result in shown {
        let mark = colour.mark(result.status);
        section.line(&format!(
            "    {mark} {:<width$}   {:<14} {}",
            result.key, result.expression, result.measured
        ));
    }
    Section { what: "thresholds", least: 2, ..section }
}

/// The faults with their times and what they did.
pub(super) fn faults(faults: &[FaultReport], colour: Colour) -> Section {
    if faults.is_empty() {
        return Section::default();
    }
    let mut section = Section::new(colour, "FAULTS", "");
    let header = [
        "",
        "planned",
        "applied",
        "healed",
        "cut",
        "detect",
        "reconnect p95",
        "recovery p95",
        "drain p95",
        "lost",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(faults.iter().map(fault_row));
    section.table(&rows);
    for fault in faults.iter().filter(|fault| fault.never_recovered + fault.not_back > 0) {
        section.line(&format!("    {}: {}", fault.name, reconnect_summary(fault)));
    }
    late_heals(&mut section, faults);
    // Title, head, the first fault, and how many there are.
    Section { what: "lines on faults", least: 4, ..section }
}

fn late_heals(section: &mut Section, faults: &[FaultReport]) {
    for fault in faults {
        let Some(late) = fault.healed_ms.zip(fault.planned_heal_ms).map(|(healed, planned)| healed - planned)
        else {
            continue;
        };
        if late < LATE_HEAL_MS {
            continue;
        }
        let is_awaited = ["term ", "restart "].iter().any(|word| fault.title.contains(word));
        let why = if is_awaited { ": a node drains before it stops, and the fault waits for it" } else { "" };
        section.line(&format!("    {}: the heal was {} late{why}", fault.name, time(Some(late))));
    }
}

/// Every distribution and every counter.
pub(super) fn metrics(report: &Report, colour: Colour) -> Section {
    if report.metrics.is_empty() && report.counters.is_empty() {
        return Section::default();
    }
    let mut section = Section::new(
        colour,
        "METRICS",
        "latencies are measured from the due time of an event; figures without a phase leave out the warm-up",
    );
    let header = ["", "count", "min", "avg", "med", "p(90)", "p(99)", "p(99.9)", "max", "p(99) of expected"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(report.metrics.iter().map(metric_row));
    section.table(&rows);
    if !report.counters.is_empty() {
        let counter = |counter: &crate::bench::report::usage::CounterReport| {
            format!("{} {}", counter.key, grouped(counter.count))
        };
        let counters: Vec<_> = report.counters.iter().map(counter).collect();
        section.line(&format!("    {}", counters.join("   ")));
    }
    section
}

/// What the processes used.
pub(super) fn costs(report: &Report, colour: Colour) -> Section {
    let cluster = costs::cluster(&report.cluster);
    if report.processes.is_empty() && cluster.is_empty() {
        return Section::default();
    }
    let mut section = Section::new(colour, "PROCESSES", "");
    let lines = report.processes.iter().map(costs::process).chain(cluster);
    lines.for_each(|line| section.line(&format!("    {line}")));
    section
}

fn fault_row(fault: &FaultReport) -> [String; 10] {
    [
        fault.title.clone(),
        time(Some(fault.planned_ms)),
        time(fault.applied_ms),
        time(fault.healed_ms),
        grouped(fault.sessions_cut),
        time(fault.detect_ms),
        time(fault.reconnect_p95_ms),
        time(fault.recovery_p95_ms),
        time(fault.drain_p95_ms),
        grouped(fault.lost),
    ]
}

/// How many of the cut sessions the times in the table include, and why not the others.
fn reconnect_summary(fault: &FaultReport) -> String {
    let back = fault.sessions_cut.saturating_sub(fault.not_back);
    let mut text = format!("{} of {} cut sessions were replaced", grouped(back), grouped(fault.sessions_cut));
    if fault.never_recovered > 0 {
        text.push_str(&format!("; {} never reconnected", plural(fault.never_recovered, "client")));
    }
    let others = fault.not_back.saturating_sub(fault.never_recovered);
    if others > 0 {
        text.push_str(&format!("; {} left as planned or do not reconnect", plural(others, "client")));
    }
    text
}

fn metric_row(metric: &MetricReport) -> [String; 10] {
    let of_expected =
        if metric.p99_of_expected_is_lost { "lost".to_owned() } else { time(metric.p99_of_expected) };
    let time = |value: Option<f64>| match value {
        Some(number) if metric.is_of_numbers() => format!("{number:.0}"),
        value => time(value),
    };
    let is_delivery = metric.key.starts_with("delivery_latency") && !metric.key.contains("{path:");
    [
        metric.key.clone(),
        grouped(metric.count),
        time(metric.min),
        time(metric.avg),
        time(metric.med),
        time(metric.p90),
        time(metric.p99),
        time(metric.p999),
        time(metric.max),
        if is_delivery || metric.missing > 0 { of_expected } else { String::new() },
    ]
}
