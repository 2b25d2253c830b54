//! Publishes that were sent and that the follower of this process has not read yet. If the log loses its tail, their
//! publisher may be the only one that has them. Each leaves when the follower reads it. Read [`InFlight::sending`]
//! first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::limits::IN_FLIGHT_MAX;
use crate::broker::{NewEvent, Origins};
use crate::protocol::{Cursor, Epoch, MessageId};

/// Publishes between sending and reading back.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Whether there is a follower. Without one, no publish would ever leave.
    watched: bool,
    sent: HashMap<MessageId, Sent>,
    /// In the order of sending; those that left may still be here.
    order: VecDeque<MessageId>,
}

#[derive(Debug)]
struct Sent {
    event: NewEvent,
    /// Where the log said that it stands.
    acknowledged: Option<Cursor>,
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Poison means that a holder panicked; the maps behind the lock are whole all the same.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is a follower from here on.
    pub(super) fn watch(&self) {
        self.lock().watched = true;
    }

    /// Whether there is a follower.
    pub(super) fn is_watched(&self) -> bool {
        self.lock().watched
    }

    /// Called before a publish is sent, because its entry may be read before its answer comes.
    pub(super) fn sending(&self, event: &NewEvent) {
        let mut inner = self.lock();
        if !inner.watched {
            return;
        }
        let sent = Sent { event: event.clone(), acknowledged: None };
        if inner.sent.insert(event.message_id.clone(), sent).is_none() {
            inner.order.push_back(event.message_id.clone());
        }
        while inner.order.len() > IN_FLIGHT_MAX {
            let Some(oldest) = inner.order.pop_front() else { break };
            if inner.sent.remove(&oldest).is_some() {
                tracing::warn!(
                    limit = IN_FLIGHT_MAX,
                    "too many publishes wait to be read back from the log; if Redis loses the oldest one, this node does not publish it again"
                );
            }
        }
    }

    /// The log has the publish, at this cursor. `known`: it was there before, and so other processes watch it.
    pub(super) fn acknowledged(&self, id: &MessageId, at: Cursor, known: bool) {
        let mut inner = self.lock();
        if known {
            inner.sent.remove(id);
        } else if let Some(sent) = inner.sent.get_mut(id) {
            sent.acknowledged = Some(at);
        }
    }

    /// The publish was read back, or given up without an acknowledgement.
    pub(super) fn done(&self, id: &MessageId) {
        let mut inner = self.lock();
        inner.sent.remove(id);
        while let Some(oldest) = inner.order.front()
            && !inner.sent.contains_key(oldest)
        {
            inner.order.pop_front();
        }
    }

    /// Moves acknowledged publishes that survived the end of these histories to the present one.
    pub(super) fn rebase(&self, ended: &[Cursor], present: Epoch) {
        for sent in self.lock().sent.values_mut() {
            let Some(at) = &mut sent.acknowledged else { continue };
            let Some(index) = ended.iter().position(|end| end.epoch == at.epoch) else { continue };
            if ended[index..].iter().all(|end| at.position <= end.position) {
                at.epoch = present;
            }
        }
    }

    /// Publishes that were acknowledged in another history than that of the follower and did not survive its end. Drops
    /// those that the follower has passed: it has read them, even if they were sent once more after that.
    pub(super) fn lost(&self, follower: Cursor) -> Vec<(NewEvent, Origins)> {
        let mut inner = self.lock();
        let passed = |at: Cursor| at.epoch == follower.epoch && at.position <= follower.position;
        inner.sent.retain(|_, sent| sent.acknowledged.is_none_or(|at| !passed(at)));
        let foreign = |at: &Cursor| at.epoch != follower.epoch;
        let mut lost: Vec<_> = inner
            .sent
            .values()
            .filter_map(|sent| Some((sent.acknowledged.filter(foreign)?, &sent.event)))
            .collect();
        lost.sort_by_key(|(at, _)| at.position);
        lost.into_iter().map(|(at, event)| (event.clone(), Origins::default().with(at))).collect()
    }

    /// Publishes that were not read back.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().sent.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::protocol::{Address, EventType, Position};

    fn event(id: &str) -> NewEvent {
        NewEvent {
            message_id: MessageId::parse(id).unwrap(),
            address: Address::All,
            event_type: EventType::parse("MESSAGE").unwrap(),
            envelope: Arc::from("{}"),
            mailbox: false,
            fresh: false,
        }
    }

    fn at(epoch: u64, ms: u64) -> Cursor {
        Cursor::new(Epoch::from_random(epoch), Position { ms, seq: 0 })
    }

    /// After the first history has ended at 5, as seen by a follower that has read up to there.
    fn lost(in_flight: &InFlight) -> Vec<String> {
        in_flight.rebase(&[at(1, 5)], Epoch::from_random(2));
        let lost = in_flight.lost(at(2, 5));
        lost.into_iter().map(|(event, _)| event.message_id.to_string()).collect()
    }

    #[test]
    fn only_what_was_acknowledged_beyond_the_end_and_not_read_is_lost() {
        let in_flight = InFlight::default();
        in_flight.watch();
        for id in ["read", "late", "kept", "new", "open", "known"] {
            in_flight.sending(&event(id));
        }
        let says = |id: &str, cursor, known| in_flight.acknowledged(&event(id).message_id, cursor, known);
        says("read", at(1, 7), false);
        says("late", at(1, 8), false);
        says("kept", at(1, 5), false);
        says("new", at(2, 9), false);
        says("known", at(1, 8), true);
        in_flight.done(&event("read").message_id);
        assert_eq!(lost(&in_flight), ["late"]);
        // It was lost until it is read back, and nothing else is watched that the follower has passed.
        assert_eq!((lost(&in_flight), in_flight.len()), (vec!["late".to_owned()], 3));
    }

    /// Sent, read, sent again for want of an answer, acknowledged: nobody will read it once more.
    #[test]
    fn what_the_follower_has_passed_is_not_lost_later() {
        let in_flight = InFlight::default();
        in_flight.watch();
        let ghost = event("ghost");
        in_flight.sending(&ghost);
        in_flight.done(&ghost.message_id);
        in_flight.sending(&ghost);
        in_flight.acknowledged(&ghost.message_id, at(2, 3), false);
        assert_eq!(lost(&in_flight), Vec::<String>::new());
        assert_eq!(in_flight.len(), 0);
    }

    #[test]
    fn an_entry_may_be_read_before_its_answer_comes() {
        let in_flight = InFlight::default();
        in_flight.watch();
        in_flight.sending(&event("m"));
        in_flight.done(&event("m").message_id);
        in_flight.acknowledged(&event("m").message_id, at(1, 8), false);
        assert_eq!((lost(&in_flight), in_flight.len()), (Vec::<String>::new(), 0));
    }

    #[test]
    fn nothing_is_kept_where_nobody_reads_back_and_not_without_bound() {
        let in_flight = InFlight::default();
        in_flight.sending(&event("m"));
        assert_eq!(in_flight.len(), 0);
        in_flight.watch();
        for n in 0..IN_FLIGHT_MAX + 10 {
            in_flight.sending(&event(&format!("m{n}")));
        }
        assert_eq!(in_flight.len(), IN_FLIGHT_MAX);
    }
}
