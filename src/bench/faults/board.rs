//! The states of all faults during a run, for progress lines and metrics. The final result of a fault is its record.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Names of the faults by state, each list in the order of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultStates {
    active: Vec<String>,
    healed: Vec<String>,
}

/// Shared by the tasks of the faults and their readers.
#[derive(Debug, Default)]
pub struct FaultBoard(Mutex<FaultStates>);

impl FaultStates {
    /// Applied, and not yet healed.
    pub fn active(&self) -> impl Iterator<Item = &str> {
        self.active.iter().map(String::as_str)
    }

    /// Healed, or ended.
    pub fn healed(&self) -> impl Iterator<Item = &str> {
        self.healed.iter().map(String::as_str)
    }

    /// Records that a fault is applied.
    pub fn applied(&mut self, name: &str) {
        self.active.push(name.to_owned());
    }

    /// Records that a fault is healed, or could not be.
    pub fn healed_now(&mut self, name: &str) {
        self.active.retain(|active| active != name);
        self.healed.push(name.to_owned());
    }
}

impl FaultBoard {
    /// Changes the states under the lock.
    pub(super) fn note(&self, note: impl FnOnce(&mut FaultStates)) {
        note(&mut self.lock());
    }

    /// A copy of the states.
    #[must_use]
    pub fn look(&self) -> FaultStates {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, FaultStates> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
