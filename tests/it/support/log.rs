//! A directory of a log, filled while no node has it: with limits that no node of a test would live long enough to
//! reach. Read [`OfflineLog`] first.

use std::sync::Arc;

use sse_lab::broker::{Appended, Broker, BrokerUrl, Durability, LogLimits, NewEvent};
use sse_lab::protocol::{EventType, MessageId};
use sse_lab::runtime::Tasks;

use super::PATIENCE;

/// An open log in a directory.
pub(crate) struct OfflineLog {
    broker: Broker,
    tasks: Tasks,
}

impl OfflineLog {
    pub(crate) async fn open(directory: &tempfile::TempDir, limits: LogLimits) -> Self {
        let tasks = Tasks::new();
        let url = BrokerUrl::File(directory.path().to_owned());
        let broker = Broker::open(&url, limits, Durability::Accepted, &tasks).await.unwrap();
        Self { broker, tasks }
    }

    /// Appends a number as a node would have.
    pub(crate) async fn append(&self, to: &str, number: u64, mailbox: bool) -> Appended {
        let envelope = serde_json::json!({
            "id": format!("m{number}"), "type": "MESSAGE", "data": number,
            "timestamp": "2026-01-01T00:00:00.000Z", "source": "node-1", "metadata": null,
        });
        let event = NewEvent {
            message_id: MessageId::parse(&format!("m{number}")).unwrap(),
            address: to.parse().unwrap(),
            event_type: EventType::parse("MESSAGE").unwrap(),
            envelope: Arc::from(envelope.to_string()),
            mailbox,
            fresh: false,
        };
        self.broker.append(event).await.unwrap()
    }

    /// Leaves the directory to the next process.
    pub(crate) async fn close(self) {
        self.tasks.token().cancel();
        assert_eq!(self.tasks.join(PATIENCE).await, Ok(()));
        assert_eq!(self.tasks.failure(), None);
    }
}
