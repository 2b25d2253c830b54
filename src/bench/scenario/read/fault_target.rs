//! Reads `target` of a fault: the nodes that it affects. Read [`target`] first.

use super::raw::Value;
use super::section::Section;
use crate::bench::scenario::{ClientGroup, Cluster, LinkKind, Target};

const TARGETS: &str = "one, minority, majority, all, random(N) and a list of nodes, as in [\"n1\"]";

/// Parts of a scenario that faults refer to.
#[derive(Clone, Copy)]
pub(super) struct TargetContext<'a> {
    /// `None`: the cluster is invalid itself.
    pub(super) cluster: Option<&'a Cluster>,
    pub(super) groups: &'a [ClientGroup],
    /// Kinds of links that pass the fault proxy.
    pub(super) proxied: &'a [LinkKind],
}

pub(super) fn target(section: &Section<'_>, nodes: Option<usize>, default: Target) -> Option<Target> {
    let refuse = |text: &str, why: &str| {
        section.refuse("target", format!("{text} {why}; allowed are {TARGETS}"));
        None
    };
    match section.value("target") {
        None => Some(default),
        Some(Value::Text(text)) => match text.as_str() {
            "one" => Some(Target::One),
            "all" => Some(Target::All),
            "minority" if nodes.is_some_and(|nodes| nodes < 3) => {
                refuse("\"minority\"", "needs at least three nodes")
            }
            "minority" => Some(Target::Minority),
            "majority" => Some(Target::Majority),
            "primary" => refuse("\"primary\"", "is a target of Redis faults"),
            other => match random_count(other) {
                Some(count) if nodes.is_some_and(|nodes| count as usize > nodes) => {
                    let nodes = nodes.unwrap_or_default();
                    let why = format!(
                        "{text:?} is not possible: the cluster has {nodes} nodes, so N may be 1 to {nodes}"
                    );
                    section.refuse("target", why);
                    None
                }
                Some(count) => Some(Target::Random(count)),
                None => refuse(&format!("{text:?}"), "is not a target"),
            },
        },
        Some(Value::Array(_)) => {
            let names: Vec<String> = section.texts("target").into_iter().map(str::to_owned).collect();
            let known = |name: &str| nodes.is_none_or(|nodes| (1..=nodes).any(|i| name == format!("n{i}")));
            match names.iter().find(|name| !known(name)) {
                Some(unknown) => {
                    let all: Vec<String> = (1..=nodes.unwrap_or(0)).map(|i| format!("n{i}")).collect();
                    let why =
                        format!("{unknown:?} is not a node of this cluster; allowed are {}", all.join(", "));
                    section.refuse("target", why);
                    None
                }
                None if names.is_empty() => refuse("[]", "names no node"),
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
