//! HTTP without TLS over sockets whose buffers are small: a client that reads slowly must not hide behind what its
//! kernel and its HTTP library read ahead. Read [`PlainHttp::connect`] first.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::client::legacy::connect::{HttpConnector, HttpInfo};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;

use super::connect::{self, ConnectError, Request};
use super::stream::Stream;

/// What is read from a socket at once.
const READ_BYTES: usize = 4_096;

/// How connections are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainOptions {
    /// Size of a socket's receive buffer as it is asked of the kernel (Linux doubles it), in bytes.
    pub receive_buffer: Option<u32>,
    /// The local address that connections start from.
    pub local_address: Option<IpAddr>,
    /// Longest wait for TCP.
    pub connect_timeout: Duration,
}

/// A client for streams that speaks `http` only, and follows no redirect. Clones share nothing but options.
#[derive(Debug, Clone)]
pub struct PlainHttp(Client<HttpConnector, Empty<Bytes>>);

impl PlainHttp {
    /// A client with these options.
    #[must_use]
    pub fn new(options: PlainOptions) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(options.connect_timeout));
        connector.set_local_address(options.local_address);
        connector.set_recv_buffer_size(options.receive_buffer.map(|bytes| bytes as usize));
        let mut builder = Client::builder(TokioExecutor::new());
        // A stream never gives its connection back.
        builder.pool_max_idle_per_host(0).http1_read_buf_exact_size(READ_BYTES);
        Self(builder.build(connector))
    }

    /// Opens a stream, as [`connect`](super::connect()) does.
    ///
    /// # Errors
    /// [`ConnectError`], told apart as there.
    pub async fn connect(&self, request: &Request) -> Result<Stream, ConnectError> {
        let url = &request.url;
        let refused = |why: String| ConnectError::Request { url: url.clone(), why };
        let mut head = http::Request::get(url.as_str());
        if let Some(headers) = head.headers_mut() {
            *headers = connect::headers(request)?;
        }
        let head = head.body(Empty::new()).map_err(|error| refused(error.to_string()))?;
        let limit = request.connect_timeout;
        let response = match tokio::time::timeout(limit, self.0.request(head)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(classify(request, error)),
            Err(_elapsed) => return Err(ConnectError::Timeout { url: url.clone(), limit }),
        };
        let (head, body) = response.into_parts();
        connect::check(url, head.status, &head.headers)?;
        let peer = head.extensions.get::<HttpInfo>().map(HttpInfo::remote_addr);
        Ok(Stream::new(reqwest::Body::wrap(body), peer, connect::cookies(&head.headers), request))
    }
}

fn classify(request: &Request, error: Error) -> ConnectError {
    let url = request.url.clone();
    if error.is_connect() {
        ConnectError::Refused { url, source: error.into() }
    } else {
        ConnectError::Broken { url, source: error.into() }
    }
}
