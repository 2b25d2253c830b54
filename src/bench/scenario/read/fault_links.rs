//! Reads `cluster.proxy`, the links that pass the fault proxy, and the faults of these links. Read [`fault`] first.

use super::fault_target;
use super::section::Section;
use crate::bench::scenario::limits;
use crate::bench::scenario::{
    Attribute, BrokerKind, Cluster, FaultSpecKind, LinkEffect, LinkFault, LinkKind, RedisSet, RedisShape,
    SpawnCluster, Stream, Target, ToxicKind, Which,
};

/// `cluster.proxy`: the kinds of links that pass the proxy.
pub(super) fn proxied(section: &Section<'_>, cluster: Option<&Cluster>) -> Vec<LinkKind> {
    let mut links = Vec::new();
    for link in section.choices("proxy", &LinkKind::WORDS) {
        match cluster.and_then(|cluster| cannot_pass_a_proxy(link, cluster)) {
            Some(why) => section.refuse("proxy", format!("\"{link}\" {why}")),
            None if !links.contains(&link) => links.push(link),
            None => {}
        }
    }
    links
}

/// Why a link cannot pass the fault proxy; `None` if it can.
#[must_use]
pub fn cannot_pass_a_proxy(link: LinkKind, cluster: &Cluster) -> Option<String> {
    match (link, cluster) {
        (LinkKind::ClientNode, Cluster::Spawn(_)) => None,
        (LinkKind::ClientNode, Cluster::Attach(urls)) => {
            let url = urls.iter().find(|url| host_of(url).is_none())?;
            Some(format!(
                "cannot pass a proxy with cluster.attach = {url}; allowed are URLs of the form http://HOST:PORT"
            ))
        }
        (LinkKind::NodeRedis, Cluster::Attach(_)) => Some(
            "needs nodes that the run starts: attached nodes are connected to their Redis already".to_owned(),
        ),
        (LinkKind::NodeRedis, Cluster::Spawn(SpawnCluster { broker, .. })) => match broker {
            BrokerKind::Memory | BrokerKind::File => {
                Some("needs a Redis: cluster.broker = \"redis\"".to_owned())
            }
            BrokerKind::Redis(set) => past_a_proxy(set),
        },
    }
}

/// Why connections to Redis would bypass a proxy or fail through it; `None` if they pass.
fn past_a_proxy(set: &RedisSet) -> Option<String> {
    match (set.shape, &set.external) {
        (RedisShape::Single, None) => None,
        (RedisShape::Single, Some(url)) if url.starts_with("redis://") => None,
        (RedisShape::Single, Some(_)) => Some(
            "needs a redis:// URL in cluster.redis.external: with rediss:// a node would not accept the certificate of a proxy".into(),
        ),
        (RedisShape::Sentinel, _) => Some(
            "needs cluster.broker = \"redis\": Sentinels give nodes the master's own address, which bypasses a proxy"
                .into(),
        ),
        (RedisShape::Cluster, _) => Some(
            "needs cluster.broker = \"redis\": a Redis Cluster gives nodes the addresses of its servers, which bypass a \
             proxy"
                .into(),
        ),
    }
}

/// `host:port` of a base URL that a TCP proxy can stand in front of.
fn host_of(base: &str) -> Option<&str> {
    base.strip_prefix("http://").filter(|host| !host.contains('/') && host.contains(':'))
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum LinkFaultType {
    /// By its name as a toxic.
    Toxic(&'static str),
    Down,
}

/// Mandatory attributes: with zero the toxic would do nothing, or stop everything by accident.
const REQUIRED: [(&str, &str); 7] = [
    ("latency", "latency"),
    ("bandwidth", "rate"),
    ("slicer", "average_size"),
    ("limit_data", "bytes"),
    ("hold_back", "delay"),
    ("delay_event", "delay"),
    ("answer_publish", "status"),
];

/// Keys of link faults only.
const KEYS: [&str; 23] = [
    "link",
    "stream",
    "toxicity",
    "latency",
    "jitter",
    "rate",
    "delay",
    "timeout",
    "average_size",
    "size_variation",
    "bytes",
    "time",
    "which",
    "event",
    "nth",
    "path",
    "value",
    "back",
    "span",
    "close",
    "status",
    "body",
    "deliver",
];

/// Refuses keys of link faults in another fault.
pub(super) fn refuse_keys(section: &Section<'_>, type_name: &str) {
    for key in KEYS {
        if section.has(key) {
            section
                .refuse(key, format!("does not belong to type = {type_name:?}; it is a key of link faults"));
        }
    }
}

/// Reads the keys of a link fault.
pub(super) fn fault(
    section: &Section<'_>,
    type_name: &str,
    fault_type: LinkFaultType,
    context: fault_target::TargetContext<'_>,
) -> Option<FaultSpecKind> {
    let link = link(section, context.proxied);
    let target = fault_target::target(section, context.cluster.map(Cluster::nodes), Target::All);
    let effect = match fault_type {
        LinkFaultType::Down => {
            for key in KEYS.iter().filter(|key| **key != "link") {
                if section.has(key) {
                    let why = "does not belong to type = \"down\", which closes all connections of a link";
                    section.refuse(key, why);
                }
            }
            Some(LinkEffect::Down)
        }
        LinkFaultType::Toxic(name) => ToxicKind::named(name).and_then(|kind| toxic(section, type_name, kind)),
    };
    let knows_events = matches!(&effect, Some(LinkEffect::Toxic { kind: ToxicKind::Event(_), .. }));
    if knows_events && link == Some(LinkKind::NodeRedis) {
        section.refuse(
            "link",
            format!("\"node->redis\" carries no events, so type = {type_name:?} is of \"client->node\""),
        );
    }
    Some(FaultSpecKind::Link(LinkFault { link: link?, effect: effect?, target: target? }))
}

fn link(section: &Section<'_>, proxied: &[LinkKind]) -> Option<LinkKind> {
    let link = section.required("link", section.choice("link", &LinkKind::WORDS))?;
    if !proxied.contains(&link) {
        let shown = proxied.iter().chain([&link]).map(|link| format!("\"{link}\""));
        let remedy = shown.collect::<Vec<_>>().join(", ");
        let why = "does not pass the fault proxy";
        section.refuse("link", format!("\"{link}\" {why}; set cluster.proxy = [{remedy}]"));
        return None;
    }
    Some(link)
}

fn toxic(section: &Section<'_>, type_name: &str, mut kind: ToxicKind) -> Option<LinkEffect> {
    let usual = kind.usual_stream();
    let toxicity = section.or_default("toxicity", section.number("toxicity", limits::TOXICITY), 1.0);
    let mut is_complete = true;
    let mut allowed = vec!["link", "toxicity"];
    // What knows events knows where they pass.
    let stream = if matches!(kind, ToxicKind::Event(_)) {
        Some(usual)
    } else {
        allowed.push("stream");
        section.or_default("stream", section.choice("stream", &Stream::WORDS), usual)
    };
    for (name, value) in kind.attributes() {
        allowed.push(name);
        let is_given = attribute(section, type_name, name, value);
        if REQUIRED.contains(&(type_name, name)) {
            section.required(name, is_given.then_some(()));
            is_complete &= is_given;
        }
    }
    for key in KEYS.iter().filter(|key| !allowed.contains(*key)) {
        if section.has(key) {
            let why = format!("does not belong to type = {type_name:?}; allowed are {}", allowed.join(", "));
            section.refuse(key, why);
        }
    }
    if let Some((name, why)) = kind.problem().filter(|_| is_complete) {
        section.refuse(name, why);
    }
    is_complete.then_some(LinkEffect::Toxic { kind, stream: stream?, toxicity: toxicity? })
}

/// Reads one attribute. Returns whether the section has it.
fn attribute(section: &Section<'_>, type_name: &str, name: &'static str, value: Attribute<'_>) -> bool {
    match value {
        Attribute::Number(number) => {
            replace(number, section.measure(name, limits::ATTRIBUTE, unit(type_name, name)))
        }
        Attribute::Share(share) => replace(share, section.number(name, limits::TOXICITY)),
        Attribute::Text(text) => replace(text, section.text(name).map(str::to_owned)),
        Attribute::Flag(is_set) => replace(is_set, section.boolean(name)),
        Attribute::Which(which) => replace(which, section.choice(name, &Which::WORDS)),
    }
}

fn replace<T>(place: &mut T, given: Option<T>) -> bool {
    given.map(|given| *place = given).is_some()
}

/// Unit of an attribute of a toxic.
fn unit(type_name: &str, name: &str) -> &'static str {
    match (type_name, name) {
        ("slicer", "delay") => "microseconds",
        (_, "rate") => "KB/s",
        (_, "average_size" | "size_variation" | "bytes") => "bytes",
        (_, "nth" | "back" | "span") => "events",
        (_, "status") => "an HTTP status",
        _ => "milliseconds",
    }
}

/// Names of other tools for link faults, with the equivalent here.
pub(super) fn equivalent(type_name: &str) -> Option<&'static str> {
    match type_name {
        "netem" => Some(
            "is not supported: it needs root and a kernel that was built with it. Use the fault proxy instead: \
             type = \"latency\", \"bandwidth\", \"stall\", \"drop\" or \"down\", with the link in cluster.proxy, or \
             type = \"netns\" to take down a network link",
        ),
        "partition" => Some(
            "is ambiguous; use type = \"stall\" (continues later without the loss of a byte), \"drop\" (loses everything) \
             or \"down\" (closes and refuses), with the link in cluster.proxy",
        ),
        "toxic" => Some(
            "is not a type; write the type of the toxic, as in type = \"latency\", with its attributes as keys",
        ),
        "half_open" => Some("is written as type = \"half-open\""),
        _ => None,
    }
}
