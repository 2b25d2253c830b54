//! Commands from the run to the clients of a loop: each client looks whether one is for it. Data come before commands: at a
//! cut, everything received has been read, as with a broken connection. Read [`ClientLoop::hand_out_commands`] first.

use super::client::State;
use super::client_loop::{After, ClientLoop};
use crate::bench::load::clients::control::Command;
use crate::bench::scenario::plan::Joins;
use crate::net::Key;

/// Turns of reading before a command at most: a server that never pauses must not keep a client from it.
const READS_BEFORE: usize = 64;

impl ClientLoop {
    /// When the clock has started, clients know when they join and leave.
    pub(super) fn look_for_start(&mut self) {
        if self.has_started || !self.setting.context.started.is_cancelled() {
            return;
        }
        self.has_started = true;
        let clock = self.setting.context.clock.clone();
        for index in 0..self.clients.places() {
            let Some((key, client)) = self.clients.at(index) else { continue };
            let (joins, leaves) = (client.subscriber.plan().joins, client.subscriber.leaves());
            if let (Joins::At(time), State::Joining) = (joins, &client.state) {
                self.wake_at(key, clock.instant_of(time));
            }
            if let Some(moment) = leaves {
                self.leave_at(key, moment);
            }
        }
    }

    /// Lets some clients look for commands.
    pub(super) fn hand_out_commands(&mut self, clients: usize) {
        // All senders gone: the clients are told so, too.
        if self.commands.has_changed().unwrap_or(true) {
            let is_over = self.commands.borrow_and_update().is_over();
            self.commanded = Some(0);
            if is_over {
                // To end all clients takes its time, and is no load.
                self.lag = None;
            }
        }
        let Some(from) = self.commanded else { return };
        let until = (from + clients).min(self.clients.places());
        for index in from..until {
            while let Some((key, client)) = self.clients.at(index) {
                let Some(command) = client.subscriber.receiver.next_command() else { break };
                self.obey(key, command);
            }
        }
        self.commanded = (until < self.clients.places()).then_some(until);
    }

    fn obey(&mut self, key: Key, command: Command) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if matches!(client.state, State::Reading(_)) {
            if self.has_read_all(key) {
                self.obey_reading(key, command);
            }
            return;
        }
        match command {
            // There is no connection to cut.
            Command::Cut | Command::Recheck => {}
            Command::Sentinels(addresses) => client.subscriber.expect_sentinels(addresses),
            Command::Over => {
                let ending = client.subscriber.ending_without_stream();
                self.finish(key, ending);
            }
        }
    }

    fn obey_reading(&mut self, key: Key, command: Command) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let State::Reading(open) = &mut client.state else { return };
        match client.subscriber.obey(command, &open.session) {
            Some(stopped) => self.close(key, stopped),
            // It may read faster from now on.
            None => self.read_later(key),
        }
    }

    /// Lets a client read all that it may. Returns whether its stream is still open.
    pub(super) fn has_read_all(&mut self, key: Key) -> bool {
        for _ in 0..READS_BEFORE {
            let Some(client) = self.clients.get_mut(key) else { return false };
            if let State::Reading(open) = &client.state
                && open.is_paused
            {
                return true;
            }
            match self.read_a_turn(key) {
                After::All => return true,
                After::More => {}
                After::Closed => return false,
            }
        }
        self.read_later(key);
        true
    }
}
