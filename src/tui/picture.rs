//! What the screens show: the nodes, the cluster's totals, their history, and what changed. A pause keeps a copy of
//! it, so everything that a screen shows of the cluster must live here. Read [`Picture`] first. Pure.

mod members;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::alerts::{Alert, alerts};
use super::message::{Effect, Moment, Polled};
use super::node::{Health, News, Node, Origin};
use super::past::{Past, Then};
use super::plain::Plain;
use super::reading::{Latency, Serving, quantile_of};
use super::series::{KEPT, Series};
use super::url::NodeUrl;

/// Changes that are kept.
const MAX_CHANGES: usize = 200;

/// The cluster as it was last seen.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) now: Moment,
    pub(crate) interval: Duration,
    pub(crate) nodes: Vec<Node>,
    pub(crate) totals: Totals,
    pub(crate) history: History,
    /// Newest first.
    pub(crate) changes: VecDeque<Change>,
    /// How many changes there were, forgotten ones included.
    pub(crate) changes_seen: usize,
    /// What is wrong now.
    pub(crate) alerts: Vec<Alert>,
    pub(crate) past: Past,
    /// The bench run that was followed has ended.
    run_is_over: bool,
    /// The newest step of the history, counted in intervals.
    last_step: Option<u128>,
}

/// Figures of all nodes whose figures are fresh.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Totals {
    /// Nodes whose figures are in here.
    pub(crate) fresh: usize,
    pub(crate) connections: u64,
    /// `None` until at least one node has a rate.
    pub(crate) published: Option<f64>,
    /// Events a second that the log took: what the fastest of the nodes that read it all has read.
    pub(crate) appended: Option<f64>,
    /// The longest log that a node tells of.
    pub(crate) log_length: u64,
    pub(crate) log_rtt: Option<Duration>,
    pub(crate) sent: Option<f64>,
    /// Of all deliveries of the last minute, from merged histograms.
    pub(crate) p50: Option<Duration>,
    pub(crate) p99: Option<Duration>,
    pub(crate) lag_max: u64,
    pub(crate) gaps: u64,
    pub(crate) closed_slow: u64,
    pub(crate) rtt_max: Option<Duration>,
    /// Identities of the log: more than one means that the nodes do not share it.
    pub(crate) epochs: BTreeSet<Plain>,
}

/// The cluster's figures, one value a step. Latencies are in milliseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) p50: Series,
    pub(crate) p99: Series,
    pub(crate) sent: Series,
    pub(crate) published: Series,
    pub(crate) connections: Series,
    pub(crate) appended: Series,
    pub(crate) log_length: Series,
    pub(crate) log_rtt: Series,
}

/// Something that happened to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) at: Moment,
    pub(crate) tone: Tone,
    pub(crate) node: Plain,
    pub(crate) text: String,
}

/// Whether a change is good or bad news. It is told by the text too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Neutral,
    Warning,
    Bad,
}

impl Picture {
    /// The nodes that the user named, of which nothing is known yet.
    pub(crate) fn new(urls: &[NodeUrl], interval: Duration) -> Self {
        let mut picture = Self {
            now: Moment::default(),
            interval,
            nodes: Vec::new(),
            totals: Totals::default(),
            history: History::default(),
            changes: VecDeque::new(),
            changes_seen: 0,
            alerts: Vec::new(),
            past: Past::default(),
            run_is_over: false,
            last_step: None,
        };
        for url in urls {
            if picture.node(url).is_none() {
                picture.nodes.push(Node::new(url.clone(), Origin::Given, picture.now));
            }
        }
        picture
    }

    pub(crate) fn node(&self, url: &NodeUrl) -> Option<&Node> {
        self.nodes.iter().find(|node| node.url == *url)
    }

    /// The health of a node, at this picture's moment.
    pub(crate) fn health(&self, node: &Node) -> Health {
        node.health(self.now, self.interval)
    }

    /// Time passes: nodes grow old, histories grow by a step, what is gone for long is forgotten.
    pub(crate) fn tick(&mut self, now: Moment) -> Vec<Effect> {
        self.now = now;
        self.note_health();
        self.totals = self.add_up();
        self.alerts = alerts(self);
        self.step();
        self.forget_the_gone()
    }

    /// A node was asked.
    pub(crate) fn take(&mut self, polled: Polled) -> Vec<Effect> {
        // A result may be older than the last tick: the clock of a picture does not go back.
        self.now = if polled.at.elapsed > self.now.elapsed { polled.at } else { self.now };
        let (url, at) = (polled.url.clone(), polled.at);
        let Some(node) = self.nodes.iter_mut().find(|node| node.url == url) else {
            return Vec::new();
        };
        let news = node.take(polled);
        self.note_news(&url, news);
        self.note_health();
        let mut effects = self.discover(&url, at);
        effects.extend(self.drop_duplicates());
        effects
    }

    fn note_news(&mut self, url: &NodeUrl, news: News) {
        let Some(label) = self.node(url).map(Node::label) else { return };
        if news.restarted {
            self.note(Tone::Warning, label.clone(), "started anew".to_owned());
        }
        if news.gaps > 0 {
            let text = format!("sent {} GAP: events could not be replayed", news.gaps);
            self.note(Tone::Bad, label.clone(), text);
        }
        if news.slow > 0 {
            self.note(Tone::Warning, label.clone(), format!("closed {} slow readers", news.slow));
        }
        if news.refused > 0 {
            self.note(Tone::Warning, label, format!("refused {} streams", news.refused));
        }
    }

    /// Writes down what the console did.
    pub(crate) fn note_act(&mut self, is_good: bool, text: String) {
        self.note(if is_good { Tone::Good } else { Tone::Bad }, Plain::new("console"), text);
    }

    fn note(&mut self, tone: Tone, node: Plain, text: String) {
        self.changes.truncate(MAX_CHANGES - 1);
        self.changes_seen += 1;
        self.changes.push_front(Change { at: self.now, tone, node, text });
    }

    /// Writes down every node whose word changed since it was last told.
    fn note_health(&mut self) {
        let (now, interval) = (self.now, self.interval);
        let mut told = Vec::new();
        for node in &mut self.nodes {
            let health = node.health(now, interval);
            let word = health.word();
            if node.told.as_ref() == Some(&word) {
                continue;
            }
            let is_first = node.told.replace(word.clone()).is_none();
            if !(is_first && health == Health::Connecting) {
                told.push((tone(&health), node.label(), describe(&health, &word)));
            }
        }
        for (tone, node, text) in told {
            self.note(tone, node, text);
        }
    }

    fn add_up(&self) -> Totals {
        let mut totals = Totals::default();
        // Three digits, as the nodes use; it grows by itself to whatever they recorded.
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
                // Refused only when a histogram cannot grow, which auto-resizing ones can.
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

    /// One value for every interval that passed. Where the console itself was held up, the missed steps are holes:
    /// a line across them would tell of a time that nobody saw. Steps lie on a grid and not one interval after the
    /// last, so that ticks that come a little early or late leave no holes as long as there are two an interval.
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
        let nodes = self.nodes.iter().map(Node::kept).collect();
        self.past.push(Then { step, now: self.now, nodes, totals: self.totals.clone() });
    }

    /// The cluster as it was so many readings ago; `None` when that is not remembered any more.
    pub(crate) fn before(&self, back: usize) -> Option<Self> {
        let then = self.past.back(back)?;
        let steps = usize::try_from(self.last_step?.checked_sub(then.step)?).ok()?;
        let trend = |node: &Node| self.node(&node.url).map(|now| now.trend.before(steps)).unwrap_or_default();
        let nodes = then.nodes.iter().map(|node| Node { trend: trend(node), ..node.clone() }).collect();
        let changes = self.changes.iter().filter(|change| change.at.elapsed <= then.now.elapsed);
        let mut picture = Self {
            now: then.now,
            interval: self.interval,
            nodes,
            totals: then.totals.clone(),
            history: self.history.before(steps),
            changes: changes.cloned().collect(),
            changes_seen: self.changes_seen,
            alerts: Vec::new(),
            past: Past::default(),
            run_is_over: self.run_is_over,
            last_step: Some(then.step),
        };
        picture.alerts = alerts(&picture);
        Some(picture)
    }

    /// The node that is asked for what all nodes know: the first that is up, by its address, so that it changes rarely.
    pub(crate) fn speaker(&self) -> Option<&Node> {
        let is_up = |node: &&Node| matches!(self.health(node), Health::Answering(_) | Health::Late(_));
        self.nodes.iter().filter(is_up).min_by(|a, b| {
            let is_ready = |node: &Node| self.health(node) == Health::Answering(Serving::Ready);
            is_ready(b).cmp(&is_ready(a)).then_with(|| a.url.cmp(&b.url))
        })
    }

    fn push(&mut self, totals: &Totals) {
        let ms = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e3);
        self.history.p50.push(ms(totals.p50));
        self.history.p99.push(ms(totals.p99));
        self.history.sent.push(totals.sent);
        self.history.published.push(totals.published);
        let known = |value: u64| (totals.fresh > 0).then_some(value as f64);
        self.history.connections.push(known(totals.connections));
        self.history.appended.push(totals.appended);
        self.history.log_length.push(known(totals.log_length));
        self.history.log_rtt.push(ms(totals.log_rtt));
    }
}

impl History {
    /// As it was so many steps ago.
    fn before(&self, steps: usize) -> Self {
        Self {
            p50: self.p50.before(steps),
            p99: self.p99.before(steps),
            sent: self.sent.before(steps),
            published: self.published.before(steps),
            connections: self.connections.before(steps),
            appended: self.appended.before(steps),
            log_length: self.log_length.before(steps),
            log_rtt: self.log_rtt.before(steps),
        }
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
        Health::Down(trouble) => format!("{word}: {trouble}"),
    }
}

#[cfg(test)]
mod tests;
