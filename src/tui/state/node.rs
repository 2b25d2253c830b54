//! A node as the console sees it: the newest reading, rates from two readings, and how fresh they are. Pure. Read
//! [`Node`] and [`Health`] first.

use std::sync::Arc;
use std::time::Duration;

use crate::protocol::NodeId;
use crate::tui::state::message::{Answer, Failed, Polled};
use crate::tui::state::moment::Moment;
use crate::tui::state::reading::{Counters, FetchError, Reading, Serving};
use crate::tui::state::series::Series;
use crate::tui::text::sanitize::SafeText;
use crate::tui::text::url::NodeUrl;

/// Without an answer for more than this many intervals a node is LATE,
const LATE_AFTER: u32 = 2;
/// for more than this many STALE,
const STALE_AFTER: u32 = 5;
/// and for more than this many DOWN.
const DOWN_AFTER: u32 = 15;
/// Nodes report their uptime in whole seconds and with a delay. It may lag behind the console's clock by this much
/// before that counts as a restart.
const UPTIME_SLACK: Duration = Duration::from_secs(3);

/// A node that the console polls.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) url: NodeUrl,
    pub(crate) origin: Origin,
    /// Whether only a bench run named it, directly or through a roster: it must not get the token.
    pub(crate) is_untrusted: bool,
    pub(crate) latest: Option<Latest>,
    /// Set while the last poll failed.
    pub(crate) failing: Option<Failing>,
    /// Delivered events per second, one value per step.
    pub(crate) trend: Series,
    /// When a roster last named it, on the console's clock.
    pub(crate) listed_at: Duration,
    /// The word of the health that was last added to the changes.
    pub(crate) noted_health: Option<String>,
    pub(crate) stream_problems: StreamProblems,
}

/// The newest problems of streams: the moment of the reading on the console's clock, and the count since the reading
/// before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StreamProblems {
    pub(crate) gaps: Option<(Duration, u64)>,
    pub(crate) slow: Option<(Duration, u64)>,
    pub(crate) refused: Option<(Duration, u64)>,
}

/// Where a node's URL comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `--node`, or the configuration.
    Given,
    /// Another node's roster, with this id.
    Roster(NodeId),
    /// The followed bench run, with this id.
    Run(NodeId),
}

/// The newest reading, and the rates since the one before.
#[derive(Debug, Clone)]
pub(crate) struct Latest {
    pub(crate) at: Moment,
    pub(crate) rtt: Duration,
    pub(crate) reading: Arc<Reading>,
    /// The reading in the form that the history keeps.
    pub(crate) summary: Arc<Reading>,
    /// `None` after a start, and until the second reading.
    pub(crate) rates: Option<Rates>,
}

/// Events, bytes and CPU seconds per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rates {
    pub(crate) published: f64,
    /// Events read from the log.
    pub(crate) tailed: f64,
    pub(crate) sent: f64,
    pub(crate) bytes: f64,
    pub(crate) cpu: f64,
}

/// Failed polls since the last success.
#[derive(Debug, Clone)]
pub(crate) struct Failing {
    pub(crate) error: FetchError,
    pub(crate) tries: u32,
    /// Time of the next poll, on the console's clock.
    pub(crate) retry_at: Duration,
}

/// The state of a node. Its word stands beside its mark, so colour is never the only sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Health {
    /// No answer yet, and no failed poll.
    Connecting,
    /// Fresh figures, with the state that the node reports.
    Answering(Serving),
    /// No answer for this time; its figures are still shown.
    Late(Duration),
    /// No answer for this time; its figures are no longer shown.
    Stale(Duration),
    Down(FetchError),
}

/// What changed from one reading to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NodeUpdate {
    pub(crate) restarted: bool,
    /// `GAP` events since the previous reading.
    pub(crate) gaps: u64,
    /// Readers closed as too slow since the previous reading.
    pub(crate) slow: u64,
    /// Streams refused since the previous reading.
    pub(crate) refused: u64,
}

impl Node {
    pub(crate) fn new(url: NodeUrl, origin: Origin, now: Moment) -> Self {
        Self {
            url,
            is_untrusted: matches!(origin, Origin::Run(_)),
            origin,
            latest: None,
            failing: None,
            trend: Series::default(),
            listed_at: now.elapsed,
            noted_health: None,
            stream_problems: StreamProblems::default(),
        }
    }

    /// The id in its newest answer.
    pub(crate) fn id(&self) -> Option<&NodeId> {
        self.latest.as_ref().map(|latest| &latest.reading.id)
    }

    /// The id in its newest answer, or the one from the roster or the run.
    pub(crate) fn expected_id(&self) -> Option<&NodeId> {
        self.id().or(match &self.origin {
            Origin::Given => None,
            Origin::Roster(id) | Origin::Run(id) => Some(id),
        })
    }

    /// Its name on the screen: the id, or the address while the id is not known.
    pub(crate) fn label(&self) -> SafeText {
        self.expected_id().map_or_else(|| SafeText::new(&self.url.short()), |id| SafeText::new(id.as_str()))
    }

    /// Applies the result of a poll. A result older than the newest reading changes nothing.
    pub(crate) fn take(&mut self, polled: Polled) -> NodeUpdate {
        if self.latest.as_ref().is_some_and(|latest| latest.at.elapsed >= polled.at.elapsed) {
            return NodeUpdate::default();
        }
        match polled.outcome {
            Ok(answer) => self.take_answer(polled.at, answer),
            Err(Failed { error, tries, retry_in }) => {
                let retry_at = polled.at.elapsed.saturating_add(retry_in);
                self.failing = Some(Failing { error, tries, retry_at });
                NodeUpdate::default()
            }
        }
    }

    fn take_answer(&mut self, at: Moment, Answer { rtt, reading }: Answer) -> NodeUpdate {
        self.failing = None;
        let before = self.latest.take().filter(|before| before.reading.id == reading.id);
        let mut update = NodeUpdate::default();
        let mut rates = None;
        if let Some(before) = before {
            let passed = at.elapsed.saturating_sub(before.at.elapsed);
            update.restarted =
                reading.uptime.saturating_add(UPTIME_SLACK) < before.reading.uptime.saturating_add(passed);
            if !update.restarted {
                rates = Rates::between(before.reading.counters, reading.counters, passed);
                update.gaps = reading.gaps_total().saturating_sub(before.reading.gaps_total());
                update.slow = reading.closed_slow().saturating_sub(before.reading.closed_slow());
                update.refused = reading.rejected_total().saturating_sub(before.reading.rejected_total());
            }
            // A counter that went back is a restart that the coarse uptime did not show.
            update.restarted |= rates.is_none();
        }
        self.note_problems(at, update);
        let summary = Arc::new(reading.summary());
        self.latest = Some(Latest { at, rtt, reading: Arc::new(reading), summary, rates });
        update
    }

    fn note_problems(&mut self, at: Moment, update: NodeUpdate) {
        let seen = |count: u64, before| if count > 0 { Some((at.elapsed, count)) } else { before };
        self.stream_problems = StreamProblems {
            gaps: seen(update.gaps, self.stream_problems.gaps),
            slow: seen(update.slow, self.stream_problems.slow),
            refused: seen(update.refused, self.stream_problems.refused),
        };
    }

    /// The node in the form that the history keeps: without its trend, which the present node has.
    pub(crate) fn for_history(&self) -> Self {
        let latest = self.latest.as_ref().map(|latest| Latest {
            reading: Arc::clone(&latest.summary),
            summary: Arc::clone(&latest.summary),
            ..latest.clone()
        });
        Self {
            url: self.url.clone(),
            origin: self.origin.clone(),
            is_untrusted: self.is_untrusted,
            latest,
            failing: self.failing.clone(),
            trend: Series::default(),
            listed_at: self.listed_at,
            noted_health: self.noted_health.clone(),
            stream_problems: self.stream_problems,
        }
    }

    /// The health at this moment, when readings should come every `interval`.
    pub(crate) fn health(&self, now: Moment, interval: Duration) -> Health {
        let Some(latest) = &self.latest else {
            let down = |failing: &Failing| Health::Down(failing.error.clone());
            return self.failing.as_ref().map_or(Health::Connecting, down);
        };
        let age = now.elapsed.saturating_sub(latest.at.elapsed);
        match &self.failing {
            // A timeout may pass, so it is judged by its length. Any other error is final.
            Some(Failing { error: error @ FetchError::Timeout(_), .. }) if age > interval * DOWN_AFTER => {
                Health::Down(error.clone())
            }
            None | Some(Failing { error: FetchError::Timeout(_), .. }) if age > interval * STALE_AFTER => {
                Health::Stale(age)
            }
            None | Some(Failing { error: FetchError::Timeout(_), .. }) if age > interval * LATE_AFTER => {
                Health::Late(age)
            }
            None | Some(Failing { error: FetchError::Timeout(_), .. }) => {
                Health::Answering(latest.reading.serving.clone())
            }
            Some(Failing { error, .. }) => Health::Down(error.clone()),
        }
    }

    /// The newest reading, while it is fresh enough to be shown and included in the totals.
    pub(crate) fn figures(&self, now: Moment, interval: Duration) -> Option<&Latest> {
        match self.health(now, interval) {
            Health::Answering(_) | Health::Late(_) => self.latest.as_ref(),
            Health::Connecting | Health::Stale(_) | Health::Down(_) => None,
        }
    }
}

impl Rates {
    /// `None` when a counter went back, as after a restart, or when no time passed.
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
    /// The word on the screen, without the age.
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

    /// Sort key: the states that need attention come first.
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
    use crate::tui::state::tests::fixture::{self, at};

    const SECOND: Duration = Duration::from_secs(1);

    fn node() -> Node {
        Node::new(fixture::url(1), Origin::Given, at(0.0))
    }

    fn failed(seconds: f64, error: FetchError) -> Polled {
        let failed = Failed { error, tries: 1, retry_in: SECOND };
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
        let update = node.take(answered(2.0, counters(10)));
        assert!(update.restarted, "the counter went back");
        assert_eq!(node.latest.as_ref().unwrap().rates, None);
        assert!(!node.take(answered(3.0, counters(20))).restarted);
        // Counters above the old ones: only the uptime tells.
        let update = node.take(answered(10.0, |reading| {
            reading.counters.sent = 1_000_000;
            reading.uptime = Duration::from_secs(1);
        }));
        assert!(update.restarted);
        assert_eq!(node.latest.unwrap().rates, None);
    }

    #[test]
    fn another_node_behind_the_same_url_is_not_compared_with_the_one_before() {
        let mut node = node();
        node.take(answered(1.0, |_| ()));
        let update = node.take(answered(2.0, |reading| reading.id = NodeId::parse("node-9").unwrap()));
        assert_eq!((update, node.latest.unwrap().rates), (NodeUpdate::default(), None));
    }

    #[test]
    fn a_result_that_comes_late_changes_nothing() {
        let mut node = node();
        node.take(answered(5.0, |_| ()));
        node.take(failed(4.0, FetchError::Refused));
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
        node.take(failed(102.0, FetchError::Timeout(SECOND)));
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
        for error in [FetchError::Refused, FetchError::Status(503), FetchError::BadJson(SafeText::new("eof"))]
        {
            let mut node = node();
            node.take(answered(1.0, |_| ()));
            node.take(failed(1.5, error.clone()));
            assert_eq!(node.health(at(1.5), SECOND), Health::Down(error));
        }
        let mut node = node();
        node.take(failed(0.5, FetchError::Timeout(SECOND)));
        check_health(&node, 0.5, "DOWN");
    }

    #[test]
    fn gaps_are_news_once() {
        let mut node = node();
        let gaps =
            |count| move |reading: &mut Reading| reading.gaps = vec![(SafeText::new("trimmed"), count)];
        assert_eq!(node.take(answered(1.0, gaps(5))).gaps, 0, "what was before the console came is no news");
        assert_eq!(node.take(answered(2.0, gaps(7))).gaps, 2);
        assert_eq!(node.take(answered(3.0, gaps(7))).gaps, 0);
    }
}
