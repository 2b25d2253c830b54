//! A node as the console sees it: the newest reading, rates from the difference of two readings, and how fresh all
//! of that is. Read [`Node`] and [`Health`] first. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::message::{Answer, Failed, Moment, Polled};
use super::plain::Plain;
use super::reading::{Counters, Reading, Serving, Trouble};
use super::series::Series;
use super::url::NodeUrl;
use crate::protocol::NodeId;

/// Without an answer for more than this many intervals a node is LATE,
const LATE_AFTER: u32 = 2;
/// for more than this many STALE,
const STALE_AFTER: u32 = 5;
/// and for more than this many DOWN.
const DOWN_AFTER: u32 = 15;
/// The uptime of a node is told in whole seconds and read with some delay: it may lag behind our clock by this much
/// before that counts as a restart.
const UPTIME_SLACK: Duration = Duration::from_secs(3);

/// A node that the console asks.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) url: NodeUrl,
    pub(crate) origin: Origin,
    /// Whether only a bench run named it, or a node that only the run named.
    pub(crate) is_stranger: bool,
    pub(crate) latest: Option<Latest>,
    /// Set while the last try failed.
    pub(crate) failing: Option<Failing>,
    /// Delivered events a second, one value a step.
    pub(crate) trend: Series,
    /// When a roster named it last, on the console's clock.
    pub(crate) listed_at: Duration,
    /// The health that was last written into the list of changes.
    pub(crate) told: Option<String>,
    /// What went wrong with streams, and when it was seen.
    pub(crate) wrong: Wrong,
}

/// When something was last seen to happen to streams, on the console's clock, and how often at that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wrong {
    pub(crate) gaps: Option<(Duration, u64)>,
    pub(crate) slow: Option<(Duration, u64)>,
    pub(crate) refused: Option<(Duration, u64)>,
}

/// How the console came to know a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `--node`.
    Given,
    /// Another node's roster, which calls it this.
    Roster(NodeId),
    /// The bench run that is followed, which calls it this.
    Run(NodeId),
}

/// The newest reading and what it says in comparison with the one before.
#[derive(Debug, Clone)]
pub(crate) struct Latest {
    pub(crate) at: Moment,
    pub(crate) rtt: Duration,
    pub(crate) reading: Arc<Reading>,
    /// The reading as it is kept for looking back.
    pub(crate) summary: Arc<Reading>,
    /// `None` after a start, and until the second reading.
    pub(crate) rates: Option<Rates>,
}

/// Events, bytes and CPU seconds a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rates {
    pub(crate) published: f64,
    /// Read from the log.
    pub(crate) tailed: f64,
    pub(crate) sent: f64,
    pub(crate) bytes: f64,
    pub(crate) cpu: f64,
}

/// Tries that gave nothing, since the last one that did.
#[derive(Debug, Clone)]
pub(crate) struct Failing {
    pub(crate) trouble: Trouble,
    pub(crate) tries: u32,
    /// On the console's clock.
    pub(crate) retry_at: Duration,
}

/// What the first column says of a node. The word stands beside the mark, so no state is told by colour alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Health {
    /// Not answered yet, and no try has failed.
    Connecting,
    /// Fresh; the node says how it serves.
    Answering(Serving),
    /// No answer for so long; its figures are still shown.
    Late(Duration),
    /// No answer for so long; its figures are no longer shown.
    Stale(Duration),
    Down(Trouble),
}

/// What a reading brought that people want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct News {
    pub(crate) restarted: bool,
    /// `GAP` events since the reading before.
    pub(crate) gaps: u64,
    /// Readers that were too slow since the reading before.
    pub(crate) slow: u64,
    /// Streams refused since the reading before.
    pub(crate) refused: u64,
}

impl Node {
    pub(crate) fn new(url: NodeUrl, origin: Origin, now: Moment) -> Self {
        Self {
            url,
            is_stranger: matches!(origin, Origin::Run(_)),
            origin,
            latest: None,
            failing: None,
            trend: Series::default(),
            listed_at: now.elapsed,
            told: None,
            wrong: Wrong::default(),
        }
    }

    /// The id that it answered with.
    pub(crate) fn id(&self) -> Option<&NodeId> {
        self.latest.as_ref().map(|latest| &latest.reading.id)
    }

    /// The id that it answered with, or that a roster promised.
    pub(crate) fn expected_id(&self) -> Option<&NodeId> {
        self.id().or(match &self.origin {
            Origin::Given => None,
            Origin::Roster(id) | Origin::Run(id) => Some(id),
        })
    }

    /// What to call it: the id, or the address while that is not known.
    pub(crate) fn label(&self) -> Plain {
        self.expected_id().map_or_else(|| Plain::new(&self.url.short()), |id| Plain::new(id.as_str()))
    }

    /// Takes what came of asking it. A result that is older than what is known changes nothing.
    pub(crate) fn take(&mut self, polled: Polled) -> News {
        if self.latest.as_ref().is_some_and(|latest| latest.at.elapsed >= polled.at.elapsed) {
            return News::default();
        }
        match polled.outcome {
            Ok(answer) => self.take_answer(polled.at, answer),
            Err(Failed { trouble, tries, retry_in }) => {
                let retry_at = polled.at.elapsed.saturating_add(retry_in);
                self.failing = Some(Failing { trouble, tries, retry_at });
                News::default()
            }
        }
    }

    fn take_answer(&mut self, at: Moment, Answer { rtt, reading }: Answer) -> News {
        self.failing = None;
        let before = self.latest.take().filter(|before| before.reading.id == reading.id);
        let mut news = News::default();
        let mut rates = None;
        if let Some(before) = before {
            let passed = at.elapsed.saturating_sub(before.at.elapsed);
            news.restarted =
                reading.uptime.saturating_add(UPTIME_SLACK) < before.reading.uptime.saturating_add(passed);
            if !news.restarted {
                rates = Rates::between(before.reading.counters, reading.counters, passed);
                news.gaps = reading.gaps_total().saturating_sub(before.reading.gaps_total());
                news.slow = reading.closed_slow().saturating_sub(before.reading.closed_slow());
                news.refused = reading.rejected_total().saturating_sub(before.reading.rejected_total());
            }
            // A counter that went back is a start that the uptime was too coarse to show.
            news.restarted |= rates.is_none();
        }
        self.note_wrong(at, news);
        let summary = Arc::new(reading.summary());
        self.latest = Some(Latest { at, rtt, reading: Arc::new(reading), summary, rates });
        news
    }

    fn note_wrong(&mut self, at: Moment, news: News) {
        let seen = |count: u64, before| if count > 0 { Some((at.elapsed, count)) } else { before };
        self.wrong = Wrong {
            gaps: seen(news.gaps, self.wrong.gaps),
            slow: seen(news.slow, self.wrong.slow),
            refused: seen(news.refused, self.wrong.refused),
        };
    }

    /// The node as it is kept for looking back: without its trend, which the present one has as well.
    pub(crate) fn kept(&self) -> Self {
        let latest = self.latest.as_ref().map(|latest| Latest {
            reading: Arc::clone(&latest.summary),
            summary: Arc::clone(&latest.summary),
            ..latest.clone()
        });
        Self {
            url: self.url.clone(),
            origin: self.origin.clone(),
            is_stranger: self.is_stranger,
            latest,
            failing: self.failing.clone(),
            trend: Series::default(),
            listed_at: self.listed_at,
            told: self.told.clone(),
            wrong: self.wrong,
        }
    }

    /// How fresh the figures are, for readings that should come every `interval`.
    pub(crate) fn health(&self, now: Moment, interval: Duration) -> Health {
        let Some(latest) = &self.latest else {
            let down = |failing: &Failing| Health::Down(failing.trouble.clone());
            return self.failing.as_ref().map_or(Health::Connecting, down);
        };
        let age = now.elapsed.saturating_sub(latest.at.elapsed);
        match &self.failing {
            // Silence may pass: it is judged by its length. Any other trouble is an answer.
            Some(Failing { trouble: trouble @ Trouble::Timeout(_), .. }) if age > interval * DOWN_AFTER => {
                Health::Down(trouble.clone())
            }
            None | Some(Failing { trouble: Trouble::Timeout(_), .. }) if age > interval * STALE_AFTER => {
                Health::Stale(age)
            }
            None | Some(Failing { trouble: Trouble::Timeout(_), .. }) if age > interval * LATE_AFTER => {
                Health::Late(age)
            }
            None | Some(Failing { trouble: Trouble::Timeout(_), .. }) => {
                Health::Answering(latest.reading.serving.clone())
            }
            Some(Failing { trouble, .. }) => Health::Down(trouble.clone()),
        }
    }

    /// The newest figures, while they are fresh enough to be shown and added up.
    pub(crate) fn figures(&self, now: Moment, interval: Duration) -> Option<&Latest> {
        match self.health(now, interval) {
            Health::Answering(_) | Health::Late(_) => self.latest.as_ref(),
            Health::Connecting | Health::Stale(_) | Health::Down(_) => None,
        }
    }
}

impl Rates {
    /// `None` when a counter went back, as it does when a node starts anew, or when no time passed.
    fn between(before: Counters, after: Counters, passed: Duration) -> Option<Self> {
        let seconds = passed.as_secs_f64();
        if seconds <= 0.0 || after.cpu_seconds < before.cpu_seconds {
            return None;
        }
        let per_second = |after: u64, before: u64| Some(after.checked_sub(before)? as f64 / seconds);
        after.opened.checked_sub(before.opened)?;
        Some(Self {
            published: per_second(after.published, before.published)?,
            tailed: per_second(after.tailed, before.tailed)?,
            sent: per_second(after.sent, before.sent)?,
            bytes: per_second(after.bytes, before.bytes)?,
            cpu: (after.cpu_seconds - before.cpu_seconds) / seconds,
        })
    }
}

impl Health {
    /// The word for people, without the age.
    pub(crate) fn word(&self) -> String {
        match self {
            Self::Connecting => "CONNECTING".to_owned(),
            Self::Answering(Serving::Ready) => "UP".to_owned(),
            Self::Answering(Serving::Starting) => "STARTING".to_owned(),
            Self::Answering(Serving::Degraded) => "DEGRADED".to_owned(),
            Self::Answering(Serving::Draining) => "DRAINING".to_owned(),
            Self::Answering(Serving::Other(word)) => word.as_str().to_uppercase(),
            Self::Late(_) => "LATE".to_owned(),
            Self::Stale(_) => "STALE".to_owned(),
            Self::Down(_) => "DOWN".to_owned(),
        }
    }

    /// Sorts what needs attention first.
    pub(crate) fn urgency(&self) -> u8 {
        match self {
            Self::Down(_) => 0,
            Self::Stale(_) => 1,
            Self::Late(_) => 2,
            Self::Answering(Serving::Degraded) => 3,
            Self::Answering(Serving::Draining) => 4,
            Self::Answering(Serving::Starting | Serving::Other(_)) => 5,
            Self::Connecting => 6,
            Self::Answering(Serving::Ready) => 7,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::{self, at};

    const SECOND: Duration = Duration::from_secs(1);

    fn node() -> Node {
        Node::new(fixture::url(1), Origin::Given, at(0.0))
    }

    fn failed(seconds: f64, trouble: Trouble) -> Polled {
        let failed = Failed { trouble, tries: 1, retry_in: SECOND };
        Polled { url: fixture::url(1), at: at(seconds), outcome: Err(failed) }
    }

    fn answered(seconds: f64, change: impl FnOnce(&mut Reading)) -> Polled {
        let mut reading = fixture::reading("node-1", seconds);
        change(&mut reading);
        let answer = Answer { rtt: Duration::from_micros(400), reading };
        Polled { url: fixture::url(1), at: at(seconds), outcome: Ok(answer) }
    }

    #[test]
    fn rates_are_differences_over_the_time_between_two_readings() {
        let mut node = node();
        node.take(answered(1.0, |reading| reading.counters = Counters::default()));
        assert_eq!(node.latest.as_ref().unwrap().rates, None, "one reading has no rate");
        let after =
            Counters { published: 5, tailed: 10, sent: 3000, bytes: 9000, opened: 4, cpu_seconds: 0.5 };
        node.take(answered(3.0, |reading| reading.counters = after));
        let rates = node.latest.unwrap().rates.unwrap();
        assert_eq!(rates, Rates { published: 2.5, tailed: 5.0, sent: 1500.0, bytes: 4500.0, cpu: 0.25 });
    }

    #[test]
    fn a_restart_gives_no_rate_and_is_news() {
        let counters = |sent| move |reading: &mut Reading| reading.counters.sent = sent;
        let mut node = node();
        node.take(answered(1.0, counters(1000)));
        let news = node.take(answered(2.0, counters(10)));
        assert!(news.restarted, "the counter went back");
        assert_eq!(node.latest.as_ref().unwrap().rates, None);
        assert!(!node.take(answered(3.0, counters(20))).restarted);
        // Counters above the old ones: only the uptime tells.
        let news = node.take(answered(10.0, |reading| {
            reading.counters.sent = 1_000_000;
            reading.uptime = Duration::from_secs(1);
        }));
        assert!(news.restarted);
        assert_eq!(node.latest.unwrap().rates, None);
    }

    #[test]
    fn another_node_behind_the_same_url_is_not_compared_with_the_one_before() {
        let mut node = node();
        node.take(answered(1.0, |_| ()));
        let news = node.take(answered(2.0, |reading| reading.id = NodeId::parse("node-9").unwrap()));
        assert_eq!((news, node.latest.unwrap().rates), (News::default(), None));
    }

    #[test]
    fn a_result_that_comes_late_changes_nothing() {
        let mut node = node();
        node.take(answered(5.0, |_| ()));
        node.take(failed(4.0, Trouble::Refused));
        node.take(answered(3.0, |reading| reading.connections = 1));
        assert_eq!(node.latest.as_ref().unwrap().at, at(5.0));
        assert!(node.failing.is_none());
    }

    #[track_caller]
    fn check_health(node: &Node, seconds: f64, word: &str) {
        assert_eq!(node.health(at(seconds), SECOND).word(), word, "at {seconds} s");
    }

    #[test]
    fn silence_is_late_then_stale_then_down() {
        let mut node = node();
        check_health(&node, 60.0, "CONNECTING");
        node.take(answered(100.0, |_| ()));
        check_health(&node, 102.0, "UP");
        node.take(failed(102.0, Trouble::Timeout(SECOND)));
        check_health(&node, 102.0, "UP");
        check_health(&node, 102.1, "LATE");
        assert!(node.figures(at(105.0), SECOND).is_some());
        check_health(&node, 105.1, "STALE");
        assert!(node.figures(at(105.1), SECOND).is_none());
        check_health(&node, 115.1, "DOWN");
        node.take(answered(116.0, |_| ()));
        check_health(&node, 116.0, "UP");
    }

    #[test]
    fn any_other_trouble_is_down_at_once_and_the_first_timeout_too() {
        for trouble in [Trouble::Refused, Trouble::Status(503), Trouble::BadJson(Plain::new("eof"))] {
            let mut node = node();
            node.take(answered(1.0, |_| ()));
            node.take(failed(1.5, trouble.clone()));
            assert_eq!(node.health(at(1.5), SECOND), Health::Down(trouble));
        }
        let mut node = node();
        node.take(failed(0.5, Trouble::Timeout(SECOND)));
        check_health(&node, 0.5, "DOWN");
    }

    #[test]
    fn gaps_are_news_once() {
        let mut node = node();
        let gaps = |count| move |reading: &mut Reading| reading.gaps = vec![(Plain::new("trimmed"), count)];
        assert_eq!(node.take(answered(1.0, gaps(5))).gaps, 0, "what was before the console came is no news");
        assert_eq!(node.take(answered(2.0, gaps(7))).gaps, 2);
        assert_eq!(node.take(answered(3.0, gaps(7))).gaps, 0);
    }
}
