//! Collects anomalies while a run is judged: how many of each kind, in the window of which fault, and the first examples.
//! Bounded, however many there are. Read [`AnomalyLog`] first.

use std::collections::{BTreeMap, HashMap};

use super::account::{Account, Anomaly, AnomalyKind, Example, SeqRange};
use super::evidence::FaultRecord;
use super::subscriber::Occurrences;
use crate::bench::ids::{AddressId, GroupId, PhaseId, PublisherId, SubscriberId};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::Plan;

/// Largest number of examples of a kind of anomaly.
pub const EXAMPLES_MAX: usize = 1_024;

/// Examples of events lost in the window of a fault.
const EXAMPLES_OF_A_FAULT: usize = 3;

/// Publisher, address and number.
pub(super) type EventKey = (PublisherId, AddressId, u64);

/// Where an anomaly was seen.
pub(super) struct Location {
    /// `None`: seen in the log.
    pub(super) subscriber: Option<SubscriberId>,
    /// `None`: not an event of a run, or no event at all.
    pub(super) event: Option<EventKey>,
    pub(super) at: RunTime,
    pub(super) note: String,
}

impl Location {
    pub(super) fn of(subscriber: SubscriberId, event: EventKey, at: RunTime) -> Self {
        Self { subscriber: Some(subscriber), event: Some(event), at, note: String::new() }
    }

    pub(super) fn with_note(self, note: String) -> Self {
        Self { note, ..self }
    }
}

/// The anomalies found so far.
pub(super) struct AnomalyLog<'a> {
    plan: &'a Plan,
    faults: &'a [FaultRecord],
    buckets: BTreeMap<AnomalyKind, AnomalyBucket>,
    missing_by: BTreeMap<(GroupId, PhaseId), u64>,
    missing_addresses: BTreeMap<AddressId, u64>,
    /// Consecutive missing events make one example, which is added when the run of numbers ends.
    open: Option<OpenRun>,
}

/// Anomalies of one kind.
#[derive(Default)]
struct AnomalyBucket {
    count: u64,
    /// One count per fault, in their order; empty without occurrences in windows.
    by_fault: Vec<u64>,
    examples: HashMap<ExampleKey, Seen>,
}

/// What examples are grouped by: an anomaly that several subscribers saw at the same event is one example.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct ExampleKey {
    series: Option<(PublisherId, AddressId)>,
    seq: Option<(u64, u64)>,
    note: String,
    /// Distinguishes anomalies that are not of an event.
    client: Option<SubscriberId>,
}

struct Seen {
    at: RunTime,
    fault: Option<usize>,
    subscriber: Option<SubscriberId>,
    subscribers: u64,
}

struct OpenRun {
    kind: AnomalyKind,
    subscriber: SubscriberId,
    series: (PublisherId, AddressId),
    seq: (u64, u64),
    at: RunTime,
    fault: Option<usize>,
}

impl<'a> AnomalyLog<'a> {
    pub(super) fn new(plan: &'a Plan, faults: &'a [FaultRecord]) -> Self {
        Self {
            plan,
            faults,
            buckets: BTreeMap::new(),
            missing_by: BTreeMap::new(),
            missing_addresses: BTreeMap::new(),
            open: None,
        }
    }

    /// The index of the fault in whose window a time lies; of several, the one that was applied last.
    pub(super) fn window(&self, time: RunTime) -> Option<usize> {
        let covering = self.faults.iter().enumerate().filter(|(_, fault)| fault.covers(time));
        covering.max_by_key(|(index, fault)| (fault.applied, *index)).map(|(index, _)| index)
    }

    /// Adds an owed event that did not arrive.
    pub(super) fn missing(
        &mut self,
        kind: AnomalyKind,
        subscriber: SubscriberId,
        (publisher, address, seq): EventKey,
        started: RunTime,
    ) {
        let fault = self.window(started);
        self.add_count(kind, fault, 1);
        if let Some(client) = self.plan.subscriber(subscriber) {
            *self.missing_by.entry((client.group, self.plan.phases.at(started))).or_default() += 1;
        }
        *self.missing_addresses.entry(address).or_default() += 1;
        let series = (publisher, address);
        if let Some(open) = &mut self.open
            && (open.kind, open.subscriber, open.series, open.fault) == (kind, subscriber, series, fault)
            && open.seq.1 + 1 == seq
        {
            open.seq.1 = seq;
            return;
        }
        self.close_run();
        self.open = Some(OpenRun { kind, subscriber, series, seq: (seq, seq), at: started, fault });
    }

    /// Adds the pending run of missing events. To be called before anything is read.
    pub(super) fn close_run(&mut self) {
        let Some(run) = self.open.take() else { return };
        let key =
            ExampleKey { series: Some(run.series), seq: Some(run.seq), note: String::new(), client: None };
        self.add_example(
            run.kind,
            key,
            Seen { at: run.at, fault: run.fault, subscriber: Some(run.subscriber), subscribers: 1 },
        );
    }

    pub(super) fn add(&mut self, kind: AnomalyKind, location: Location) {
        let fault = self.window(location.at);
        self.add_count(kind, fault, 1);
        self.show(kind, location, fault);
    }

    /// Adds `count` anomalies of which only one place is known.
    pub(super) fn add_many(&mut self, kind: AnomalyKind, location: Location, count: u64) {
        self.add_count(kind, None, count);
        self.show(kind, location, None);
    }

    /// Adds what a subscriber counted itself. Only the first occurrences have a time, and so a fault.
    pub(super) fn add_occurrences(
        &mut self,
        kind: AnomalyKind,
        by: SubscriberId,
        occurrences: &Occurrences,
        note: &str,
    ) {
        if occurrences.count == 0 {
            return;
        }
        let without_time = occurrences.count.saturating_sub(occurrences.first.len() as u64);
        self.add_count(kind, None, without_time);
        for occurrence in &occurrences.first {
            let event = occurrence.stamp.map(|stamp| (stamp.publisher, stamp.address, stamp.seq));
            let note = note.to_owned();
            self.add(kind, Location { subscriber: Some(by), event, at: occurrence.at, note });
        }
    }

    fn add_count(&mut self, kind: AnomalyKind, fault: Option<usize>, by: u64) {
        let bucket = self.buckets.entry(kind).or_default();
        bucket.count += by;
        if let Some(fault) = fault {
            bucket.by_fault.resize(self.faults.len(), 0);
            bucket.by_fault[fault] += by;
        }
    }

    fn show(&mut self, kind: AnomalyKind, location: Location, fault: Option<usize>) {
        let Location { subscriber, event, at, note } = location;
        let key = ExampleKey {
            series: event.map(|(publisher, address, _)| (publisher, address)),
            seq: event.map(|(_, _, seq)| (seq, seq)),
            note,
            client: if event.is_none() { subscriber } else { None },
        };
        self.add_example(kind, key, Seen { at, fault, subscriber, subscribers: 1 });
    }

    fn add_example(&mut self, kind: AnomalyKind, key: ExampleKey, seen: Seen) {
        let examples = &mut self.buckets.entry(kind).or_default().examples;
        if let Some(known) = examples.get_mut(&key) {
            known.subscribers += 1;
        } else if examples.len() < EXAMPLES_MAX {
            examples.insert(key, seen);
        }
    }

    /// Occurrences of a kind in the window of a fault.
    pub(super) fn in_window(&self, kind: AnomalyKind, fault: usize) -> u64 {
        self.buckets.get(&kind).and_then(|bucket| bucket.by_fault.get(fault)).copied().unwrap_or(0)
    }

    /// The earliest examples of a kind in the window of a fault.
    pub(super) fn first_in_window(&self, kind: AnomalyKind, fault: usize) -> Vec<Example> {
        let examples = self.buckets.get(&kind).map(|bucket| &bucket.examples);
        let here = examples.into_iter().flatten().filter(|(_, seen)| seen.fault == Some(fault));
        let mut here: Vec<_> = here.collect();
        here.sort_by(|(a, first), (b, second)| (first.at, a).cmp(&(second.at, b)));
        let first = here.into_iter().take(EXAMPLES_OF_A_FAULT);
        first.map(|(key, seen)| self.example(key.clone(), seen)).collect()
    }

    /// Moves everything into the account.
    pub(super) fn into_account(mut self, account: &mut Account) {
        for (kind, bucket) in std::mem::take(&mut self.buckets) {
            account.anomalies.push(self.anomaly(kind, bucket));
        }
        account.missing_by = self.missing_by.into_iter().collect();
        account.missing_addresses = self.missing_addresses.into_keys().collect();
    }

    fn anomaly(&self, kind: AnomalyKind, bucket: AnomalyBucket) -> Anomaly {
        let by_fault = self.faults.iter().zip(&bucket.by_fault).filter(|(_, count)| **count > 0);
        let by_fault = by_fault.map(|(fault, count)| (fault.name.clone(), *count)).collect();
        let mut examples: Vec<_> = bucket.examples.into_iter().collect();
        // By time, then by group, so that one history gives one report.
        examples.sort_by(|(a, first), (b, second)| (first.at, a).cmp(&(second.at, b)));
        let examples = examples.into_iter().map(|(key, seen)| self.example(key, &seen)).collect();
        Anomaly { kind, count: bucket.count, by_fault, examples }
    }

    fn example(&self, key: ExampleKey, seen: &Seen) -> Example {
        let mut note = key.note;
        if seen.subscribers > 1 {
            let more = format!("and {} more", seen.subscribers - 1);
            note = if note.is_empty() { more } else { format!("{note}; {more}") };
        }
        Example {
            publisher: key.series.map(|(publisher, _)| self.publisher_name(publisher)),
            address: key.series.map(|(_, address)| self.address_name(address)),
            seq: key.seq.map(|(first, last)| SeqRange { first, last }),
            subscriber: seen.subscriber.map(|id| self.subscriber_name(id)),
            fault: seen.fault.map(|fault| self.faults[fault].name.clone()),
            at: Some(seen.at),
            note,
        }
    }

    fn publisher_name(&self, id: PublisherId) -> String {
        let known = self.plan.publishers.iter().find(|publisher| publisher.id == id);
        known.map_or_else(|| format!("publisher {}", id.0), |publisher| publisher.name.clone())
    }

    fn address_name(&self, id: AddressId) -> String {
        self.plan.address(id).map_or_else(|| format!("address {}", id.0), ToString::to_string)
    }

    fn subscriber_name(&self, id: SubscriberId) -> String {
        let known = self.plan.subscriber(id);
        known.map_or_else(|| format!("subscriber {}", id.0), |subscriber| subscriber.client.to_string())
    }
}
