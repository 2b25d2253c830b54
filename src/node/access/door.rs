//! From a credential to a scope: API keys and tokens, with the keys that the node knows at the moment. Read
//! [`Access::scope`] first.

use std::sync::Arc;

use tokio::sync::watch;

use super::api_keys::ApiKeys;
use super::refresh::{Known, Refresher, Wish};
use super::revocations::{Revocations, TokenRef};
use super::scope::Scope;
use super::token::{InvalidToken, TokenRules};

/// Decides who a caller is. A node without it lets everybody do everything.
#[derive(Debug)]
pub(crate) struct Access {
    rules: TokenRules,
    /// Name of the cookie that carries a token.
    pub(crate) cookie: String,
    /// The node takes tokens, and not only API keys.
    takes_tokens: bool,
    pub(crate) revocations: Arc<Revocations>,
    known: watch::Receiver<Known>,
    wish: Arc<Wish>,
}

/// Why a credential gives no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0}")]
    Invalid(String),
    /// For so many seconds; apart from that it was a valid one.
    #[error("the token has expired {0} s ago")]
    Expired(u64),
    /// It was taken back.
    #[error("the token was revoked")]
    Revoked,
    /// The keys could not be fetched yet.
    #[error("the keys of --token-keys could not be fetched yet")]
    NotReady,
}

impl Access {
    /// The side of the requests; the refresher reads the keys.
    pub(crate) fn new(rules: TokenRules, cookie: String, refresher: &Refresher) -> Self {
        let (known, wish) = refresher.known();
        let takes_tokens = refresher.keys.is_some() || refresher.secret.is_some();
        Self { rules, cookie, takes_tokens, revocations: Arc::default(), known, wish }
    }

    /// What the owner of a credential may do, at a time in seconds since 1970.
    ///
    /// # Errors
    /// [`Refusal`] says why, without the credential.
    pub(crate) async fn scope(&self, credential: &str, now: u64) -> Result<Scope, Refusal> {
        let mut known = self.known.clone();
        let Known { keys, api_keys } = known.borrow_and_update().clone();
        if ApiKeys::is_api_key(credential) {
            let unknown = || Refusal::Invalid("the API key is not one of this node's --api-keys".to_owned());
            return api_keys.scope(credential).ok_or_else(unknown);
        }
        if !self.takes_tokens {
            return Err(Refusal::Invalid("this node takes API keys (ssk_…) and no tokens".to_owned()));
        }
        match self.rules.verify(credential, &keys, now) {
            Err(InvalidToken::UnknownKey) => {}
            verified => return self.unless_revoked(verified.map_err(Refusal::from)?, now),
        }
        // A new key, perhaps.
        self.wish.fulfilled(&mut known).await;
        let keys = Arc::clone(&known.borrow().keys);
        match self.rules.verify(credential, &keys, now) {
            Err(InvalidToken::UnknownKey) if keys.is_empty() => Err(Refusal::NotReady),
            verified => self.unless_revoked(verified.map_err(Refusal::from)?, now),
        }
    }

    /// Whether the owner's credential was taken back.
    pub(crate) fn is_revoked(&self, scope: &Scope, now: u64) -> bool {
        TokenRef::of(scope).is_some_and(|token| {
            token.is_gone(&self.known.borrow().api_keys) || self.revocations.refuses(&token, now)
        })
    }

    /// The API keys, whenever their file was read again.
    pub(crate) fn api_keys(&self) -> ApiKeyChanges {
        ApiKeyChanges(self.known.clone())
    }

    fn unless_revoked(&self, scope: Scope, now: u64) -> Result<Scope, Refusal> {
        if self.is_revoked(&scope, now) { Err(Refusal::Revoked) } else { Ok(scope) }
    }
}

/// The API keys, each time that they may have changed.
pub(crate) struct ApiKeyChanges(watch::Receiver<Known>);

impl ApiKeyChanges {
    /// Waits for the next change; `None` when nobody reads the file any more.
    pub(crate) async fn next(&mut self) -> Option<Arc<ApiKeys>> {
        self.0.changed().await.ok()?;
        Some(Arc::clone(&self.0.borrow_and_update().api_keys))
    }
}

impl From<InvalidToken> for Refusal {
    fn from(error: InvalidToken) -> Self {
        match error {
            InvalidToken::Expired(seconds) => Self::Expired(seconds),
            InvalidToken::Invalid(_) | InvalidToken::UnknownKey => Self::Invalid(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;
    use tokio_util::sync::CancellationToken;

    use super::super::{HmacSecret, KeySource, new_api_key, sign};
    use super::*;
    use crate::node::limits::KEY_FILES_ASKED_EVERY;

    const NOW: u64 = 1_800_000_000;

    fn secret() -> HmacSecret {
        HmacSecret::parse("0123456789abcdef0123456789abcdef").unwrap()
    }

    fn access(refresher: &Refresher) -> Access {
        Access::new(TokenRules::default(), "sse_token".to_owned(), refresher)
    }

    /// A JWKS file with an Ed25519 key of this name, and a token that it signs.
    fn rotate(path: &PathBuf, id: &str, seed: u8) -> String {
        use base64::Engine as _;
        use ring::signature::KeyPair as _;
        let b64 = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref()), "kid": id });
        std::fs::write(path, json!({ "keys": [key] }).to_string()).unwrap();
        let header = json!({ "alg": "EdDSA", "kid": id }).to_string();
        let message =
            format!("{}.{}", b64(header.as_bytes()), b64(json!({ "exp": NOW + 1 }).to_string().as_bytes()));
        format!("{message}.{}", b64(pair.sign(message.as_bytes()).as_ref()))
    }

    #[tokio::test]
    async fn tokens_and_api_keys_are_told_apart_and_refused_without_being_shown() {
        let (key, line) = new_api_key("a", "read", None).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("keys");
        std::fs::write(&file, line).unwrap();
        let token = sign(&json!({ "sub": "alice", "exp": NOW + 1 }), &secret()).unwrap();
        let both = access(&Refresher::new(None, Some(secret()), Some(file.clone())).unwrap());
        assert!(both.scope(&token, NOW).await.is_ok() && both.scope(&key, NOW).await.is_ok());
        assert_eq!(both.scope(&token, NOW + 3).await, Err(Refusal::Expired(2)));
        let keys_alone = access(&Refresher::new(None, None, Some(file)).unwrap());
        assert!(keys_alone.scope(&key, NOW).await.is_ok());
        for (access, credential) in [(&keys_alone, token.as_str()), (&both, "ssk_a.x"), (&both, "x.y.z")] {
            let refusal = access.scope(credential, NOW).await.unwrap_err();
            assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal}");
            assert!(!refusal.to_string().contains(credential), "{refusal}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_key_is_found_when_a_token_names_it_and_a_broken_file_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("jwks.json");
        let first = rotate(&file, "one", 1);
        let refresher =
            Refresher::new(Some(KeySource::parse(file.to_str().unwrap()).unwrap()), None, None).unwrap();
        let access = access(&refresher);
        let token = CancellationToken::new();
        let tasks = crate::runtime::Tasks::new();
        tasks.spawn("keys", refresher.run(token.clone()));
        assert!(access.scope(&first, NOW).await.is_ok());
        tokio::time::sleep(KEY_FILES_ASKED_EVERY).await;
        std::fs::write(&file, "neither").unwrap();
        let second = rotate(&directory.path().join("other"), "two", 2);
        assert!(matches!(access.scope(&second, NOW).await, Err(Refusal::Invalid(_))));
        assert!(access.scope(&first, NOW).await.is_ok(), "what was read before stays");
        tokio::time::sleep(KEY_FILES_ASKED_EVERY).await;
        assert_eq!(rotate(&file, "two", 2), second);
        assert!(access.scope(&second, NOW).await.is_ok());
        assert!(access.scope(&first, NOW).await.is_err(), "a key that the issuer took away is one no more");
        token.cancel();
    }

    #[test]
    fn sources_of_keys_are_checked_at_start() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("keys");
        std::fs::write(&file, "no key").unwrap();
        for (text, named) in [
            (file.to_str().unwrap(), "neither PEM nor a JWKS"),
            ("/nowhere/jwks.json", "/nowhere/jwks.json"),
            ("http://id.example/jwks.json", "https"),
            ("ftp://id.example/jwks.json", "https"),
            ("https://user:geheim@id.example/jwks.json", "password"),
            ("https://", "no URL"),
        ] {
            let refusal = KeySource::parse(text).unwrap_err();
            assert!(refusal.contains(named) && !refusal.contains("geheim"), "{text}: {refusal}");
        }
        assert!(KeySource::parse("https://id.example/jwks.json").is_ok());
        assert!(KeySource::parse("http://127.0.0.1:9/jwks.json").is_ok());
    }
}
