//! A client that stays connected: [`connect`], [`Stream`] and [`Reconnect`] joined. Every wait has a limit, and nothing
//! runs unless [`EventSource::next`] is being awaited. Read that first.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::connect::{ConnectError, Request, connect};
use super::reconnect::{Decision, End, GiveUp, Reconnect};
use super::stream::{Ending, Event, Received, Stream};

/// What happens to a client that stays connected.
#[derive(Debug)]
pub enum Signal {
    /// Connected, for the first time or again.
    Open {
        /// Address of the other end; `None` where the transport does not report it.
        peer: Option<SocketAddr>,
    },
    /// An event came.
    Event(Event),
    /// A comment came: the server is alive.
    Heartbeat,
    /// Not connected; the next attempt follows by itself.
    Reconnecting {
        /// Wait until the next attempt.
        after: Duration,
        because: Interruption,
    },
    /// The last signal: there will be no other attempt.
    GaveUp { why: GiveUp, because: Interruption },
}

/// Why a client is not connected.
#[derive(Debug)]
pub enum Interruption {
    /// The attempt did not become a stream.
    NotOpened(ConnectError),
    /// The stream ended.
    Ended(Ending),
}

impl fmt::Display for Interruption {
    /// With the causes, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpened(error) => f.write_str(&crate::runtime::error_chain(error)),
            Self::Ended(ending) => ending.fmt(f),
        }
    }
}

/// A client that stays connected, as its [`super::Policy`] has it.
pub struct EventSource {
    http: reqwest::Client,
    request: Request,
    reconnect: Reconnect,
    rng: StdRng,
    state: State,
}

/// Every state can be left and taken up again, which makes `next` cancel safe.
enum State {
    Connecting(BoxFuture<'static, Result<Stream, ConnectError>>),
    Open(Box<Stream>),
    Waiting(Instant),
    Over,
}

/// The event that ends a state.
#[expect(clippy::large_enum_variant, reason = "lives for a moment on the stack")]
enum Step {
    Connected(Result<Stream, ConnectError>),
    Received(Result<Received, Ending>),
    Waited,
    Over,
}

impl EventSource {
    /// A client that connects when it is first asked for a signal. A cursor in the request is where it starts.
    #[must_use]
    pub fn new(http: reqwest::Client, request: Request, mut reconnect: Reconnect) -> Self {
        if !request.last_event_id.is_empty() {
            reconnect.set_last_event_id(&request.last_event_id);
        }
        let state = State::Waiting(Instant::now());
        Self { http, request, reconnect, rng: StdRng::from_rng(&mut rand::rng()), state }
    }

    /// What happens next; `None` after [`Signal::GaveUp`]. Cancel safe: dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Signal> {
        loop {
            let signal = match self.step().await {
                Step::Waited => {
                    self.state = self.connecting();
                    None
                }
                Step::Connected(Ok(stream)) => {
                    let peer = stream.peer();
                    self.state = State::Open(Box::new(stream));
                    Some(Signal::Open { peer })
                }
                Step::Connected(Err(error)) => Some(self.interrupted(Interruption::NotOpened(error))),
                Step::Received(Ok(received)) => self.received(received),
                Step::Received(Err(ending)) => Some(self.interrupted(Interruption::Ended(ending))),
                Step::Over => return None,
            };
            if signal.is_some() {
                return signal;
            }
        }
    }

    /// Value of `Last-Event-ID` for the next connection. Empty: the header is not sent.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        self.reconnect.last_event_id()
    }

    /// Whether there is a connection now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    async fn step(&mut self) -> Step {
        match &mut self.state {
            State::Connecting(connecting) => Step::Connected(connecting.await),
            State::Open(stream) => Step::Received(stream.next().await),
            State::Waiting(until) => {
                tokio::time::sleep_until(*until).await;
                Step::Waited
            }
            State::Over => Step::Over,
        }
    }

    fn connecting(&self) -> State {
        let http = self.http.clone();
        let mut request = self.request.clone();
        self.reconnect.last_event_id().clone_into(&mut request.last_event_id);
        State::Connecting(Box::pin(async move { connect(&http, &request).await }))
    }

    fn received(&mut self, received: Received) -> Option<Signal> {
        self.reconnect.learn(&received);
        match received {
            Received::Event(event) => Some(Signal::Event(event)),
            Received::Comment(_) => Some(Signal::Heartbeat),
            Received::Retry(_) | Received::IdCommitted(_) => None,
        }
    }

    fn interrupted(&mut self, because: Interruption) -> Signal {
        let end = match &because {
            Interruption::NotOpened(error) => End::NotOpened(error),
            Interruption::Ended(ending) => End::Ended(ending),
        };
        match self.reconnect.after(end, &mut self.rng) {
            Decision::RetryIn(after) => {
                self.state = State::Waiting(Instant::now() + after);
                Signal::Reconnecting { after, because }
            }
            Decision::GiveUp(why) => {
                self.state = State::Over;
                Signal::GaveUp { why, because }
            }
        }
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Connecting(_) => "connecting",
            State::Open(_) => "open",
            State::Waiting(_) => "waiting",
            State::Over => "over",
        };
        f.debug_struct("EventSource")
            .field("url", &self.request.url.as_str())
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
