//! What the screens show: the nodes, the cluster's totals, their history, and what changed. A pause keeps a copy of
//! it, so everything that a screen shows of the cluster must live here. Read [`Picture`] first. Pure.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::message::{Effect, Moment, Polled};
use super::node::{Health, News, Node, Origin};
use super::plain::Plain;
use super::reading::{Latency, Peer, Serving, quantile_of};
use super::series::{KEPT, Series};
use super::url::NodeUrl;
use crate::protocol::NodeId;

/// Nodes that are followed at the most; a roster may not make the console open connections without a limit.
pub(crate) const MAX_NODES: usize = 64;
/// Changes that are kept.
const MAX_CHANGES: usize = 200;
/// A node that no roster names and that does not answer is forgotten after this time.
const FORGET_AFTER: Duration = Duration::from_secs(60);

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
            self.note(Tone::Bad, label, text);
        }
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
            }
            if let (Some(sum), Latency::Known(histogram)) = (&mut latency, &reading.latency) {
                // Refused only when a histogram cannot grow, which auto-resizing ones can.
                let _grows = sum.add(&**histogram);
            }
            totals.lag_max = totals.lag_max.max(reading.lag);
            totals.gaps = totals.gaps.saturating_add(reading.gaps_total());
            totals.closed_slow = totals.closed_slow.saturating_add(reading.closed_slow());
            totals.rtt_max = totals.rtt_max.max(Some(latest.rtt));
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
    }

    fn push(&mut self, totals: &Totals) {
        let ms = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e3);
        self.history.p50.push(ms(totals.p50));
        self.history.p99.push(ms(totals.p99));
        self.history.sent.push(totals.sent);
        self.history.published.push(totals.published);
        self.history.connections.push((totals.fresh > 0).then_some(totals.connections as f64));
    }

    /// Follows the nodes of the roster that came `at` this moment and are not followed yet.
    fn discover(&mut self, teller: &NodeUrl, at: Moment) -> Vec<Effect> {
        let latest = self.node(teller).and_then(|node| node.latest.as_ref()).filter(|latest| latest.at == at);
        let Some(Ok(roster)) = latest.map(|latest| latest.reading.roster.clone()) else {
            return Vec::new();
        };
        let mut effects = Vec::new();
        for Peer { id, url } in roster {
            let now = self.now.elapsed;
            let is_same =
                |node: &&mut Node| node.expected_id() == Some(&id) || Some(&node.url) == url.as_ref();
            if let Some(known) = self.nodes.iter_mut().find(is_same) {
                known.listed_at = now;
            } else if let Some(url) = url.filter(|_| self.nodes.len() < MAX_NODES) {
                let node = Node::new(url.clone(), Origin::Roster(id), self.now);
                self.note(Tone::Neutral, node.label(), format!("found in the roster, at {}", url.short()));
                self.nodes.push(node);
                effects.push(Effect::Follow(url));
            }
        }
        effects
    }

    /// One node may have two addresses: as the user wrote it, as the roster tells it, through a balancer. Of two
    /// that answer with the same id the one with the roster's address stays; one that was only promised and does not
    /// answer gives way to one that does.
    fn drop_duplicates(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(index) = self.duplicate() {
            let node = self.nodes.remove(index);
            effects.push(Effect::Forget(node.url));
        }
        effects
    }

    fn duplicate(&self) -> Option<usize> {
        self.nodes.iter().enumerate().find_map(|(index, node)| {
            let id = node.expected_id()?;
            let is_same = |(_, other): &(usize, &Node)| other.url != node.url && other.id() == Some(id);
            let (other_index, other) = self.nodes.iter().enumerate().find(is_same)?;
            let gives_way =
                match (node.id().is_some(), self.is_roster_url(id, node), self.is_roster_url(id, other)) {
                    (false, _, _) => node.failing.is_some(),
                    (true, false, true) => true,
                    (true, true, false) => false,
                    (true, true, true) | (true, false, false) => index > other_index,
                };
            gives_way.then_some(index)
        })
    }

    fn is_roster_url(&self, id: &NodeId, node: &Node) -> bool {
        let readings = self.nodes.iter().filter_map(|node| node.latest.as_ref());
        readings
            .filter_map(|latest| latest.reading.roster.as_ref().ok())
            .flatten()
            .any(|peer| peer.id == *id && peer.url.as_ref() == Some(&node.url))
    }

    /// A node that left the cluster is shown for a while, then forgotten: when it does not answer, and a node that
    /// does no longer names it. What the user named himself stays.
    fn forget_the_gone(&mut self) -> Vec<Effect> {
        if self.totals.fresh == 0 {
            return Vec::new();
        }
        let now = self.now.elapsed;
        let is_gone = |node: &Node| {
            matches!(node.origin, Origin::Roster(_))
                && node.failing.is_some()
                && now.saturating_sub(node.listed_at) > FORGET_AFTER
        };
        let gone: Vec<_> = self.nodes.extract_if(.., |node| is_gone(node)).collect();
        let mut effects = Vec::new();
        for node in gone {
            self.note(Tone::Neutral, node.label(), "left the roster and was forgotten".to_owned());
            effects.push(Effect::Forget(node.url));
        }
        effects
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
mod tests {
    use super::*;
    use crate::tui::fixture::{self, INTERVAL, at, reading, url};
    use crate::tui::message::{Answer, Failed, Message};
    use crate::tui::reading::{Reading, Trouble};

    fn picture(nodes: &[u16]) -> Picture {
        Picture::new(&nodes.iter().map(|number| url(*number)).collect::<Vec<_>>(), INTERVAL)
    }

    fn answer(picture: &mut Picture, number: u16, seconds: f64, reading: Reading) -> Vec<Effect> {
        let outcome = Ok(Answer { rtt: Duration::from_millis(1), reading });
        picture.take(Polled { url: url(number), at: at(seconds), outcome })
    }

    fn refuse(picture: &mut Picture, number: u16, seconds: f64) -> Vec<Effect> {
        let outcome = Err(Failed { trouble: Trouble::Refused, tries: 1, retry_in: INTERVAL });
        picture.take(Polled { url: url(number), at: at(seconds), outcome })
    }

    /// A reading of the node with this number, whose roster holds these nodes at these addresses.
    fn knows(number: u16, seconds: f64, roster: &[(u16, u16)]) -> Reading {
        let mut reading = reading(&format!("node-{number}"), seconds);
        let peer = |(id, at): &(u16, u16)| Peer {
            id: NodeId::parse(&format!("node-{id}")).unwrap(),
            url: Some(url(*at)),
        };
        reading.roster = Ok(roster.iter().map(peer).collect());
        reading
    }

    fn labels(picture: &Picture) -> Vec<String> {
        picture.nodes.iter().map(|node| format!("{} {}", node.label(), node.url.short())).collect()
    }

    #[test]
    fn the_clusters_percentile_is_of_all_deliveries_and_not_a_mean() {
        // Of 10,000 deliveries the 9,900th counts; the mean of the nodes' own p99 is 250 ms in both cases.
        check_percentiles((9_900, 100), (1, 1));
        check_percentiles((9_850, 150), (1, 500));
        check_percentiles((100, 9_900), (500, 500));
    }

    /// The first node delivers within 1 ms, the second within 500 ms.
    #[track_caller]
    fn check_percentiles((first, second): (usize, usize), expected: (u128, u128)) {
        let mut picture = picture(&[1, 2]);
        for (number, micros, count) in [(1, 1_000, first), (2, 500_000, second)] {
            let mut metrics = fixture::metrics(&format!("node-{number}"), 1);
            metrics.delivery_latency = fixture::dump(std::iter::repeat_n(micros, count));
            answer(&mut picture, number, 1.0, Reading::new(metrics, Err(Trouble::Refused)));
        }
        picture.tick(at(1.1));
        let ms = |time: Option<Duration>| time.unwrap().as_millis();
        assert_eq!((ms(picture.totals.p50), ms(picture.totals.p99)), expected);
        assert_eq!(picture.totals.connections, 30_080);
    }

    #[test]
    fn only_fresh_figures_are_added_up() {
        let mut picture = picture(&[1, 2]);
        for number in [1, 2] {
            answer(&mut picture, number, 1.0, reading(&format!("node-{number}"), 1.0));
        }
        refuse(&mut picture, 2, 2.0);
        answer(&mut picture, 1, 2.0, reading("node-1", 2.0));
        picture.tick(at(2.1));
        assert_eq!((picture.totals.fresh, picture.totals.connections), (1, 15_040));
        assert_eq!(picture.totals.sent.map(f64::round), Some(36_000.0));
        picture.tick(at(60.0));
        assert_eq!(picture.totals, Totals::default());
    }

    #[test]
    fn different_logs_are_seen() {
        let mut picture = picture(&[1, 2]);
        let mut other = reading("node-2", 1.0);
        other.log.epoch = Plain::new("zzzzzz");
        answer(&mut picture, 1, 1.0, reading("node-1", 1.0));
        answer(&mut picture, 2, 1.0, other);
        picture.tick(at(1.1));
        assert_eq!(picture.totals.epochs.len(), 2);
    }

    #[test]
    fn one_step_an_interval_and_holes_where_nobody_looked() {
        let mut picture = picture(&[1]);
        answer(&mut picture, 1, 0.1, reading("node-1", 0.1));
        for tick in 1..=10_u32 {
            picture.tick(at(f64::from(tick) * 0.26));
        }
        let known =
            |picture: &Picture| picture.history.connections.last(99).map(|v| v.is_some()).collect::<Vec<_>>();
        assert_eq!(known(&picture), [true, true, true]);
        answer(&mut picture, 1, 6.9, reading("node-1", 6.9));
        picture.tick(at(7.0));
        assert_eq!(known(&picture), [true, true, true, false, false, false, false, true]);
        assert_eq!(picture.nodes[0].trend.last(99).len(), 8);
    }

    proptest::proptest! {
        #[test]
        fn ticks_that_tremble_leave_no_holes(
            ticks in proptest::collection::vec(0.5..1.5_f64, 4..200),
            interval in 0.25..60.0_f64,
        ) {
            // The event loop ticks three times an interval or more often.
            let interval = Duration::from_secs_f64(interval);
            let mut picture = Picture::new(&[url(1)], interval);
            let mut seconds = 0.0;
            for tick in ticks {
                seconds += tick * interval.as_secs_f64() / 3.0;
                answer(&mut picture, 1, seconds, reading("node-1", seconds));
                picture.tick(at(seconds));
            }
            let steps = seconds / interval.as_secs_f64();
            let history = picture.history.connections.last(usize::MAX);
            proptest::prop_assert!((steps - 1.0..=steps + 1.0).contains(&(history.len() as f64)));
            proptest::prop_assert!(picture.history.connections.last(usize::MAX).all(|value| value.is_some()));
        }
    }

    #[test]
    fn nodes_of_the_roster_are_followed_once() {
        let mut picture = picture(&[1]);
        let found = answer(&mut picture, 1, 1.0, knows(1, 1.0, &[(1, 1), (2, 2), (3, 3)]));
        assert_eq!(found, [Effect::Follow(url(2)), Effect::Follow(url(3))]);
        assert_eq!(answer(&mut picture, 2, 1.2, knows(2, 1.2, &[(1, 1), (2, 2), (3, 3)])), []);
        assert_eq!(picture.nodes.len(), 3);
    }

    #[test]
    fn a_node_that_the_user_calls_otherwise_is_not_shown_twice() {
        // Asked at 11, which its roster calls 1.
        let mut picture = picture(&[11]);
        let found = answer(&mut picture, 11, 1.0, knows(1, 1.0, &[(1, 1), (2, 2)]));
        assert_eq!(found, [Effect::Follow(url(2))]);
        // Two addresses of the user's, of which the roster's is not one, until the second answers.
        let mut picture = Picture::new(&[url(11), url(12)], INTERVAL);
        let roster = [(1, 11), (2, 2)];
        assert_eq!(answer(&mut picture, 11, 1.0, knows(1, 1.0, &roster)), [Effect::Follow(url(2))]);
        assert_eq!(
            answer(&mut picture, 12, 1.1, knows(2, 1.1, &roster)),
            [],
            "the roster's may still answer"
        );
        assert_eq!(answer(&mut picture, 2, 1.2, knows(2, 1.2, &roster)), [Effect::Forget(url(12))]);
        assert_eq!(labels(&picture), ["node-1 127.0.0.1:8091", "node-2 127.0.0.1:8082"]);
    }

    #[test]
    fn an_address_of_the_roster_that_cannot_be_reached_gives_way() {
        let mut picture = picture(&[11, 12]);
        answer(&mut picture, 11, 1.0, knows(1, 1.0, &[(1, 11), (2, 2)]));
        refuse(&mut picture, 2, 1.1);
        assert_eq!(answer(&mut picture, 12, 1.2, knows(2, 1.2, &[(2, 2)])), [Effect::Forget(url(2))]);
        assert_eq!(labels(&picture), ["node-1 127.0.0.1:8091", "node-2 127.0.0.1:8092"]);
    }

    #[test]
    fn a_balancer_gives_way_to_the_nodes_behind_it() {
        let roster = [(1, 1), (2, 2)];
        let mut picture = picture(&[99]);
        answer(&mut picture, 99, 1.0, knows(1, 1.0, &roster));
        answer(&mut picture, 2, 1.1, knows(2, 1.1, &roster));
        // The balancer's next answer comes from the other node.
        let effects = answer(&mut picture, 99, 2.0, knows(2, 2.0, &roster));
        assert_eq!(effects, [Effect::Follow(url(1)), Effect::Forget(url(99))]);
        answer(&mut picture, 1, 2.1, knows(1, 2.1, &roster));
        assert_eq!(labels(&picture), ["node-2 127.0.0.1:8082", "node-1 127.0.0.1:8081"]);
    }

    #[test]
    fn a_node_that_left_is_forgotten_after_a_while_unless_the_user_named_it() {
        let mut picture = picture(&[1, 3]);
        answer(&mut picture, 1, 1.0, knows(1, 1.0, &[(1, 1), (2, 2), (3, 3)]));
        answer(&mut picture, 2, 1.1, knows(2, 1.1, &[]));
        let mut effects = Vec::new();
        for second in 2..=70_u32 {
            let seconds = f64::from(second);
            effects.extend(answer(&mut picture, 1, seconds, knows(1, seconds, &[(1, 1)])));
            effects.extend(refuse(&mut picture, 2, seconds));
            effects.extend(refuse(&mut picture, 3, seconds));
            effects.extend(picture.tick(at(seconds + 0.1)));
        }
        assert_eq!(effects, [Effect::Forget(url(2))]);
        assert_eq!(picture.nodes.len(), 2);
    }

    #[test]
    fn a_roster_cannot_make_the_console_ask_without_a_limit() {
        let mut picture = picture(&[1]);
        let roster: Vec<_> = (2..500).map(|number| (number, number)).collect();
        answer(&mut picture, 1, 1.0, knows(1, 1.0, &roster));
        assert_eq!(picture.nodes.len(), MAX_NODES);
    }

    #[test]
    fn changes_are_told_once_and_limited() {
        let mut picture = picture(&[1]);
        for second in 1..=1000_u32 {
            let seconds = f64::from(second);
            if second % 2 == 0 {
                refuse(&mut picture, 1, seconds);
            } else {
                answer(&mut picture, 1, seconds, reading("node-1", seconds));
            }
            picture.tick(at(seconds + 0.1));
        }
        assert_eq!(picture.changes_seen, 1000);
        assert_eq!(picture.changes.len(), MAX_CHANGES);
        assert_eq!(picture.changes[0].text, "DOWN: connection refused");
        assert_eq!(picture.changes[1].text, "UP");
    }

    #[test]
    fn a_message_of_the_past_does_not_turn_the_clock_back() {
        let mut model = fixture::console(&[1], (80, 24));
        crate::tui::update::update(&mut model, Message::Tick(at(10.0)));
        crate::tui::update::update(&mut model, fixture::answered(1, 9.0, reading("node-1", 9.0)));
        assert_eq!(model.live.now, at(10.0));
        assert!(model.live.nodes[0].latest.is_some());
    }
}
