//! A known run in every format, and what a stored one reads back as.

use std::collections::BTreeSet;

use super::report::{Run, second};
use crate::bench::exit::{Exit, RunProblem};
use crate::bench::metrics::series::Counted;
use crate::bench::report::formats::{LOG_FILE, ReportFiles, SERIES_FILE};
use crate::bench::report::hdr::{self, read_log};
use crate::bench::report::time_series::TimeSeries;
use crate::bench::scenario::OutputFormat;
use crate::bench::verdict::history::facts::{HarnessBaseline, ProcessReport};

/// A bad run with everything that a report can show.
fn told() -> ReportFiles {
    let mut run = Run::new(true);
    for at in 1..=60 {
        let broken = (21..=23).contains(&at);
        let connections = if broken { vec![2] } else { vec![3] };
        let counted = Counted { delivered: 3, published: 1, connections, ..Counted::default() };
        let reconnects = u64::from(at == 24);
        run.recorder.count_second(second(at), &Counted { reconnects, ..counted });
    }
    let mut report = run.report();
    report.harness =
        Some(HarnessBaseline { echoes: 300, p50_ms: 0.08, p99_ms: 0.18, max_ms: 0.9, through_proxy: false });
    report.processes =
        vec![ProcessReport { id: "n1".into(), cpu_seconds: 1.25, starts: 2, ..ProcessReport::default() }];
    let time_series = TimeSeries::new(&run.plan, run.recorder.series(), 1_767_225_600_000);
    ReportFiles { report, time_series, is_full: false }
}

fn only(format: OutputFormat) -> String {
    let files = told().files(format);
    assert!(!files.is_empty());
    files.into_iter().next().unwrap().1
}

#[test]
fn junit_has_a_case_for_each_expectation() {
    insta::assert_snapshot!(only(OutputFormat::Junit));
}

#[test]
fn markdown_is_short_and_begins_with_the_verdict() {
    insta::assert_snapshot!(only(OutputFormat::Md));
}

#[test]
fn a_row_a_second_has_phase_fault_counts_and_latency() {
    let csv = only(OutputFormat::Csv);
    let rows: Vec<&str> = csv.lines().collect();
    let columns: BTreeSet<usize> = rows.iter().map(|row| row.split(',').count()).collect();
    assert_eq!((rows.len(), columns.len()), (61, 1), "{csv}");
    assert!(rows[0].starts_with("second,phase,faults,delivered,"), "{}", rows[0]);
    assert_eq!(rows[23], "22,fault:kill-1,kill-1,3,1,0,0,0,0,0,2,1.000,2,2,5.003,5.003,5.003,5.003,5.003");
    assert_eq!(rows[24], "23,fault:kill-1,kill-1,3,1,0,0,1,0,0,3,1.000,3,3,6.003,6.003,6.003,6.003,6.003");
}

#[test]
fn a_log_reads_back_as_what_was_written() {
    let ReportFiles { mut time_series, .. } = told();
    time_series.columns.sort_by(|a, b| a.label.cmp(&b.label));
    let text = hdr::write_log(&time_series);
    let mut read = read_log(&text, 1).unwrap();
    read.sort_by(|a, b| a.label.cmp(&b.label));
    assert_eq!(read, time_series.columns);
    assert!(
        text.lines()
            .any(|line| line
                .starts_with("Tag=delivery_latency;phase=steady;group=steady;path=live,0.000,1.000,")),
        "{text}"
    );
    assert!(read_log("nonsense\n", 1).is_err());
}

#[test]
fn what_is_stored_tells_the_same_in_every_format() {
    let told = told();
    let stored: std::collections::BTreeMap<_, _> = told.stored().into_iter().collect();
    let mut time_series: TimeSeries = serde_json::from_str(&stored[SERIES_FILE]).unwrap();
    time_series.columns = read_log(&stored[LOG_FILE], time_series.slot_seconds).unwrap();
    let report = serde_json::from_str(&stored["report.json"]).unwrap();
    let again = ReportFiles { report, time_series, is_full: false };
    for format in OutputFormat::ALL {
        assert_eq!(again.files(format), told.files(format), "{format:?}");
    }
}

#[test]
fn a_report_fits_its_schema() {
    let schema = serde_json::from_str(&crate::bench::report::schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let report = serde_json::from_str(&told().report.to_json()).unwrap();
    let problems: Vec<String> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    assert!(!validator.is_valid(&serde_json::json!({ "schema": "one" })));
}

#[test]
fn percentiles_are_those_of_the_run() {
    let table = only(OutputFormat::Hgrm);
    assert!(table.contains("Value     Percentile TotalCount 1/(1-Percentile)"), "{table}");
    assert!(table.contains("Total count    =          177]"), "{table}");
}

/// Texts of a scenario and of a payload end up in a page that somebody opens.
#[test]
fn no_text_of_a_run_becomes_markup() {
    let wicked = "</script><script>alert(1)</script><img src=x onerror='y'>\"";
    let mut told = told();
    let report = &mut told.report;
    report.summary.scenario = wicked.to_owned();
    report.run.description = wicked.to_owned();
    report.verdict.problems.push(RunProblem { exit: Exit::Internal, message: wicked.to_owned() });
    report.faults[0].title = wicked.to_owned();
    report.faults[0].name = wicked.to_owned();
    report.verdict.thresholds[0].key = wicked.to_owned();
    report.processes[0].id = wicked.to_owned();
    report.metrics[0].key = wicked.to_owned();
    for anomaly in &mut report.delivery.anomalies {
        for example in &mut anomaly.examples {
            example.note = wicked.to_owned();
            example.address = Some(wicked.to_owned());
        }
    }
    told.time_series.nodes[0] = wicked.to_owned();
    let page = told.files(OutputFormat::Html).remove(0).1;
    assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
    // Its own: the values of four charts and one below, and the script.
    assert_eq!((page.matches("<script").count(), page.matches("</script>").count()), (6, 6));
    assert!(!told.files(OutputFormat::Md)[0].1.contains("<script"));
    assert!(!told.files(OutputFormat::Junit)[0].1.contains("<script"));
}

#[test]
fn the_page_shows_every_part_of_a_run() {
    let page = only(OutputFormat::Html);
    for part in [
        "FAIL",
        "kill-under-load",
        "Latency over time",
        "Delivered per second",
        "Published per second",
        "Diagnosis",
        "Connections by node",
        "Percentiles of latency",
        "never arrived",
        "harness floor",
        "Anomalies",
        "Faults",
        "until 95 %",
        "Verification",
        "Thresholds",
        "Processes",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("http://") && !page.contains("https://"), "the page loads nothing");
}
