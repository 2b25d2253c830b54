//! The task that reads events over the console's own stream, with `crate::client`, and sends them in batches: every
//! tenth of a second the events that passed the filter, or a sample of them above a readable rate. Read
//! [`EventReader::follow`] first.

use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::client::{
    Ending, Event, EventSource, Interruption, Policy, Reconnect, ReconnectOptions, Request, Signal,
};
use crate::protocol::{Filter, Limits};
use crate::tui::config::credentials::Credentials;
use crate::tui::sources::clock::Clock;
use crate::tui::sources::mask::Mask;
use crate::tui::state::events::{EventBatch, EventQuery, ReceivedEvent, StreamState};
use crate::tui::state::message::Message;
use crate::tui::text::sanitize::SafeText;

/// Time between two batches.
const BATCH: Duration = Duration::from_millis(100);
/// Most events of a batch: 200 per second, more than a person can read.
const BATCH_EVENTS: usize = 20;
/// Most characters of a payload, and most lines of it, that are kept.
const PAYLOAD_CHARS: usize = 2_000;
const LINES: usize = 200;
/// Longest line and event that are received: larger than any node lets a publisher send. Only the beginning is kept.
const RECEIVED_BYTES: usize = 64 << 20;
/// Longer payloads are not decoded; only their beginning is kept.
const DECODED_BYTES: usize = 256 << 10;

/// Reads the stream of events.
#[derive(Debug, Clone)]
pub(crate) struct EventReader {
    pub(crate) http: reqwest::Client,
    pub(crate) credentials: Credentials,
    /// The console's client id, which distinguishes it from other clients.
    pub(crate) client_id: String,
    pub(crate) clock: Clock,
    pub(crate) mask: Mask,
    pub(crate) messages: Sender<Message>,
}

/// Collects the events since the last batch.
struct EventBatchBuilder {
    filter: Filter,
    mask: Mask,
    stream: StreamState,
    is_new: bool,
    events: Vec<ReceivedEvent>,
    passed: u64,
    since: Instant,
    /// Events per second, smoothed over about a second.
    per_second: f64,
}

impl EventReader {
    /// Reads the wanted stream until the token is cancelled.
    pub(crate) async fn follow(
        self,
        mut wanted: watch::Receiver<Option<EventQuery>>,
        token: CancellationToken,
    ) {
        tokio::select! {
            () = token.cancelled() => {}
            () = self.read_forever(&mut wanted) => {}
        }
    }

    async fn read_forever(&self, wanted: &mut watch::Receiver<Option<EventQuery>>) {
        loop {
            let query = wanted.borrow_and_update().clone();
            let reading = async {
                match &query {
                    Some(query) => self.read(query).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = reading => {
                    // The client gave up; only another query starts another stream.
                    if wanted.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Reads one stream until the client gives up.
    async fn read(&self, query: &EventQuery) {
        let mut source = self.source(query);
        let mut builder = EventBatchBuilder::new(&query.filter, self.mask.clone());
        let mut batches = interval(BATCH);
        batches.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            // Biased, so that a flood of events cannot delay a batch.
            tokio::select! {
                biased;
                _ = batches.tick() => if let Some(batch) = builder.batch(self.clock)
                    && self.messages.send(Message::Streamed(Box::new(batch))).await.is_err() { return },
                signal = source.next() => match signal {
                    Some(signal) => builder.take(signal, self.clock),
                    None => break,
                },
            }
        }
        if let Some(batch) = builder.batch(self.clock) {
            let _ended = self.messages.send(Message::Streamed(Box::new(batch))).await;
        }
    }

    fn source(&self, query: &EventQuery) -> EventSource {
        let mut url = query.node.join("/api/sse/stream");
        url.query_pairs_mut().append_pair("clientId", &self.client_id);
        if !query.topics.is_empty() {
            url.query_pairs_mut().append_pair("topics", &query.topics.join(","));
        }
        let mut request = Request::new(url);
        request.limits = Limits { max_line: RECEIVED_BYTES, max_event: RECEIVED_BYTES };
        if let Some(header) = self.credentials.header_for(&query.node) {
            request.headers.insert(AUTHORIZATION, header);
        }
        let options = ReconnectOptions { max_delay: Duration::from_secs(10), ..ReconnectOptions::default() };
        EventSource::new(self.http.clone(), request, Reconnect::new(Policy::Tolerant, options))
    }
}

impl EventBatchBuilder {
    fn new(filter: &str, mask: Mask) -> Self {
        Self {
            mask,
            // Checked when it was typed; an invalid filter hides nothing.
            filter: Filter::parse::<ReceivedEvent>(filter).unwrap_or_default(),
            stream: StreamState::Connecting,
            is_new: true,
            events: Vec::new(),
            passed: 0,
            since: Instant::now(),
            per_second: 0.0,
        }
    }

    fn take(&mut self, signal: Signal, clock: Clock) {
        let stream = match signal {
            Signal::Event(event) => {
                self.event(&event, clock);
                return;
            }
            Signal::Heartbeat => return,
            Signal::Open { .. } => StreamState::Open,
            Signal::Reconnecting { after, because } => StreamState::Waiting(SafeText::new(&format!(
                "{because}; again in {:.1} s",
                after.as_secs_f64()
            ))),
            Signal::GaveUp { because: Interruption::Ended(Ending::LimitExceeded(limit)), .. } => {
                StreamState::Over(SafeText::new(&format!("the console's own limit: {limit}")))
            }
            Signal::GaveUp { why, because } => StreamState::Over(SafeText::new(&format!("{because}; {why}"))),
        };
        (self.stream, self.is_new) = (stream, true);
    }

    fn event(&mut self, event: &Event, clock: Clock) {
        let is_full = self.events.len() >= BATCH_EVENTS;
        if is_full && self.filter.is_empty() {
            // Not decoded, since it will not be shown.
            self.passed += 1;
            return;
        }
        let received = received_event(event, clock);
        if self.filter.matches(&received) {
            self.passed += 1;
            if !is_full {
                self.events.push(self.mask.event(received));
            }
        }
    }

    /// The next batch; `None` when nothing happened and the rate is already zero.
    fn batch(&mut self, clock: Clock) -> Option<EventBatch> {
        let passed = self.since.elapsed().as_secs_f64();
        if passed > 0.0 {
            let weight = passed.min(1.0);
            self.per_second = self.per_second * (1.0 - weight) + self.passed as f64 / passed * weight;
        }
        self.since = Instant::now();
        let is_quiet = self.passed == 0 && !self.is_new && self.per_second == 0.0;
        if self.per_second < 0.05 {
            self.per_second = 0.0;
        }
        if is_quiet {
            return None;
        }
        self.is_new = false;
        let events = std::mem::take(&mut self.events);
        let left_out = std::mem::take(&mut self.passed).saturating_sub(events.len() as u64);
        let (stream, per_second) = (self.stream.clone(), self.per_second);
        Some(EventBatch { at: clock.now(), stream, events, left_out, per_second })
    }
}

/// The shown fields of the envelope; a node's own events have no envelope.
#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    id: String,
    #[serde(borrow)]
    data: &'a RawValue,
    source: String,
}

/// The event in the form that is shown: decoded and sanitised.
fn received_event(event: &Event, clock: Clock) -> ReceivedEvent {
    let is_short = event.data.len() <= DECODED_BYTES;
    let envelope = serde_json::from_str::<Envelope<'_>>(&event.data).ok().filter(|_| is_short);
    let payload = envelope.as_ref().map_or(event.data.as_str(), |envelope| envelope.data.get());
    let text = |text: Option<&str>| SafeText::new(text.unwrap_or_default());
    ReceivedEvent {
        number: 0,
        at: clock.now(),
        id: SafeText::new(&event.last_event_id),
        kind: SafeText::new(&event.event),
        source: text(envelope.as_ref().map(|envelope| envelope.source.as_str())),
        message: text(envelope.as_ref().map(|envelope| envelope.id.as_str())),
        payload: SafeText::limited(payload, PAYLOAD_CHARS),
        lines: if is_short { lines(payload) } else { vec![SafeText::limited(payload, PAYLOAD_CHARS)] },
        bytes: event.data.len(),
    }
}

/// JSON with one value per line; any other text unchanged.
fn lines(payload: &str) -> Vec<SafeText> {
    let pretty = serde_json::from_str::<serde_json::Value>(payload)
        .and_then(|value| serde_json::to_string_pretty(&value));
    let text = pretty.as_deref().unwrap_or(payload);
    text.lines().take(LINES).map(|line| SafeText::limited(line, PAYLOAD_CHARS)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::GiveUp;
    use crate::protocol::LimitExceeded;
    use crate::tui::sources::tests::server::Server;

    fn event(data: &str) -> Event {
        Event {
            event: "MESSAGE".to_owned(),
            data: data.to_owned(),
            last_event_id: "k-1-0".to_owned(),
            id_in_block: true,
        }
    }

    fn envelope(data: &str) -> String {
        format!(
            r#"{{"id":"m1","type":"MESSAGE","data":{data},"timestamp":"t","source":"node-1","metadata":null}}"#
        )
    }

    #[tokio::test]
    async fn a_payload_is_decoded_and_does_nothing_to_the_terminal() {
        let clock = Clock::start();
        let shown = received_event(&event(&envelope(r#"{"a":[1.10],"b":"\u001b]0;x"}"#)), clock);
        assert_eq!((shown.source.as_str(), shown.message.as_str()), ("node-1", "m1"));
        assert_eq!(shown.payload.as_str(), r#"{"a":[1.10],"b":"\u001b]0;x"}"#);
        let lines: Vec<_> = shown.lines.iter().map(SafeText::as_str).collect();
        assert_eq!(lines[..2], ["{", "  \"a\": ["]);
        let raw = received_event(&event("not JSON \x1b[2J\u{202e}"), clock);
        assert_eq!(raw.payload.as_str(), "not JSON \\u{1b}[2J\\u{202e}");
        assert_eq!(raw.lines.len(), 1);
        let long = received_event(&event(&"x".repeat(1 << 20)), clock);
        assert_eq!((long.bytes, long.payload.as_str().chars().count()), (1 << 20, PAYLOAD_CHARS + 1));
    }

    async fn first_event_of(body: String) -> ReceivedEvent {
        let server = Server::streaming(body).await;
        let query = EventQuery { node: server.url.clone(), topics: Vec::new(), filter: String::new() };
        let (messages, mut received) = tokio::sync::mpsc::channel(8);
        let reader = EventReader {
            http: crate::client::HttpOptions::default().build().unwrap(),
            credentials: Credentials::default(),
            client_id: "console".to_owned(),
            clock: Clock::start(),
            mask: Mask::default(),
            messages,
        };
        let (_keep, wanted) = watch::channel(Some(query));
        let token = CancellationToken::new();
        let found = async {
            loop {
                if let Some(Message::Streamed(batch)) = received.recv().await
                    && let Some(event) = batch.events.into_iter().next()
                {
                    return event;
                }
            }
        };
        tokio::select! {
            () = reader.follow(wanted, token) => panic!("the stream is wanted"),
            event = found => event,
        }
    }

    #[tokio::test]
    async fn a_large_first_event_does_not_end_the_screen() {
        let line = |bytes: usize| format!("data: {}\n", "x".repeat(bytes));
        let event = first_event_of(line(1_500_000) + "\n").await;
        assert_eq!((event.bytes, event.payload.as_str().chars().count()), (1_500_000, PAYLOAD_CHARS + 1));
        let event = first_event_of(line(65_000).repeat(80) + "\n").await;
        assert_eq!(event.bytes, 80 * 65_001 - 1);
    }

    #[test]
    fn a_limit_of_the_console_is_told_as_its_own() {
        let mut builder = EventBatchBuilder::new("", Mask::default());
        let limit = LimitExceeded::Line { max: RECEIVED_BYTES };
        let because = Interruption::Ended(Ending::LimitExceeded(limit));
        builder.take(Signal::GaveUp { why: GiveUp::Decoder, because }, Clock::start());
        let StreamState::Over(why) = builder.stream else { panic!("{:?}", builder.stream) };
        assert!(why.as_str().starts_with("the console's own limit: a line"), "{}", why.as_str());
    }

    #[tokio::test(start_paused = true)]
    async fn above_a_rate_only_a_sample_is_shown_and_the_rest_is_counted() {
        let clock = Clock::start();
        let mut builder = EventBatchBuilder::new("data:yes", Mask::default());
        for number in 0..100 {
            let word = if number % 2 == 0 { "\"yes\"" } else { "\"no\"" };
            builder.take(Signal::Event(event(&envelope(word))), clock);
        }
        tokio::time::advance(BATCH).await;
        let batch = builder.batch(clock).unwrap();
        assert_eq!((batch.events.len(), batch.left_out), (BATCH_EVENTS, 50 - BATCH_EVENTS as u64));
        assert!(batch.per_second > 10.0, "{}", batch.per_second);
        // Batches go on until the rate is zero, then they stop.
        for _ in 0..200 {
            tokio::time::advance(BATCH).await;
            builder.batch(clock);
        }
        assert!(builder.batch(clock).is_none());
    }
}
