//! `[[faults]]`: what is broken when, for how long, and whom it meets.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fault_links::{self, LinkWord};
use super::fault_target::{TargetContext, target};
use super::raw::Value;
use super::section::Section;
use super::{limits, values};
use crate::bench::scenario::{
    BrokerKind, ClientAction, ClientGroup, Cluster, FaultSpec, FaultSpecKind, ProcessAction, RedisAction,
    RedisSet, RedisShape, RedisTarget, SpawnCluster, Target, ToxicKind,
};

/// All faults that could be read.
pub(in crate::bench::scenario) fn faults(
    root: &Section<'_>,
    until: Duration,
    around: TargetContext<'_>,
) -> Vec<FaultSpec> {
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
        if let Some(fault) = fault(&section, default_name, until, around) {
            if fault.name.starts_with(super::nemesis::PREFIX) && root.has("nemesis") {
                section.refuse("name", format!("{:?} could be the name of a drawn fault", fault.name));
            }
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
    around: TargetContext<'_>,
) -> Option<FaultSpec> {
    let name =
        if section.has("name") { section.parsed("name", values::identifier) } else { Some(default_name) };
    let at = section.required("at", section.duration("at", Duration::ZERO..=until));
    let lasts = section.duration("for", limits::SOME_DURATION);
    if let Some(end) = at.zip(lasts).map(|(at, lasts)| at + lasts).filter(|end| *end > until) {
        let (end, until) = (humantime::format_duration(end), humantime::format_duration(until));
        section.refuse("for", format!("the fault would end at {end}, after the run, {until}"));
    }
    let kind = kind(section, around);
    check_momentary(section, kind.as_ref());
    Some(FaultSpec { name: name?, at: at?, lasts, kind: kind? })
}

/// A type's word, as far as the word alone says what it is.
#[derive(Clone, Copy)]
pub(in crate::bench::scenario) enum Word {
    Process(ProcessAction),
    RollingRestart,
    Redis(RedisAction),
    Link(LinkWord),
    Netns,
    Scale,
    Clients(ClientAction),
}

pub(in crate::bench::scenario) const WORDS: [(&str, Word); 30] = [
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
    ("latency", Word::Link(LinkWord::Toxic(ToxicKind::Latency { latency: 0, jitter: 0 }))),
    ("bandwidth", Word::Link(LinkWord::Toxic(ToxicKind::Bandwidth { rate: 0 }))),
    ("slow_close", Word::Link(LinkWord::Toxic(ToxicKind::SlowClose { delay: 0 }))),
    ("timeout", Word::Link(LinkWord::Toxic(ToxicKind::Timeout { timeout: 0 }))),
    ("reset_peer", Word::Link(LinkWord::Toxic(ToxicKind::ResetPeer { timeout: 0 }))),
    (
        "slicer",
        Word::Link(LinkWord::Toxic(ToxicKind::Slicer { average_size: 0, size_variation: 0, delay: 0 })),
    ),
    ("limit_data", Word::Link(LinkWord::Toxic(ToxicKind::LimitData { bytes: 0 }))),
    ("stall", Word::Link(LinkWord::Toxic(ToxicKind::Stall))),
    ("cut", Word::Link(LinkWord::Toxic(ToxicKind::Cut { time: 0 }))),
    ("drop", Word::Link(LinkWord::Toxic(ToxicKind::Drop))),
    ("half-open", Word::Link(LinkWord::Toxic(ToxicKind::HalfOpen))),
    ("down", Word::Link(LinkWord::Down)),
    ("netns", Word::Netns),
    ("scale", Word::Scale),
    ("reconnect-storm", Word::Clients(ClientAction::ReconnectStorm)),
    ("churn-burst", Word::Clients(ClientAction::ChurnBurst)),
    ("slow-down", Word::Clients(ClientAction::SlowDown { bytes_per_sec: 0 })),
];

/// Keys that only some types have, with those types.
const SPECIAL_KEYS: [(&str, &[&str]); 7] = [
    ("clients", &["reconnect-storm", "churn-burst", "slow-down"]),
    ("group", &["reconnect-storm", "churn-burst", "slow-down"]),
    ("bytes_per_sec", &["slow-down"]),
    ("to", &["scale"]),
    ("keep", &["redis-trim"]),
    ("unread", &["replication-cut"]),
    ("by", &["clock-skew"]),
];

/// What a section breaks: all keys that belong to its type.
pub(in crate::bench::scenario) fn kind(
    section: &Section<'_>,
    around: TargetContext<'_>,
) -> Option<FaultSpecKind> {
    let cluster = around.cluster;
    let Some(word) = section.required("type", section.text("type")) else {
        section.give_up();
        return None;
    };
    if let Some(why) = fault_links::elsewhere(word) {
        section.refuse("type", format!("{word:?} {why}"));
        section.give_up();
        return None;
    }
    let Some(kind) = section.choice("type", &WORDS) else {
        // Whatever was meant, a target that fits no type is wrong.
        if !matches!(section.value("target"), Some(Value::Text(text)) if text == "primary" || text == "replicas")
        {
            target(section, cluster.map(Cluster::nodes), Target::One);
        }
        section.give_up();
        return None;
    };
    refuse_special_keys(section, word);
    if !matches!(kind, Word::Link(_)) {
        fault_links::refuse_keys(section, word);
    }
    if matches!(kind, Word::Process(_) | Word::RollingRestart | Word::Scale)
        && matches!(cluster, Some(Cluster::Attach(_)))
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
        Word::Link(what) => fault_links::fault(section, word, what, around),
        Word::Netns => netns(section, cluster),
        Word::Scale => scale(section, cluster),
        Word::Clients(action) => of_clients(section, word, action, around.groups),
    }
}

/// What is over at once has no end.
pub(in crate::bench::scenario) fn check_momentary(section: &Section<'_>, kind: Option<&FaultSpecKind>) {
    let is_momentary = match kind {
        Some(FaultSpecKind::Clients { action, .. }) => action.is_momentary(),
        Some(FaultSpecKind::Redis { action, .. }) => action.is_momentary(),
        Some(
            FaultSpecKind::Process { .. }
            | FaultSpecKind::RollingRestart { .. }
            | FaultSpecKind::Scale { .. }
            | FaultSpecKind::Link(_)
            | FaultSpecKind::Netns { .. },
        )
        | None => false,
    };
    if is_momentary && section.has("for") {
        let word = section.text("type").unwrap_or_default();
        section.refuse("for", format!("does not belong to {word}, which is over at once"));
    }
}

/// A pulled cable.
fn netns(section: &Section<'_>, cluster: Option<&Cluster>) -> Option<FaultSpecKind> {
    let has_cables =
        cluster.is_none_or(|cluster| matches!(cluster, Cluster::Spawn(spawn) if spawn.has_namespaces));
    if !has_cables {
        let why =
            "pulls the cable of a node, which needs hosts of their own: cluster.network = \"namespaces\"";
        section.refuse("type", format!("\"netns\" {why}"));
    }
    let target = target(section, cluster.map(Cluster::nodes), Target::One);
    Some(FaultSpecKind::Netns { target: target? })
}

/// Another number of nodes.
fn scale(section: &Section<'_>, cluster: Option<&Cluster>) -> Option<FaultSpecKind> {
    if section.has("target") {
        section.refuse("target", "does not belong to scale: the nodes with the highest numbers come and go");
    }
    let to = section.required("to", section.integer("to", limits::NODES));
    let to = u16::try_from(to?).ok()?;
    let has_own_log = matches!(
        cluster,
        Some(Cluster::Spawn(SpawnCluster { broker: BrokerKind::Memory | BrokerKind::File, .. }))
    );
    if has_own_log {
        let broker = "broker = \"redis\", \"redis-sentinel\" or \"redis-cluster\"";
        section.refuse("type", format!("\"scale\" needs a log that nodes share: {broker}"));
    } else if cluster.is_some_and(|cluster| cluster.nodes() == usize::from(to)) {
        section.refuse("to", format!("{to} is as many as there are; allowed is another number"));
    }
    Some(FaultSpecKind::Scale { to })
}

/// What clients do.
fn of_clients(
    section: &Section<'_>,
    word: &str,
    action: ClientAction,
    groups: &[ClientGroup],
) -> Option<FaultSpecKind> {
    if section.has("target") {
        section.refuse("target", format!("does not belong to {word}; clients and group say whom it meets"));
    }
    let clients = section.integer32("clients", limits::CLIENTS);
    let group = section.text("group").map(str::to_owned);
    let is_known = |name: &String| groups.iter().any(|group| group.name == *name);
    if let Some(unknown) = group.as_ref().filter(|name| !is_known(name)) {
        let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        section.refuse("group", format!("{unknown:?} is not a group; allowed are {}", names.join(", ")));
    }
    let action = match action {
        ClientAction::SlowDown { .. } => {
            let speed = section.integer32("bytes_per_sec", limits::READ_SPEED);
            ClientAction::SlowDown { bytes_per_sec: section.required("bytes_per_sec", speed)? }
        }
        ClientAction::ReconnectStorm | ClientAction::ChurnBurst => action,
    };
    Some(FaultSpecKind::Clients { action, clients, group })
}

fn refuse_special_keys(section: &Section<'_>, word: &str) {
    for (key, of) in SPECIAL_KEYS {
        if section.has(key) && !of.contains(&word) {
            let of: Vec<String> = of.iter().map(|word| format!("{word:?}")).collect();
            section.refuse(key, format!("belongs to type = {}", of.join(" or ")));
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
    if action.is_momentary() && section.has("target") {
        section.refuse("target", format!("does not belong to {word}"));
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
