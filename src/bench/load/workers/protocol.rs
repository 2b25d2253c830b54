//! Messages between parent and worker: frames over the worker's stdin and stdout. Each frame carries the version of the
//! protocol, so that the bytes of another program are refused. Read [`ToWorker`] and [`ToParent`] first.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::bench::exit::RunProblem;
use crate::bench::ids::RunId;
use crate::bench::load::balancer::EndpointState;
use crate::bench::load::clients::SwarmState;
use crate::bench::load::clients::share::Share;
use crate::bench::load::progress::{ConnectFailures, Snapshot};
use crate::bench::metrics::latency::LatencyCounts;
use crate::bench::scenario::ScenarioSource;
use crate::bench::verdict::Sightings;
use crate::bench::verdict::history::Entry;

/// Version of the protocol. Raised with every change.
const VERSION: u8 = 5;
/// Bytes before the body of a frame: version and length.
const HEADER_BYTES: usize = 5;
/// Longest body of a frame. The ledgers of a thousand clients that went through a hundred faults each are far smaller.
const FRAME_MAX_BYTES: usize = 256 * 1024 * 1024;
/// Buffer space for one read.
const READ_BYTES: usize = 64 * 1024;
/// Longest wait until the other side has read a frame from the pipe.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// A message from the parent to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// The work to do. The first message, sent once.
    Init(Box<Init>),
    /// The clock starts at this moment, in nanoseconds of `CLOCK_MONOTONIC`, which all processes of a machine share.
    Start(u64),
    /// All commands to clients up to now.
    Commands(SwarmState),
    /// The state of the balancer's endpoints.
    Endpoints(Vec<EndpointState>),
}

/// The whole work of a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Init {
    /// The scenario, from which the worker derives the plan.
    pub origin: ScenarioSource,
    /// Part of every stamp; the worker's clients count events of other runs as foreign.
    pub run: RunId,
    /// [`crate::bench::verdict::history::fingerprint`] of the parent's plan. A worker with another plan must not take part.
    pub plan: u32,
    /// Which clients are the worker's.
    pub share: Share,
    /// Base URLs of the nodes.
    pub nodes: Vec<String>,
    /// Number of nodes, also behind a load balancer.
    pub count: usize,
    /// Base URL of the load balancer in front of the nodes; `None`: clients connect to the nodes.
    pub load_balancer: Option<String>,
    /// The state of the balancer's endpoints.
    pub endpoints: Vec<EndpointState>,
    /// The worker's part of the full history; `None`: it records none.
    pub history: Option<HistoryFile>,
}

/// A part of the full history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryFile {
    /// The run's directory.
    pub dir: PathBuf,
    /// Name of the part in `dir`.
    pub name: String,
}

/// A message from a worker to the parent.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToParent {
    /// The worker has the same plan as the parent, and its clients begin to connect.
    Ready,
    /// The worker knows when the clock starts. How long after the start it learned this; zero if before.
    Started(Duration),
    /// Counts up to now.
    Stats(Box<Stats>),
    /// A section of evidence: ledgers or measurements.
    Evidence(Vec<u8>),
    /// The last message: all evidence was sent.
    Done(WorkerSummary),
    /// The worker cannot go on, and why.
    Failed(String),
}

/// Counts of one worker at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Totals since the worker started.
    pub counts: Snapshot,
    /// Latencies of the deliveries since the last message with counts.
    pub latencies: LatencyCounts,
    /// Clients that have not left.
    pub alive: u32,
    /// Clients among `alive` that have received their sentinels.
    pub satisfied: u32,
    /// Open connections, by node.
    pub open: Vec<u32>,
    /// Why connects failed.
    pub failures: ConnectFailures,
}

/// The content of a worker's last message.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerSummary {
    /// Clients that did not stop in time, and have no ledger.
    pub not_stopped: u32,
    /// The worker's part of the full history, if it was recorded and is complete.
    pub history: Option<Entry>,
    /// What the clients noticed beside events.
    pub sightings: Sightings,
    /// What went wrong while the history was written.
    pub unwritten: Vec<RunProblem>,
}

/// A message could not be sent or read.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The pipe failed.
    #[error("the pipe broke")]
    Io(#[from] io::Error),
    /// The pipe was closed in the middle of a frame.
    #[error("the pipe was closed in the middle of a frame")]
    Cut,
    /// The other side has another version, or is another program.
    #[error(
        "the other side has version {found} of the worker protocol, and this program has version {VERSION}"
    )]
    Version {
        /// The first byte of the frame.
        found: u8,
    },
    /// The frame is longer than any message.
    #[error("a frame has {0} bytes, and at most {FRAME_MAX_BYTES} are allowed")]
    TooLong(usize),
    /// The frame is not a message of this protocol.
    #[error("it sent a malformed message")]
    Malformed(#[from] postcard::Error),
    /// The other side does not read.
    #[error("it did not read from its pipe for {WRITE_TIMEOUT:?}")]
    WriteTimeout,
}

/// Sends a message.
///
/// # Errors
/// [`WireError`]: the pipe failed, the message is too long, or the other side does not read.
pub async fn send_message<T: Serialize>(
    to: &mut (impl AsyncWrite + Unpin),
    message: &T,
) -> Result<(), WireError> {
    let bytes = frame(message)?;
    let sending = async {
        to.write_all(&bytes).await?;
        to.flush().await
    };
    tokio::time::timeout(WRITE_TIMEOUT, sending).await.map_err(|_| WireError::WriteTimeout)??;
    Ok(())
}

fn frame<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    let mut bytes = postcard::to_extend(message, vec![VERSION, 0, 0, 0, 0])?;
    let length = bytes.len() - HEADER_BYTES;
    let length_u32 =
        u32::try_from(length).ok().filter(|_| length <= FRAME_MAX_BYTES).ok_or(WireError::TooLong(length))?;
    bytes[1..HEADER_BYTES].copy_from_slice(&length_u32.to_le_bytes());
    Ok(bytes)
}

/// Reads messages from the other side.
#[derive(Debug)]
pub struct MessageReader<R> {
    from: R,
    /// Received, and not decoded yet.
    bytes: BytesMut,
}

impl<R: AsyncRead + Unpin> MessageReader<R> {
    /// A reader that has read nothing.
    pub fn new(from: R) -> Self {
        Self { from, bytes: BytesMut::new() }
    }

    /// The next message; `None` when the other side has closed the pipe. Cancel-safe.
    ///
    /// # Errors
    /// [`WireError`]: the pipe failed, or holds something other than messages of this version.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, WireError> {
        loop {
            if let Some(message) = self.decode()? {
                return Ok(Some(message));
            }
            self.bytes.reserve(READ_BYTES);
            if self.from.read_buf(&mut self.bytes).await? == 0 {
                return if self.bytes.is_empty() { Ok(None) } else { Err(WireError::Cut) };
            }
        }
    }

    fn decode<T: DeserializeOwned>(&mut self) -> Result<Option<T>, WireError> {
        let [found, l0, l1, l2, l3, ..] = self.bytes[..] else { return Ok(None) };
        if found != VERSION {
            return Err(WireError::Version { found });
        }
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        if length > FRAME_MAX_BYTES {
            return Err(WireError::TooLong(length));
        }
        if self.bytes.len() < HEADER_BYTES + length {
            return Ok(None);
        }
        self.bytes.advance(HEADER_BYTES);
        let body = self.bytes.split_to(length);
        match postcard::take_from_bytes(&body)? {
            (message, []) => Ok(Some(message)),
            (_, _) => Err(WireError::Malformed(postcard::Error::DeserializeBadEncoding)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_reflection::{Tracer, TracerConfig};

    use super::*;
    use crate::bench::exit::Exit;
    use crate::bench::verdict::Seen;
    use crate::client::CrateFault;

    /// The version, and the checksum of the form of its messages.
    const FORM: (u8, u32) = (5, 996_317_656);

    #[test]
    fn messages_of_another_form_have_another_version() {
        // A text that is also a run id, for the types that accept no other.
        let config = TracerConfig::default().default_string_value("0123456789abcdef".to_owned());
        let mut tracer = Tracer::new(config);
        tracer.trace_simple_type::<ToWorker>().unwrap();
        tracer.trace_simple_type::<ToParent>().unwrap();
        // Enums inside of messages are traced one by one.
        tracer.trace_simple_type::<Exit>().unwrap();
        tracer.trace_simple_type::<Seen>().unwrap();
        tracer.trace_simple_type::<CrateFault>().unwrap();
        let form = tracer.registry().unwrap();
        assert!(form.contains_key("Stats") && form.contains_key("Sighting"), "{form:#?}");
        let form = (VERSION, crc32fast::hash(format!("{form:?}").as_bytes()));
        assert_eq!(form, FORM, "messages have changed: raise VERSION, then write both numbers here");
    }

    #[tokio::test]
    async fn messages_arrive_whole_however_they_are_cut() {
        let (mut one, other) = tokio::io::duplex(7);
        let sending = async move {
            send_message(&mut one, &ToParent::Ready).await.unwrap();
            send_message(&mut one, &ToParent::Evidence(vec![7; 300_000])).await.unwrap();
            send_message(&mut one, &ToParent::Failed("no room".to_owned())).await.unwrap();
        };
        let receiving = async move {
            let mut reader = MessageReader::new(other);
            assert!(matches!(reader.next().await.unwrap(), Some(ToParent::Ready)));
            let evidence = reader.next().await.unwrap();
            assert!(matches!(evidence, Some(ToParent::Evidence(bytes)) if bytes == [7; 300_000]));
            assert!(matches!(reader.next().await.unwrap(), Some(ToParent::Failed(why)) if why == "no room"));
            assert!(reader.next::<ToParent>().await.unwrap().is_none(), "the other side has closed the pipe");
        };
        tokio::join!(sending, receiving);
    }

    #[track_caller]
    fn refused(bytes: &[u8], words: &str) {
        let mut reader = MessageReader::new(bytes);
        let received = futures_util::FutureExt::now_or_never(reader.next::<ToParent>());
        let error = received.expect("bytes are there at once").unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn other_bytes_are_refused() {
        let ready = frame(&ToParent::Ready).unwrap();
        refused(&ready[..ready.len() - 1], "in the middle");
        refused(b"HTTP/1.1 200 OK", "has version 72");
        refused(&[VERSION, 0xff, 0xff, 0xff, 0xff], "a frame has");
        refused(&[VERSION, 1, 0, 0, 0, 0x7f], "malformed");
        refused(&[VERSION, 2, 0, 0, 0, 0, 0], "malformed");
    }
}
