//! Publishing without a node: a process of one's own writes to the log, and every node delivers. The nodes make their
//! events here too. Read [`Publisher`] first.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::value::RawValue;

use super::{
    AppendError, Appended, Broker, BrokerUrl, Durability, LogLimits, NewEvent, OpenError, StoreError,
};
use crate::protocol::api::{PublishRequest, Published};
use crate::protocol::{Address, Envelope, EventType, InvalidName, MessageId};
use crate::runtime::Tasks;

/// How long the log may take to close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// Why a request cannot become an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// Only users and clients have a mailbox.
    #[error("qos 1 is for users and clients, who have a mailbox; {0} has none")]
    NoMailbox(Address),
    /// The address has a name that only earlier versions took.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A `qos` other than 0 and 1.
    #[error("qos {0} is not known; allowed are 0 and 1")]
    Qos(u8),
}

/// Why a message was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The request cannot become an event.
    #[error(transparent)]
    Invalid(#[from] InvalidEvent),
    /// The log did not take it; only [`AppendError::Store`] leaves open whether it is there.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Makes the event that a request asks for. `source` says who publishes; a message without an id is given one.
///
/// # Errors
/// [`InvalidEvent`] says what is allowed.
pub fn new_event(request: PublishRequest, address: Address, source: &str) -> Result<NewEvent, InvalidEvent> {
    address.check_new()?;
    let mailbox = match request.qos.unwrap_or(0) {
        0 => false,
        1 if address.has_mailbox() => true,
        1 => return Err(InvalidEvent::NoMailbox(address)),
        other => return Err(InvalidEvent::Qos(other)),
    };
    let event_type = match request.event_type {
        Some(event_type) => event_type,
        None => EventType::parse(address.default_type()).expect("the default types are valid"),
    };
    let fresh = request.id.is_none();
    let message_id = match request.id {
        Some(id) => id,
        None => MessageId::parse(&ulid::Ulid::generate().to_string()).expect("a ULID is a valid message id"),
    };
    let envelope = Envelope {
        id: message_id.clone(),
        event_type: event_type.clone(),
        data: request.data,
        timestamp: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        source: source.to_owned(),
        metadata: request.metadata.unwrap_or_else(|| RawValue::NULL.to_owned()),
    };
    let envelope =
        serde_json::to_string(&envelope).expect("an envelope of checked parts always becomes JSON");
    Ok(NewEvent { message_id, address, event_type, envelope: Arc::from(envelope), mailbox, fresh })
}

/// The answer to a publisher.
#[must_use]
pub fn published(message_id: MessageId, appended: Appended) -> Published {
    Published {
        id: appended.cursor.to_event_id(),
        message_id,
        epoch: appended.cursor.epoch.to_string(),
        duplicate: appended.duplicate,
    }
}

/// Writes to a log without any node. Its tasks run until [`Publisher::close`].
///
/// ```no_run
/// # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
/// use sse_lab::broker::{Durability, LogLimits, Publisher};
/// use sse_lab::protocol::api::PublishRequest;
///
/// let url = "redis://localhost".parse()?;
/// let publisher = Publisher::open(&url, LogLimits::default(), Durability::Accepted, "billing").await?;
/// let request: PublishRequest = serde_json::from_str(r#"{"data": {"paid": true}, "qos": 1}"#)?;
/// let published = publisher.publish("user:u42".parse()?, request).await?;
/// println!("the log has it at {}", published.id);
/// publisher.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Publisher {
    broker: Broker,
    source: String,
    tasks: Tasks,
}

impl Publisher {
    /// Opens the log that a URL names. The limits must be those of the nodes, because every process that appends also
    /// trims. `source` becomes the `source` of the envelopes.
    ///
    /// # Errors
    /// [`OpenError`] names the directory or address.
    pub async fn open(
        url: &BrokerUrl,
        limits: LogLimits,
        durability: Durability,
        source: &str,
    ) -> Result<Self, OpenError> {
        let tasks = Tasks::new();
        let broker = Broker::open(url, limits, durability, &tasks).await?;
        Ok(Self { broker, source: source.to_owned(), tasks })
    }

    /// Publishes a message; returns when the log has it. Publishing the same id again adds nothing.
    ///
    /// # Errors
    /// [`PublishError`]; after [`AppendError::Store`] publish again with the same id.
    pub async fn publish(&self, to: Address, request: PublishRequest) -> Result<Published, PublishError> {
        let event = new_event(request, to, &self.source)?;
        Ok(self.append_once(event).await?)
    }

    /// Publishes an event that was made before, and perhaps appended before.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn append(&self, event: NewEvent) -> Result<Published, AppendError> {
        self.append_once(NewEvent { fresh: false, ..event }).await
    }

    async fn append_once(&self, event: NewEvent) -> Result<Published, AppendError> {
        let message_id = event.message_id.clone();
        Ok(published(message_id, self.broker.append(event).await?))
    }

    /// Ends the log's tasks, after everything that was accepted was written.
    ///
    /// # Errors
    /// The log did not close in time.
    pub async fn close(self) -> Result<(), StoreError> {
        self.tasks.token().cancel();
        let closed = self.tasks.join(CLOSE_DEADLINE).await;
        closed.map_err(|_| StoreError {
            operation: "close the log",
            place: self.broker.kind().to_owned(),
            cause: format!("it took longer than {}", humantime::format_duration(CLOSE_DEADLINE)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(json: &str) -> PublishRequest {
        serde_json::from_str(json).unwrap()
    }

    #[tokio::test]
    async fn a_publisher_writes_to_the_log_that_nodes_follow() {
        let dir = tempfile::tempdir().unwrap();
        let url = BrokerUrl::File(dir.path().join("log"));
        let limits = LogLimits::default();
        let publisher = Publisher::open(&url, limits.clone(), Durability::Accepted, "billing").await.unwrap();
        let to: Address = "user:u".parse().unwrap();
        let first =
            publisher.publish(to.clone(), request(r#"{"data": 1, "id": "m", "qos": 1}"#)).await.unwrap();
        let again = publisher.publish(to.clone(), request(r#"{"data": 2, "id": "m"}"#)).await.unwrap();
        assert_eq!((&first.id, first.duplicate, again.duplicate), (&again.id, false, true));
        publisher.close().await.unwrap();

        let tasks = Tasks::new();
        let broker = Broker::open(&url, limits, Durability::Accepted, &tasks).await.unwrap();
        let mailbox = broker.mailbox(&to).await.unwrap();
        let envelope: Envelope = serde_json::from_str(&mailbox.entries[0].envelope).unwrap();
        assert_eq!((envelope.source.as_str(), envelope.data.get()), ("billing", "1"));
        tasks.token().cancel();
        assert_eq!(tasks.join(CLOSE_DEADLINE).await, Ok(()));
    }

    #[test]
    fn what_cannot_be_an_event_is_refused_and_says_what_can() {
        let refused =
            |json, to: &str| new_event(request(json), to.parse().unwrap(), "s").unwrap_err().to_string();
        assert!(refused(r#"{"data": 1, "qos": 1}"#, "topic:t").contains("topic:t has none"));
        assert!(refused(r#"{"data": 1, "qos": 2}"#, "user:u").contains("allowed are 0 and 1"));
    }
}
