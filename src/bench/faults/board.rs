//! Which faults are at work right now, for whoever watches a run. What is told of them in the end are their records.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Faults by what became of them so far, each in the order in which it happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultStates {
    active: Vec<String>,
    healed: Vec<String>,
}

/// The same, shared by the faults' tasks and whoever watches.
#[derive(Debug, Default)]
pub struct FaultBoard(Mutex<FaultStates>);

impl FaultStates {
    /// Applied, and not healed.
    pub fn active(&self) -> impl Iterator<Item = &str> {
        self.active.iter().map(String::as_str)
    }

    /// Over.
    pub fn healed(&self) -> impl Iterator<Item = &str> {
        self.healed.iter().map(String::as_str)
    }

    /// A fault is applied.
    pub fn applied(&mut self, name: &str) {
        self.active.push(name.to_owned());
    }

    /// A fault is healed, or could not be.
    pub fn healed_now(&mut self, name: &str) {
        self.active.retain(|active| active != name);
        self.healed.push(name.to_owned());
    }
}

impl FaultBoard {
    /// Notes.
    pub(super) fn note(&self, note: impl FnOnce(&mut FaultStates)) {
        note(&mut self.lock());
    }

    /// The states now.
    #[must_use]
    pub fn look(&self) -> FaultStates {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, FaultStates> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
