//! `[[faults]]`: what is broken when, for how long, and whom it meets.

use std::collections::BTreeMap;
use std::time::Duration;

use super::raw::Value;
use super::section::Section;
use super::{
    BrokerKind, Cluster, FaultSpec, FaultSpecKind, ProcessAction, RedisAction, RedisSet, RedisShape,
    RedisTarget, SpawnCluster, Target, limits, read,
};

/// Types of the design that this version does not have.
const LATER: [&str; 15] = [
    "scale",
    "latency",
    "bandwidth",
    "slow_close",
    "timeout",
    "reset_peer",
    "slicer",
    "limit_data",
    "stall",
    "cut",
    "partition",
    "toxic",
    "half-open",
    "churn-burst",
    "slow-down",
];

/// All faults that could be read. `cluster` is `None` when it could not be read itself.
pub(super) fn faults(root: &Section<'_>, until: Duration, cluster: Option<&Cluster>) -> Vec<FaultSpec> {
    let sections = root.list("faults");
    if sections.len() > limits::ENTRIES_MAX {
        root.refuse("faults", format!("more than {} faults", limits::ENTRIES_MAX));
    }
    let mut faults: Vec<FaultSpec> = Vec::new();
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for section in sections {
        let word = section.text("type").unwrap_or_default();
        let count = counts.entry(word).or_default();
        *count += 1;
        let default_name = format!("{word}-{count}");
        if let Some(fault) = fault(&section, default_name, until, cluster) {
            if faults.iter().any(|other| other.name == fault.name) {
                section.refuse("name", format!("{:?} is the name of another fault", fault.name));
            }
            faults.push(fault);
        }
        section.finish();
    }
    faults
}

fn fault(
    section: &Section<'_>,
    default_name: String,
    until: Duration,
    cluster: Option<&Cluster>,
) -> Option<FaultSpec> {
    let name = if section.has("name") { section.parsed("name", read::identifier)? } else { default_name };
    let at = section.required("at", section.duration("at", Duration::ZERO..=until));
    let lasts = section.duration("for", limits::SOME_DURATION);
    if let Some(end) = at.zip(lasts).map(|(at, lasts)| at + lasts).filter(|end| *end > until) {
        let (end, until) = (humantime::format_duration(end), humantime::format_duration(until));
        section.refuse("for", format!("the fault would end at {end}, after the run, {until}"));
    }
    let kind = kind(section, cluster);
    Some(FaultSpec { name, at: at?, lasts, kind: kind? })
}

/// A type's word, as far as the word alone says what it is.
#[derive(Clone, Copy)]
pub(super) enum Word {
    Process(ProcessAction),
    RollingRestart,
    Redis(RedisAction),
    ReconnectStorm,
}

pub(super) const WORDS: [(&str, Word); 14] = [
    ("kill", Word::Process(ProcessAction::Kill)),
    ("term", Word::Process(ProcessAction::Term)),
    ("restart", Word::Process(ProcessAction::Restart)),
    ("pause", Word::Process(ProcessAction::Pause)),
    ("rolling-restart", Word::RollingRestart),
    ("redis-kill", Word::Redis(RedisAction::Kill)),
    ("redis-restart", Word::Redis(RedisAction::Restart)),
    ("redis-pause", Word::Redis(RedisAction::Pause)),
    ("redis-failover", Word::Redis(RedisAction::Failover)),
    ("redis-flush", Word::Redis(RedisAction::Flush)),
    ("redis-trim", Word::Redis(RedisAction::Trim { keep: 0 })),
    ("replication-cut", Word::Redis(RedisAction::ReplicationCut { unread: false })),
    ("clock-skew", Word::Redis(RedisAction::ClockSkew { by: limits::SKEW_DEFAULT })),
    ("reconnect-storm", Word::ReconnectStorm),
];

/// Keys that only some types have, with those types.
const SPECIAL_KEYS: [(&str, &str); 4] = [
    ("clients", "reconnect-storm"),
    ("keep", "redis-trim"),
    ("unread", "replication-cut"),
    ("by", "clock-skew"),
];

fn kind(section: &Section<'_>, cluster: Option<&Cluster>) -> Option<FaultSpecKind> {
    let word = section.required("type", section.text("type"))?;
    if LATER.contains(&word) {
        let allowed: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
        section
            .refuse("type", format!("{word:?} is not in this version; allowed are {}", allowed.join(", ")));
        // Its keys belong to it, not to the types of this version.
        for key in ["link", "stream", "toxic", "mode", "target", "clients", "keep", "unread", "by"] {
            section.has(key);
        }
        return None;
    }
    let kind = section.choice("type", &WORDS)?;
    for (key, of) in SPECIAL_KEYS {
        if section.has(key) && word != of {
            section.refuse(key, format!("belongs to type = {of:?}"));
        }
    }
    if matches!(kind, Word::Process(_) | Word::RollingRestart) && matches!(cluster, Some(Cluster::Attach(_)))
    {
        let why = "meets a process, and nodes that are there already (attach) are not ours to break";
        section.refuse("type", format!("{word:?} {why}"));
    }
    match kind {
        Word::Process(action) => {
            let target = target(section, cluster.map(Cluster::nodes), Target::One);
            Some(FaultSpecKind::Process { action, target: target? })
        }
        Word::RollingRestart => {
            let target = target(section, cluster.map(Cluster::nodes), Target::All);
            Some(FaultSpecKind::RollingRestart { target: target? })
        }
        Word::Redis(action) => redis(section, word, action, cluster),
        Word::ReconnectStorm => {
            for key in ["target", "for"] {
                if section.has(key) {
                    section.refuse(key, "does not belong to reconnect-storm, which is over at once");
                }
            }
            Some(FaultSpecKind::ReconnectStorm { clients: section.integer32("clients", limits::CLIENTS) })
        }
    }
}

/// A fault of Redis, with what it needs to be possible.
fn redis(
    section: &Section<'_>,
    word: &str,
    action: RedisAction,
    cluster: Option<&Cluster>,
) -> Option<FaultSpecKind> {
    if let Some(why) = cluster.and_then(|cluster| impossible(action, cluster)) {
        section.refuse("type", format!("{word:?} {why}"));
    }
    if action.is_momentary() {
        for key in ["target", "for"] {
            if section.has(key) {
                section.refuse(key, format!("does not belong to {word}, which is over at once"));
            }
        }
    }
    let action = match action {
        RedisAction::Trim { keep } => {
            RedisAction::Trim { keep: section.integer32("keep", limits::KEPT).unwrap_or(keep) }
        }
        RedisAction::ReplicationCut { unread } => {
            RedisAction::ReplicationCut { unread: section.boolean("unread").unwrap_or(unread) }
        }
        RedisAction::ClockSkew { by } => {
            RedisAction::ClockSkew { by: section.duration("by", limits::SOME_DURATION).unwrap_or(by) }
        }
        RedisAction::Kill
        | RedisAction::Restart
        | RedisAction::Pause
        | RedisAction::Failover
        | RedisAction::Flush => action,
    };
    let targets =
        [("primary", RedisTarget::Primary), ("replicas", RedisTarget::Replicas), ("all", RedisTarget::All)];
    let target = if !action.is_momentary() && section.has("target") {
        section.choice("target", &targets)?
    } else {
        RedisTarget::Primary
    };
    match action {
        RedisAction::ReplicationCut { .. } if target != RedisTarget::Primary => {
            section.refuse("target", "does not belong to replication-cut, which meets the master of the log");
        }
        _ if target == RedisTarget::Replicas && cluster.and_then(replicas) == Some(0) => {
            section.refuse("target", "there are no replicas; cluster.redis.replicas sets how many");
        }
        _ => {}
    }
    Some(FaultSpecKind::Redis { action, target })
}

fn replicas(cluster: &Cluster) -> Option<u32> {
    redis_of(cluster).map(|set| set.replicas)
}

fn redis_of(cluster: &Cluster) -> Option<&RedisSet> {
    match cluster {
        Cluster::Spawn(SpawnCluster { broker: BrokerKind::Redis(set), .. }) => Some(set),
        Cluster::Spawn(_) | Cluster::Attach(_) => None,
    }
}

/// Why this cannot be done to what the cluster has.
fn impossible(action: RedisAction, cluster: &Cluster) -> Option<&'static str> {
    let Some(set) = redis_of(cluster) else {
        return Some(
            "needs a Redis that the run starts: cluster.broker = \"redis\", \"redis-sentinel\" or \"redis-cluster\"",
        );
    };
    if set.external.is_some() {
        return Some("meets what the run did not start: cluster.redis.external is not ours to break");
    }
    match action {
        RedisAction::Failover if set.shape == RedisShape::Single => {
            Some("needs somebody who fails over: cluster.broker = \"redis-sentinel\" or \"redis-cluster\"")
        }
        RedisAction::Failover if set.replicas == 0 => {
            Some("needs a replica to fail over to: cluster.redis.replicas is 0")
        }
        RedisAction::ReplicationCut { .. } if set.replicas == 0 => {
            Some("needs a replica to cut off: cluster.redis.replicas is 0")
        }
        RedisAction::Kill
        | RedisAction::Restart
        | RedisAction::Pause
        | RedisAction::Failover
        | RedisAction::Flush
        | RedisAction::Trim { .. }
        | RedisAction::ReplicationCut { .. }
        | RedisAction::ClockSkew { .. } => None,
    }
}

const TARGETS: &str = "one, all, random(N) and a list of nodes, as in [\"n1\"]";

fn target(section: &Section<'_>, nodes: Option<usize>, default: Target) -> Option<Target> {
    let refuse = |text: &str, why: &str| {
        section.refuse("target", format!("{text} {why}; allowed are {TARGETS}"));
        None
    };
    match section.value("target") {
        None => Some(default),
        Some(Value::Text(text)) => match text.as_str() {
            "one" => Some(Target::One),
            "all" => Some(Target::All),
            "minority" | "majority" | "primary" => refuse(&format!("{text:?}"), "is not in this version"),
            other => match random_count(other) {
                Some(count) if nodes.is_some_and(|nodes| count as usize > nodes) => {
                    refuse(&format!("{text:?}"), "is more than there are nodes")
                }
                Some(count) => Some(Target::Random(count)),
                None => refuse(&format!("{text:?}"), "is not a target"),
            },
        },
        Some(Value::Array(_)) => {
            let names: Vec<String> = section.texts("target").into_iter().map(str::to_owned).collect();
            let known = |name: &str| nodes.is_none_or(|nodes| (1..=nodes).any(|i| name == format!("n{i}")));
            match names.iter().find(|name| !known(name)) {
                Some(unknown) => refuse(&format!("{unknown:?}"), "is not a node of this cluster"),
                None if names.is_empty() => refuse("an empty list", "meets nobody"),
                None => Some(Target::Named(names)),
            }
        }
        Some(other) => refuse(&other.shown(), "is not a target"),
    }
}

fn random_count(text: &str) -> Option<u32> {
    let count = text.strip_prefix("random(")?.strip_suffix(')')?.trim().parse().ok()?;
    (count > 0).then_some(count)
}
