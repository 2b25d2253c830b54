//! Measurements: a histogram and counters for each metric and set of tags, in total and over time. Each task has its
//! own recorder, so no locks are needed; they are merged after the run. Never keeps a sample, never averages
//! percentiles. Read [`Recorder`] first, then [`Samples`].

use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer as HdrDeserializer, Serializer as _, V2Serializer};
use serde::{Deserialize, Serialize};

use super::format::to_f64;
use super::series::{Counted, Series};
use super::tags::Tags;
use super::time::RunTime;
use crate::runtime::QuickMap;

pub use super::metric::{Counter, Tally, Trend};

/// Longer durations are recorded as this: no run is longer, and the range of a histogram costs memory.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Significant digits of a histogram: the error is at most 0.1 %.
const DIGITS: u8 = 3;

/// The measurements of one task or process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Rows", into = "Rows")]
pub struct Recorder {
    trends: QuickMap<(Trend, Tags), Histogram<u64>>,
    counters: QuickMap<(Counter, Tags), u64>,
    series: Series,
}

impl Recorder {
    /// Records a duration in microseconds, with three significant digits.
    pub fn record(&mut self, trend: Trend, tags: Tags, value: Duration) {
        let micros = u64::try_from(value.min(LONGEST).as_micros()).unwrap_or(u64::MAX);
        let histogram = histogram(&mut self.trends, (trend, tags));
        histogram.record(micros).expect("a histogram that resizes itself takes every value");
    }

    /// As [`Recorder::record`], and also in the series of a metric that has one. `at` is the time that the value
    /// belongs to: for deliveries, the due time.
    pub fn record_at(&mut self, trend: Trend, tags: Tags, at: RunTime, value: Duration) {
        self.record(trend, tags, value);
        if trend.is_kept_by_second() {
            self.series.record(trend, tags, at, value);
        }
    }

    /// Adds the counts of the second that ended at a time.
    pub fn count_second(&mut self, ended: RunTime, counts: &Counted) {
        self.series.count(ended, counts);
    }

    /// Measurements over time.
    #[must_use]
    pub fn series(&self) -> &Series {
        &self.series
    }

    /// Increases a counter.
    pub fn count(&mut self, counter: Counter, tags: Tags, by: u64) {
        *self.counters.entry((counter, tags)).or_default() += by;
    }

    /// Adds the measurements of another recorder.
    pub fn merge(&mut self, other: Self) {
        for (key, theirs) in other.trends {
            let mine = histogram(&mut self.trends, key);
            mine.add(theirs).expect("a histogram that resizes itself takes every value");
        }
        for (key, count) in other.counters {
            *self.counters.entry(key).or_default() += count;
        }
        self.series.merge(other.series);
    }

    /// The distribution of all values of a metric with matching tags.
    #[must_use]
    pub fn samples(&self, trend: Trend, matches: impl Fn(&Tags) -> bool) -> Samples {
        let mut all = new_histogram();
        for ((_, _), histogram) in self.trends.iter().filter(|((of, tags), _)| *of == trend && matches(tags))
        {
            all.add(histogram).expect("a histogram that resizes itself takes every value");
        }
        Samples { histogram: all, missing: 0 }
    }

    /// The sum of a counter over matching tags.
    #[must_use]
    pub fn total(&self, counter: Counter, matches: impl Fn(&Tags) -> bool) -> u64 {
        let matching = self.counters.iter().filter(|((of, tags), _)| *of == counter && matches(tags));
        matching.map(|(_, count)| count).sum()
    }

    /// All tags of the recorded values of a metric, sorted.
    #[must_use]
    pub fn tags_of(&self, trend: Trend) -> Vec<Tags> {
        let mut tags: Vec<Tags> =
            self.trends.keys().filter(|(of, _)| *of == trend).map(|(_, tags)| *tags).collect();
        tags.sort_unstable();
        tags
    }
}

/// The stored form of a [`Recorder`]: sorted, with histograms in the format "V2" of HdrHistogram.
#[derive(Default, Serialize, Deserialize)]
struct Rows {
    trends: Vec<(Trend, Tags, Vec<u8>)>,
    counters: Vec<(Counter, Tags, u64)>,
    series: Series,
}

impl From<Recorder> for Rows {
    fn from(recorder: Recorder) -> Self {
        let trend = |((trend, tags), histogram): ((Trend, Tags), Histogram<u64>)| {
            let mut bytes = Vec::new();
            let written = V2Serializer::new().serialize(&histogram, &mut bytes);
            written.expect("a histogram of a week in microseconds fits into memory");
            (trend, tags, bytes)
        };
        let mut trends: Vec<_> = recorder.trends.into_iter().map(trend).collect();
        trends.sort_unstable_by_key(|(trend, tags, _)| (*trend, *tags));
        let counter = |((counter, tags), count)| (counter, tags, count);
        let mut counters: Vec<_> = recorder.counters.into_iter().map(counter).collect();
        counters.sort_unstable_by_key(|(counter, tags, _)| (*counter, *tags));
        Self { trends, counters, series: recorder.series }
    }
}

/// Stored bytes are not a histogram.
#[derive(Debug, thiserror::Error)]
#[error("the histogram of {0} cannot be read: {1:?}")]
struct InvalidHistogram(&'static str, hdrhistogram::serialization::DeserializeError);

impl TryFrom<Rows> for Recorder {
    type Error = InvalidHistogram;

    fn try_from(rows: Rows) -> Result<Self, InvalidHistogram> {
        let mut recorder = Self::default();
        for (trend, tags, bytes) in rows.trends {
            let read = HdrDeserializer::new().deserialize::<u64, _>(&mut bytes.as_slice());
            let stored = read.map_err(|error| InvalidHistogram(trend.name(), error))?;
            // Added to a resizing histogram: the one that is read does not resize.
            let mine = histogram(&mut recorder.trends, (trend, tags));
            mine.add(stored).expect("a histogram that resizes itself takes every value");
        }
        for (counter, tags, count) in rows.counters {
            recorder.count(counter, tags, count);
        }
        recorder.series = rows.series;
        Ok(recorder)
    }
}

fn histogram(all: &mut QuickMap<(Trend, Tags), Histogram<u64>>, key: (Trend, Tags)) -> &mut Histogram<u64> {
    all.entry(key).or_insert_with(new_histogram)
}

/// Resizes with its largest value: most histograms never see a second.
fn new_histogram() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("three digits are allowed")
}

/// A distribution of delivered values, and the number of events that never arrived.
#[derive(Debug, Clone)]
pub struct Samples {
    histogram: Histogram<u64>,
    missing: u64,
}

/// A percentile of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A measured value.
    Of(Duration),
    /// Infinite: the percentile falls on events that never arrived.
    Lost,
}

impl Samples {
    /// Adds events that never arrived, as infinite values.
    #[must_use]
    pub fn with_missing(self, missing: u64) -> Self {
        Self { missing, ..self }
    }

    /// Number of measured values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Number of events that never arrived.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Whether there is neither a measured value nor a missing event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0 && self.missing == 0
    }

    /// The percentile of measured values; `None` without values.
    #[must_use]
    pub fn of_delivered(&self, percent: f64) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_micros(self.histogram.value_at_percentile(percent)))
    }

    /// The percentile of all expected values, missing ones included; `None` without any.
    #[must_use]
    pub fn of_expected(&self, percent: f64) -> Option<Value> {
        let all = to_f64(self.count() + self.missing);
        // Rounding errors would sometimes lift a whole rank to the next one.
        let rank = (percent / 100.0 * all - 1e-9).ceil().max(1.0);
        if self.is_empty() {
            None
        } else if rank > to_f64(self.count()) {
            Some(Value::Lost)
        } else {
            self.of_delivered(rank / to_f64(self.count()) * 100.0).map(Value::Of)
        }
    }

    /// The largest expected value: [`Value::Lost`] if an event is missing.
    #[must_use]
    pub fn max(&self) -> Option<Value> {
        self.of_expected(100.0)
    }

    /// The smallest measured value.
    #[must_use]
    pub fn min(&self) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_micros(self.histogram.min()))
    }

    /// The mean of measured values.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_secs_f64(self.histogram.mean() / 1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::ids::PhaseId;
    use crate::bench::metrics::tags::Path;
    use crate::bench::metrics::tags::Source;

    const TAGS: Tags = Tags { phase: PhaseId(1), source: Source::Bench, path: None };

    fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn recorder(values: impl IntoIterator<Item = u64>) -> Recorder {
        let mut recorder = Recorder::default();
        values.into_iter().for_each(|ms| recorder.record(Trend::DeliveryLatency, TAGS, millis(ms)));
        recorder
    }

    fn all(recorder: &Recorder) -> Samples {
        recorder.samples(Trend::DeliveryLatency, |_| true)
    }

    #[track_caller]
    fn assert_near(value: Option<Duration>, ms: u64) {
        let value = value.expect("there are samples");
        assert!(value.abs_diff(millis(ms)) <= millis(ms) / 500, "{value:?} is not {ms} ms");
    }

    #[test]
    fn percentiles_are_known_to_a_thousandth() {
        let samples = all(&recorder(1..=1_000));
        assert_near(samples.of_delivered(50.0), 500);
        assert_near(samples.of_delivered(99.0), 990);
        assert_near(samples.of_delivered(100.0), 1_000);
        assert_near(samples.min(), 1);
        assert_near(samples.mean(), 500);
    }

    #[test]
    fn what_never_came_is_infinitely_late() {
        let samples = all(&recorder(1..=990)).with_missing(10);
        assert!(
            matches!(samples.of_expected(99.0), Some(Value::Of(at)) if at.abs_diff(millis(990)) < millis(2))
        );
        assert_eq!(samples.of_expected(99.1), Some(Value::Lost));
        assert_eq!(samples.max(), Some(Value::Lost));
        assert_near(samples.of_delivered(100.0), 990);
        assert_eq!(all(&recorder([])).with_missing(1).of_expected(50.0), Some(Value::Lost));
        assert_eq!(all(&recorder([])).of_expected(50.0), None);
    }

    #[test]
    fn merged_workers_have_the_percentiles_of_all_their_values() {
        let mut one = recorder((1..=500).map(|ms| ms * 2));
        one.count(Counter::Reconnects, TAGS, 2);
        let mut other = recorder((0..500).map(|ms| ms * 2 + 1));
        other.count(Counter::Reconnects, TAGS, 3);
        one.merge(other);
        assert_eq!(all(&one).count(), 1_000);
        assert_near(all(&one).of_delivered(99.0), 990);
        assert_eq!(one.total(Counter::Reconnects, |_| true), 5);
        assert_eq!(one.total(Counter::Reconnects, |tags| tags.phase == PhaseId(0)), 0);
    }

    #[test]
    fn what_was_stored_is_what_was_measured_and_can_be_added_to() {
        let mut recorder = recorder([1, 5, 5, 70_000]);
        recorder.count(Counter::Reconnects, TAGS, 3);
        let tags = Tags { path: Some(Path::Live), ..TAGS };
        recorder.record_at(Trend::GeneratorLag, tags, RunTime::ZERO, Duration::ZERO);
        let mut read: Recorder = postcard::from_bytes(&postcard::to_stdvec(&recorder).unwrap()).unwrap();
        assert_eq!(read, recorder);
        assert_eq!((all(&read).max(), all(&read).mean()), (all(&recorder).max(), all(&recorder).mean()));
        read.record(Trend::DeliveryLatency, TAGS, millis(9_000_000));
        assert_eq!(all(&read).count(), 5);
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        let rows = Rows { trends: vec![(Trend::PublishTime, TAGS, vec![1, 2, 3])], ..Rows::default() };
        let error = Recorder::try_from(rows).unwrap_err().to_string();
        assert!(error.contains("publish_time"), "{error}");
    }

    #[test]
    fn tags_keep_values_apart() {
        let mut recorder = recorder([1]);
        let replayed = Tags { path: Some(Path::Replay), ..TAGS };
        recorder.record(Trend::DeliveryLatency, replayed, millis(100));
        let of = |path| recorder.samples(Trend::DeliveryLatency, move |tags| tags.path == path);
        assert_near(
            of(None).max().map(|value| match value {
                Value::Of(at) => at,
                Value::Lost => millis(0),
            }),
            1,
        );
        assert_near(of(Some(Path::Replay)).of_delivered(50.0), 100);
        assert_eq!(recorder.tags_of(Trend::DeliveryLatency), [TAGS, replayed]);
    }
}
