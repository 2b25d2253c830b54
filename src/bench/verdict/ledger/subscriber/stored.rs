//! The books of clients as they are stored: what a judgement needs of them, and nothing that the plan knows. Compact
//! where ten thousand clients saw the same. Read [`StoredClients`] first.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::away::Away;
use super::ledger::{
    Anomalies, DeclaredGap, IdSample, Inversion, SeqGap, SeriesBook, Session, SubscriberLedger,
};
use super::sightings::Sightings;
use crate::bench::ids::{AddressId, PublisherId, SubscriberId};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::ledger::arrival::Ending;
use crate::bench::verdict::ledger::runs::Runs;

/// The books of some clients of one plan. They are closed: a book that was read again is there to be judged, and
/// nothing more can be told to it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredClients {
    /// SSE ids that one of them remembers, in the order in which they are met: each once, however many had it.
    witnesses: Vec<IdSample>,
    clients: Vec<StoredClient>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredClient {
    id: SubscriberId,
    /// Which of its addresses, by their place in the plan, had their sentinel.
    sentinels: Runs,
    series: Vec<StoredSeries>,
    sessions: Vec<Session>,
    away: Option<Box<Away>>,
    finished: Option<(RunTime, Ending)>,
    last_gap: Option<RunTime>,
    gaps: u64,
    in_session: Sightings,
    across_reconnect: Sightings,
    leaked: Sightings,
    other_run: Sightings,
    foreign: Sightings,
    inconsistent: Sightings,
    inversions: Vec<Inversion>,
    inversions_dropped: u64,
    skips: Vec<SeqGap>,
    /// Steps through [`StoredClients::witnesses`]: mostly from one to the next.
    witnesses: Vec<i64>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredSeries {
    publisher: PublisherId,
    address: AddressId,
    seen: Runs,
    gaps: Vec<DeclaredGap>,
}

/// What was stored is not of this plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLedger {
    /// No such client.
    #[error("there is a book of client {0}, and the plan has {1} clients")]
    Client(u32, usize),
    /// It has other addresses.
    #[error("the book of client {0} has addresses that the plan does not give it")]
    Address(u32),
    /// A step leads out of the table.
    #[error("the book of client {0} remembers an SSE id that was not stored")]
    IdSample(u32),
}

impl StoredClients {
    /// The stored form of these books.
    #[must_use]
    pub fn of(books: &[SubscriberLedger]) -> Self {
        let mut table = Table::default();
        let clients = books.iter().map(|book| StoredClient::of(book, &mut table)).collect();
        Self { witnesses: table.witnesses, clients }
    }

    /// The books themselves.
    ///
    /// # Errors
    /// [`InvalidLedger`] when they are of another plan.
    pub fn books(self, plan: &Plan) -> Result<Vec<SubscriberLedger>, InvalidLedger> {
        let witnesses = self.witnesses;
        self.clients.into_iter().map(|client| client.book(plan, &witnesses)).collect()
    }
}

/// SSE ids with their places.
#[derive(Default)]
struct Table {
    witnesses: Vec<IdSample>,
    places: HashMap<IdSample, i64>,
}

impl Table {
    fn place(&mut self, witness: IdSample) -> i64 {
        let next = i64::try_from(self.witnesses.len()).unwrap_or(i64::MAX);
        *self.places.entry(witness).or_insert_with(|| {
            self.witnesses.push(witness);
            next
        })
    }
}

impl StoredClient {
    fn of(book: &SubscriberLedger, table: &mut Table) -> Self {
        let anomalies = book.anomalies().clone();
        let mut before = -1;
        let step = |witness: &IdSample| {
            let place = table.place(*witness);
            place - std::mem::replace(&mut before, place)
        };
        let places = (0..).zip(book.addresses());
        let sentinels = places.filter(|(_, address)| book.has_sentinel(**address)).map(|(place, _)| place);
        let series = |series: &SeriesBook| StoredSeries {
            publisher: series.publisher,
            address: series.address,
            seen: series.seen.clone(),
            gaps: series.gaps.clone(),
        };
        Self {
            id: book.id(),
            sentinels: sentinels.collect(),
            series: book.books().iter().map(series).collect(),
            sessions: book.sessions().to_vec(),
            away: book.away.clone(),
            finished: book.ending(),
            last_gap: book.last_gap(),
            gaps: book.gaps(),
            witnesses: anomalies.witnesses.iter().map(step).collect(),
            in_session: anomalies.in_session,
            across_reconnect: anomalies.across_reconnect,
            leaked: anomalies.leaked,
            other_run: anomalies.other_run,
            foreign: anomalies.foreign,
            inconsistent: anomalies.inconsistent,
            inversions: anomalies.inversions,
            inversions_dropped: anomalies.inversions_dropped,
            skips: anomalies.skips,
        }
    }

    fn book(self, plan: &Plan, witnesses: &[IdSample]) -> Result<SubscriberLedger, InvalidLedger> {
        let SubscriberId(number) = self.id;
        let Some(client) = plan.subscriber(self.id) else {
            return Err(InvalidLedger::Client(number, plan.subscribers.len()));
        };
        let addresses = &client.addresses;
        let is_own = |series: &StoredSeries| addresses.binary_search(&series.address).is_ok();
        let places = addresses.len() as u64;
        if !self.series.iter().all(is_own) || self.sentinels.max().is_some_and(|last| last >= places) {
            return Err(InvalidLedger::Address(number));
        }
        let mut place = -1_i64;
        let steps = self.witnesses.iter().map(|step| {
            place = place.checked_add(*step)?;
            witnesses.get(usize::try_from(place).ok()?).copied()
        });
        let witnesses = steps.collect::<Option<Vec<_>>>().ok_or(InvalidLedger::IdSample(number))?;
        let empty = SubscriberLedger::new(plan, self.id);
        let anomalies = Anomalies {
            in_session: self.in_session,
            across_reconnect: self.across_reconnect,
            leaked: self.leaked,
            other_run: self.other_run,
            foreign: self.foreign,
            inconsistent: self.inconsistent,
            inversions: self.inversions,
            inversions_dropped: self.inversions_dropped,
            skips: self.skips,
            witnesses,
            ..empty.anomalies
        };
        Ok(SubscriberLedger {
            sentinels: (0..places).map(|place| self.sentinels.contains(place)).collect(),
            series: self.series.into_iter().map(StoredSeries::book).collect(),
            sessions: self.sessions,
            away: self.away,
            finished: self.finished,
            last_gap: self.last_gap,
            gaps: self.gaps,
            anomalies,
            ..empty
        })
    }
}

impl StoredSeries {
    fn book(self) -> SeriesBook {
        SeriesBook { seen: self.seen, gaps: self.gaps, ..SeriesBook::new(self.publisher, self.address) }
    }
}
