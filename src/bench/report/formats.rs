//! A report with what it draws from, written in any format. Pure: the same run gives the same files, whether it has just
//! ended or was stored. Read [`ReportFiles`] first.

use super::model::Report;
use super::time_series::TimeSeries;
use super::{csv, hdr, html, junit, markdown, text};
use crate::bench::metrics::metric::Trend;
use crate::bench::scenario::OutputFormat;

/// A run as it is told.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportFiles {
    /// What came out.
    pub report: Report,
    /// What happened when.
    pub chronicle: TimeSeries,
}

/// The stored rows of a run by second.
pub const SERIES_FILE: &str = "series.json";
/// The stored histograms of a run by second.
pub const LOG_FILE: &str = "series.hlog";
/// The stored report.
pub const REPORT_FILE: &str = "report.json";

/// Names of all files that a report can be, in whatever format.
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
    /// The files of a format, by name.
    #[must_use]
    pub fn files(&self, format: OutputFormat) -> Vec<(String, String)> {
        let file = |name: &str, text: String| (name.to_owned(), text);
        match format {
            OutputFormat::Text => vec![file("report.txt", self.text(text::Colour::Off))],
            OutputFormat::Json => vec![file(REPORT_FILE, self.report.to_json())],
            OutputFormat::Junit => vec![file("junit.xml", junit::render(&[&self.report]))],
            OutputFormat::Html => vec![file("report.html", html::render(self))],
            OutputFormat::Md => vec![file("report.md", markdown::render(&self.report))],
            OutputFormat::Hlog => vec![file(LOG_FILE, hdr::write_log(&self.chronicle))],
            OutputFormat::Csv => vec![
                file("series.csv", csv::series(&self.report, &self.chronicle)),
                file("summary.csv", csv::summary(&self.report)),
            ],
            OutputFormat::Hgrm => {
                let trends = self.chronicle.trends();
                let table = |trend| hdr::percentiles(&self.chronicle, trend);
                trends.map(|trend| (table_name(trend), table(trend))).collect()
            }
        }
    }

    /// What is written to stdout: the format's file, where there are several the first.
    #[must_use]
    pub fn stdout(&self, format: OutputFormat, colour: text::Colour) -> String {
        match format {
            OutputFormat::Text => self.text(colour),
            OutputFormat::Hgrm => hdr::percentiles(&self.chronicle, Trend::DeliveryLatency),
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

    /// What every run leaves behind, whatever formats it was asked for: enough to make them all.
    #[must_use]
    pub fn stored(&self) -> Vec<(&'static str, String)> {
        let mut series =
            serde_json::to_string(&self.chronicle).expect("texts, numbers and lists always make JSON");
        series.push('\n');
        vec![
            (REPORT_FILE, self.report.to_json()),
            (SERIES_FILE, series),
            (LOG_FILE, hdr::write_log(&self.chronicle)),
        ]
    }

    fn text(&self, colour: text::Colour) -> String {
        text::render(&self.report, colour)
    }
}
