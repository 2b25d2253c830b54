//! What a run cost: each process, and the cluster as a whole by delivery and by event. Read [`ClusterReport`] first.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{CounterReport, Report};
use crate::bench::verdict::history::facts::{MailboxReport, ProcessReport};

/// What the nodes and their Redis did together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterReport {
    /// CPU time of all nodes by delivery, in microseconds.
    pub cpu_us_per_delivery: Option<f64>,
    /// What the masters of the Redis that the run started carried out under load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisReport>,
    /// Mailboxes that were looked into at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailboxes: Option<MailboxReport>,
}

/// Commands of Redis, without those by which servers keep in touch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RedisReport {
    /// All of them.
    pub commands: u64,
    /// By acknowledged event.
    pub commands_per_event: Option<f64>,
    /// By name, the most frequent first. What a script calls counts beside the script.
    pub by_command: Vec<CounterReport>,
}

impl Report {
    /// Adds what the processes used and what Redis did: by command, how often.
    pub fn add_usage(&mut self, processes: Vec<ProcessReport>, commands: Option<BTreeMap<String, u64>>) {
        let deliveries = self.delivery.ok + self.delivery.recovered;
        let cpu = cpu_of_nodes(&processes);
        self.cluster.cpu_us_per_delivery = cpu.and_then(|cpu| per(cpu * 1e6, deliveries));
        self.cluster.redis = commands.map(|commands| RedisReport::new(commands, self.delivery.publishes.ok));
        self.processes = processes;
    }
}

/// Seconds of all nodes; `None` where the run started none, and so knows nothing of what they used.
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

/// A share with three digits behind the point; of nothing there is none.
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
    fn what_nodes_of_others_used_is_not_known() {
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
