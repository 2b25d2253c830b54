//! Which types (`event:`) events should have come with, and which came with another one: a page's listener never hears
//! those. Read [`ExpectedTypes`] first.

use std::collections::HashMap;

use super::evidence::Evidence;
use super::subscriber::{EventTypes, Occurrences, SubscriberLedger};
use crate::bench::ids::AddressId;
use crate::bench::scenario::plan::Plan;
use crate::protocol::Format;

/// The type of an event without `event:` (HTML standard, 9.2.6).
const UNTYPED: &str = "message";
/// An entry of `dialect.events` that allows every type.
const ANY: &str = "*";

/// The types that are expected. What a node of this system sends follows from the address. Of other servers the dialect
/// says it; where it does not, events of one address are expected to have one type: the one that most of its deliveries had.
pub(super) struct ExpectedTypes<'a> {
    plan: &'a Plan,
    /// Where the most frequent type decides. Without an entry, two are equally frequent.
    usual: HashMap<AddressId, &'a str>,
}

/// Events of one client that came with another type than expected.
pub(super) struct WrongType<'a> {
    pub(super) event: &'a str,
    /// What was expected, quoted.
    pub(super) expected: String,
    pub(super) count: u64,
    /// `None`: they are all events of an address but a few, and not remembered one by one.
    pub(super) seen: Option<&'a Occurrences>,
}

impl<'a> ExpectedTypes<'a> {
    pub(super) fn new(evidence: &Evidence<'a>) -> Self {
        let plan = evidence.plan;
        let is_by_majority = plan.dialect.as_ref().is_some_and(|dialect| dialect.events.is_none());
        let usual = if is_by_majority { most_frequent(evidence.subscribers) } else { HashMap::new() };
        Self { plan, usual }
    }

    /// What was expected, if this type was not. `None` also where nothing is expected.
    fn instead_of(&self, format: Format, address: AddressId, event: &str) -> Option<String> {
        let quoted = |expected: &str| format!("{expected:?}");
        let Some(dialect) = &self.plan.dialect else {
            let expected = match format {
                Format::Envelope => self.plan.address(address)?.default_type(),
                Format::Data => UNTYPED,
            };
            return (expected != event).then(|| quoted(expected));
        };
        match &dialect.events {
            Some(events) => {
                let is_expected = events.iter().any(|expected| expected == event || expected == ANY);
                let all = || events.iter().map(|expected| quoted(expected)).collect::<Vec<_>>().join(" or ");
                (!is_expected).then(all)
            }
            None => self.usual.get(&address).filter(|usual| **usual != event).map(|usual| quoted(usual)),
        }
    }

    /// The events of one client that came with another type.
    pub(super) fn wrong_at(&self, subscriber: &'a SubscriberLedger) -> Vec<WrongType<'a>> {
        let types = &subscriber.anomalies().types;
        let client = self.plan.subscriber(subscriber.id());
        let reading = client.and_then(|client| self.plan.readings.get(usize::from(client.group.0)));
        let format = reading.map_or(Format::Envelope, |reading| reading.format);
        let others = types.others.iter().filter_map(|other| {
            let expected = self.instead_of(format, other.address, &other.event)?;
            let seen = Some(&other.seen);
            Some(WrongType { event: &other.event, expected, count: other.seen.count, seen })
        });
        let usual = of_usual_type(subscriber).filter_map(|(address, event, count)| {
            let expected = self.instead_of(format, address, event)?;
            Some(WrongType { event, expected, count, seen: None })
        });
        others.chain(usual).collect()
    }
}

/// Of each address of a client, how many of its events had the type of the client's first event.
fn of_usual_type(subscriber: &SubscriberLedger) -> impl Iterator<Item = (AddressId, &str, u64)> {
    let EventTypes { usual, others, dropped } = &subscriber.anomalies().types;
    let mut counts: HashMap<AddressId, u64> = HashMap::new();
    // With more types than a client keeps, nobody knows how many events had the usual one.
    let usual = usual.as_deref().filter(|_| *dropped == 0);
    if usual.is_some() {
        for series in subscriber.series() {
            *counts.entry(series.address).or_default() += series.seen.count();
        }
        for other in others {
            let count = counts.entry(other.address).or_default();
            *count = count.saturating_sub(other.seen.count);
        }
    }
    counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .filter_map(move |(address, count)| Some((address, usual?, count)))
}

/// Of each address, the type that more of its deliveries had than any other.
fn most_frequent(subscribers: &[SubscriberLedger]) -> HashMap<AddressId, &str> {
    let mut counts: HashMap<AddressId, HashMap<&str, u64>> = HashMap::new();
    for subscriber in subscribers {
        let others = subscriber.anomalies().types.others.iter();
        let others = others.map(|other| (other.address, &*other.event, other.seen.count));
        for (address, event, count) in others.chain(of_usual_type(subscriber)) {
            *counts.entry(address).or_default().entry(event).or_default() += count;
        }
    }
    counts.into_iter().filter_map(|(address, types)| Some((address, winner(types)?))).collect()
}

/// The most frequent type; `None`: two are equally frequent.
fn winner(types: HashMap<&str, u64>) -> Option<&str> {
    let most = types.values().copied().max()?;
    let mut winners = types.into_iter().filter(|(_, count)| *count == most).map(|(event, _)| event);
    let winner = winners.next();
    winner.filter(|_| winners.next().is_none())
}
