//! What the HTTP servers of this program take: nothing from the pages in somebody's browser. Read [`guarded`] first.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use hyper::body::Body as _;
use serde_json::json;

use crate::protocol::guard::{Guard, Refusal};
use crate::protocol::host::HostRule;

/// The guard of a server at this address. On loopback it answers to local names and to those that are given; elsewhere
/// its names are not known, so all are taken unless some are given.
pub(super) fn guard(address: SocketAddr, hosts: Vec<HostRule>, hosts_setting: Option<&'static str>) -> Guard {
    let is_strict = address.ip().is_loopback() || !hosts.is_empty();
    Guard { hosts: is_strict.then_some(hosts), hosts_setting, origins: Vec::new(), origins_setting: None }
}

/// Puts the guard before every route, and says of every answer that its type is no guess and that nobody keeps it.
pub(super) fn guarded(router: Router, guard: Guard) -> Router {
    let guard = Arc::new(guard);
    router.layer(from_fn(move |request: Request, next: Next| {
        let guard = Arc::clone(&guard);
        async move {
            let mut response = match guard.check(&request, !request.body().is_end_stream()) {
                Ok(()) => next.run(request).await,
                Err(refusal) => refused(&refusal),
            };
            let headers = response.headers_mut();
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
    }))
}

/// In toxiproxy's form of an error.
fn refused(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
        Refusal::Host(_) | Refusal::Origin(_) => StatusCode::FORBIDDEN,
        Refusal::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::Coding(_) => StatusCode::NOT_IMPLEMENTED,
    };
    tracing::warn!(status = status.as_u16(), "refused a request: {refusal}");
    (status, axum::Json(json!({ "error": refusal.to_string(), "status": status.as_u16() }))).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::post;
    use tower::ServiceExt as _;

    use super::*;

    async fn status(address: &str, hosts: &[&str], headers: &[(&str, &str)]) -> u16 {
        let hosts = hosts.iter().map(|host| HostRule::parse(host).unwrap()).collect();
        let guard = guard(address.parse().unwrap(), hosts, Some("--allowed-host"));
        let router = guarded(Router::new().route("/", post(|| async { "done" })), guard);
        let mut request = http::Request::post("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = router.oneshot(request.body(Body::from("{}")).unwrap()).await.unwrap();
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        response.status().as_u16()
    }

    #[tokio::test]
    async fn programs_are_served_and_pages_are_not() {
        let loopback = "127.0.0.1:8474";
        for (address, hosts, headers, expected) in [
            (loopback, &[][..], &[("host", "127.0.0.1:8474")][..], 200),
            (loopback, &[], &[("host", "localhost:8474"), ("content-type", "text/plain")], 200),
            (loopback, &[], &[("host", "attacker.example:8474")], 403),
            (loopback, &["toxics"], &[("host", "toxics")], 200),
            ("0.0.0.0:8474", &[], &[("host", "toxics")], 200),
            ("0.0.0.0:8474", &["a.example"], &[("host", "toxics")], 403),
            (loopback, &[], &[("host", "localhost"), ("origin", "https://attacker.example")], 403),
            (loopback, &[], &[("host", "localhost"), ("sec-fetch-site", "cross-site")], 403),
            (loopback, &[], &[("host", "localhost"), ("origin", "http://localhost")], 415),
            (loopback, &[], &[], 400),
            (loopback, &[], &[("host", "localhost"), ("transfer-encoding", "gzip, chunked")], 501),
        ] {
            assert_eq!(status(address, hosts, headers).await, expected, "{address} {hosts:?} {headers:?}");
        }
    }
}
