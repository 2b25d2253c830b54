//! Alerts: the problems of a cluster at one moment, each with advice. Pure. Read [`update_alerts`] first.

use std::time::Duration;

use crate::runtime::plural;
use crate::tui::state::change::{Alert, Tone};
use crate::tui::state::cluster::ClusterState;
use crate::tui::state::node::{Health, Node};
use crate::tui::state::reading::{Reading, Serving};
use crate::tui::text::format::{age, bytes, count, grouped, short};
use crate::tui::text::sanitize::SafeText;

/// Gaps, slow streams and refused streams stay alerts for this time.
pub(crate) const RECENT: Duration = Duration::from_secs(60);
/// A node that lags the log by more than this, in milliseconds, is behind.
const LAG_MS: u64 = 1_000;
/// Deliveries are late when the p99 latency is above this.
const P99: Duration = Duration::from_secs(1);
/// Share of its memory above which the log's server is nearly full.
const MEMORY: f64 = 0.9;

/// Sets the alerts of a cluster to its present problems, the worst first.
pub(crate) fn update_alerts(cluster: &mut ClusterState) {
    cluster.alerts = alerts(cluster);
}

fn alerts(cluster: &ClusterState) -> Vec<Alert> {
    let mut alerts = Vec::new();
    about_cluster(cluster, &mut alerts);
    for node in &cluster.nodes {
        let mut found = Found { subject: node.label(), alerts: &mut alerts };
        about_health(&cluster.health(node), &mut found);
        about_streams(node, cluster.now.elapsed, &mut found);
        if let Some(latest) = node.figures(cluster.now, cluster.interval) {
            about_reading(&latest.reading, &mut found);
        }
    }
    alerts.sort_by_key(|alert| match alert.tone {
        Tone::Bad => 0,
        Tone::Warning => 1,
        Tone::Neutral | Tone::Good => 2,
    });
    alerts
}

/// Collects the alerts about one subject.
struct Found<'a> {
    subject: SafeText,
    alerts: &'a mut Vec<Alert>,
}

impl Found<'_> {
    fn bad(&mut self, text: impl Into<String>, advice: &'static str) {
        self.push(Tone::Bad, text.into(), advice);
    }

    fn warning(&mut self, text: impl Into<String>, advice: &'static str) {
        self.push(Tone::Warning, text.into(), advice);
    }

    fn push(&mut self, tone: Tone, text: String, advice: &'static str) {
        self.alerts.push(Alert { tone, subject: self.subject.clone(), text, advice });
    }
}

fn about_cluster(cluster: &ClusterState, alerts: &mut Vec<Alert>) {
    let mut found = Found { subject: SafeText::new("cluster"), alerts };
    let totals = &cluster.totals;
    if totals.epochs.len() > 1 {
        let text = format!("{} different logs", totals.epochs.len());
        found.bad(text, "the nodes do not follow the same log: compare their --broker");
    }
    if let Some(p99) = totals.p99.filter(|p99| *p99 > P99) {
        let text = format!("p99 {} in the last minute", short(p99));
        found.warning(text, "deliveries are late: look for slow streams, a busy CPU, a slow log");
    }
    let servers = cluster.nodes.iter().filter_map(|node| node.figures(cluster.now, cluster.interval));
    let Some(server) = servers.filter_map(|latest| latest.reading.log.server.as_ref()).next() else { return };
    found.subject = SafeText::new(&format!("log {}", server.place));
    if server.memory_max > 0 && server.memory as f64 > server.memory_max as f64 * MEMORY {
        let text = format!("{} of {} used", bytes(server.memory), bytes(server.memory_max));
        found.bad(text, "publishes will be refused: raise maxmemory, or keep fewer events");
    }
    if !server.saves {
        found.warning(
            "the last write to disk failed",
            "a restart of the server would lose events: look at its log file",
        );
    }
}

fn about_health(health: &Health, found: &mut Found<'_>) {
    match health {
        Health::Down(error) => {
            found.bad(format!("DOWN: {error}"), "its clients reconnect to other nodes");
        }
        Health::Stale(silent) => found.bad(
            format!("STALE: no answer for {}", age(*silent)),
            "the node hangs or is unreachable; its figures no longer count",
        ),
        Health::Late(silent) => {
            found.warning(
                format!("LATE: no answer for {}", age(*silent)),
                "the node is busy, or begins to hang",
            );
        }
        Health::Answering(Serving::Degraded) => {
            found.bad(
                "DEGRADED",
                "the log does not answer, or the node is behind it; the node refuses new streams until this ends",
            );
        }
        Health::Answering(Serving::Draining) => found.warning("DRAINING", "its clients reconnect elsewhere"),
        Health::Connecting | Health::Answering(Serving::Ready | Serving::Starting | Serving::Other(_)) => {}
    }
}

fn about_streams(node: &Node, now: Duration, found: &mut Found<'_>) {
    let recent = |seen: Option<(Duration, u64)>| {
        let (at, number) = seen?;
        let passed = now.saturating_sub(at);
        (passed <= RECENT).then(|| (number, age(passed)))
    };
    if let Some((number, passed)) = recent(node.stream_problems.gaps) {
        let advice = "events could not be replayed: raise --keep-events, --keep-bytes or --keep-age";
        found.bad(format!("{} {} sent, {passed} ago", count(number), plural(number, "GAP event")), advice);
    }
    if let Some((number, passed)) = recent(node.stream_problems.slow) {
        let advice = "they did not keep up; their clients reconnect and replay";
        found.warning(
            format!("{} {} closed, {passed} ago", count(number), plural(number, "slow stream")),
            advice,
        );
    }
    if let Some((number, passed)) = recent(node.stream_problems.refused) {
        found.warning(
            format!("{} {} refused, {passed} ago", count(number), plural(number, "stream")),
            "see --max-connections and --accept-rate of the node",
        );
    }
}

fn about_reading(reading: &Reading, found: &mut Found<'_>) {
    if reading.lag > LAG_MS {
        let text = format!("{} ms behind the log", grouped(reading.lag));
        found.bad(text, "its streams get nothing new until it has caught up");
    }
    if reading.is_roster_stale {
        found.warning("its roster is out of date", "the node cannot read the other nodes from Redis");
    }
    if !reading.duplicates.is_empty() {
        let ids: Vec<_> = reading.duplicates.iter().map(SafeText::as_str).collect();
        let text = format!("several nodes have the id {}", ids.join(", "));
        found.bad(text, "messages to one reach the other: give each node its own --id");
    }
}
