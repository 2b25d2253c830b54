//! What the event toxics of a proxy came to on all its connections: how much they met, and why some could do nothing; and
//! the ids that passed, for a client that shall resume from an earlier one. Read [`Findings`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ids that are remembered, the newest ones.
const IDS_MAX: usize = 4_096;

/// What one toxic came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finding {
    /// Events, requests or publishes that it met.
    pub met: u64,
    /// Why it could do nothing on a connection; `None`: it could on all.
    pub unreadable: Option<String>,
}

/// What all event toxics of a proxy came to, by name.
#[derive(Debug, Default)]
pub struct Findings {
    toxics: Mutex<BTreeMap<String, Finding>>,
    ids: Mutex<Ids>,
}

#[derive(Debug, Default)]
struct Ids {
    /// In the order in which they were first seen.
    order: VecDeque<String>,
    /// The number of each among all that were ever seen.
    numbers: HashMap<String, usize>,
    /// How many were forgotten.
    forgotten: usize,
}

impl Findings {
    /// What a toxic came to since it was added.
    #[must_use]
    pub fn of(&self, toxic: &str) -> Finding {
        lock(&self.toxics).get(toxic).cloned().unwrap_or_default()
    }

    /// Forgets what a toxic came to.
    pub fn forget(&self, toxic: &str) {
        lock(&self.toxics).remove(toxic);
    }

    pub(super) fn note_met(&self, toxic: &str) {
        lock(&self.toxics).entry(toxic.to_owned()).or_default().met += 1;
    }

    pub(super) fn note_unreadable(&self, toxic: &str, why: &str) {
        let mut toxics = lock(&self.toxics);
        toxics.entry(toxic.to_owned()).or_default().unreadable.get_or_insert_with(|| why.to_owned());
    }

    pub(super) fn note_id(&self, id: &str) {
        let mut ids = lock(&self.ids);
        if ids.numbers.contains_key(id) {
            return;
        }
        let number = ids.forgotten + ids.order.len();
        ids.numbers.insert(id.to_owned(), number);
        ids.order.push_back(id.to_owned());
        if ids.order.len() > IDS_MAX
            && let Some(oldest) = ids.order.pop_front()
        {
            ids.numbers.remove(&oldest);
            ids.forgotten += 1;
        }
    }

    /// The id that passed so many places before this one; `None`: not known.
    pub(super) fn id_before(&self, id: &str, places: u64) -> Option<String> {
        let ids = lock(&self.ids);
        let number = ids.numbers.get(id)?.checked_sub(usize::try_from(places).ok()?)?;
        ids.order.get(number.checked_sub(ids.forgotten)?).cloned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_behind_another_until_it_is_forgotten() {
        let findings = Findings::default();
        for id in 0..IDS_MAX {
            findings.note_id(&id.to_string());
        }
        assert_eq!(findings.id_before("7", 3).as_deref(), Some("4"));
        assert_eq!(findings.id_before("0", 1), None);
        findings.note_id("7");
        findings.note_id("new");
        assert_eq!(findings.id_before("2", 1).as_deref(), Some("1"));
        assert_eq!(findings.id_before("1", 1), None, "0 is forgotten");
        assert_eq!(findings.id_before("new", 1), Some((IDS_MAX - 1).to_string()));
    }
}
