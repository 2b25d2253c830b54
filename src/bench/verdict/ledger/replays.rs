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

/// Counts of resumed sessions: streams that were opened with a cursor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replays {
    /// All resumed sessions.
    pub resumed: u64,
    /// Those that got all that was missed, which was at least one event.
    pub whole: u64,
    /// Those that lack something of what was missed, without a `GAP`.
    pub lossy: u64,
    /// Of the lossy ones: nothing was replayed that the log had when the session was asked for.
    pub nothing: u64,
    /// The fewest events in any of these that came though they were sent before it was confirmed.
    pub nothing_but: Option<u64>,
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
    /// Lossy sessions with one hole, before or behind all that was replayed.
    cut: BTreeMap<Cut, u64>,
}

/// A replay that is cut off. Events that were sent while the stream was opened may have been live ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// So many events were replayed, at least.
    pub least: u64,
    /// So many, at most.
    pub most: u64,
    /// Whether these were the newest ones, behind the hole.
    pub is_newest: bool,
}

/// An event of the time in which a client was away: when it was sent, and when it was acknowledged.
#[derive(Debug, Clone, Copy)]
struct Away {
    sent: RunTime,
    acknowledged: RunTime,
}

/// What one session had to replay. Live events may have been sent before the client knew that its stream is open.
#[derive(Debug, Default)]
struct Missed {
    /// What came, of which the log had some before the session was asked for.
    got: Vec<Away>,
    /// What did not come, in the order of sending.
    lacks: Vec<Away>,
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
                    let mut missed = Missed::default();
                    for (address, sent) in &series {
                        let ledger = subscriber.series_ledger(sent.publisher, *address);
                        let has = |seq| ledger.is_some_and(|ledger| ledger.seen.contains(seq));
                        let is_excused =
                            |seq, at| super::judge::is_declared(subscriber, ledger, (sent.series, seq), at);
                        missed.add(sent.series, (before, session), &owed, (&has, &is_excused));
                    }
                    missed.lacks.sort_unstable_by_key(|away| away.sent);
                    replays.count(&missed, session);
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

    /// Where most of the lossy replays were cut off, and how many agree; `None`: none was.
    #[must_use]
    pub fn limit(&self) -> Option<(Cut, u64)> {
        let agree = |events: u64, is_newest: bool| {
            let fits =
                move |cut: &Cut| cut.is_newest == is_newest && (cut.least..=cut.most).contains(&events);
            self.cut.iter().filter(move |(cut, _)| fits(cut))
        };
        let (limit, count) = self
            .cut
            .keys()
            .map(|cut| (cut, agree(cut.least, cut.is_newest).map(|(_, count)| count).sum()))
            .max_by_key(|(_, count)| *count)?;
        let most = agree(limit.least, limit.is_newest).map(|(cut, _)| cut.most).min();
        Some((Cut { most: most.unwrap_or(limit.most), ..*limit }, count))
    }

    fn count(&mut self, missed: &Missed, session: &Session) {
        self.resumed += 1;
        let (Some(first), Some(last)) = (missed.lacks.first(), missed.lacks.last()) else {
            self.whole += u64::from(session.replayed > 0);
            return;
        };
        self.lossy += 1;
        // What the log had before the request is no live event.
        let old = missed.got.iter().filter(|away| away.acknowledged <= session.requested);
        let is_first = old.clone().all(|away| away.acknowledged > last.sent);
        let is_last = old.clone().all(|away| away.sent < first.acknowledged);
        let one = missed.lacks.len() == 1;
        if old.clone().next().is_none() {
            self.nothing += 1;
            self.nothing_lost += missed.lacks.len() as u64;
            let but = self.nothing_but.map_or(session.replayed, |least| least.min(session.replayed));
            self.nothing_but = Some(but);
        } else if one && is_first {
            self.front_one += 1;
        } else if one && is_last {
            self.back_one += 1;
        } else if is_first {
            let live = missed.got.len() - old.count();
            let cut = Cut {
                least: session.replayed.saturating_sub(live as u64),
                most: session.replayed,
                is_newest: true,
            };
            *self.cut.entry(cut).or_default() += 1;
        } else if is_last {
            let behind = missed.got.iter().filter(|away| away.sent > first.sent).count();
            let events = session.replayed.saturating_sub(behind as u64);
            *self.cut.entry(Cut { least: events, most: events, is_newest: false }).or_default() += 1;
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
            let Some((sent, acknowledged)) = series.started(seq).zip(series.acknowledged(seq)) else {
                continue;
            };
            if !has(seq) {
                if !is_excused(seq, sent) {
                    self.lacks.push(Away { sent, acknowledged });
                }
            } else if (before.ended..until).contains(&sent) {
                // What was sent before the end came with the stream before, and live events come anyway.
                self.got.push(Away { sent, acknowledged });
            }
        }
    }
}
