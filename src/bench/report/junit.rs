//! Reports as JUnit XML, for CI: a suite for each scenario, a case for each check, threshold, problem of the run, and finding
//! of the diagnosis. An unknown result is an error, never a pass; a finding explains and never fails. Read [`render`] first.

use std::fmt::Write as _;

use super::model::Report;
use super::wording::escaped;
use crate::bench::exit::Exit;
use crate::bench::verdict::Status;

/// A `testcase` of a suite.
struct Case {
    class: &'static str,
    name: String,
    status: Status,
    message: String,
    /// The text of the element; the message is an attribute.
    more: String,
}

/// A suite for each report.
#[must_use]
pub fn render(reports: &[&Report]) -> String {
    let suites: Vec<(&Report, Vec<Case>)> = reports.iter().map(|report| (*report, cases(report))).collect();
    let all = || suites.iter().flat_map(|(_, cases)| cases);
    let seconds = suites.iter().map(|(report, _)| seconds(report)).sum::<f64>();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = counts(all());
    let _ok = writeln!(xml, "<testsuites name=\"sse-bench\" {counts} time=\"{seconds:.3}\">");
    for (report, cases) in &suites {
        suite(&mut xml, report, cases);
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn cases(report: &Report) -> Vec<Case> {
    let checks = report.verdict.checks.iter().map(|check| {
        let examples = report
            .anomaly(&check.name)
            .into_iter()
            .flat_map(|anomaly| &anomaly.examples)
            .map(ToString::to_string);
        Case {
            class: "verification",
            name: check.name.clone(),
            status: check.status,
            message: check.detail.clone(),
            more: examples.collect::<Vec<_>>().join("\n"),
        }
    });
    let thresholds = report.verdict.thresholds.iter().map(|result| Case {
        class: "thresholds",
        name: format!("{} {}", result.key, result.expression),
        status: result.status,
        message: result.measured.clone(),
        more: String::new(),
    });
    let problems = report.verdict.problems.iter().enumerate().map(|(number, problem)| Case {
        class: "run",
        name: format!("{} {}", problem.exit.word().to_lowercase(), number + 1),
        status: if problem.exit == Exit::VerificationFailed { Status::Fail } else { Status::Unknown },
        message: problem.message.clone(),
        more: String::new(),
    });
    let diagnosis = report.diagnosis.iter().enumerate().map(|(number, finding)| Case {
        class: "diagnosis",
        name: format!("{} {}", finding.cause.name(), number + 1),
        status: Status::Note,
        message: format!("{}: {}; {}", finding.what, finding.evidence, finding.remedy),
        more: String::new(),
    });
    checks.chain(thresholds).chain(problems).chain(diagnosis).collect()
}

fn counts<'a>(cases: impl Iterator<Item = &'a Case>) -> String {
    let (mut tests, mut failures, mut errors) = (0, 0, 0);
    for case in cases {
        tests += 1;
        match case.status {
            Status::Fail => failures += 1,
            Status::Unknown => errors += 1,
            Status::Pass | Status::Note => {}
        }
    }
    format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\"")
}

fn suite(xml: &mut String, report: &Report, cases: &[Case]) {
    let scenario = escaped(&report.summary.scenario);
    let timestamp = report.run.started_at.as_deref().map(escaped);
    let timestamp = timestamp.map_or_else(String::new, |time| format!(" timestamp=\"{time}\""));
    let (counts, seconds) = (counts(cases.iter()), seconds(report));
    let _ok = writeln!(xml, "  <testsuite name=\"{scenario}\" {counts} time=\"{seconds:.3}\"{timestamp}>");
    xml.push_str("    <properties>\n");
    let baseline = report.harness.as_ref().map(|baseline| baseline.p99_ms.to_string());
    for (name, value) in [
        ("verdict", report.summary.verdict.clone()),
        ("exit_code", report.summary.exit_code.to_string()),
        ("seed", report.run.seed.to_string()),
        ("run", report.run.id.clone()),
        ("harness_floor_p99_ms", baseline.unwrap_or_default()),
    ] {
        let _ok = writeln!(xml, "      <property name=\"{name}\" value=\"{}\"/>", escaped(&value));
    }
    xml.push_str("    </properties>\n");
    for case in cases {
        write_case(xml, &scenario, case);
    }
    xml.push_str("  </testsuite>\n");
}

fn write_case(xml: &mut String, scenario: &str, case: &Case) {
    let (name, message, more) = (escaped(&case.name), escaped(&case.message), escaped(&case.more));
    let _ok = write!(xml, "    <testcase classname=\"{scenario}.{}\" name=\"{name}\" time=\"0\"", case.class);
    let _ok = match case.status {
        Status::Pass => writeln!(xml, "/>"),
        Status::Note => writeln!(xml, "><system-out>{message}</system-out></testcase>"),
        Status::Fail => {
            writeln!(xml, "><failure type=\"fail\" message=\"{message}\">{more}</failure></testcase>")
        }
        Status::Unknown => {
            writeln!(xml, "><error type=\"unknown\" message=\"{message}\">{more}</error></testcase>")
        }
    };
}

fn seconds(report: &Report) -> f64 {
    std::time::Duration::from_millis(report.run.duration_ms).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_break_out() {
        let wicked = escaped("</failure><script>alert('x')</script>\"&\u{0}\u{1b}[31m\n");
        let tame = "&lt;/failure&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;\u{fffd}\u{fffd}[31m&#10;";
        assert_eq!(wicked, tame);
    }
}
