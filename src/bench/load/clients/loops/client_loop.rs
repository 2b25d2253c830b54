//! One loop: a thread, an epoll, and a share of the clients. Must never wait for anything but its epoll. Read
//! [`ClientLoop::turn`] first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::client::{LoopClient, Progress, State, read};
use super::connects::Gate;
use super::handle::{LoopHandle, LoopSetting, Message};
use crate::bench::load::clients::context::SwarmContext;
use crate::bench::load::clients::control::SwarmState;
use crate::bench::load::clients::ledgers::hand_in;
use crate::bench::load::clients::sample_buffer::SampleBuffer;
use crate::bench::load::clients::subscriber::{Next, Stopped, Subscriber};
use crate::bench::load::lag::{LagTicks, TICK};
use crate::bench::panic;
use crate::bench::scenario::plan::{Joins, SubscriberPlan};
use crate::bench::verdict::ledger::Ending as LifeEnding;
use crate::client::Ending;
use crate::net::{Inbox, Key, Metronome, Poll, Ready, Slab};

/// Bytes of all that one read of a socket takes.
const BUFFER: usize = 64 * 1024;
/// Connects that are answered in one turn.
const MESSAGES: usize = 64;
/// Clients that get their commands in one turn.
const COMMANDED: usize = 64;
/// Clients whose deadline is over, in one turn.
const DUE: usize = 64;
/// Time in which a loop looks for silence at each of its clients, in [`SWEEPS`] parts: this, or a part of the silence that
/// is too long. Each look brings a client back into the cache.
const SWEEP: Duration = Duration::from_millis(250);
const SWEEPS: usize = 4;
const SWEEPS_OF_A_SILENCE: u32 = 64;
/// A loop without anything to do looks around after this time.
const IDLE: Duration = Duration::from_secs(2);

/// What is due at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The client goes on.
    Wakes,
    /// The client leaves.
    Leaves,
}

/// Where a client stands after a turn of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It has all that it may read now.
    All,
    /// There may be more.
    More,
    /// It has no stream.
    Closed,
}

/// One loop with its clients.
pub(in crate::bench::load::clients) struct ClientLoop {
    pub(super) setting: LoopSetting,
    pub(super) inbox: LoopHandle,
    pub(super) commands: watch::Receiver<SwarmState>,
    /// How far the clients have got the newest commands; `None`: all have.
    pub(super) commanded: Option<usize>,
    pub(super) has_started: bool,
    pub(super) poll: Poll,
    ready: Vec<Ready>,
    pub(super) clients: Slab<Box<LoopClient>>,
    /// Clients with more to read.
    again: VecDeque<Key>,
    deadlines: BinaryHeap<Reverse<(Instant, Key, Due)>>,
    pub(super) gate: Gate,
    /// `None`: nobody asks for it.
    pub(super) lag: Option<(LagTicks, Metronome)>,
    pub(super) buffer: Vec<u8>,
    next_sweep: Instant,
    swept: usize,
    /// No client takes a stream for dead before it was silent for so long.
    shortest_silence: Duration,
}

fn shortest_silence(context: &SwarmContext) -> Duration {
    let groups = context.plan.groups.iter().map(|group| group.idle_timeout);
    // A server that an ad hoc swarm does not know may be silent for any time.
    groups.min().filter(|_| context.adhoc.is_none()).unwrap_or(Duration::MAX)
}

impl ClientLoop {
    /// A loop without clients.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub(in crate::bench::load::clients) fn new(setting: LoopSetting) -> io::Result<Self> {
        let (poll, inbox) = (Poll::new()?, Arc::new(Inbox::new()?));
        poll.add(&*inbox, Key::NONE)?;
        let context = &setting.context;
        // Publishers of an ad hoc swarm are other processes, and nothing is judged by its lateness.
        let lag = if context.adhoc.is_none() {
            let phases = Arc::new(context.plan.phases.clone());
            // The ticks begin first, so each of them is due when the metronome beats.
            let ticks = LagTicks::new(context.clock.clone(), phases, setting.source);
            let metronome = Metronome::new(TICK)?;
            poll.add(&metronome, Key::BEAT)?;
            Some((ticks, metronome))
        } else {
            None
        };
        Ok(Self {
            lag,
            shortest_silence: shortest_silence(context),
            commands: setting.commands.follow(),
            gate: Gate::new(setting.connects_at_once),
            setting,
            inbox,
            commanded: None,
            has_started: false,
            poll,
            ready: Vec::new(),
            clients: Slab::default(),
            again: VecDeque::new(),
            deadlines: BinaryHeap::new(),
            buffer: vec![0; BUFFER],
            next_sweep: Instant::now(),
            swept: 0,
        })
    }

    /// To tell the loop something.
    pub(in crate::bench::load::clients) fn handle(&self) -> LoopHandle {
        Arc::clone(&self.inbox)
    }

    /// Adds a client of the plan, before the loop runs.
    pub(in crate::bench::load::clients) fn add(&mut self, plan: &SubscriberPlan) {
        let LoopSetting { context, recorder, commands, ids, .. } = &self.setting;
        let samples = SampleBuffer::unbuffered(Arc::clone(recorder), context.clock.clone());
        let subscriber = Subscriber::new(context, plan, samples, commands.receiver(plan.id), ids);
        let state = match plan.joins {
            Joins::BeforeStart => State::Waiting,
            Joins::At(_) => State::Joining,
        };
        let key =
            self.clients.insert(Box::new(LoopClient { subscriber, state, wakes: None, is_queued: false }));
        if plan.joins == Joins::BeforeStart {
            self.wake_at(key, Instant::now());
        }
    }

    /// Serves the clients until the loop is told to stop.
    pub(in crate::bench::load::clients) fn run(mut self) {
        while self.turn() {}
    }

    /// One turn: waits for something to do, then does a bounded part of each kind of work. Returns whether the loop goes on.
    fn turn(&mut self) -> bool {
        self.wait();
        let mut ready = std::mem::take(&mut self.ready);
        for ready in ready.drain(..) {
            self.on_ready(ready);
        }
        self.ready = ready;
        for _ in 0..MESSAGES {
            match self.inbox.take() {
                None => break,
                Some(Message::Opened { key, request, opened, is_limited }) => {
                    self.on_opened(key, request, opened, is_limited);
                }
                Some(Message::Stop) => return false,
                Some(Message::Panic) => panic::now(panic::LOOP),
            }
        }
        self.look_for_start();
        self.hand_out_commands(COMMANDED);
        for _ in 0..self.again.len() {
            if let Some(key) = self.again.pop_front() {
                self.read_on(key);
            }
        }
        self.on_deadlines();
        self.sweep();
        true
    }

    fn wait(&mut self) {
        let mut busy = self.is_busy();
        if !busy {
            // Whoever adds something after the next look wakes the loop.
            self.inbox.sleeps(true);
            busy = self.is_busy();
        }
        let until = |moment: Instant| moment.saturating_duration_since(Instant::now());
        let deadline = self.deadlines.peek().map(|Reverse((at, ..))| until(*at));
        let sweep = until(self.next_sweep);
        let idle = deadline.map_or(sweep, |deadline| deadline.min(sweep));
        let waited = self.poll.wait(Some(if busy { Duration::ZERO } else { idle }), &mut self.ready);
        waited.expect("an epoll instance waits, whatever happens to its sockets");
        self.inbox.sleeps(false);
    }

    fn is_busy(&self) -> bool {
        let has_news = self.commanded.is_some() || self.commands.has_changed().unwrap_or(false);
        let starts = !self.has_started && self.setting.context.started.is_cancelled();
        has_news || starts || !self.again.is_empty() || !self.inbox.is_empty()
    }

    /// It is the turn of the metronome, which has waited as the sockets do that became ready with it.
    fn note_lag(&mut self) {
        if let Some((lag, metronome)) = &mut self.lag
            && metronome.take() > 0
        {
            let mut recorder = self.setting.recorder.lock().unwrap_or_else(PoisonError::into_inner);
            lag.done(Duration::ZERO, &mut recorder);
        }
    }

    fn on_ready(&mut self, ready: Ready) {
        if ready.key == Key::BEAT {
            return self.note_lag();
        }
        let Some(client) = self.clients.get_mut(ready.key) else { return };
        let State::Reading(open) = &mut client.state else { return };
        open.ends |= ready.ends;
        if ready.readable && !open.is_paused && !client.is_queued {
            self.read_on(ready.key);
        }
    }

    /// Lets a client read what is there.
    fn read_on(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        client.is_queued = false;
        if let State::Reading(open) = &mut client.state {
            open.is_paused = false;
        }
        if self.read_a_turn(key) == After::More {
            self.read_later(key);
        }
    }

    /// Lets a client with a stream read as much as it may in one turn.
    pub(super) fn read_a_turn(&mut self, key: Key) -> After {
        let Some(client) = self.clients.get_mut(key) else { return After::Closed };
        let State::Reading(open) = &mut client.state else { return After::Closed };
        match read(&mut client.subscriber, open, &mut self.buffer) {
            Progress::All => After::All,
            Progress::More => After::More,
            Progress::Until(moment) => {
                open.is_paused = true;
                self.wake_at(key, moment);
                After::All
            }
            Progress::Stopped(stopped) => {
                self.close(key, stopped);
                After::Closed
            }
        }
    }

    pub(super) fn read_later(&mut self, key: Key) {
        if let Some(client) = self.clients.get_mut(key).filter(|client| !client.is_queued) {
            client.is_queued = true;
            self.again.push_back(key);
        }
    }

    /// Closes the stream of a client, which goes on as its policy says.
    pub(super) fn close(&mut self, key: Key, stopped: Stopped) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let State::Reading(open) = std::mem::replace(&mut client.state, State::Waiting) else { return };
        let next = client.subscriber.closed(&open.connection.intake, open.session, stopped);
        self.go_on(key, next);
    }

    /// What a client without a connection does next.
    pub(super) fn go_on(&mut self, key: Key, next: Next) {
        match next {
            Next::After(wait) => {
                if let Some(client) = self.clients.get_mut(key) {
                    client.state = State::Waiting;
                }
                self.wake_at(key, Instant::now() + wait);
            }
            Next::Stop(ending) => self.finish(key, ending),
        }
    }

    /// Ends a client.
    pub(super) fn finish(&mut self, key: Key, ending: LifeEnding) {
        let Some(client) = self.clients.remove(key) else { return };
        let ledgers = self.setting.ledgers.clone();
        self.setting.tasks.spawn("end of a client", async move {
            let id = client.subscriber.plan().id;
            let ledger = client.subscriber.finish(ending).await;
            hand_in(&ledgers, id, ledger).await;
        });
    }

    pub(super) fn wake_at(&mut self, key: Key, moment: Instant) {
        if let Some(client) = self.clients.get_mut(key) {
            client.wakes = Some(moment);
            self.deadlines.push(Reverse((moment, key, Due::Wakes)));
        }
    }

    pub(super) fn leave_at(&mut self, key: Key, moment: Instant) {
        self.deadlines.push(Reverse((moment, key, Due::Leaves)));
    }

    fn on_deadlines(&mut self) {
        let now = Instant::now();
        for _ in 0..DUE {
            match self.deadlines.peek().copied() {
                Some(Reverse((at, key, due))) if at <= now => {
                    self.deadlines.pop();
                    match due {
                        Due::Wakes => self.wake(key, at),
                        Due::Leaves => self.leave(key),
                    }
                }
                Some(_) | None => return,
            }
        }
    }

    fn wake(&mut self, key: Key, at: Instant) {
        let Some(client) = self.clients.get_mut(key).filter(|client| client.wakes == Some(at)) else {
            return;
        };
        client.wakes = None;
        match &mut client.state {
            State::Joining | State::Waiting => self.connect(key),
            State::Reading(open) => {
                // Its own pause is no silence of the server.
                open.silent_since = Instant::now();
                self.read_on(key);
            }
            State::Queued | State::Opening(_) => {}
        }
    }

    fn leave(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if !client.subscriber.is_time_to_leave() {
            if let Some(moment) = client.subscriber.leaves() {
                self.leave_at(key, moment);
            }
            return;
        }
        match &client.state {
            State::Joining | State::Waiting => self.finish(key, LifeEnding::Left),
            // It looks again when it has a stream.
            State::Queued | State::Opening(_) => {}
            State::Reading(_) => {
                if self.has_read_all(key) {
                    self.close(key, Stopped::Leaves);
                }
            }
        }
    }

    /// Looks for streams that are silent for too long.
    fn sweep(&mut self) {
        let now = Instant::now();
        if now < self.next_sweep {
            return;
        }
        let every = SWEEP.max(self.shortest_silence / SWEEPS_OF_A_SILENCE).min(IDLE);
        self.next_sweep = now + every / u32::try_from(SWEEPS).unwrap_or(1);
        if self.shortest_silence == Duration::MAX {
            return;
        }
        self.swept = (self.swept + 1) % SWEEPS;
        for index in (self.swept..self.clients.places()).step_by(SWEEPS) {
            let Some((key, client)) = self.clients.at(index) else { continue };
            let State::Reading(open) = &client.state else { continue };
            let silence = now.saturating_duration_since(open.silent_since);
            if open.is_paused || silence < self.shortest_silence {
                continue;
            }
            let Some(after) = client.subscriber.idle_timeout() else { continue };
            if silence >= after {
                self.end_if_silent(key, after);
            }
        }
    }

    fn end_if_silent(&mut self, key: Key, after: Duration) {
        if !self.has_read_all(key) {
            return;
        }
        let Some(client) = self.clients.get_mut(key) else { return };
        let State::Reading(open) = &mut client.state else { return };
        if open.silent_since.elapsed() >= after {
            open.connection.intake.end(Ending::Idle { after });
            self.close(key, Stopped::Ended(Ending::Idle { after }));
        }
    }
}
