//! values

use std::time::Duration;

use super::raw::Value;
use super::section::Section;
use super::{cluster, limits};
use crate::bench::scenario::schema::field_schema::Form;
use crate::bench::scenario::{Arrival, Pace, Stage};

/// `headers = { "X-Name" = "value" }` and `token = "…"`.
pub(in crate::bench::scenario) fn headers(section: &Section<'_>) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    if let Some(token) = section.text("token") {
        headers.push(("key token", "authorization".to_owned(), format!("Bearer {token}")));
    }
    let inner = section.section("headers");
    for (name, value) in inner.iter().flat_map(|inner| inner.entries(&[Form::Text])) {
        match value {
            Value::Text(value) => headers.push(("a header", name.to_owned(), value.clone())),
            other => section.refuse("headers", format!("{name} = {} is not a text", other.shown())),
        }
    }
    let is_fine = |(what, name, value): &(&str, String, String)| {
        let is_name = name.parse::<http::HeaderName>().is_ok();
        let is_fine = is_name && value.parse::<http::HeaderValue>().is_ok();
        if !is_fine {
            let key = if *what == "a header" { "headers" } else { "token" };
            let wrong =
                if is_name { "its value holds what no header may hold" } else { "is not a header's name" };
            section.refuse(key, format!("{name:?}: {wrong}"));
        }
        is_fine
    };
    headers.into_iter().filter(is_fine).map(|(_, name, value)| (name, value)).collect()
}

/// `stages = [{ duration, target }, …]`, together no longer than the run: what comes after it would not happen.
pub(in crate::bench::scenario) fn stages(
    section: &Section<'_>,
    allowed: std::ops::RangeInclusive<f64>,
    until: Duration,
) -> Vec<Stage> {
    let stage = |stage: Section<'_>| {
        let duration = stage.required("duration", stage.duration("duration", limits::ANY_DURATION));
        let target = stage.required("target", stage.number("target", allowed.clone()));
        stage.finish();
        Some(Stage { duration: duration?, target: target? })
    };
    let stages: Vec<Stage> = section.list("stages").into_iter().filter_map(stage).collect();
    let total: Duration = stages.iter().map(|stage| stage.duration).sum();
    if total > until {
        let (total, until) = (humantime::format_duration(total), humantime::format_duration(until));
        section.refuse("stages", format!("last {total}, longer than the run, {until}"));
    }
    stages
}

/// `rate = 200`, or `stages` that begin at `start_rate`.
pub(in crate::bench::scenario) fn pace(section: &Section<'_>, until: Duration) -> Option<Pace> {
    let arrivals = [("uniform", Arrival::Uniform), ("poisson", Arrival::Poisson)];
    let arrival = section.choice("arrival", &arrivals).unwrap_or(Arrival::Uniform);
    if !section.has("stages") {
        if section.has("start_rate") {
            section.refuse("start_rate", "belongs to stages");
        }
        let rate = section.required("rate", section.number("rate", limits::RATE))?;
        return Some(Pace { arrival, from: rate, stages: vec![Stage { duration: until, target: rate }] });
    }
    if section.has("rate") {
        section.refuse("rate", "and stages exclude each other; with stages the first rate is start_rate");
    }
    let from = section.number("start_rate", limits::RATE).unwrap_or(0.0);
    let stages = stages(section, limits::RATE, until);
    Some(Pace { arrival, from, stages })
}

/// `nodes = ["n1", "n2"]` of those who use some nodes only, counted from zero.
pub(in crate::bench::scenario) fn nodes(section: &Section<'_>, served: &cluster::Served) -> Vec<u16> {
    let texts = section.texts("nodes");
    if !texts.is_empty() && served.is_by_balancer {
        section.refuse("nodes", "cannot be chosen behind a balancer (lb.kind), which chooses itself");
    }
    let number = |text: &&str| match served.number(text) {
        Ok(number) => Some(number),
        Err(why) => {
            section.refuse("nodes", why);
            None
        }
    };
    texts.iter().filter_map(number).collect()
}

/// Names of scenarios, groups, publishers and faults: they become tags, and parts of file names.
pub(in crate::bench::scenario) fn identifier(text: &str) -> Result<String, String> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if (1..=64).contains(&text.len()) && text.chars().all(is_fine) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a name; allowed are 1 to 64 letters, digits, '-' and '_'"))
    }
}
