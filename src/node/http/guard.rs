//! The door of a node: what its [`Guard`] refuses becomes a problem before a router sees the request, and every answer
//! gets the headers that keep browsers from misusing it. Plain code and no layer: a publish pays for each. Read
//! [`Door::refuse`] first.

use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::Ordering;

use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, ORIGIN, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Request};
use hyper::body::Body;

use super::error::ApiError;
use crate::node::config::Config;
use crate::node::metrics::Metrics;
use crate::protocol::guard::{Guard, Refusal};
use crate::protocol::host::{Host, HostRule};

/// The guard of a node, with its counter.
#[derive(Debug)]
pub(crate) struct Door {
    guard: Guard,
    metrics: Arc<Metrics>,
    /// Each is told once: an operator who has to change a setting reads it in the log, and nobody can fill the log.
    host_told: Once,
    origin_told: Once,
}

impl Door {
    /// The door that a configuration asks for.
    pub(crate) fn new(config: &Config, metrics: Arc<Metrics>) -> Self {
        let origins = config.cors_origins.iter().filter_map(|origin| origin.to_str().ok());
        let guard = Guard {
            hosts: hosts(config),
            hosts_setting: Some("--allowed-host"),
            origins: origins.map(str::to_owned).collect(),
            origins_setting: Some("--cors-origins"),
        };
        Self { guard, metrics, host_told: Once::new(), origin_told: Once::new() }
    }

    /// A door for tests of what is behind it.
    #[cfg(test)]
    pub(crate) fn of_every_host() -> Self {
        let guard = Guard { hosts: None, hosts_setting: None, origins: Vec::new(), origins_setting: None };
        let metrics = Arc::new(Metrics::new(tokio::time::Instant::now()));
        Self { guard, metrics, host_told: Once::new(), origin_told: Once::new() }
    }

    /// The answer to a request that is not taken.
    pub(crate) fn refuse<B: Body>(&self, request: &Request<B>) -> Option<Response> {
        let refusal = self.guard.check(request, !request.body().is_end_stream()).err()?;
        self.metrics.requests_refused.fetch_add(1, Ordering::Relaxed);
        match &refusal {
            Refusal::Host(why) => self.host_told.call_once(|| tracing::warn!("refused a request: {why}")),
            Refusal::Origin(why) => self.origin_told.call_once(|| tracing::warn!("refused a request: {why}")),
            Refusal::Malformed(_) | Refusal::MediaType(_) | Refusal::Coding(_) => {}
        }
        let mut response = problem(refusal).into_response();
        self.let_read(request.headers(), response.headers_mut());
        Some(response)
    }

    /// A page of a listed origin may read why it was refused; others get their CORS headers from the router.
    fn let_read(&self, asked: &HeaderMap, headers: &mut HeaderMap) {
        let listed = |origin: &&HeaderValue| origin.to_str().is_ok_and(|origin| self.guard.lists(origin));
        if self.guard.lists_all() {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else if let Some(origin) = asked.get(ORIGIN).filter(listed) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.insert(VARY, HeaderValue::from_static("origin"));
        }
    }
}

/// Says of every answer that its type is no guess, and that it is kept nowhere unless its handler knows better.
pub(crate) fn finish(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// The rules for hosts. On loopback only local names pass: nothing else protects a node there from the pages in the
/// browser of its user. Elsewhere the names of a node are not known until somebody says them.
fn hosts(config: &Config) -> Option<Vec<HostRule>> {
    if config.allowed_hosts.is_empty() && !config.listen.ip().is_loopback() {
        return None;
    }
    let url = config.advertise.as_deref().and_then(|url| url.parse::<http::Uri>().ok());
    let advertised = url.as_ref().and_then(http::Uri::host).and_then(Host::parse);
    let advertised = advertised.map(|host| HostRule::Exact(host.name.to_ascii_lowercase()));
    Some(config.allowed_hosts.iter().cloned().chain(advertised).collect())
}

fn problem(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Malformed(why) => ApiError::Invalid(why),
        Refusal::Host(why) => ApiError::Host(why),
        Refusal::Origin(why) => ApiError::Origin(why),
        Refusal::MediaType(why) => ApiError::MediaType(why),
        Refusal::Coding(why) => ApiError::Coding(why),
    }
}
