//! Resource figures as text: of each process, and of the cluster per delivery and per event. Read [`process`] first.

use super::usage::ClusterReport;
use super::wording::{grouped, plural};
use crate::bench::verdict::history::facts::ProcessReport;

/// With fewer connections, memory per connection would mostly be the growth of everything else.
const ENOUGH_CONNECTIONS: u32 = 100;

/// Redis commands that are shown; the JSON has all.
const COMMANDS_SHOWN: usize = 6;

/// The resources of a process, in a line.
#[must_use]
pub(super) fn process(process: &ProcessReport) -> String {
    let per_connection = per_connection(process)
        .map(|bytes| format!(", {:.1} KiB per connection", kib(bytes)))
        .unwrap_or_default();
    let restarts = match process.starts {
        0 | 1 => String::new(),
        starts => format!(", started {starts} times"),
    };
    // Only nodes have connections of virtual clients.
    let connections = match process.connections_peak {
        0 => String::new(),
        count => format!("{count} connections at most"),
    };
    format!(
        "{:<10} {connections:>26}   RSS {:.1} MiB at most (idle {:.1}{per_connection})   \
         CPU {:.2} s   {} open files at most{restarts}",
        process.id,
        mib(process.rss_peak_bytes),
        mib(process.rss_idle_bytes),
        process.cpu_seconds,
        process.open_files_peak,
    )
}

/// Bytes of memory per connection; `None` with too few connections.
#[must_use]
pub(super) fn per_connection(process: &ProcessReport) -> Option<u64> {
    process.rss_per_connection_bytes.filter(|_| process.connections_peak >= ENOUGH_CONNECTIONS)
}

/// The resources of the cluster as a whole, a line each.
#[must_use]
pub(super) fn cluster(cluster: &ClusterReport) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(cpu) = cluster.cpu_us_per_delivery {
        lines.push(format!("nodes: {cpu:.1} us of CPU per delivery"));
    }
    if let Some(redis) = &cluster.redis {
        let per_event = redis.commands_per_event.map_or("–".to_owned(), |share| format!("{share:.2}"));
        let by_command = redis.by_command.iter().take(COMMANDS_SHOWN);
        let by_command: Vec<String> =
            by_command.map(|counter| format!("{} {}", counter.key, counter.count)).collect();
        lines.push(format!("Redis: {per_event} commands per event ({})", by_command.join(", ")));
    }
    if let Some(mailboxes) = &cluster.mailboxes {
        let (read, pending) = (grouped(mailboxes.read), plural(mailboxes.pending, "message"));
        let verb = if mailboxes.pending == 1 { "waits" } else { "wait" };
        lines.push(format!("mailboxes: {read} read, {pending} {verb} in them"));
    }
    lines
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people; exact up to 2^53 bytes")]
pub(super) fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

pub(super) fn mib(bytes: u64) -> f64 {
    kib(bytes) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::usage::{CounterReport, RedisReport};
    use crate::bench::verdict::history::facts::MailboxReport;

    #[test]
    fn the_resources_of_a_cluster_are_shown_in_a_line_each() {
        assert!(cluster(&ClusterReport::default()).is_empty());
        let by_command = vec![CounterReport { key: "xadd".to_owned(), count: 5 }];
        let redis = RedisReport { commands: 5, commands_per_event: Some(2.5), by_command };
        let costs = ClusterReport {
            cpu_us_per_delivery: Some(21.25),
            redis: Some(redis),
            mailboxes: Some(MailboxReport { read: 3, pending: 1 }),
        };
        insta::assert_snapshot!(cluster(&costs).join("\n"), @r"
        nodes: 21.2 us of CPU per delivery
        Redis: 2.50 commands per event (xadd 5)
        mailboxes: 3 read, 1 message waits in them
        ");
    }
}
