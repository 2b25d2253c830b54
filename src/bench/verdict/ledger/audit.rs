//! The audit read: at the end of the run, new clients read the log of each address from its oldest event. Shows what the
//! cluster still has. Read [`AuditLedger`] first.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::runs::Runs;
use crate::bench::ids::{AddressId, PublisherId, RunId};
use crate::bench::stamp::{Stamp, Unreadable};

/// The ledger of the audit read. The ledgers of several readers can be merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLedger {
    run: RunId,
    series: BTreeMap<(PublisherId, AddressId), Runs>,
    read_to_the_end: BTreeSet<AddressId>,
    gaps: u64,
}

impl AuditLedger {
    /// An empty ledger.
    #[must_use]
    pub fn new(run: RunId) -> Self {
        Self { run, series: BTreeMap::new(), read_to_the_end: BTreeSet::new(), gaps: 0 }
    }

    /// Records an event by its `data:`. Returns the address of a sentinel: that address is read to its end.
    pub fn event(&mut self, data: &str) -> Option<AddressId> {
        let stamp = match Stamp::decode(data) {
            Ok(stamp) | Err(Unreadable::Altered(Some(stamp))) => stamp,
            Err(Unreadable::Foreign | Unreadable::Altered(None)) => return None,
        };
        if stamp.run != self.run {
            return None;
        }
        self.arrive(stamp)
    }

    /// Records an event by its stamp, as [`Self::event`] does.
    pub fn arrive(&mut self, stamp: Stamp) -> Option<AddressId> {
        if stamp.publisher == PublisherId::SENTINEL {
            self.read_to_the_end.insert(stamp.address);
            return Some(stamp.address);
        }
        self.series.entry((stamp.publisher, stamp.address)).or_default().insert(stamp.seq);
        None
    }

    /// Records a `GAP`: the log does not begin before the run.
    pub fn gap(&mut self) {
        self.gaps += 1;
    }

    /// Adds another reader's ledger.
    pub fn merge(&mut self, other: Self) {
        self.gaps += other.gaps;
        self.read_to_the_end.extend(other.read_to_the_end);
        for (key, runs) in other.series {
            let mine = self.series.entry(key).or_default();
            for (first, last) in runs.iter() {
                (first..=last).for_each(|seq| _ = mine.insert(seq));
            }
        }
    }

    /// How many of these addresses are not read to their end yet.
    #[must_use]
    pub fn unread(&self, addresses: &[AddressId]) -> usize {
        addresses.iter().filter(|address| !self.read_to_the_end.contains(address)).count()
    }

    pub(super) fn has(&self, publisher: PublisherId, address: AddressId, seq: u64) -> bool {
        self.series.get(&(publisher, address)).is_some_and(|runs| runs.contains(seq))
    }

    pub(super) fn oldest(&self, publisher: PublisherId, address: AddressId) -> Option<u64> {
        self.series.get(&(publisher, address)).and_then(Runs::min)
    }

    pub(super) fn is_read_to_the_end(&self, address: AddressId) -> bool {
        self.read_to_the_end.contains(&address)
    }
}
