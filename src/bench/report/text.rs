//! A report as text for a terminal: verdict first, then delivery, thresholds, faults, metrics, resources. Read [`render`] first.

use std::fmt::Write as _;
use std::time::Duration;

use super::costs;
use super::model::{FaultReport, MetricReport, Report};
use super::wording::{grouped, plural, sentence, time, windows};
use crate::bench::exit::Grade;
use crate::bench::metrics::format::readable;
use crate::bench::metrics::metric::Trend;
use crate::bench::verdict::ledger::Anomaly;
use crate::bench::verdict::{Check, Status};

/// Whether a text has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colour {
    #[default]
    Off,
    /// ANSI escape sequences.
    On,
}

/// Examples of each anomaly; the JSON has more.
const EXAMPLES: usize = 3;
/// A heal that is later than planned by more than this is reported: phases follow the plan.
const LATE_HEAL_MS: f64 = 1_000.0;

/// The report as text, with a newline at its end.
#[must_use]
pub fn render(report: &Report, colour: Colour) -> String {
    let mut page = Page { text: String::new(), colour };
    page.verdict(report);
    page.delivery(report);
    page.thresholds(report);
    page.faults(&report.faults);
    page.metrics(report);
    page.costs(report);
    page.text
}

struct Page {
    text: String,
    colour: Colour,
}

#[derive(Clone, Copy)]
enum Paint {
    Bold,
    Good,
    Bad,
    Inconclusive,
    Dim,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    fn head(&mut self, title: &str, rest: &str) {
        let title = self.paint(Paint::Bold, &format!("█ {title}"));
        if !self.text.is_empty() {
            self.line("");
        }
        self.line(&format!("  {title}{}{rest}", if rest.is_empty() { "" } else { "  " }));
    }

    fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Bold => "1",
            Paint::Good => "32",
            Paint::Bad => "31",
            Paint::Inconclusive => "33",
            Paint::Dim => "2",
        };
        match self.colour {
            Colour::Off => text.to_owned(),
            Colour::On => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }

    fn mark(&self, status: Status) -> String {
        match status {
            Status::Pass => self.paint(Paint::Good, "✓"),
            Status::Note => self.paint(Paint::Dim, "·"),
            Status::Unknown => self.paint(Paint::Inconclusive, "?"),
            Status::Fail => self.paint(Paint::Bad, "✗"),
        }
    }

    fn verdict(&mut self, report: &Report) {
        let (exit, run) = (report.verdict.exit, &report.run);
        let paint = match exit.grade() {
            Grade::Good => Paint::Good,
            Grade::Inconclusive => Paint::Inconclusive,
            Grade::Bad => Paint::Bad,
        };
        let word = self.paint(paint, exit.word());
        self.head("VERDICT", &format!("{word}  {}  (exit code {})", report.summary.scenario, exit.code()));
        let duration = readable(Duration::from_millis(run.duration_ms));
        let nodes = plural(run.nodes, "node");
        let clients = plural(run.clients, "client");
        let baseline = report.harness.as_ref().map(|baseline| {
            format!(
                " · harness floor p50 {} p99 {}",
                time(Some(baseline.p50_ms)),
                time(Some(baseline.p99_ms))
            )
        });
        let baseline = baseline.unwrap_or_default();
        self.line(&format!(
            "    seed {} · {nodes} · {clients} · {duration}{baseline} · run {}",
            run.seed, run.id
        ));
        let failed: Vec<String> = report.verdict.failed_by_name().collect();
        if !failed.is_empty() {
            let failed = self.paint(Paint::Bad, &failed.join(", "));
            self.line(&format!("    failed: {failed}"));
        }
        for problem in &report.verdict.problems {
            let mark = self.mark(Status::Fail);
            self.line(&format!("    {mark} {}", problem.message));
        }
    }

    fn delivery(&mut self, report: &Report) {
        let delivery = &report.delivery;
        self.head("DELIVERY", &report.run.guarantee);
        let counts = [
            ("expected", delivery.expected),
            ("ok", delivery.ok),
            ("recovered", delivery.recovered),
            ("lost", delivery.lost),
            ("unseen", delivery.unseen),
            ("gap declared", delivery.gap_declared),
        ];
        let counts = counts.map(|(name, count)| format!("{name} {}", grouped(count)));
        self.line(&format!("    {}", counts.join("   ")));
        let publishes = delivery.publishes;
        self.line(&format!(
            "    published {}   refused {}   indeterminate {}   dropped {}",
            grouped(publishes.ok),
            grouped(publishes.fail),
            grouped(publishes.indeterminate),
            grouped(publishes.dropped)
        ));
        for (publisher, reason) in &delivery.publish_failures {
            self.line(&format!("    last publish of {publisher} that was not acknowledged: {reason}"));
        }
        for check in report.verdict.checks.iter().filter(|check| check.status != Status::Pass) {
            self.check(check);
            if let Some(anomaly) = report.anomaly(&check.name) {
                self.anomaly(anomaly);
            }
        }
        self.passed(report);
    }

    /// The checks that passed, in few lines.
    fn passed(&mut self, report: &Report) {
        let passed: Vec<&str> = report
            .verdict
            .checks
            .iter()
            .filter(|check| check.status == Status::Pass)
            .map(|check| check.name.as_str())
            .collect();
        let mark = self.mark(Status::Pass);
        let mut line = format!("    {mark} none:");
        let mut width = 0;
        for (i, name) in passed.iter().enumerate() {
            if width > 90 {
                self.line(&line);
                line = " ".repeat(11);
                width = 0;
            }
            let comma = if i + 1 < passed.len() { "," } else { "" };
            line = format!("{line} {name}{comma}");
            width += name.len() + 2;
        }
        if !passed.is_empty() {
            self.line(&line);
        }
    }

    fn check(&mut self, check: &Check) {
        let mark = self.mark(check.status);
        self.line(&format!("    {mark} {:<30} {}", check.name, check.detail));
    }

    fn anomaly(&mut self, anomaly: &Anomaly) {
        if !anomaly.by_fault.is_empty() {
            self.line(&format!("        {}", windows(anomaly)));
        }
        for example in anomaly.examples.iter().take(EXAMPLES) {
            self.line(&format!("        {}", sentence(example)));
        }
    }

    fn thresholds(&mut self, report: &Report) {
        let results = &report.verdict.thresholds;
        if results.is_empty() {
            return;
        }
        self.head("THRESHOLDS", "");
        let width = results.iter().map(|result| result.key.chars().count()).max().unwrap_or(0);
        for result in results {
            let mark = self.mark(result.status);
            self.line(&format!(
                "    {mark} {:<width$}   {:<14} {}",
                result.key, result.expression, result.measured
            ));
        }
    }

    fn faults(&mut self, faults: &[FaultReport]) {
        if faults.is_empty() {
            return;
        }
        self.head("FAULTS", "");
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
        self.table(&rows);
        for fault in faults.iter().filter(|fault| fault.never_recovered + fault.not_back > 0) {
            self.line(&format!("    {}: {}", fault.name, reconnect_summary(fault)));
        }
        self.late_heals(faults);
    }

    fn late_heals(&mut self, faults: &[FaultReport]) {
        for fault in faults {
            let Some(late) =
                fault.healed_ms.zip(fault.planned_heal_ms).map(|(healed, planned)| healed - planned)
            else {
                continue;
            };
            if late < LATE_HEAL_MS {
                continue;
            }
            let is_awaited = ["term ", "restart "].iter().any(|word| fault.title.contains(word));
            let why =
                if is_awaited { ": a node drains before it stops, and the fault waits for it" } else { "" };
            self.line(&format!("    {}: the heal was {} late{why}", fault.name, time(Some(late))));
        }
    }

    fn metrics(&mut self, report: &Report) {
        if report.metrics.is_empty() && report.counters.is_empty() {
            return;
        }
        self.head(
            "METRICS",
            "latencies are measured from the due time of an event; figures without a phase leave out the warm-up",
        );
        let header =
            ["", "count", "min", "avg", "med", "p(90)", "p(99)", "p(99.9)", "max", "p(99) of expected"];
        let mut rows = vec![header.map(str::to_owned)];
        rows.extend(report.metrics.iter().map(metric_row));
        self.table(&rows);
        if !report.counters.is_empty() {
            let counters: Vec<_> = report
                .counters
                .iter()
                .map(|counter| format!("{} {}", counter.key, grouped(counter.count)))
                .collect();
            self.line(&format!("    {}", counters.join("   ")));
        }
    }

    fn costs(&mut self, report: &Report) {
        if !report.processes.is_empty() {
            self.text.push_str(&costs::processes(&report.processes));
        }
        costs::cluster(&report.cluster).iter().for_each(|line| self.line(&format!("    {line}")));
    }

    /// The first column left, the others right.
    fn table<const N: usize>(&mut self, rows: &[[String; N]]) {
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; N] = std::array::from_fn(width);
        for row in rows {
            let mut line = format!("    {:<1$}", row[0], widths[0]);
            for (cell, width) in row.iter().zip(widths).skip(1) {
                // Writing to a String cannot fail.
                let _ok = write!(line, "   {cell:>width$}");
            }
            self.line(&line);
        }
    }
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
    let mut text = format!("{} of {} came back", grouped(back), grouped(fault.sessions_cut));
    if fault.never_recovered > 0 {
        text.push_str(&format!(", {} never got back", plural(fault.never_recovered, "client")));
    }
    let others = fault.not_back.saturating_sub(fault.never_recovered);
    if others > 0 {
        text.push_str(&format!(", {} left or stayed away by policy", plural(others, "client")));
    }
    text
}

fn metric_row(metric: &MetricReport) -> [String; 10] {
    let of_expected =
        if metric.p99_of_expected_is_lost { "lost".to_owned() } else { time(metric.p99_of_expected) };
    let is_of_numbers = metric.key.starts_with(Trend::ReplaySize.name());
    let time = |value: Option<f64>| match value {
        Some(number) if is_of_numbers => format!("{number:.0}"),
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
