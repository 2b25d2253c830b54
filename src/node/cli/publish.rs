//! A publisher without a node: opens the log, appends one event and prints its ids. Read [`Publish`] first.

use std::io::Read as _;

use clap::ArgGroup;
use serde_json::value::RawValue;

use super::failure::{USAGE, invalid_config};
use crate::broker::publisher::new_event;
use crate::broker::{AppendError, BrokerUrl, NewEvent, OpenError, Publisher};
use crate::node::config::{Config, LogFlags};
use crate::node::http::publish::check_payload;
use crate::protocol::api::{PublishRequest, Published};
use crate::protocol::{Address, ClientId, EventType, MessageId, Topic, UserId};
use crate::runtime::exit::Failure;

/// `source` in the envelope of an event that was published without a node.
const SOURCE: &str = "sse-node publish";

/// Arguments of `sse-node publish`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("whom").required(true).args(["all", "topic", "user", "client"]))]
pub struct Publish {
    /// Publish to every connection
    #[arg(long)]
    all: bool,
    /// Publish to the subscribers of this topic
    #[arg(long, value_parser = Topic::parse)]
    topic: Option<Topic>,
    /// Publish to this user
    #[arg(long, value_parser = UserId::parse)]
    user: Option<UserId>,
    /// Publish to this client
    #[arg(long, value_parser = ClientId::parse)]
    client: Option<ClientId>,
    /// Type of the event [default: MESSAGE, or DIRECT for a user or client]
    #[arg(long = "type", value_name = "TYPE", value_parser = EventType::parse)]
    event_type: Option<EventType>,
    /// 1 keeps the event in the mailbox of the user or client until it is confirmed; 0 does not
    #[arg(long, value_name = "0|1", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    qos: u8,
    /// Id of the message; publishing the same id again adds no event [default: a new id]
    #[arg(long, value_parser = MessageId::parse)]
    id: Option<MessageId>,
    /// Metadata of the event, as JSON
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// Publish DATA as a string; without this flag DATA is JSON
    #[arg(long)]
    text: bool,
    /// The payload as JSON, or - to read the payload from standard input
    #[arg(value_name = "DATA")]
    data: String,
    #[command(flatten)]
    log: LogFlags,
}

impl Publish {
    pub(super) async fn run(self) -> Result<String, Failure> {
        let config = self.log.load().map_err(invalid_config)?.config;
        if config.broker == BrokerUrl::Memory {
            let why = "cannot publish to --broker memory: because that log exists only inside a running node";
            let tip = "use --broker file:DIR or --broker redis://HOST, or POST the event to a node";
            return Err(Failure::new(USAGE, why).tip(tip));
        }
        let event = self.event(&config)?;
        let published = append(&config, event).await?;
        let answer = serde_json::to_string(&published).map_err(|error| Failure::new(1, error))?;
        Ok(answer + "\n")
    }

    fn event(self, config: &Config) -> Result<NewEvent, Failure> {
        let unusable = |what: String| Failure::new(USAGE, what);
        let data = if self.data == "-" { read_stdin(config.max_payload)? } else { self.data };
        let data = if self.text { serde_json::Value::from(data).to_string() } else { data };
        let json = |what: &str, text: String, tip: &str| {
            RawValue::from_string(text)
                .map_err(|error| Failure::new(USAGE, format!("{what} is not JSON: {error}")).tip(tip))
        };
        let tip = r#"write it as JSON, as in '{"priority": 1}'"#;
        let metadata = self.metadata.map(|metadata| json("--metadata", metadata, tip)).transpose()?;
        let tip = "write a string with quotes, as in '\"hello\"', or use --text";
        let address = match (self.topic, self.user, self.client) {
            (Some(topic), _, _) => Address::Topic(topic),
            (_, Some(user), _) => Address::User(user),
            (_, _, Some(client)) => Address::Client(client),
            (None, None, None) => Address::All,
        };
        let request = PublishRequest {
            event_type: self.event_type,
            data: json("DATA", data, tip)?,
            metadata,
            id: self.id,
            qos: Some(self.qos),
        };
        check_payload(&request, config.max_payload).map_err(|error| unusable(error.detail()))?;
        new_event(request, address, SOURCE).map_err(|error| unusable(error.to_string()))
    }
}

fn read_stdin(max_payload: usize) -> Result<String, Failure> {
    let mut text = String::new();
    // One byte more than allowed, so that a payload that is too large is refused and not cut.
    let limit = max_payload as u64 + 1;
    std::io::stdin().take(limit).read_to_string(&mut text).map_err(|error| Failure::new(1, error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

async fn append(config: &Config, event: NewEvent) -> Result<Published, Failure> {
    let opened = Publisher::open(&config.broker, config.log.clone(), config.durability, SOURCE).await;
    let publisher = opened.map_err(|error| match error {
        OpenError::InUse { .. } => {
            Failure::new(1, error).tip("POST the event to the node that has the directory open")
        }
        OpenError::Directory { .. } | OpenError::Store(_) | OpenError::Unfit { .. } => Failure::new(1, error),
    })?;
    let again =
        format!("the event may or may not be in the log; publish it again with --id '{}'", event.message_id);
    let published = tokio::time::timeout(config.limits.publish_deadline, publisher.append(event)).await;
    // Also after a failure, so that the next process finds an intact log.
    let closed = publisher.close().await;
    let published = match published {
        Ok(Ok(published)) => published,
        Ok(Err(error @ AppendError::Store(_))) => return Err(Failure::new(1, error).tip(again)),
        // Nothing was written.
        Ok(Err(error)) => return Err(Failure::new(1, error)),
        Err(_) => return Err(Failure::new(1, "the log did not answer in time").tip(again)),
    };
    closed.map_err(|error| Failure::new(1, error).tip("the event is in the log nevertheless"))?;
    Ok(published)
}
