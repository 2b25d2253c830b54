//! Compares the ledgers: decides what became of each owed event. Decides nothing about pass or fail.
//! Read [`judge`] first, then [`Owed`].

use std::collections::HashMap;

use super::account::{Account, AnomalyKind};
use super::anomaly_log::{AnomalyLog, Location};
use super::arrival::Ending;
use super::event_types::ExpectedTypes;
use super::evidence::Evidence;
use super::inconsistent_ids::{Inconsistent, inconsistent};
use super::owed::Owed;
use super::probes::first_fault;
use super::publish::{PublishLedger, PublishOutcome, Sent, Series};
use super::recovery::never_recovered;
use super::runs::Runs;
use super::stalled::{is_silent_again, stalled};
use super::subscriber::{DeclaredGap, Occurrences, SeriesLedger, SubscriberLedger};
use crate::bench::ids::{AddressId, PublisherId};
use crate::bench::metrics::time::RunTime;
use crate::protocol::Address;

/// Makes the account. May be called twice: without the audit read, to learn which addresses to audit, then with it.
#[must_use]
pub fn judge(evidence: &Evidence<'_>) -> Account {
    let mut account = judge_in_full(evidence);
    account.truncate_examples();
    account
}

/// Makes the account with all examples that are kept of each anomaly: up to [`super::EXAMPLES_MAX`].
#[must_use]
pub fn judge_in_full(evidence: &Evidence<'_>) -> Account {
    let sent = Sent::by_address(evidence.publishes);
    let mut judge = Judge::new(*evidence, &sent);
    for subscriber in evidence.subscribers {
        judge.judge_subscriber(subscriber);
    }
    for subscriber in evidence.subscribers {
        // Second, as it needs all missing events: an event that the log forgot was not skipped.
        judge.judge_resumes(subscriber);
    }
    judge.judge_probes();
    judge.judge_types();
    judge.judge_ids();
    judge.judge_forgotten();
    judge.count_publishes();
    judge.finish()
}

type SeriesKey = (PublisherId, AddressId);

/// The state of one judgement.
struct Judge<'a> {
    evidence: Evidence<'a>,
    /// The series that were sent to each address.
    by_address: &'a HashMap<AddressId, Vec<Sent<'a>>>,
    account: Account,
    findings: AnomalyLog<'a>,
    /// Of each series, the numbers that are missing at some client without a `GAP`.
    silent: HashMap<SeriesKey, Runs>,
    any_gap: bool,
}

/// One series at one subscriber.
struct SeriesView<'a> {
    subscriber: &'a SubscriberLedger,
    address: AddressId,
    sent: &'a Sent<'a>,
    ledger: Option<&'a SeriesLedger>,
    owed: &'a Owed,
}

/// Why an owed event did not arrive.
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

    /// Whether an event waited for a subscriber in its mailbox while it was disconnected.
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
                let ledger = subscriber.series_ledger(sent.publisher, *address);
                self.judge_series(&SeriesView { subscriber, address: *address, sent, ledger, owed });
            }
        }
        self.judge_unexpected(subscriber);
        self.judge_order(subscriber);
        self.count_occurrences(subscriber);
        if let Some(at) = never_recovered(&self.evidence, subscriber) {
            self.account.never_recovered += 1;
            let left = matches!(subscriber.ending(), Some((_, Ending::Left)));
            let note = if left { "it could not reconnect before its planned end" } else { "" };
            let location =
                Location { subscriber: Some(subscriber.id()), event: None, at, note: note.to_owned() };
            self.findings.add(AnomalyKind::NeverRecovered, location);
            self.count_never_back(subscriber);
        }
        self.account.gap_events += subscriber.gaps();
        self.account.gap_clients += u64::from(subscriber.gaps() > 0);
        self.judge_sentinels(subscriber);
        self.judge_stalled(subscriber);
    }

    fn judge_stalled(&mut self, subscriber: &SubscriberLedger) {
        let Some(recheck) = stalled(&self.evidence, subscriber) else { return };
        self.account.stalled_streams += 1;
        self.account.stalled_deliveries += recheck.came.count;
        let first = recheck.came.first.iter().find_map(|occurrence| occurrence.stamp);
        let event = first.map(|stamp| (stamp.publisher, stamp.address, stamp.seq));
        let note = match recheck.came.count {
            0 => "the last event came on another stream".to_owned(),
            1 => "came on another stream".to_owned(),
            count => format!("came on another stream, with {} more", count - 1),
        };
        let location = Location { subscriber: Some(subscriber.id()), event, at: recheck.at, note };
        self.findings.add(AnomalyKind::StalledStream, location);
    }

    /// Counts an infinite reconnect time; a client that never had a session lost none, and has no such time.
    fn count_never_back(&mut self, subscriber: &SubscriberLedger) {
        let plan = self.evidence.plan;
        let lost = subscriber.sessions().last().map(|session| session.ended);
        if let Some((client, lost)) = plan.subscriber(subscriber.id()).zip(lost) {
            self.account.add_never_back((client.group, plan.phases.since(lost)), 1);
        }
    }

    /// Counts sentinels that did not arrive at a client that stayed to the end: covered by a `GAP`, or unexplained.
    fn judge_sentinels(&mut self, subscriber: &SubscriberLedger) {
        let was_there = matches!(subscriber.ending(), Some((_, Ending::RunOver)));
        let Some(sentinels) = self.evidence.sentinels.filter(|_| was_there) else { return };
        let owed = subscriber.addresses().iter().filter(|address| !subscriber.has_sentinel(**address));
        // A sentinel without an acknowledgement is a problem of the run, not of the client.
        let missing: Vec<RunTime> =
            owed.filter_map(|address| sentinels.first_acknowledged(*address)).collect();
        let is_declared = |started: &&RunTime| subscriber.last_gap().is_some_and(|gap| **started <= gap);
        let declared = missing.iter().filter(is_declared).count();
        self.account.gap_sentinels += declared as u64;
        self.account.without_sentinels += u64::from(declared < missing.len());
    }

    /// Counts the owed events of a series and classifies those that did not arrive.
    fn judge_series(&mut self, view: &SeriesView<'_>) {
        let nothing = Runs::default();
        let seen = view.ledger.map_or(&nothing, |ledger| &ledger.seen);
        let (first, last) = view.owed.range(view.sent.series);
        let latest = seen.max();
        let owed = view.owed.count(view.sent, latest);
        self.account.expected += owed;
        let mut missing = 0;
        for (hole_first, hole_last) in seen.holes(first, last) {
            for seq in hole_first..=hole_last {
                if view.owed.includes(view.sent.series, seq, latest) {
                    missing += 1;
                    self.judge_missing(view, seq);
                } else if view.sent.series.acknowledged(seq).is_some() {
                    self.account.missed_offline += 1;
                }
            }
        }
        self.account.ok += owed - missing;
    }

    fn judge_missing(&mut self, view: &SeriesView<'_>, seq: u64) {
        let started = view.sent.series.started(seq).unwrap_or_default();
        let missing = self.classify(view, seq, started);
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
            self.silent.entry((view.sent.publisher, view.address)).or_default().insert(seq);
        }
        self.findings.missing(kind, view.subscriber.id(), (view.sent.publisher, view.address, seq), started);
    }

    fn classify(&self, view: &SeriesView<'_>, seq: u64, started: RunTime) -> Missing {
        if is_declared(view.subscriber, view.ledger, (view.sent.series, seq), started) {
            return Missing::Declared;
        }
        let is_unreachable = matches!(view.subscriber.ending(), Some((_, Ending::Unreachable)));
        // Numbers follow the times of sending, so the highest one that came decides for all.
        let last = view.ledger.and_then(|ledger| ledger.seen.max());
        let later_came = last.is_some_and(|last| view.sent.series.is_before(seq, last));
        let in_the_log =
            || self.evidence.audit.is_some_and(|audit| audit.has(view.sent.publisher, view.address, seq));
        // The log would still replay the event to a client that never got back: that client counts as never recovered.
        let proven = later_came
            || is_silent_again(&self.evidence, view.subscriber)
            || view.subscriber.has_sentinel(view.address)
            || (!is_unreachable && in_the_log());
        if proven { Missing::Lost } else { Missing::Unseen }
    }

    /// Counts events that arrived without an acknowledgement: refused, never published, or of an indeterminate publish, which
    /// are recovered.
    fn judge_unexpected(&mut self, subscriber: &'a SubscriberLedger) {
        for ledger in subscriber.series() {
            let (publisher, address) = (ledger.publisher, ledger.address);
            let sent = self.sent(publisher, address);
            for seq in sent.map(|sent| sent.unacknowledged.as_slice()).unwrap_or_default() {
                if !ledger.seen.contains(*seq) {
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
            for (first, run_last) in ledger.seen.iter() {
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

    /// Counts inversions where the later event was sent only after the earlier one was acknowledged. Publishes start in the
    /// order of their numbers, so that the highest number ahead decides for all.
    fn judge_order(&mut self, subscriber: &'a SubscriberLedger) {
        let anomalies = subscriber.anomalies();
        self.account.order_unjudged += anomalies.inversions_dropped;
        for inversion in &anomalies.inversions {
            let Some(sent) = self.sent(inversion.publisher, inversion.address) else { continue };
            if sent.series.is_before(inversion.seq, inversion.ahead) {
                let by = inversion.ahead - inversion.seq;
                self.account.reordered += 1;
                self.account.reordered_by_at_most = self.account.reordered_by_at_most.max(by);
                let event = (inversion.publisher, inversion.address, inversion.seq);
                let note = format!("after {}", inversion.ahead);
                self.findings.add(
                    AnomalyKind::Reordered,
                    Location::of(subscriber.id(), event, inversion.at).with_note(note),
                );
            }
        }
    }

    /// Counts resumed sessions that skipped owed events, although no `GAP` covers them and the log did not forget them.
    fn judge_resumes(&mut self, subscriber: &'a SubscriberLedger) {
        let owed = Owed::new(&self.evidence, subscriber);
        let mut last = None;
        for gap in &subscriber.anomalies().seq_gaps {
            let Some(series) = self.sent(gap.publisher, gap.address).map(|sent| sent.series) else {
                continue;
            };
            let ledger = subscriber.series_ledger(gap.publisher, gap.address);
            let is_skipped = |seq: &u64| {
                let started = series.started(*seq).unwrap_or_default();
                started < gap.confirmed
                    // What was in flight together with the first event of the session may stand behind it in the log.
                    && series.is_before(*seq, gap.before)
                    && owed.includes(series, *seq, ledger.and_then(|ledger| ledger.seen.max()))
                    && ledger.is_none_or(|ledger| !ledger.seen.contains(*seq))
                    && !is_declared(subscriber, ledger, (series, *seq), started)
                    && !self.is_forgotten((gap.publisher, gap.address), series, *seq)
            };
            let Some(seq) = (gap.after + 1..gap.before).find(is_skipped) else { continue };
            if last != Some(gap.session) {
                last = Some(gap.session);
                self.account.misplaced_resumes += 1;
            }
            let note = format!(
                "it had events up to {}, and the stream went on with event {}",
                gap.after, gap.before
            );
            let event = (gap.publisher, gap.address, seq);
            self.findings.add(
                AnomalyKind::MisplacedResume,
                Location::of(subscriber.id(), event, gap.confirmed).with_note(note),
            );
        }
    }

    /// Counts resumed streams of the judge itself that got something else than they were owed.
    fn judge_probes(&mut self) {
        let probes = self.evidence.probes.map_or(&[][..], |probes| &probes.different);
        for probe in probes {
            let Some((stamp, note)) = first_fault(probe, &self.evidence, self.by_address) else { continue };
            self.account.misplaced_resumes += 1;
            let event = Some((stamp.publisher, stamp.address, stamp.seq));
            let location = Location { subscriber: None, event, at: probe.began, note };
            self.findings.add(AnomalyKind::MisplacedResume, location);
        }
    }

    fn count_occurrences(&mut self, subscriber: &'a SubscriberLedger) {
        let anomalies = subscriber.anomalies();
        let unexpected = &mut self.account.unexpected;
        self.account.duplicated_in_session += anomalies.in_session.count;
        self.account.duplicated_across_reconnect += anomalies.across_reconnect.count;
        self.account.inconsistent_ids += anomalies.inconsistent.count;
        unexpected.leaked += anomalies.leaked.count;
        unexpected.other_run += anomalies.other_run.count;
        unexpected.never_published += anomalies.foreign.count;
        self.account.altered += anomalies.altered.count;
        self.account.fallen_ids += anomalies.fallen.count;
        let mut copy = |kind, occurrences: &Occurrences| {
            self.findings.add_occurrences(kind, subscriber.id(), occurrences, "");
        };
        copy(AnomalyKind::AlteredPayload, &anomalies.altered);
        copy(AnomalyKind::Leak, &anomalies.leaked);
        copy(AnomalyKind::OtherRun, &anomalies.other_run);
        copy(AnomalyKind::NeverPublished, &anomalies.foreign);
        copy(AnomalyKind::DuplicatedInSession, &anomalies.in_session);
        copy(AnomalyKind::DuplicatedAcrossReconnect, &anomalies.across_reconnect);
        copy(AnomalyKind::InconsistentId, &anomalies.inconsistent);
        copy(AnomalyKind::IdGoesBack, &anomalies.fallen);
    }

    /// Counts events that came with another type than they were published with.
    fn judge_types(&mut self) {
        let expected = ExpectedTypes::new(&self.evidence);
        for subscriber in self.evidence.subscribers {
            for wrong in expected.wrong_at(subscriber) {
                let note = format!("as {:?} instead of {}", wrong.event, wrong.expected);
                match wrong.seen {
                    Some(seen) => {
                        self.findings.add_occurrences(
                            AnomalyKind::WrongEventType,
                            subscriber.id(),
                            seen,
                            &note,
                        );
                    }
                    None => {
                        let (subscriber, at) = (Some(subscriber.id()), RunTime::ZERO);
                        let location = Location { subscriber, event: None, at, note };
                        self.findings.add_many(AnomalyKind::WrongEventType, location, wrong.count);
                    }
                }
                self.account.wrong_types += wrong.count;
            }
        }
    }

    /// Compares the events that one id was used for at different subscribers, and the ids that one event had.
    fn judge_ids(&mut self) {
        for Inconsistent { subscriber, sample, note } in inconsistent(&self.evidence) {
            self.account.inconsistent_ids += 1;
            let event = (sample.publisher, sample.address, sample.seq);
            self.findings.add(
                AnomalyKind::InconsistentId,
                Location::of(subscriber, event, RunTime::ZERO).with_note(note),
            );
        }
    }

    /// Counts events that were acknowledged but are neither delivered to all subscribers that they are owed to nor in the log.
    /// An event that no subscriber is owed counts only where the log still has an earlier event of its series: a log may
    /// trim its oldest events.
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

    /// Whether an event is missing at some client without a `GAP`, and in the log.
    fn is_forgotten(&self, key: SeriesKey, series: &Series, seq: u64) -> bool {
        let Some(audit) = self.evidence.audit else { return false };
        audit.is_read_to_the_end(key.1)
            && series.acknowledged(seq).is_some()
            && !audit.has(key.0, key.1, seq)
            && self.silent.get(&key).is_some_and(|runs| runs.contains(seq))
    }

    /// Whether an event is missing in the log, which still has one that was acknowledged before this one was sent.
    fn is_hole_in_the_log(&self, key: SeriesKey, series: &Series, seq: u64) -> bool {
        let Some(audit) = self.evidence.audit.filter(|_| !self.any_gap) else { return false };
        series.acknowledged(seq).is_some()
            && !audit.has(key.0, key.1, seq)
            && audit.oldest(key.0, key.1).is_some_and(|oldest| series.is_before(oldest, seq))
    }

    fn count_publishes(&mut self) {
        let counts = &mut self.account.publishes;
        for (phase, dropped) in self.evidence.publishes.iter().flat_map(PublishLedger::dropped_by_phase) {
            counts.dropped += dropped;
            *self.account.dropped_by.entry(*phase).or_default() += dropped;
        }
        for sent in self.by_address.values().flatten() {
            counts.ok += sent.acknowledged_within(1, sent.series.last_seq());
            self.account.overlapping += sent.series.overlaps();
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

/// Whether a `GAP` covers a missing event: it was sent before the `GAP` came, and nothing shows that it stood before the last
/// event that came ahead of the `GAP`, or behind the first one after it. A series without any arrival has no ledger and is
/// covered from its beginning.
pub(super) fn is_declared(
    subscriber: &SubscriberLedger,
    ledger: Option<&SeriesLedger>,
    (series, seq): (&Series, u64),
    started: RunTime,
) -> bool {
    let is_within = |gap: &DeclaredGap| {
        let stood_before = seq < gap.after && series.is_before(seq, gap.after);
        let stood_behind = seq > gap.before && series.is_before(gap.before, seq);
        !stood_before && !stood_behind
    };
    match ledger {
        Some(ledger) => ledger.gaps.iter().any(|gap| started <= gap.at && is_within(gap)),
        None => subscriber.last_gap().is_some_and(|at| started <= at),
    }
}
