//! Whether a server can serve: asked until it says so, its process ends, or the time is up. A node (and what stands in
//! front of nodes) is asked `GET /health/ready`, a server of another make what its dialect says, a Redis `PING`.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::StatusCode;

use crate::runtime::{error_chain, root_cause};
use tokio::time::Instant;

use super::process::{Launch, Process};
use super::redis::resp;

/// Between two looks: short, since a node is ready within tens of milliseconds.
const POLL_EVERY: Duration = Duration::from_millis(20);
/// One look; a paused node answers never.
const POLL_TIMEOUT: Duration = Duration::from_secs(1);
/// How the TLS library begins what it says of a certificate.
const REFUSED_CERTIFICATE: &str = "invalid peer certificate";

/// How to see that a server is ready.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// The server, for messages: `node n1`.
    pub what: String,
    /// How it is asked.
    pub probe: Probe,
    /// How long it may take.
    pub timeout: Duration,
}

/// How a server is asked whether it is ready.
#[derive(Debug, Clone)]
pub enum Probe {
    /// A `GET` below a base URL.
    Http {
        /// For the polls.
        http: reqwest::Client,
        /// Base URL of the node.
        base: String,
        /// What is asked for.
        sign: Sign,
    },
    /// `PING`, which a Redis that still loads its data refuses; with its password, if it has one.
    Redis(SocketAddr, Option<String>),
}

/// What of a server says that it is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// An answer of 2xx to `GET` this path.
    Success(String),
    /// Any answer to `GET /`, for a server of which nothing else is known.
    Answer,
}

impl Sign {
    /// Of a node of ours, and of what stands in front of one.
    #[must_use]
    pub fn usual() -> Self {
        Self::Success("/health/ready".to_owned())
    }
}

/// A server that did not become ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// Its process ended.
    #[error("{what} ended instead of becoming ready ({status}); it said:\n{last_words}")]
    Ended { what: String, status: String, last_words: String },
    /// It took too long.
    #[error("{what} at {place} was not ready within {timeout:?}: {last}")]
    Late { what: String, place: String, timeout: Duration, last: String },
    /// Its certificate is not accepted, which no waiting changes.
    #[error(
        "{what} at {place} is not who it should be: {reason}; cluster.tls.ca or --ca names whose certificates are accepted"
    )]
    Stranger { what: String, place: String, reason: String },
}

impl Readiness {
    /// Waits until the server is ready and says how long that took. The process is watched where it is ours.
    ///
    /// # Errors
    /// It ended, or the time is up.
    pub async fn wait(&self, mut process: Option<(&Launch, &mut Process)>) -> Result<Duration, NotReady> {
        let began = Instant::now();
        loop {
            let last = match self.ask().await {
                Ok(()) => return Ok(began.elapsed()),
                Err(reason) => reason,
            };
            if last.contains(REFUSED_CERTIFICATE) {
                let (what, place) = (self.what.clone(), self.probe.place());
                return Err(NotReady::Stranger { what, place, reason: last });
            }
            if let Some((launch, process)) = &mut process
                && let Ok(Some(status)) = process.exited()
            {
                let (what, last_words) = (self.what.clone(), launch.last_words());
                return Err(NotReady::Ended { what, status: status.to_string(), last_words });
            }
            if began.elapsed() >= self.timeout {
                let (what, place) = (self.what.clone(), self.probe.place());
                return Err(NotReady::Late { what, place, timeout: self.timeout, last });
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// The same server, asked by another way to it.
    #[must_use]
    pub fn through(&self, door: &str) -> Self {
        let mut other = self.clone();
        if let Probe::Http { base, .. } = &mut other.probe {
            door.clone_into(base);
        }
        other
    }

    /// One look.
    ///
    /// # Errors
    /// Why it is not ready, for people.
    pub async fn ask(&self) -> Result<(), String> {
        match &self.probe {
            Probe::Http { http, base, sign } => ask_http(http, base, sign).await,
            Probe::Redis(address, password) => {
                let answer = resp::ask(*address, password.as_deref(), &["PING"], POLL_TIMEOUT).await;
                answer.map(|_| ()).map_err(|error| error_chain(&error))
            }
        }
    }
}

impl Probe {
    fn place(&self) -> String {
        match self {
            Self::Http { base, .. } => base.clone(),
            Self::Redis(address, _) => address.to_string(),
        }
    }
}

async fn ask_http(http: &reqwest::Client, base: &str, sign: &Sign) -> Result<(), String> {
    let path = match sign {
        Sign::Success(path) => path,
        Sign::Answer => "/",
    };
    match http.get(format!("{base}{path}")).timeout(POLL_TIMEOUT).send().await {
        Ok(answer) if *sign == Sign::Answer || answer.status().is_success() => Ok(()),
        Ok(answer) if answer.status() == StatusCode::NOT_FOUND && *sign == Sign::usual() => Err(format!(
            "GET {path} answers 404 Not Found: if it is no sse-node, the scenario needs a [dialect]"
        )),
        Ok(answer) => Err(format!("GET {path} answers {}", answer.status())),
        Err(error) => Err(root_cause(&error).to_string()),
    }
}
