//! The state of the cluster: nodes, totals, series, changes, alerts. A pause keeps a copy of it, so everything that a
//! screen shows of the cluster must live here. Pure. Read [`ClusterState`] first.

use std::collections::VecDeque;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::runtime::plural;
use crate::tui::state::change::{Alert, Change, Tone};
use crate::tui::state::history::{History, HistoryStep};
use crate::tui::state::message::{Effect, Polled};
use crate::tui::state::moment::Moment;
use crate::tui::state::node::{Health, Node, NodeUpdate, Origin};
use crate::tui::state::reading::{Latency, Serving, quantile_of};
use crate::tui::state::series::KEPT;
use crate::tui::state::totals::{Totals, TotalsSeries};
use crate::tui::text::sanitize::SafeText;
use crate::tui::text::url::NodeUrl;

/// Length of the list of changes.
pub(crate) const MAX_CHANGES: usize = 200;

/// The cluster at the newest moment, or at an earlier one while the console is paused.
#[derive(Debug, Clone)]
pub(crate) struct ClusterState {
    pub(crate) now: Moment,
    pub(crate) interval: Duration,
    pub(crate) nodes: Vec<Node>,
    pub(crate) totals: Totals,
    pub(crate) series: TotalsSeries,
    /// The newest change comes first.
    pub(crate) changes: VecDeque<Change>,
    /// Changes since the start, including those no longer in the list.
    pub(crate) changes_seen: usize,
    /// Set by `alerts::update_alerts`; the worst first.
    pub(crate) alerts: Vec<Alert>,
    pub(crate) history: History,
    /// Whether the followed bench run has ended.
    pub(super) run_is_over: bool,
    /// The newest step of the series, counted in intervals since the start; `None` before the first tick.
    last_step: Option<u128>,
}

impl ClusterState {
    /// The nodes that the user named, before any answer.
    pub(crate) fn new(urls: &[NodeUrl], interval: Duration) -> Self {
        let mut cluster = Self {
            now: Moment::default(),
            interval,
            nodes: Vec::new(),
            totals: Totals::default(),
            series: TotalsSeries::default(),
            changes: VecDeque::new(),
            changes_seen: 0,
            alerts: Vec::new(),
            history: History::default(),
            run_is_over: false,
            last_step: None,
        };
        for url in urls {
            if cluster.node(url).is_none() {
                cluster.nodes.push(Node::new(url.clone(), Origin::Given, cluster.now));
            }
        }
        cluster
    }

    pub(crate) fn node(&self, url: &NodeUrl) -> Option<&Node> {
        self.nodes.iter().find(|node| node.url == *url)
    }

    /// The health of a node at this cluster's moment.
    pub(crate) fn health(&self, node: &Node) -> Health {
        node.health(self.now, self.interval)
    }

    /// Moves to another moment: updates health and totals, adds a step to the series, removes nodes that left long
    /// ago.
    pub(crate) fn tick(&mut self, now: Moment) -> Vec<Effect> {
        self.now = now;
        self.note_health();
        self.totals = self.add_up();
        self.step();
        self.forget_the_gone()
    }

    /// Applies the result of a poll. The effects follow or forget nodes.
    pub(crate) fn take(&mut self, polled: Polled) -> Vec<Effect> {
        // A result may be older than the last tick; the cluster's moment does not go back.
        self.now = if polled.at.elapsed > self.now.elapsed { polled.at } else { self.now };
        let (url, at) = (polled.url.clone(), polled.at);
        let Some(node) = self.nodes.iter_mut().find(|node| node.url == url) else {
            return Vec::new();
        };
        let update = node.take(polled);
        self.note_update(&url, update);
        self.note_health();
        let mut effects = self.discover(&url, at);
        effects.extend(self.drop_duplicates());
        effects
    }

    fn note_update(&mut self, url: &NodeUrl, update: NodeUpdate) {
        let Some(label) = self.node(url).map(Node::label) else { return };
        if update.restarted {
            self.note(Tone::Warning, label.clone(), "restarted".to_owned());
        }
        if update.gaps > 0 {
            let text = format!(
                "sent {} {}: events could not be replayed",
                update.gaps,
                plural(update.gaps, "GAP event")
            );
            self.note(Tone::Bad, label.clone(), text);
        }
        if update.slow > 0 {
            self.note(
                Tone::Warning,
                label.clone(),
                format!("closed {} {}", update.slow, plural(update.slow, "slow stream")),
            );
        }
        if update.refused > 0 {
            self.note(
                Tone::Warning,
                label,
                format!("refused {} {}", update.refused, plural(update.refused, "stream")),
            );
        }
    }

    /// Adds an action of the console to the changes.
    pub(crate) fn note_action(&mut self, is_good: bool, text: String) {
        self.note(if is_good { Tone::Good } else { Tone::Bad }, SafeText::new("console"), text);
    }

    pub(super) fn note(&mut self, tone: Tone, node: SafeText, text: String) {
        self.changes.truncate(MAX_CHANGES - 1);
        self.changes_seen += 1;
        self.changes.push_front(Change { at: self.now, tone, node, text });
    }

    /// Adds a change for every node whose health has another word than at its last change.
    fn note_health(&mut self) {
        let (now, interval) = (self.now, self.interval);
        let mut noted = Vec::new();
        for node in &mut self.nodes {
            let health = node.health(now, interval);
            let word = health.word();
            if node.noted_health.as_ref() == Some(&word) {
                continue;
            }
            let is_first = node.noted_health.replace(word.clone()).is_none();
            if !(is_first && health == Health::Connecting) {
                noted.push((tone(&health), node.label(), describe(&health, &word)));
            }
        }
        for (tone, node, text) in noted {
            self.note(tone, node, text);
        }
    }

    fn add_up(&self) -> Totals {
        let mut totals = Totals::default();
        // Three significant digits, as in the nodes; the range grows by itself.
        let mut latency = Histogram::<u64>::new(3).ok();
        for latest in self.nodes.iter().filter_map(|node| node.figures(self.now, self.interval)) {
            let reading = &latest.reading;
            totals.fresh += 1;
            totals.connections = totals.connections.saturating_add(reading.connections);
            if let Some(rates) = latest.rates {
                *totals.published.get_or_insert(0.0) += rates.published;
                *totals.sent.get_or_insert(0.0) += rates.sent;
                totals.appended = Some(totals.appended.unwrap_or(0.0).max(rates.tailed));
            }
            if let (Some(sum), Latency::Known(histogram)) = (&mut latency, &reading.latency) {
                // Fails only for a histogram that cannot grow; this one can.
                let _grows = sum.add(&**histogram);
            }
            totals.lag_max = totals.lag_max.max(reading.lag);
            totals.gaps = totals.gaps.saturating_add(reading.gaps_total());
            totals.closed_slow = totals.closed_slow.saturating_add(reading.closed_slow());
            totals.rtt_max = totals.rtt_max.max(Some(latest.rtt));
            totals.log_length = totals.log_length.max(reading.log.length);
            totals.log_rtt = totals.log_rtt.max(reading.log.rtt);
            totals.epochs.insert(reading.log.epoch.clone());
        }
        let quantile = |quantile| latency.as_ref().and_then(|latency| quantile_of(latency, quantile));
        Totals { p50: quantile(0.5), p99: quantile(0.99), ..totals }
    }

    /// Adds one value for every interval that passed. Steps that the console itself missed become holes, because
    /// their values are not known. Steps lie on a fixed grid, so early or late ticks leave no holes as long as there
    /// are two per interval.
    fn step(&mut self) {
        let step = self.now.elapsed.as_nanos().checked_div(self.interval.as_nanos()).unwrap_or(0);
        let missed = match self.last_step {
            Some(last) if step <= last => return,
            Some(last) => usize::try_from(step - last - 1).unwrap_or(KEPT).min(KEPT),
            None => 0,
        };
        for _ in 0..missed {
            self.push(&Totals::default());
            self.nodes.iter_mut().for_each(|node| node.trend.push(None));
        }
        self.push(&self.totals.clone());
        let (now, interval) = (self.now, self.interval);
        for node in &mut self.nodes {
            let sent = node.figures(now, interval).and_then(|latest| latest.rates).map(|rates| rates.sent);
            node.trend.push(sent);
        }
        self.last_step = Some(step);
        let nodes = self.nodes.iter().map(Node::for_history).collect();
        self.history.push(HistoryStep { step, now: self.now, nodes, totals: self.totals.clone() });
    }

    /// The cluster `back` steps ago; `None` when that step is no longer kept.
    pub(crate) fn before(&self, back: usize) -> Option<Self> {
        let past = self.history.back(back)?;
        let steps = usize::try_from(self.last_step?.checked_sub(past.step)?).ok()?;
        let trend = |node: &Node| self.node(&node.url).map(|now| now.trend.before(steps)).unwrap_or_default();
        let nodes = past.nodes.iter().map(|node| Node { trend: trend(node), ..node.clone() }).collect();
        let changes = self.changes.iter().filter(|change| change.at.elapsed <= past.now.elapsed);
        Some(Self {
            now: past.now,
            interval: self.interval,
            nodes,
            totals: past.totals.clone(),
            series: self.series.before(steps),
            changes: changes.cloned().collect(),
            changes_seen: self.changes_seen,
            alerts: Vec::new(),
            history: History::default(),
            run_is_over: self.run_is_over,
            last_step: Some(past.step),
        })
    }

    /// The node that answers cluster-wide requests: the first ready one by address, so that it changes rarely.
    pub(crate) fn answering_node(&self) -> Option<&Node> {
        let is_up = |node: &&Node| matches!(self.health(node), Health::Answering(_) | Health::Late(_));
        self.nodes.iter().filter(is_up).min_by(|a, b| {
            let is_ready = |node: &Node| self.health(node) == Health::Answering(Serving::Ready);
            is_ready(b).cmp(&is_ready(a)).then_with(|| a.url.cmp(&b.url))
        })
    }

    fn push(&mut self, totals: &Totals) {
        let ms = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e3);
        self.series.p50.push(ms(totals.p50));
        self.series.p99.push(ms(totals.p99));
        self.series.sent.push(totals.sent);
        self.series.published.push(totals.published);
        let known = |value: u64| (totals.fresh > 0).then_some(value as f64);
        self.series.connections.push(known(totals.connections));
        self.series.appended.push(totals.appended);
        self.series.log_length.push(known(totals.log_length));
        self.series.log_rtt.push(ms(totals.log_rtt));
    }
}

fn tone(health: &Health) -> Tone {
    match health {
        Health::Answering(Serving::Ready) => Tone::Good,
        Health::Connecting | Health::Answering(Serving::Starting | Serving::Other(_)) => Tone::Neutral,
        Health::Answering(Serving::Degraded | Serving::Draining) | Health::Late(_) => Tone::Warning,
        Health::Stale(_) | Health::Down(_) => Tone::Bad,
    }
}

fn describe(health: &Health, word: &str) -> String {
    match health {
        Health::Connecting | Health::Answering(_) => word.to_owned(),
        Health::Late(_) | Health::Stale(_) => format!("{word}: it does not answer in time"),
        Health::Down(error) => format!("{word}: {error}"),
    }
}
