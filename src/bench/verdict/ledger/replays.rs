//! How resumed sessions were served: what they lacked of what their clients had missed, and where. Counts only; what they
//! say of a server is decided in `diagnosis`. Read [`Replays::of`] first.

use std::collections::BTreeMap;
use std::time::Duration;

use super::evidence::Evidence;
use super::owed::Owed;
use super::publish::{Sent, Series};
use super::subscriber::{Occurrence, Session, SubscriberLedger};
use crate::bench::metrics::time::RunTime;

/// An event that was sent so shortly before a stream ended may have been in flight: it belongs to the replay.
const IN_FLIGHT: Duration = Duration::from_secs(1);
/// Events that were sent so shortly after a session was confirmed still belong to the seam between replay and live.
const SEAM: Duration = Duration::from_millis(500);

/// Live events that are sent before a client knows that its stream is open: they count as replayed.
const RACE: u64 = 2;

/// Counts of resumed sessions: streams that were opened with a cursor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replays {
    /// All resumed sessions.
    pub resumed: u64,
    /// Those that got all that was missed, which was at least one event.
    pub whole: u64,
    /// Those that lack something of what was missed, without a `GAP`.
    pub lossy: u64,
    /// Of the lossy ones: nothing was replayed.
    pub nothing: u64,
    /// Events that those sessions lack.
    pub nothing_lost: u64,
    /// Of the lossy ones: exactly one event is missing, before all that was replayed.
    pub front_one: u64,
    /// Of the lossy ones: exactly one event is missing, behind all that was replayed.
    pub back_one: u64,
    /// Sessions in which the last event of the session before came again.
    pub repeats_cursor: u64,
    /// Sessions in which an event at the seam of replay and live came twice.
    pub repeats_seam: u64,
    /// Lossy sessions with more than one event missing, by what was replayed, and whether the hole comes first.
    cut: BTreeMap<(u64, bool), u64>,
}

/// What one session had to replay.
#[derive(Debug, Clone, Copy)]
struct Missed {
    replayed: u64,
    lost: u64,
    /// When the first and the last of each were sent.
    got: (RunTime, RunTime),
    lacks: (RunTime, RunTime),
}

impl Replays {
    /// Counts all resumed sessions of a run.
    #[must_use]
    pub fn of(evidence: &Evidence<'_>) -> Self {
        let by_address = Sent::by_address(evidence.publishes);
        let mut replays = Self::default();
        for subscriber in evidence.subscribers {
            if !subscriber.sessions().iter().any(|session| session.resumed) {
                continue;
            }
            let owed = Owed::new(evidence, subscriber);
            let series =
                subscriber.addresses().iter().filter_map(|address| Some((address, by_address.get(address)?)));
            let series: Vec<_> =
                series.flat_map(|(at, all)| all.iter().map(move |sent| (*at, sent))).collect();
            for pair in subscriber.sessions().windows(2) {
                let [before, session] = pair else { continue };
                if session.resumed {
                    let mut missed = Missed::new(session);
                    for (address, sent) in &series {
                        let ledger = subscriber.series_ledger(sent.publisher, *address);
                        let has = |seq| ledger.is_some_and(|ledger| ledger.seen.contains(seq));
                        let is_excused =
                            |seq, at| super::judge::is_declared(subscriber, ledger, (sent.series, seq), at);
                        missed.add(sent.series, (before, session), &owed, (&has, &is_excused));
                    }
                    replays.count(&missed);
                }
            }
            replays.count_repeats(subscriber);
        }
        replays
    }

    /// Sessions that had something to replay.
    #[must_use]
    pub fn resumed_with_missed(&self) -> u64 {
        self.whole + self.lossy
    }

    /// The number of events at which most of the lossy replays ended, how many did, and whether those were the newest ones.
    #[must_use]
    pub fn limit(&self) -> Option<(u64, u64, bool)> {
        // An event that is published while a stream is opened may count as replayed.
        let near = |(events, is_newest): (u64, bool)| {
            let alike = self.cut.iter().filter(move |((other, newest), _)| {
                *newest == is_newest && (events..=events + RACE).contains(other)
            });
            alike.map(|(_, count)| count).sum::<u64>()
        };
        let kinds = self.cut.keys().filter(|(events, _)| *events > 0);
        let most = kinds.rev().max_by_key(|kind| near(**kind))?;
        Some((most.0, near(*most), most.1))
    }

    fn count(&mut self, missed: &Missed) {
        self.resumed += 1;
        let is_first = missed.lacks.1 <= missed.got.0;
        match (missed.replayed, missed.lost) {
            (0, 0) => {}
            (_, 0) => self.whole += 1,
            (replayed, lost) if replayed == 0 || (replayed <= RACE && lost > 2 * RACE) => {
                self.lossy += 1;
                self.nothing += 1;
                self.nothing_lost += lost;
            }
            (_, 1) if is_first => {
                self.lossy += 1;
                self.front_one += 1;
            }
            (_, 1) if missed.lacks.0 >= missed.got.1 => {
                self.lossy += 1;
                self.back_one += 1;
            }
            (replayed, _) => {
                self.lossy += 1;
                *self.cut.entry((replayed, is_first)).or_default() += 1;
            }
        }
    }

    /// Repeated events by their place: of the first ones only, as ledgers keep no more.
    fn count_repeats(&mut self, subscriber: &SubscriberLedger) {
        let anomalies = subscriber.anomalies();
        let sessions = subscriber.sessions();
        let resumed = sessions.iter().filter(|session| session.resumed).count() as u64;
        let served_at = |at: RunTime| sessions.iter().rposition(|session| session.confirmed <= at);
        // An event of the session before, and one for each resumed session: more would be another defect.
        let is_cursor = |occurrence: &&Occurrence| {
            let stamp = occurrence.stamp?;
            let index = served_at(occurrence.at)?;
            let before = sessions.get(index.checked_sub(1)?)?;
            Some(sessions[index].resumed && stamp.sent <= before.ended)
        };
        let across = &anomalies.across_reconnect;
        if across.count <= resumed {
            self.repeats_cursor +=
                across.first.iter().filter(|one| is_cursor(one) == Some(true)).count() as u64;
        }
        let is_seam = |occurrence: &&Occurrence| {
            let (stamp, index) = (occurrence.stamp?, served_at(occurrence.at)?);
            Some(sessions[index].resumed && stamp.sent <= sessions[index].confirmed.plus(SEAM))
        };
        let within = &anomalies.in_session;
        if within.count <= resumed {
            self.repeats_seam += within.first.iter().filter(|one| is_seam(one) == Some(true)).count() as u64;
        }
    }
}

impl Missed {
    fn new(session: &Session) -> Self {
        let nothing = (RunTime::NEVER, RunTime::ZERO);
        Self { replayed: session.replayed, lost: 0, got: nothing, lacks: nothing }
    }

    /// Adds what was sent of a series between two sessions.
    fn add(
        &mut self,
        series: &Series,
        (before, session): (&Session, &Session),
        owed: &Owed,
        (has, is_excused): (&impl Fn(u64) -> bool, &impl Fn(u64, RunTime) -> bool),
    ) {
        let (from, until) = (before.ended.minus(IN_FLIGHT).max(before.confirmed), session.confirmed);
        let numbers = series.first_started_at(from)..series.first_started_at(until.plus(SEAM));
        for seq in numbers.filter(|seq| owed.includes(series, *seq, None)) {
            let Some(at) = series.started(seq) else { continue };
            let span = if has(seq) {
                // What was sent before the end came with the stream before, and live events come anyway.
                if at < before.ended || at > until {
                    continue;
                }
                &mut self.got
            } else if is_excused(seq, at) {
                continue;
            } else {
                self.lost += 1;
                &mut self.lacks
            };
            *span = (span.0.min(at), span.1.max(at));
        }
    }
}
