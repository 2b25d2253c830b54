//! An ordinary user of a stream: one connection of the library's client, read with deadlines. Read [`Subscriber`]
//! first.

use reqwest::{Identity, Version};
use serde_json::Value;
use sse_lab::client::{Ending, Event, HttpOptions, Received, Request, Stream, Trust, connect};
use sse_lab::protocol::api::{CloseEvent, ConnectionEvent, GapEvent, GapReason};
use sse_lab::protocol::{Envelope, event::control};

use super::{Node, within};

/// An HTTP client that keeps no connection for later and asks for no certificate, which is quick to build.
pub(crate) fn http() -> reqwest::Client {
    HttpOptions { trust: Trust::Anybody, ..HttpOptions::default() }.build().unwrap()
}

/// A client that keeps its connections, for one version; with a certificate and its key, if a PEM text is given.
pub(crate) fn https(identity: Option<&str>, version: Version) -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
    let builder = if version == Version::HTTP_11 { builder.http1_only() } else { builder };
    let builder = match identity {
        Some(pem) => builder.identity(Identity::from_pem(pem.as_bytes()).unwrap()),
        None => builder,
    };
    builder.build().unwrap()
}

/// An open stream, behind its `CONNECTION`.
pub(crate) struct Subscriber {
    stream: Stream,
    /// What the node said first.
    pub(crate) hello: ConnectionEvent,
    /// The position of the first event, if it carried one.
    pub(crate) start: Option<String>,
}

/// Publishes this many broadcasts, more than the buffers of both sides hold, so that a reader that takes nothing
/// meanwhile is left behind. Returns their positions.
pub(crate) async fn flood(node: &Node, count: usize) -> Vec<String> {
    let text = "x".repeat(60_000);
    let mut published = Vec::new();
    for number in 0..count {
        let data = serde_json::json!({ "data": format!("{number} {text}") });
        published.push(node.publish("broadcast", &data).await.id.to_string());
    }
    published
}

impl Subscriber {
    /// Reads up to the first event of this type; returns what came before it, and that event.
    pub(crate) async fn up_to(&mut self, event_type: &str) -> (Vec<Event>, Event) {
        let mut before = Vec::new();
        loop {
            let event = self.event().await;
            if event.event == event_type {
                return (before, event);
            }
            before.push(event);
        }
    }

    /// Opens a stream from now on.
    pub(crate) async fn open(node: &Node, query: &str) -> Self {
        Self::after(node, query, "").await
    }

    /// Opens a stream with a `Last-Event-ID`.
    pub(crate) async fn after(node: &Node, query: &str, last_event_id: &str) -> Self {
        Self::headers(node, query, &[("last-event-id", last_event_id)]).await
    }

    /// Opens a stream with headers; an empty one is not sent.
    pub(crate) async fn headers(node: &Node, query: &str, headers: &[(&'static str, &str)]) -> Self {
        let mut stream = Self::request(node, query, headers).await;
        let Received::Event(first) = past_retry(&mut stream).await.unwrap() else {
            panic!("a stream begins with an event")
        };
        assert_eq!(first.event, control::CONNECTION, "{first:?}");
        let hello = serde_json::from_str(&first.data).unwrap();
        Self { stream, hello, start: first.id_in_block.then_some(first.last_event_id) }
    }

    /// Opens a stream and reads nothing of it.
    ///
    /// A node acknowledges a publish when the log has it, and reads it a moment later; a stream that began in between
    /// would rightly get it live. So the node is asked first whether it has arrived; where it is not ready, the story
    /// is about something else.
    pub(crate) async fn request(node: &Node, query: &str, headers: &[(&'static str, &str)]) -> Stream {
        let _ready = node.get("/health/ready").await;
        let mut request = Request::new(node.url(&format!("/api/sse/stream?{query}")));
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request.headers.insert(*name, value.parse().unwrap());
        }
        within("a stream", connect(node.http(), &request)).await.unwrap()
    }

    /// The next event. Heartbeats do not count: they come however long it takes.
    pub(crate) async fn event(&mut self) -> Event {
        let (stream, client) = (&mut self.stream, &self.hello.client_id);
        within("an event", async {
            loop {
                match stream.next().await {
                    Ok(Received::Event(event)) => return event,
                    Ok(_) => {}
                    Err(ending) => panic!("{client} ended where an event was due: {ending}"),
                }
            }
        })
        .await
    }

    /// The next thing of any kind.
    pub(crate) async fn received(&mut self) -> Result<Received, Ending> {
        within("something on the stream", self.stream.next()).await
    }

    /// Events up to the one with this payload, that one included. Those of the node itself are left out.
    pub(crate) async fn until(&mut self, last: &Value) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.event().await;
            if event.event == control::CURSOR {
                continue;
            }
            let is_last = payload(&event) == *last;
            events.push(event);
            if is_last {
                return events;
            }
        }
    }

    /// Payloads up to this one, that one included.
    pub(crate) async fn payloads(&mut self, last: &Value) -> Vec<Value> {
        self.until(last).await.iter().map(payload).collect()
    }

    /// Everything up to the end of the stream.
    pub(crate) async fn rest(mut self) -> (Vec<Event>, Ending) {
        let mut events = Vec::new();
        loop {
            match self.received().await {
                Ok(Received::Event(event)) => events.push(event),
                Ok(_) => {}
                Err(ending) => return (events, ending),
            }
        }
    }

    /// What this stream was told with `retry:`, in milliseconds.
    pub(crate) fn retry_ms(&self) -> u64 {
        u64::try_from(self.stream.reconnection_time().unwrap().as_millis()).unwrap()
    }

    /// What a reconnect would send.
    pub(crate) fn last_event_id(&self) -> String {
        self.stream.last_event_id().to_owned()
    }
}

async fn past_retry(stream: &mut Stream) -> Result<Received, Ending> {
    loop {
        let received = within("the first event", stream.next()).await;
        if !matches!(received, Ok(Received::Retry(_))) {
            return received;
        }
    }
}

/// The envelope of an event that somebody published.
#[track_caller]
pub(crate) fn envelope(event: &Event) -> Envelope {
    serde_json::from_str(&event.data).unwrap_or_else(|error| panic!("{error}: {event:?}"))
}

/// What somebody published.
#[track_caller]
pub(crate) fn payload(event: &Event) -> Value {
    serde_json::from_str(envelope(event).data.get()).unwrap()
}

/// The predicate of a `GAP` with this reason.
#[track_caller]
pub(crate) fn gap(event: &Event, reason: GapReason) -> GapEvent {
    assert_eq!(event.event, control::GAP, "{event:?}");
    let gap: GapEvent = serde_json::from_str(&event.data).unwrap();
    assert_eq!(gap.reason, reason, "{event:?}");
    gap
}

/// A `CLOSE` with this code; it never moves a cursor.
#[track_caller]
pub(crate) fn closing(event: &Event, code: u16) -> CloseEvent {
    assert_eq!((event.event.as_str(), event.id_in_block), (control::CLOSE, false), "{event:?}");
    let close: CloseEvent = serde_json::from_str(&event.data).unwrap();
    assert_eq!(close.code, code, "{event:?}");
    assert!(close.reconnect && !close.reason.is_empty(), "{event:?}");
    close
}
