//! The HTTP errors of a node, as problem details (RFC 9457) with a stable `code`. No other file may choose a status
//! for an error. Read [`ApiError`] first.

use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use super::access::challenge;
use super::body::BodyTooSlow;
use crate::broker::publisher::InvalidEvent;
use crate::broker::{AppendError, StoreError};
use crate::protocol::api::Problem;
use crate::runtime::causes;

/// Why a request failed. Each kind has its status and code; the text becomes the `detail`.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// A path, query or header that is not valid.
    Invalid(String),
    /// The body is not JSON.
    NotJson(String),
    /// The body is JSON, but not valid for this path.
    Body(String),
    /// The id belongs to another event already.
    IdReused(String),
    /// The body, or the payload in it, is too large.
    TooLarge(String),
    /// The body did not arrive in time.
    TooSlow(String),
    /// No such path, event or stream exists.
    NotFound(String),
    /// The caller is not allowed to use this path.
    Forbidden(String),
    /// The request has no credential, and this path needs one.
    Unauthenticated(String),
    /// The token or API key is not valid, or not any more.
    InvalidToken(String),
    /// The credential is valid, and does not allow this.
    Scope(String),
    /// The token was taken back.
    Revoked(String),
    /// The `Host` of the request is none of this node.
    Host(String),
    /// A page of another site sent the request.
    Origin(String),
    /// The body of a page's request is not JSON.
    MediaType(String),
    /// The body has a transfer coding that is not known.
    Coding(String),
    /// The URL is longer than any that can be read.
    UriTooLong(String),
    /// The head of the request is longer than allowed.
    HeadTooLarge(String),
    /// Another node of the cluster did not answer, so the answer is not known.
    Unreachable(String),
    /// The path exists, with other methods.
    Method,
    /// The state of the node does not allow the request.
    Conflict(String),
    /// The node opens no stream now; only with `--reject status`.
    Full(String),
    /// Too many publishes wait for the log.
    Busy(String),
    /// The disk of the log has too little room left; no event was published.
    DiskFull(String),
    /// The log cannot be used now; no event was published.
    Unavailable(String),
    /// The server of the log has no memory left; no event was published.
    BrokerFull(String),
    /// The log failed during a publish: the event may or may not be in it.
    Unknown(String),
}

impl ApiError {
    /// The status of the answer, and its body.
    pub(crate) fn problem(self) -> (StatusCode, Problem) {
        let (status, code, title) = self.kind();
        let detail = self.detail();
        let problem = Problem {
            kind: "about:blank".to_owned(),
            title: title.to_owned(),
            status: status.as_u16(),
            detail,
            code: code.to_owned(),
        };
        (status, problem)
    }

    /// Status, code and title.
    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::Invalid(_) => (S::BAD_REQUEST, "invalid_request", "The request is not valid"),
            Self::NotJson(_) => (S::BAD_REQUEST, "malformed_json", "The body is not JSON"),
            Self::Body(_) => (S::UNPROCESSABLE_ENTITY, "invalid_event", "The body cannot be an event"),
            Self::IdReused(_) => (S::UNPROCESSABLE_ENTITY, "id_reused", "The id belongs to another event"),
            Self::TooLarge(_) => (S::PAYLOAD_TOO_LARGE, "too_large", "The body is too large"),
            Self::TooSlow(_) => (S::REQUEST_TIMEOUT, "too_slow", "The body did not arrive in time"),
            Self::NotFound(_) => (S::NOT_FOUND, "not_found", "Not found"),
            Self::Forbidden(_) => (S::FORBIDDEN, "forbidden", "Not allowed"),
            Self::Unauthenticated(_) => (S::UNAUTHORIZED, "unauthenticated", "A credential is missing"),
            Self::InvalidToken(_) => (S::UNAUTHORIZED, "invalid_token", "The credential is not valid"),
            Self::Scope(_) => (S::FORBIDDEN, "insufficient_scope", "The credential does not allow this"),
            Self::Revoked(_) => (S::FORBIDDEN, "revoked", "The token was revoked"),
            Self::Host(_) => (S::FORBIDDEN, "host_not_allowed", "This host is not allowed"),
            Self::Origin(_) => (S::FORBIDDEN, "origin_not_allowed", "This page is not allowed"),
            Self::MediaType(_) => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body must be JSON, and say so")
            }
            Self::Coding(_) => (S::NOT_IMPLEMENTED, "unsupported_coding", "The transfer coding is not known"),
            Self::UriTooLong(_) => (S::URI_TOO_LONG, "uri_too_long", "The URL is too long"),
            Self::HeadTooLarge(_) => {
                (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", "The head of the request is too large")
            }
            Self::Unreachable(_) => {
                (S::SERVICE_UNAVAILABLE, "unreachable", "A node of the cluster does not answer")
            }
            Self::Method => (S::METHOD_NOT_ALLOWED, "method_not_allowed", "This path takes another method"),
            Self::Conflict(_) => (S::CONFLICT, "conflict", "The state of the node does not allow this"),
            Self::Full(_) => (S::SERVICE_UNAVAILABLE, "full", "No stream can be opened now"),
            Self::Busy(_) => (S::TOO_MANY_REQUESTS, "busy", "Too many publishes wait for the log"),
            Self::DiskFull(_) => (S::SERVICE_UNAVAILABLE, "disk_full", "The disk of the log is full"),
            Self::Unavailable(_) => (S::SERVICE_UNAVAILABLE, "unavailable", "The log cannot be used now"),
            Self::BrokerFull(_) => {
                (S::SERVICE_UNAVAILABLE, "broker_full", "The log takes no more events now")
            }
            Self::Unknown(_) => (
                S::SERVICE_UNAVAILABLE,
                "outcome_unknown",
                "The event may or may not be in the log; publish again with the same id",
            ),
        }
    }

    /// The detail alone, for callers without HTTP.
    pub(crate) fn detail(self) -> String {
        match self {
            Self::Method => "see /openapi.json for the methods of every path".to_owned(),
            Self::Invalid(detail)
            | Self::NotJson(detail)
            | Self::Body(detail)
            | Self::IdReused(detail)
            | Self::TooLarge(detail)
            | Self::TooSlow(detail)
            | Self::NotFound(detail)
            | Self::Forbidden(detail)
            | Self::Unauthenticated(detail)
            | Self::InvalidToken(detail)
            | Self::Scope(detail)
            | Self::Revoked(detail)
            | Self::Host(detail)
            | Self::Origin(detail)
            | Self::MediaType(detail)
            | Self::Coding(detail)
            | Self::UriTooLong(detail)
            | Self::HeadTooLarge(detail)
            | Self::Unreachable(detail)
            | Self::Conflict(detail)
            | Self::Full(detail)
            | Self::Busy(detail)
            | Self::DiskFull(detail)
            | Self::Unavailable(detail)
            | Self::BrokerFull(detail)
            | Self::Unknown(detail) => detail,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        // Room is not made within a second.
        let retry_after = if matches!(self, Self::BrokerFull(_) | Self::DiskFull(_)) { "30" } else { "1" };
        let challenge = challenge(&self);
        let (status, problem) = self.problem();
        let mut response = (status, axum::Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(challenge.map(|challenge| (header::WWW_AUTHENTICATE, challenge)));
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(retry_after));
        }
        response
    }
}

impl From<AppendError> for ApiError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Busy { .. } => Self::Busy(error.to_string()),
            AppendError::Closed => Self::Unavailable(error.to_string()),
            AppendError::DiskFull(cause) => Self::DiskFull(cause.to_string()),
            AppendError::Away(cause) => Self::Unavailable(cause.to_string()),
            AppendError::BrokerFull(cause) => Self::BrokerFull(cause.to_string()),
            AppendError::Store(cause) => Self::Unknown(cause.to_string()),
        }
    }
}

impl From<InvalidEvent> for ApiError {
    fn from(error: InvalidEvent) -> Self {
        Self::Body(error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        let detail = rejection.body_text();
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge(detail),
            StatusCode::UNPROCESSABLE_ENTITY => Self::Body(detail),
            _ => Self::NotJson(detail),
        }
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        let detail = rejection.body_text();
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Self::TooLarge(detail)
        } else if causes(&rejection).any(|cause| cause.is::<BodyTooSlow>()) {
            Self::TooSlow(detail)
        } else {
            Self::Invalid(detail)
        }
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::Invalid(rejection.body_text())
    }
}
