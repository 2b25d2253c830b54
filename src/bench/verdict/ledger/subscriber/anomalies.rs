//! Anomalies that one client can detect without the publishers' ledgers, and the ids that it remembers for a comparison
//! with other clients. Bounded: the first examples of each kind. Read [`Anomalies`] first.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::event_types::EventTypes;
use super::remembered_ids::{IdTable, RememberedIds};
use crate::bench::ids::{AddressId, PublisherId};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::REMEMBERED_IDS;
use crate::bench::stamp::Stamp;
use crate::runtime::fnv1a;

/// Inversions that all clients together keep until they are judged; each client has its share. At a healthy server they are
/// publishes that were in flight at the same time: few, but for those that waited for an outage to end. Full, they take 128 MB.
const INVERSIONS_OF_ALL: usize = 4_000_000;
const INVERSIONS: RangeInclusive<usize> = 16..=4_096;
/// Sequence gaps of resumed sessions that a client keeps until they are judged.
const SEQ_GAPS_MAX: usize = 256;
/// Ids that all clients together remember, to find ids that were used for two events: twice as many as the plan expects.
const ID_SAMPLES_OF_ALL: usize = 2 * REMEMBERED_IDS;
const ID_SAMPLES: RangeInclusive<usize> = 64..=1_000_000;
/// Examples that one client keeps of each kind of anomaly.
const EXAMPLES_MAX: usize = 4;

/// The anomalies of one client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Anomalies {
    pub(crate) in_session: Occurrences,
    pub(crate) across_reconnect: Occurrences,
    pub(crate) leaked: Occurrences,
    pub(crate) other_run: Occurrences,
    pub(crate) foreign: Occurrences,
    pub(crate) inconsistent: Occurrences,
    pub(crate) altered: Occurrences,
    pub(crate) types: EventTypes,
    /// Events whose id does not follow the one before it in its stream.
    pub(crate) fallen: Occurrences,
    pub(crate) inversions: Vec<Inversion>,
    pub(crate) inversions_dropped: u64,
    pub(crate) seq_gaps: Vec<SeqGap>,
    pub(crate) ids: RememberedIds,
    pub(crate) inversions_max: usize,
    pub(crate) ids_max: usize,
}

/// Within a session, `seq` arrived after `ahead` of the same series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inversion {
    pub(crate) publisher: PublisherId,
    pub(crate) address: AddressId,
    pub(crate) seq: u64,
    pub(crate) ahead: u64,
    pub(crate) at: RunTime,
}

/// A resumed session continued with number `before`, where `after` was the last one that the client had received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeqGap {
    pub(crate) publisher: PublisherId,
    pub(crate) address: AddressId,
    pub(crate) after: u64,
    pub(crate) before: u64,
    pub(crate) confirmed: RunTime,
    pub(crate) session: usize,
}

/// The hash of an SSE id, and the event that it was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct IdSample {
    pub(crate) id: u64,
    pub(crate) publisher: PublisherId,
    pub(crate) address: AddressId,
    pub(crate) seq: u64,
}

impl IdSample {
    /// A hash of the event, which is the same at every client. It is stored, so it never changes.
    pub(super) fn hash_of_event(&self) -> u64 {
        mixed(self.seq ^ u64::from(self.address.0) << 40 ^ u64::from(self.publisher.0) << 24)
    }
}

/// How often something occurred, and the first occurrences.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Occurrences {
    pub(crate) count: u64,
    pub(crate) first: Vec<Occurrence>,
}

/// An event that arrived at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Occurrence {
    pub(crate) at: RunTime,
    /// `None`: an event without a stamp.
    pub(crate) stamp: Option<Stamp>,
}

impl Occurrences {
    pub(crate) fn add(&mut self, occurrence: Occurrence) {
        self.count += 1;
        if self.first.len() < EXAMPLES_MAX {
            self.first.push(occurrence);
        }
    }
}

impl Anomalies {
    /// An empty set that keeps no more than the share of one of `clients` clients.
    pub(super) fn new(clients: usize, ids: &IdTable) -> Self {
        let share = |of_all: usize, allowed: &RangeInclusive<usize>| {
            (of_all / clients.max(1)).clamp(*allowed.start(), *allowed.end())
        };
        Self {
            inversions_max: share(INVERSIONS_OF_ALL, &INVERSIONS),
            ids_max: share(ID_SAMPLES_OF_ALL, &ID_SAMPLES),
            ids: RememberedIds::in_table(ids),
            ..Self::default()
        }
    }

    pub(super) fn add_inversion(&mut self, inversion: Inversion) {
        if self.inversions.len() < self.inversions_max {
            self.inversions.push(inversion);
        } else {
            self.inversions_dropped += 1;
        }
    }

    pub(super) fn add_seq_gap(&mut self, gap: SeqGap) {
        if self.seq_gaps.len() < SEQ_GAPS_MAX {
            self.seq_gaps.push(gap);
        }
    }
}

/// The hash of an SSE id. It is stored, so it never changes. FNV-1a alone would leave the ids of one log, which differ in
/// their last characters only, close to each other.
pub(super) fn hash(id: &str) -> u64 {
    mixed(fnv1a(id.bytes()))
}

fn mixed(bits: u64) -> u64 {
    let mixed = (bits ^ (bits >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}
