//! One task that reads events over a stream of its own, with the client of this house, and hands them on in batches:
//! every tenth of a second what passed the filter, as far as that is few enough to be read by people. Read
//! [`Tailer::follow`] first.

use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::credentials::Credentials;
use super::mask::Mask;
use super::message::Message;
use super::plain::Plain;
use super::poller::Clock;
use super::tail::{Arrival, Batch, Link, TailQuery};
use crate::client::{Event, EventSource, Policy, Reconnect, ReconnectOptions, Request, Signal};
use crate::protocol::Filter;

/// How often a batch is handed on.
const BATCH: Duration = Duration::from_millis(100);
/// Events of a batch at the most: 200 a second, more than anybody reads.
const BATCH_EVENTS: usize = 20;
/// Longest payload that is kept of an event, in characters, and most lines of it.
const PAYLOAD_CHARS: usize = 2_000;
const LINES: usize = 200;
/// Payloads that are longer are not decoded, only begun.
const DECODED_BYTES: usize = 256 << 10;

/// What the task needs.
#[derive(Debug, Clone)]
pub(crate) struct Tailer {
    pub(crate) http: reqwest::Client,
    pub(crate) credentials: Credentials,
    /// How the console calls itself, so that it can be told from other clients.
    pub(crate) client_id: String,
    pub(crate) clock: Clock,
    pub(crate) mask: Mask,
    pub(crate) messages: Sender<Message>,
}

/// What came since the last batch.
struct Gathering {
    filter: Filter,
    mask: Mask,
    link: Link,
    is_new: bool,
    events: Vec<Arrival>,
    passed: u64,
    since: Instant,
    /// Events a second, smoothed over about a second.
    per_second: f64,
}

impl Tailer {
    /// Reads what is wanted until the token ends it.
    pub(crate) async fn follow(
        self,
        mut wanted: watch::Receiver<Option<TailQuery>>,
        token: CancellationToken,
    ) {
        tokio::select! {
            () = token.cancelled() => {}
            () = self.read_forever(&mut wanted) => {}
        }
    }

    async fn read_forever(&self, wanted: &mut watch::Receiver<Option<TailQuery>>) {
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
                    // It is over for good; only another question may begin another stream.
                    if wanted.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Reads one stream until it is over for good.
    async fn read(&self, query: &TailQuery) {
        let mut source = self.source(query);
        let mut gathering = Gathering::new(&query.filter, self.mask.clone());
        let mut batches = interval(BATCH);
        batches.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            // Biased: a flood of events must not keep batches from going out.
            tokio::select! {
                biased;
                _ = batches.tick() => if let Some(batch) = gathering.batch(self.clock)
                    && self.messages.send(Message::Streamed(Box::new(batch))).await.is_err() { return },
                signal = source.next() => match signal {
                    Some(signal) => gathering.take(signal, self.clock),
                    None => break,
                },
            }
        }
        if let Some(batch) = gathering.batch(self.clock) {
            let _ended = self.messages.send(Message::Streamed(Box::new(batch))).await;
        }
    }

    fn source(&self, query: &TailQuery) -> EventSource {
        let mut url = query.node.join("/api/sse/stream");
        url.query_pairs_mut().append_pair("clientId", &self.client_id);
        if !query.topics.is_empty() {
            url.query_pairs_mut().append_pair("topics", &query.topics.join(","));
        }
        let mut request = Request::new(url);
        if let Some(header) = self.credentials.header_for(&query.node) {
            request.headers.insert(AUTHORIZATION, header);
        }
        let options = ReconnectOptions { max_delay: Duration::from_secs(10), ..ReconnectOptions::default() };
        EventSource::new(self.http.clone(), request, Reconnect::new(Policy::Tolerant, options))
    }
}

impl Gathering {
    fn new(filter: &str, mask: Mask) -> Self {
        Self {
            mask,
            // Checked when it was typed; what cannot be understood hides nothing.
            filter: Filter::parse::<Arrival>(filter).unwrap_or_default(),
            link: Link::Connecting,
            is_new: true,
            events: Vec::new(),
            passed: 0,
            since: Instant::now(),
            per_second: 0.0,
        }
    }

    fn take(&mut self, signal: Signal, clock: Clock) {
        let link = match signal {
            Signal::Event(event) => {
                self.event(&event, clock);
                return;
            }
            Signal::Heartbeat => return,
            Signal::Open { .. } => Link::Open,
            Signal::Reconnecting { after, because } => {
                Link::Waiting(Plain::new(&format!("{because}; again in {:.1} s", after.as_secs_f64())))
            }
            Signal::GaveUp { why, because } => Link::Over(Plain::new(&format!("{because}; {why}"))),
        };
        (self.link, self.is_new) = (link, true);
    }

    fn event(&mut self, event: &Event, clock: Clock) {
        let is_full = self.events.len() >= BATCH_EVENTS;
        if is_full && self.filter.is_empty() {
            // Not decoded: nobody will see it.
            self.passed += 1;
            return;
        }
        let arrival = arrival(event, clock);
        if self.filter.matches(&arrival) {
            self.passed += 1;
            if !is_full {
                self.events.push(self.mask.arrival(arrival));
            }
        }
    }

    /// What there is to tell; nothing when nothing happened and nothing is left to calm down.
    fn batch(&mut self, clock: Clock) -> Option<Batch> {
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
        let (link, per_second) = (self.link.clone(), self.per_second);
        Some(Batch { at: clock.now(), link, events, left_out, per_second })
    }
}

/// The envelope, as far as it is shown; what a node sends of its own has none.
#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    id: String,
    #[serde(borrow)]
    data: &'a RawValue,
    source: String,
}

/// An event as it is shown: decoded, and harmless.
fn arrival(event: &Event, clock: Clock) -> Arrival {
    let is_short = event.data.len() <= DECODED_BYTES;
    let envelope = serde_json::from_str::<Envelope<'_>>(&event.data).ok().filter(|_| is_short);
    let payload = envelope.as_ref().map_or(event.data.as_str(), |envelope| envelope.data.get());
    let text = |text: Option<&str>| Plain::new(text.unwrap_or_default());
    Arrival {
        number: 0,
        at: clock.now(),
        id: Plain::new(&event.last_event_id),
        kind: Plain::new(&event.event),
        source: text(envelope.as_ref().map(|envelope| envelope.source.as_str())),
        message: text(envelope.as_ref().map(|envelope| envelope.id.as_str())),
        payload: Plain::limited(payload, PAYLOAD_CHARS),
        lines: if is_short { lines(payload) } else { vec![Plain::limited(payload, PAYLOAD_CHARS)] },
        bytes: event.data.len(),
    }
}

/// JSON with a value a line; anything else as it is.
fn lines(payload: &str) -> Vec<Plain> {
    let pretty = serde_json::from_str::<serde_json::Value>(payload)
        .and_then(|value| serde_json::to_string_pretty(&value));
    let text = pretty.as_deref().unwrap_or(payload);
    text.lines().take(LINES).map(|line| Plain::limited(line, PAYLOAD_CHARS)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let shown = arrival(&event(&envelope(r#"{"a":[1.10],"b":"\u001b]0;x"}"#)), clock);
        assert_eq!((shown.source.as_str(), shown.message.as_str()), ("node-1", "m1"));
        assert_eq!(shown.payload.as_str(), r#"{"a":[1.10],"b":"\u001b]0;x"}"#);
        let lines: Vec<_> = shown.lines.iter().map(Plain::as_str).collect();
        assert_eq!(lines[..2], ["{", "  \"a\": ["]);
        let raw = arrival(&event("not JSON \x1b[2J\u{202e}"), clock);
        assert_eq!(raw.payload.as_str(), "not JSON \\u{1b}[2J\\u{202e}");
        assert_eq!(raw.lines.len(), 1);
        let long = arrival(&event(&"x".repeat(1 << 20)), clock);
        assert_eq!((long.bytes, long.payload.as_str().chars().count()), (1 << 20, PAYLOAD_CHARS + 1));
    }

    #[tokio::test(start_paused = true)]
    async fn above_a_rate_only_a_sample_is_shown_and_the_rest_is_counted() {
        let clock = Clock::start();
        let mut gathering = Gathering::new("data:yes", Mask::default());
        for number in 0..100 {
            let word = if number % 2 == 0 { "\"yes\"" } else { "\"no\"" };
            gathering.take(Signal::Event(event(&envelope(word))), clock);
        }
        tokio::time::advance(BATCH).await;
        let batch = gathering.batch(clock).unwrap();
        assert_eq!((batch.events.len(), batch.left_out), (BATCH_EVENTS, 50 - BATCH_EVENTS as u64));
        assert!(batch.per_second > 10.0, "{}", batch.per_second);
        // Until the rate has calmed down there is something to tell; then silence.
        for _ in 0..200 {
            tokio::time::advance(BATCH).await;
            gathering.batch(clock);
        }
        assert!(gathering.batch(clock).is_none());
    }
}
