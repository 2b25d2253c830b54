//! Reads `[publishers.<name>]`: rate, addresses and payloads. Read [`publishers`] first.

use std::time::Duration;

use super::cluster::NamedNodes;
use super::dialect;
use super::raw::Value;
use super::section::Section;
use super::values::{self, pace};
use crate::bench::scenario::dialect::Dialect;
use crate::bench::scenario::limits;
use crate::bench::scenario::{ClientGroup, Mix, PayloadSize, PublisherSpec};

/// All valid publishers; problems of the others go to the sink.
pub(super) fn publishers(
    root: &Section<'_>,
    until: Duration,
    groups: &[ClientGroup],
    context: (&NamedNodes, Option<&Dialect>),
) -> Vec<PublisherSpec> {
    let sections = root.sections("publishers");
    root.limit_entries("publishers", sections.len());
    let read = sections
        .into_iter()
        .filter_map(|(name, section)| publisher((root, context), name, section, until, groups));
    read.collect()
}

fn publisher(
    (root, (nodes_by_name, dialect)): (&Section<'_>, (&NamedNodes, Option<&Dialect>)),
    name: &str,
    section: Section<'_>,
    until: Duration,
    groups: &[ClientGroup],
) -> Option<PublisherSpec> {
    let valid_name = values::identifier(name).map_err(|error| root.refuse("publishers", error)).ok();
    let pace = pace(&section, until);
    let max_in_flight = section.integer32("max_in_flight", limits::IN_FLIGHT);
    let mix = match section.section("mix") {
        None => Some(Mix { broadcast: 1.0, ..Mix::default() }),
        // Subscriptions are unknown if a group is invalid.
        Some(mix) if root.is_refused_below("clients") => Some(read_mix(mix)),
        Some(mix) => check_mix(&section, &read_mix(mix), groups),
    };
    let payload = payload(&section);
    let in_order = section.boolean("in_order").unwrap_or(false);
    let qos = section.integer32("qos", limits::QOS);
    let retry = section.boolean("retry").unwrap_or(dialect.is_none_or(Dialect::has_idempotency_key));
    if let Some(dialect) = dialect {
        check_dialect(&section, dialect, (mix.as_ref(), qos));
    }
    let nodes = values::nodes(&section, nodes_by_name);
    let headers = values::header_templates(&section);
    section.reserve(&["time_unit", "start", "type"]);
    section.finish();
    Some(PublisherSpec {
        name: valid_name?,
        pace: pace?,
        max_in_flight: max_in_flight.unwrap_or(limits::IN_FLIGHT_DEFAULT),
        in_order,
        mix: mix?,
        payload: payload?,
        retry,
        nodes,
        headers,
        qos: qos.and_then(|qos| u8::try_from(qos).ok()).unwrap_or(0),
    })
}

/// Refuses kinds of addresses and mailboxes that servers with a `[dialect]` do not have.
fn check_dialect(section: &Section<'_>, dialect: &Dialect, (mix, qos): (Option<&Mix>, Option<u32>)) {
    for (kind, key) in mix.into_iter().flat_map(|mix| dialect::missing_kinds(dialect, mix)) {
        section.refuse(
            "mix",
            format!(
                "{kind} has a weight, but the servers have no address for it: dialect.names.{key} is missing"
            ),
        );
    }
    if qos.is_some_and(|qos| qos > 0) {
        section.refuse("qos", "1 needs mailboxes, which servers with a [dialect] do not have; allowed is 0");
    }
}

fn read_mix(section: Section<'_>) -> Mix {
    let weight = |key| section.number(key, limits::WEIGHT).unwrap_or(0.0);
    let mix = Mix {
        broadcast: weight("broadcast"),
        topic: weight("topic"),
        user: weight("user"),
        client: weight("client"),
    };
    section.finish();
    mix
}

/// Refuses weights of kinds without subscribers.
fn check_mix(section: &Section<'_>, mix: &Mix, groups: &[ClientGroup]) -> Option<Mix> {
    let refuse = |kind: &str| {
        let key = if kind == "topic" { "topics" } else { kind };
        let why = format!(
            "{kind} has a weight, but no client group subscribes to one: set subscribe.{key} in [clients.NAME], or remove the weight"
        );
        section.refuse("mix", why);
    };
    let has_topics = groups.iter().any(|group| !group.subscribe.topics.is_empty());
    let has_users = groups.iter().any(|group| group.subscribe.user.is_some());
    if mix.broadcast + mix.topic + mix.user + mix.client <= 0.0 {
        section.refuse("mix", "needs a weight above zero; allowed are broadcast, topic, user, client");
        return None;
    }
    if mix.topic > 0.0 && !has_topics {
        refuse("topic");
    }
    if mix.user > 0.0 && !has_users {
        refuse("user");
    }
    Some(*mix)
}

/// Reads `payload = 256`, or `payload = { dist = "lognormal", median = 256, p99 = 8192 }`.
fn payload(section: &Section<'_>) -> Option<PayloadSize> {
    match section.value("payload") {
        None => Some(PayloadSize::Fixed(limits::PAYLOAD_DEFAULT)),
        Some(Value::Table(_)) => section.section("payload").and_then(distribution),
        Some(_) => section.integer32("payload", limits::PAYLOAD).map(PayloadSize::Fixed),
    }
}

fn distribution(section: Section<'_>) -> Option<PayloadSize> {
    section.required("dist", section.choice("dist", &[("lognormal", ())]));
    let median = section.required("median", section.integer32("median", limits::PAYLOAD));
    let p99 = section.required("p99", section.integer32("p99", limits::PAYLOAD));
    if let Some((median, p99)) = median.zip(p99).filter(|(median, p99)| median > p99) {
        section.refuse(
            "p99",
            format!("{p99} is not allowed; allowed are sizes of at least {median} (payload.median)"),
        );
    }
    section.finish();
    Some(PayloadSize::LogNormal { median: median?, p99: p99? })
}
