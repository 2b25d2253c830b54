//! Thresholds for metrics, in k6's grammar: `"delivery_latency{phase:steady}" = ["p(99)<50ms"]`. Text in, a checked
//! [`Threshold`] or an error out. Never evaluates one: `verdict` does. Read [`Threshold`] first.

use std::fmt;

use super::metric::Metric;
use super::tags::Path;
use crate::runtime::did_you_mean;

/// A condition on an aggregated metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// The metric with its tags, as written.
    pub key: String,
    /// The expression as written.
    pub expression: String,
    pub metric: Metric,
    pub selector: Selector,
    pub aggregation: Aggregation,
    pub operator: Operator,
    /// In seconds for durations; a fraction for rates of `events_*` and `publish_*`; else a number.
    pub limit: f64,
}

/// Tags that any metric has.
const TAGS: [&str; 4] = ["phase", "group", "publisher", "path"];

/// Selects measurements by tags; `None` matches every value, but a phase of `None` excludes the warm-up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// Name of a phase, as `steady` or `fault:kill-1`; `fault` stands for all faults.
    pub phase: Option<String>,
    pub group: Option<String>,
    pub publisher: Option<String>,
    pub path: Option<Path>,
}

/// Reduces measurements to one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregation {
    Avg,
    Min,
    Max,
    /// 0 to 100; `med` is 50.
    Percentile(f64),
    Count,
    /// For `events_*` the share of expected deliveries, for `publish_*` of publishes, else the count per second.
    Rate,
}

/// Compares a value with its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
    NotEqual,
}

/// Why a text is not a threshold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidThreshold {
    /// There is no metric of this name.
    #[error("metric {name:?} is not known; allowed are {}{}", names(), suggestion(.name))]
    Metric { name: String },
    /// The tags are not of the form `{tag:value,…}`, or one is unknown.
    #[error(
        "tags {0:?} are not valid; the form is {{tag:value,…}} with the tags phase (warmup, steady, recovery, drain, fault, fault:NAME), group, publisher and path (live, replay)"
    )]
    Tags(String),
    /// Counts of the ledgers have no tags.
    #[error("{0} has no tags; allowed is {0} without tags")]
    Untagged(&'static str),
    /// Measurements of the metric have no such tag.
    #[error("{metric} has no tag {tag}, so it would never have a sample; allowed are {}", metric.tags().join(", "))]
    Tag { tag: String, metric: Metric },
    /// The text is not an expression.
    #[error(
        "{0:?} is not an expression; the form is <aggregation> <operator> <limit>, as in p(99)<50ms, with the operators < <= > >= == !="
    )]
    Expression(String),
    /// One text with several expressions.
    #[error(
        "{0:?} is more than one expression; write one per element of the list: [\"min>200ms\", \"max<3s\"]"
    )]
    Several(String),
    /// A fraction that every value is below, or that no value reaches.
    #[error(
        "{limit:?} is always or never met for {metric}: rate is a fraction between 0 and 1; write 1% or 0.01"
    )]
    Share { limit: String, metric: Metric },
    /// The aggregation does not fit the metric.
    #[error("{aggregation:?} is not an aggregation of {metric}; allowed are {}{}", allowed(.metric), percentile_hint(.aggregation, .metric))]
    Aggregation { aggregation: String, metric: Metric },
    /// The limit is not a number, or has a wrong unit.
    #[error("{limit:?} is not a limit for {metric}; allowed is {}", units(.metric))]
    Limit { limit: String, metric: Metric },
}

fn names() -> String {
    let names: Vec<_> = Metric::all().map(Metric::name).collect();
    names.join(", ")
}

fn suggestion(name: &str) -> String {
    did_you_mean(name, Metric::all().map(Metric::name))
}

fn allowed(metric: &Metric) -> &'static str {
    match metric {
        Metric::Trend(_) => "avg, min, med, max, p(N) and count",
        Metric::Counter(_) | Metric::Tally(_) => "count and rate",
    }
}

/// Recognises `p95`, which other tools write for `p(95)`.
fn percentile_hint(written: &str, metric: &Metric) -> String {
    let number = written.strip_prefix(['p', 'P']).filter(|rest| rest.parse::<f64>().is_ok());
    let number = number.filter(|_| matches!(metric, Metric::Trend(_)));
    number.map_or_else(String::new, |number| format!("; did you mean p({number})?"))
}

fn units(metric: &Metric) -> &'static str {
    match metric {
        Metric::Trend(trend) if trend.is_of_numbers() => "a number",
        Metric::Trend(_) => "a number with the unit ns, us, ms, s or m, or without a unit for milliseconds",
        Metric::Counter(_) | Metric::Tally(_) => "a number, or a percentage for rate",
    }
}

impl Threshold {
    /// Parses the key with its tags, and one expression.
    ///
    /// # Errors
    /// [`InvalidThreshold`], whose message names the allowed values.
    pub fn parse(key: &str, expression: &str) -> Result<Self, InvalidThreshold> {
        let (name, tags) = match key.split_once('{') {
            None => (key.trim(), None),
            Some((name, tags)) => (name.trim(), Some(tags)),
        };
        let metric =
            Metric::by_name(name).ok_or_else(|| InvalidThreshold::Metric { name: name.to_owned() })?;
        let selector = tags.map_or_else(|| Ok(Selector::default()), |tags| Selector::parse(metric, tags))?;
        if ["&&", "||", ","].iter().any(|joint| expression.contains(joint)) {
            return Err(InvalidThreshold::Several(expression.to_owned()));
        }
        let (aggregation, operator, limit) = split(expression)?;
        if aggregation.is_empty() || limit.is_empty() {
            return Err(InvalidThreshold::Expression(expression.to_owned()));
        }
        let aggregation = Aggregation::parse(aggregation, metric)?;
        let invalid = || InvalidThreshold::Limit { limit: limit.to_owned(), metric };
        let is_share = aggregation == Aggregation::Rate && matches!(metric, Metric::Tally(_));
        let text = limit;
        let limit = parse_limit(limit, metric, aggregation).ok_or_else(invalid)?;
        if is_share && !text.ends_with('%') && is_trivial(operator, limit) {
            return Err(InvalidThreshold::Share { limit: text.to_owned(), metric });
        }
        Ok(Self {
            key: key.to_owned(),
            expression: expression.to_owned(),
            metric,
            selector,
            aggregation,
            operator,
            limit,
        })
    }
}

impl Selector {
    fn parse(metric: Metric, tags: &str) -> Result<Self, InvalidThreshold> {
        let invalid = || InvalidThreshold::Tags(format!("{{{tags}"));
        let inner = tags.trim().strip_suffix('}').ok_or_else(invalid)?;
        if let Metric::Tally(tally) = metric {
            return Err(InvalidThreshold::Untagged(tally.name()));
        }
        let mut selector = Self::default();
        for pair in inner.split(',') {
            let (tag, value) = pair.split_once(':').ok_or_else(invalid)?;
            let value = value.trim();
            let tag = tag.trim();
            if TAGS.contains(&tag) && !metric.tags().contains(&tag) {
                return Err(InvalidThreshold::Tag { tag: tag.to_owned(), metric });
            }
            match tag {
                "phase" => selector.phase = Some(value.to_owned()),
                "group" => selector.group = Some(value.to_owned()),
                "publisher" => selector.publisher = Some(value.to_owned()),
                "path" => selector.path = Some(parse_path(value).ok_or_else(invalid)?),
                _ => return Err(invalid()),
            }
        }
        Ok(selector)
    }
}

/// Whether all shares are on one side of the limit: `rate<1` most likely means one percent.
fn is_trivial(operator: Operator, limit: f64) -> bool {
    match operator {
        Operator::Less | Operator::AtMost | Operator::Greater => limit >= 1.0,
        Operator::AtLeast | Operator::Equal | Operator::NotEqual => limit > 1.0,
    }
}

fn parse_path(text: &str) -> Option<Path> {
    match text {
        "live" => Some(Path::Live),
        "replay" => Some(Path::Replay),
        _ => None,
    }
}

fn split(expression: &str) -> Result<(&str, Operator, &str), InvalidThreshold> {
    let operators = [
        ("===", Operator::Equal),
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::AtMost),
        (">=", Operator::AtLeast),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];
    let found = operators.iter().find_map(|(text, operator)| {
        expression.split_once(text).map(|(aggregation, limit)| (aggregation.trim(), *operator, limit.trim()))
    });
    found.ok_or_else(|| InvalidThreshold::Expression(expression.to_owned()))
}

impl Aggregation {
    fn parse(text: &str, metric: Metric) -> Result<Self, InvalidThreshold> {
        let invalid = || InvalidThreshold::Aggregation { aggregation: text.to_owned(), metric };
        let percent = || {
            let percent = text.strip_prefix("p(")?.strip_suffix(')')?.trim().parse().ok()?;
            (0.0..=100.0).contains(&percent).then_some(Self::Percentile(percent))
        };
        match (metric, text) {
            (_, "count") => Ok(Self::Count),
            (Metric::Counter(_) | Metric::Tally(_), "rate") => Ok(Self::Rate),
            (Metric::Trend(_), "avg") => Ok(Self::Avg),
            (Metric::Trend(_), "min") => Ok(Self::Min),
            (Metric::Trend(_), "max") => Ok(Self::Max),
            (Metric::Trend(_), "med") => Ok(Self::Percentile(50.0)),
            (Metric::Trend(_), _) => percent().ok_or_else(invalid),
            (Metric::Counter(_) | Metric::Tally(_), _) => Err(invalid()),
        }
    }
}

impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Avg => f.write_str("avg"),
            Self::Min => f.write_str("min"),
            Self::Max => f.write_str("max"),
            Self::Percentile(percent) => write!(f, "p({percent})"),
            Self::Count => f.write_str("count"),
            Self::Rate => f.write_str("rate"),
        }
    }
}

fn parse_limit(text: &str, metric: Metric, aggregation: Aggregation) -> Option<f64> {
    let is_duration = metric.is_of_durations() && aggregation != Aggregation::Count;
    let number_ends = text.find(|c: char| c.is_alphabetic() || c == '%').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_ends);
    // Long names as in durations of other keys.
    let unit = match unit {
        "msec" | "millis" | "millisecond" | "milliseconds" => "ms",
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        unit => unit,
    };
    let number: f64 = number.trim().parse().ok()?;
    let scale = match (is_duration, unit) {
        (true, "ns") => 1e-9,
        (true, "us" | "µs") => 1e-6,
        (true, "" | "ms") => 1e-3,
        (true, "s") | (false, "") => 1.0,
        (true, "m") => 60.0,
        (false, "%") if aggregation == Aggregation::Rate => 1e-2,
        _ => return None,
    };
    (number.is_finite() && number >= 0.0).then_some(number * scale)
}

impl Operator {
    /// Whether `value <operator> limit` is true.
    #[must_use]
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::AtMost => value <= limit,
            Self::Greater => value > limit,
            Self::AtLeast => value >= limit,
            // Tolerates rounding errors: limits are decimal fractions.
            Self::Equal => (value - limit).abs() < 1e-9,
            Self::NotEqual => (value - limit).abs() >= 1e-9,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::metrics::format::readable;
    use crate::bench::metrics::metric::{Tally, Trend};
    use std::time::Duration;

    #[track_caller]
    fn check(key: &str, expression: &str, aggregation: Aggregation, operator: Operator, limit: f64) {
        let threshold = Threshold::parse(key, expression).unwrap();
        assert_eq!((threshold.aggregation, threshold.operator), (aggregation, operator));
        assert!((threshold.limit - limit).abs() < 1e-12, "{}", threshold.limit);
    }

    #[test]
    fn k6_expressions_are_understood_and_units_added() {
        let latency = "delivery_latency{phase:steady}";
        check(latency, "p(99)<50ms", Aggregation::Percentile(99.0), Operator::Less, 0.05);
        check(latency, "p(99.9) <= 50", Aggregation::Percentile(99.9), Operator::AtMost, 0.05);
        check(latency, "max<2s", Aggregation::Max, Operator::Less, 2.0);
        check(latency, "med>1us", Aggregation::Percentile(50.0), Operator::Greater, 1e-6);
        check(latency, "count>=10", Aggregation::Count, Operator::AtLeast, 10.0);
        check("events_lost", "count==0", Aggregation::Count, Operator::Equal, 0.0);
        check("events_lost", "count===0", Aggregation::Count, Operator::Equal, 0.0);
        check("events_duplicated", "rate<1%", Aggregation::Rate, Operator::Less, 0.01);
        check("reconnects", "rate!=0.5", Aggregation::Rate, Operator::NotEqual, 0.5);
        check("reconnects", "rate<20", Aggregation::Rate, Operator::Less, 20.0);
        check("events_ok", "rate==1", Aggregation::Rate, Operator::Equal, 1.0);
        check("events_ok", "rate>99%", Aggregation::Rate, Operator::Greater, 0.99);
        check("reconnect_time", "max < 3 sec", Aggregation::Max, Operator::Less, 3.0);
    }

    #[test]
    fn tags_select() {
        let threshold =
            Threshold::parse("delivery_latency{phase:fault:kill-1, group:a,path:replay}", "max<1s").unwrap();
        assert_eq!(threshold.metric, Metric::Trend(Trend::DeliveryLatency));
        assert_eq!(
            threshold.selector,
            Selector {
                phase: Some("fault:kill-1".into()),
                group: Some("a".into()),
                publisher: None,
                path: Some(Path::Replay)
            }
        );
        assert_eq!(Threshold::parse("events_lost", "count<1").unwrap().metric, Metric::Tally(Tally::Lost));
    }

    #[track_caller]
    fn check_refused(key: &str, expression: &str, words: &str) {
        let error = Threshold::parse(key, expression).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn what_is_refused_is_named_with_what_is_allowed() {
        check_refused("delivery_latancy", "max<1s", "did you mean delivery_latency?");
        check_refused("events_lost", "p(99)<1", "allowed are count and rate");
        check_refused("delivery_latency", "rate<1", "p(N)");
        check_refused("delivery_latency", "p(101)<1s", "p(101)");
        check_refused("delivery_latency", "p99<1s", "\"p99\"");
        check_refused("delivery_latency", "max", "as in p(99)<50ms");
        check_refused("delivery_latency", "max<fast", "\"fast\"");
        check_refused("delivery_latency", "max<1h", "\"1h\"");
        check_refused("events_lost", "count<1ms", "\"1ms\"");
        check_refused("delivery_latency{phase}", "max<1s", "{tag:value");
        check_refused("delivery_latency{phase:steady", "max<1s", "{tag:value");
        check_refused("delivery_latency{node:n1}", "max<1s", "phase");
        check_refused("events_lost{phase:steady}", "count<1", "events_lost has no tags");
    }

    #[test]
    fn what_would_never_have_a_sample_or_always_pass_is_refused() {
        check_refused("reconnect_time{publisher:main}", "max<1s", "allowed are phase, group");
        check_refused("publish_time{group:users}", "max<1s", "allowed are phase, publisher");
        check_refused("connect_time{path:live}", "max<1s", "connect_time has no tag path");
        check_refused("closes{publisher:main}", "count<1", "closes has no tag publisher");
        check_refused("events_lost", "rate<1", "write 1% or 0.01");
        check_refused("events_ok", "rate>99", "write 1% or 0.01");
    }

    #[test]
    fn what_k6_users_write_is_answered_with_what_they_mean() {
        check_refused("delivery_latency", "p95<3s", "did you mean p(95)?");
        check_refused("events_lost", "p95<3", "is not an aggregation of events_lost; allowed");
        check_refused("reconnect_time", "min>200ms && max<3s", "one per element");
        check_refused("events_lost", "== 0", "the form is");
    }

    #[test]
    fn durations_are_short_to_read() {
        assert_eq!(readable(Duration::from_micros(250)), "250us");
        assert_eq!(readable(Duration::from_micros(12_412)), "12.4ms");
        assert_eq!(readable(Duration::from_millis(3_400)), "3.40s");
        assert_eq!(readable(Duration::from_secs(600)), "10.0m");
    }
}
