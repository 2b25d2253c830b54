//! How many events one address may publish in a second. Whoever publishes more is told how long to wait. Read [`admit`]
//! first.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, Method, header};
use tokio::time::Instant;

use super::AppState;
use super::error::ApiError;
use super::forwarded::client_address;
use crate::node::limits::PACED_ADDRESSES;
use crate::node::token_bucket::TokenBucket;

/// The events that each address has published lately.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: u32,
    buckets: Mutex<HashMap<IpAddr, TokenBucket>>,
}

/// Whose allowance a request takes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publisher(IpAddr);

impl Pace {
    /// `None` for no limit.
    pub(crate) fn new(per_second: u32) -> Option<Self> {
        (per_second > 0).then(|| Self { per_second, buckets: Mutex::default() })
    }

    /// Takes the allowance for one event.
    ///
    /// # Errors
    /// How long the publisher must wait.
    fn take(&self, Publisher(address): Publisher) -> Result<(), Duration> {
        let now = Instant::now();
        // A holder only counts, so a panic leaves the numbers whole.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= PACED_ADDRESSES && !buckets.contains_key(&address) {
            buckets.retain(|_, bucket| !bucket.is_full(self.per_second, now));
            if buckets.len() >= PACED_ADDRESSES {
                // More publishers at once than the node keeps apart: all begin again.
                buckets.clear();
            }
        }
        let bucket = buckets.entry(address).or_insert_with(|| TokenBucket::full(self.per_second, now));
        bucket.take(self.per_second, now)
    }

    /// Takes the allowance for events that are published in any case.
    pub(crate) fn owe(&self, Publisher(address): Publisher, events: u32) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&address) {
            bucket.owe(events);
        }
    }
}

/// Takes one event from the allowance of whoever publishes; a batch takes the rest itself.
pub(crate) async fn admit(
    State(app): State<Arc<AppState>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let publishes =
        request.method() == Method::POST && path.starts_with("/api/sse/") && path != "/api/sse/ack";
    if let Some(pace) = app.pace.as_ref().filter(|_| publishes) {
        let publisher = Publisher(client_address(remote.ip(), request.headers(), &app.trusted_proxy));
        if let Err(wait) = pace.take(publisher) {
            return too_fast(pace.per_second, wait);
        }
        request.extensions_mut().insert(publisher);
    }
    next.run(request).await
}

fn too_fast(per_second: u32, wait: Duration) -> Response {
    let detail = format!("this address publishes more than {per_second} events a second (--publish-rate)");
    let mut response = ApiError::Busy(detail).into_response();
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}
