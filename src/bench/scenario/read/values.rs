//! Readers of values that several sections share: headers, stages, paces, nodes and names.

use std::time::Duration;

use super::cluster;
use super::field_schema::FieldType;
use super::raw::Value;
use super::section::Section;
use crate::bench::scenario::limits;
use crate::bench::scenario::{Arrival, Pace, Stage, Template};

/// Headers of requests: `headers = { "X-Name" = "value" }`, and `token = "…"` for `Authorization: Bearer`.
pub(super) fn headers(section: &Section<'_>) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    if let Some(token) = section.text("token") {
        headers.push(("token", "authorization".to_owned(), format!("Bearer {token}")));
    }
    let inner = section.section("headers");
    for (name, value) in inner.iter().flat_map(|inner| inner.entries(&[FieldType::Text])) {
        match value {
            Value::Text(value) => headers.push(("headers", name.to_owned(), value.clone())),
            other => section
                .refuse("headers", format!("{name} = {} is not allowed; allowed is a string", other.shown())),
        }
    }
    let is_valid = |(key, name, value): &(&str, String, String)| {
        let is_name = name.parse::<http::HeaderName>().is_ok();
        let is_valid = is_name && value.parse::<http::HeaderValue>().is_ok();
        if !is_valid {
            let why = if is_name {
                "has an invalid value; allowed are visible ASCII characters and blanks"
            } else {
                "is not a header name; allowed are letters, digits and '-'"
            };
            section.refuse(key, format!("{name:?} {why}"));
        }
        is_valid
    };
    headers.into_iter().filter(is_valid).map(|(_, name, value)| (name, value)).collect()
}

/// As [`headers`], with placeholders for the number of the client or publisher.
pub(super) fn header_templates(section: &Section<'_>) -> Vec<(String, Template)> {
    let template = |(name, value): (String, String)| match Template::parse_text(&value) {
        Ok(value) => Some((name, value)),
        Err(error) => {
            section.refuse("headers", format!("{name} (set by headers or token): {error}"));
            None
        }
    };
    headers(section).into_iter().filter_map(template).collect()
}

/// Reads `stages = [{ duration, target }, …]`, in total no longer than the run.
pub(super) fn stages(
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
        section.refuse("stages", format!("the stages last {total} in total, but the run ends at {until}"));
    }
    stages
}

/// Reads `rate = 200`, or `stages` that begin at `start_rate`.
pub(super) fn pace(section: &Section<'_>, until: Duration) -> Option<Pace> {
    let arrivals = [("uniform", Arrival::Uniform), ("poisson", Arrival::Poisson)];
    let arrival = section.choice("arrival", &arrivals).unwrap_or(Arrival::Uniform);
    if !section.has("stages") {
        if section.has("start_rate") {
            section.refuse("start_rate", "is allowed only with stages; for a constant rate set the key rate");
        }
        let rate = section.required("rate", section.number("rate", limits::RATE))?;
        return Some(Pace { arrival, from: rate, stages: vec![Stage { duration: until, target: rate }] });
    }
    if section.has("rate") {
        let why = "cannot be set together with stages; with stages, start_rate is the rate at the start";
        section.refuse("rate", why);
    }
    let from = section.number("start_rate", limits::RATE).unwrap_or(0.0);
    let stages = stages(section, limits::RATE, until);
    Some(Pace { arrival, from, stages })
}

/// Reads `nodes = ["n1", "n2"]` of clients or publishers that use some nodes only; indices from 0.
pub(super) fn nodes(section: &Section<'_>, nodes: &cluster::NamedNodes) -> Vec<u16> {
    let texts = section.texts("nodes");
    if !texts.is_empty() && nodes.has_balancer {
        section.refuse("nodes", "cannot be set with a load balancer (lb.kind), which chooses the node");
    }
    let index = |text: &&str| match nodes.index(text) {
        Ok(index) => Some(index),
        Err(why) => {
            section.refuse("nodes", why);
            None
        }
    };
    texts.iter().filter_map(index).collect()
}

/// Checks the name of a scenario, group, publisher or fault, which becomes a tag and part of a file name.
pub(super) fn identifier(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if (1..=64).contains(&text.len()) && text.chars().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a name; allowed are 1 to 64 letters, digits, '-' and '_'"))
    }
}
