//! What one client received of one publisher at one address: which numbers, in which session, and which gaps were
//! declared. Knows nothing of what was sent. Read [`SeriesLedger`] first.

use serde::{Deserialize, Serialize};

use crate::bench::ids::{AddressId, PublisherId};
use crate::bench::metrics::time::RunTime;
use crate::bench::verdict::ledger::runs::Runs;

/// Declared gaps of one series. A server that declares more has its later losses counted as lost.
const GAPS_MAX: usize = 1_024;

/// The events of one publisher and address that arrived.
#[derive(Debug, Clone)]
pub(crate) struct SeriesLedger {
    pub(crate) publisher: PublisherId,
    pub(crate) address: AddressId,
    pub(crate) seen: Runs,
    /// The part of `seen` that arrived in session number `session`.
    pub(crate) in_session: Runs,
    pub(crate) session: usize,
    /// Whether a new event arrived in this session.
    pub(crate) advanced: bool,
    pub(crate) gaps: Vec<DeclaredGap>,
}

/// A `GAP` as one series saw it: it covers numbers above `after` and below `before`, started up to `at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeclaredGap {
    pub(crate) after: u64,
    pub(crate) before: u64,
    pub(crate) at: RunTime,
}

impl SeriesLedger {
    pub(crate) fn new(publisher: PublisherId, address: AddressId) -> Self {
        Self {
            publisher,
            address,
            seen: Runs::default(),
            in_session: Runs::default(),
            session: 0,
            gaps: Vec::new(),
            advanced: false,
        }
    }

    /// Notes that an event belongs to this session; returns the highest number that arrived in it so far.
    pub(super) fn enter_session(&mut self, session: usize) -> Option<u64> {
        if self.session != session {
            self.session = session;
            self.in_session = Runs::default();
            self.advanced = false;
        }
        self.in_session.max()
    }

    pub(super) fn declare_gap(&mut self, at: RunTime) {
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

    pub(super) fn close_gap(&mut self, seq: u64) {
        if let Some(open) = self.gaps.last_mut().filter(|gap| gap.before == u64::MAX && seq > gap.after) {
            open.before = seq;
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.seen.heap_bytes()
            + self.in_session.heap_bytes()
            + self.gaps.capacity() * size_of::<DeclaredGap>()
    }
}
