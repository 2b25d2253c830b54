//! Finds the credential of a request, decides whether the path is open to its owner, and hands what the owner may do to the
//! handler, as a [`Caller`]. The token of a query goes no further than here. Read [`admit`] first.

use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use percent_encoding::percent_decode_str;

use super::error::ApiError;
use super::operators::Way;
use super::{AppState, stream};
use crate::node::access::policy::{Need, NoSuchMethod, need};
use crate::node::access::{Access, Denied, Refusal, Scope, TokenRef};
use crate::node::limits::EXPIRED_SOFTLY;
use crate::protocol::{Address, ClientId, MessageId, Topic, UserId};
use crate::runtime::clock::unix_ms;

/// The parameter that carries a token where a client can set no header: an `EventSource`.
const TOKEN: &str = "token";

/// Who sent a request, as far as that decides what it may do.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Option<Arc<Scope>>);

impl Caller {
    /// Everybody, on a node that checks no credentials.
    #[cfg(test)]
    pub(crate) fn anybody() -> Self {
        Self(None)
    }

    fn check(&self, check: impl FnOnce(&Scope) -> Result<(), Denied>) -> Result<(), ApiError> {
        self.0.as_deref().map_or(Ok(()), check).map_err(ApiError::from)
    }

    /// # Errors
    /// Events to this address are not the caller's to read.
    pub(crate) fn check_read(&self, address: &Address) -> Result<(), ApiError> {
        self.check(|scope| scope.check_read(address))
    }

    /// # Errors
    /// The caller may not publish to this address.
    pub(crate) fn check_write(&self, address: &Address) -> Result<(), ApiError> {
        self.check(|scope| scope.check_write(address))
    }

    /// # Errors
    /// The caller may neither read events to this address nor publish to it.
    pub(crate) fn check_watch(&self, address: &Address) -> Result<(), ApiError> {
        self.check(|scope| scope.check_watch(address))
    }

    /// # Errors
    /// The client id is not the caller's.
    pub(crate) fn check_client(&self, client: &ClientId) -> Result<(), ApiError> {
        self.check(|scope| scope.check_client(client))
    }

    /// Whether events to this address are the caller's to read.
    pub(crate) fn may_read(&self, address: &Address) -> bool {
        self.0.as_deref().is_none_or(|scope| scope.may_read(address))
    }

    /// Whether the caller may know how far an event to this address came.
    pub(crate) fn may_watch(&self, address: &Address) -> bool {
        self.check_watch(address).is_ok()
    }

    /// The user and the topics of a stream.
    ///
    /// # Errors
    /// The request names one that is not the caller's.
    pub(crate) fn stream_names(
        &self,
        user: Option<UserId>,
        topics: Vec<Topic>,
    ) -> Result<(Option<UserId>, Vec<Topic>), ApiError> {
        match &self.0 {
            Some(scope) => Ok((scope.stream_user(user)?, scope.stream_topics(topics)?)),
            None => Ok((user, topics)),
        }
    }

    /// The id of a message, apart from the same id of another publisher.
    ///
    /// # Errors
    /// Together with the name of the publisher it is too long.
    pub(crate) fn own_message_id(&self, id: Option<MessageId>) -> Result<Option<MessageId>, ApiError> {
        let (Some(scope), Some(id)) = (&self.0, &id) else { return Ok(id) };
        let own = scope.own_message_id(id);
        own.map(Some).map_err(|error| ApiError::Body(format!("with the name of its publisher, the {error}")))
    }

    /// What of the caller's token decides whether it was taken back.
    pub(crate) fn token(&self) -> Option<TokenRef> {
        self.0.as_deref().and_then(TokenRef::of)
    }

    /// Whether the caller's token was taken back since the request came.
    pub(crate) fn is_revoked(&self, app: &AppState) -> bool {
        app.access
            .as_ref()
            .zip(self.0.as_deref())
            .is_some_and(|(access, scope)| access.is_revoked(scope, unix_ms() / 1_000))
    }

    /// The name of the publisher that the caller is.
    pub(crate) fn publisher(&self) -> Option<Box<str>> {
        self.0.as_deref()?.publisher.clone()
    }

    /// When a stream of the caller ends, because its token does: see [`Scope::stream_end`].
    pub(crate) fn stream_end(&self) -> u32 {
        self.0.as_deref().map_or(u32::MAX, |scope| scope.stream_end(unix_ms() / 1_000, &mut rand::rng()))
    }
}

impl FromRequestParts<Arc<AppState>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<AppState>) -> Result<Self, ApiError> {
        match (parts.extensions.get::<Self>(), &app.access) {
            (Some(caller), _) => Ok(caller.clone()),
            (None, None) => Ok(Self(None)),
            (None, Some(_)) => Err(no_credential()),
        }
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        Self::Scope(denied.to_string())
    }
}

fn no_credential() -> ApiError {
    ApiError::Unauthenticated(
        "this node needs a token or an API key, as Authorization: Bearer …, in a cookie, or for a stream as token=".to_owned(),
    )
}

/// Admits requests by the table of the paths. Only on nodes that check credentials: others have no such layer.
pub(crate) async fn admit(
    State(app): State<Arc<AppState>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let need = need(request.method(), path.unwrap_or_default()).map_err(|NoSuchMethod| ApiError::Method)?;
    let Some(access) = app.access.as_ref().filter(|_| need != Need::Nothing) else {
        return Ok(next.run(request).await);
    };
    if need == Need::Operate && Way::of(&request).has_certificate {
        request.extensions_mut().insert(Caller(Some(Arc::new(Scope::operator()))));
        return Ok(next.run(request).await);
    }
    let is_stream = path == Some("/api/sse/stream");
    let credential = Credential::find(&request, access, is_stream)?;
    let scope = match access.scope(&credential.text, unix_ms() / 1_000).await {
        Ok(scope) => scope,
        Err(refusal) => {
            let may_wait = is_stream && request.method() == Method::GET;
            return refuse(&app, &request, refusal, may_wait.then_some(credential.source));
        }
    };
    if !need.is_met(&scope) {
        return Err(ApiError::Scope(need.lacking().to_owned()));
    }
    if is_stream {
        *request.uri_mut() = without_token(request.uri());
    }
    request.extensions_mut().insert(Caller(Some(Arc::new(scope))));
    Ok(next.run(request).await)
}

/// Refuses with a status. A browser never comes back after one, so a stream whose token ended just now, or cannot be checked
/// yet, is refused as those are that cannot be served now.
fn refuse(
    app: &AppState,
    request: &Request,
    refusal: Refusal,
    stream: Option<Source>,
) -> Result<Response, ApiError> {
    let text = refusal.to_string();
    match (refusal, stream) {
        (Refusal::Expired(ago), Some(Source::Cookie | Source::Query)) if ago <= EXPIRED_SOFTLY => {
            stream::refuse_expired(app, &text, request.version())
        }
        (Refusal::NotReady, Some(_)) => stream::refuse_unready(app, &text, request.version()),
        (Refusal::Revoked, _) => Err(ApiError::Revoked(text)),
        (Refusal::NotReady, None) => Err(ApiError::Unavailable(text)),
        (Refusal::Invalid(_) | Refusal::Expired(_), _) => Err(ApiError::InvalidToken(text)),
    }
}

/// Where a credential stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Header,
    Query,
    Cookie,
}

struct Credential {
    text: String,
    source: Source,
}

impl Credential {
    /// The credential of a request: of the header, else of the query, else of the cookie.
    ///
    /// # Errors
    /// There is none, or the header and the query have two that differ.
    fn find(request: &Request, access: &Access, is_stream: bool) -> Result<Self, ApiError> {
        let in_header = bearer(request.headers())?;
        let query = request.uri().query().filter(|_| is_stream).unwrap_or_default();
        let mut in_query: Vec<_> =
            query.split('&').filter_map(token_of).filter(|text| !text.is_empty()).collect();
        in_query.dedup();
        let found = match (in_header, &in_query[..]) {
            (Some(header), [query, ..]) if header != *query => Err("Authorization and token= differ"),
            (_, [_, _, ..]) => Err("token= is there twice, with two values"),
            (Some(text), _) => Ok(Some((text, Source::Header))),
            (None, [text]) => Ok(Some((text.clone(), Source::Query))),
            (None, []) => Ok(cookie(request.headers(), &access.cookie).map(|text| (text, Source::Cookie))),
        };
        match found {
            Ok(Some((text, source))) => Ok(Self { text, source }),
            Ok(None) => Err(no_credential()),
            Err(why) => Err(ApiError::Invalid(format!("{why}; allowed is one credential"))),
        }
    }
}

/// The credential of `Authorization: Bearer …`. Other schemes are a proxy's own.
fn bearer(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut found = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, text) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| text.trim().to_owned())
    });
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => Err(ApiError::Invalid("Authorization is there twice; allowed is one".to_owned())),
    }
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(known, value)| *known == name && !value.is_empty())?;
    Some(value.trim_matches('"').to_owned())
}

/// The value of a parameter of a query, if it is the token.
fn token_of(parameter: &str) -> Option<String> {
    let (name, value) = parameter.split_once('=')?;
    is_token(name).then(|| percent_decode_str(value).decode_utf8_lossy().into_owned())
}

fn is_token(name: &str) -> bool {
    percent_decode_str(name).eq(TOKEN.bytes())
}

/// The URI without the token, for all who come later.
fn without_token(uri: &Uri) -> Uri {
    let is_other = |parameter: &&str| !is_token(parameter.split('=').next().unwrap_or_default());
    let Some(query) = uri.query().filter(|query| !query.split('&').all(|one| is_other(&one))) else {
        return uri.clone();
    };
    let others: Vec<_> = query.split('&').filter(is_other).collect();
    let mark = if others.is_empty() { "" } else { "?" };
    // It was a URI with more in it.
    format!("{}{mark}{}", uri.path(), others.join("&")).parse().unwrap_or_default()
}

/// The challenge of a refusal (RFC 6750). Nothing of the request stands in it.
pub(super) fn challenge(error: &ApiError) -> Option<HeaderValue> {
    let challenge = match error {
        ApiError::Unauthenticated(_) => r#"Bearer realm="sse-node""#,
        ApiError::InvalidToken(_) | ApiError::Revoked(_) => {
            r#"Bearer realm="sse-node", error="invalid_token""#
        }
        ApiError::Scope(_) => r#"Bearer realm="sse-node", error="insufficient_scope""#,
        _ => return None,
    };
    Some(HeaderValue::from_static(challenge))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_out_of_a_query_however_it_is_spelled() {
        for (uri, expected) in [
            ("/a?token=x", "/a"),
            ("/a?b=1&token=x&c=2", "/a?b=1&c=2"),
            ("/a?%74oken=x&b=1", "/a?b=1"),
            ("/a?token", "/a"),
            ("/a?tokens=x&b=token", "/a?tokens=x&b=token"),
            ("/a", "/a"),
        ] {
            assert_eq!(without_token(&uri.parse().unwrap()).to_string(), expected, "{uri}");
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append("cookie", HeaderValue::from_static("xsse_token=no; sse_token=; sse_token=\"yes\""));
        assert_eq!(cookie(&headers, "sse_token").as_deref(), Some("yes"));
        assert_eq!(cookie(&headers, "token"), None);
    }

    #[test]
    fn other_schemes_are_no_credential_and_two_tokens_are_none() {
        let with = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("authorization", HeaderValue::from_static(value));
            }
            bearer(&headers).map_err(|_| ())
        };
        assert_eq!(with(&["Bearer a"]), Ok(Some("a".to_owned())));
        assert_eq!(with(&["bearer  a "]), Ok(Some("a".to_owned())));
        assert_eq!(with(&["Basic a", "Bearer b"]), Ok(Some("b".to_owned())));
        assert_eq!(with(&["Basic a"]), Ok(None));
        assert_eq!(with(&["Bearer a", "Bearer a"]), Err(()));
        assert!(Caller::anybody().may_read(&Address::All));
    }
}
