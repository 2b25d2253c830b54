//! The state that the clients of an ad hoc swarm share. Locked only for an end mark and at the end of a client. Read
//! [`AdhocShared`] first.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::Url;

use super::end_mark::EndMark;
use super::tally::Tally;
use crate::bench::ids::{RunId, SubscriberId};
use crate::runtime::secrets::without_secrets;

/// The state that the clients of an ad hoc swarm share. Relaxed atomics: readers poll.
#[derive(Debug)]
pub struct AdhocShared {
    /// URL of the stream; `{i}` stands for the client's number.
    url: String,
    /// Number of publishers whose events are all owed; zero: no event is owed.
    publishers: usize,
    /// Clients that were connected at least once.
    pub connected: AtomicU32,
    /// Clients that have received every owed event of all publishers.
    pub complete: AtomicU32,
    /// Whether any event had an `id:`.
    pub has_ids: AtomicBool,
    marks: Mutex<HashMap<RunId, EndMark>>,
    tallies: Mutex<Vec<Tally>>,
}

impl AdhocShared {
    /// For streams at a URL, where `{i}` stands for the client's number. With zero `publishers` no event is owed.
    #[must_use]
    pub fn new(url: String, publishers: u32) -> Self {
        Self {
            url,
            publishers: usize::try_from(publishers).unwrap_or(usize::MAX),
            connected: AtomicU32::new(0),
            complete: AtomicU32::new(0),
            has_ids: AtomicBool::new(false),
            marks: Mutex::default(),
            tallies: Mutex::default(),
        }
    }

    /// URL of a client's stream.
    ///
    /// # Errors
    /// The text of the URL's error.
    pub fn url(&self, client: SubscriberId) -> Result<Url, String> {
        let url = self.url.replace("{i}", &client.0.to_string());
        Url::parse(&url).map_err(|error| format!("{}: {error}", without_secrets(&url)))
    }

    /// Whether all publishers have ended.
    #[must_use]
    pub fn has_all_marks(&self) -> bool {
        self.publishers > 0 && self.marks().len() >= self.publishers
    }

    /// End marks received, by run.
    pub fn marks(&self) -> MutexGuard<'_, HashMap<RunId, EndMark>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the tallies of the clients that have ended.
    #[must_use]
    pub fn take_tallies(&self) -> Vec<Tally> {
        std::mem::take(&mut *self.tallies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn note_end(&self, run: RunId, mark: EndMark) {
        self.marks().entry(run).or_insert(mark);
    }

    pub(super) fn hand_in(&self, tally: Tally) {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner).push(tally);
    }

    /// Before the end marks nothing can be complete, so the lock is taken late.
    pub(super) fn is_complete(&self, tally: &Tally) -> bool {
        self.publishers > 0
            && tally.ended() >= self.publishers
            && tally.is_complete(&self.marks(), self.publishers)
    }
}
