//! Lays the ledgers beside each other. Decides what each owed event became; never what that is worth.
//! Read [`judge`] first, then [`Owed`].

use std::collections::HashMap;
use std::time::Duration;

use super::SubscriberLedger;
use super::account::{Account, AnomalyKind};
use super::arrival::Ending;
use super::evidence::Evidence;
use super::findings::{AnomalyLog, Location};
use super::owed::Owed;
use super::publish::{PublishLedger, PublishOutcome, Sent, Series};
use super::runs::Runs;
use super::subscriber::{IdSample, SeriesBook, Sightings};
use crate::bench::ids::{AddressId, PublisherId};
use crate::bench::metrics::time::RunTime;
use crate::protocol::Address;

/// What was acknowledged less than this before a stream ended for good (or, under at-most-once, before any stream
/// ended) may have been under way, and is not owed.
pub const MARGIN: Duration = Duration::from_secs(1);

/// Makes the account. May be called twice: without the audit read to learn what to audit, then with it.
#[must_use]
pub fn judge(evidence: &Evidence<'_>) -> Account {
    let mut account = judge_in_full(evidence);
    account.shorten();
    account
}

/// Makes the account with all examples that are kept of each anomaly: up to [`super::findings::PLACES_MAX`].
#[must_use]
pub fn judge_in_full(evidence: &Evidence<'_>) -> Account {
    let sent = Sent::by_address(evidence.publishes);
    let mut bench = Judge::new(*evidence, &sent);
    for subscriber in evidence.subscribers {
        bench.judge_subscriber(subscriber);
    }
    for subscriber in evidence.subscribers {
        // Needs to know what is missing anywhere: what the log forgot was not skipped.
        bench.judge_resumes(subscriber);
    }
    bench.judge_ids();
    bench.judge_forgotten();
    bench.count_publishes();
    bench.finish()
}

type SeriesKey = (PublisherId, AddressId);

/// Where a series is judged.
struct Judge<'a> {
    evidence: Evidence<'a>,
    /// What was sent to an address, by whom.
    by_address: &'a HashMap<AddressId, Vec<Sent<'a>>>,
    account: Account,
    findings: AnomalyLog<'a>,
    /// Of each series, what is missing in silence somewhere.
    silent: HashMap<SeriesKey, Runs>,
    any_gap: bool,
}

/// One series at one subscriber.
struct SeriesView<'a> {
    subscriber: &'a SubscriberLedger,
    address: AddressId,
    sent: &'a Sent<'a>,
    book: Option<&'a SeriesBook>,
    owed: &'a Owed,
}

/// What became of an owed event that did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Declared,
    Lost,
    Unseen,
}

impl<'a> Judge<'a> {
    fn new(evidence: Evidence<'a>, by_address: &'a HashMap<AddressId, Vec<Sent<'a>>>) -> Self {
        Self {
            evidence,
            by_address,
            account: Account { audited: evidence.audit.is_some(), ..Account::default() },
            findings: AnomalyLog::new(evidence.plan, evidence.faults),
            silent: HashMap::new(),
            any_gap: evidence.subscribers.iter().any(|subscriber| subscriber.last_gap().is_some()),
        }
    }

    fn sent(&self, publisher: PublisherId, address: AddressId) -> Option<&'a Sent<'a>> {
        self.by_address.get(&address)?.iter().find(|sent| sent.publisher == publisher)
    }

    /// Whether an event waited for a subscriber in its mailbox while it was away.
    fn is_mail(&self, subscriber: &SubscriberLedger, address: AddressId, sent: &Sent<'_>) -> bool {
        let plan = self.evidence.plan;
        let group = plan.subscriber(subscriber.id()).map(|client| usize::from(client.group.0));
        let has_mailbox = group.and_then(|group| plan.groups.get(group)).is_some_and(|group| group.mailbox);
        let is_kept =
            plan.publishers.iter().any(|publisher| publisher.id == sent.publisher && publisher.qos > 0);
        has_mailbox && is_kept && matches!(plan.address(address), Some(Address::User(_) | Address::Client(_)))
    }

    fn judge_subscriber(&mut self, subscriber: &'a SubscriberLedger) {
        let owed = Owed::new(&self.evidence, subscriber);
        let mail = owed.of_the_mailbox();
        for address in subscriber.addresses() {
            for sent in self.by_address.get(address).into_iter().flatten() {
                let owed = if self.is_mail(subscriber, *address, sent) { &mail } else { &owed };
                let book = subscriber.book(sent.publisher, *address);
                self.judge_series(&SeriesView { subscriber, address: *address, sent, book, owed });
            }
        }
        self.judge_unexpected(subscriber);
        self.judge_order(subscriber);
        self.copy_sightings(subscriber);
        if let Some(at) = subscriber.never_recovered(&self.evidence) {
            self.account.never_recovered += 1;
            let left = matches!(subscriber.ending(), Some((_, Ending::Left)));
            let note = if left { "it tried in vain until its plan let it leave" } else { "" };
            let spot = Location { subscriber: Some(subscriber.id()), event: None, at, note: note.to_owned() };
            self.findings.add(AnomalyKind::NeverRecovered, spot);
            self.count_never_back(subscriber);
        }
        self.account.gap_events += subscriber.gaps();
        self.account.gap_clients += u64::from(subscriber.gaps() > 0);
        self.judge_sentinels(subscriber);
    }

    /// One that was never there lost no stream, so that no time began that could be infinite.
    fn count_never_back(&mut self, subscriber: &SubscriberLedger) {
        let plan = self.evidence.plan;
        let lost = subscriber.sessions().last().map(|session| session.ended);
        if let Some((client, lost)) = plan.subscriber(subscriber.id()).zip(lost) {
            self.account.add_never_back((client.group, plan.phases.since(lost)), 1);
        }
    }

    /// A sentinel that did not come to who was there to the end: declared as everything else, or nobody knows.
    fn judge_sentinels(&mut self, subscriber: &SubscriberLedger) {
        let was_there = matches!(subscriber.ending(), Some((_, Ending::RunOver)));
        let Some(sentinels) = self.evidence.sentinels.filter(|_| was_there) else { return };
        let owed = subscriber.addresses().iter().filter(|address| !subscriber.has_sentinel(**address));
        // One that was refused, or of which nobody knows, is the run's own trouble.
        let missing: Vec<RunTime> =
            owed.filter_map(|address| sentinels.first_acknowledged(*address)).collect();
        let is_declared = |started: &&RunTime| subscriber.last_gap().is_some_and(|gap| **started <= gap);
        let declared = missing.iter().filter(is_declared).count();
        self.account.gap_sentinels += declared as u64;
        self.account.without_sentinels += u64::from(declared < missing.len());
    }

    /// Counts what was owed, and finds out what became of what is missing.
    fn judge_series(&mut self, seat: &SeriesView<'_>) {
        let nothing = Runs::default();
        let seen = seat.book.map_or(&nothing, |book| &book.seen);
        let (first, last) = seat.owed.range(seat.sent.series);
        let owed = seat.owed.count(seat.sent);
        self.account.expected += owed;
        let mut missing = 0;
        for (hole_first, hole_last) in seen.holes(first, last) {
            for seq in hole_first..=hole_last {
                if seat.owed.includes(seat.sent.series, seq) {
                    missing += 1;
                    self.judge_missing(seat, seq);
                } else if seat.owed.is_offline(seat.sent.series, seq) {
                    self.account.missed_offline += 1;
                }
            }
        }
        self.account.ok += owed - missing;
    }

    fn judge_missing(&mut self, seat: &SeriesView<'_>, seq: u64) {
        let started = seat.sent.series.started(seq).unwrap_or_default();
        let missing = self.classify(seat, seq, started);
        let kind = match missing {
            Missing::Declared => AnomalyKind::GapDeclared,
            Missing::Lost => AnomalyKind::Lost,
            Missing::Unseen => AnomalyKind::Unseen,
        };
        match missing {
            Missing::Declared => self.account.gap_declared += 1,
            Missing::Lost => self.account.lost += 1,
            Missing::Unseen => self.account.unseen += 1,
        }
        if missing != Missing::Declared {
            self.silent.entry((seat.sent.publisher, seat.address)).or_default().insert(seq);
        }
        self.findings.missing(kind, seat.subscriber.id(), (seat.sent.publisher, seat.address, seq), started);
    }

    fn classify(&self, seat: &SeriesView<'_>, seq: u64, started: RunTime) -> Missing {
        if is_declared(seat.subscriber, seat.book, seq, started) {
            return Missing::Declared;
        }
        let is_unreachable = matches!(seat.subscriber.ending(), Some((_, Ending::Unreachable)));
        let later_came = seat.book.and_then(|book| book.seen.max()).is_some_and(|max| max > seq);
        let in_the_log =
            || self.evidence.audit.is_some_and(|audit| audit.has(seat.sent.publisher, seat.address, seq));
        // Who never got back cannot be owed what the log would still give him: that is counted as never recovered.
        let proven =
            later_came || seat.subscriber.has_sentinel(seat.address) || (!is_unreachable && in_the_log());
        if proven { Missing::Lost } else { Missing::Unseen }
    }

    /// What arrived without having been acknowledged: refused, or never sent. Or nobody knew: then it is recovered.
    fn judge_unexpected(&mut self, subscriber: &'a SubscriberLedger) {
        for book in subscriber.books() {
            let (publisher, address) = (book.publisher, book.address);
            let sent = self.sent(publisher, address);
            for seq in sent.map(|sent| sent.unacknowledged.as_slice()).unwrap_or_default() {
                if !book.seen.contains(*seq) {
                    continue;
                }
                let Some(series) = sent.map(|sent| sent.series) else { continue };
                if series.outcome(*seq) == Some(PublishOutcome::Refused) {
                    self.account.unexpected.refused += 1;
                    let at = series.started(*seq).unwrap_or_default();
                    let event = (publisher, address, *seq);
                    self.findings.add(AnomalyKind::RefusedAppeared, Location::of(subscriber.id(), event, at));
                } else {
                    self.account.recovered += 1;
                }
            }
            let last = sent.map_or(0, |sent| sent.series.last_seq());
            for (first, run_last) in book.seen.iter() {
                let beyond = (first.max(last + 1)..=run_last).chain((first == 0).then_some(0));
                for seq in beyond {
                    self.account.unexpected.never_published += 1;
                    let event = (publisher, address, seq);
                    self.findings.add(
                        AnomalyKind::NeverPublished,
                        Location::of(subscriber.id(), event, RunTime::ZERO),
                    );
                }
            }
        }
    }

    /// An inversion counts when the later event was sent only after the earlier one was acknowledged. Publishes
    /// start in the order of their numbers, so the highest one that was ahead decides for all.
    fn judge_order(&mut self, subscriber: &'a SubscriberLedger) {
        let anomalies = subscriber.anomalies();
        self.account.order_unjudged += anomalies.inversions_dropped;
        for inversion in &anomalies.inversions {
            let Some(sent) = self.sent(inversion.publisher, inversion.address) else { continue };
            let series = sent.series;
            let acknowledged = series.acknowledged(inversion.seq);
            let ahead_started = series.started(inversion.ahead);
            if acknowledged.zip(ahead_started).is_some_and(|(earlier, later)| later >= earlier) {
                let by = inversion.ahead - inversion.seq;
                self.account.reordered += 1;
                self.account.reordered_by_at_most = self.account.reordered_by_at_most.max(by);
                let event = (inversion.publisher, inversion.address, inversion.seq);
                let note = format!("after {}", inversion.ahead);
                self.findings.add(
                    AnomalyKind::Reordered,
                    Location::of(subscriber.id(), event, inversion.at).noted(note),
                );
            }
        }
    }

    /// A resumed session that skipped what was owed, although nothing was declared and the log did not forget it.
    fn judge_resumes(&mut self, subscriber: &'a SubscriberLedger) {
        let owed = Owed::new(&self.evidence, subscriber);
        let mut last = None;
        for skip in &subscriber.anomalies().skips {
            let Some(series) = self.sent(skip.publisher, skip.address).map(|sent| sent.series) else {
                continue;
            };
            let book = subscriber.book(skip.publisher, skip.address);
            let is_skipped = |seq: &u64| {
                let started = series.started(*seq).unwrap_or_default();
                started < skip.confirmed
                    && owed.includes(series, *seq)
                    && book.is_none_or(|book| !book.seen.contains(*seq))
                    && !is_declared(subscriber, book, *seq, started)
                    && !self.is_forgotten((skip.publisher, skip.address), series, *seq)
            };
            let Some(seq) = (skip.after + 1..skip.before).find(is_skipped) else { continue };
            if last != Some(skip.session) {
                last = Some(skip.session);
                self.account.misplaced_resumes += 1;
            }
            let note = format!("had up to {}, went on with {}", skip.after, skip.before);
            let event = (skip.publisher, skip.address, seq);
            self.findings.add(
                AnomalyKind::MisplacedResume,
                Location::of(subscriber.id(), event, skip.confirmed).noted(note),
            );
        }
    }

    fn copy_sightings(&mut self, subscriber: &'a SubscriberLedger) {
        let anomalies = subscriber.anomalies();
        let unexpected = &mut self.account.unexpected;
        self.account.duplicated_in_session += anomalies.in_session.count;
        self.account.duplicated_across_reconnect += anomalies.across_reconnect.count;
        self.account.inconsistent_ids += anomalies.inconsistent.count;
        unexpected.leaked += anomalies.leaked.count;
        unexpected.other_run += anomalies.other_run.count;
        unexpected.never_published += anomalies.foreign.count;
        let mut copy =
            |kind, sightings: &Sightings| self.findings.sightings(kind, subscriber.id(), sightings);
        copy(AnomalyKind::Leak, &anomalies.leaked);
        copy(AnomalyKind::OtherRun, &anomalies.other_run);
        copy(AnomalyKind::NeverPublished, &anomalies.foreign);
        copy(AnomalyKind::DuplicatedInSession, &anomalies.in_session);
        copy(AnomalyKind::DuplicatedAcrossReconnect, &anomalies.across_reconnect);
        copy(AnomalyKind::InconsistentId, &anomalies.inconsistent);
    }

    /// Compares what one id stood for at different subscribers.
    fn judge_ids(&mut self) {
        let mut first: HashMap<u64, IdSample> = HashMap::new();
        for subscriber in self.evidence.subscribers {
            for witness in &subscriber.anomalies().witnesses {
                let known = *first.entry(witness.id).or_insert(*witness);
                if known == *witness {
                    continue;
                }
                self.account.inconsistent_ids += 1;
                let event = (witness.publisher, witness.address, witness.seq);
                let note = format!("the same id as event {} of another series or number", known.seq);
                self.findings.add(
                    AnomalyKind::InconsistentId,
                    Location::of(subscriber.id(), event, RunTime::ZERO).noted(note),
                );
            }
        }
    }

    /// Acknowledged, but neither delivered to all who were owed it nor in the log. What nobody was owed is judged
    /// only where an earlier event of its series is still in the log: logs forget their oldest events by right.
    fn judge_forgotten(&mut self) {
        let Some(audit) = self.evidence.audit else { return };
        let mut forgotten = Vec::new();
        for (address, sent) in self.by_address.iter().filter(|(at, _)| audit.is_read_to_the_end(**at)) {
            for Sent { publisher, series, .. } in sent {
                let key = (*publisher, *address);
                for seq in 1..=series.last_seq() {
                    if self.is_forgotten(key, series, seq) || self.is_hole_in_the_log(key, series, seq) {
                        forgotten.push((key, seq, series.started(seq).unwrap_or_default()));
                    }
                }
            }
        }
        forgotten.sort_unstable_by_key(|((publisher, address), seq, at)| (*at, *publisher, *address, *seq));
        self.account.forgotten = forgotten.len() as u64;
        for ((publisher, address), seq, at) in forgotten {
            let event = Some((publisher, address, seq));
            self.findings
                .add(AnomalyKind::Forgotten, Location { subscriber: None, event, at, note: String::new() });
        }
    }

    /// Missing in silence somewhere, and not in the log.
    fn is_forgotten(&self, key: SeriesKey, series: &Series, seq: u64) -> bool {
        let Some(audit) = self.evidence.audit else { return false };
        audit.is_read_to_the_end(key.1)
            && series.acknowledged(seq).is_some()
            && !audit.has(key.0, key.1, seq)
            && self.silent.get(&key).is_some_and(|runs| runs.contains(seq))
    }

    /// Not in the log, which still has what was acknowledged before this was sent.
    fn is_hole_in_the_log(&self, key: SeriesKey, series: &Series, seq: u64) -> bool {
        let Some(audit) = self.evidence.audit.filter(|_| !self.any_gap) else { return false };
        let oldest = audit.oldest(key.0, key.1).and_then(|oldest| series.acknowledged(oldest));
        series.acknowledged(seq).is_some()
            && !audit.has(key.0, key.1, seq)
            && oldest.zip(series.started(seq)).is_some_and(|(oldest, started)| started >= oldest)
    }

    fn count_publishes(&mut self) {
        let counts = &mut self.account.publishes;
        for (phase, dropped) in self.evidence.publishes.iter().flat_map(PublishLedger::dropped_by_phase) {
            counts.dropped += dropped;
            *self.account.dropped_by.entry(*phase).or_default() += dropped;
        }
        for sent in self.by_address.values().flatten() {
            counts.ok += sent.acknowledged_within(1, sent.series.last_seq());
            for seq in &sent.unacknowledged {
                match sent.series.outcome(*seq) {
                    Some(PublishOutcome::Refused) => counts.fail += 1,
                    Some(PublishOutcome::Indeterminate | PublishOutcome::Acknowledged) | None => {
                        counts.indeterminate += 1;
                    }
                }
            }
        }
    }

    fn finish(mut self) -> Account {
        self.findings.close_run();
        self.account.faults = super::impact::impacts(&self.evidence, &self.findings);
        self.findings.into_account(&mut self.account);
        self.account
    }
}

/// Whether a `GAP` covers a missing event. A series of which nothing ever came has no book of its own, and is
/// covered from its beginning.
fn is_declared(subscriber: &SubscriberLedger, book: Option<&SeriesBook>, seq: u64, started: RunTime) -> bool {
    match book {
        Some(book) => book.gaps.iter().any(|gap| seq > gap.after && seq < gap.before && started <= gap.at),
        None => subscriber.last_gap().is_some_and(|at| started <= at),
    }
}
