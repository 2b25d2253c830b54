//! Whether a node can serve: `GET /health/ready` polled until it says so, its process ends, or the time is up.

use std::time::Duration;

use tokio::time::Instant;

use super::process::{Launch, Process};

/// Between two looks: short, since a node is ready within tens of milliseconds.
const POLL_EVERY: Duration = Duration::from_millis(20);
/// One look; a paused node answers never.
const POLL_TIMEOUT: Duration = Duration::from_secs(1);

/// How to see that a node is ready.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// The node, for messages: `node n1`.
    pub what: String,
    /// For the polls.
    pub http: reqwest::Client,
    /// Base URL of the node.
    pub base: String,
    /// How long it may take.
    pub timeout: Duration,
}

/// A node that did not become ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// Its process ended.
    #[error("{what} ended instead of becoming ready ({status}); it said:\n{last_words}")]
    Ended { what: String, status: String, last_words: String },
    /// It took too long.
    #[error("{what} at {base} was not ready within {timeout:?}: {last}")]
    Late { what: String, base: String, timeout: Duration, last: String },
}

impl Readiness {
    /// Waits until the node is ready and says how long that took. The process is watched where it is ours.
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
            if let Some((launch, process)) = &mut process
                && let Ok(Some(status)) = process.exited()
            {
                let (what, last_words) = (self.what.clone(), launch.last_words());
                return Err(NotReady::Ended { what, status: status.to_string(), last_words });
            }
            if began.elapsed() >= self.timeout {
                let (what, base) = (self.what.clone(), self.base.clone());
                return Err(NotReady::Late { what, base, timeout: self.timeout, last });
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// One look.
    ///
    /// # Errors
    /// Why it is not ready, for people.
    pub async fn ask(&self) -> Result<(), String> {
        let request = self.http.get(format!("{}/health/ready", self.base)).timeout(POLL_TIMEOUT);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("GET /health/ready answers {}", answer.status())),
            Err(error) => Err(innermost(&error)),
        }
    }
}

/// The last cause of an error: `Connection refused` says more than `error sending request`.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}
