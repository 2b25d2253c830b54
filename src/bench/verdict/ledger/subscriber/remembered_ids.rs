//! The SSE ids that clients remember, to find ids that were used for two events. Clients of one log see the same ids in
//! the same order, so many share a table that has each id once, and a client keeps one byte for each: how far its place is
//! from the place before. Read [`RememberedIds`] first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::anomalies::IdSample;
use crate::bench::metrics::time::RunTime;

/// Ids that the index of a table finds at most: more than are under way to clients at any time.
const INDEXED_MAX: usize = 4_096;
const INDEXED_MIN: usize = 64;

/// The ids of many clients. Clones share the table.
#[derive(Debug, Clone, Default)]
pub struct IdTable(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    entries: Vec<Entry>,
    /// The place of the newest entry of each hash: an id that comes late may get a second entry, which says the same.
    index: Vec<u32>,
}

/// An id, and when clients got it live.
#[derive(Debug, Clone, Copy)]
struct Entry {
    sample: IdSample,
    /// [`RunTime::NEVER`]: nobody did.
    first: RunTime,
    /// From the first arrival to the last.
    spread_micros: u32,
    is_shared: bool,
}

/// The first and last arrival of an event among the clients of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) first: RunTime,
    pub(crate) last: RunTime,
    /// Whether there were two arrivals.
    pub(crate) is_shared: bool,
}

/// The ids that one client remembers, in the order of their arrival.
#[derive(Debug, Clone, Default)]
pub(crate) struct RememberedIds {
    table: IdTable,
    /// The difference of each place to the one before, as a number of variable length.
    steps: Vec<u8>,
    last: Option<u32>,
    count: u32,
}

impl Span {
    /// Adds the arrivals at other clients.
    pub(crate) fn add(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.is_shared = true;
    }
}

impl IdTable {
    /// A table of these ids, in this order.
    pub(super) fn of(samples: Vec<IdSample>) -> Self {
        let entries = samples.into_iter().map(Entry::new).collect();
        Self(Arc::new(Mutex::new(Table { entries, index: Vec::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Every change is complete, also before a panic of another client.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether both are the same table.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The ids that somebody got live, and when.
    pub(crate) fn spans(&self) -> Vec<(IdSample, Span)> {
        let table = self.lock();
        let live = table.entries.iter().filter(|entry| entry.first != RunTime::NEVER);
        live.map(|entry| (entry.sample, entry.span())).collect()
    }
}

impl Table {
    /// The place of an id, which gets one if it has none. `next`: where it probably is.
    fn place(&mut self, sample: IdSample, next: u32) -> u32 {
        if self.is_at(next, sample) {
            return next;
        }
        let known = self.index.get(self.slot(&sample)).copied();
        if let Some(place) = known.filter(|place| self.is_at(*place, sample)) {
            return place;
        }
        let place = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(self.entries.len() / 8 + 16);
        }
        self.entries.push(Entry::new(sample));
        self.enter(place);
        place
    }

    fn is_at(&self, place: u32, sample: IdSample) -> bool {
        self.entries.get(place as usize).is_some_and(|entry| entry.sample == sample)
    }

    fn slot(&self, sample: &IdSample) -> usize {
        let bits = usize::try_from(sample.id ^ sample.hash_of_event()).unwrap_or(0);
        bits & self.index.len().wrapping_sub(1)
    }

    fn enter(&mut self, place: u32) {
        if self.entries.len() > self.index.len() && self.index.len() < INDEXED_MAX {
            self.index = vec![u32::MAX; (2 * self.index.len()).max(INDEXED_MIN)];
            let newest = self.entries.len().saturating_sub(self.index.len())..self.entries.len();
            for older in newest {
                self.point_to(u32::try_from(older).unwrap_or(u32::MAX));
            }
        }
        self.point_to(place);
    }

    fn point_to(&mut self, place: u32) {
        if let Some(entry) = self.entries.get(place as usize) {
            let slot = self.slot(&entry.sample);
            self.index[slot] = place;
        }
    }
}

impl Entry {
    fn new(sample: IdSample) -> Self {
        Self { sample, first: RunTime::NEVER, spread_micros: 0, is_shared: false }
    }

    fn span(&self) -> Span {
        let last = self.first.plus(Duration::from_micros(self.spread_micros.into()));
        Span { first: self.first, last, is_shared: self.is_shared }
    }

    fn arrived(&mut self, at: RunTime) {
        if self.first == RunTime::NEVER {
            self.first = at;
            return;
        }
        let last = self.span().last.max(at);
        self.first = self.first.min(at);
        self.spread_micros = u32::try_from(last.after(self.first).as_micros()).unwrap_or(u32::MAX);
        self.is_shared = true;
    }
}

impl RememberedIds {
    /// None yet; those to come are entered into a table.
    pub(super) fn in_table(table: &IdTable) -> Self {
        Self { table: table.clone(), ..Self::default() }
    }

    pub(crate) fn table(&self) -> &IdTable {
        &self.table
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    /// Remembers an id. `live`: when it arrived, unless it was replayed.
    pub(super) fn add(&mut self, sample: IdSample, live: Option<RunTime>) {
        let mut table = self.table.lock();
        let place = table.place(sample, self.last.map_or(0, |last| last.wrapping_add(1)));
        if let (Some(at), Some(entry)) = (live, table.entries.get_mut(place as usize)) {
            entry.arrived(at);
        }
        drop(table);
        self.add_place(place);
    }

    /// Remembers the id at a place of the table. Returns whether there is one.
    pub(super) fn add_known(&mut self, place: i64) -> bool {
        let known =
            u32::try_from(place).ok().filter(|place| (*place as usize) < self.table.lock().entries.len());
        known.is_some_and(|place| {
            self.add_place(place);
            true
        })
    }

    fn add_place(&mut self, place: u32) {
        let before = self.last.replace(place).map_or(-1, i64::from);
        let step = i64::from(place) - before;
        // Small numbers of either sign are small numbers without one.
        let mut rest = ((step << 1) ^ (step >> 63)).cast_unsigned();
        // Thousands of clients have such a list: it does not grow to twice its size.
        if self.steps.capacity() - self.steps.len() < 10 {
            self.steps.reserve_exact(self.steps.len() / 4 + 32);
        }
        while rest >= 0x80 {
            self.steps.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.steps.push((rest & 0x7f) as u8);
        self.count += 1;
    }

    /// The ids, in the order of their arrival.
    pub(crate) fn samples(&self) -> Vec<IdSample> {
        let table = self.table.lock();
        self.places().filter_map(|place| Some(table.entries.get(place)?.sample)).collect()
    }

    fn places(&self) -> impl Iterator<Item = usize> + '_ {
        let (mut bytes, mut place) = (self.steps.iter(), -1_i64);
        std::iter::from_fn(move || {
            let (mut zigzag, mut shift) = (0_u64, 0);
            loop {
                let byte = *bytes.next()?;
                zigzag |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            place += (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
            usize::try_from(place).ok()
        })
    }

    /// Bytes allocated on the heap, without the table, which is shared.
    pub(super) fn heap_bytes(&self) -> usize {
        self.steps.capacity()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bench::ids::{AddressId, PublisherId};

    fn sample(number: u64) -> IdSample {
        // As the ids of a log: the hash says nothing of the order.
        let id = crate::runtime::splitmix64_finalize(number);
        IdSample { id, publisher: PublisherId(0), address: AddressId(1), seq: number }
    }

    #[test]
    fn clients_of_one_log_take_a_byte_for_an_id() {
        let table = IdTable::default();
        let mut clients: Vec<_> = (0..50).map(|_| RememberedIds::in_table(&table)).collect();
        for number in 0..300 {
            clients.iter_mut().for_each(|client| client.add(sample(number), None));
        }
        let expected: Vec<_> = (0..300).map(sample).collect();
        assert!(clients.iter().all(|client| client.samples() == expected && client.len() == 300));
        assert_eq!(table.lock().entries.len(), 300);
        let bytes = clients[7].heap_bytes();
        assert!(bytes <= 300 * 5 / 4 + 32, "{bytes} bytes for 300 ids");
    }

    #[test]
    fn an_id_that_is_found_no_more_is_entered_again_and_says_the_same() {
        let table = IdTable::default();
        let (mut early, mut late) = (RememberedIds::in_table(&table), RememberedIds::in_table(&table));
        let many = 3 * INDEXED_MAX as u64;
        (0..many).for_each(|number| early.add(sample(number), None));
        late.add(sample(5), None);
        late.add(sample(many - 1), None);
        assert_eq!(late.samples(), [sample(5), sample(many - 1)]);
        assert_eq!(early.samples().len(), 3 * INDEXED_MAX);
    }

    #[test]
    fn the_first_and_the_last_live_arrival_are_kept() {
        let table = IdTable::default();
        let at = |ms| RunTime::from(Duration::from_millis(ms));
        let mut clients: Vec<_> = (0..4).map(|_| RememberedIds::in_table(&table)).collect();
        for (client, live) in clients.iter_mut().zip([Some(at(7)), None, Some(at(3)), Some(at(5))]) {
            client.add(sample(1), live);
        }
        clients[0].add(sample(2), None);
        let spans = table.spans();
        let [(of, span)] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!((*of, span.first, span.last, span.is_shared), (sample(1), at(3), at(7), true));
    }

    proptest! {
        #[test]
        fn clients_remember_what_they_got_in_their_own_order(got in prop::collection::vec((0usize..3, 0u64..500), 0..2_000)) {
            let table = IdTable::default();
            let mut clients: Vec<_> = (0..3).map(|_| RememberedIds::in_table(&table)).collect();
            let mut expected = vec![Vec::new(); 3];
            for (client, number) in got {
                clients[client].add(sample(number), None);
                expected[client].push(sample(number));
            }
            for (client, expected) in clients.iter().zip(expected) {
                prop_assert_eq!(client.samples(), expected);
            }
        }
    }
}
