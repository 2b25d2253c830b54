//! Resources used by the cluster as a whole, per delivery and per event: the part `cluster` of a report. Read [`ClusterReport`] first.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bench::verdict::history::facts::{MailboxReport, ProcessReport};

/// Resources used by all nodes and their Redis together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterReport {
    /// CPU time of all nodes per delivery, in microseconds; absent where the run started no nodes.
    pub cpu_us_per_delivery: Option<f64>,
    /// Commands executed by the Redis masters under load; absent where the run started no Redis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisReport>,
    /// Mailboxes read at the end; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailboxes: Option<MailboxReport>,
}

/// Redis commands, without those that servers exchange to keep in touch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RedisReport {
    /// Number of all commands.
    pub commands: u64,
    /// Commands per acknowledged event; absent without events.
    pub commands_per_event: Option<f64>,
    /// Commands by name, the most frequent first. Commands that a script calls count in addition to the script.
    pub by_command: Vec<CounterReport>,
}

/// How often something was counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CounterReport {
    /// Name of the counter.
    pub key: String,
    /// The count, the warm-up included.
    pub count: u64,
}

impl ClusterReport {
    /// Per delivery and acknowledged event. `commands`: counts of Redis commands by name.
    pub(super) fn new(
        processes: &[ProcessReport],
        commands: Option<BTreeMap<String, u64>>,
        mailboxes: Option<MailboxReport>,
        deliveries: u64,
        events: u64,
    ) -> Self {
        Self {
            cpu_us_per_delivery: cpu_of_nodes(processes).and_then(|cpu| per(cpu * 1e6, deliveries)),
            redis: commands.map(|commands| RedisReport::new(commands, events)),
            mailboxes,
        }
    }
}

/// CPU seconds of all nodes; `None`: the run started no nodes.
fn cpu_of_nodes(processes: &[ProcessReport]) -> Option<f64> {
    let of_node = |process: &ProcessReport| process.is_node().then_some(process.cpu_seconds);
    processes.iter().filter_map(of_node).reduce(|sum, more| sum + more)
}

impl RedisReport {
    fn new(commands: BTreeMap<String, u64>, events: u64) -> Self {
        let total = commands.values().sum();
        let mut by_command: Vec<CounterReport> =
            commands.into_iter().map(|(key, count)| CounterReport { key, count }).collect();
        by_command.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.key.cmp(&b.key)));
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
        let commands_per_event = per(total as f64, events);
        Self { commands: total, commands_per_event, by_command }
    }
}

/// A ratio with three decimals; `None` where `count` is 0.
fn per(amount: f64, count: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let share = amount / count as f64;
    (count > 0).then(|| (share * 1e3).round() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_in_the_order_of_their_number_and_are_shared_out_among_the_events() {
        let commands = [("xadd", 100), ("evalsha", 60), ("xread", 90)];
        let commands = commands.map(|(name, count)| (name.to_owned(), count)).into();
        let report = RedisReport::new(commands, 100);
        let names: Vec<_> = report.by_command.iter().map(|counter| counter.key.as_str()).collect();
        assert_eq!((report.commands, names), (250, vec!["xadd", "xread", "evalsha"]));
        assert_eq!(report.commands_per_event, Some(2.5));
        assert_eq!(RedisReport::new(BTreeMap::new(), 0).commands_per_event, None);
    }

    #[test]
    fn the_cpu_time_of_nodes_of_others_is_not_known() {
        let process = |id: &str, cpu_seconds| ProcessReport {
            id: id.to_owned(),
            cpu_seconds,
            ..ProcessReport::default()
        };
        assert_eq!(cpu_of_nodes(&[process("bench", 3.0)]), None);
        assert_eq!(
            cpu_of_nodes(&[process("bench", 3.0), process("n1", 0.5), process("n2", 0.25)]),
            Some(0.75)
        );
    }

    #[test]
    fn only_nodes_are_nodes() {
        let is_node = |id: &str| ProcessReport { id: id.to_owned(), ..ProcessReport::default() }.is_node();
        assert!(is_node("n1") && is_node("n12"));
        assert!(!is_node("nginx") && !is_node("bench") && !is_node("redis-1") && !is_node("n"));
    }
}
