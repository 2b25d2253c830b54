//! The [`Dialect`] itself: data from `[dialect]`, requests made from it, and messages read by it. Read it first, then
//! [`Dialect::read`].

use serde::Deserialize as _;
use serde_json::value::RawValue;

use super::pointer::Pointer;
use super::statuses::Statuses;
use super::template::{Placeholder, TextTemplate};
use crate::bench::stamp::{Stamp, Unreadable, unreadable};
use crate::protocol::Address;
use crate::protocol::path::segment;

/// Type of a message without `event:` (HTML standard, 9.2.6).
const UNTYPED: &str = "message";

/// The wire format of a kind of server.
#[derive(Debug, Clone, PartialEq)]
pub struct Dialect {
    /// Path that answers 2xx once the server is ready; `None`: any answer to `GET /` means ready.
    pub ready: Option<String>,
    /// Path and query of a client's stream.
    pub stream: TextTemplate,
    /// One address within `{addresses}`.
    pub address: TextTemplate,
    /// Text between two addresses.
    pub separator: String,
    pub resume: Resume,
    pub confirm: Confirm,
    /// Place of the payload within `data:`. A message without a value there, or that is not JSON, is the server's own.
    /// If the pointer is empty, so that the payload is all of `data:`, such a message is a foreign event instead.
    pub payload: Pointer,
    /// Event types (`event:`) of the server's own messages. A message without a type is `message`, and its own only
    /// where it has no event.
    pub own_events: Vec<String>,
    /// Types (`event:`) that the events of publishers may come with, `message` for none. `None`: events of one address are
    /// expected to have one type, the most frequent one.
    pub events: Option<Vec<String>>,
    pub ids: Ids,
    /// How the ids of one stream rise; `None`: in no order, or nobody knows.
    pub ids_rise: Option<IdOrder>,
    pub names: Names,
    pub publish: PublishTemplate,
}

/// How a client tells the server its last event when it reconnects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// `Last-Event-ID` (HTML standard, 9.2.4).
    Header,
    /// A query parameter of this name, for clients that cannot set headers.
    Query(String),
    /// It does not: the server has no history, or sends no `id:`.
    No,
}

/// The moment from which published events are owed to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirm {
    /// The head of the response.
    Open,
    /// The first event.
    Event,
}

/// Scope within which an `id:` is unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// All events: one id for two events is an anomaly.
    All,
    /// The events for one address.
    Address,
    /// None: the id is only a cursor.
    Nothing,
}

/// How ids are compared, to say which comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdOrder {
    /// Numbers, or several numbers with one character between two: `17`, `1795303903002-3`.
    Numbers,
    /// Texts, compared byte by byte.
    Texts,
}

/// Names of addresses, by kind. `None`: the server has no addresses of this kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    pub all: Option<TextTemplate>,
    pub topic: Option<TextTemplate>,
    pub user: Option<TextTemplate>,
    pub client: Option<TextTemplate>,
}

/// Template of requests that publish an event.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishTemplate {
    /// `PUT` instead of `POST`.
    pub is_put: bool,
    pub path: TextTemplate,
    /// Without a `content-type`, it is `application/json`.
    pub headers: Vec<(String, TextTemplate)>,
    pub body: TextTemplate,
    /// Escaping within the body, by its `content-type`.
    pub form: BodyForm,
    /// Statuses with which the server accepts an event.
    pub accepts: Statuses,
    /// Place of an error within a response that accepts; `None`: its status says all.
    pub error: Option<Pointer>,
}

/// Format of a body, which determines how values in it are escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// `application/json` and `…+json`.
    Json,
    /// `application/x-www-form-urlencoded`: values are percent-encoded.
    Form,
    /// Any other type: no escaping.
    Text,
}

/// A request that publishes one event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpRequest {
    /// Path and query.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// A message of a stream, classified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// An event that a run published.
    Event(Stamp),
    /// The server's own message, such as a heartbeat: only a sign of life.
    Own,
    /// An event that no run published.
    Foreign,
    /// An event of a run, but not as it was published. `None`: nobody knows which one.
    Altered(Option<Stamp>),
}

impl BodyForm {
    /// The format for a value of `content-type`.
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
            Self::Json => json_escaped(text),
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
    /// The server's name of an address; `None`: the server has no addresses of this kind.
    #[must_use]
    pub fn name_of(&self, address: &Address) -> Option<String> {
        let (template, name) = match address {
            Address::All => (&self.names.all, ""),
            Address::Topic(topic) => (&self.names.topic, topic.as_str()),
            Address::User(user) => (&self.names.user, user.as_str()),
            Address::Client(client) => (&self.names.client, client.as_str()),
            Address::Node(_) | Address::NodeClient(..) => return None,
        };
        template.as_ref().map(|template| template.fill(|_| name.to_owned()))
    }

    /// Path and query of the stream of a client with these addresses, without its last event id.
    pub fn stream_path<'a>(
        &self,
        (client, user): (&str, Option<&str>),
        addresses: impl Iterator<Item = &'a Address>,
    ) -> String {
        let one = |name: String| {
            self.address.fill(|placeholder| match placeholder {
                Placeholder::NameText => segment(&json_escaped(&name)),
                _ => segment(&name),
            })
        };
        let addresses: Vec<String> = addresses.filter_map(|address| self.name_of(address)).map(one).collect();
        self.stream.fill(|placeholder| match placeholder {
            Placeholder::Addresses => addresses.join(&self.separator),
            Placeholder::Client => segment(client),
            Placeholder::User => segment(user.unwrap_or_default()),
            Placeholder::Name
            | Placeholder::NameText
            | Placeholder::Payload
            | Placeholder::PayloadText
            | Placeholder::Id => String::new(),
        })
    }

    /// A request that publishes `payload`, which is JSON, to an address; `None`: the server has no such address.
    #[must_use]
    pub fn publish_request(&self, address: &Address, payload: &str, id: &str) -> Option<HttpRequest> {
        let name = self.name_of(address)?;
        let publish = &self.publish;
        let fill = |template: &TextTemplate, form: BodyForm| {
            template.fill(|placeholder| match placeholder {
                Placeholder::Name => form.name(&name),
                Placeholder::NameText => form.name(&json_escaped(&name)),
                Placeholder::Payload => form.payload(payload),
                Placeholder::PayloadText => form.name(payload),
                Placeholder::Id => id.to_owned(),
                Placeholder::Addresses | Placeholder::Client | Placeholder::User => String::new(),
            })
        };
        let header = |(key, template): &(String, TextTemplate)| (key.clone(), fill(template, BodyForm::Text));
        Some(HttpRequest {
            path: fill(&publish.path, BodyForm::Form),
            headers: publish.headers.iter().map(header).collect(),
            body: fill(&publish.body, publish.form),
        })
    }

    /// Whether requests contain the id of the event, so that the server can recognise a repeated publish.
    #[must_use]
    pub fn has_idempotency_key(&self) -> bool {
        let publish = &self.publish;
        let headers = publish.headers.iter().map(|(_, template)| template);
        headers.chain([&publish.path, &publish.body]).any(|template| template.has(Placeholder::Id))
    }

    /// Whether messages of this type are the server's own.
    #[must_use]
    pub fn is_own(&self, event: &str) -> bool {
        self.own_events.iter().any(|own| own == event)
    }

    /// Classifies a message by its event type and `data:`.
    #[must_use]
    pub fn read(&self, event: &str, data: &str) -> Message {
        let is_own = self.is_own(event);
        // Events too may come without a type.
        if is_own && event != UNTYPED {
            return Message::Own;
        }
        match self.payload.find(data) {
            Ok(Some(payload)) => match stamp_in(payload) {
                Ok(stamp) => Message::Event(stamp),
                Err(Unreadable::Altered(stamp)) => Message::Altered(stamp),
                Err(Unreadable::Foreign) if is_own => Message::Own,
                Err(Unreadable::Foreign) => Message::Foreign,
            },
            // Messages without the place of the payload are not meant to carry one.
            Ok(None) => Message::Own,
            Err(_) => match unreadable(data) {
                Unreadable::Altered(stamp) => Message::Altered(stamp),
                Unreadable::Foreign if !self.payload.is_all() || is_own => Message::Own,
                Unreadable::Foreign => Message::Foreign,
            },
        }
    }

    /// The `id:` of an event in a form that is comparable among all events; `None`: no comparison is possible.
    #[must_use]
    pub fn id_of(&self, id: Option<&str>, stamp: &Stamp) -> Option<String> {
        match self.ids {
            Ids::All => id.map(str::to_owned),
            Ids::Address => id.map(|id| format!("{}/{id}", stamp.address.0)),
            Ids::Nothing => None,
        }
    }

    /// The error in a response that accepts, as JSON. `null`, `false`, `0` and `""` count as no error.
    #[must_use]
    pub fn error_in(&self, response: &str) -> Option<String> {
        let found = self.publish.error.as_ref()?.find(response).ok()??;
        let is_none = matches!(found.get(), "null" | "false" | "0" | "\"\"");
        (!is_none).then(|| found.get().to_owned())
    }
}

/// Reads the stamp of a payload, which servers forward as it is or as a JSON text.
pub(super) fn stamp_in(payload: &RawValue) -> Result<Stamp, Unreadable> {
    if !payload.get().starts_with('"') {
        return Stamp::decode_bare(payload.get());
    }
    let text = std::borrow::Cow::<str>::deserialize(&mut serde_json::Deserializer::from_str(payload.get()));
    text.map_or(Err(Unreadable::Foreign), |text| Stamp::decode_bare(&text))
}

/// The text as it is between the quotes of a JSON text.
fn json_escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}
