//! The HTTP client below the streams. Builds a [`reqwest::Client`] that suits them; any other may be used instead.
//! Read [`HttpOptions`] first.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::HeaderMap;

/// Sent with each request that does not name another one.
pub(super) const USER_AGENT: &str = concat!("sse-lab/", env!("CARGO_PKG_VERSION"));

/// Options of the connections. One built client serves any number of streams, each on a connection of its own.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Longest wait for a TCP connection and TLS. [`super::Request::connect_timeout`] bounds the whole way to the
    /// response.
    pub connect_timeout: Duration,
    /// The local address that connections start from: one address has only some 28,000 ports for one server.
    pub local_address: Option<IpAddr>,
    /// How many idle connections per server are kept for the next request. A stream never gives its own back, so
    /// streams need none; a publisher wants one per request in flight.
    pub idle_connections: usize,
    /// Whether `HTTP_PROXY` and the like are obeyed. Off by default: the server itself is to be measured or watched,
    /// and a proxy of the environment rarely reaches a loopback address.
    pub proxy_from_environment: bool,
    /// Whose certificates `https` accepts.
    pub trust: Trust,
    /// Shown to a server that asks for a client certificate.
    pub identity: Option<reqwest::Identity>,
    /// Whether redirects are followed, as `EventSource` does. A publisher must not: a redirected `POST` may arrive as a
    /// `GET` (RFC 9110, 15.4), which something answers with 200.
    pub follows_redirects: bool,
    /// Sent with each request that does not set them itself.
    pub headers: HeaderMap,
}

/// Whose certificates `https` accepts.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// The certificate authorities of the machine. Where there are none, `http` works all the same.
    #[default]
    System,
    /// These certificate authorities only.
    Only(Vec<reqwest::Certificate>),
    /// Any: the server is not checked at all. For a laboratory.
    Anybody,
}

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("cannot create the HTTP client{}", local_address.map(|address| format!(" for the local address {address}")).unwrap_or_default())]
pub struct HttpOptionsError {
    local_address: Option<IpAddr>,
    #[source]
    source: reqwest::Error,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            local_address: None,
            idle_connections: 0,
            proxy_from_environment: false,
            trust: Trust::System,
            identity: None,
            follows_redirects: true,
            headers: HeaderMap::new(),
        }
    }
}

impl HttpOptions {
    /// A client that speaks `http` and `https`, HTTP/1.1 only: with HTTP/2, streams to one server would share one
    /// connection, and die together. Sets the process's TLS provider unless there is one.
    ///
    /// # Errors
    /// [`HttpOptionsError`] when TLS cannot be set up with these certificates.
    pub fn build(&self) -> Result<reqwest::Client, HttpOptionsError> {
        install_tls_provider();
        let built = match &self.trust {
            // Without any authority on the machine (a bare container) TLS would refuse to be set up at all, and take
            // plain http with it; so then no certificate is accepted, and a request over https fails with that reason.
            Trust::System => self.builder().build().or_else(|error| {
                tracing::warn!(%error, "no certificate authorities on this machine; https will not work");
                self.builder().tls_certs_only([]).build()
            }),
            Trust::Only(certificates) => self.builder().tls_certs_only(certificates.iter().cloned()).build(),
            Trust::Anybody => self.builder().tls_danger_accept_invalid_certs(true).build(),
        };
        built.map_err(|source| HttpOptionsError { local_address: self.local_address, source })
    }

    fn builder(&self) -> reqwest::ClientBuilder {
        let builder = reqwest::Client::builder()
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(self.connect_timeout)
            .pool_max_idle_per_host(self.idle_connections)
            .local_address(self.local_address)
            .default_headers(self.headers.clone())
            .user_agent(USER_AGENT);
        let builder = if self.follows_redirects {
            builder
        } else {
            builder.redirect(reqwest::redirect::Policy::none())
        };
        let builder = match &self.identity {
            Some(identity) => builder.identity(identity.clone()),
            None => builder,
        };
        if self.proxy_from_environment { builder } else { builder.no_proxy() }
    }
}

/// `reqwest` is built without a provider of its own, so that there is one in the process and it is ring: no C
/// compiler, no second copy.
fn install_tls_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none()
        && rustls::crypto::ring::default_provider().install_default().is_err()
    {
        // Another thread was quicker, and its provider serves as well.
        tracing::debug!("the TLS provider was installed meanwhile");
    }
}
