//! The stored form of the ledgers of clients: what a judgement needs, and nothing that the plan knows. Compact where ten
//! thousand clients received the same. Read [`StoredClients`] first.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::anomalies::{Anomalies, IdSample, Inversion, Occurrences, SeqGap};
use super::event_types::EventTypes;
use super::failed_attempts::FailedAttempts;
use super::ledger::{Session, SubscriberLedger};
use super::recheck::Recheck;
use super::remembered_ids::{IdTable, RememberedIds};
use super::series::{DeclaredGap, SeriesLedger};
use crate::bench::ids::{AddressId, PublisherId, SubscriberId};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::ledger::arrival::Ending;
use crate::bench::verdict::ledger::runs::Runs;

/// The ledgers of some clients of one plan. They are closed: a ledger that was read again can be judged, but not continued.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredClients {
    /// SSE ids that clients remember, each once, in the order of their first use.
    id_samples: Vec<IdSample>,
    clients: Vec<StoredClient>,
    /// Of each client in `clients`.
    observations: Vec<Observations>,
}

/// The ledgers as they were stored before clients observed payloads, types and stalled streams.
#[derive(Debug, Deserialize)]
pub struct StoredClientsBefore {
    id_samples: Vec<IdSample>,
    clients: Vec<StoredClient>,
}

/// What a client observed beside which event arrived when.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Observations {
    altered: Occurrences,
    types: EventTypes,
    recheck: Option<Box<Recheck>>,
    fallen: Occurrences,
    epochs: Vec<u64>,
    /// When each session was asked for.
    requested: Vec<RunTime>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredClient {
    id: SubscriberId,
    /// The indexes of its addresses whose sentinel arrived.
    sentinels: Runs,
    series: Vec<StoredSeries>,
    sessions: Vec<Session>,
    failed_attempts: Option<Box<FailedAttempts>>,
    finished: Option<(RunTime, Ending)>,
    last_gap: Option<RunTime>,
    gaps: u64,
    in_session: Occurrences,
    across_reconnect: Occurrences,
    leaked: Occurrences,
    other_run: Occurrences,
    foreign: Occurrences,
    inconsistent: Occurrences,
    inversions: Vec<Inversion>,
    inversions_dropped: u64,
    seq_gaps: Vec<SeqGap>,
    /// Indexes into [`StoredClients::id_samples`], each as its difference from the one before: mostly 1.
    id_samples: Vec<i64>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredSeries {
    publisher: PublisherId,
    address: AddressId,
    seen: Runs,
    gaps: Vec<DeclaredGap>,
}

/// The stored ledgers are not of this plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLedger {
    /// The plan has no such client.
    #[error("it has a ledger of client {0}, but the plan has {1} clients")]
    Client(u32, usize),
    /// The client has other addresses.
    #[error("the ledger of client {0} has addresses that the client does not have in the plan")]
    Address(u32),
    /// An index is out of range.
    #[error("the ledger of client {0} refers to an SSE id that is not stored")]
    IdSample(u32),
}

impl StoredClients {
    /// The stored form of these ledgers.
    #[must_use]
    pub fn of(ledgers: &[SubscriberLedger]) -> Self {
        let mut table = Table::default();
        let clients = ledgers.iter().map(|ledger| StoredClient::of(ledger, &mut table)).collect();
        let observations = ledgers.iter().map(Observations::of).collect();
        Self { id_samples: table.id_samples, clients, observations }
    }

    /// The ledgers again.
    ///
    /// # Errors
    /// [`InvalidLedger`]: they are of another plan.
    pub fn ledgers(self, plan: &Plan) -> Result<Vec<SubscriberLedger>, InvalidLedger> {
        let Self { id_samples, clients, observations } = self;
        let ids = IdTable::of(id_samples);
        let observations = observations.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
        let ledger = |(client, observed): (StoredClient, Option<Observations>)| {
            let mut ledger = client.ledger(plan, &ids)?;
            observed.unwrap_or_default().add_to(&mut ledger);
            Ok(ledger)
        };
        clients.into_iter().zip(observations).map(ledger).collect()
    }
}

impl From<StoredClientsBefore> for StoredClients {
    fn from(before: StoredClientsBefore) -> Self {
        let StoredClientsBefore { id_samples, clients } = before;
        Self { id_samples, clients, observations: Vec::new() }
    }
}

impl Observations {
    fn of(ledger: &SubscriberLedger) -> Self {
        let anomalies = ledger.anomalies();
        Self {
            altered: anomalies.altered.clone(),
            types: anomalies.types.clone(),
            recheck: ledger.recheck.clone(),
            fallen: anomalies.fallen.clone(),
            epochs: ledger.epochs().to_vec(),
            requested: ledger.sessions().iter().map(|session| session.requested).collect(),
        }
    }

    fn add_to(self, ledger: &mut SubscriberLedger) {
        let Self { altered, types, recheck, fallen, epochs, requested } = self;
        for (session, requested) in ledger.sessions.iter_mut().zip(requested) {
            session.requested = requested;
        }
        ledger.anomalies.fallen = fallen;
        ledger.id_order.epochs = epochs;
        ledger.recheck = recheck;
        ledger.anomalies.altered = altered;
        ledger.anomalies.types = types;
    }
}

/// SSE ids with their indexes.
#[derive(Default)]
struct Table {
    id_samples: Vec<IdSample>,
    indexes: HashMap<IdSample, i64>,
}

impl Table {
    fn index(&mut self, sample: IdSample) -> i64 {
        let next = i64::try_from(self.id_samples.len()).unwrap_or(i64::MAX);
        *self.indexes.entry(sample).or_insert_with(|| {
            self.id_samples.push(sample);
            next
        })
    }
}

impl StoredClient {
    fn of(ledger: &SubscriberLedger, table: &mut Table) -> Self {
        let anomalies = ledger.anomalies().clone();
        let mut before = -1;
        let step = |sample: &IdSample| {
            let place = table.index(*sample);
            place - std::mem::replace(&mut before, place)
        };
        let places = (0..).zip(ledger.addresses());
        let sentinels = places.filter(|(_, address)| ledger.has_sentinel(**address)).map(|(place, _)| place);
        let series = |series: &SeriesLedger| StoredSeries {
            publisher: series.publisher,
            address: series.address,
            seen: series.seen.clone(),
            gaps: series.gaps.clone(),
        };
        Self {
            id: ledger.id(),
            sentinels: sentinels.collect(),
            series: ledger.series().iter().map(series).collect(),
            sessions: ledger.sessions().to_vec(),
            failed_attempts: ledger.failed_attempts.clone(),
            finished: ledger.ending(),
            last_gap: ledger.last_gap(),
            gaps: ledger.gaps(),
            id_samples: anomalies.ids.samples().iter().map(step).collect(),
            in_session: anomalies.in_session,
            across_reconnect: anomalies.across_reconnect,
            leaked: anomalies.leaked,
            other_run: anomalies.other_run,
            foreign: anomalies.foreign,
            inconsistent: anomalies.inconsistent,
            inversions: anomalies.inversions,
            inversions_dropped: anomalies.inversions_dropped,
            seq_gaps: anomalies.seq_gaps,
        }
    }

    fn ledger(self, plan: &Plan, ids: &IdTable) -> Result<SubscriberLedger, InvalidLedger> {
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
        let (mut place, mut remembered) = (-1_i64, RememberedIds::in_table(ids));
        let mut is_known = |step: &i64| {
            place = place.saturating_add(*step);
            remembered.add_known(place)
        };
        if !self.id_samples.iter().all(&mut is_known) {
            return Err(InvalidLedger::IdSample(number));
        }
        let empty = SubscriberLedger::sharing(plan, self.id, ids);
        let anomalies = Anomalies {
            in_session: self.in_session,
            across_reconnect: self.across_reconnect,
            leaked: self.leaked,
            other_run: self.other_run,
            foreign: self.foreign,
            inconsistent: self.inconsistent,
            inversions: self.inversions,
            inversions_dropped: self.inversions_dropped,
            seq_gaps: self.seq_gaps,
            ids: remembered,
            ..empty.anomalies
        };
        Ok(SubscriberLedger {
            sentinels: (0..places).map(|place| self.sentinels.contains(place)).collect(),
            series: self.series.into_iter().map(StoredSeries::ledger).collect(),
            sessions: self.sessions.into_iter().map(requested_when_confirmed).collect(),
            failed_attempts: self.failed_attempts,
            finished: self.finished,
            last_gap: self.last_gap,
            gaps: self.gaps,
            anomalies,
            ..empty
        })
    }
}

/// Until its time is read, which is stored beside it, since an earlier form of the ledger had none.
fn requested_when_confirmed(session: Session) -> Session {
    Session { requested: session.confirmed, ..session }
}

impl StoredSeries {
    fn ledger(self) -> SeriesLedger {
        SeriesLedger { seen: self.seen, gaps: self.gaps, ..SeriesLedger::new(self.publisher, self.address) }
    }
}
