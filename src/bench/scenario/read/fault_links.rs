//! Links that pass the fault proxy (`cluster.proxy`), and what `[[faults]]` does to them.

use super::section::Section;
use super::{fault_target, limits};
use crate::bench::scenario::{
    BrokerKind, Cluster, FaultSpecKind, LinkEffect, LinkFault, LinkKind, RedisSet, RedisShape, SpawnCluster,
    Stream, Target, ToxicKind,
};

/// `cluster.proxy`: the kinds of links that pass the proxy.
pub(in crate::bench::scenario) fn proxied(section: &Section<'_>, cluster: Option<&Cluster>) -> Vec<LinkKind> {
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

/// Why a link cannot pass a proxy; nothing where it can.
#[must_use]
pub fn cannot_pass_a_proxy(link: LinkKind, cluster: &Cluster) -> Option<String> {
    match (link, cluster) {
        (LinkKind::ClientNode, Cluster::Spawn(_)) => None,
        (LinkKind::ClientNode, Cluster::Attach(urls)) => {
            let url = urls.iter().find(|url| host_of(url).is_none())?;
            Some(format!("cannot be put in front of {url}: allowed are http://HOST:PORT without a path"))
        }
        (LinkKind::NodeRedis, Cluster::Attach(_)) => {
            Some("needs nodes that the run starts: those of attach know their Redis already".to_owned())
        }
        (LinkKind::NodeRedis, Cluster::Spawn(SpawnCluster { broker, .. })) => match broker {
            BrokerKind::Memory | BrokerKind::File => {
                Some("needs a Redis: cluster.broker = \"redis\"".to_owned())
            }
            BrokerKind::Redis(set) => past_a_proxy(set),
        },
    }
}

/// Why nodes would find their way past a proxy, or not through it.
fn past_a_proxy(set: &RedisSet) -> Option<String> {
    match (set.shape, &set.external) {
        (RedisShape::Single, None) => None,
        (RedisShape::Single, Some(url)) if url.starts_with("redis://") => None,
        (RedisShape::Single, Some(_)) => Some(
            "carries redis:// only: with rediss:// a node would not know the certificate of a proxy".into(),
        ),
        (RedisShape::Sentinel, _) => Some(
            "cannot be right here: Sentinels tell nodes the master's own address, past a proxy; \
             allowed with cluster.broker = \"redis\""
                .into(),
        ),
        (RedisShape::Cluster, _) => Some(
            "cannot be right here: a Redis Cluster tells nodes the addresses of its servers, past a proxy; \
             allowed with cluster.broker = \"redis\""
                .into(),
        ),
    }
}

/// `host:port` of a base URL that a TCP proxy can stand in front of.
fn host_of(base: &str) -> Option<&str> {
    base.strip_prefix("http://").filter(|host| !host.contains('/') && host.contains(':'))
}

/// A type's word.
#[derive(Debug, Clone, Copy)]
pub(in crate::bench::scenario) enum LinkWord {
    Toxic(ToxicKind),
    Down,
}

/// Attributes that must be given: with zero the type would do nothing, or stop everything by accident.
const REQUIRED: [&str; 4] = ["latency", "rate", "average_size", "bytes"];

/// Keys of a fault that belong to links only.
const KEYS: [&str; 12] = [
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
];

/// Refuses keys of links where the fault is of something else.
pub(in crate::bench::scenario) fn refuse_keys(section: &Section<'_>, word: &str) {
    for key in KEYS {
        if section.has(key) {
            section.refuse(key, format!("does not belong to {word}, which is no fault of a link"));
        }
    }
}

/// A fault of links.
pub(in crate::bench::scenario) fn fault(
    section: &Section<'_>,
    word: &str,
    what: LinkWord,
    around: fault_target::TargetContext<'_>,
) -> Option<FaultSpecKind> {
    let link = link(section, around.proxied);
    let target = fault_target::target(section, around.cluster.map(Cluster::nodes), Target::All);
    let effect = match what {
        LinkWord::Down => {
            for key in KEYS.iter().filter(|key| **key != "link") {
                if section.has(key) {
                    section.refuse(key, "does not belong to down, which meets all connections of a link");
                }
            }
            Some(LinkEffect::Down)
        }
        LinkWord::Toxic(kind) => toxic(section, word, kind),
    };
    Some(FaultSpecKind::Link(LinkFault { link: link?, effect: effect?, target: target? }))
}

fn link(section: &Section<'_>, proxied: &[LinkKind]) -> Option<LinkKind> {
    let link = section.required("link", section.choice("link", &LinkKind::WORDS))?;
    if !proxied.contains(&link) {
        let shown = proxied.iter().chain([&link]).map(|link| format!("\"{link}\""));
        let remedy = shown.collect::<Vec<_>>().join(", ");
        let why = "does not pass the proxy that breaks links";
        section.refuse("link", format!("\"{link}\" {why}; add it to the cluster: proxy = [{remedy}]"));
        return None;
    }
    Some(link)
}

fn toxic(section: &Section<'_>, word: &str, mut kind: ToxicKind) -> Option<LinkEffect> {
    let stream = section.choice("stream", &Stream::WORDS);
    let stream = if section.has("stream") { stream } else { Some(kind.usual_stream()) };
    let toxicity = section.number("toxicity", limits::TOXICITY);
    let toxicity = if section.has("toxicity") { toxicity } else { Some(1.0) };
    let mut is_whole = true;
    let mut allowed = vec!["link", "stream", "toxicity"];
    for (name, value) in kind.attributes() {
        allowed.push(name);
        let given = section.measure(name, limits::ATTRIBUTE, unit(word, name));
        if REQUIRED.contains(&name) {
            section.required(name, given);
            is_whole &= given.is_some();
        }
        *value = given.unwrap_or(*value);
    }
    for key in KEYS.iter().filter(|key| !allowed.contains(*key)) {
        if section.has(key) {
            section.refuse(key, format!("does not belong to {word}; it has {}", allowed.join(", ")));
        }
    }
    is_whole.then_some(LinkEffect::Toxic { kind, stream: stream?, toxicity: toxicity? })
}

/// What an attribute of a toxic counts in.
fn unit(word: &str, name: &str) -> &'static str {
    match (word, name) {
        ("slicer", "delay") => "microseconds",
        (_, "rate") => "KB/s",
        (_, "average_size" | "size_variation" | "bytes") => "bytes",
        _ => "milliseconds",
    }
}

/// Words that others have for faults of links and hosts, and what stands in their place here.
pub(in crate::bench::scenario) fn elsewhere(word: &str) -> Option<&'static str> {
    match word {
        "netem" => Some(
            "is done by the kernel, as root, and only where the kernel was built with it; this bench slows links down in a \
             proxy of its own: type = \"latency\", \"bandwidth\", \"stall\", \"drop\" or \"down\", with the link in \
             cluster.proxy, and pulls cables with type = \"netns\"",
        ),
        "partition" => Some(
            "is said more exactly: type = \"stall\" (goes on without the loss of a byte), \"drop\" (everything is lost) \
             or \"down\" (closed and refused), with the link in cluster.proxy",
        ),
        "toxic" => {
            Some("is written as the type of the toxic: type = \"latency\", with its attributes as keys")
        }
        "half_open" => Some("is written as type = \"half-open\""),
        _ => None,
    }
}
