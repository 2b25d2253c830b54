//! `[[faults]]`: what is broken when, for how long, and whom it meets.

use std::collections::BTreeMap;
use std::time::Duration;

use super::raw::Value;
use super::section::Section;
use super::{Cluster, FaultSpec, FaultSpecKind, ProcessAction, Target, limits, read};

/// Types of the design that this version does not have.
const LATER: [&str; 22] = [
    "rolling-restart",
    "scale",
    "redis-kill",
    "redis-pause",
    "redis-restart",
    "redis-failover",
    "redis-flush",
    "redis-trim",
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

fn kind(section: &Section<'_>, cluster: Option<&Cluster>) -> Option<FaultSpecKind> {
    let word = section.required("type", section.text("type"))?;
    if LATER.contains(&word) {
        section.refuse("type", format!("{word:?} is not in this version; allowed are {ALLOWED}"));
        // Its keys belong to it, not to the types of this version.
        for key in ["link", "stream", "toxic", "mode", "target", "clients"] {
            section.has(key);
        }
        return None;
    }
    let words = [
        ("kill", Some(ProcessAction::Kill)),
        ("term", Some(ProcessAction::Term)),
        ("restart", Some(ProcessAction::Restart)),
        ("pause", Some(ProcessAction::Pause)),
        ("reconnect-storm", None),
    ];
    match section.choice("type", &words)? {
        Some(action) => {
            if matches!(cluster, Some(Cluster::Attach(_))) {
                let why = "meets a process, and nodes that are there already (attach) are not ours to break";
                section.refuse("type", format!("{word:?} {why}"));
            }
            if section.has("clients") {
                section.refuse("clients", "belongs to type = \"reconnect-storm\"");
            }
            let target = target(section, cluster.map(Cluster::nodes));
            Some(FaultSpecKind::Process { action, target: target? })
        }
        None => {
            for key in ["target", "for"] {
                if section.has(key) {
                    section.refuse(key, "does not belong to reconnect-storm, which is over at once");
                }
            }
            Some(FaultSpecKind::ReconnectStorm { clients: section.integer32("clients", limits::CLIENTS) })
        }
    }
}

const ALLOWED: &str = "kill, term, restart, pause and reconnect-storm";
const TARGETS: &str = "one, all, random(N) and a list of nodes, as in [\"n1\"]";

fn target(section: &Section<'_>, nodes: Option<usize>) -> Option<Target> {
    let refuse = |text: &str, why: &str| {
        section.refuse("target", format!("{text} {why}; allowed are {TARGETS}"));
        None
    };
    match section.value("target") {
        None => Some(Target::One),
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
