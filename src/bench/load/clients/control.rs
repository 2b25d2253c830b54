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
    standing: watch::Receiver<SwarmState>,
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
    pub fn ear(&self, me: SubscriberId) -> CommandReceiver {
        let mut standing = self.0.subscribe();
        // What stands already counts as news, except cuts: those met connections that are gone.
        standing.mark_changed();
        let cuts_heard = standing.borrow().cuts;
        CommandReceiver { me, standing, cuts_heard, sentinels_heard: false }
    }

    /// Cuts the connections of these clients, which must be sorted.
    pub fn cut(&self, whom: &[SubscriberId]) {
        self.0.send_modify(|standing| {
            standing.cuts += 1;
            if standing.whom.len() >= CUTS_KEPT {
                standing.whom.pop_front();
            }
            standing.whom.push_back(Arc::from(whom));
        });
    }

    /// Announces the last events. The addresses must be sorted.
    pub fn announce_sentinels(&self, addresses: Arc<[AddressId]>) {
        self.0.send_modify(|standing| standing.sentinels = Some(addresses));
    }

    /// What is ordered here from now on, for those who relay it to another process.
    pub fn follow(&self) -> watch::Receiver<SwarmState> {
        let mut standing = self.0.subscribe();
        standing.mark_changed();
        standing
    }

    /// Gives the orders of another process.
    pub fn take_over(&self, standing: SwarmState) {
        self.0.send_replace(standing);
    }

    /// Ends the swarm.
    pub fn end(&self) {
        self.0.send_modify(|standing| standing.is_over = true);
    }
}

impl CommandReceiver {
    /// The next thing this client is told. Cancel-safe. After the end it is told of the end again and again.
    pub async fn listen(&mut self) -> Command {
        loop {
            if let Some(told) = self.news() {
                return told;
            }
            if self.standing.changed().await.is_err() {
                return Command::Over;
            }
        }
    }

    fn news(&mut self) -> Option<Command> {
        let standing = self.standing.borrow_and_update();
        if standing.is_over {
            return Some(Command::Over);
        }
        if standing.cuts > self.cuts_heard {
            let missed = usize::try_from(standing.cuts - self.cuts_heard).unwrap_or(usize::MAX);
            self.cuts_heard = standing.cuts;
            // Two that met this client since its last look found one connection, and cut it once.
            let mut unheard = standing.whom.iter().rev().take(missed);
            if unheard.any(|whom| whom.binary_search(&self.me).is_ok()) {
                return Some(Command::Cut);
            }
        }
        let sentinels = standing.sentinels.as_ref().filter(|_| !self.sentinels_heard)?;
        self.sentinels_heard = true;
        Some(Command::Sentinels(Arc::clone(sentinels)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn hear(ear: &mut CommandReceiver) -> Option<Command> {
        ear.listen().now_or_never()
    }

    #[test]
    fn only_those_who_are_meant_are_cut_and_once() {
        let orders = Commands::default();
        let mut ears: Vec<_> = (0..3).map(|n| orders.ear(SubscriberId(n))).collect();
        orders.cut(&[SubscriberId(0), SubscriberId(2)]);
        let cut: Vec<_> = ears.iter_mut().map(|ear| matches!(hear(ear), Some(Command::Cut))).collect();
        assert_eq!(cut, [true, false, true]);
        assert!(hear(&mut ears[0]).is_none(), "one cut cuts once");
        orders.cut(&[SubscriberId(0)]);
        assert!(matches!(hear(&mut ears[0]), Some(Command::Cut)));
    }

    #[test]
    fn two_cuts_between_two_looks_meet_all_whom_either_of_them_meets() {
        let orders = Commands::default();
        let mut ears: Vec<_> = (0..4).map(|n| orders.ear(SubscriberId(n))).collect();
        orders.cut(&[SubscriberId(0), SubscriberId(2)]);
        orders.cut(&[SubscriberId(1), SubscriberId(2)]);
        let cut: Vec<_> = ears.iter_mut().map(|ear| matches!(hear(ear), Some(Command::Cut))).collect();
        assert_eq!(cut, [true, true, true, false]);
        assert!(hear(&mut ears[2]).is_none(), "its one connection is cut once");
    }

    #[test]
    fn no_more_is_kept_than_anybody_could_miss() {
        let orders = Commands::default();
        (0..100).for_each(|_| orders.cut(&[SubscriberId(0)]));
        assert_eq!(orders.follow().borrow().whom.len(), CUTS_KEPT);
    }

    #[test]
    fn who_comes_later_hears_of_sentinels_and_of_the_end_but_of_no_old_cut() {
        let orders = Commands::default();
        orders.cut(&[SubscriberId(7)]);
        orders.announce_sentinels([AddressId(1)].into());
        let mut ear = orders.ear(SubscriberId(7));
        assert!(matches!(hear(&mut ear), Some(Command::Sentinels(_))));
        assert!(hear(&mut ear).is_none());
        orders.end();
        assert!(matches!(hear(&mut ear), Some(Command::Over)));
        assert!(matches!(hear(&mut ear), Some(Command::Over)));
    }

    #[test]
    fn nothing_is_lost_when_several_orders_come_at_once() {
        let orders = Commands::default();
        let mut ear = orders.ear(SubscriberId(1));
        orders.cut(&[SubscriberId(1)]);
        orders.announce_sentinels([AddressId(0)].into());
        assert!(matches!(hear(&mut ear), Some(Command::Cut)));
        assert!(matches!(hear(&mut ear), Some(Command::Sentinels(_))));
    }
}
