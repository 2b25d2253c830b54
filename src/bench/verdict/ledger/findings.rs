//! Collects anomalies while a run is judged: how many of each kind, in whose fault's window, and the first examples.
//! Bounded, however much went wrong.

use std::collections::{BTreeMap, HashMap};

use super::account::{Account, Anomaly, AnomalyKind, Example, SeqRange};
use super::evidence::FaultRecord;
use super::subscriber::Sightings;
use crate::bench::ids::{AddressId, GroupId, PhaseId, PublisherId, SubscriberId};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::Plan;

/// Places that are remembered of a kind of anomaly: the most examples that there are of it.
pub const PLACES_MAX: usize = 1_024;

/// Examples of what was lost in a fault's window.
const EXAMPLES_OF_A_FAULT: usize = 3;

/// Publisher, address and number.
pub(super) type EventKey = (PublisherId, AddressId, u64);

/// Where an anomaly was seen.
pub(super) struct Location {
    /// By whom; `None`: in the log.
    pub(super) subscriber: Option<SubscriberId>,
    /// `None`: it is no event of a run.
    pub(super) event: Option<EventKey>,
    pub(super) at: RunTime,
    pub(super) note: String,
}

impl Location {
    /// An event at a subscriber.
    pub(super) fn of(subscriber: SubscriberId, event: EventKey, at: RunTime) -> Self {
        Self { subscriber: Some(subscriber), event: Some(event), at, note: String::new() }
    }

    /// The same with something to say about it.
    pub(super) fn noted(self, note: String) -> Self {
        Self { note, ..self }
    }
}

/// What was found so far.
pub(super) struct AnomalyLog<'a> {
    plan: &'a Plan,
    faults: &'a [FaultRecord],
    shelves: BTreeMap<AnomalyKind, AnomalyBucket>,
    missing_by: BTreeMap<(GroupId, PhaseId), u64>,
    missing_addresses: BTreeMap<AddressId, u64>,
    /// Missing events come one after the other; they are put away as a run when it ends.
    open: Option<OpenRun>,
}

/// Anomalies of one kind.
#[derive(Default)]
struct AnomalyBucket {
    count: u64,
    /// Beside the faults.
    by_fault: Vec<u64>,
    places: HashMap<Place, Seen>,
}

/// Where an anomaly was, for all subscribers that saw it there.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Place {
    series: Option<(PublisherId, AddressId)>,
    seq: Option<(u64, u64)>,
    note: String,
    /// Distinguishes what is no event.
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
            shelves: BTreeMap::new(),
            missing_by: BTreeMap::new(),
            missing_addresses: BTreeMap::new(),
            open: None,
        }
    }

    /// The fault in whose window a time lies: the one that was applied last.
    pub(super) fn window(&self, time: RunTime) -> Option<usize> {
        let covering = self.faults.iter().enumerate().filter(|(_, fault)| fault.covers(time));
        covering.max_by_key(|(index, fault)| (fault.applied, *index)).map(|(index, _)| index)
    }

    /// An owed event that did not arrive.
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

    /// Puts away what is missing last. To be called before anything is read.
    pub(super) fn close_run(&mut self) {
        let Some(run) = self.open.take() else { return };
        let place = Place { series: Some(run.series), seq: Some(run.seq), note: String::new(), client: None };
        self.place(
            run.kind,
            place,
            Seen { at: run.at, fault: run.fault, subscriber: Some(run.subscriber), subscribers: 1 },
        );
    }

    /// One anomaly.
    pub(super) fn add(&mut self, kind: AnomalyKind, spot: Location) {
        let fault = self.window(spot.at);
        self.add_count(kind, fault, 1);
        self.show(kind, spot, fault);
    }

    /// What a subscriber counted itself. Only its first sightings have a time, and so a fault.
    pub(super) fn sightings(&mut self, kind: AnomalyKind, by: SubscriberId, sightings: &Sightings) {
        if sightings.count == 0 {
            return;
        }
        let without_time = sightings.count.saturating_sub(sightings.first.len() as u64);
        self.add_count(kind, None, without_time);
        for sighting in &sightings.first {
            let event = sighting.stamp.map(|stamp| (stamp.publisher, stamp.address, stamp.seq));
            self.add(kind, Location { subscriber: Some(by), event, at: sighting.at, note: String::new() });
        }
    }

    fn add_count(&mut self, kind: AnomalyKind, fault: Option<usize>, by: u64) {
        let shelf = self.shelves.entry(kind).or_default();
        shelf.count += by;
        if let Some(fault) = fault {
            shelf.by_fault.resize(self.faults.len(), 0);
            shelf.by_fault[fault] += by;
        }
    }

    fn show(&mut self, kind: AnomalyKind, spot: Location, fault: Option<usize>) {
        let Location { subscriber, event, at, note } = spot;
        let place = Place {
            series: event.map(|(publisher, address, _)| (publisher, address)),
            seq: event.map(|(_, _, seq)| (seq, seq)),
            note,
            client: if event.is_none() { subscriber } else { None },
        };
        self.place(kind, place, Seen { at, fault, subscriber, subscribers: 1 });
    }

    fn place(&mut self, kind: AnomalyKind, place: Place, seen: Seen) {
        let places = &mut self.shelves.entry(kind).or_default().places;
        if let Some(known) = places.get_mut(&place) {
            known.subscribers += 1;
        } else if places.len() < PLACES_MAX {
            places.insert(place, seen);
        }
    }

    /// Deliveries of a kind in a fault's window.
    pub(super) fn in_window(&self, kind: AnomalyKind, fault: usize) -> u64 {
        self.shelves.get(&kind).and_then(|shelf| shelf.by_fault.get(fault)).copied().unwrap_or(0)
    }

    /// The first of them in a fault's window.
    pub(super) fn first_in_window(&self, kind: AnomalyKind, fault: usize) -> Vec<Example> {
        let places = self.shelves.get(&kind).map(|shelf| &shelf.places);
        let here = places.into_iter().flatten().filter(|(_, seen)| seen.fault == Some(fault));
        let mut here: Vec<_> = here.collect();
        here.sort_by(|(a, first), (b, second)| (first.at, a).cmp(&(second.at, b)));
        let first = here.into_iter().take(EXAMPLES_OF_A_FAULT);
        first.map(|(place, seen)| self.example(place.clone(), seen)).collect()
    }

    /// Writes everything down.
    pub(super) fn into_account(mut self, account: &mut Account) {
        for (kind, shelf) in std::mem::take(&mut self.shelves) {
            account.anomalies.push(self.anomaly(kind, shelf));
        }
        account.missing_by = self.missing_by.into_iter().collect();
        account.missing_addresses = self.missing_addresses.into_keys().collect();
    }

    fn anomaly(&self, kind: AnomalyKind, shelf: AnomalyBucket) -> Anomaly {
        let by_fault = self.faults.iter().zip(&shelf.by_fault).filter(|(_, count)| **count > 0);
        let by_fault = by_fault.map(|(fault, count)| (fault.name.clone(), *count)).collect();
        let mut places: Vec<_> = shelf.places.into_iter().collect();
        // The first in time; ties by place, so that one history gives one report.
        places.sort_by(|(a, first), (b, second)| (first.at, a).cmp(&(second.at, b)));
        let examples = places.into_iter().map(|(place, seen)| self.example(place, &seen)).collect();
        Anomaly { kind, count: shelf.count, by_fault, examples }
    }

    fn example(&self, place: Place, seen: &Seen) -> Example {
        let mut note = place.note;
        if seen.subscribers > 1 {
            let more = format!("and {} more", seen.subscribers - 1);
            note = if note.is_empty() { more } else { format!("{note}; {more}") };
        }
        Example {
            publisher: place.series.map(|(publisher, _)| self.publisher_name(publisher)),
            address: place.series.map(|(_, address)| self.address_name(address)),
            seq: place.seq.map(|(first, last)| SeqRange { first, last }),
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
