//! How servers that are none of ours are spoken to: where a stream is, how an event is published, where in a message the
//! payload stands. Pure: makes paths and bodies and reads texts; sends nothing. Where a plan has none, servers speak as
//! `sse-node` does. Read [`Dialect`] first.

use serde::Deserialize as _;
use serde_json::value::RawValue;

use super::pointer::Pointer;
use super::template::{TextTemplate, Word};
use crate::bench::stamp::{Foreign, Stamp};
use crate::protocol::Address;
use crate::protocol::path::segment;

/// What a kind of server speaks.
#[derive(Debug, Clone, PartialEq)]
pub struct Dialect {
    /// A path that answers 2xx when the server can serve; `None`: a server that answers anything to `GET /` can.
    pub ready: Option<String>,
    /// Path and query of a client's stream.
    pub stream: TextTemplate,
    /// One of its `{addresses}`.
    pub address: TextTemplate,
    /// What stands between them.
    pub separator: String,
    /// How a client says what it had last.
    pub resume: Resume,
    /// When a client is there.
    pub confirm: Confirm,
    /// Where in `data:` the payload stands. A message that has nothing there, or is no JSON, is the server's own; where
    /// the payload is all of it, it is a foreign event.
    pub payload: Pointer,
    /// Types of events that are the server's own.
    pub own_events: Vec<String>,
    /// What an `id:` is unique among.
    pub ids: Ids,
    /// How the server names whom something is for.
    pub names: Names,
    /// How something is published.
    pub publish: PublishTemplate,
}

/// How a client says what it had last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// `Last-Event-ID` (HTML standard, 9.2.4).
    Header,
    /// A parameter of the query, as a client must that cannot set headers.
    Query(String),
    /// Not at all: the server has no history, or no `id:`.
    No,
}

/// When a client is there, so that it is owed what is published from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirm {
    /// With the head of the response.
    Open,
    /// With the first event.
    Event,
}

/// What an `id:` is unique among.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// All events: one that stands for two is an anomaly.
    All,
    /// The events for one address.
    Address,
    /// Nothing: it is only a cursor.
    Nothing,
}

/// How a server names whom something is for; a kind without a name is one that it does not have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// Everybody.
    pub all: Option<TextTemplate>,
    /// A topic.
    pub topic: Option<TextTemplate>,
    /// A user.
    pub user: Option<TextTemplate>,
    /// A client.
    pub client: Option<TextTemplate>,
}

/// How something is published.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishTemplate {
    /// With `PUT` instead of `POST`.
    pub is_put: bool,
    /// Where to.
    pub path: TextTemplate,
    /// Headers. Where none says a `content-type`, it is `application/json`.
    pub headers: Vec<(String, TextTemplate)>,
    /// The body.
    pub body: TextTemplate,
    /// How the body is written, by its `content-type`.
    pub form: BodyForm,
    /// Where in an answer of 2xx an error stands, if there is one.
    pub error: Option<Pointer>,
}

/// How a body is written, which is how what is put into it is escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// Anything else: nothing is escaped.
    Text,
}

/// A request that publishes one event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpRequest {
    /// Path and query.
    pub path: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// An event of a run.
    Event(Stamp),
    /// The server's own: a sign of life.
    Own,
    /// Something that no run published.
    Foreign,
}

impl BodyForm {
    /// By the value of `content-type`.
    #[must_use]
    pub fn of(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-www-form-urlencoded" => Self::Form,
            "application/json" => Self::Json,
            other if other.ends_with("+json") => Self::Json,
            _ => Self::Text,
        }
    }

    fn name(self, text: &str) -> String {
        match self {
            Self::Json => inside_of_text(text),
            Self::Form => segment(text),
            Self::Text => text.to_owned(),
        }
    }

    fn payload(self, json: &str) -> String {
        match self {
            Self::Json | Self::Text => json.to_owned(),
            Self::Form => segment(json),
        }
    }
}

impl Dialect {
    /// How the server names an address; `None`: it has none of that kind.
    #[must_use]
    pub fn name_of(&self, address: &Address) -> Option<String> {
        let (wording, name) = match address {
            Address::All => (&self.names.all, ""),
            Address::Topic(topic) => (&self.names.topic, topic.as_str()),
            Address::User(user) => (&self.names.user, user.as_str()),
            Address::Client(client) => (&self.names.client, client.as_str()),
            Address::Node(_) | Address::NodeClient(..) => return None,
        };
        wording.as_ref().map(|wording| wording.fill(|_| name.to_owned()))
    }

    /// Path and query of the stream of a client with these addresses, without what it had last.
    pub fn stream_path<'a>(
        &self,
        (client, user): (&str, Option<&str>),
        addresses: impl Iterator<Item = &'a Address>,
    ) -> String {
        let one = |name: String| {
            self.address.fill(|word| match word {
                Word::NameText => segment(&inside_of_text(&name)),
                _ => segment(&name),
            })
        };
        let addresses: Vec<String> = addresses.filter_map(|address| self.name_of(address)).map(one).collect();
        self.stream.fill(|word| match word {
            Word::Addresses => addresses.join(&self.separator),
            Word::Client => segment(client),
            Word::User => segment(user.unwrap_or_default()),
            Word::Name | Word::NameText | Word::Payload | Word::PayloadText | Word::Id => String::new(),
        })
    }

    /// A request that publishes `payload`, which is JSON, for an address; `None`: the server has no such address.
    #[must_use]
    pub fn letter(&self, address: &Address, payload: &str, id: &str) -> Option<HttpRequest> {
        let name = self.name_of(address)?;
        let posting = &self.publish;
        let fill = |wording: &TextTemplate, form: BodyForm| {
            wording.fill(|word| match word {
                Word::Name => form.name(&name),
                Word::NameText => form.name(&inside_of_text(&name)),
                Word::Payload => form.payload(payload),
                Word::PayloadText => form.name(payload),
                Word::Id => id.to_owned(),
                Word::Addresses | Word::Client | Word::User => String::new(),
            })
        };
        let header = |(key, wording): &(String, TextTemplate)| (key.clone(), fill(wording, BodyForm::Text));
        Some(HttpRequest {
            path: fill(&posting.path, BodyForm::Form),
            headers: posting.headers.iter().map(header).collect(),
            body: fill(&posting.body, posting.form),
        })
    }

    /// Whether a repeated publish can be recognised, since it says which event it is.
    #[must_use]
    pub fn knows_repetitions(&self) -> bool {
        let posting = &self.publish;
        let wordings = posting.headers.iter().map(|(_, wording)| wording);
        wordings.chain([&posting.path, &posting.body]).any(|wording| wording.has(Word::Id))
    }

    /// What came.
    #[must_use]
    pub fn read(&self, event: &str, data: &str) -> Message {
        if self.own_events.iter().any(|own| own == event) {
            return Message::Own;
        }
        match self.payload.find(data) {
            Ok(Some(payload)) => stamp_in(payload).map_or(Message::Foreign, Message::Event),
            // What stands nowhere near a payload is not meant to be one.
            Ok(None) => Message::Own,
            Err(_) if !self.payload.is_all() => Message::Own,
            Err(_) => Message::Foreign,
        }
    }

    /// The `id:` of an event as the ledger may compare it with others.
    #[must_use]
    pub fn id_of(&self, id: Option<&str>, stamp: &Stamp) -> Option<String> {
        match self.ids {
            Ids::All => id.map(str::to_owned),
            Ids::Address => id.map(|id| format!("{}/{id}", stamp.address.0)),
            Ids::Nothing => None,
        }
    }

    /// The error in an answer of 2xx.
    #[must_use]
    pub fn error_in(&self, answer: &str) -> Option<String> {
        let found = self.publish.error.as_ref()?.find(answer).ok()??;
        let is_none = matches!(found.get(), "null" | "false" | "0" | "\"\"");
        (!is_none).then(|| found.get().to_owned())
    }
}

/// A payload that a server sends on as it came, or as a text.
fn stamp_in(payload: &RawValue) -> Option<Stamp> {
    let stamp = |json: &str| Stamp::decode_bare(json).map_err(|Foreign| ()).ok();
    if !payload.get().starts_with('"') {
        return stamp(payload.get());
    }
    let text =
        std::borrow::Cow::<str>::deserialize(&mut serde_json::Deserializer::from_str(payload.get())).ok()?;
    stamp(&text)
}

/// Escapes a text as it stands between the quotes of a JSON text.
fn inside_of_text(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}
