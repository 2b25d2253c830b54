//! Where a run's results go.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::bench::report::{ClusterReport, ProcessReport, Report, text};

/// From so many connections on, memory by connection says something.
const ENOUGH_CONNECTIONS: u32 = 100;

/// Commands of Redis that are shown; the JSON has all.
const COMMANDS_SHOWN: usize = 6;

/// What a report is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultFormat {
    /// `report.txt`.
    Text,
    /// `report.json`.
    Json,
}

/// `runs/<name>-<time>`.
#[must_use]
pub fn default_dir(name: &str, now: SystemTime) -> PathBuf {
    let time = humantime::format_rfc3339_millis(now).to_string();
    let time: String = time.chars().filter(|c| !matches!(c, ':' | '-')).collect();
    Path::new("runs").join(format!("{name}-{time}"))
}

/// Writes the report in each format; tells what could not be written.
pub fn write(dir: &Path, report: &Report, formats: &[ResultFormat]) -> Vec<String> {
    let write = |format: &ResultFormat| match format {
        ResultFormat::Text => write_file(&dir.join("report.txt"), &render(report, text::Colour::Off)),
        ResultFormat::Json => write_file(&dir.join("report.json"), &report.to_json()),
    };
    formats.iter().filter_map(|format| write(format).err()).collect()
}

/// The report for people.
#[must_use]
pub fn render(report: &Report, colour: text::Colour) -> String {
    text::render(report, colour) + &render_processes(&report.processes) + &render_cluster(&report.cluster)
}

fn write_file(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// What the processes used, for people.
fn render_processes(nodes: &[ProcessReport]) -> String {
    let mut text = String::from("  █ PROCESSES\n");
    for node in nodes {
        // With a handful of connections the figure would be the growth of everything else.
        let per_connection = node
            .rss_per_connection_bytes
            .filter(|_| node.connections_peak >= ENOUGH_CONNECTIONS)
            .map(|bytes| format!(", {:.1} KiB a connection", kib(bytes)))
            .unwrap_or_default();
        let restarts = match node.starts {
            0 | 1 => String::new(),
            starts => format!(", started {starts} times"),
        };
        // Those of the swarm; others have none.
        let connections = match node.connections_peak {
            0 => String::new(),
            count => format!("{count} connections at once"),
        };
        text.push_str(&format!(
            "    {:<10} {connections:>26}   RSS {:.1} MiB at most (idle {:.1}{per_connection})   \
             CPU {:.2} s   {} open files at most{restarts}\n",
            node.id,
            kib(node.rss_peak_bytes) / 1024.0,
            kib(node.rss_idle_bytes) / 1024.0,
            node.cpu_seconds,
            node.open_files_peak,
        ));
    }
    text
}

/// What all of them cost together, for people.
fn render_cluster(cluster: &ClusterReport) -> String {
    let mut lines = Vec::new();
    if let Some(cpu) = cluster.cpu_us_per_delivery {
        lines.push(format!("nodes: {cpu:.1} us of CPU a delivery"));
    }
    if let Some(redis) = &cluster.redis {
        let per_event = redis.commands_per_event.map_or("–".to_owned(), |share| format!("{share:.2}"));
        let by_command = redis.by_command.iter().take(COMMANDS_SHOWN);
        let by_command: Vec<String> =
            by_command.map(|counter| format!("{} {}", counter.key, counter.count)).collect();
        lines.push(format!("Redis: {per_event} commands an event ({})", by_command.join(", ")));
    }
    if let Some(mailboxes) = &cluster.mailboxes {
        let (read, pending) = (mailboxes.read, mailboxes.pending);
        lines.push(format!("mailboxes: {read} looked into, {pending} messages wait in them"));
    }
    lines.iter().map(|line| format!("    {line}\n")).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people; exact up to 2^53 bytes")]
fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::{CounterReport, MailboxReport, RedisReport};
    use std::time::Duration;

    #[test]
    fn what_a_cluster_costs_is_told_in_a_line_each() {
        assert_eq!(render_cluster(&ClusterReport::default()), "");
        let by_command = vec![CounterReport { key: "xadd".to_owned(), count: 5 }];
        let redis = RedisReport { commands: 5, commands_per_event: Some(2.5), by_command };
        let cluster = ClusterReport {
            cpu_us_per_delivery: Some(21.25),
            redis: Some(redis),
            mailboxes: Some(MailboxReport { read: 3, pending: 1 }),
        };
        insta::assert_snapshot!(render_cluster(&cluster), @r#"
    nodes: 21.2 us of CPU a delivery
    Redis: 2.50 commands an event (xadd 5)
    mailboxes: 3 looked into, 1 messages wait in them
    "#);
    }

    #[test]
    fn a_directory_names_scenario_and_time() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_303_903_002);
        assert_eq!(default_dir("smoke", time), Path::new("runs/smoke-20261121T233143.002Z"));
    }
}
