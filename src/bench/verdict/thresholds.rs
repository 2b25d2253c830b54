//! Lays thresholds beside what was measured. Without samples the answer is *unknown*, never a pass.

use std::time::Duration;

use super::ledger::Account;
use super::outcome::{Judged, Status, ThresholdResult};
use crate::bench::ids::{GroupId, PhaseId};
use crate::bench::metrics::format::readable;
use crate::bench::metrics::metric::{Metric, Tally, Trend};
use crate::bench::metrics::recorder::{Samples, Value};
use crate::bench::metrics::tags::{Source, Tags};
use crate::bench::metrics::threshold::{Aggregation, Operator, Selector, Threshold};

/// Where the scenario says nothing of the generator: a bench that is later than this with one tick of a hundred
/// measures itself.
const GENERATOR_LAG: (&str, &str) = ("generator_lag", "p(99)<100ms");

/// Samples of one source of the generator's lag that no percentile counts: of fewer than a thousand, a single short stall
/// would be its last percent.
const LATEST_SPARED: u64 = 10;

/// Every threshold of the plan, and the one of the generator.
pub(crate) fn results(judged: &Judged<'_>) -> Vec<ThresholdResult> {
    let mut results: Vec<_> =
        judged.plan.thresholds.iter().map(|threshold| result(judged, threshold)).collect();
    if !results.iter().any(|result| result.judges_generator)
        && let Ok(implied) = Threshold::parse(GENERATOR_LAG.0, GENERATOR_LAG.1)
    {
        let implied = result(judged, &implied);
        // Nobody asked for it: a bench that did not measure itself is not accused.
        results.extend(Some(implied).filter(|implied| implied.status != Status::Unknown));
    }
    results
}

fn result(judged: &Judged<'_>, threshold: &Threshold) -> ThresholdResult {
    let measured = measure(judged, threshold);
    let status = match &measured {
        None => Status::Unknown,
        Some((value, _)) if threshold.operator.holds(*value, threshold.limit) => Status::Pass,
        Some(_) => Status::Fail,
    };
    let text = measured.map_or_else(|| "no samples".to_owned(), |(_, text)| text);
    ThresholdResult {
        key: threshold.key.clone(),
        expression: threshold.expression.clone(),
        status,
        measured: text,
        judges_generator: threshold.metric == Metric::Trend(Trend::GeneratorLag),
    }
}

/// The value, in seconds or as a number, and as text.
pub(crate) fn measure(judged: &Judged<'_>, threshold: &Threshold) -> Option<(f64, String)> {
    let of = threshold.aggregation;
    match threshold.metric {
        Metric::Trend(Trend::GeneratorLag) => measure_lag(judged, threshold),
        Metric::Trend(trend) => measure_trend(trend, &samples(judged, trend, &threshold.selector), of),
        Metric::Counter(counter) => {
            let matches = |tags: &_| threshold.selector.matches(judged.plan, tags);
            let count = to_f64(judged.recorder.total(counter, matches));
            // One that was interrupted at once went on for no time at all.
            Some(number(of, count, judged.ran.max(Duration::from_millis(1)).as_secs_f64()))
        }
        Metric::Tally(tally) => {
            let (count, of_all) = tally_of(judged.account, tally);
            (of_all > 0).then(|| number(of, to_f64(count), to_f64(of_all)))
        }
    }
}

/// How late the bench was where it was latest: each process for itself and each publisher for itself, so that one that stood
/// still is not hidden by others that did not.
fn measure_lag(judged: &Judged<'_>, threshold: &Threshold) -> Option<(f64, String)> {
    let (trend, of) = (Trend::GeneratorLag, threshold.aggregation);
    if matches!(of, Aggregation::Count | Aggregation::Rate) {
        return measure_trend(trend, &samples(judged, trend, &threshold.selector), of);
    }
    let measured = lag_by_source(judged, &threshold.selector).into_iter().filter_map(|(source, samples)| {
        let (value, _) = measure_trend(trend, &samples, spare_the_latest(of, samples.count())?)?;
        let text = readable(Duration::try_from_secs_f64(value).unwrap_or_default());
        Some((value, format!("{of}={text}{}", of_whom(judged, source))))
    });
    let worst = match threshold.operator {
        Operator::Less | Operator::AtMost | Operator::Equal | Operator::NotEqual => 1.0,
        Operator::Greater | Operator::AtLeast => -1.0,
    };
    // Of several that are as late, the first: the process itself before its workers and publishers.
    measured.reduce(|one, other| if other.0 * worst > one.0 * worst { other } else { one })
}

/// The percentile that leaves out as many samples as it says, and no fewer than are spared. `None`: none would be left.
fn spare_the_latest(of: Aggregation, count: u64) -> Option<Aggregation> {
    let Aggregation::Percentile(percent) = of else { return Some(of) };
    let spared = 100.0 * (1.0 - to_f64(LATEST_SPARED) / to_f64(count));
    (count > LATEST_SPARED).then(|| Aggregation::Percentile(percent.min(spared)))
}

fn lag_by_source(judged: &Judged<'_>, selector: &Selector) -> Vec<(Source, Samples)> {
    let trend = Trend::GeneratorLag;
    let is_meant = |tags: &Tags| selector.matches(judged.plan, tags);
    let tags = judged.recorder.tags_of(trend).into_iter().filter(is_meant);
    let mut sources: Vec<Source> = tags.map(|tags| tags.source).collect();
    // The process itself first.
    sources.sort_unstable_by_key(|source| (*source != Source::Bench, *source));
    sources.dedup();
    let of = |source| judged.recorder.samples(trend, |tags| tags.source == source && is_meant(tags));
    sources.into_iter().map(|source| (source, of(source))).collect()
}

fn of_whom(judged: &Judged<'_>, source: Source) -> String {
    match source {
        Source::Bench | Source::Group(_) => String::new(),
        Source::Worker(index) => format!(" in worker-{}", u32::from(index) + 1),
        Source::Publisher(id) => {
            let publisher = judged.plan.publishers.iter().find(|publisher| publisher.id == id);
            publisher.map_or_else(String::new, |publisher| format!(" of publisher {}", publisher.name))
        }
    }
}

/// The distribution of a metric. Latencies of deliveries include, as infinite, those that never came, and times to come
/// back the clients that never did.
pub(crate) fn samples(judged: &Judged<'_>, trend: Trend, selector: &Selector) -> Samples {
    let samples = judged.recorder.samples(trend, |tags| selector.matches(judged.plan, tags));
    // Nobody knows which way an event would have come that never did.
    if selector.path.is_some() || selector.publisher.is_some() {
        return samples;
    }
    let is_meant = |group: GroupId, phase: PhaseId| {
        selector.matches(judged.plan, &Tags { phase, source: Source::Group(group), path: None })
    };
    let account = judged.account;
    let missing = match trend {
        Trend::DeliveryLatency | Trend::DeliveryLatencySent => {
            let meant = account.missing_by.iter().filter(|((group, phase), _)| is_meant(*group, *phase));
            meant.map(|(_, count)| count).sum()
        }
        Trend::ReconnectTime | Trend::RecoveryTime => {
            let was_away = |(group, phases): &(GroupId, Vec<PhaseId>)| {
                phases.iter().any(|phase| is_meant(*group, *phase))
            };
            let meant = account.never_back_by.iter().filter(|(key, _)| was_away(key));
            meant.map(|(_, count)| count).sum()
        }
        Trend::ConnectTime
        | Trend::FirstEventTime
        | Trend::PublishTime
        | Trend::PublishDispatchDelay
        | Trend::ReplaySize
        | Trend::FanoutSpread
        | Trend::HeartbeatGap
        | Trend::GeneratorLag => 0,
    };
    samples.with_missing(missing)
}

fn measure_trend(trend: Trend, samples: &Samples, aggregation: Aggregation) -> Option<(f64, String)> {
    let value = match aggregation {
        Aggregation::Count | Aggregation::Rate => {
            return Some((to_f64(samples.count()), format!("count={}", samples.count())));
        }
        Aggregation::Avg => samples.mean().map(Value::Of),
        Aggregation::Min => samples.min().map(Value::Of),
        Aggregation::Max => samples.max(),
        Aggregation::Percentile(percent) => samples.of_expected(percent),
    };
    value.map(|value| match value {
        Value::Of(duration) if trend.is_of_numbers() => {
            let number = duration.as_secs_f64() * 1e6;
            (number, format!("{aggregation}={number:.0}"))
        }
        Value::Of(duration) => (duration.as_secs_f64(), format!("{aggregation}={}", readable(duration))),
        Value::Lost => (f64::INFINITY, format!("{aggregation}=lost")),
    })
}

fn number(aggregation: Aggregation, count: f64, of: f64) -> (f64, String) {
    match aggregation {
        Aggregation::Rate => (count / of, format!("rate={:.4}", count / of)),
        Aggregation::Avg
        | Aggregation::Min
        | Aggregation::Max
        | Aggregation::Percentile(_)
        | Aggregation::Count => (count, format!("count={count}")),
    }
}

/// A count of the ledger, and of how many.
fn tally_of(account: &Account, tally: Tally) -> (u64, u64) {
    let publishes = account.publishes;
    let attempts = publishes.total();
    let count = match tally {
        Tally::Expected => account.expected,
        Tally::Ok => account.ok,
        Tally::Recovered => account.recovered,
        Tally::Lost => account.lost,
        Tally::Unseen => account.unseen,
        Tally::Duplicated => account.duplicated_in_session + account.duplicated_across_reconnect,
        Tally::Reordered => account.reordered,
        Tally::Unexpected => account.unexpected.total(),
        Tally::GapDeclared => account.gap_declared,
        Tally::PublishOk => return (publishes.ok, attempts),
        Tally::PublishFail => return (publishes.fail, attempts),
        Tally::PublishIndeterminate => return (publishes.indeterminate, attempts),
        Tally::PublishDropped => return (publishes.dropped, attempts),
    };
    (count, account.expected)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn to_f64(count: u64) -> f64 {
    count as f64
}
