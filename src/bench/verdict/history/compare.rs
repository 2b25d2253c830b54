//! Compares two stored runs, and checks the changes against limits. Percentiles come from the stored histograms; without
//! samples in one of the runs there is no value. Read [`Comparison::new`] first, then [`Limit::parse`].

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::stored_run::{JudgedRun, StoredRun};
use crate::bench::exit::Exit;
use crate::bench::metrics::format::readable;
use crate::bench::metrics::metric::{Counter, Metric, Tally, Trend};
use crate::bench::metrics::threshold::{Aggregation, InvalidThreshold, Operator, Selector, Threshold};
use crate::bench::verdict::{Status, compressed, thresholds};

/// Version of the JSON.
const SCHEMA_VERSION: u32 = 1;
/// Aggregations that are shown of each distribution.
const SHOWN: [Aggregation; 3] =
    [Aggregation::Percentile(50.0), Aggregation::Percentile(99.0), Aggregation::Max];

/// A change that is a regression: `delivery_latency{phase:steady}:p(99)>+10%`.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    text: String,
    measured: Threshold,
    operator: Operator,
    change: Change,
}

/// The size of a change.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    /// A fraction of the base: 0.1 for `+10%`.
    Relative(f64),
    /// Seconds of a duration, else a plain number.
    Absolute(f64),
}

/// Why a text is not a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLimit {
    /// Not of the form `metric:aggregation>change`.
    #[error(
        "{0:?} is not a limit; the form is metric{{tag:value}}:aggregation>+10%, with > >= < <=, and after it a change with \
         its sign: +10%, -5%, +20ms, +3"
    )]
    Form(String),
    /// The metric or the aggregation is not valid.
    #[error(transparent)]
    Metric(#[from] InvalidThreshold),
}

impl Limit {
    /// Reads a limit.
    ///
    /// # Errors
    /// [`InvalidLimit`] with what is allowed.
    pub fn parse(text: &str) -> Result<Self, InvalidLimit> {
        let form = || InvalidLimit::Form(text.to_owned());
        let tags_end = text.find('}').map_or(0, |end| end + 1);
        let colon = text[tags_end..].find(':').ok_or_else(form)? + tags_end;
        let (key, rest) = (text[..colon].trim(), &text[colon + 1..]);
        let operators = [
            (">=", Operator::AtLeast),
            ("<=", Operator::AtMost),
            (">", Operator::Greater),
            ("<", Operator::Less),
        ];
        let found = operators.iter().find_map(|(word, operator)| {
            rest.split_once(word).map(|(aggregation, change)| (aggregation.trim(), *operator, change.trim()))
        });
        let (aggregation, operator, change) = found.ok_or_else(form)?;
        let (sign, size) = match change.strip_prefix('-') {
            Some(size) => (-1.0, size),
            None => (1.0, change.strip_prefix('+').unwrap_or(change)),
        };
        let (measured, change) = if let Some(percent) = size.strip_suffix('%') {
            let percent: f64 = percent.trim().parse().map_err(|_| form())?;
            if !percent.is_finite() || percent < 0.0 {
                return Err(form());
            }
            (Threshold::parse(key, &format!("{aggregation}<1"))?, Change::Relative(sign * percent / 100.0))
        } else {
            let measured = Threshold::parse(key, &format!("{aggregation}<{size}"))?;
            let change = Change::Absolute(sign * measured.limit);
            (measured, change)
        };
        Ok(Self { text: text.to_owned(), measured, operator, change })
    }

    /// Whether a change from `base` to `new` is a regression. An infinite value stands for events that never arrived.
    fn is_broken(&self, base: f64, new: f64) -> bool {
        let wanted = match self.change {
            Change::Relative(share) => base * share,
            Change::Absolute(change) => change,
        };
        // Both infinite: nothing changed.
        let change = if base.is_infinite() && new.is_infinite() { 0.0 } else { new - base };
        // A percentage of zero is zero: an unchanged value is not a regression, whatever the operator.
        if change == 0.0 && (base == 0.0 || base.is_infinite()) {
            return false;
        }
        let wanted = if wanted.is_finite() { wanted } else { 0.0 };
        self.operator.holds(change, wanted)
    }
}

/// One of the two runs.
struct Side<'a> {
    run: &'a StoredRun,
    judged: &'a JudgedRun,
}

impl Side<'_> {
    /// The value, in seconds or as a number, and as text.
    fn measure(&self, threshold: &Threshold) -> Option<(f64, String)> {
        let input = self.run.verdict_input(&self.judged.account);
        let (value, text) = thresholds::measure(&input, threshold)?;
        let text = text.split_once('=').map_or(text.as_str(), |(_, value)| value).to_owned();
        Some((value, text))
    }

    /// Why its figures are not those of the cluster under the planned load; `None`: they are.
    fn why_unusable(&self, word: &str) -> Option<String> {
        let verdict = &self.judged.verdict;
        let of_problems = verdict.problems.iter().map(|problem| problem.exit);
        let of_generator = verdict.thresholds.iter().filter(|result| result.judges_generator);
        let late = of_generator.filter(|result| result.status == Status::Fail).map(|_| Exit::Invalid);
        // A run that also lost events ends as FAIL, which would hide the other problems.
        let worst = of_problems.chain(late).filter(|exit| is_unusable(*exit)).max()?;
        let unknown = Exit::Unknown;
        Some(format!(
            "the {word} run is {} ({}): its figures are not comparable, so the result is {} ({})",
            worst.word(),
            worst.code(),
            unknown.word(),
            unknown.code()
        ))
    }

    fn about(&self) -> About {
        let (plan, exit) = (&self.run.plan, self.judged.verdict.exit);
        About {
            run: plan.run.to_string(),
            scenario: plan.name.clone(),
            seed: plan.seed,
            verdict: exit.word().to_owned(),
            exit_code: exit.code(),
        }
    }
}

/// A run, by its main facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// Id of the run: 16 hexadecimal digits.
    pub run: String,
    pub scenario: String,
    pub seed: u64,
    /// The word of the verdict: `PASS`, `FAIL`, …
    pub verdict: String,
    /// The verdict as the exit code of its run.
    pub exit_code: u8,
}

/// A metric in both runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The metric with its tags.
    pub key: String,
    /// `p(99)`, `max`, `count`, …
    pub aggregation: String,
    /// The value of the base, as text; absent without samples.
    pub base: Option<String>,
    /// The value of the new run, as text; absent without samples.
    pub new: Option<String>,
    /// The change in percent of the base; absent where one value is missing or infinite, or the base is 0.
    pub change_percent: Option<f64>,
}

/// A limit and whether the change keeps it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LimitResult {
    /// The limit as the user wrote it.
    pub limit: String,
    /// `fail`: the change is a regression. `unknown`: a value is missing, or a run is not comparable.
    pub status: Status,
    /// The compared values.
    #[serde(flatten)]
    pub row: Row,
}

/// The comparison of two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Version of the JSON.
    pub schema: u32,
    /// 0; 99 for a regression; 121 where a limit lacks a value or a run is not comparable.
    pub exit_code: u8,
    /// Why runs are not comparable, a sentence each. If there is one, every limit is `unknown`.
    #[serde(default, rename = "worthless", skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<String>,
    pub base: About,
    pub new: About,
    /// Each limit of the command line.
    pub limits: Vec<LimitResult>,
    /// Every metric that at least one of the runs measured.
    pub metrics: Vec<Row>,
}

impl Comparison {
    /// Compares two runs and checks the limits.
    #[must_use]
    pub fn new(base: (&StoredRun, &JudgedRun), new: (&StoredRun, &JudgedRun), limits: &[Limit]) -> Self {
        let base = Side { run: base.0, judged: base.1 };
        let new = Side { run: new.0, judged: new.1 };
        let sides = [("base", &base), ("new", &new)];
        let mut unusable: Vec<_> =
            sides.into_iter().filter_map(|(word, side)| side.why_unusable(word)).collect();
        unusable.extend(other_codings(&base, &new));
        let mut results: Vec<_> = limits.iter().map(|limit| result(limit, &base, &new)).collect();
        if !unusable.is_empty() {
            // Such a run is neither better nor worse than another.
            results.iter_mut().for_each(|result| result.status = Status::Unknown);
        }
        let exit = results.iter().map(|result| match result.status {
            Status::Pass | Status::Note => Exit::Pass,
            Status::Unknown => Exit::Unknown,
            Status::Fail => Exit::ThresholdsFailed,
        });
        let exit = exit.chain((!unusable.is_empty()).then_some(Exit::Unknown));
        Self {
            schema: SCHEMA_VERSION,
            exit_code: exit.max().unwrap_or(Exit::Pass).code(),
            unusable,
            base: base.about(),
            new: new.about(),
            limits: results,
            metrics: main_metrics().map(|metric| row(&metric, &base, &new).0).filter(is_measured).collect(),
        }
    }

    /// The comparison as text for a terminal.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (word, side) in [("base", &self.base), ("new", &self.new)] {
            // Writing to a text never fails, here and below.
            let _ok = writeln!(
                text,
                "  {word:<5} {} {} (seed {}, run {})",
                side.verdict, side.scenario, side.seed, side.run
            );
        }
        for why in &self.unusable {
            let _ok = writeln!(text, "  ! {why}");
        }
        if !self.limits.is_empty() {
            text.push_str("\n  █ LIMITS\n");
        }
        for result in &self.limits {
            let mark = match result.status {
                Status::Pass | Status::Note => "✓",
                Status::Unknown => "?",
                Status::Fail => "✗",
            };
            let _ok = writeln!(text, "    {mark} {}   {}", result.limit, change_of(&result.row));
        }
        text.push_str("\n  █ METRICS\n");
        for row in &self.metrics {
            let name = format!("{} {}", row.key, row.aggregation);
            let _ok = writeln!(text, "    {name:<42} {}", change_of(row));
        }
        text
    }

    /// The comparison as indented JSON with a newline at its end.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("texts, numbers and lists always make JSON");
        json.push('\n');
        json
    }
}

/// Whether a run with this exit did not measure what it planned.
fn is_unusable(exit: Exit) -> bool {
    matches!(exit, Exit::Invalid | Exit::Interrupted | Exit::FaultFailed)
}

/// Why runs are not comparable whose streams were compressed differently: compression costs time, and holds events back.
fn other_codings(base: &Side<'_>, new: &Side<'_>) -> Option<String> {
    let [base, new] = [base, new].map(|side| match &compressed::codings(&side.run.recorder)[..] {
        [] => "not compressed".to_owned(),
        codings => format!("compressed with {}", codings.join(" and ")),
    });
    let unknown = Exit::Unknown;
    (base != new).then(|| {
        format!(
            "streams of the base run were {base}, those of the new run were {new}: not comparable, so the result is {} ({}); \
             set accept_encoding of the clients",
            unknown.word(),
            unknown.code()
        )
    })
}

fn change_of(row: &Row) -> String {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "no samples".to_owned());
    let change = row.change_percent.map(|percent| format!("{percent:+.1}%")).unwrap_or_default();
    format!("{:>12} → {:>12}   {change}", shown(&row.base), shown(&row.new)).trim_end().to_owned()
}

fn is_measured(row: &Row) -> bool {
    let is_something = |value: &Option<String>| value.as_deref().is_some_and(|value| value != "0");
    is_something(&row.base) || is_something(&row.new)
}

fn result(limit: &Limit, base: &Side<'_>, new: &Side<'_>) -> LimitResult {
    let (row, values) = row(&limit.measured, base, new);
    let status = match values {
        None => Status::Unknown,
        Some((base, new)) if limit.is_broken(base, new) => Status::Fail,
        Some(_) => Status::Pass,
    };
    LimitResult { limit: limit.text.clone(), status, row }
}

/// A metric in both runs, and its two values where both have one.
fn row(measured: &Threshold, base: &Side<'_>, new: &Side<'_>) -> (Row, Option<(f64, f64)>) {
    let is_duration =
        measured.metric.is_of_durations() && !matches!(measured.aggregation, Aggregation::Count);
    // Without samples the count of a distribution is not comparable either.
    let of = |side: &Side<'_>| {
        side.measure(measured).filter(|(value, _)| is_duration || is_counted(measured, *value))
    };
    let (base, new) = (of(base), of(new));
    let values = base.as_ref().zip(new.as_ref()).map(|(base, new)| (base.0, new.0));
    let change = values.filter(|(base, new)| *base > 0.0 && base.is_finite() && new.is_finite());
    let text = |value: &Option<(f64, String)>| {
        value.as_ref().map(|(value, text)| match (is_duration, value.is_finite()) {
            (true, true) => readable(Duration::try_from_secs_f64(*value).unwrap_or_default()),
            (true | false, _) => text.clone(),
        })
    };
    let row = Row {
        key: measured.key.clone(),
        aggregation: measured.aggregation.to_string(),
        base: text(&base),
        new: text(&new),
        change_percent: change.map(|(base, new)| ((new / base - 1.0) * 1e4).round() / 1e2),
    };
    (row, values)
}

fn is_counted(measured: &Threshold, value: f64) -> bool {
    !matches!(measured.metric, Metric::Trend(_)) || value > 0.0
}

/// The metrics that are always shown: all distributions and all counts.
fn main_metrics() -> impl Iterator<Item = Threshold> {
    let of = |metric: Metric, aggregation| Threshold {
        key: metric.name().to_owned(),
        expression: String::new(),
        metric,
        selector: Selector::default(),
        aggregation,
        operator: Operator::Less,
        limit: 0.0,
    };
    let trends = Trend::ALL.iter().flat_map(move |trend| SHOWN.map(|shown| of(Metric::Trend(*trend), shown)));
    let tallies = Tally::ALL.iter().map(move |tally| of(Metric::Tally(*tally), Aggregation::Count));
    let counters = Counter::ALL.iter().map(move |counter| of(Metric::Counter(*counter), Aggregation::Count));
    trends.chain(tallies).chain(counters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(limit: &str, base: f64, new: f64, broken: bool) {
        let limit = Limit::parse(limit).unwrap();
        assert_eq!(limit.is_broken(base, new), broken, "{limit:?} from {base} to {new}");
    }

    #[test]
    fn a_limit_is_a_change_relative_or_absolute() {
        check("delivery_latency:p(99)>+10%", 0.100, 0.109, false);
        check("delivery_latency:p(99)>+10%", 0.100, 0.111, true);
        check("delivery_latency{phase:steady,group:a}:p(99)>+5ms", 0.100, 0.104, false);
        check("delivery_latency{phase:fault:kill-1}:max>5ms", 0.100, 0.106, true);
        check("events_ok:count<-1%", 1_000.0, 995.0, false);
        check("events_ok:count<-1%", 1_000.0, 980.0, true);
        check("events_lost:count>+0", 0.0, 0.0, false);
        check("events_lost:count>+0", 0.0, 1.0, true);
        check("reconnects:rate >= +50%", 2.0, 3.0, true);
    }

    #[test]
    fn nothing_is_divided_by_zero_and_lost_is_worse_than_late() {
        check("events_lost:count>+10%", 0.0, 0.0, false);
        check("events_lost:count>+10%", 0.0, 1.0, true);
        check("delivery_latency:p(99)>+10%", 0.1, f64::INFINITY, true);
        check("delivery_latency:p(99)>+10%", f64::INFINITY, 0.1, false);
        check("delivery_latency:p(99)>+10%", f64::INFINITY, f64::INFINITY, false);
        check("delivery_latency:p(99)>=+10%", f64::INFINITY, f64::INFINITY, false);
        check("reconnects:rate>=+50%", 0.0, 0.0, false);
    }

    #[track_caller]
    fn check_refused(text: &str, word: &str) {
        let error = Limit::parse(text).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }

    #[test]
    fn an_invalid_limit_is_refused_with_what_is_allowed() {
        check_refused("delivery_latency>10%", "the form is");
        check_refused("delivery_latency:p(99)", "the form is");
        check_refused("delivery_latency:p(99)>+x%", "the form is");
        check_refused("delivery_latenzy:p(99)>+10%", "delivery_latency");
        check_refused("delivery_latency:p(101)>+10%", "p(N)");
        check_refused("events_lost{phase:steady}:count>+1", "no tags");
        check_refused("delivery_latency:p(99)>+3parsecs", "not a limit for delivery_latency");
    }
}
