//! One publish: encoded once, sent until an answer settles it. Read [`deliver`] first.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use reqwest::StatusCode;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::context::PublishContext;
use crate::bench::ids::{AddressId, NodeIndex};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::dialect::Dialect;
use crate::bench::stamp::Stamp;
use crate::bench::verdict::ledger::PublishOutcome;
use crate::protocol::api::PublishRequest;
use crate::protocol::path::publish_path;
use crate::protocol::{Address, EventType, MessageId};
use crate::runtime::Backoff;
use crate::runtime::root_cause;

/// Time limit of one attempt. A node that takes longer counts as down for this attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// First and longest wait between two attempts.
const RETRY_WAITS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Longest answer that is read.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// Longest `Retry-After` that is obeyed; longer ones count as this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Whether a publish without a definite answer is sent again with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// One attempt: the cluster may not recognise repeated ids.
    Never,
    /// Until this time after the first attempt.
    For(Duration),
}

impl Retry {
    /// A minute: longer than a node is down in any sensible scenario.
    #[must_use]
    pub fn usual() -> Self {
        Self::For(Duration::from_secs(60))
    }
}

/// The result of [`deliver`].
#[derive(Debug)]
pub struct Sent {
    /// The address that the event was for.
    pub address: AddressId,
    pub(super) seq: u64,
    pub outcome: PublishOutcome,
    /// Time of the last answer.
    pub ended: RunTime,
    /// From the last attempt's start to its answer.
    pub(super) took: Duration,
    pub(super) retries: u64,
    /// Why it was not acknowledged; `None` when it was.
    pub failure: Option<String>,
}

/// An encoded publish request, ready to be sent repeatedly.
#[derive(Debug)]
pub struct PreparedRequest {
    address: AddressId,
    seq: u64,
    path: String,
    body: Vec<u8>,
    is_put: bool,
    /// Nodes that it may be sent to; empty: all.
    nodes: Arc<[NodeIndex]>,
    /// Extra headers. An invalid one fails the publish.
    headers: Arc<[(String, String)]>,
}

impl PreparedRequest {
    /// Sends it to these nodes only; to all when empty.
    #[must_use]
    pub fn through(self, nodes: &Arc<[NodeIndex]>) -> Self {
        Self { nodes: Arc::clone(nodes), ..self }
    }

    /// Adds headers, which replace those of the same name.
    #[must_use]
    pub fn with_headers(self, headers: &Arc<[(String, String)]>) -> Self {
        if self.headers.is_empty() {
            return Self { headers: Arc::clone(headers), ..self };
        }
        let is_replaced = |name: &str| headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        let others = self.headers.iter().filter(|(name, _)| !is_replaced(name));
        let headers = others.chain(headers.iter()).cloned().collect();
        Self { headers, ..self }
    }

    /// Encodes an event. Its id follows from the stamp, so that the cluster recognises a repeated publish.
    #[must_use]
    pub fn new(context: &PublishContext, stamp: Stamp, bytes: u32, qos: u8) -> Self {
        Self::encode(context, stamp, stamp.encode(bytes), None, qos)
    }

    /// Encodes an event with metadata and an empty payload beside the stamp. Of a type that comes in its envelope in every
    /// format, so that the metadata come, too.
    #[must_use]
    pub fn with_metadata(context: &PublishContext, stamp: Stamp, metadata: &impl serde::Serialize) -> Self {
        let metadata = serde_json::value::to_raw_value(metadata).expect("our own metadata always make JSON");
        Self::encode(context, stamp, stamp.encode(0), Some(metadata), 0)
    }

    fn encode(
        context: &PublishContext,
        stamp: Stamp,
        data: Box<RawValue>,
        metadata: Option<Box<RawValue>>,
        qos: u8,
    ) -> Self {
        let id = stamp.message_id();
        // Publishers draw from these very addresses.
        let address = &context.addresses[usize::try_from(stamp.address.0).unwrap_or(usize::MAX)];
        let blank = Self {
            address: stamp.address,
            seq: stamp.seq,
            path: String::new(),
            body: Vec::new(),
            is_put: false,
            nodes: Arc::default(),
            headers: Arc::default(),
        };
        if let Some(dialect) = &context.dialect {
            return blank.in_dialect(dialect, address, data.get(), &id);
        }
        let request = PublishRequest {
            event_type: metadata.is_some().then(EventType::envelope),
            data,
            metadata,
            id: Some(MessageId::parse(&id).expect("numbers and dashes are printable ASCII")),
            qos: (qos != 0).then_some(qos),
        };
        Self {
            path: publish_path(address),
            body: serde_json::to_vec(&request).expect("checked names and JSON always make JSON"),
            ..blank
        }
    }

    /// In the wire format of another server.
    fn in_dialect(self, dialect: &Dialect, address: &Address, payload: &str, id: &str) -> Self {
        // A scenario draws only addresses that its servers have. They refuse any other request.
        let http = dialect.publish_request(address, payload, id).unwrap_or_default();
        let (headers, is_put) = (http.headers.into(), dialect.publish.is_put);
        Self { path: http.path, body: http.body.into_bytes(), is_put, headers, ..self }
    }
}

/// The result of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PublishResponse {
    Acknowledged,
    /// The log certainly does not have the event. `again`: the wait before another attempt; `None`: there is no use in one.
    NotTaken {
        why: String,
        again: Option<Duration>,
    },
    /// The log may or may not have the event. `again` as above.
    Unclear {
        why: String,
        again: Option<Duration>,
    },
}

/// Sends an event until an answer settles it, or `retry` allows no further attempt.
pub async fn deliver(request: PreparedRequest, context: PublishContext, retry: Retry, rng_seed: u64) -> Sent {
    let mut rng = ChaCha8Rng::seed_from_u64(rng_seed);
    let mut backoff = Backoff::new(RETRY_WAITS.0, RETRY_WAITS.1).expect("the waits are in order");
    let began = Instant::now();
    let mut retries = 0;
    // One unclear attempt is enough: it may have reached the log, whatever the later answers are.
    let mut worst = PublishOutcome::Refused;
    loop {
        let attempt_began = Instant::now();
        let answer = attempt(&request, &context, &mut rng).await;
        let took = attempt_began.elapsed();
        let (failure, again) = match answer {
            PublishResponse::Acknowledged => {
                return sent(&request, &context, PublishOutcome::Acknowledged, (took, retries), None);
            }
            PublishResponse::NotTaken { why, again } => (why, again),
            PublishResponse::Unclear { why, again } => {
                worst = PublishOutcome::Indeterminate;
                (why, again)
            }
        };
        let wait = again.map(|wait| wait.max(backoff.next_wait(&mut rng)));
        let may_retry = match retry {
            Retry::Never => false,
            Retry::For(limit) => began.elapsed() < limit,
        };
        let Some(wait) = wait.filter(|_| may_retry) else {
            return sent(&request, &context, worst, (took, retries), Some(failure));
        };
        tokio::time::sleep(wait).await;
        retries += 1;
    }
}

fn sent(
    request: &PreparedRequest,
    context: &PublishContext,
    outcome: PublishOutcome,
    (took, retries): (Duration, u64),
    failure: Option<String>,
) -> Sent {
    let ended = context.clock.now();
    Sent { address: request.address, seq: request.seq, outcome, ended, took, retries, failure }
}

async fn attempt(
    request: &PreparedRequest,
    context: &PublishContext,
    rng: &mut ChaCha8Rng,
) -> PublishResponse {
    let endpoint = context.balancer.choose_among(&request.nodes, rng);
    let url = format!("{}{}", context.balancer.base(endpoint), request.path);
    let post = if request.is_put { context.http.put(url) } else { context.http.post(url) };
    let says_type = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let post = if says_type { post } else { post.header("content-type", "application/json") };
    let headers = request.headers.iter();
    let request = headers
        .fold(post, |post, (name, value)| post.header(name, value))
        .timeout(ATTEMPT_TIMEOUT)
        .body(request.body.clone());
    match request.send().await {
        Ok(response) => {
            let again = retry_after(response.headers().get("retry-after"));
            let answer = judge(response.status(), context.dialect.as_deref(), again);
            // Read to the end, so that the connection can be used again.
            let content = content(response).await;
            match &context.dialect {
                Some(dialect) if answer == PublishResponse::Acknowledged => judge_content(dialect, content),
                Some(_) | None => answer,
            }
        }
        Err(error) if error.is_connect() => {
            context.balancer.mark(endpoint, false);
            PublishResponse::NotTaken { why: root_cause(&error).to_string(), again: Some(Duration::ZERO) }
        }
        Err(error) => {
            PublishResponse::Unclear { why: root_cause(&error).to_string(), again: Some(Duration::ZERO) }
        }
    }
}

/// The whole body, or why it could not be read.
async fn content(mut response: reqwest::Response) -> Result<String, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| root_cause(&error).to_string())? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_MAX_BYTES {
            return Err(format!("the answer is longer than {ANSWER_MAX_BYTES} bytes"));
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Judges the content of an answer that accepts, which may report an error.
fn judge_content(dialect: &Dialect, content: Result<String, String>) -> PublishResponse {
    match content {
        _ if dialect.publish.error.is_none() => PublishResponse::Acknowledged,
        Err(why) => PublishResponse::Unclear { why, again: Some(Duration::ZERO) },
        Ok(content) => match dialect.error_in(&content) {
            Some(error) => {
                PublishResponse::NotTaken { why: format!("the server answered {error}"), again: None }
            }
            None => PublishResponse::Acknowledged,
        },
    }
}

fn retry_after(value: Option<&reqwest::header::HeaderValue>) -> Duration {
    let seconds = value.and_then(|value| value.to_str().ok()).and_then(|text| text.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(0)).min(LONGEST_RETRY_AFTER)
}

/// Judges the status of an answer. With a dialect, its statuses accept; without one, 2xx does. A 4xx refuses for sure, but
/// for three: 408 and 425 say nothing about the event, and of another server's 429 it is not known what it counts. Of all
/// other statuses nobody knows whether the log has the event; redirects are not followed.
fn judge(status: StatusCode, dialect: Option<&Dialect>, again: Duration) -> PublishResponse {
    let is_accepted = match dialect {
        Some(dialect) => dialect.publish.accepts.contains(status.as_u16()),
        None => status.is_success(),
    };
    let why = format!("the server answered {status}");
    let hint = "; if it accepts events so, add this status to dialect.publish.accepts";
    match status {
        _ if is_accepted => PublishResponse::Acknowledged,
        StatusCode::TOO_MANY_REQUESTS if dialect.is_none() => {
            PublishResponse::NotTaken { why, again: Some(again) }
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => {
            PublishResponse::Unclear { why, again: Some(again) }
        }
        _ if status.is_client_error() => PublishResponse::NotTaken { why, again: None },
        // Another node may answer at once, whatever this one says of later.
        _ if status.is_server_error() => PublishResponse::Unclear { why, again: Some(Duration::ZERO) },
        _ if dialect.is_some() => PublishResponse::Unclear { why: why + hint, again: None },
        _ => PublishResponse::Unclear { why, again: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scenario;

    const FOREIGN: &str = "schema = 1\nname = \"d\"\nduration = \"1s\"\n[cluster]\nattach = [\"http://a:1\"]\n[clients.c]\n\
                           clients = 1\n[dialect]\nstream = \"/\"\n[dialect.publish]\npath = \"/\"\n";

    /// The outcome of an answer without a dialect, and with one that accepts these; whether another attempt follows.
    #[track_caller]
    fn check_status(accepts: Option<&str>, status: u16, expected: PublishOutcome, is_retried: bool) {
        let dialect = accepts.map(|accepts| {
            let text = format!("{FOREIGN}{accepts}");
            scenario::parse("d.toml", &text, &[]).unwrap().dialect.unwrap()
        });
        let answer = judge(StatusCode::from_u16(status).unwrap(), dialect.as_ref(), Duration::ZERO);
        let (outcome, retried) = match answer {
            PublishResponse::Acknowledged => (PublishOutcome::Acknowledged, false),
            PublishResponse::NotTaken { again, .. } => (PublishOutcome::Refused, again.is_some()),
            PublishResponse::Unclear { again, .. } => (PublishOutcome::Indeterminate, again.is_some()),
        };
        assert_eq!((outcome, retried), (expected, is_retried), "{status}");
    }

    #[test]
    fn an_answer_settles_a_publish_only_where_it_can() {
        for accepts in [None, Some("")] {
            check_status(accepts, 202, PublishOutcome::Acknowledged, false);
            check_status(accepts, 200, PublishOutcome::Acknowledged, false);
            check_status(accepts, 400, PublishOutcome::Refused, false);
            check_status(accepts, 413, PublishOutcome::Refused, false);
            for repeated in [408, 425, 500, 503] {
                check_status(accepts, repeated, PublishOutcome::Indeterminate, true);
            }
            for elsewhere in [301, 302, 303, 307] {
                check_status(accepts, elsewhere, PublishOutcome::Indeterminate, false);
            }
        }
        check_status(None, 429, PublishOutcome::Refused, true);
        check_status(Some(""), 429, PublishOutcome::Indeterminate, true);
    }

    #[test]
    fn a_dialect_says_which_statuses_accept() {
        let accepts = Some("accepts = [200, 303, \"500-502\"]\n");
        for status in [200, 303, 502] {
            check_status(accepts, status, PublishOutcome::Acknowledged, false);
        }
        check_status(accepts, 202, PublishOutcome::Indeterminate, false);
        check_status(accepts, 503, PublishOutcome::Indeterminate, true);
        check_status(accepts, 404, PublishOutcome::Refused, false);
    }
}
