//! Renders a report in any format, and names the files. Pure: the same run gives the same files, whether it has just ended
//! or was stored. Read [`ReportFiles`] first.

use super::model::Report;
use super::time_series::TimeSeries;
use super::{csv, hdr, html, junit, markdown, text};
use crate::bench::metrics::metric::Trend;
use crate::bench::scenario::OutputFormat;
use crate::bench::verdict::history::{JudgedRun, StoredRun};

/// A report and the time series that its charts and tables need.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportFiles {
    pub report: Report,
    pub time_series: TimeSeries,
    /// Whether the text has all metrics (`--full`).
    pub is_full: bool,
}

/// File of the counts by second.
pub const SERIES_FILE: &str = "series.json";
/// File of the histograms by second.
pub const LOG_FILE: &str = "series.hlog";
/// File of the report as JSON.
pub const REPORT_FILE: &str = "report.json";

/// Names of all files that reports of any format have.
pub fn file_names() -> impl Iterator<Item = String> {
    let fixed = [
        REPORT_FILE,
        SERIES_FILE,
        LOG_FILE,
        "report.txt",
        "junit.xml",
        "report.html",
        "report.md",
        "series.csv",
        "summary.csv",
    ];
    let tables = Trend::ALL.iter().map(|trend| table_name(*trend));
    fixed.into_iter().map(str::to_owned).chain(tables)
}

fn table_name(trend: Trend) -> String {
    format!("{}.hgrm", trend.name())
}

impl ReportFiles {
    /// The report of a run that was judged, with its time series.
    #[must_use]
    pub fn of(run: &StoredRun, judged: &JudgedRun) -> Self {
        Self { report: Report::of(run, judged), time_series: TimeSeries::of(run), is_full: false }
    }

    /// The files of a format, by name.
    #[must_use]
    pub fn files(&self, format: OutputFormat) -> Vec<(String, String)> {
        let file = |name: &str, text: String| (name.to_owned(), text);
        match format {
            OutputFormat::Text => vec![file("report.txt", self.text(text::Colour::Off))],
            OutputFormat::Json => vec![file(REPORT_FILE, self.report.to_json())],
            OutputFormat::Junit => vec![file("junit.xml", junit::render(&[&self.report]))],
            OutputFormat::Html => vec![file("report.html", html::render(&self.report, &self.time_series))],
            OutputFormat::Md => vec![file("report.md", markdown::render(&self.report))],
            OutputFormat::Hlog => vec![file(LOG_FILE, hdr::write_log(&self.time_series))],
            OutputFormat::Csv => vec![
                file("series.csv", csv::series(&self.report, &self.time_series)),
                file("summary.csv", csv::summary(&self.report)),
            ],
            OutputFormat::Hgrm => {
                let trends = self.time_series.trends();
                let table = |trend| hdr::percentiles(&self.time_series, trend);
                trends.map(|trend| (table_name(trend), table(trend))).collect()
            }
        }
    }

    /// The text for stdout: the file of the format, the first one where there are several.
    #[must_use]
    pub fn stdout(&self, format: OutputFormat, colour: text::Colour) -> String {
        match format {
            OutputFormat::Text => self.text(colour),
            OutputFormat::Hgrm => hdr::percentiles(&self.time_series, Trend::DeliveryLatency),
            OutputFormat::Json
            | OutputFormat::Junit
            | OutputFormat::Html
            | OutputFormat::Csv
            | OutputFormat::Hlog
            | OutputFormat::Md => {
                self.files(format).into_iter().next().map(|(_, text)| text).unwrap_or_default()
            }
        }
    }

    /// The files that every run writes, whatever formats the scenario names. All formats can be made from them.
    #[must_use]
    pub fn stored(&self) -> Vec<(&'static str, String)> {
        let mut series =
            serde_json::to_string(&self.time_series).expect("texts, numbers and lists always make JSON");
        series.push('\n');
        vec![
            (REPORT_FILE, self.report.to_json()),
            (SERIES_FILE, series),
            (LOG_FILE, hdr::write_log(&self.time_series)),
        ]
    }

    fn text(&self, colour: text::Colour) -> String {
        if self.is_full {
            text::render_full(&self.report, colour)
        } else {
            text::render(&self.report, colour)
        }
    }
}
