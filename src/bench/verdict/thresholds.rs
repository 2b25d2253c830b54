//! Evaluates thresholds against the measurements and the account. Without samples the result is *unknown*, never a pass.
//! Read [`results`] first.

use std::time::Duration;

use super::ledger::Account;
use super::outcome::{Status, ThresholdResult, VerdictInput};
use crate::bench::ids::{GroupId, PhaseId};
use crate::bench::metrics::format::{readable, to_f64};
use crate::bench::metrics::metric::{Metric, Tally, Trend};
use crate::bench::metrics::recorder::{Samples, Value};
use crate::bench::metrics::tags::{Source, Tags};
use crate::bench::metrics::threshold::{Aggregation, Operator, Selector, Threshold};
use crate::bench::scenario::plan::Plan;

/// Applies where the scenario has no threshold for the load generator: if more than one tick of a hundred is later than
/// this, the run measures the bench.
const GENERATOR_LAG: (&str, &str) = ("generator_lag", "p(99)<100ms");

/// The largest samples of each source of generator lag that percentiles leave out. Without this, a single short stall would
/// be the last percent of fewer than a thousand samples.
const SAMPLES_EXCLUDED: u64 = 10;

/// The results of all thresholds of the plan, and of the one for the load generator.
pub(crate) fn results(input: &VerdictInput<'_>) -> Vec<ThresholdResult> {
    let mut results: Vec<_> =
        input.plan.thresholds.iter().map(|threshold| result(input, threshold)).collect();
    if !results.iter().any(|result| result.judges_generator)
        && let Ok(implied) = Threshold::parse(GENERATOR_LAG.0, GENERATOR_LAG.1)
    {
        let implied = result(input, &implied);
        // The scenario did not ask for it: without samples it is left out.
        results.extend(Some(implied).filter(|implied| implied.status != Status::Unknown));
    }
    results
}

fn result(input: &VerdictInput<'_>, threshold: &Threshold) -> ThresholdResult {
    let measured = measure(input, threshold);
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

/// The measured value, in seconds or as a number, and as text; `None` without samples.
pub(crate) fn measure(input: &VerdictInput<'_>, threshold: &Threshold) -> Option<(f64, String)> {
    let of = threshold.aggregation;
    match threshold.metric {
        Metric::Trend(Trend::GeneratorLag) => measure_lag(input, threshold),
        Metric::Trend(trend) => measure_trend(trend, &samples(input, trend, &threshold.selector), of),
        Metric::Counter(counter) => {
            let matches = |tags: &_| matches(&threshold.selector, input.plan, tags);
            let count = to_f64(input.recorder.total(counter, matches));
            // A run that was interrupted at once ran for no time at all.
            Some(number(of, count, input.ran.max(Duration::from_millis(1)).as_secs_f64()))
        }
        Metric::Tally(tally) => {
            let (count, of_all) = tally_of(input.account, tally);
            (of_all > 0).then(|| number(of, to_f64(count), to_f64(of_all)))
        }
    }
}

/// The generator lag of the source with the largest one. Each process and each publisher is a source of its own, so that
/// one that stalled is not hidden by others.
fn measure_lag(input: &VerdictInput<'_>, threshold: &Threshold) -> Option<(f64, String)> {
    let (trend, of) = (Trend::GeneratorLag, threshold.aggregation);
    if matches!(of, Aggregation::Count | Aggregation::Rate) {
        return measure_trend(trend, &samples(input, trend, &threshold.selector), of);
    }
    let measured = lag_by_source(input, &threshold.selector).into_iter().filter_map(|(source, samples)| {
        let (value, _) = measure_trend(trend, &samples, exclude_largest_samples(of, samples.count())?)?;
        let text = readable(Duration::try_from_secs_f64(value).unwrap_or_default());
        Some((value, format!("{of}={text}{}", source_suffix(input, source))))
    });
    let worst = match threshold.operator {
        Operator::Less | Operator::AtMost | Operator::Equal | Operator::NotEqual => 1.0,
        Operator::Greater | Operator::AtLeast => -1.0,
    };
    // Of equal ones the first: the process itself before its workers and publishers.
    measured.reduce(|one, other| if other.0 * worst > one.0 * worst { other } else { one })
}

/// The percentile, lowered where needed to leave out the largest samples. `None`: no sample would be left.
fn exclude_largest_samples(of: Aggregation, count: u64) -> Option<Aggregation> {
    let Aggregation::Percentile(percent) = of else { return Some(of) };
    let highest = 100.0 * (1.0 - to_f64(SAMPLES_EXCLUDED) / to_f64(count));
    (count > SAMPLES_EXCLUDED).then(|| Aggregation::Percentile(percent.min(highest)))
}

fn lag_by_source(input: &VerdictInput<'_>, selector: &Selector) -> Vec<(Source, Samples)> {
    let trend = Trend::GeneratorLag;
    let is_meant = |tags: &Tags| matches(selector, input.plan, tags);
    let tags = input.recorder.tags_of(trend).into_iter().filter(is_meant);
    let mut sources: Vec<Source> = tags.map(|tags| tags.source).collect();
    // The process itself is the first.
    sources.sort_unstable_by_key(|source| (*source != Source::Bench, *source));
    sources.dedup();
    let of = |source| input.recorder.samples(trend, |tags| tags.source == source && is_meant(tags));
    sources.into_iter().map(|source| (source, of(source))).collect()
}

fn source_suffix(input: &VerdictInput<'_>, source: Source) -> String {
    match source {
        Source::Bench | Source::Group(_) => String::new(),
        Source::Worker(index) => format!(" in worker-{}", u32::from(index) + 1),
        Source::Publisher(id) => {
            let publisher = input.plan.publishers.iter().find(|publisher| publisher.id == id);
            publisher.map_or_else(String::new, |publisher| format!(" of publisher {}", publisher.name))
        }
    }
}

/// The distribution of a metric. Delivery latencies include missing deliveries as infinite values, and reconnect times the
/// clients that never came back.
pub(crate) fn samples(input: &VerdictInput<'_>, trend: Trend, selector: &Selector) -> Samples {
    let samples = input.recorder.samples(trend, |tags| matches(selector, input.plan, tags));
    // A missing event has no path, and the account does not count it by publisher.
    if selector.path.is_some() || selector.publisher.is_some() {
        return samples;
    }
    let is_meant = |group: GroupId, phase: PhaseId| {
        matches(selector, input.plan, &Tags { phase, source: Source::Group(group), path: None })
    };
    let account = input.account;
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

/// Whether a selector includes the measurements with these tags.
fn matches(selector: &Selector, plan: &Plan, tags: &Tags) -> bool {
    let Selector { group, publisher, path, .. } = selector;
    let source = match tags.source {
        Source::Group(id) => {
            let name = plan.groups.get(usize::from(id.0)).map(|group| group.name.as_str());
            publisher.is_none() && group.as_deref().is_none_or(|wanted| name == Some(wanted))
        }
        Source::Publisher(id) => {
            let name = plan.publishers.get(usize::from(id.0)).map(|publisher| publisher.name.as_str());
            group.is_none() && publisher.as_deref().is_none_or(|wanted| name == Some(wanted))
        }
        Source::Bench | Source::Worker(_) => group.is_none() && publisher.is_none(),
    };
    let phase = plan.phases.name(tags.phase);
    let phase = match selector.phase.as_deref() {
        None => phase != "warmup",
        Some("fault") => phase.starts_with("fault:"),
        Some(wanted) => phase == wanted,
    };
    source && phase && path.is_none_or(|path| tags.path == Some(path))
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

/// A count of the account, and the total that it is a part of.
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
