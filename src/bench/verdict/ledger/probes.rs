//! What the judge found when it resumed from ids itself, beside the clients of the run. Read [`ProbeLedger`] first.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::evidence::{Evidence, FaultRecord};
use super::publish::Sent;
use crate::bench::ids::{AddressId, PublisherId};
use crate::bench::metrics::time::RunTime;
use crate::bench::stamp::Stamp;

/// Probes with differences that are kept.
const KEPT_MAX: usize = 64;
/// Differences that are kept of one probe.
const DIFFERENCES_MAX: usize = 16;

/// All probes of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeLedger {
    /// Probes that were made and could be judged.
    pub made: u64,
    /// Probes that show nothing: they were cut, told of a gap, or not answered.
    pub undecided: u64,
    /// The first probes that got something else than they were owed.
    pub different: Vec<Probe>,
}

/// A stream that was resumed from an id which the judge had heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub began: RunTime,
    pub ended: RunTime,
    /// The event whose id was the cursor.
    pub cursor: Stamp,
    /// How what came differs from what the judge had heard behind that event.
    pub differences: Vec<(Stamp, ProbeFault)>,
}

/// What is wrong with an event of a resumed stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeFault {
    /// It follows the cursor and did not come.
    Missing,
    /// It is the cursor's own, or stands before it.
    Early,
    /// It came twice.
    Twice,
    /// It came after one that follows it.
    OutOfOrder,
}

impl ProbeLedger {
    /// Adds a probe; `None`: it shows nothing.
    pub fn add(&mut self, probe: Option<Probe>) {
        let Some(mut probe) = probe else {
            self.undecided += 1;
            return;
        };
        self.made += 1;
        if !probe.differences.is_empty() && self.different.len() < KEPT_MAX {
            probe.differences.truncate(DIFFERENCES_MAX);
            self.different.push(probe);
        }
    }
}

impl ProbeFault {
    fn word(self) -> &'static str {
        match self {
            Self::Missing => "did not come",
            Self::Early => "came again",
            Self::Twice => "came twice",
            Self::OutOfOrder => "came after a later one",
        }
    }
}

/// The first event that a probe got wrong, and a note. `None`: it got nothing wrong that it was owed, or something was broken
/// meanwhile.
pub(super) fn first_fault(
    probe: &Probe,
    evidence: &Evidence<'_>,
    sent: &HashMap<AddressId, Vec<Sent<'_>>>,
) -> Option<(Stamp, String)> {
    let overlaps = |(begins, ends): (RunTime, RunTime)| begins <= probe.ended && probe.began < ends;
    if evidence.faults.iter().filter_map(FaultRecord::window).any(overlaps) {
        return None;
    }
    let is_owed = |stamp: &Stamp| {
        let series = sent.get(&stamp.address).into_iter().flatten();
        let mut series = series.filter(|sent| sent.publisher == stamp.publisher);
        stamp.publisher == PublisherId::SENTINEL
            || series.any(|sent| sent.series.acknowledged(stamp.seq).is_some())
    };
    let counts = |(stamp, fault): &&(Stamp, ProbeFault)| *fault != ProbeFault::Missing || is_owed(stamp);
    let (stamp, fault) = probe.differences.iter().find(counts)?;
    let note = format!("{} on a stream that the judge resumed after #{}", fault.word(), probe.cursor.seq);
    Some((*stamp, note))
}
