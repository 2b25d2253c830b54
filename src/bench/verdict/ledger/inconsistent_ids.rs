//! One id is of one event, and one event has one id. Compares what all clients remember. Read [`inconsistent`] first.

use std::collections::{BTreeSet, HashMap};

use super::evidence::Evidence;
use super::subscriber::IdSample;
use crate::bench::ids::{AddressId, PublisherId, SubscriberId};

/// An id of two events, or an event with two ids.
pub(super) struct Inconsistent {
    pub(super) subscriber: SubscriberId,
    pub(super) sample: IdSample,
    pub(super) note: String,
}

/// All of them that the remembered ids show.
pub(super) fn inconsistent(evidence: &Evidence<'_>) -> Vec<Inconsistent> {
    let mut found = Vec::new();
    let mut events: HashMap<u64, IdSample> = HashMap::new();
    let mut ids: HashMap<(PublisherId, AddressId, u64), u64> = HashMap::new();
    let has_one_history = has_one_history(evidence);
    for subscriber in evidence.subscribers {
        for sample in subscriber.anomalies().ids.samples() {
            let known = *events.entry(sample.id).or_insert(sample);
            if known != sample {
                let note = format!("the same id as event {} of another series or number", known.seq);
                found.push(Inconsistent { subscriber: subscriber.id(), sample, note });
            }
            let event = (sample.publisher, sample.address, sample.seq);
            if has_one_history && *ids.entry(event).or_insert(sample.id) != sample.id {
                let note = "with another id than before, or than another client got it".to_owned();
                found.push(Inconsistent { subscriber: subscriber.id(), sample, note });
            }
        }
    }
    found
}

/// Whether the log had one history only. An event that the log lost and has again has an id in each.
fn has_one_history(evidence: &Evidence<'_>) -> bool {
    let epochs: BTreeSet<u64> =
        evidence.subscribers.iter().flat_map(|subscriber| subscriber.epochs()).copied().collect();
    evidence.rules >= 1 && epochs.len() <= 1
}
