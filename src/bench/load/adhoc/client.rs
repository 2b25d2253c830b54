//! The ad hoc part of one client: counts events by their stamps. Never connects or reads. Read [`AdhocClient::receive`]
//! first.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::end_mark::EndMark;
use super::shared::AdhocShared;
use super::tally::{Arrived, Tally};
use crate::bench::metrics::time::RunTime;
use crate::bench::stamp::{Stamp, Unreadable};

/// The ad hoc part of one client. Hands its tally to [`AdhocShared`] on drop.
#[derive(Debug)]
pub struct AdhocClient {
    shared: Arc<AdhocShared>,
    tally: Tally,
    has_connected: bool,
    is_complete: bool,
}

impl AdhocClient {
    /// A client that has not connected yet.
    #[must_use]
    pub fn new(shared: Arc<AdhocShared>) -> Self {
        Self { shared, tally: Tally::default(), has_connected: false, is_complete: false }
    }

    /// Whether the client was connected at least once.
    #[must_use]
    pub fn has_connected(&self) -> bool {
        self.has_connected
    }

    /// To call when a stream is open.
    pub fn connected(&mut self) {
        if !std::mem::replace(&mut self.has_connected, true) {
            self.shared.connected.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts an event that arrived at `now` since the machine's boot. Returns its latency, if it is a new one of a publisher
    /// on this machine.
    pub fn receive(
        &mut self,
        now: RunTime,
        stamp: Result<Stamp, Unreadable>,
        data: &str,
        has_last_event_id: bool,
    ) -> Option<Duration> {
        if has_last_event_id {
            self.shared.has_ids.store(true, Ordering::Relaxed);
        }
        // Events of other publishers have no stamp, and nothing is owed of them.
        let stamp = match stamp {
            Ok(stamp) => stamp,
            Err(Unreadable::Foreign) => return None,
            Err(Unreadable::Altered(stamp)) => {
                self.tally.note_altered();
                stamp?
            }
        };
        let arrived = self.tally.arrive(&stamp);
        if arrived == Arrived::End
            && let Some(mark) = EndMark::from_envelope(data)
        {
            self.shared.note_end(stamp.run, mark);
        }
        if !self.is_complete && self.shared.is_complete(&self.tally) {
            self.is_complete = true;
            self.shared.complete.fetch_add(1, Ordering::Relaxed);
        }
        (arrived == Arrived::New { shares_clock: true }).then(|| now.after(stamp.due))
    }
}

impl Drop for AdhocClient {
    fn drop(&mut self) {
        self.shared.hand_in(std::mem::take(&mut self.tally));
    }
}
