//! Commands from the run to its clients: cut the connection, expect sentinels, stop. One watch channel carries all commands to
//! all clients. Each client checks whether a command is for it, so that no loop over ten thousand sockets separates the
//! first client that is cut from the last. Read [`Commands`] first.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::bench::ids::{AddressId, SubscriberId};

/// Cuts whose targets are kept. A client polls many times a second, so it does not miss as many.
const CUTS_KEPT: usize = 16;

/// All commands up to now. Another process that takes it over gives the same commands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SwarmState {
    /// Number of cuts.
    cuts: u64,
    /// The targets of the latest cuts, each list sorted, the newest last. More than one cut, since a watch channel shows only
    /// the latest state, and a client may miss states.
    targets: VecDeque<Arc<[SubscriberId]>>,
    /// Sorted addresses that get a sentinel; `None` while publishers publish.
    sentinels: Option<Arc<[AddressId]>>,
    /// Whether clients that lack a sentinel are to connect again.
    has_rechecks: bool,
    is_over: bool,
}

/// Sends commands. Clones send to the same clients.
#[derive(Debug, Clone, Default)]
pub struct Commands(Arc<watch::Sender<SwarmState>>);

/// A command, as one client receives it.
#[derive(Debug, Clone)]
pub enum Command {
    /// Drop the connection, as if it had broken.
    Cut,
    /// These addresses get a sentinel. Sorted.
    Sentinels(Arc<[AddressId]>),
    /// A client that lacks a sentinel drops its stream and connects again.
    Recheck,
    /// Drop the connection and stop.
    Over,
}

/// The receiver of one client.
#[derive(Debug, Clone)]
pub struct CommandReceiver {
    me: SubscriberId,
    state: watch::Receiver<SwarmState>,
    cuts_seen: u64,
    sentinels_seen: bool,
    recheck_seen: bool,
}

impl SwarmState {
    /// Whether the clients were stopped.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

impl Commands {
    /// The receiver of a client. Gets the sentinels and the stop even if they were sent before, and later cuts.
    #[must_use]
    pub fn receiver(&self, me: SubscriberId) -> CommandReceiver {
        let mut state = self.0.subscribe();
        // Except for cuts, commands that were sent before count as new: old cuts met connections that are gone.
        state.mark_changed();
        let cuts_seen = state.borrow().cuts;
        CommandReceiver { me, state, cuts_seen, sentinels_seen: false, recheck_seen: false }
    }

    /// Cuts the connections of these clients, which must be sorted.
    pub fn cut(&self, targets: &[SubscriberId]) {
        self.0.send_modify(|state| {
            state.cuts += 1;
            if state.targets.len() >= CUTS_KEPT {
                state.targets.pop_front();
            }
            state.targets.push_back(Arc::from(targets));
        });
    }

    /// Announces the last events. The addresses must be sorted.
    pub fn announce_sentinels(&self, addresses: Arc<[AddressId]>) {
        self.0.send_modify(|state| state.sentinels = Some(addresses));
    }

    /// Lets clients that lack a sentinel connect again, once.
    pub fn recheck(&self) {
        self.0.send_modify(|state| state.has_rechecks = true);
    }

    /// The commands, to relay them to another process.
    pub fn follow(&self) -> watch::Receiver<SwarmState> {
        let mut state = self.0.subscribe();
        state.mark_changed();
        state
    }

    /// Takes over the commands of another process.
    pub fn take_over(&self, state: SwarmState) {
        self.0.send_replace(state);
    }

    /// Stops all clients.
    pub fn end(&self) {
        self.0.send_modify(|state| state.is_over = true);
    }
}

impl CommandReceiver {
    /// The next command for this client. Cancel-safe. After a stop, every call returns [`Command::Over`].
    pub async fn recv(&mut self) -> Command {
        loop {
            if let Some(command) = self.next_command() {
                return command;
            }
            if self.state.changed().await.is_err() {
                return Command::Over;
            }
        }
    }

    /// The next command for this client that was sent already. After a stop, every call returns [`Command::Over`].
    pub(super) fn next_command(&mut self) -> Option<Command> {
        let state = self.state.borrow_and_update();
        if state.is_over {
            return Some(Command::Over);
        }
        if state.cuts > self.cuts_seen {
            let missed = usize::try_from(state.cuts - self.cuts_seen).unwrap_or(usize::MAX);
            self.cuts_seen = state.cuts;
            // Several cuts since the last call met the same connection, so they count once.
            let mut unseen = state.targets.iter().rev().take(missed);
            if unseen.any(|targets| targets.binary_search(&self.me).is_ok()) {
                return Some(Command::Cut);
            }
        }
        if let Some(sentinels) = state.sentinels.as_ref().filter(|_| !self.sentinels_seen) {
            self.sentinels_seen = true;
            return Some(Command::Sentinels(Arc::clone(sentinels)));
        }
        let is_new = state.has_rechecks && !std::mem::replace(&mut self.recheck_seen, state.has_rechecks);
        is_new.then_some(Command::Recheck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn recv(receiver: &mut CommandReceiver) -> Option<Command> {
        receiver.recv().now_or_never()
    }

    #[test]
    fn only_targets_are_cut_and_once() {
        let commands = Commands::default();
        let mut receivers: Vec<_> = (0..3).map(|n| commands.receiver(SubscriberId(n))).collect();
        commands.cut(&[SubscriberId(0), SubscriberId(2)]);
        let cut: Vec<_> =
            receivers.iter_mut().map(|receiver| matches!(recv(receiver), Some(Command::Cut))).collect();
        assert_eq!(cut, [true, false, true]);
        assert!(recv(&mut receivers[0]).is_none(), "one cut cuts once");
        commands.cut(&[SubscriberId(0)]);
        assert!(matches!(recv(&mut receivers[0]), Some(Command::Cut)));
    }

    #[test]
    fn two_cuts_between_two_polls_reach_the_targets_of_both() {
        let commands = Commands::default();
        let mut receivers: Vec<_> = (0..4).map(|n| commands.receiver(SubscriberId(n))).collect();
        commands.cut(&[SubscriberId(0), SubscriberId(2)]);
        commands.cut(&[SubscriberId(1), SubscriberId(2)]);
        let cut: Vec<_> =
            receivers.iter_mut().map(|receiver| matches!(recv(receiver), Some(Command::Cut))).collect();
        assert_eq!(cut, [true, true, true, false]);
        assert!(recv(&mut receivers[2]).is_none(), "its one connection is cut once");
    }

    #[test]
    fn only_the_latest_cuts_are_kept() {
        let commands = Commands::default();
        (0..100).for_each(|_| commands.cut(&[SubscriberId(0)]));
        assert_eq!(commands.follow().borrow().targets.len(), CUTS_KEPT);
    }

    #[test]
    fn a_late_client_gets_sentinels_and_stop_but_no_old_cut() {
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
    fn a_recheck_comes_once_and_after_the_sentinels() {
        let commands = Commands::default();
        let mut receiver = commands.receiver(SubscriberId(1));
        assert!(recv(&mut receiver).is_none());
        commands.recheck();
        commands.announce_sentinels([AddressId(0)].into());
        assert!(matches!(recv(&mut receiver), Some(Command::Sentinels(_))));
        assert!(matches!(recv(&mut receiver), Some(Command::Recheck)));
        commands.cut(&[]);
        assert!(recv(&mut receiver).is_none());
    }

    #[test]
    fn several_commands_at_once_all_arrive() {
        let commands = Commands::default();
        let mut receiver = commands.receiver(SubscriberId(1));
        commands.cut(&[SubscriberId(1)]);
        commands.announce_sentinels([AddressId(0)].into());
        assert!(matches!(recv(&mut receiver), Some(Command::Cut)));
        assert!(matches!(recv(&mut receiver), Some(Command::Sentinels(_))));
    }
}
