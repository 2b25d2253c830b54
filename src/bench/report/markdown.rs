//! A report as GitHub Markdown, for a comment on a pull request: short, verdict first. Read [`render`] first.

use std::fmt::Write as _;

use super::model::{FaultReport, MetricReport, Report};
use super::wording::{grouped, plural, time};
use crate::bench::exit::Grade;
use crate::bench::metrics::format::readable;
use crate::bench::verdict::Status;

/// Examples of each anomaly; the JSON has more.
const EXAMPLES: usize = 3;

/// The report as Markdown.
#[must_use]
pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    head(&mut text, report);
    diagnosis(&mut text, report);
    findings(&mut text, report);
    thresholds(&mut text, report);
    faults(&mut text, &report.faults);
    metrics(&mut text, report);
    text
}

fn head(text: &mut String, report: &Report) {
    let (exit, run) = (report.verdict.exit, &report.run);
    let mark = match exit.grade() {
        Grade::Good => "✅",
        Grade::Inconclusive => "⚠️",
        Grade::Bad => "❌",
    };
    let _ok = writeln!(
        text,
        "### {mark} {} {} (exit code {})\n",
        exit.word(),
        plain(&report.summary.scenario),
        exit.code()
    );
    if !run.description.is_empty() {
        let _ok = writeln!(text, "{}\n", plain(&run.description));
    }
    let delivery = &report.delivery;
    let _ok = writeln!(
        text,
        "**{}** of **{}** owed deliveries arrived ({}); lost {}, unseen {}, gap declared {}, duplicated {}, reordered {}.\n",
        grouped(delivery.ok),
        grouped(delivery.expected),
        plain(&run.guarantee),
        grouped(delivery.lost),
        grouped(delivery.unseen),
        grouped(delivery.gap_declared),
        grouped(report.summary.events_duplicated),
        grouped(delivery.reordered),
    );
    let baseline = report
        .harness
        .as_ref()
        .map(|baseline| format!(" · harness floor p99 {}", time(Some(baseline.p99_ms))));
    let _ok = writeln!(
        text,
        "<sub>seed {} · {} · {} · {}{} · run {}</sub>\n",
        run.seed,
        plural(run.nodes, "node"),
        plural(run.clients, "client"),
        readable(std::time::Duration::from_millis(run.duration_ms)),
        baseline.unwrap_or_default(),
        plain(&run.id),
    );
}

/// The findings in their order: cause, evidence, remedy.
fn diagnosis(text: &mut String, report: &Report) {
    for (index, finding) in report.diagnosis.iter().enumerate() {
        let (what, evidence) = (plain(&finding.what), plain(&finding.evidence));
        let _ok = writeln!(text, "{}. **{what}.** {evidence}", index + 1);
        if !finding.remedy.is_empty() {
            let _ok = writeln!(text, "   → {}", plain(&finding.remedy));
        }
    }
    if !report.diagnosis.is_empty() {
        text.push('\n');
    }
}

/// Checks that did not pass, and problems of the run.
fn findings(text: &mut String, report: &Report) {
    let checks = report.verdict.checks.iter().filter(|check| check.status != Status::Pass);
    let mut lines = Vec::new();
    for check in checks {
        lines.push(format!("- {} **{}**: {}", mark(check.status), plain(&check.name), plain(&check.detail)));
        let examples = report
            .anomaly(&check.name)
            .into_iter()
            .flat_map(|anomaly| anomaly.examples.iter().take(EXAMPLES));
        lines.extend(examples.map(|example| format!("  - {}", plain(&example.to_string()))));
    }
    let problems = report.verdict.problems.iter();
    lines.extend(problems.map(|problem| format!("- {} {}", mark(Status::Fail), plain(&problem.message))));
    if !lines.is_empty() {
        let _ok = writeln!(text, "{}\n", lines.join("\n"));
    }
}

fn thresholds(text: &mut String, report: &Report) {
    if report.verdict.thresholds.is_empty() {
        return;
    }
    text.push_str("| | threshold | | measured |\n|---|---|---|---|\n");
    for result in &report.verdict.thresholds {
        let (key, expression) = (plain(&result.key), plain(&result.expression));
        let _ok = writeln!(
            text,
            "| {} | {key} | {expression} | {} |",
            mark(result.status),
            plain(&result.measured)
        );
    }
    text.push('\n');
}

fn faults(text: &mut String, faults: &[FaultReport]) {
    if faults.is_empty() {
        return;
    }
    text.push_str("| fault | applied | healed | sessions cut | detected after | reconnect p95 | recovery p95 | lost |\n");
    text.push_str("|---|---:|---:|---:|---:|---:|---:|---:|\n");
    for fault in faults {
        let _ok = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            plain(&fault.title),
            time(fault.applied_ms),
            time(fault.healed_ms),
            grouped(fault.sessions_cut),
            time(fault.detect_ms),
            time(fault.reconnect_p95_ms),
            time(fault.recovery_p95_ms),
            grouped(fault.lost),
        );
    }
    text.push('\n');
}

/// The metrics without tags, then the others in a folded section.
fn metrics(text: &mut String, report: &Report) {
    let (whole, parts): (Vec<_>, Vec<_>) =
        report.metrics.iter().partition(|metric| !metric.key.contains('{'));
    metric_table(text, &whole);
    if !parts.is_empty() {
        text.push_str("<details><summary>by phase, group and path</summary>\n\n");
        metric_table(text, &parts);
        text.push_str("</details>\n");
    }
}

fn metric_table(text: &mut String, metrics: &[&MetricReport]) {
    if metrics.is_empty() {
        return;
    }
    text.push_str(
        "| metric | count | p50 | p90 | p99 | p99.9 | max |\n|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for metric in metrics {
        let time = |value: Option<f64>| match value {
            Some(number) if metric.is_of_numbers() => format!("{number:.0}"),
            value => time(value),
        };
        let _ok = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            plain(&metric.key),
            grouped(metric.count),
            time(metric.med),
            time(metric.p90),
            time(metric.p99),
            time(metric.p999),
            time(metric.max),
        );
    }
    text.push('\n');
}

fn mark(status: Status) -> &'static str {
    match status {
        Status::Pass => "✅",
        Status::Note => "ℹ️",
        Status::Unknown => "⚠️",
        Status::Fail => "❌",
    }
}

/// A text from the run, escaped: no markup, no end of a table cell, no mention that notifies people.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A zero-width space after it prevents a mention.
            '@' => out.push_str("@\u{200b}"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_a_text() {
        let wicked = "a|b `c` <img src=x> [x](http://y) @all\n# head";
        let tame = "a\\|b \\`c\\` &lt;img src=x&gt; \\[x\\](http://y) @\u{200b}all # head";
        assert_eq!(plain(wicked), tame);
    }
}
