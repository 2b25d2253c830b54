//! What the run tells its clients while they work: cut your connection, the last events are on their way, it is over.
//! One channel for all of it and for all of them: each client looks whether it is meant, so that no loop over ten
//! thousand sockets stands between the first that is cut and the last. Read [`Commands`] first.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::bench::ids::{AddressId, SubscriberId};

/// Cuts whose clients are kept. A client looks many times a second: it does not miss so many.
const CUTS_KEPT: usize = 16;

/// Everything that was ordered so far. Another process that takes it over gives the same orders.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SwarmState {
    /// How many cuts there were.
    cuts: u64,
    /// Whom the last of them meet, sorted; the newest last. More than one, since who listens sees only what stands when
    /// it looks, and two cuts may lie between two looks.
    whom: VecDeque<Arc<[SubscriberId]>>,
    /// Addresses that get a sentinel, sorted.
    sentinels: Option<Arc<[AddressId]>>,
    is_over: bool,
}

/// Gives orders. Clones speak to the same clients.
#[derive(Debug, Clone, Default)]
pub struct Commands(Arc<watch::Sender<SwarmState>>);

/// What a client is told.
#[derive(Debug, Clone)]
pub enum Command {
    /// Drop the connection, as if it had broken.
    Cut,
    /// These addresses get a last event.
    Sentinels(Arc<[AddressId]>),
    /// Drop the connection and come back no more.
    Over,
}

/// One client's end.
#[derive(Debug, Clone)]
pub struct CommandReceiver {
    me: SubscriberId,
    state: watch::Receiver<SwarmState>,
    cuts_heard: u64,
    sentinels_heard: bool,
}

impl SwarmState {
    /// Whether the swarm was ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

impl Commands {
    /// The ear of a client. It hears what is ordered from now on.
    #[must_use]
    pub fn receiver(&self, me: SubscriberId) -> CommandReceiver {
        let mut state = self.0.subscribe();
        // What stands already counts as news, except cuts: those met connections that are gone.
        state.mark_changed();
        let cuts_heard = state.borrow().cuts;
        CommandReceiver { me, state, cuts_heard, sentinels_heard: false }
    }

    /// Cuts the connections of these clients, which must be sorted.
    pub fn cut(&self, whom: &[SubscriberId]) {
        self.0.send_modify(|state| {
            state.cuts += 1;
            if state.whom.len() >= CUTS_KEPT {
                state.whom.pop_front();
            }
            state.whom.push_back(Arc::from(whom));
        });
    }

    /// Announces the last events. The addresses must be sorted.
    pub fn announce_sentinels(&self, addresses: Arc<[AddressId]>) {
        self.0.send_modify(|state| state.sentinels = Some(addresses));
    }

    /// What is ordered here from now on, for those who relay it to another process.
    pub fn follow(&self) -> watch::Receiver<SwarmState> {
        let mut state = self.0.subscribe();
        state.mark_changed();
        state
    }

    /// Gives the orders of another process.
    pub fn take_over(&self, state: SwarmState) {
        self.0.send_replace(state);
    }

    /// Ends the swarm.
    pub fn end(&self) {
        self.0.send_modify(|state| state.is_over = true);
    }
}

impl CommandReceiver {
    /// The next thing this client is told. Cancel-safe. After the end it is told of the end again and again.
    pub async fn listen(&mut self) -> Command {
        loop {
            if let Some(told) = self.news() {
                return told;
            }
            if self.state.changed().await.is_err() {
                return Command::Over;
            }
        }
    }

    fn news(&mut self) -> Option<Command> {
        let state = self.state.borrow_and_update();
        if state.is_over {
            return Some(Command::Over);
        }
        if state.cuts > self.cuts_heard {
            let missed = usize::try_from(state.cuts - self.cuts_heard).unwrap_or(usize::MAX);
            self.cuts_heard = state.cuts;
            // Two that met this client since its last look found one connection, and cut it once.
            let mut unheard = state.whom.iter().rev().take(missed);
            if unheard.any(|whom| whom.binary_search(&self.me).is_ok()) {
                return Some(Command::Cut);
            }
        }
        let sentinels = state.sentinels.as_ref().filter(|_| !self.sentinels_heard)?;
        self.sentinels_heard = true;
        Some(Command::Sentinels(Arc::clone(sentinels)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn recv(receiver: &mut CommandReceiver) -> Option<Command> {
        receiver.listen().now_or_never()
    }

    #[test]
    fn only_those_who_are_meant_are_cut_and_once() {
        let commands = Commands::default();
        let mut ears: Vec<_> = (0..3).map(|n| commands.receiver(SubscriberId(n))).collect();
        commands.cut(&[SubscriberId(0), SubscriberId(2)]);
        let cut: Vec<_> =
            ears.iter_mut().map(|receiver| matches!(recv(receiver), Some(Command::Cut))).collect();
        assert_eq!(cut, [true, false, true]);
        assert!(recv(&mut ears[0]).is_none(), "one cut cuts once");
        commands.cut(&[SubscriberId(0)]);
        assert!(matches!(recv(&mut ears[0]), Some(Command::Cut)));
    }

    #[test]
    fn two_cuts_between_two_looks_meet_all_whom_either_of_them_meets() {
        let commands = Commands::default();
        let mut ears: Vec<_> = (0..4).map(|n| commands.receiver(SubscriberId(n))).collect();
        commands.cut(&[SubscriberId(0), SubscriberId(2)]);
        commands.cut(&[SubscriberId(1), SubscriberId(2)]);
        let cut: Vec<_> =
            ears.iter_mut().map(|receiver| matches!(recv(receiver), Some(Command::Cut))).collect();
        assert_eq!(cut, [true, true, true, false]);
        assert!(recv(&mut ears[2]).is_none(), "its one connection is cut once");
    }

    #[test]
    fn no_more_is_kept_than_anybody_could_miss() {
        let commands = Commands::default();
        (0..100).for_each(|_| commands.cut(&[SubscriberId(0)]));
        assert_eq!(commands.follow().borrow().whom.len(), CUTS_KEPT);
    }

    #[test]
    fn who_comes_later_hears_of_sentinels_and_of_the_end_but_of_no_old_cut() {
        let commands = Commands::default();
        commands.cut(&[SubscriberId(7)]);
        commands.announce_sentinels([AddressId(1)].into());
        let mut receiver = commands.receiver(SubscriberId(7));
        assert!(matches!(recv(&mut receiver), Some(Command::Sentinels(_))));
        assert!(recv(&mut receiver).is_none());
        commands.end();
        assert!(matches!(recv(&mut receiver), Some(Command::Over)));
        assert!(matches!(recv(&mut receiver), Some(Command::Over)));
    }

    #[test]
    fn nothing_is_lost_when_several_orders_come_at_once() {
        let commands = Commands::default();
        let mut receiver = commands.receiver(SubscriberId(1));
        commands.cut(&[SubscriberId(1)]);
        commands.announce_sentinels([AddressId(0)].into());
        assert!(matches!(recv(&mut receiver), Some(Command::Cut)));
        assert!(matches!(recv(&mut receiver), Some(Command::Sentinels(_))));
    }
}
