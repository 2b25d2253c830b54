//! What parent and worker say to each other: frames over the worker's stdin and stdout, each with the version of this
//! language, so that another program's bytes are refused instead of misread. Read [`ToWorker`] and [`ToParent`] first.

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
use crate::bench::load::progress::Snapshot;
use crate::bench::metrics::latency::LatencyCounts;
use crate::bench::scenario::ScenarioSource;
use crate::bench::verdict::history::Entry;

/// Version of this language. Raised with every change.
const VERSION: u8 = 3;
/// Version and length.
const HEADER: usize = 5;
/// Longest frame. The books of a thousand clients that went through a hundred faults each stay far below.
const LONGEST: usize = 256 * 1024 * 1024;
/// What a reader asks the system for at once.
const PIECE: usize = 64 * 1024;
/// Longest wait until the other side takes a frame out of the pipe.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// What a worker is told.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// What to do. The first word, and said once.
    Init(Box<Init>),
    /// The clock starts at this moment, in nanoseconds of `CLOCK_MONOTONIC`, which all processes of a machine share.
    Start(u64),
    /// Everything that was ordered so far.
    Orders(SwarmState),
    /// What is known of the doors of the balancer.
    Doors(Vec<EndpointState>),
}

/// The whole work of a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Init {
    /// The scenario, from which the plan follows.
    pub origin: ScenarioSource,
    /// The run.
    pub run: RunId,
    /// [`crate::bench::verdict::history::fingerprint`] of the parent's plan: who plans something else must not take part.
    pub plan: u32,
    /// Which clients are its own.
    pub share: Share,
    /// Base URLs of the nodes.
    pub nodes: Vec<String>,
    /// How many nodes there are, also behind a balancer.
    pub count: usize,
    /// Base URL of the balancer in front of them, where there is one.
    pub load_balancer: Option<String>,
    /// What is known of the doors to them.
    pub endpoints: Vec<EndpointState>,
    /// Where every arrival is written down, if somebody wants it: a file of the worker's own.
    pub history: Option<HistoryFile>,
}

/// A part of the history in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryFile {
    /// The run's directory.
    pub dir: PathBuf,
    /// The name of the part in it.
    pub name: String,
}

/// What a worker tells.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToParent {
    /// It has planned the same, and its clients begin to connect.
    Ready,
    /// It knows when the clock starts, and learned it so long after that: zero if before.
    Started(Duration),
    /// How far it is.
    Stats(Box<Stats>),
    /// A sealed piece of evidence: books, or measurements.
    Evidence(Vec<u8>),
    /// That was all of it.
    Done(WorkerSummary),
    /// It cannot go on, and why.
    Failed(String),
}

/// Counts of one worker at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Counters.
    pub counts: Snapshot,
    /// Latencies of what was delivered since the figures before.
    pub latencies: LatencyCounts,
    /// Clients that have not left.
    pub alive: u32,
    /// Of those, how many have their last events.
    pub satisfied: u32,
    /// Open connections, by node.
    pub open: Vec<u32>,
}

/// The last word of a worker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerSummary {
    /// Clients that did not end in time, and left no book.
    pub stuck: u32,
    /// Its part of the history, if it wrote one and that is whole.
    pub history: Option<Entry>,
    /// What went wrong while it wrote that.
    pub unwritten: Vec<RunProblem>,
}

/// Why the other side was not understood.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The pipe.
    #[error("the pipe broke")]
    Io(#[from] io::Error),
    /// It ended in the middle of a frame.
    #[error("the pipe ended in the middle of a frame")]
    Cut,
    /// Another version, or another program.
    #[error("it speaks version {found} of the language between processes, and this is version {VERSION}")]
    Version {
        /// What came instead.
        found: u8,
    },
    /// Longer than anything that is said.
    #[error("it announces a frame of {0} bytes, and the longest that there is has {LONGEST}")]
    TooLong(usize),
    /// Not a word of this language.
    #[error("it said something that makes no sense")]
    Nonsense(#[from] postcard::Error),
    /// Nobody reads.
    #[error("it did not take what it was told for {WRITE_TIMEOUT:?}")]
    Deaf,
}

/// Says something.
///
/// # Errors
/// [`WireError`].
pub async fn say<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), word: &T) -> Result<(), WireError> {
    let bytes = frame(word)?;
    let saying = async {
        to.write_all(&bytes).await?;
        to.flush().await
    };
    tokio::time::timeout(WRITE_TIMEOUT, saying).await.map_err(|_| WireError::Deaf)??;
    Ok(())
}

fn frame<T: Serialize>(word: &T) -> Result<Vec<u8>, WireError> {
    let mut bytes = postcard::to_extend(word, vec![VERSION, 0, 0, 0, 0])?;
    let length = bytes.len() - HEADER;
    let short = u32::try_from(length).ok().filter(|_| length <= LONGEST).ok_or(WireError::TooLong(length))?;
    bytes[1..HEADER].copy_from_slice(&short.to_le_bytes());
    Ok(bytes)
}

/// Listens to the other side.
#[derive(Debug)]
pub struct Listener<R> {
    from: R,
    /// What came and was not understood yet.
    bytes: BytesMut,
}

impl<R: AsyncRead + Unpin> Listener<R> {
    /// Nothing was heard yet.
    pub fn new(from: R) -> Self {
        Self { from, bytes: BytesMut::new() }
    }

    /// The next word; `None` when the other side has gone. Cancel-safe.
    ///
    /// # Errors
    /// [`WireError`].
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, WireError> {
        loop {
            if let Some(word) = self.word()? {
                return Ok(Some(word));
            }
            self.bytes.reserve(PIECE);
            if self.from.read_buf(&mut self.bytes).await? == 0 {
                return if self.bytes.is_empty() { Ok(None) } else { Err(WireError::Cut) };
            }
        }
    }

    fn word<T: DeserializeOwned>(&mut self) -> Result<Option<T>, WireError> {
        let [found, l0, l1, l2, l3, ..] = self.bytes[..] else { return Ok(None) };
        if found != VERSION {
            return Err(WireError::Version { found });
        }
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        if length > LONGEST {
            return Err(WireError::TooLong(length));
        }
        if self.bytes.len() < HEADER + length {
            return Ok(None);
        }
        self.bytes.advance(HEADER);
        let body = self.bytes.split_to(length);
        match postcard::take_from_bytes(&body)? {
            (word, []) => Ok(Some(word)),
            (_, _) => Err(WireError::Nonsense(postcard::Error::DeserializeBadEncoding)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn words_arrive_whole_however_they_are_cut() {
        let (mut one, other) = tokio::io::duplex(7);
        let saying = async move {
            say(&mut one, &ToParent::Ready).await.unwrap();
            say(&mut one, &ToParent::Evidence(vec![7; 300_000])).await.unwrap();
            say(&mut one, &ToParent::Failed("no room".to_owned())).await.unwrap();
        };
        let listening = async move {
            let mut listener = Listener::new(other);
            assert!(matches!(listener.next().await.unwrap(), Some(ToParent::Ready)));
            let evidence = listener.next().await.unwrap();
            assert!(matches!(evidence, Some(ToParent::Evidence(bytes)) if bytes == [7; 300_000]));
            assert!(
                matches!(listener.next().await.unwrap(), Some(ToParent::Failed(why)) if why == "no room")
            );
            assert!(listener.next::<ToParent>().await.unwrap().is_none(), "the other side has gone");
        };
        tokio::join!(saying, listening);
    }

    #[track_caller]
    fn refused(bytes: &[u8], words: &str) {
        let mut listener = Listener::new(bytes);
        let heard = futures_util::FutureExt::now_or_never(listener.next::<ToParent>());
        let error = heard.expect("bytes are there at once").unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn what_is_not_of_this_language_is_refused() {
        let ready = frame(&ToParent::Ready).unwrap();
        refused(&ready[..ready.len() - 1], "in the middle");
        refused(b"HTTP/1.1 200 OK", "speaks version 72");
        refused(&[VERSION, 0xff, 0xff, 0xff, 0xff], "announces a frame");
        refused(&[VERSION, 1, 0, 0, 0, 0x7f], "no sense");
        refused(&[VERSION, 2, 0, 0, 0, 0, 0], "no sense");
    }
}
