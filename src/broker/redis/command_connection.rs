//! The one connection for short commands. Read [`CommandConn::ask`] first.

use std::sync::Arc;
use std::time::Duration;

use redis::FromRedisValue;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::connection::{Ask, Conn, ConnError};
use super::finder::{Finder, backoff};
use super::limits::CONNECTION_WAIT;
use crate::broker::StoreError;

/// One connection for short commands, shared by all callers: kept open by a task, opened again when it breaks. A
/// command is sent once more when the connection turns out to be broken, so it must be harmless when it is carried out
/// twice.
#[derive(Debug)]
pub(super) struct CommandConn {
    conn: watch::Receiver<Option<Conn>>,
    /// Serial of the newest connection that broke.
    broken: watch::Sender<Option<u64>>,
    place: String,
    response: Duration,
}

/// The task that keeps a [`CommandConn`] open.
#[derive(Debug)]
pub(super) struct CommandConnKeeper {
    finder: Arc<Finder>,
    conn: watch::Sender<Option<Conn>>,
    broken: watch::Receiver<Option<u64>>,
}

impl CommandConn {
    /// Wraps an open connection; returns the task that keeps it open.
    pub(super) fn new(finder: &Arc<Finder>, conn: Conn, response: Duration) -> (Self, CommandConnKeeper) {
        let (sender, receiver) = watch::channel(Some(conn));
        let (broken, breaks) = watch::channel(None);
        let keeper = CommandConnKeeper { finder: Arc::clone(finder), conn: sender, broken: breaks };
        (Self { conn: receiver, broken, place: finder.place(), response }, keeper)
    }

    /// The connection, as soon as there is one other than the one that broke.
    async fn conn(&self, but: Option<u64>) -> Result<Conn, StoreError> {
        let mut conn = self.conn.clone();
        let usable = |conn: &Option<Conn>| conn.as_ref().is_some_and(|conn| Some(conn.serial) != but);
        let open = tokio::time::timeout(CONNECTION_WAIT, conn.wait_for(usable)).await;
        match open.map(|open| open.map(|conn| conn.clone())) {
            Ok(Ok(Some(conn))) => Ok(conn),
            Ok(_) | Err(_) => Err(StoreError {
                operation: "send a command to Redis",
                place: self.place.clone(),
                cause: "the node is not connected to the master".to_owned(),
            }),
        }
    }

    /// The term of the server that the next command most likely goes to.
    pub(super) async fn term(&self) -> Result<Arc<str>, StoreError> {
        Ok(self.conn(None).await?.term)
    }

    /// Opens the connection again, because its term is out of date.
    pub(super) fn renew(&self) {
        let serial = self.conn.borrow().as_ref().map(|conn| conn.serial);
        self.note_broken(serial);
    }

    /// Keeps the newest: a late report about an old connection must not hide one about the present connection.
    fn note_broken(&self, serial: Option<u64>) {
        self.broken.send_if_modified(|broken| {
            let is_newer = serial > *broken;
            *broken = serial.max(*broken);
            is_newer
        });
    }

    /// Sends a command only once, for commands that must not be carried out twice.
    pub(super) async fn ask_once<T: FromRedisValue>(
        &self,
        operation: &'static str,
        ask: Ask<'_>,
    ) -> Result<T, StoreError> {
        let mut conn = self.conn(None).await?;
        let answer = conn.ask(operation, ask, self.response).await;
        if answer.as_ref().is_err_and(ConnError::is_broken) {
            self.note_broken(Some(conn.serial));
        }
        answer.map_err(ConnError::into_store_error)
    }

    /// Sends a command, and once more on a new connection where the first one turns out to be broken.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        operation: &'static str,
        ask: Ask<'_>,
    ) -> Result<T, StoreError> {
        let mut conn = self.conn(None).await?;
        let error = match conn.ask(operation, ask, self.response).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if !error.is_broken() {
            return Err(error.into_store_error());
        }
        self.note_broken(Some(conn.serial));
        let Ok(mut other) = self.conn(Some(conn.serial)).await else { return Err(error.into_store_error()) };
        let answer = other.ask(operation, ask, self.response).await;
        if answer.as_ref().is_err_and(ConnError::is_broken) {
            self.note_broken(Some(other.serial));
        }
        answer.map_err(ConnError::into_store_error)
    }
}

impl CommandConnKeeper {
    /// Keeps the connection open until the token ends it.
    pub(super) async fn run(mut self, token: CancellationToken) {
        let mut backoff = backoff();
        loop {
            let serial = self.conn.borrow().as_ref().map(|conn| conn.serial);
            tokio::select! {
                () = token.cancelled() => return,
                // An error means that every caller is gone.
                broken = self.broken.wait_for(|broken| *broken == serial) => if broken.is_err() { return },
            }
            self.conn.send_replace(None);
            while let Err(error) = self.open().await {
                tracing::debug!(%error, "no connection for commands");
                let wait = backoff.next_wait(&mut rand::rng());
                tokio::select! {
                    () = token.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
            backoff.reset();
        }
    }

    async fn open(&self) -> Result<(), StoreError> {
        let conn = self.finder.open().await?;
        self.conn.send_replace(Some(conn));
        Ok(())
    }
}
