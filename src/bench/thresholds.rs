//! Lays thresholds beside what was measured. Without samples the answer is *unknown*, never a pass.

use super::ledger::Account;
use super::metric::{Metric, Tally, Trend};
use super::recorder::{Samples, Value};
use super::threshold::{Aggregation, Selector, Threshold, readable};
use super::verdict::{Judged, Status, ThresholdResult};

/// Where the scenario says nothing of the generator: a bench that is later than this with one tick of a hundred
/// measures itself.
const GENERATOR_LAG: (&str, &str) = ("generator_lag", "p(99)<100ms");

/// Every threshold of the plan, and the one of the generator.
pub(super) fn results(judged: &Judged<'_>) -> Vec<ThresholdResult> {
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
pub(super) fn measure(judged: &Judged<'_>, threshold: &Threshold) -> Option<(f64, String)> {
    let of = threshold.aggregation;
    match threshold.metric {
        Metric::Trend(trend) => measure_trend(trend, &samples(judged, trend, &threshold.selector), of),
        Metric::Counter(counter) => {
            let matches = |tags: &_| threshold.selector.matches(judged.plan, tags);
            let count = to_f64(judged.recorder.total(counter, matches));
            Some(number(of, count, judged.plan.duration.as_secs_f64()))
        }
        Metric::Tally(tally) => {
            let (count, of_all) = tally_of(judged.account, tally);
            (of_all > 0).then(|| number(of, to_f64(count), to_f64(of_all)))
        }
    }
}

/// The distribution of a metric. Latencies of deliveries include, as infinite, those that never came.
pub(super) fn samples(judged: &Judged<'_>, trend: Trend, selector: &Selector) -> Samples {
    let samples = judged.recorder.samples(trend, |tags| selector.matches(judged.plan, tags));
    let is_delivery = matches!(trend, Trend::DeliveryLatency | Trend::DeliveryLatencySent);
    // Nobody knows which way an event would have come that never did.
    if !is_delivery || selector.path.is_some() || selector.publisher.is_some() {
        return samples;
    }
    let is_meant = |((group, phase), _): &&((_, _), u64)| {
        let tags = super::recorder::Tags {
            phase: *phase,
            source: super::recorder::Source::Group(*group),
            path: None,
        };
        selector.matches(judged.plan, &tags)
    };
    let missing = judged.account.missing_by.iter().filter(is_meant).map(|(_, count)| count).sum();
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
