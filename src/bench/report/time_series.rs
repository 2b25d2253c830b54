//! Counts and measurements of a run by second, with names instead of ids: the input of charts and tables, and the content
//! of `series.json`. Read [`TimeSeries`] first.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::bench::metrics::buckets::Buckets;
use crate::bench::metrics::metric::Trend;
use crate::bench::metrics::series::{Counted, Series};
use crate::bench::metrics::tags::{Path, Source, Tags};
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::history::StoredRun;

/// Version of `series.json`. Raised when a field changes its meaning or goes away, not when one is added.
pub const TIME_SERIES_VERSION: u32 = 1;

/// Counts and measurements by slot of time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TimeSeries {
    /// Version of the stored form: [`TIME_SERIES_VERSION`].
    pub schema: u32,
    /// When the clock of the run was started, in milliseconds since 1970.
    pub began_unix_ms: u64,
    /// Seconds in a slot: 1, or more in a run of more than an hour.
    pub slot_seconds: u32,
    /// Planned duration of the load, in milliseconds.
    pub duration_ms: u64,
    /// Names of the nodes, in the order of `connections`.
    pub nodes: Vec<String>,
    /// The planned phases, in order.
    pub phases: Vec<PhaseEdge>,
    /// The counts of each slot; slots without counts are left out.
    pub counts: Vec<CountRow>,
    /// The measurements. Stored in `series.hlog`.
    #[serde(skip)]
    pub columns: Vec<SeriesColumn>,
}

/// The begin of a phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseEdge {
    /// Name of the phase, as in the tag `phase`.
    pub name: String,
    /// Milliseconds since the start of the clock.
    pub from_ms: u64,
}

/// The counts of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountRow {
    /// Begin of the slot, in seconds since the start of the clock.
    pub second: u64,
    #[serde(flatten)]
    pub counted: Counted,
}

/// A metric with one set of tags, by slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesColumn {
    pub label: Label,
    /// Measurements by number of the slot.
    pub slots: BTreeMap<u32, Buckets>,
}

/// A metric and its tags. As text `delivery_latency;phase=steady;group=everybody;path=live`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    pub trend: Trend,
    /// Value of the tag `phase`.
    pub phase: String,
    /// `group`, `publisher` or `worker`, with its name; `None`: the process itself.
    pub source: Option<(String, String)>,
    /// Value of the tag `path`; `None`: the metric has none.
    pub path: Option<Path>,
}

impl TimeSeries {
    /// The time series of a stored run.
    #[must_use]
    pub fn of(run: &StoredRun) -> Self {
        Self::new(&run.plan, run.recorder.series(), run.facts.clock_started_unix_ms)
    }

    /// A recorded series with the names of a plan.
    #[must_use]
    pub fn new(plan: &Plan, series: &Series, began_unix_ms: u64) -> Self {
        let column = |(trend, tags, slots): (Trend, Tags, &BTreeMap<u32, Buckets>)| SeriesColumn {
            label: Label::new(plan, trend, tags),
            slots: slots.clone(),
        };
        let row = |(slot, counted): (&u32, &Counted)| CountRow {
            second: u64::from(*slot) * u64::from(series.width()),
            counted: counted.clone(),
        };
        Self {
            schema: TIME_SERIES_VERSION,
            began_unix_ms,
            slot_seconds: series.width(),
            duration_ms: crate::runtime::clock::millis(plan.duration),
            nodes: plan.nodes.iter().map(|node| node.as_str().to_owned()).collect(),
            phases: plan.phases.edges().map(|(name, from)| PhaseEdge::new(name, from)).collect(),
            counts: series.counts().iter().map(row).collect(),
            columns: series.by_tags().into_iter().map(column).collect(),
        }
    }

    /// The start of the clock as wall-clock time.
    #[must_use]
    pub fn began(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.began_unix_ms)
    }

    /// A metric by slot, over all tags that match, in microseconds.
    #[must_use]
    pub fn by_slot(&self, trend: Trend, matches: impl Fn(&Label) -> bool) -> BTreeMap<u32, Histogram<u64>> {
        let mut slots = BTreeMap::new();
        let meant = |column: &&SeriesColumn| column.label.trend == trend && matches(&column.label);
        for (slot, steps) in self.columns.iter().filter(meant).flat_map(|column| &column.slots) {
            steps.add_to(slots.entry(*slot).or_insert_with(new_histogram));
        }
        slots
    }

    /// A metric as a whole, over all tags that match, in microseconds.
    #[must_use]
    pub fn whole(&self, trend: Trend, matches: impl Fn(&Label) -> bool) -> Histogram<u64> {
        let mut whole = new_histogram();
        let meant = |column: &&SeriesColumn| column.label.trend == trend && matches(&column.label);
        let steps = self.columns.iter().filter(meant).flat_map(|column| column.slots.values());
        steps.for_each(|steps| steps.add_to(&mut whole));
        whole
    }

    /// The metrics with measurements, in the order of the documentation.
    pub fn trends(&self) -> impl Iterator<Item = Trend> {
        let is_there = |trend: &Trend| self.columns.iter().any(|column| column.label.trend == *trend);
        Trend::ALL.iter().copied().filter(is_there)
    }

    /// The planned phase at a time since the start of the clock; empty before the first.
    #[must_use]
    pub fn phase_at(&self, ms: u64) -> &str {
        let edge = self.phases.iter().rev().find(|edge| edge.from_ms <= ms);
        edge.map_or("", |edge| edge.name.as_str())
    }

    /// Seconds from the start of the clock to the end of the last slot.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        let width = u64::from(self.slot_seconds.max(1));
        let counted = self.counts.last().map(|row| row.second + width);
        let measured = self.columns.iter().filter_map(|column| column.slots.keys().next_back());
        let measured = measured.max().map(|slot| (u64::from(*slot) + 1) * width);
        counted.max(measured).unwrap_or(0)
    }
}

/// Whether figures without a phase include it: not if it belongs to the warm-up.
#[must_use]
pub(super) fn is_judged(label: &Label) -> bool {
    label.phase != "warmup"
}

/// A histogram with three significant digits that grows with its largest value.
pub(super) fn new_histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are allowed")
}

impl PhaseEdge {
    fn new(name: &str, from: Duration) -> Self {
        Self { name: name.to_owned(), from_ms: crate::runtime::clock::millis(from) }
    }
}

impl Label {
    fn new(plan: &Plan, trend: Trend, tags: Tags) -> Self {
        let source = match tags.source {
            Source::Group(id) => {
                plan.groups.get(usize::from(id.0)).map(|group| ("group".to_owned(), group.name.clone()))
            }
            Source::Publisher(id) => {
                let publisher = plan.publishers.iter().find(|publisher| publisher.id == id);
                publisher.map(|publisher| ("publisher".to_owned(), publisher.name.clone()))
            }
            Source::Worker(index) => Some(("worker".to_owned(), (u32::from(index) + 1).to_string())),
            Source::Bench => None,
        };
        Self { trend, phase: plan.phases.name(tags.phase).to_owned(), source, path: tags.path }
    }

    /// Parses the text that [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';');
        let name = parts.next()?;
        let trend = Trend::ALL.iter().copied().find(|trend| trend.name() == name)?;
        let mut label = Self { trend, phase: String::new(), source: None, path: None };
        for part in parts {
            match part.split_once('=')? {
                ("phase", phase) => phase.clone_into(&mut label.phase),
                ("path", "live") => label.path = Some(Path::Live),
                ("path", "replay") => label.path = Some(Path::Replay),
                (kind @ ("group" | "publisher" | "worker"), name) => {
                    label.source = Some((kind.to_owned(), name.to_owned()));
                }
                _ => return None,
            }
        }
        Some(label)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};phase={}", self.trend.name(), self.phase)?;
        if let Some((kind, name)) = &self.source {
            write!(f, ";{kind}={name}")?;
        }
        match self.path {
            Some(Path::Live) => f.write_str(";path=live"),
            Some(Path::Replay) => f.write_str(";path=replay"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_reads_back() {
        for text in [
            "delivery_latency;phase=steady;group=everybody;path=live",
            "delivery_latency;phase=fault:kill-1;group=a_b-1;path=replay",
            "publish_time;phase=warmup;publisher=main",
            "generator_lag;phase=drain",
            "generator_lag;phase=drain;worker=2",
        ] {
            assert_eq!(Label::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "speed;phase=steady", "delivery_latency;steady", "delivery_latency;path=maybe"] {
            assert_eq!(Label::parse(text), None, "{text}");
        }
    }
}
