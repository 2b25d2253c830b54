//! One client of a crowd: connects, reads, comes back, counts. Holds no lock while it reads.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use tokio::time::Instant;

use super::end_mark::EndMark;
use super::shared::AdhocContext;
use super::tally::{Arrived, Tally};
use crate::bench::ids::{GroupId, PhaseId};
use crate::bench::load::clients::{Command, CommandReceiver, SampleBuffer};
use crate::bench::metrics::metric::{Counter, Trend};
use crate::bench::metrics::tags::{Source, Tags};
use crate::bench::stamp::Stamp;
use crate::client::{
    self, ConnectError, Decision, Event, Received, Reconnect, ReconnectOptions, Request, Stream,
};
use crate::protocol::event::control;
use crate::runtime::error_chain;

/// There is one phase and one group.
const TAGS: Tags = Tags { phase: PhaseId(0), source: Source::Group(GroupId(0)), path: None };

/// One client.
pub(super) struct Listener {
    square: Arc<AdhocContext>,
    number: u32,
    samples: SampleBuffer,
    receiver: CommandReceiver,
    tally: Tally,
    reconnect: Reconnect,
    connects: u64,
    lost_at: Option<Instant>,
    is_complete: bool,
    never_connected: Option<String>,
}

/// What a client leaves behind.
pub(super) struct Left {
    pub(super) tally: Tally,
    /// Why it was never connected, if it was not.
    pub(super) never_connected: Option<String>,
}

impl Listener {
    pub(super) fn new(
        square: Arc<AdhocContext>,
        number: u32,
        samples: SampleBuffer,
        receiver: CommandReceiver,
    ) -> Self {
        let reconnect = Reconnect::new(square.options.policy, ReconnectOptions::default());
        Self {
            square,
            number,
            samples,
            receiver,
            tally: Tally::default(),
            reconnect,
            connects: 0,
            lost_at: None,
            is_complete: false,
            never_connected: Some("it was over before".to_owned()),
        }
    }

    pub(super) async fn run(mut self) -> Left {
        let mut wait = self.first_wait();
        while self.rest(wait).await {
            match self.connect_and_read().await {
                Some(next) => wait = next,
                None => break,
            }
        }
        self.square.departed.fetch_add(1, Ordering::Relaxed);
        Left { tally: self.tally, never_connected: self.never_connected }
    }

    /// Its share of the ramp.
    fn first_wait(&self) -> Duration {
        let clients = f64::from(self.square.options.clients.max(1));
        self.square.options.ramp.mul_f64(f64::from(self.number) / clients)
    }

    /// Waits; false when it is over meanwhile.
    async fn rest(&mut self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        loop {
            let command = tokio::select! {
                () = tokio::time::sleep_until(until) => return true,
                command = self.receiver.recv() => command,
            };
            match command {
                Command::Over => return false,
                Command::Cut | Command::Sentinels(_) => {}
            }
        }
    }

    /// One connection from its beginning to its end. How long to wait until the next one; `None`: there is none.
    async fn connect_and_read(&mut self) -> Option<Duration> {
        let mut rng = ChaCha8Rng::seed_from_u64(u64::from(self.number) << 32 | self.connects);
        let began = Instant::now();
        let mut stream = match self.open().await? {
            Ok(stream) => stream,
            Err(error) => {
                self.square.progress.connect_error();
                self.never_connected = self.never_connected.take().map(|_| error_chain(&error));
                return retry_in(self.reconnect.after(&error, &mut rng));
            }
        };
        self.connects += 1;
        self.note_opened(began);
        self.square.progress.connected();
        let ending = self.read(&mut stream, began).await;
        self.square.progress.disconnected();
        self.samples.count(Counter::BytesIn, TAGS, stream.bytes_received());
        self.lost_at = Some(Instant::now());
        retry_in(self.reconnect.after(&ending?, &mut rng))
    }

    /// `None` when it is over meanwhile.
    async fn open(&mut self) -> Option<Result<Stream, ConnectError>> {
        let url = self.square.options.url.replace("{i}", &self.number.to_string());
        // The command line parsed it with a number in its place.
        let mut request = Request::new(url.parse().ok()?);
        request.headers = self.square.options.headers.clone();
        // A server of any make may be silent for as long as it likes.
        request.idle_timeout = None;
        self.reconnect.last_event_id().clone_into(&mut request.last_event_id);
        let square = Arc::clone(&self.square);
        let is_first = self.connects == 0;
        let connecting = async move {
            // The gate is never closed.
            let _permit = if is_first { square.gate.acquire().await.ok() } else { None };
            client::connect(&square.http, &request).await
        };
        let mut connecting = std::pin::pin!(connecting);
        loop {
            let command = tokio::select! {
                opened = &mut connecting => return Some(opened),
                command = self.receiver.recv() => command,
            };
            match command {
                Command::Over => return None,
                Command::Cut | Command::Sentinels(_) => {}
            }
        }
    }

    fn note_opened(&mut self, began: Instant) {
        self.samples.record(Trend::ConnectTime, TAGS, began.elapsed());
        if self.never_connected.take().is_some() {
            self.square.arrived.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(lost_at) = self.lost_at.take() {
            self.samples.record(Trend::ReconnectTime, TAGS, lost_at.elapsed());
            self.square.progress.reconnected();
        }
    }

    /// Reads until the stream ends; `None` when it is over before.
    async fn read(&mut self, stream: &mut Stream, began: Instant) -> Option<client::Ending> {
        let mut is_first = true;
        loop {
            let command = tokio::select! {
                biased;
                received = stream.next() => match received {
                    Ok(received) => {
                        self.reconnect.learn(&received);
                        if let Received::Event(event) = received {
                            if std::mem::take(&mut is_first) {
                                self.samples.record(Trend::FirstEventTime, TAGS, began.elapsed());
                            }
                            self.receive(&event);
                            self.note_id();
                        }
                        continue;
                    }
                    Err(ending) => return Some(ending),
                },
                command = self.receiver.recv() => command,
            };
            match command {
                Command::Over => return None,
                Command::Cut | Command::Sentinels(_) => {}
            }
        }
    }

    fn receive(&mut self, event: &Event) {
        if control::ALL.contains(&event.event.as_str()) {
            match event.event.as_str() {
                control::GAP => self.samples.count(Counter::Gaps, TAGS, 1),
                control::CLOSE => self.samples.count(Counter::Closes, TAGS, 1),
                _ => {}
            }
            return;
        }
        self.square.events.fetch_add(1, Ordering::Relaxed);
        self.square.progress.delivered();
        // Events of other publishers are counted, and nothing is known of them.
        let Ok(stamp) = Stamp::decode(&event.data) else { return };
        match self.tally.arrive(&stamp) {
            Arrived::New { shares_clock: true } => {
                let now = self.square.clock.now();
                self.samples.record(Trend::DeliveryLatency, TAGS, now.after(stamp.due));
            }
            Arrived::End => self.note_end(&stamp, &event.data),
            Arrived::New { shares_clock: false } | Arrived::Again | Arrived::EndAgain => {}
        }
        self.look_whether_complete();
    }

    /// Whether there is anything that it could come back with.
    fn note_id(&self) {
        if !self.reconnect.last_event_id().is_empty() {
            self.square.has_ids.store(true, Ordering::Relaxed);
        }
    }

    fn note_end(&self, stamp: &Stamp, data: &str) {
        let mut marks = self.square.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if !marks.contains_key(&stamp.run)
            && let Some(mark) = EndMark::from_envelope(data)
        {
            marks.insert(stamp.run, mark);
        }
    }

    /// Looks only once an end mark has come: before that nothing can be complete.
    fn look_whether_complete(&mut self) {
        let ends = usize::try_from(self.square.options.ends).unwrap_or(usize::MAX);
        if self.is_complete || ends == 0 || self.tally.ended() < ends {
            return;
        }
        if self.tally.is_complete(&self.square.marks(), ends) {
            self.is_complete = true;
            self.square.complete.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn retry_in(decision: Decision) -> Option<Duration> {
    match decision {
        Decision::RetryIn(wait) => Some(wait),
        Decision::GiveUp(_) => None,
    }
}
