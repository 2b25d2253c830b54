//! How many events one publisher may publish in a second: the owner of a credential, or an address without one. Whoever
//! publishes more is told how long to wait. Read [`admit`] first.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use tokio::time::Instant;

use super::AppState;
use super::access::Caller;
use super::error::ApiError;
use super::forwarded::client_address;
use crate::node::access::policy::{Need, need};
use crate::node::limits::PACED_PUBLISHERS;
use crate::node::token_bucket::TokenBucket;

/// The events that each publisher has published lately.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: u32,
    buckets: Mutex<HashMap<Publisher, TokenBucket>>,
}

/// Whose allowance a request takes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Publisher {
    Named(Box<str>),
    Address(IpAddr),
}

impl Pace {
    /// `None` for no limit.
    pub(crate) fn new(per_second: u32) -> Option<Self> {
        (per_second > 0).then(|| Self { per_second, buckets: Mutex::default() })
    }

    /// Takes the allowance for one event.
    ///
    /// # Errors
    /// How long the publisher must wait.
    fn take(&self, publisher: &Publisher) -> Result<(), Duration> {
        let now = Instant::now();
        // A holder only counts, so a panic leaves the numbers whole.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(publisher) {
            return bucket.take(self.per_second, now);
        }
        if buckets.len() >= PACED_PUBLISHERS {
            buckets.retain(|_, bucket| !bucket.is_full(self.per_second, now));
            if buckets.len() >= PACED_PUBLISHERS {
                // More publishers at once than the node keeps apart: all begin again.
                buckets.clear();
            }
        }
        let new = buckets.entry(publisher.clone()).or_insert(TokenBucket::full(self.per_second, now));
        new.take(self.per_second, now)
    }

    /// Takes the allowance for events that are published in any case.
    pub(crate) fn owe(&self, publisher: &Publisher, events: u32) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(publisher) {
            bucket.owe(events);
        }
    }
}

/// Takes one event from the allowance of whoever publishes; a batch takes the rest itself. Runs inside
/// [`super::access::admit`], which knows the owner of the credential.
pub(crate) async fn admit(
    State(app): State<Arc<AppState>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let publishes = need(request.method(), path) == Ok(Need::Publish);
    if let Some(pace) = app.pace.as_ref().filter(|_| publishes) {
        let name = request.extensions().get::<Caller>().and_then(Caller::publisher);
        let address = || client_address(remote.ip(), request.headers(), &app.trusted_proxy);
        let publisher = name.map_or_else(|| Publisher::Address(address()), Publisher::Named);
        if let Err(wait) = pace.take(&publisher) {
            return too_fast(pace.per_second, wait);
        }
        request.extensions_mut().insert(publisher);
    }
    next.run(request).await
}

fn too_fast(per_second: u32, wait: Duration) -> Response {
    let detail = format!("this publisher sends more than {per_second} events a second (--publish-rate)");
    let mut response = ApiError::Busy(detail).into_response();
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}
