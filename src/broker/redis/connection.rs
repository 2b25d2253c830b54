//! An open connection to the server that holds the log, and what an error means for it. Never re-sends anything by
//! itself. Read [`Conn::ask`] first.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisError};
use tokio::time::Instant;

use super::limits::SERVER_TIME_FOR;
use crate::broker::StoreError;
use crate::runtime::clock::millis;

/// Why a command failed, and what that means for the connection.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum ConnError {
    /// The connection cannot be trusted any more: a new one has to be opened, maybe to another server. Whether the
    /// command was carried out is not known.
    #[error(transparent)]
    Broken(StoreError),
    /// The server refuses the command and gives a reason; nothing was written, but for [`ConnError::may_have_written`].
    #[error(transparent)]
    Refused(StoreError),
}

impl ConnError {
    /// The error without its meaning for the connection.
    pub(super) fn into_store_error(self) -> StoreError {
        match self {
            Self::Broken(error) | Self::Refused(error) => error,
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(_))
    }

    /// Whether a script may have written before it failed. An error that it raised names the line; one that it returned,
    /// because nothing was written, does not.
    pub(super) fn may_have_written(&self) -> bool {
        match self {
            Self::Broken(_) => true,
            Self::Refused(error) => error.cause.contains("user_script"),
        }
    }
}

/// Classifies an error of the crate. Only errors that are known to leave the connection usable are refusals.
pub(super) fn classify(operation: &'static str, place: &str, error: &RedisError) -> ConnError {
    // The server refuses one command and is still the master; a new connection would get the same answer.
    const HARMLESS: [&str; 10] = [
        "OOM",
        "NOREPLICAS",
        "TRYAGAIN",
        "MISCONF",
        "NOPERM",
        "ERR",
        "WRONGTYPE",
        "NOSCRIPT",
        "BUSY",
        "BUSYKEY",
    ];
    let cause = StoreError { operation, place: place.to_owned(), cause: error.to_string() };
    // Before Redis 7, an error inside a script is part of the text of an ERR.
    let is_deposed =
        ["READONLY", "MOVED", "LOADING", "MASTERDOWN"].iter().any(|word| cause.cause.contains(word));
    match error.code() {
        Some(code) if HARMLESS.contains(&code) && !is_deposed => ConnError::Refused(cause),
        _ => ConnError::Broken(cause),
    }
}

/// A request to a server. There are no transactions: a server that is out of memory refuses all of them, also those that
/// only read. What needs one moment is a script.
#[derive(Clone, Copy)]
pub(super) enum Ask<'a> {
    Command(&'a redis::Cmd),
    /// A script, which is loaded where the server does not know it yet.
    Script(&'a redis::ScriptInvocation<'a>),
}

/// An open connection to a master.
#[derive(Clone)]
pub(super) struct Conn {
    pub(super) redis: MultiplexedConnection,
    /// Tells this connection from others of the process.
    pub(super) serial: u64,
    /// Identifies the time of this server as master: changes with every start and every promotion.
    pub(super) term: Arc<str>,
    /// Its address, for messages.
    pub(super) place: Arc<str>,
    /// Milliseconds since 1970 by the clock of the server, and when it told them.
    server_time: Option<(u64, Instant)>,
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn").field("place", &self.place).field("term", &self.term).finish_non_exhaustive()
    }
}

impl Conn {
    /// A connection whose handshake is still to come.
    pub(super) fn new(redis: MultiplexedConnection, serial: u64, place: Arc<str>) -> Self {
        Self { redis, serial, term: Arc::from(""), place, server_time: None }
    }

    /// The time of the server in milliseconds since 1970, unless it has to be asked again.
    pub(super) fn server_ms(&self) -> Option<u64> {
        let (ms, told) = self.server_time?;
        let since = told.elapsed();
        (since < SERVER_TIME_FOR).then(|| ms + millis(since))
    }

    /// The server has just told its time.
    pub(super) fn note_server_ms(&mut self, ms: u64) {
        self.server_time = Some((ms, Instant::now()));
    }

    /// Asks, and waits at most this long for the answer.
    pub(super) async fn ask<T: FromRedisValue>(
        &mut self,
        operation: &'static str,
        ask: Ask<'_>,
        patience: Duration,
    ) -> Result<T, ConnError> {
        let redis = &mut self.redis;
        let answer = async {
            match ask {
                Ask::Command(command) => command.query_async(redis).await,
                Ask::Script(script) => script.invoke_async(redis).await,
            }
        };
        from_reply(operation, &self.place, tokio::time::timeout(patience, answer).await)
    }
}

fn from_reply<T>(
    operation: &'static str,
    place: &str,
    answer: Result<Result<T, RedisError>, tokio::time::error::Elapsed>,
) -> Result<T, ConnError> {
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(classify(operation, place, &error)),
        Err(_) => Err(ConnError::Broken(StoreError {
            operation,
            place: place.to_owned(),
            cause: "no answer in time".to_owned(),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_merely_refuses_leaves_the_connection_alone() {
        let error = |code: &'static str| redis::make_extension_error(code.to_owned(), None);
        for code in ["OOM", "NOREPLICAS", "MISCONF"] {
            assert!(!classify("write", "h:1", &error(code)).is_broken(), "{code}");
        }
        for code in ["READONLY", "MOVED", "ASK", "LOADING", "UNBLOCKED", "MASTERDOWN", "CLUSTERDOWN", "NEW"] {
            assert!(classify("write", "h:1", &error(code)).is_broken(), "{code}");
        }
        let io = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(classify("write", "h:1", &io).is_broken());
    }
}
