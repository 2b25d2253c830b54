//! What one virtual client saw. Told of every event as it arrives; answers what it was, so that the client can
//! record its latency. Bounded: runs instead of numbers, and the first of each anomaly instead of all.
//! Read [`SubscriberLedger`] first.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::away::Away;
use super::sightings::{Occurrence, Sightings};
use crate::bench::ids::{AddressId, NodeIndex, PublisherId, RunId, SubscriberId};
use crate::bench::metrics::tags::Path;
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::{Plan, REMEMBERED_IDS};
use crate::bench::stamp::{Foreign, Stamp};
use crate::bench::verdict::ledger::arrival::{Arrival, Ending};
use crate::bench::verdict::ledger::runs::Runs;

/// Inversions that all clients together keep until they can be judged, each its share. Those of a healthy server are
/// rare: only publishes that were in flight together.
const INVERSIONS_OF_ALL: usize = 1_000_000;
const INVERSIONS: RangeInclusive<usize> = 16..=4_096;
/// Resumed sessions that skipped something, until they can be judged.
const SKIPS_MAX: usize = 256;
/// Declared gaps of one series. A server that declares more has its later losses counted as lost.
const GAPS_MAX: usize = 1_024;
/// Ids that all clients together remember, to find one that stands for two events: twice as many as the plan expects
/// to be sampled.
const WITNESSES_OF_ALL: usize = 2 * REMEMBERED_IDS;
const WITNESSES: RangeInclusive<usize> = 64..=1_000_000;

/// The book of one virtual client.
#[derive(Debug, Clone)]
pub struct SubscriberLedger {
    pub(super) id: SubscriberId,
    pub(super) run: RunId,
    pub(super) addresses: Box<[AddressId]>,
    /// Beside `addresses`: whose sentinel has come.
    pub(super) sentinels: Box<[bool]>,
    pub(super) series: Vec<SeriesBook>,
    pub(super) sessions: Vec<Session>,
    /// `None`: it has a session, or did not try yet to get one.
    pub(super) away: Option<Box<Away>>,
    pub(super) finished: Option<(RunTime, Ending)>,
    pub(super) last_gap: Option<RunTime>,
    pub(super) gaps: u64,
    /// Ids are remembered when these bits of their hash are zero: the same ids at every client.
    pub(super) id_mask: u64,
    pub(super) last_id: Option<IdSample>,
    pub(super) anomalies: Anomalies,
}

/// What arrived of one publisher and address.
#[derive(Debug, Clone)]
pub(in crate::bench::verdict::ledger) struct SeriesBook {
    pub(in crate::bench::verdict::ledger) publisher: PublisherId,
    pub(in crate::bench::verdict::ledger) address: AddressId,
    pub(in crate::bench::verdict::ledger) seen: Runs,
    /// The part that arrived in session number `session`.
    pub(super) in_session: Runs,
    pub(super) session: usize,
    /// Whether this session has brought something new.
    pub(super) went_on: bool,
    pub(in crate::bench::verdict::ledger) gaps: Vec<DeclaredGap>,
}

/// A `GAP` as one series saw it: it covers numbers above `after` and below `before`, started up to `at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bench::verdict::ledger) struct DeclaredGap {
    pub(in crate::bench::verdict::ledger) after: u64,
    pub(in crate::bench::verdict::ledger) before: u64,
    pub(in crate::bench::verdict::ledger) at: RunTime,
}

/// From a confirmed subscription to the end of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bench::verdict::ledger) struct Session {
    pub(in crate::bench::verdict::ledger) confirmed: RunTime,
    /// [`RunTime::NEVER`] while it is open, and when it was open to the end.
    pub(in crate::bench::verdict::ledger) ended: RunTime,
    pub(in crate::bench::verdict::ledger) first_new: Option<RunTime>,
    /// Who served it, where that is known.
    pub(in crate::bench::verdict::ledger) node: Option<NodeIndex>,
    pub(in crate::bench::verdict::ledger) resumed: bool,
    /// New events that had been sent before it began.
    pub(in crate::bench::verdict::ledger) replayed: u64,
    /// When the last of them came.
    pub(in crate::bench::verdict::ledger) drained: Option<RunTime>,
}

/// What went wrong, as far as the client can tell alone.
#[derive(Debug, Clone, Default)]
pub(in crate::bench::verdict::ledger) struct Anomalies {
    pub(in crate::bench::verdict::ledger) in_session: Sightings,
    pub(in crate::bench::verdict::ledger) across_reconnect: Sightings,
    pub(in crate::bench::verdict::ledger) leaked: Sightings,
    pub(in crate::bench::verdict::ledger) other_run: Sightings,
    pub(in crate::bench::verdict::ledger) foreign: Sightings,
    pub(in crate::bench::verdict::ledger) inconsistent: Sightings,
    pub(in crate::bench::verdict::ledger) inversions: Vec<Inversion>,
    pub(in crate::bench::verdict::ledger) inversions_dropped: u64,
    pub(in crate::bench::verdict::ledger) skips: Vec<SeqGap>,
    pub(in crate::bench::verdict::ledger) witnesses: Vec<IdSample>,
    /// Beside them: when they came live, else [`RunTime::NEVER`]. Not stored: measured when the swarm ends.
    pub(in crate::bench::verdict::ledger) witnessed: Vec<RunTime>,
    pub(super) inversions_max: usize,
    pub(super) witnesses_max: usize,
}

/// Within a session, `seq` arrived after `ahead` of the same series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bench::verdict::ledger) struct Inversion {
    pub(in crate::bench::verdict::ledger) publisher: PublisherId,
    pub(in crate::bench::verdict::ledger) address: AddressId,
    pub(in crate::bench::verdict::ledger) seq: u64,
    pub(in crate::bench::verdict::ledger) ahead: u64,
    pub(in crate::bench::verdict::ledger) at: RunTime,
}

/// A resumed session went on with `before` where `after` was the last one that the client had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bench::verdict::ledger) struct SeqGap {
    pub(in crate::bench::verdict::ledger) publisher: PublisherId,
    pub(in crate::bench::verdict::ledger) address: AddressId,
    pub(in crate::bench::verdict::ledger) after: u64,
    pub(in crate::bench::verdict::ledger) before: u64,
    pub(in crate::bench::verdict::ledger) confirmed: RunTime,
    pub(in crate::bench::verdict::ledger) session: usize,
}

/// An SSE id and what it stood for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(in crate::bench::verdict::ledger) struct IdSample {
    pub(in crate::bench::verdict::ledger) id: u64,
    pub(in crate::bench::verdict::ledger) publisher: PublisherId,
    pub(in crate::bench::verdict::ledger) address: AddressId,
    pub(in crate::bench::verdict::ledger) seq: u64,
}

impl SubscriberLedger {
    /// An empty book for a client of the plan.
    ///
    /// # Panics
    /// When the plan has no such client.
    #[must_use]
    pub fn new(plan: &Plan, id: SubscriberId) -> Self {
        let subscriber = plan.subscriber(id).expect("the id comes from this plan");
        Self {
            id,
            run: plan.run,
            addresses: subscriber.addresses.clone(),
            sentinels: vec![false; subscriber.addresses.len()].into_boxed_slice(),
            series: Vec::new(),
            sessions: Vec::new(),
            away: None,
            finished: None,
            last_gap: None,
            gaps: 0,
            id_mask: plan.id_mask,
            last_id: None,
            anomalies: Anomalies::new(plan.subscribers.len()),
        }
    }

    /// A session begins: the `CONNECTION` event came. `resumed`: the client had sent a cursor.
    pub fn confirmed(&mut self, at: RunTime, resumed: bool) {
        self.end_session(at);
        self.away = None;
        self.sessions.push(Session {
            confirmed: at,
            ended: RunTime::NEVER,
            first_new: None,
            node: None,
            resumed,
            replayed: 0,
            drained: None,
        });
    }

    /// Which node serves the session that has just begun.
    pub fn served_by(&mut self, node: NodeIndex) {
        if let Some(session) = self.sessions.last_mut() {
            session.node = Some(node);
        }
    }

    /// The session is over: the stream ended or broke. Not for the end of the client itself, see [`Self::finish`].
    pub fn disconnected(&mut self, at: RunTime) {
        self.end_session(at);
    }

    fn end_session(&mut self, at: RunTime) {
        if let Some(session) = self.sessions.last_mut().filter(|session| session.ended == RunTime::NEVER) {
            session.ended = at;
        }
    }

    /// The server said that something cannot be replayed.
    pub fn gap(&mut self, at: RunTime) {
        self.last_gap = Some(at);
        self.gaps += 1;
        for series in &mut self.series {
            series.declare_gap(at);
        }
    }

    /// An event with its `id:` and `data:`; not for the node's own control events.
    pub fn event(&mut self, at: RunTime, id: Option<&str>, data: &str) -> Arrival {
        match Stamp::decode(data) {
            Ok(stamp) => self.arrive(at, id, stamp),
            Err(Foreign) => self.foreign(at),
        }
    }

    /// The same for one that no run published.
    pub fn foreign(&mut self, at: RunTime) -> Arrival {
        self.anomalies.foreign.add(Occurrence { at, stamp: None });
        Arrival::Foreign
    }

    /// The same for an event whose stamp is known already.
    pub fn arrive(&mut self, at: RunTime, id: Option<&str>, stamp: Stamp) -> Arrival {
        let sighting = Occurrence { at, stamp: Some(stamp) };
        if stamp.run != self.run {
            self.anomalies.other_run.add(sighting);
            return Arrival::OtherRun;
        }
        let Ok(own) = self.addresses.binary_search(&stamp.address) else {
            self.anomalies.leaked.add(sighting);
            return Arrival::Leaked;
        };
        if stamp.publisher == PublisherId::SENTINEL {
            self.sentinels[own] = true;
            return Arrival::Sentinel(stamp.address);
        }
        if let Some(id) = id {
            self.witness(at, id, stamp);
        }
        self.account(at, stamp)
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
            self.anomalies.invert(Inversion { publisher, address, seq, ahead, at });
        } else if resumed && !series.went_on && seq > had + 1 {
            let skip = SeqGap { publisher, address, after: had, before: seq, confirmed, session: number };
            self.anomalies.skip(skip);
        }
        series.went_on = true;
        let recovered_after = self.note_first_new(at);
        let path = if stamp.sent < confirmed { Path::Replay } else { Path::Live };
        if let Some(session) = self.sessions.last_mut().filter(|_| path == Path::Replay) {
            session.replayed += 1;
            session.drained = Some(at);
        }
        Arrival::New { stamp, path, recovered_after }
    }

    /// The first new event of a session that follows a lost one.
    fn note_first_new(&mut self, at: RunTime) -> Option<Duration> {
        let [.., before, session] = self.sessions.as_mut_slice() else { return None };
        if session.first_new.is_some() {
            return None;
        }
        session.first_new = Some(at);
        Some(at.after(before.ended))
    }

    fn witness(&mut self, at: RunTime, id: &str, stamp: Stamp) {
        let witness =
            IdSample { id: hash(id), publisher: stamp.publisher, address: stamp.address, seq: stamp.seq };
        let last = self.last_id.replace(witness);
        if last.is_some_and(|last| last.id == witness.id && last != witness) {
            self.anomalies.inconsistent.add(Occurrence { at, stamp: Some(stamp) });
        } else if witness.id & self.id_mask == 0
            && self.anomalies.witnesses.len() < self.anomalies.witnesses_max
        {
            self.anomalies.witnesses.push(witness);
            let began = self.sessions.last().map_or(RunTime::ZERO, |session| session.confirmed);
            self.anomalies.witnessed.push(if stamp.sent < began { RunTime::NEVER } else { at });
        }
    }

    /// The client connects no more.
    pub fn finish(&mut self, at: RunTime, ending: Ending) {
        self.finished = Some((at, ending));
    }

    /// Of these addresses, how many are its own without their sentinel having come.
    #[must_use]
    pub fn sentinels_missing(&self, published: &[AddressId]) -> usize {
        let is_missing = |address: &&AddressId| {
            self.addresses.binary_search(address).is_ok_and(|own| !self.sentinels[own])
        };
        published.iter().filter(is_missing).count()
    }

    /// Bytes that the book takes, on the heap and off it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let anomalies = &self.anomalies;
        let series: usize = self.series.iter().map(SeriesBook::heap_bytes).sum();
        size_of::<Self>()
            + self.away.as_ref().map_or(0, |_| size_of::<Away>())
            + size_of_val(&*self.addresses)
            + size_of_val(&*self.sentinels)
            + self.series.capacity() * size_of::<SeriesBook>()
            + series
            + self.sessions.capacity() * size_of::<Session>()
            + anomalies.inversions.capacity() * size_of::<Inversion>()
            + anomalies.skips.capacity() * size_of::<SeqGap>()
            + anomalies.witnesses.capacity() * size_of::<IdSample>()
            + anomalies.witnessed.capacity() * size_of::<RunTime>()
    }

    /// Whose book it is.
    #[must_use]
    pub fn id(&self) -> SubscriberId {
        self.id
    }

    pub(in crate::bench::verdict::ledger) fn book(
        &self,
        publisher: PublisherId,
        address: AddressId,
    ) -> Option<&SeriesBook> {
        self.series.iter().find(|series| series.publisher == publisher && series.address == address)
    }

    pub(in crate::bench::verdict::ledger) fn books(&self) -> &[SeriesBook] {
        &self.series
    }

    pub(in crate::bench::verdict::ledger) fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    pub(in crate::bench::verdict::ledger) fn has_sentinel(&self, address: AddressId) -> bool {
        self.addresses.binary_search(&address).is_ok_and(|own| self.sentinels[own])
    }

    pub(in crate::bench::verdict::ledger) fn addresses(&self) -> &[AddressId] {
        &self.addresses
    }

    pub(in crate::bench::verdict::ledger) fn anomalies(&self) -> &Anomalies {
        &self.anomalies
    }

    pub(in crate::bench::verdict::ledger) fn last_gap(&self) -> Option<RunTime> {
        self.last_gap
    }

    pub(in crate::bench::verdict::ledger) fn gaps(&self) -> u64 {
        self.gaps
    }

    pub(in crate::bench::verdict::ledger) fn ending(&self) -> Option<(RunTime, Ending)> {
        self.finished
    }
}

/// The book of the stamp's series. A client has a few dozen at the most, and mostly hits the first ones.
fn find_or_add(all: &mut Vec<SeriesBook>, stamp: Stamp, last_gap: Option<RunTime>) -> &mut SeriesBook {
    let found =
        all.iter().position(|series| series.publisher == stamp.publisher && series.address == stamp.address);
    let index = found.unwrap_or_else(|| {
        let mut series = SeriesBook::new(stamp.publisher, stamp.address);
        if let Some(at) = last_gap {
            series.declare_gap(at);
        }
        // One more, not twice as many: ten thousand clients have such a list.
        all.reserve_exact(1);
        all.push(series);
        all.len() - 1
    });
    &mut all[index]
}

impl SeriesBook {
    /// Nothing came yet.
    pub(in crate::bench::verdict::ledger) fn new(publisher: PublisherId, address: AddressId) -> Self {
        Self {
            publisher,
            address,
            seen: Runs::default(),
            in_session: Runs::default(),
            session: 0,
            gaps: Vec::new(),
            went_on: false,
        }
    }

    /// Begins to compare anew where a session begins; returns the highest number of the session so far.
    fn enter_session(&mut self, session: usize) -> Option<u64> {
        if self.session != session {
            self.session = session;
            self.in_session = Runs::default();
            self.went_on = false;
        }
        self.in_session.max()
    }

    fn declare_gap(&mut self, at: RunTime) {
        let after = self.seen.max().unwrap_or(0);
        if let Some(last) = self.gaps.last_mut()
            && last.before == u64::MAX
            && last.after == after
        {
            last.at = at;
        } else if self.gaps.len() < GAPS_MAX {
            self.gaps.push(DeclaredGap { after, before: u64::MAX, at });
        }
    }

    fn close_gap(&mut self, seq: u64) {
        if let Some(open) = self.gaps.last_mut().filter(|gap| gap.before == u64::MAX && seq > gap.after) {
            open.before = seq;
        }
    }

    fn heap_bytes(&self) -> usize {
        self.seen.heap_bytes()
            + self.in_session.heap_bytes()
            + self.gaps.capacity() * size_of::<DeclaredGap>()
    }
}

impl Anomalies {
    /// Nothing yet, and no more than one client's share of what can be kept.
    fn new(clients: usize) -> Self {
        let share = |of_all: usize, allowed: &RangeInclusive<usize>| {
            (of_all / clients.max(1)).clamp(*allowed.start(), *allowed.end())
        };
        Self {
            inversions_max: share(INVERSIONS_OF_ALL, &INVERSIONS),
            witnesses_max: share(WITNESSES_OF_ALL, &WITNESSES),
            ..Self::default()
        }
    }

    fn invert(&mut self, inversion: Inversion) {
        if self.inversions.len() < self.inversions_max {
            self.inversions.push(inversion);
        } else {
            self.inversions_dropped += 1;
        }
    }

    fn skip(&mut self, skip: SeqGap) {
        if self.skips.len() < SKIPS_MAX {
            self.skips.push(skip);
        }
    }
}

/// FNV-1a, its bits mixed: ids of one log differ only in their last characters.
fn hash(id: &str) -> u64 {
    let fnv = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}
