//! Reads `[[faults]]`: type, time, duration and target of each fault. Read [`faults`] first.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fault_links::{self, LinkFaultType};
use super::fault_target::{TargetContext, target};
use super::raw::Value;
use super::section::Section;
use super::values;
use crate::bench::scenario::limits;
use crate::bench::scenario::{
    BrokerKind, ClientAction, ClientGroup, Cluster, FaultSpec, FaultSpecKind, ProcessAction, RedisAction,
    RedisSet, RedisShape, RedisTarget, SpawnCluster, Target,
};

/// How the names of faults that a nemesis draws begin.
const NEMESIS_PREFIX: &str = "nemesis-";

/// All valid faults; problems of the others go to the sink.
pub(super) fn faults(root: &Section<'_>, until: Duration, context: TargetContext<'_>) -> Vec<FaultSpec> {
    let sections = root.list("faults");
    root.limit_entries("faults", sections.len());
    let mut faults: Vec<FaultSpec> = Vec::new();
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for section in sections {
        let type_name = section.text("type").unwrap_or_default();
        let count = counts.entry(type_name).or_default();
        *count += 1;
        let default_name = format!("{type_name}-{count}");
        if let Some(fault) = fault(&section, default_name, until, context) {
            if fault.name.starts_with(NEMESIS_PREFIX) && root.has("nemesis") {
                section.refuse("name", format!("{:?} is reserved for faults of [nemesis]; allowed are names without \"{NEMESIS_PREFIX}\" at the start", fault.name));
            }
            if faults.iter().any(|other| other.name == fault.name) {
                let why = format!("{:?} is the name of another fault; names must be unique", fault.name);
                section.refuse("name", why);
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
    context: TargetContext<'_>,
) -> Option<FaultSpec> {
    let name = section.or_default("name", section.parsed("name", values::identifier), default_name);
    let at = section.required("at", section.duration("at", Duration::ZERO..=until));
    let lasts = section.duration("for", limits::SOME_DURATION);
    if let Some(end) = at.zip(lasts).map(|(at, lasts)| at + lasts).filter(|end| *end > until) {
        let (end, until) = (humantime::format_duration(end), humantime::format_duration(until));
        section.refuse("for", format!("the fault would end at {end}, but the run ends at {until}"));
    }
    let kind = kind(section, context);
    check_momentary(section, kind.as_ref());
    Some(FaultSpec { name: name?, at: at?, lasts, kind: kind? })
}

/// The type of a fault; attributes have defaults that other keys replace.
#[derive(Clone, Copy)]
pub(crate) enum FaultType {
    Process(ProcessAction),
    RollingRestart,
    Redis(RedisAction),
    Link(LinkFaultType),
    Netns,
    Scale,
    Clients(ClientAction),
}

pub(crate) const TYPES: [(&str, FaultType); 46] = [
    ("kill", FaultType::Process(ProcessAction::Kill)),
    ("term", FaultType::Process(ProcessAction::Term)),
    ("restart", FaultType::Process(ProcessAction::Restart)),
    ("pause", FaultType::Process(ProcessAction::Pause)),
    ("rolling-restart", FaultType::RollingRestart),
    ("redis-kill", FaultType::Redis(RedisAction::Kill)),
    ("redis-restart", FaultType::Redis(RedisAction::Restart)),
    ("redis-pause", FaultType::Redis(RedisAction::Pause)),
    ("redis-failover", FaultType::Redis(RedisAction::Failover)),
    ("redis-flush", FaultType::Redis(RedisAction::Flush)),
    ("redis-trim", FaultType::Redis(RedisAction::Trim { keep: 0 })),
    ("replication-cut", FaultType::Redis(RedisAction::ReplicationCut { unread: false })),
    ("clock-skew", FaultType::Redis(RedisAction::ClockSkew { by: limits::SKEW_DEFAULT })),
    ("latency", FaultType::Link(LinkFaultType::Toxic("latency"))),
    ("bandwidth", FaultType::Link(LinkFaultType::Toxic("bandwidth"))),
    ("slow_close", FaultType::Link(LinkFaultType::Toxic("slow_close"))),
    ("timeout", FaultType::Link(LinkFaultType::Toxic("timeout"))),
    ("reset_peer", FaultType::Link(LinkFaultType::Toxic("reset_peer"))),
    ("slicer", FaultType::Link(LinkFaultType::Toxic("slicer"))),
    ("limit_data", FaultType::Link(LinkFaultType::Toxic("limit_data"))),
    ("stall", FaultType::Link(LinkFaultType::Toxic("stall"))),
    ("cut", FaultType::Link(LinkFaultType::Toxic("cut"))),
    ("drop", FaultType::Link(LinkFaultType::Toxic("drop"))),
    ("half-open", FaultType::Link(LinkFaultType::Toxic("half_open"))),
    ("drop_event", FaultType::Link(LinkFaultType::Toxic("drop_event"))),
    ("duplicate_event", FaultType::Link(LinkFaultType::Toxic("duplicate_event"))),
    ("reorder_events", FaultType::Link(LinkFaultType::Toxic("reorder_events"))),
    ("corrupt_payload", FaultType::Link(LinkFaultType::Toxic("corrupt_payload"))),
    ("change_id", FaultType::Link(LinkFaultType::Toxic("change_id"))),
    ("change_type", FaultType::Link(LinkFaultType::Toxic("change_type"))),
    ("truncate_event", FaultType::Link(LinkFaultType::Toxic("truncate_event"))),
    ("mute", FaultType::Link(LinkFaultType::Toxic("mute"))),
    ("hold_back", FaultType::Link(LinkFaultType::Toxic("hold_back"))),
    ("delay_event", FaultType::Link(LinkFaultType::Toxic("delay_event"))),
    ("inject_gap", FaultType::Link(LinkFaultType::Toxic("inject_gap"))),
    ("split_everywhere", FaultType::Link(LinkFaultType::Toxic("split_everywhere"))),
    ("strip_last_event_id", FaultType::Link(LinkFaultType::Toxic("strip_last_event_id"))),
    ("rewrite_last_event_id", FaultType::Link(LinkFaultType::Toxic("rewrite_last_event_id"))),
    ("swallow_publish", FaultType::Link(LinkFaultType::Toxic("swallow_publish"))),
    ("answer_publish", FaultType::Link(LinkFaultType::Toxic("answer_publish"))),
    ("down", FaultType::Link(LinkFaultType::Down)),
    ("netns", FaultType::Netns),
    ("scale", FaultType::Scale),
    ("reconnect-storm", FaultType::Clients(ClientAction::ReconnectStorm)),
    ("churn-burst", FaultType::Clients(ClientAction::ChurnBurst)),
    ("slow-down", FaultType::Clients(ClientAction::SlowDown { bytes_per_sec: 0 })),
];

/// Keys of some types only, each with these types.
const SPECIAL_KEYS: [(&str, &[&str]); 7] = [
    ("clients", &["reconnect-storm", "churn-burst", "slow-down"]),
    ("group", &["reconnect-storm", "churn-burst", "slow-down"]),
    ("bytes_per_sec", &["slow-down"]),
    ("to", &["scale"]),
    ("keep", &["redis-trim"]),
    ("unread", &["replication-cut"]),
    ("by", &["clock-skew"]),
];

/// Reads `type` and the keys that belong to it.
pub(super) fn kind(section: &Section<'_>, context: TargetContext<'_>) -> Option<FaultSpecKind> {
    let cluster = context.cluster;
    let Some(type_name) = section.required("type", section.text("type")) else {
        section.skip_unknown_keys();
        return None;
    };
    if let Some(why) = fault_links::equivalent(type_name) {
        section.refuse("type", format!("{type_name:?} {why}"));
        section.skip_unknown_keys();
        return None;
    }
    let Some(kind) = section.choice("type", &TYPES) else {
        // A target that fits no type is wrong, whatever the type should have been.
        if !matches!(section.value("target"), Some(Value::Text(text)) if text == "primary" || text == "replicas")
        {
            target(section, cluster.map(Cluster::nodes), Target::One);
        }
        section.skip_unknown_keys();
        return None;
    };
    refuse_special_keys(section, type_name);
    if !matches!(kind, FaultType::Link(_)) {
        fault_links::refuse_keys(section, type_name);
    }
    if matches!(kind, FaultType::Process(_) | FaultType::RollingRestart | FaultType::Scale)
        && matches!(cluster, Some(Cluster::Attach(_)))
    {
        let why = "needs nodes that the run starts: it cannot break attached nodes";
        section.refuse("type", format!("{type_name:?} {why}"));
    }
    match kind {
        FaultType::Process(action) => {
            let target = target(section, cluster.map(Cluster::nodes), Target::One);
            Some(FaultSpecKind::Process { action, target: target? })
        }
        FaultType::RollingRestart => {
            let target = target(section, cluster.map(Cluster::nodes), Target::All);
            Some(FaultSpecKind::RollingRestart { target: target? })
        }
        FaultType::Redis(action) => redis(section, type_name, action, cluster),
        FaultType::Link(kind) => fault_links::fault(section, type_name, kind, context),
        FaultType::Netns => netns(section, cluster),
        FaultType::Scale => scale(section, cluster),
        FaultType::Clients(action) => of_clients(section, type_name, action, context.groups),
    }
}

/// Refuses `for` of momentary faults.
pub(super) fn check_momentary(section: &Section<'_>, kind: Option<&FaultSpecKind>) {
    if kind.is_some_and(FaultSpecKind::is_momentary) && section.has("for") {
        let type_name = section.text("type").unwrap_or_default();
        section.refuse("for", format!("does not belong to type = {type_name:?}, which has no duration"));
    }
}

fn netns(section: &Section<'_>, cluster: Option<&Cluster>) -> Option<FaultSpecKind> {
    let has_cables =
        cluster.is_none_or(|cluster| matches!(cluster, Cluster::Spawn(spawn) if spawn.has_namespaces));
    if !has_cables {
        let why = "needs nodes in network namespaces: cluster.network = \"namespaces\"";
        section.refuse("type", format!("\"netns\" {why}"));
    }
    let target = target(section, cluster.map(Cluster::nodes), Target::One);
    Some(FaultSpecKind::Netns { target: target? })
}

fn scale(section: &Section<'_>, cluster: Option<&Cluster>) -> Option<FaultSpecKind> {
    if section.has("target") {
        let why =
            "does not belong to type = \"scale\", which adds and removes the nodes with the highest numbers";
        section.refuse("target", why);
    }
    let to = section.required("to", section.integer("to", limits::NODES));
    let to = u16::try_from(to?).ok()?;
    let has_own_log = matches!(
        cluster,
        Some(Cluster::Spawn(SpawnCluster { broker: BrokerKind::Memory | BrokerKind::File, .. }))
    );
    if has_own_log {
        let broker = "broker = \"redis\", \"redis-sentinel\" or \"redis-cluster\"";
        section.refuse("type", format!("\"scale\" needs a shared log: {broker}"));
    } else if cluster.is_some_and(|cluster| cluster.nodes() == usize::from(to)) {
        section
            .refuse("to", format!("{to} is the number of nodes at the start; allowed is any other number"));
    }
    Some(FaultSpecKind::Scale { to })
}

fn of_clients(
    section: &Section<'_>,
    type_name: &str,
    action: ClientAction,
    groups: &[ClientGroup],
) -> Option<FaultSpecKind> {
    if section.has("target") {
        section.refuse("target", format!("does not belong to type = {type_name:?}; use clients and group"));
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

fn refuse_special_keys(section: &Section<'_>, type_name: &str) {
    for (key, of) in SPECIAL_KEYS {
        if section.has(key) && !of.contains(&type_name) {
            let of: Vec<String> = of.iter().map(|name| format!("{name:?}")).collect();
            let of = of.join(" or ");
            section.refuse(
                key,
                format!("is allowed only with type = {of}; this fault has type = {type_name:?}"),
            );
        }
    }
}

/// Reads the keys of a Redis fault, and checks that the cluster has the servers for it.
fn redis(
    section: &Section<'_>,
    type_name: &str,
    action: RedisAction,
    cluster: Option<&Cluster>,
) -> Option<FaultSpecKind> {
    if let Some(why) = cluster.and_then(|cluster| impossible(action, cluster)) {
        section.refuse("type", format!("{type_name:?} {why}"));
    }
    if action.is_momentary() && section.has("target") {
        section.refuse("target", format!("does not belong to type = {type_name:?}"));
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
            section.refuse("target", "is not allowed for type = \"replication-cut\"; allowed is \"primary\", the master of the log");
        }
        _ if target == RedisTarget::Replicas && cluster.and_then(replicas) == Some(0) => {
            section.refuse("target", "\"replicas\" needs replicas, but cluster.redis.replicas is 0");
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

/// Why the cluster does not allow an action; `None` if it does.
fn impossible(action: RedisAction, cluster: &Cluster) -> Option<&'static str> {
    let Some(set) = redis_of(cluster) else {
        return Some(
            "needs a Redis that the run starts: cluster.broker = \"redis\", \"redis-sentinel\" or \"redis-cluster\"",
        );
    };
    if set.external.is_some() {
        return Some("needs a Redis that the run starts: it cannot break cluster.redis.external");
    }
    match action {
        RedisAction::Failover if set.shape == RedisShape::Single => Some(
            "needs cluster.broker = \"redis-sentinel\" or \"redis-cluster\": a single Redis does not fail over",
        ),
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
