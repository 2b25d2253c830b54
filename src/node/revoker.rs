//! Applies revocations as the log brings them: remembers them, and ends the streams of the tokens. Ends those of API keys
//! that are removed. Read [`Revoker::see`] first.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::access::{ApiKeyChanges, REVOCATIONS, Revocations, TokenRef, revocation};
use super::close::CloseCode;
use super::connections::{CloseOrder, Connection, Connections};
use crate::broker::{Broker, Entry, StoreError};
use crate::protocol::{Address, ClientId};
use crate::runtime::clock::unix_ms;

/// Knows the streams that may have to end.
#[derive(Debug, Clone)]
pub(crate) struct Revoker {
    revocations: Arc<Revocations>,
    connections: Connections,
}

/// Where revocations are published to.
pub(crate) fn address() -> Address {
    Address::Client(ClientId::parse(REVOCATIONS).expect("it is a valid name"))
}

impl Revoker {
    pub(crate) fn new(revocations: Arc<Revocations>, connections: Connections) -> Self {
        Self { revocations, connections }
    }

    /// Applies an entry of the log, if it is a revocation.
    pub(crate) fn see(&self, entry: &Entry) {
        let Some(request) = revocation(&entry.address, &entry.envelope) else { return };
        self.revocations.add(&request, unix_ms() / 1_000);
        self.end_those(|token| token.is_meant(&request));
    }

    /// Ends the streams that were opened with such a credential.
    fn end_those(&self, is_meant: impl Fn(&TokenRef) -> bool) {
        let open = self.connections.all();
        let is_meant = |stream: &&Arc<Connection>| stream.token.as_ref().is_some_and(|token| is_meant(token));
        open.iter().filter(is_meant).for_each(|stream| end(stream));
    }

    /// Ends the streams of API keys that have left their file, until the token ends it.
    pub(crate) async fn follow(self, mut changes: ApiKeyChanges, token: CancellationToken) {
        loop {
            let keys = tokio::select! {
                () = token.cancelled() => return,
                keys = changes.next() => keys,
            };
            let Some(keys) = keys else { return };
            self.end_those(|token| token.is_gone(&keys));
        }
    }

    /// Applies all that are kept: when a node starts, and when it may have missed some.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) async fn load(&self, broker: &Broker) -> Result<(), StoreError> {
        let mailbox = broker.mailbox(&address()).await?;
        if mailbox.overflowed > 0 {
            tracing::error!(
                dropped = mailbox.overflowed,
                "revocations were dropped (--mailbox-messages): tokens that were taken back are valid again"
            );
        }
        mailbox.entries.iter().for_each(|entry| self.see(entry));
        Ok(())
    }
}

/// Ends a stream whose credential was taken back.
pub(crate) fn end(stream: &Connection) {
    let is_api_key = stream.token.as_ref().is_some_and(|token| token.api_key.is_some());
    let what = if is_api_key { "the API key was removed" } else { "the token was revoked" };
    let reason = Arc::from(what);
    stream.close(CloseOrder { at: Instant::now(), code: CloseCode::Revoked, reason });
}
