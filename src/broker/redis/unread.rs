//! Publishes that were sent and not read back yet: if the log loses its tail, these are what nobody but their publisher
//! may have. Each leaves when the follower reads it. Read [`Unread::sending`] first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::limits::UNREAD;
use crate::broker::{NewEvent, Origins};
use crate::protocol::{Cursor, MessageId, Position};

/// What was sent and not read back.
#[derive(Debug, Default)]
pub(super) struct Unread {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Somebody reads back; without a follower nothing would ever leave.
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

impl Unread {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Poison means that a holder panicked; the maps behind the lock are whole all the same.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on somebody reads back what is published.
    pub(super) fn watch(&self) {
        self.lock().watched = true;
    }

    /// Whether somebody reads back.
    pub(super) fn is_watched(&self) -> bool {
        self.lock().watched
    }

    /// Before a publish is sent: its entry may be read before its answer comes.
    pub(super) fn sending(&self, event: &NewEvent) {
        let mut inner = self.lock();
        if !inner.watched {
            return;
        }
        let sent = Sent { event: event.clone(), acknowledged: None };
        if inner.sent.insert(event.message_id.clone(), sent).is_none() {
            inner.order.push_back(event.message_id.clone());
        }
        while inner.order.len() > UNREAD {
            let Some(oldest) = inner.order.pop_front() else { break };
            if inner.sent.remove(&oldest).is_some() {
                tracing::warn!(
                    limit = UNREAD,
                    "too many publishes wait to be read back; the oldest is not watched"
                );
            }
        }
    }

    /// The log has it, there. `known` when it was there before it was sent: then others watch it.
    pub(super) fn acknowledged(&self, id: &MessageId, at: Cursor, known: bool) {
        let mut inner = self.lock();
        if known {
            inner.sent.remove(id);
        } else if let Some(sent) = inner.sent.get_mut(id) {
            sent.acknowledged = Some(at);
        }
    }

    /// It was read back, or given up: nobody was told that the log has it.
    pub(super) fn done(&self, id: &MessageId) {
        let mut inner = self.lock();
        inner.sent.remove(id);
        while let Some(oldest) = inner.order.front()
            && !inner.sent.contains_key(oldest)
        {
            inner.order.pop_front();
        }
    }

    /// What was acknowledged in a history other than the present one, and is not in the part of it that is left.
    pub(super) fn lost(&self, present: Cursor, old: Cursor, end: Position) -> Vec<(NewEvent, Origins)> {
        let inner = self.lock();
        let lost = |at: &Cursor| at.epoch != present.epoch && (at.epoch != old.epoch || at.position > end);
        let mut lost: Vec<_> = inner
            .sent
            .values()
            .filter_map(|sent| Some((sent.acknowledged.filter(lost)?, &sent.event)))
            .collect();
        lost.sort_by_key(|(at, _)| at.position);
        lost.into_iter().map(|(at, event)| (event.clone(), Origins::default().with(at))).collect()
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().sent.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::protocol::{Address, Epoch, EventType};

    fn event(id: &str) -> NewEvent {
        NewEvent {
            message_id: MessageId::parse(id).unwrap(),
            address: Address::All,
            event_type: EventType::parse("MESSAGE").unwrap(),
            envelope: Arc::from("{}"),
            mailbox: false,
        }
    }

    fn at(epoch: u64, ms: u64) -> Cursor {
        Cursor::new(Epoch::from_random(epoch), Position { ms, seq: 0 })
    }

    fn lost(unread: &Unread) -> Vec<String> {
        let lost = unread.lost(at(2, 5), at(1, 9), Position { ms: 5, seq: 0 });
        lost.into_iter().map(|(event, _)| event.message_id.to_string()).collect()
    }

    #[test]
    fn only_what_was_acknowledged_beyond_the_end_and_not_read_is_lost() {
        let unread = Unread::default();
        unread.watch();
        for id in ["read", "late", "kept", "new", "open", "known"] {
            unread.sending(&event(id));
        }
        let says = |id: &str, cursor, known| unread.acknowledged(&event(id).message_id, cursor, known);
        says("read", at(1, 7), false);
        says("late", at(1, 8), false);
        says("kept", at(1, 5), false);
        says("new", at(2, 9), false);
        says("known", at(1, 8), true);
        unread.done(&event("read").message_id);
        assert_eq!(lost(&unread), ["late"]);
    }

    #[test]
    fn an_entry_may_be_read_before_its_answer_comes() {
        let unread = Unread::default();
        unread.watch();
        unread.sending(&event("m"));
        unread.done(&event("m").message_id);
        unread.acknowledged(&event("m").message_id, at(1, 8), false);
        assert_eq!((lost(&unread), unread.len()), (Vec::<String>::new(), 0));
    }

    #[test]
    fn nothing_is_kept_where_nobody_reads_back_and_not_without_bound() {
        let unread = Unread::default();
        unread.sending(&event("m"));
        assert_eq!(unread.len(), 0);
        unread.watch();
        for n in 0..UNREAD + 10 {
            unread.sending(&event(&format!("m{n}")));
        }
        assert_eq!(unread.len(), UNREAD);
    }
}
