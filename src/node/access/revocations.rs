//! Tokens that were taken back before their end, by id and by user. They stand in the log, in the mailbox of a client that
//! nobody may be: so every node reads them in order, and a node that starts finds them. Read [`Revocations::refuses`] first.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::api_keys::ApiKeys;
use super::scope::Scope;
use crate::node::limits::REVOCATIONS_MAX;
use crate::protocol::api::RevokeRequest;
use crate::protocol::{Address, Envelope, UserId};

/// The client whose mailbox keeps revocations.
pub(crate) const REVOCATIONS: &str = "~revocations";

/// Whether an address is the one of revocations.
pub(crate) fn is_reserved(address: &Address) -> bool {
    match address {
        Address::Client(client) | Address::NodeClient(_, client) => client.as_str() == REVOCATIONS,
        Address::All | Address::Topic(_) | Address::User(_) | Address::Node(_) => false,
    }
}

/// What of a credential decides whether it was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenRef {
    pub(crate) user: Option<UserId>,
    /// Its `jti`, if it has one.
    pub(crate) id: Option<Box<str>>,
    /// Its `iat`, in seconds since 1970.
    pub(crate) issued_at: Option<u64>,
    /// Of an API key, which has none of these: its id.
    pub(crate) api_key: Option<Box<str>>,
}

impl TokenRef {
    /// That of a scope; `None` without a credential that can be taken back.
    pub(crate) fn of(scope: &Scope) -> Option<Self> {
        if scope.expires_at.is_none() {
            let api_key = Some(scope.publisher.clone()?);
            return Some(Self { user: None, id: None, issued_at: None, api_key });
        }
        let user = scope.read.as_ref().and_then(|read| read.user.clone());
        Some(Self { user, id: scope.token_id.clone(), issued_at: scope.issued_at, api_key: None })
    }

    /// Whether this is an API key that is not, or no longer, one of these.
    pub(crate) fn is_gone(&self, keys: &ApiKeys) -> bool {
        self.api_key.as_deref().is_some_and(|id| !keys.has(id))
    }

    /// Whether a revocation means this token.
    pub(crate) fn is_meant(&self, request: &RevokeRequest) -> bool {
        let by_id = request.token_id.is_some() && request.token_id.as_deref() == self.id.as_deref();
        let is_old = self.issued_at.is_none_or(|at| request.issued_before.is_some_and(|before| at <= before));
        by_id || (request.user.is_some() && request.user == self.user && is_old)
    }
}

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Revocations(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By `jti`: until when.
    tokens: HashMap<Box<str>, u64>,
    /// By user: issued up to when, and until when.
    users: HashMap<UserId, (u64, u64)>,
}

impl Revocations {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the token was taken back, at a time in seconds since 1970.
    pub(crate) fn refuses(&self, token: &TokenRef, now: u64) -> bool {
        let known = self.known();
        let by_id =
            token.id.as_ref().is_some_and(|id| known.tokens.get(id).is_some_and(|until| *until > now));
        let by_user = token.user.as_ref().and_then(|user| known.users.get(user));
        by_id
            || by_user
                .is_some_and(|(before, until)| *until > now && token.issued_at.is_none_or(|at| at <= *before))
    }

    /// Remembers a revocation.
    pub(crate) fn add(&self, request: &RevokeRequest, now: u64) {
        let mut known = self.known();
        let until = request.until.unwrap_or(u64::MAX);
        if until <= now {
            return;
        }
        if known.tokens.len() + known.users.len() >= REVOCATIONS_MAX {
            known.tokens.retain(|_, until| *until > now);
            known.users.retain(|_, (_, until)| *until > now);
        }
        if known.tokens.len() + known.users.len() >= REVOCATIONS_MAX {
            return tracing::error!(
                limit = REVOCATIONS_MAX,
                "there are too many revocations; a token that was taken back stays valid on this node"
            );
        }
        if let Some(id) = &request.token_id {
            let kept = known.tokens.entry(id.as_str().into()).or_default();
            *kept = until.max(*kept);
        }
        if let Some(user) = &request.user {
            let (before, kept) = known.users.entry(user.clone()).or_default();
            (*before, *kept) = ((*before).max(request.issued_before.unwrap_or(now)), until.max(*kept));
        }
    }
}

/// The revocation that an entry of the log is; `None` for any other entry.
pub(crate) fn revocation(address: &Address, envelope: &str) -> Option<RevokeRequest> {
    if !is_reserved(address) {
        return None;
    }
    let envelope: Envelope = serde_json::from_str(envelope).ok()?;
    serde_json::from_str(envelope.data.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Option<UserId> {
        UserId::parse(name).ok()
    }

    fn token(name: &str, id: Option<&str>, issued_at: Option<u64>) -> TokenRef {
        TokenRef { user: user(name), id: id.map(Into::into), issued_at, api_key: None }
    }

    #[test]
    fn a_token_is_refused_by_its_id_or_its_user_and_age() {
        let revocations = Revocations::default();
        let by_id =
            RevokeRequest { token_id: Some("t1".to_owned()), until: Some(200), ..RevokeRequest::default() };
        let by_user = RevokeRequest {
            user: user("alice"),
            issued_before: Some(100),
            until: Some(300),
            ..RevokeRequest::default()
        };
        for request in [&by_id, &by_user] {
            revocations.add(request, 150);
        }
        for (token, expected) in [
            (token("bob", Some("t1"), None), true),
            (token("bob", Some("t2"), None), false),
            (token("alice", None, Some(100)), true),
            (token("alice", Some("t2"), None), true),
            (token("alice", None, Some(101)), false),
            (token("alice", Some("t1"), Some(101)), true),
        ] {
            assert_eq!(revocations.refuses(&token, 150), expected, "{token:?}");
            assert_eq!(token.is_meant(&by_id) || token.is_meant(&by_user), expected, "{token:?}");
        }
        // What is over is forgotten, and an older revocation takes nothing back of a newer one.
        revocations.add(&RevokeRequest { issued_before: Some(50), until: Some(250), ..by_user.clone() }, 210);
        assert!(!revocations.refuses(&token("bob", Some("t1"), None), 200));
        assert!(revocations.refuses(&token("alice", None, Some(100)), 299));
        assert!(!revocations.refuses(&token("alice", None, Some(100)), 300));
    }

    #[test]
    fn only_a_bounded_number_is_remembered() {
        let revocations = Revocations::default();
        for number in 0..=REVOCATIONS_MAX {
            let request = RevokeRequest { token_id: Some(number.to_string()), ..RevokeRequest::default() };
            revocations.add(&request, 0);
        }
        assert_eq!(revocations.known().tokens.len(), REVOCATIONS_MAX);
        // Those whose time is over make room.
        revocations.known().tokens.values_mut().for_each(|until| *until = 10);
        revocations.add(&RevokeRequest { token_id: Some("new".to_owned()), ..RevokeRequest::default() }, 10);
        assert_eq!(revocations.known().tokens.len(), 1);
    }
}
