//! Whether a server is ready: it is asked until it says so, its process ends, or the time is up. A node, and a load balancer
//! in front of nodes, gets `GET /health/ready`; another server gets what its dialect says; one without HTTP is asked in its own
//! way ([`Ping`]).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::StatusCode;
use tokio::time::Instant;

use super::process::{Launch, Process};
use crate::client::is_tls_failure;
use crate::runtime::root_cause;

/// Period of asking: short, since a node is ready within tens of milliseconds.
const POLL_EVERY: Duration = Duration::from_millis(20);
/// Time limit of one request, since a paused node never answers.
const POLL_TIMEOUT: Duration = Duration::from_secs(1);

/// How to find out whether a server is ready.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// The server, for messages: `node n1`.
    pub what: String,
    /// How it is asked.
    pub probe: Probe,
    /// How long it may take until the server is ready.
    pub timeout: Duration,
}

/// How a server is asked.
#[derive(Debug, Clone)]
pub enum Probe {
    /// `GET` below a base URL.
    Http {
        /// The HTTP client of these requests.
        http: reqwest::Client,
        /// Base URL of the node.
        base: String,
        /// What answer counts.
        sign: Sign,
    },
    /// A server that speaks something else.
    Ping(Arc<dyn Ping>),
}

/// How a server without HTTP is asked.
pub trait Ping: fmt::Debug + Send + Sync {
    /// Where it is, for messages.
    fn place(&self) -> String;

    /// Asks once, within this time. The error says why it is not ready, for people.
    fn ask(&self, limit: Duration) -> BoxFuture<'_, Result<(), String>>;
}

/// Which answer means ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// A 2xx to `GET` this path.
    Success(String),
    /// Any answer to `GET /`, for a server about which nothing else is known.
    Answer,
}

impl Sign {
    /// The sign of sse-node, and of a load balancer in front of one.
    #[must_use]
    pub fn usual() -> Self {
        Self::Success("/health/ready".to_owned())
    }
}

/// Why a server is not ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// Its process ended.
    #[error("{what} ended instead of becoming ready ({status}); it said:\n{last_words}")]
    Ended { what: String, status: String, last_words: String },
    /// The time is up.
    #[error("{what} at {place} was not ready within {timeout:?}: {last}")]
    Late { what: String, place: String, timeout: Duration, last: String },
    /// TLS failed, which no waiting changes: the bench rejects its certificate, or it does not speak TLS.
    #[error(
        "TLS with {what} at {place} fails: {reason}; check that it speaks https, and set cluster.tls.ca or --ca to the PEM file of its certificate's authority, or use --insecure"
    )]
    Tls { what: String, place: String, reason: String },
}

/// Why a server is not ready now.
#[derive(Debug)]
pub struct Unready {
    /// The cause, as a text for people.
    pub reason: String,
    /// Whether TLS failed.
    pub is_tls_failure: bool,
}

impl From<String> for Unready {
    fn from(reason: String) -> Self {
        Self { reason, is_tls_failure: false }
    }
}

impl Readiness {
    /// Waits until the server is ready, and returns how long that took. The process is watched where the bench started it.
    ///
    /// # Errors
    /// It ended, or the time is up.
    pub async fn wait(&self, mut process: Option<(&Launch, &mut Process)>) -> Result<Duration, NotReady> {
        let began = Instant::now();
        loop {
            let last = match self.ask().await {
                Ok(()) => return Ok(began.elapsed()),
                Err(last) => last,
            };
            if last.is_tls_failure {
                let (what, place) = (self.what.clone(), self.probe.place());
                return Err(NotReady::Tls { what, place, reason: last.reason });
            }
            if let Some((launch, process)) = &mut process
                && let Ok(Some(status)) = process.exited()
            {
                let (what, last_words) = (self.what.clone(), launch.last_words());
                return Err(NotReady::Ended { what, status: status.to_string(), last_words });
            }
            if began.elapsed() >= self.timeout {
                let (what, place) = (self.what.clone(), self.probe.place());
                return Err(NotReady::Late { what, place, timeout: self.timeout, last: last.reason });
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// The same server under another base URL.
    #[must_use]
    pub fn through(&self, door: &str) -> Self {
        let mut other = self.clone();
        if let Probe::Http { base, .. } = &mut other.probe {
            door.clone_into(base);
        }
        other
    }

    /// Asks once.
    ///
    /// # Errors
    /// Why it is not ready.
    pub async fn ask(&self) -> Result<(), Unready> {
        match &self.probe {
            Probe::Http { http, base, sign } => ask_http(http, base, sign).await,
            Probe::Ping(server) => Ok(server.ask(POLL_TIMEOUT).await?),
        }
    }
}

impl Probe {
    fn place(&self) -> String {
        match self {
            Self::Http { base, .. } => base.clone(),
            Self::Ping(server) => server.place(),
        }
    }
}

async fn ask_http(http: &reqwest::Client, base: &str, sign: &Sign) -> Result<(), Unready> {
    let path = match sign {
        Sign::Success(path) => path,
        Sign::Answer => "/",
    };
    match http.get(format!("{base}{path}")).timeout(POLL_TIMEOUT).send().await {
        Ok(answer) if *sign == Sign::Answer || answer.status().is_success() => Ok(()),
        Ok(answer) if answer.status() == StatusCode::NOT_FOUND && *sign == Sign::usual() => Err(format!(
            "GET {path} answers 404 Not Found; a server other than sse-node needs a [dialect] in the scenario"
        )
        .into()),
        Ok(answer) => Err(format!("GET {path} answers {}", answer.status()).into()),
        Err(error) => {
            let is_tls_failure = is_tls_failure(&error);
            Err(Unready { reason: root_cause(&error).to_string(), is_tls_failure })
        }
    }
}
