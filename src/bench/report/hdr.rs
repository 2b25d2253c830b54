//! Histograms in the formats of HdrHistogram's tools: a log with a compressed histogram per slot (`.hlog`), and the
//! percentiles of a whole run (`.hgrm`). Read [`write_log`] first.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

use super::time_series::{Label, SeriesColumn, TimeSeries, is_judged, new_histogram};
use crate::bench::metrics::buckets::Buckets;
use crate::bench::metrics::metric::Trend;

/// Lines of a percentile table for each halving of the remaining share.
const TICKS_PER_HALF: u32 = 5;

/// Why a histogram log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A line is not of the format.
    #[error("not a histogram log: byte {0}")]
    Line(usize),
    /// The histogram of an interval is not valid.
    #[error("the histogram of {tag:?} at {second} s cannot be read: {reason}")]
    Histogram {
        tag: String,
        /// Begin of its slot.
        second: u64,
        reason: String,
    },
}

/// All measurements by slot, in microseconds: without a tag the latency of all deliveries, then each metric with each set
/// of its tags.
#[must_use]
pub(super) fn write_log(series: &TimeSeries) -> String {
    let mut out = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let width = Duration::from_secs(u64::from(series.slot_seconds));
    let totals = series.by_slot(Trend::DeliveryLatency, |_| true);
    let mut lines: Vec<(u32, Option<String>, Histogram<u64>)> =
        totals.into_iter().map(|(slot, histogram)| (slot, None, histogram)).collect();
    for column in &series.columns {
        let tag = column.label.to_string();
        for (slot, steps) in &column.slots {
            let mut histogram = new_histogram();
            steps.add_to(&mut histogram);
            lines.push((*slot, Some(tag.clone()), histogram));
        }
    }
    lines.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment("Values are microseconds. Without a tag: delivery_latency of all deliveries.")
        .with_start_time(series.began())
        .with_base_time(series.began())
        .begin_log_with(&mut out, &mut serializer)
        .expect("writing to memory cannot fail");
    for (slot, tag, histogram) in &lines {
        // Names have neither commas nor blanks.
        let tag = tag.as_deref().and_then(Tag::new);
        let written = log.write_histogram(histogram, width * *slot, width, tag);
        written.expect("a histogram of a week in microseconds can be written to memory");
    }
    String::from_utf8(out).expect("the log is ASCII")
}

/// Parses a log that [`write_log`] wrote with slots of `slot_seconds`. Other tags are ignored.
///
/// # Errors
/// [`LogError`]: not such a log.
pub fn read_log(text: &str, slot_seconds: u32) -> Result<Vec<SeriesColumn>, LogError> {
    let mut columns: Vec<SeriesColumn> = Vec::new();
    for entry in IntervalLogIterator::new(text.as_bytes()) {
        let interval = match entry {
            Ok(LogEntry::Interval(interval)) => interval,
            Ok(LogEntry::StartTime(_) | LogEntry::BaseTime(_)) => continue,
            Err(hdrhistogram::serialization::interval_log::LogIteratorError::ParseError { offset }) => {
                return Err(LogError::Line(offset));
            }
        };
        let Some(tag) = interval.tag() else { continue };
        let Some(label) = Label::parse(tag.as_str()) else { continue };
        let second = interval.start_timestamp().as_secs();
        let failed = |reason: String| LogError::Histogram { tag: tag.as_str().to_owned(), second, reason };
        let bytes = BASE64.decode(interval.encoded_histogram()).map_err(|error| failed(error.to_string()))?;
        let histogram: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| failed(format!("{error:?}")))?;
        let slot = u32::try_from(second / u64::from(slot_seconds.max(1))).unwrap_or(u32::MAX);
        let steps = Buckets::from_histogram(&histogram);
        match columns.iter_mut().find(|column| column.label == label) {
            Some(column) => drop(column.slots.insert(slot, steps)),
            None => columns.push(SeriesColumn { label, slots: [(slot, steps)].into() }),
        }
    }
    Ok(columns)
}

/// The percentiles of a metric over the whole run without the warm-up, in milliseconds, as HdrHistogram prints them.
#[must_use]
pub(super) fn percentiles(series: &TimeSeries, trend: Trend) -> String {
    let histogram = series.whole(trend, is_judged);
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut seen = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        seen += step.count_since_last_iteration();
        let (value, quantile) = (ms(step.value_iterated_to()), step.quantile_iterated_to());
        // Writing to a String cannot fail.
        let _ok = if quantile < 1.0 {
            writeln!(text, "{value:12.3} {quantile:1.12} {seen:10} {:14.2}", 1.0 / (1.0 - quantile))
        } else {
            writeln!(text, "{value:12.3} {quantile:1.12} {seen:10}")
        };
    }
    let _ok = writeln!(
        text,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n#[Max     = {:12.3}, Total count    = {:12}]\n\
         #[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.mean() / 1e3,
        histogram.stdev() / 1e3,
        ms(histogram.max()),
        histogram.len(),
        histogram.buckets(),
        2_048,
    );
    text
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a week are far below 2^53")]
pub(super) fn ms(micros: u64) -> f64 {
    micros as f64 / 1e3
}
