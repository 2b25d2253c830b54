//! Keeps operators' and nodes' paths to those who come the way that is theirs: to an address of its own, or with a client
//! certificate. Only on nodes that have one of the two: others have no such layer. Read [`admit`] first.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::AppState;
use super::error::ApiError;
use super::router::no_such_path;
use crate::node::access::policy::{Need, NoSuchMethod, need};

/// How a request came. One without it came the default way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// To `--listen`, while operators have an address of their own.
    pub(super) is_public: bool,
    /// With a client certificate that was verified.
    pub(super) has_certificate: bool,
}

impl Way {
    pub(super) fn of(request: &Request) -> Self {
        request.extensions().get().copied().unwrap_or_default()
    }
}

/// Admits requests by the way they came.
pub(super) async fn admit(
    State(app): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let need = need(request.method(), path).map_err(|NoSuchMethod| ApiError::Method)?;
    // Paths of nodes are not in the table of users.
    let is_of_nodes = path.starts_with("/cluster/");
    let way = Way::of(&request);
    if need == Need::Operate && !is_of_nodes && way.is_public {
        return Err(no_such_path(request.uri()));
    }
    if need == Need::Operate && app.asks_for_certificates && !way.has_certificate {
        let why = "this path needs a client certificate that an authority of --tls-client-ca has signed";
        return Err(ApiError::Forbidden(why.to_owned()));
    }
    Ok(next.run(request).await)
}
