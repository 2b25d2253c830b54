//! Accepts sockets; each becomes a connection, on which axum answers the requests. The handler of a stream is an ordinary
//! handler: it returns a response with a [`PendingStream`] in its extensions, so routing and layers treat it like any other. Read [`Listener::run`] first.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::{HttpConnection, Shared};
use super::guard::Door;
use crate::node::loops::{NewStream, StreamEnd};
use crate::node::tls::TlsSettings;
use crate::runtime::Tasks;

/// Limits of sockets and of the requests on them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListenerLimits {
    /// Sockets that may be open at once.
    pub(crate) sockets: usize,
    /// Most bytes of a request's head.
    pub(crate) head_bytes: usize,
    /// A request's head must be complete within this time of its first byte. An idle connection is closed after the same
    /// time.
    pub(crate) head_timeout: Duration,
    /// A request's body must be complete within this time.
    pub(crate) body_timeout: Duration,
    /// How streams over HTTP/2 end.
    pub(crate) end: StreamEnd,
}

/// The stream of a response, which goes to its loop once the socket has left the HTTP server. Taken out once.
#[derive(Debug, Clone)]
pub(crate) struct PendingStream(Arc<Mutex<Option<NewStream>>>);

impl PendingStream {
    pub(crate) fn new(stream: NewStream) -> Self {
        Self(Arc::new(Mutex::new(Some(stream))))
    }

    pub(super) fn take(&self) -> Option<NewStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The socket that a node listens on, and the router that answers its requests.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    router: Router,
    door: Arc<Door>,
    limits: ListenerLimits,
    /// `None`: HTTP without TLS.
    tls: Option<TlsSettings>,
}

impl Listener {
    /// A listener on a bound socket.
    pub(crate) fn new(
        socket: TcpListener,
        (router, door): (Router, Arc<Door>),
        limits: ListenerLimits,
        tls: Option<TlsSettings>,
    ) -> Self {
        Self { socket, router, door, limits, tls }
    }

    /// Accepts connections until the token of `tasks` is cancelled. Each connection is a task of `tasks`.
    pub(crate) async fn run(self, tasks: Tasks) {
        let permits = Arc::new(Semaphore::new(self.limits.sockets));
        let token = tasks.token().clone();
        if let Some(tls) = &self.tls {
            tasks.spawn("certificate", tls.clone().keep_current(token.clone()));
        }
        let shared = Arc::new(Shared {
            router: self.router.clone(),
            door: Arc::clone(&self.door),
            limits: self.limits,
            permits: Arc::clone(&permits),
            tasks: tasks.clone(),
        });
        loop {
            let accepted = tokio::select! {
                () = token.cancelled() => return,
                accepted = self.accept(&permits) => accepted,
            };
            let Some((socket, remote, permit)) = accepted else { continue };
            let tls = self.tls.as_ref().map(TlsSettings::acceptor);
            let connection = HttpConnection { shared: Arc::clone(&shared), tls, remote };
            tasks.spawn("connection", async move {
                // A box: the future of an idle connection keeps no room for what it may become.
                if let Some((transport, handover)) = Box::pin(connection.serve(socket)).await {
                    handover.complete(transport, permit);
                }
            });
        }
    }

    async fn accept(
        &self,
        permits: &Arc<Semaphore>,
    ) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        // The semaphore is never closed; without a permit there is nothing to accept.
        let permit = Arc::clone(permits).acquire_owned().await.ok()?;
        match self.socket.accept().await {
            Ok((socket, remote)) => Some((socket, remote, permit)),
            Err(error) => {
                // Most likely the process has no file descriptors left; an immediate retry would only burn a core.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::extract::rejection::BytesRejection;
    use axum::routing::post;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::node::http::error::ApiError;

    const LIMITS: ListenerLimits = ListenerLimits {
        sockets: 1,
        head_bytes: 16 * 1024,
        head_timeout: Duration::from_secs(60),
        body_timeout: Duration::from_millis(20),
        end: StreamEnd::Clean,
    };

    /// Serves one route with these limits, and ends when the clients are done with its address.
    async fn serve(limits: ListenerLimits, clients: impl AsyncFnOnce(SocketAddr)) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let router = Router::new().route("/", post(length));
        let tasks = Tasks::new();
        let router = (router, Arc::new(Door::of_every_host()));
        tasks.spawn("listener", Listener::new(socket, router, limits, None).run(tasks.clone()));
        clients(address).await;
        tasks.token().cancel();
        assert_eq!(tasks.join(Duration::from_secs(30)).await, Ok(()));
    }

    async fn length(body: Result<Bytes, BytesRejection>) -> Result<String, ApiError> {
        Ok(body?.len().to_string())
    }

    #[tokio::test]
    async fn a_client_that_keeps_its_body_to_itself_loses_its_socket() {
        serve(LIMITS, async |address| {
            // There is one socket, so the second round needs that of the first.
            for _ in 0..2 {
                let mut client = TcpStream::connect(address).await.unwrap();
                client
                    .write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n{")
                    .await
                    .unwrap();
                let mut answer = String::new();
                let whole = client.read_to_string(&mut answer);
                tokio::time::timeout(Duration::from_secs(30), whole).await.unwrap().unwrap();
                assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
                assert!(answer.contains("\"code\":\"too_slow\""), "{answer}");
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_or_half_a_head_loses_its_socket() {
        let limits = ListenerLimits { head_timeout: Duration::from_millis(20), ..LIMITS };
        serve(limits, async |address| {
            for said in ["", "POST / HTTP/1.1\r\nHo"] {
                let mut client = TcpStream::connect(address).await.unwrap();
                client.write_all(said.as_bytes()).await.unwrap();
                let mut answer = Vec::new();
                let whole = client.read_to_end(&mut answer);
                tokio::time::timeout(Duration::from_secs(30), whole).await.unwrap().unwrap();
            }
        })
        .await;
    }
}
