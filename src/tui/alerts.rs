//! What is wrong with the cluster at a moment, in sentences that say what to do. Pure. Read [`alerts`] first.

use std::time::Duration;

use super::node::{Health, Node};
use super::numbers::{age, bytes, count, grouped, short};
use super::picture::{Picture, Tone};
use super::plain::Plain;
use super::reading::{Reading, Serving};

/// What happened to streams stays an alert for so long.
const RECENT: Duration = Duration::from_secs(60);
/// A node that has not had all of the log for longer is behind.
const LAG_MS: u64 = 1_000;
/// A delivery that takes longer is late.
const P99: Duration = Duration::from_secs(1);
/// Share of its memory above which a store is nearly full.
const MEMORY: f64 = 0.9;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alert {
    pub(crate) tone: Tone,
    /// The node, or the whole cluster.
    pub(crate) subject: Plain,
    pub(crate) text: String,
    /// What it means, or what to do.
    pub(crate) advice: &'static str,
}

/// Everything that is wrong, the worst first.
pub(crate) fn alerts(picture: &Picture) -> Vec<Alert> {
    let mut alerts = Vec::new();
    about_cluster(picture, &mut alerts);
    for node in &picture.nodes {
        let mut found = Found { subject: node.label(), alerts: &mut alerts };
        about_health(&picture.health(node), &mut found);
        about_streams(node, picture.now.elapsed, &mut found);
        if let Some(latest) = node.figures(picture.now, picture.interval) {
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

/// Where the alerts about one subject go.
struct Found<'a> {
    subject: Plain,
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

fn about_cluster(picture: &Picture, alerts: &mut Vec<Alert>) {
    let mut found = Found { subject: Plain::new("cluster"), alerts };
    let totals = &picture.totals;
    if totals.epochs.len() > 1 {
        let text = format!("{} different logs", totals.epochs.len());
        found.bad(text, "the nodes do not follow the same log: compare their --broker");
    }
    if let Some(p99) = totals.p99.filter(|p99| *p99 > P99) {
        let text = format!("p99 {} in the last minute", short(p99));
        found.warning(text, "deliveries are late: look for slow readers, a busy CPU, a slow log");
    }
    let servers = picture.nodes.iter().filter_map(|node| node.figures(picture.now, picture.interval));
    let Some(server) = servers.filter_map(|latest| latest.reading.log.server.as_ref()).next() else { return };
    found.subject = Plain::new(&format!("log {}", server.place));
    if server.memory_max > 0 && server.memory as f64 > server.memory_max as f64 * MEMORY {
        let text = format!("{} of {} used", bytes(server.memory), bytes(server.memory_max));
        found.bad(text, "publishes will be refused: raise maxmemory, or keep fewer events");
    }
    if !server.saves {
        found.warning(
            "its last write to disk failed",
            "a restart would lose events: look at the server's log",
        );
    }
}

fn about_health(health: &Health, found: &mut Found<'_>) {
    match health {
        Health::Down(trouble) => {
            found.bad(format!("DOWN: {trouble}"), "its clients reconnect to other nodes");
        }
        Health::Stale(silent) => found.bad(
            format!("STALE: no answer for {}", age(*silent)),
            "it hangs, or the way to it is cut; its figures are no longer counted",
        ),
        Health::Late(silent) => {
            found.warning(format!("LATE: no answer for {}", age(*silent)), "it is busy, or begins to hang");
        }
        Health::Answering(Serving::Degraded) => {
            found.bad("DEGRADED", "its log does not answer, or it is behind; no new streams until it is not");
        }
        Health::Answering(Serving::Draining) => found.warning("DRAINING", "it sends its clients away"),
        Health::Connecting | Health::Answering(Serving::Ready | Serving::Starting | Serving::Other(_)) => {}
    }
}

fn about_streams(node: &Node, now: Duration, found: &mut Found<'_>) {
    let recent = |seen: Option<(Duration, u64)>| {
        let (at, number) = seen?;
        let passed = now.saturating_sub(at);
        (passed <= RECENT).then(|| (count(number), age(passed)))
    };
    if let Some((number, passed)) = recent(node.wrong.gaps) {
        let advice = "events could not be replayed: keep more of the log, or find out why clients were away";
        found.bad(format!("{number} GAP sent, {passed} ago"), advice);
    }
    if let Some((number, passed)) = recent(node.wrong.slow) {
        let advice = "readers did not keep up and were closed; they come back and replay";
        found.warning(format!("{number} slow readers closed, {passed} ago"), advice);
    }
    if let Some((number, passed)) = recent(node.wrong.refused) {
        found.warning(
            format!("{number} streams refused, {passed} ago"),
            "the node is full, or clients come too fast",
        );
    }
}

fn about_reading(reading: &Reading, found: &mut Found<'_>) {
    if reading.lag > LAG_MS {
        let text = format!("{} ms behind the log", grouped(reading.lag));
        found.bad(text, "its readers get nothing new until it has caught up");
    }
    if reading.is_roster_stale {
        found.warning("its roster is out of date", "it cannot read from Redis who else is alive");
    }
    if !reading.duplicates.is_empty() {
        let ids: Vec<_> = reading.duplicates.iter().map(Plain::as_str).collect();
        let text = format!("several nodes are called {}", ids.join(", "));
        found.bad(text, "messages to one reach the other: give each node its own --id");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::{answered, at, console, failed, mixed, reading};
    use crate::tui::message::Message;
    use crate::tui::reading::Trouble;
    use crate::tui::update::update;

    fn texts(picture: &Picture) -> Vec<String> {
        alerts(picture).iter().map(|alert| format!("{} {}", alert.subject, alert.text)).collect()
    }

    #[test]
    fn the_worst_comes_first() {
        assert_eq!(
            texts(&mixed().live),
            [
                "node-2 3 GAP sent, 29s ago",
                "node-3 STALE: no answer for 6s",
                "node-10 DOWN: connection refused",
                "node-2 DRAINING"
            ]
        );
    }

    #[test]
    fn all_is_well_where_nothing_is_wrong() {
        let mut model = console(&[1], (80, 24));
        update(&mut model, answered(1, 1.0, reading("node-1", 1.0)));
        update(&mut model, Message::Tick(at(1.1)));
        assert_eq!(texts(&model.live), Vec::<String>::new());
    }

    #[test]
    fn everything_that_a_reading_tells_is_looked_at() {
        let mut model = console(&[1, 2], (80, 24));
        let mut wrong = reading("node-1", 1.0);
        wrong.lag = 4_000;
        wrong.is_roster_stale = true;
        wrong.duplicates = vec![Plain::new("node-1")];
        wrong.log.epoch = Plain::new("other");
        let server = wrong.log.server.as_mut().unwrap();
        (server.memory, server.memory_max, server.saves) = (95, 100, false);
        update(&mut model, answered(1, 1.0, wrong));
        update(&mut model, answered(2, 1.0, reading("node-2", 1.0)));
        update(&mut model, failed(2, 2.0, Trouble::Timeout(RECENT), 1));
        update(&mut model, Message::Tick(at(2.5)));
        let texts = texts(&model.live).join("\n");
        for part in
            ["2 different logs", "95B of 100B", "disk failed", "4,000 ms", "out of date", "are called node-1"]
        {
            assert!(texts.contains(part), "{part}\n{texts}");
        }
    }
}
