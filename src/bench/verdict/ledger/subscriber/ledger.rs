//! The ledger of one virtual client. The client reports every event when it arrives and gets back its class, to record a
//! latency. Bounded: runs instead of numbers, and the first examples of each anomaly.
//! Read [`SubscriberLedger`] first.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::anomalies::{Anomalies, IdSample, Inversion, Occurrence, SeqGap, hash};
use super::failed_attempts::FailedAttempts;
use super::id_order::IdOrder;
use super::recheck::Recheck;
use super::remembered_ids::IdTable;
use super::series::SeriesLedger;
use crate::bench::ids::{AddressId, NodeIndex, PublisherId, RunId, SubscriberId};
use crate::bench::metrics::tags::Path;
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::Plan;
use crate::bench::stamp::{Stamp, Unreadable};
use crate::bench::verdict::ledger::arrival::{Arrival, Ending, Fields};

/// The ledger of one virtual client.
#[derive(Debug, Clone)]
pub struct SubscriberLedger {
    pub(super) id: SubscriberId,
    pub(super) run: RunId,
    pub(super) addresses: Box<[AddressId]>,
    /// For each of `addresses`: whether its sentinel has arrived.
    pub(super) sentinels: Box<[bool]>,
    pub(super) series: Vec<SeriesLedger>,
    pub(super) sessions: Vec<Session>,
    /// `None`: it has a session, or no attempt to get one has failed yet.
    pub(crate) failed_attempts: Option<Box<FailedAttempts>>,
    pub(super) finished: Option<(RunTime, Ending)>,
    /// `None`: it did not have to connect again at the quiet end.
    pub(super) recheck: Option<Box<Recheck>>,
    pub(super) last_gap: Option<RunTime>,
    pub(super) gaps: u64,
    /// An id is remembered if these bits of its hash are zero: so every client remembers the same ids.
    pub(super) id_mask: u64,
    pub(super) last_id: Option<IdSample>,
    /// Whether an id is also remembered if these bits of the hash of its event are zero. So an event with two ids is found.
    pub(super) remembers_events: bool,
    pub(super) id_order: IdOrder,
    pub(super) anomalies: Anomalies,
}

/// From a confirmed subscription to the end of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// When the client sent its request; where that is not known: when it was confirmed.
    #[serde(skip)]
    pub(crate) requested: RunTime,
    pub(crate) confirmed: RunTime,
    /// [`RunTime::NEVER`] while it is open, and where it was open at the end of the run.
    pub(crate) ended: RunTime,
    pub(crate) first_new: Option<RunTime>,
    /// The node that served it; `None`: not known.
    pub(crate) node: Option<NodeIndex>,
    pub(crate) resumed: bool,
    /// New events that had been sent before it began.
    pub(crate) replayed: u64,
    /// When the last of them arrived; `None`: there were none.
    pub(crate) drained: Option<RunTime>,
}

impl SubscriberLedger {
    /// An empty ledger for a client of the plan, which shares its ids with nobody.
    ///
    /// # Panics
    /// The plan has no such client.
    #[must_use]
    pub fn new(plan: &Plan, id: SubscriberId) -> Self {
        Self::sharing(plan, id, &IdTable::default())
    }

    /// An empty ledger for a client of the plan, whose ids are in a table.
    ///
    /// # Panics
    /// The plan has no such client.
    #[must_use]
    pub fn sharing(plan: &Plan, id: SubscriberId, ids: &IdTable) -> Self {
        let subscriber = plan.subscriber(id).expect("the id comes from this plan");
        Self {
            id,
            run: plan.run,
            addresses: subscriber.addresses.clone(),
            sentinels: vec![false; subscriber.addresses.len()].into_boxed_slice(),
            series: Vec::new(),
            sessions: Vec::new(),
            failed_attempts: None,
            finished: None,
            recheck: None,
            last_gap: None,
            gaps: 0,
            // Remembering ids by both hashes, each half as often, takes as much memory.
            id_mask: if plan.id_mask == 0 { 0 } else { plan.id_mask << 1 | 1 },
            remembers_events: true,
            last_id: None,
            id_order: IdOrder::new(plan),
            anomalies: Anomalies::new(plan.subscribers.len(), ids),
        }
    }

    /// This ledger as it was before ids were compared by event and in their order, for the histories of that time.
    #[must_use]
    pub fn by_rules(self, rules: u16, plan: &Plan) -> Self {
        if rules >= 1 {
            return self;
        }
        Self { id_mask: plan.id_mask, remembers_events: false, id_order: IdOrder::none(), ..self }
    }

    /// As it was stored before there were observations.
    #[cfg(test)]
    pub(in crate::bench::verdict) fn without_observations(mut self) -> Self {
        self.recheck = None;
        self.sessions.iter_mut().for_each(|session| session.requested = session.confirmed);
        self.id_order.epochs.clear();
        let (altered, types, fallen) = Default::default();
        self.anomalies = Anomalies { altered, types, fallen, ..self.anomalies };
        self
    }

    /// From now on ids may come in any order and form.
    #[cfg(test)]
    pub(in crate::bench::verdict::ledger) fn forget_order_of_ids(&mut self) {
        self.id_order = IdOrder::none();
    }

    /// Records the begin of a session: the `CONNECTION` event arrived. `resumed`: the client had sent a cursor.
    pub fn confirmed(&mut self, at: RunTime, resumed: bool) {
        self.end_session(at);
        self.failed_attempts = None;
        self.sessions.push(Session {
            requested: at,
            confirmed: at,
            ended: RunTime::NEVER,
            first_new: None,
            node: None,
            resumed,
            replayed: 0,
            drained: None,
        });
    }

    /// Records when the current session was asked for: what was acknowledged before belongs to its replay.
    pub fn requested(&mut self, at: RunTime) {
        if let Some(session) = self.sessions.last_mut() {
            session.requested = at;
        }
    }

    /// Records the node that serves the current session.
    pub fn served_by(&mut self, node: NodeIndex) {
        if let Some(session) = self.sessions.last_mut() {
            session.node = Some(node);
        }
    }

    /// Records the end of the session: the stream ended or broke. The end of the client itself is [`Self::finish`].
    pub fn disconnected(&mut self, at: RunTime) {
        self.end_session(at);
    }

    fn end_session(&mut self, at: RunTime) {
        if let Some(session) = self.sessions.last_mut().filter(|session| session.ended == RunTime::NEVER) {
            session.ended = at;
        }
    }

    /// Records that the client dropped a stream that was open and lacked what it was sent.
    pub fn rechecks(&mut self, at: RunTime) {
        self.recheck = Some(Box::new(Recheck::new(at)));
    }

    /// Records that a connect was answered with a stream. Returns whether that matters: it is the first since
    /// [`Self::rechecks`].
    pub fn opened(&mut self) -> bool {
        let recheck = self.recheck.as_mut();
        recheck.is_some_and(|recheck| !std::mem::replace(&mut recheck.is_open, true))
    }

    /// Records a failed attempt to get a session: it was refused, not answered, or its stream ended before it was confirmed. Not
    /// for connections that the bench itself cut.
    pub fn record_failed_attempt(&mut self, began: RunTime, at: RunTime) {
        let attempts = self.failed_attempts.get_or_insert_with(|| Box::new(FailedAttempts::since(began)));
        attempts.add(began, at);
    }

    /// Records a `GAP`: the server cannot replay some events.
    pub fn gap(&mut self, at: RunTime) {
        self.last_gap = Some(at);
        self.gaps += 1;
        self.id_order.restart();
        for series in &mut self.series {
            series.declare_gap(at);
        }
    }

    /// Records an event whose payload is not the one that was published. With a stamp, the event itself is known and has
    /// arrived.
    pub fn altered(&mut self, at: RunTime, fields: Fields<'_>, stamp: Option<Stamp>) -> Arrival {
        self.anomalies.altered.add(Occurrence { at, stamp });
        stamp.map_or(Arrival::Altered, |stamp| self.arrive(at, fields, stamp))
    }

    /// Records an event that cannot be read.
    pub fn unreadable(&mut self, at: RunTime, fields: Fields<'_>, why: Unreadable) -> Arrival {
        match why {
            Unreadable::Foreign => self.foreign(at),
            Unreadable::Altered(stamp) => self.altered(at, fields, stamp),
        }
    }

    /// Records an event without a stamp.
    pub fn foreign(&mut self, at: RunTime) -> Arrival {
        self.anomalies.foreign.add(Occurrence { at, stamp: None });
        Arrival::Foreign
    }

    /// Records an event by its stamp and the fields beside it. Not for control events of the node.
    pub fn arrive<'a>(&mut self, at: RunTime, fields: impl Into<Fields<'a>>, stamp: Stamp) -> Arrival {
        let Fields { id, event } = fields.into();
        let occurrence = Occurrence { at, stamp: Some(stamp) };
        if stamp.run != self.run {
            self.anomalies.other_run.add(occurrence);
            return Arrival::OtherRun;
        }
        let Ok(own) = self.addresses.binary_search(&stamp.address) else {
            self.anomalies.leaked.add(occurrence);
            return Arrival::Leaked;
        };
        if stamp.publisher == PublisherId::SENTINEL {
            if !std::mem::replace(&mut self.sentinels[own], true)
                && let Some(recheck) = &mut self.recheck
            {
                recheck.sentinels += 1;
            }
            return Arrival::Sentinel(stamp.address);
        }
        if let Some(id) = id {
            self.sample_id(at, id, stamp);
        }
        let arrival = self.account(at, stamp);
        if let Some(id) = id.filter(|_| !matches!(arrival, Arrival::Repeated { in_session: true }))
            && !self.id_order.follows(self.sessions.len(), stamp.address, id)
        {
            self.anomalies.fallen.add(occurrence);
        }
        if let (Some(event), Arrival::New { .. }) = (event, &arrival) {
            self.anomalies.types.add(event, occurrence, &stamp);
        }
        if let (Some(recheck), Arrival::New { .. }) = (&mut self.recheck, &arrival) {
            recheck.came.add(occurrence);
        }
        arrival
    }

    fn account(&mut self, at: RunTime, stamp: Stamp) -> Arrival {
        let number = self.sessions.len();
        let session = self.sessions.last_mut();
        let resumed = session.as_ref().is_some_and(|session| session.resumed);
        let confirmed = session.as_ref().map_or(RunTime::ZERO, |session| session.confirmed);
        let series = find_or_add(&mut self.series, stamp, self.last_gap);
        let in_session_before = series.enter_session(number);
        let had = series.seen.max().unwrap_or(0);
        if !series.in_session.insert(stamp.seq) {
            self.anomalies.in_session.add(Occurrence { at, stamp: Some(stamp) });
            return Arrival::Repeated { in_session: true };
        }
        if !series.seen.insert(stamp.seq) {
            self.anomalies.across_reconnect.add(Occurrence { at, stamp: Some(stamp) });
            return Arrival::Repeated { in_session: false };
        }
        series.close_gap(stamp.seq);
        let (publisher, address, seq) = (stamp.publisher, stamp.address, stamp.seq);
        if let Some(ahead) = in_session_before.filter(|ahead| *ahead > seq) {
            self.anomalies.add_inversion(Inversion { publisher, address, seq, ahead, at });
        } else if resumed && !series.advanced && seq > had + 1 {
            let gap = SeqGap { publisher, address, after: had, before: seq, confirmed, session: number };
            self.anomalies.add_seq_gap(gap);
        }
        series.advanced = true;
        let recovered_after = self.note_first_new(at);
        let path = if stamp.sent < confirmed { Path::Replay } else { Path::Live };
        if let Some(session) = self.sessions.last_mut().filter(|_| path == Path::Replay) {
            session.replayed += 1;
            session.drained = Some(at);
        }
        Arrival::New { stamp, path, recovered_after }
    }

    /// Records the first new event of a session; returns the time since the end of the session before.
    fn note_first_new(&mut self, at: RunTime) -> Option<Duration> {
        let [.., before, session] = self.sessions.as_mut_slice() else { return None };
        if session.first_new.is_some() {
            return None;
        }
        session.first_new = Some(at);
        Some(at.after(before.ended))
    }

    fn sample_id(&mut self, at: RunTime, id: &str, stamp: Stamp) {
        let sample =
            IdSample { id: hash(id), publisher: stamp.publisher, address: stamp.address, seq: stamp.seq };
        let last = self.last_id.replace(sample);
        if last.is_some_and(|last| last.id == sample.id && last != sample) {
            self.anomalies.inconsistent.add(Occurrence { at, stamp: Some(stamp) });
        } else if (sample.id & self.id_mask == 0
            || self.remembers_events && sample.hash_of_event() & self.id_mask == 0)
            && self.anomalies.ids.len() < self.anomalies.ids_max
        {
            let began = self.sessions.last().map_or(RunTime::ZERO, |session| session.confirmed);
            self.anomalies.ids.add(sample, (stamp.sent >= began).then_some(at));
        }
    }

    /// Records that the client will not connect again.
    pub fn finish(&mut self, at: RunTime, ending: Ending) {
        self.finished = Some((at, ending));
    }

    /// How many of these addresses are its own and lack their sentinel.
    #[must_use]
    pub fn sentinels_missing(&self, published: &[AddressId]) -> usize {
        let is_missing = |address: &&AddressId| {
            self.addresses.binary_search(address).is_ok_and(|own| !self.sentinels[own])
        };
        published.iter().filter(is_missing).count()
    }

    /// Bytes of memory that the ledger takes, with its heap but not the ids that it shares.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let anomalies = &self.anomalies;
        let series: usize = self.series.iter().map(SeriesLedger::heap_bytes).sum();
        size_of::<Self>()
            + self.failed_attempts.as_ref().map_or(0, |_| size_of::<FailedAttempts>())
            + size_of_val(&*self.addresses)
            + size_of_val(&*self.sentinels)
            + self.series.capacity() * size_of::<SeriesLedger>()
            + series
            + self.sessions.capacity() * size_of::<Session>()
            + anomalies.inversions.capacity() * size_of::<Inversion>()
            + anomalies.seq_gaps.capacity() * size_of::<SeqGap>()
            + anomalies.ids.heap_bytes()
            + anomalies.types.heap_bytes()
            + self.id_order.heap_bytes()
    }

    /// The client that owns this ledger.
    #[must_use]
    pub fn id(&self) -> SubscriberId {
        self.id
    }

    pub(crate) fn series_ledger(&self, publisher: PublisherId, address: AddressId) -> Option<&SeriesLedger> {
        self.series.iter().find(|series| series.publisher == publisher && series.address == address)
    }

    pub(crate) fn series(&self) -> &[SeriesLedger] {
        &self.series
    }

    pub(crate) fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    pub(crate) fn has_sentinel(&self, address: AddressId) -> bool {
        self.addresses.binary_search(&address).is_ok_and(|own| self.sentinels[own])
    }

    pub(crate) fn addresses(&self) -> &[AddressId] {
        &self.addresses
    }

    pub(crate) fn anomalies(&self) -> &Anomalies {
        &self.anomalies
    }

    pub(crate) fn last_gap(&self) -> Option<RunTime> {
        self.last_gap
    }

    pub(crate) fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Histories of the log that ids were of: several, where one server took the place of another.
    pub(crate) fn epochs(&self) -> &[u64] {
        &self.id_order.epochs
    }

    pub(crate) fn recheck(&self) -> Option<&Recheck> {
        self.recheck.as_deref()
    }

    pub(crate) fn ending(&self) -> Option<(RunTime, Ending)> {
        self.finished
    }
}

/// The ledger of the series of a stamp. A client has a few dozen at the most, and the first ones are used most.
fn find_or_add(all: &mut Vec<SeriesLedger>, stamp: Stamp, last_gap: Option<RunTime>) -> &mut SeriesLedger {
    let found =
        all.iter().position(|series| series.publisher == stamp.publisher && series.address == stamp.address);
    let index = found.unwrap_or_else(|| {
        let mut series = SeriesLedger::new(stamp.publisher, stamp.address);
        if let Some(at) = last_gap {
            series.declare_gap(at);
        }
        // Grows by one, not to twice the size: ten thousand clients have such a list.
        all.reserve_exact(1);
        all.push(series);
        all.len() - 1
    });
    &mut all[index]
}
