//! HTTP without TLS over sockets with small buffers, for clients that read slowly: their kernel and their HTTP library
//! must not read ahead for them. Read [`SmallBufferHttp::connect`] first.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::client::legacy::connect::{HttpConnector, HttpInfo};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;

use super::connect::{self, ConnectError, Request};
use super::head::Head;
use super::intake::Intake;
use super::stream::Stream;

/// Bytes read from a socket at once.
const READ_BYTES: usize = 4_096;

/// Options of the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmallBufferOptions {
    /// Receive buffer of a socket in bytes, as requested from the kernel (Linux doubles it). `None`: the default of the
    /// kernel.
    pub receive_buffer: Option<u32>,
    /// Local address of the connections; `None`: the kernel chooses.
    pub local_address: Option<IpAddr>,
    /// Longest wait for a TCP connection.
    pub connect_timeout: Duration,
}

/// A client for streams that speaks `http` only, and follows no redirect. Clones share nothing but options.
#[derive(Debug, Clone)]
pub struct SmallBufferHttp(Client<HttpConnector, Empty<Bytes>>);

impl SmallBufferHttp {
    /// Builds a client; opens no connection.
    #[must_use]
    pub fn new(options: SmallBufferOptions) -> Self {
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
    /// [`ConnectError`], with the same meaning of its variants.
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
        let told = Head::of(head.version, &head.headers, url, url);
        let (told, coding) = connect::check((url, head.status), &head.headers, told)?;
        let peer = head.extensions.get::<HttpInfo>().map(HttpInfo::remote_addr);
        let intake = Intake::new(coding, peer, (connect::cookies(&head.headers), told), request);
        Ok(Stream::new(reqwest::Body::wrap(body), intake, request))
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
