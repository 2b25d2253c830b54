//! Connects of the clients of a loop: a task each, until the head of the response is there. Read
//! [`ClientLoop::connect`] first.

use std::collections::VecDeque;
use std::sync::Arc;

use super::client::{Open, State, take};
use super::client_loop::ClientLoop;
use super::handle::{LoopSetting, Message};
use crate::bench::load::clients::ledgers::spawn_client;
use crate::bench::load::clients::subscriber::{Attempt, Stopped};
use crate::client::{ConnectError, Connection, Opened, PlainHttp, Request};
use crate::net::Key;
use crate::runtime::error_chain;

/// Limits the connects of the set-up, which must not overflow the backlog of a listening socket.
#[derive(Debug)]
pub(super) struct Gate {
    free: usize,
    waiting: VecDeque<Key>,
}

impl Gate {
    pub(super) fn new(at_once: usize) -> Self {
        Self { free: at_once, waiting: VecDeque::new() }
    }
}

impl ClientLoop {
    /// Lets a client connect, at once or when fewer others do.
    pub(super) fn connect(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let is_limited = client.subscriber.is_limited();
        if is_limited && self.gate.free == 0 {
            client.state = State::Queued;
            return self.gate.waiting.push_back(key);
        }
        let (attempt, request) = match client.subscriber.begin() {
            Ok(begun) => begun,
            Err(ending) => return self.finish(key, ending),
        };
        let context = &self.setting.context;
        let plain = context.transports.plain(&context.plan, client.subscriber.plan());
        match plain.filter(|_| PlainHttp::can_send(&request)) {
            Some(http) => {
                self.gate.free -= usize::from(is_limited);
                client.state = State::Opening(Box::new(attempt));
                self.open(key, http, Box::new(request), is_limited);
            }
            None => self.hand_over(key, attempt, request),
        }
    }

    fn open(&self, key: Key, http: PlainHttp, request: Box<Request>, is_limited: bool) {
        let (inbox, token) = (Arc::clone(&self.inbox), self.setting.tasks.token().clone());
        self.setting.tasks.spawn("connect", async move {
            if let Some(opened) = token.run_until_cancelled(http.connect(&request)).await {
                inbox.send(Message::Opened { key, request, opened, is_limited });
            }
        });
    }

    pub(super) fn on_opened(
        &mut self,
        key: Key,
        request: Box<Request>,
        opened: Result<Opened, ConnectError>,
        is_limited: bool,
    ) {
        if is_limited {
            self.gate.free += 1;
            while self.gate.free > 0
                && let Some(next) = self.gate.waiting.pop_front()
            {
                self.connect(next);
            }
        }
        let Some(client) = self.clients.get_mut(key) else { return };
        let state = std::mem::replace(&mut client.state, State::Waiting);
        let State::Opening(attempt) = state else {
            client.state = state;
            return;
        };
        match opened {
            Ok(Opened::Stream(connection)) => self.begin_reading(key, *attempt, *connection),
            Ok(Opened::Elsewhere) => self.hand_over(key, *attempt, *request),
            Err(error) => {
                let next = client.subscriber.not_opened(*attempt, &error);
                self.go_on(key, next);
            }
        }
    }

    fn begin_reading(&mut self, key: Key, attempt: Attempt, mut connection: Connection) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let session = client.subscriber.opened(attempt, &mut connection.intake);
        let rest = std::mem::take(&mut connection.rest);
        let open = Open::new(connection, session);
        let watched = self.poll.add(&open.connection.socket, key);
        client.state = State::Reading(Box::new(open));
        let State::Reading(open) = &mut client.state else { return };
        let begun = match watched {
            Ok(()) if rest.is_empty() => Ok(()),
            Ok(()) => take(&mut client.subscriber, open, &rest),
            Err(error) => {
                tracing::warn!(%error, "the socket of a client cannot be watched");
                Err(open.connection.fail(error_chain(&error)))
            }
        };
        if let Err(ending) = begun {
            return self.close(key, Stopped::Ended(ending));
        }
        let leaves = client.subscriber.leaves().filter(|_| client.subscriber.is_time_to_leave());
        if let Some(moment) = leaves {
            self.leave_at(key, moment);
        }
    }

    /// A client goes on as a task with `reqwest`: a loop cannot do what it has to do.
    fn hand_over(&mut self, key: Key, attempt: Attempt, request: Request) {
        let Some(client) = self.clients.remove(key) else { return };
        let subscriber = client.subscriber;
        let (id, LoopSetting { tasks, ledgers, .. }) = (subscriber.plan().id, &self.setting);
        spawn_client(tasks, ledgers, id, subscriber.go_on(Box::new((attempt, request))));
    }
}
