//! Process faults that affect one node at the same time: the later one finds it broken, or healed half-way. A run
//! applies them as written; this is for warnings. Read [`Plan::overlaps`] first.

use std::fmt;
use std::time::Duration;

use super::faults::{FaultAction, PlannedFault, node_name};
use super::model::Plan;
use crate::bench::ids::NodeIndex;

/// Two faults of one node's process, the second of which begins before the first ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The first fault with its targets.
    pub earlier: String,
    /// The second fault with its targets.
    pub later: String,
    /// Nodes that both affect.
    pub nodes: Vec<String>,
    /// Begin of the second fault, since the start of the run.
    pub at: Duration,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "faults {} and {} overlap on {} at {:?}: a broken node cannot be broken again, so the run may end with exit \
             code 123",
            self.earlier,
            self.later,
            self.nodes.join(" "),
            self.at,
        )
    }
}

impl Plan {
    /// All pairs of faults that would break or heal one process at the same time. A fault that begins at the very time
    /// of the other's heal counts too: their order is undefined.
    #[must_use]
    pub fn overlaps(&self) -> Vec<Overlap> {
        let mut overlaps = Vec::new();
        for (index, later) in self.faults.iter().enumerate() {
            for earlier in &self.faults[..index] {
                // `faults` is in order of time.
                if earlier.heals_at.is_some_and(|healed| healed < later.at) {
                    continue;
                }
                let nodes = shared(affected(earlier), affected(later));
                if !nodes.is_empty() {
                    let (earlier, later, at) = (earlier.title(), later.title(), later.at);
                    overlaps.push(Overlap { earlier, later, nodes, at });
                }
            }
        }
        overlaps
    }
}

/// Nodes whose processes a fault starts, stops or ends.
fn affected(fault: &PlannedFault) -> &[NodeIndex] {
    match &fault.action {
        FaultAction::Process { nodes, .. }
        | FaultAction::RollingRestart { nodes, .. }
        | FaultAction::Scale { nodes, .. } => nodes,
        FaultAction::Redis { .. }
        | FaultAction::Link { .. }
        | FaultAction::Netns { .. }
        | FaultAction::ReconnectStorm { .. }
        | FaultAction::ChurnBurst { .. }
        | FaultAction::SlowDown { .. } => &[],
    }
}

fn shared(one: &[NodeIndex], other: &[NodeIndex]) -> Vec<String> {
    let both = one.iter().filter(|node| other.contains(node));
    both.map(|node| node_name(usize::from(node.0))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::ids::RunId;
    use crate::bench::scenario;

    fn overlaps(faults: &[(&str, &str, &str, &str)]) -> Vec<String> {
        let mut text =
            "schema = 1\nname = \"o\"\nduration = \"60s\"\n[cluster]\nnodes = 3\nbroker = \"redis\"\n\
                        [clients.c]\nclients = 1\n"
                .to_owned();
        for (kind, at, lasts, target) in faults {
            let lasts = if lasts.is_empty() { String::new() } else { format!("for = \"{lasts}\"\n") };
            text.push_str(&format!(
                "[[faults]]\ntype = \"{kind}\"\nat = \"{at}\"\n{lasts}target = [{target}]\n"
            ));
        }
        let scenario = scenario::parse("o.toml", &text, &[]).unwrap_or_else(|error| panic!("{error}"));
        let plan = Plan::new(&scenario, RunId::from_random(1));
        plan.overlaps().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn two_faults_of_one_process_at_one_time_are_both_named() {
        let found = overlaps(&[
            ("kill", "10s", "5s", "\"n1\", \"n2\""),
            ("pause", "12s", "1s", "\"n2\""),
            ("term", "13s", "1s", "\"n3\""),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        let named = "faults kill-1 (kill n1 n2) and pause-1 (pause n2) overlap on n2 at 12s: ";
        assert!(found[0].starts_with(named) && found[0].ends_with("123"), "{}", found[0]);
    }

    #[test]
    fn a_fault_without_an_end_lasts_until_the_load_is_over() {
        assert_eq!(overlaps(&[("kill", "10s", "", "\"n1\""), ("kill", "50s", "1s", "\"n1\"")]).len(), 1);
    }

    #[test]
    fn one_after_the_other_is_no_overlap_and_in_the_same_moment_is_one() {
        let next = |at| overlaps(&[("kill", "10s", "2s", "\"n1\""), ("kill", at, "2s", "\"n1\"")]).len();
        assert_eq!((next("12001ms"), next("12s")), (0, 1));
    }
}
