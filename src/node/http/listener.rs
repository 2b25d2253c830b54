//! Accepts sockets and lets axum answer the requests on them. When a response is a stream, the socket leaves the HTTP
//! server and goes to the stream. The handler of a stream is an ordinary handler: it returns a response with a
//! [`PendingStream`] in its extensions, so routing and layers treat it like any other. Read [`Listener::run`] first.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use http::{HeaderMap, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tower::ServiceExt as _;

use super::body::TimedBody;
use crate::node::loops::{Arrival, Message, NewStream, Portion, response_head};
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
}

/// The stream of a response, which goes to its loop once the socket has left the HTTP server. Taken out once.
#[derive(Debug, Clone)]
pub(crate) struct PendingStream(Arc<Mutex<Option<NewStream>>>);

impl PendingStream {
    pub(crate) fn new(stream: NewStream) -> Self {
        Self(Arc::new(Mutex::new(Some(stream))))
    }

    fn take(&self) -> Option<NewStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The socket that a node listens on, and the router that answers its requests.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    router: Router,
    limits: ListenerLimits,
}

/// A stream on its way from its handler to its connection, with the headers of its response.
struct Handover {
    stream: NewStream,
    headers: HeaderMap,
}

impl Listener {
    /// A listener on a bound socket.
    pub(crate) fn new(socket: TcpListener, router: Router, limits: ListenerLimits) -> Self {
        Self { socket, router, limits }
    }

    /// Accepts connections until the token of `tasks` is cancelled. Each connection is a task of `tasks`.
    pub(crate) async fn run(self, tasks: Tasks) {
        let permits = Arc::new(Semaphore::new(self.limits.sockets));
        let token = tasks.token().clone();
        loop {
            let accepted = tokio::select! {
                () = token.cancelled() => return,
                accepted = self.accept(&permits) => accepted,
            };
            let Some((socket, remote, permit)) = accepted else { continue };
            let router = self.router.clone();
            let connection = HttpConnection { router, limits: self.limits, remote, shutdown: token.clone() };
            tasks.spawn("connection", async move {
                // A box: the future of an idle connection keeps no room for what it may become.
                if let Some((socket, stream)) = Box::pin(connection.serve(socket)).await {
                    hand_over(socket, stream, permit);
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

/// Gives a stream to its loop.
fn hand_over(socket: TcpStream, mut handover: Handover, permit: OwnedSemaphorePermit) {
    let stream = &mut handover.stream;
    let head = response_head(StatusCode::OK, &handover.headers, stream.form.framing);
    stream.queue.push_front(Portion::new(head.into(), None));
    let handle = Arc::clone(stream.loop_permit.handle());
    match socket.into_std() {
        Ok(socket) => {
            let arrival = Arrival { socket: socket.into(), stream: handover.stream, permit };
            handle.send(Message::Arrival(Box::new(arrival)));
        }
        Err(error) => tracing::warn!(%error, "a socket cannot leave the HTTP server"),
    }
}

/// Takes the first stream of a connection; empty once it has one.
type HandoverSender = Arc<Mutex<Option<oneshot::Sender<Handover>>>>;

struct HttpConnection {
    router: Router,
    limits: ListenerLimits,
    remote: SocketAddr,
    shutdown: tokio_util::sync::CancellationToken,
}

impl HttpConnection {
    /// Answers requests until the connection ends or a response is a stream.
    async fn serve(self, socket: TcpStream) -> Option<(TcpStream, Handover)> {
        if !self.has_spoken(&socket).await {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let sender = Arc::new(Mutex::new(Some(sender)));
        let service = service_fn(|request: Request<Incoming>| self.answer(request, Arc::clone(&sender)));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_timeout)
            .max_buf_size(self.limits.head_bytes)
            .serve_connection(TokioIo::new(socket), service);
        let mut connection = connection;
        let mut receiver = receiver;
        let mut asked_to_end = false;
        loop {
            tokio::select! {
                // In this order a stream leaves in the poll that answers its request: the next one gets its buffers.
                biased;
                outcome = &mut connection => {
                    if let Err(error) = outcome {
                        tracing::debug!(%error, remote = %self.remote, "connection ended");
                    }
                    return None;
                }
                Ok(handover) = &mut receiver => {
                    // Bytes that the client sent after its request are dropped with the parts: a stream reads none.
                    let socket = connection.into_parts().io.into_inner();
                    return Some((socket, handover));
                }
                () = self.shutdown.cancelled(), if !asked_to_end => {
                    asked_to_end = true;
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
                }
            }
        }
    }

    /// Waits for the first byte, so that a client that has said nothing yet costs no buffers: hyper takes 16 kB. A storm of
    /// connects that all had them would leave holes in the memory between the streams. A peek, since tokio takes a new
    /// socket for readable until a read says otherwise.
    async fn has_spoken(&self, socket: &TcpStream) -> bool {
        let mut first = [0];
        let peeked = tokio::time::timeout(self.limits.head_timeout, socket.peek(&mut first));
        tokio::select! {
            peeked = peeked => matches!(peeked, Ok(Ok(1..))),
            () = self.shutdown.cancelled() => false,
        }
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        sender: HandoverSender,
    ) -> Result<Response, Infallible> {
        request.extensions_mut().insert(ConnectInfo(self.remote));
        let timed = |body| Body::new(TimedBody::new(body, self.limits.body_timeout));
        let response = self.router.clone().oneshot(request.map(timed)).await?;
        let Some(stream) = response.extensions().get::<PendingStream>().and_then(PendingStream::take) else {
            return Ok(response);
        };
        let handover = Handover { stream, headers: response.headers().clone() };
        let sender = sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender
            && sender.send(handover).is_ok()
        {
            // The socket belongs to the stream now; this future is dropped with the HTTP connection.
            std::future::pending::<()>().await;
        }
        Ok(response)
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
    };

    /// Serves one route with these limits, and ends when the clients are done with its address.
    async fn serve(limits: ListenerLimits, clients: impl AsyncFnOnce(SocketAddr)) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let router = Router::new().route("/", post(length));
        let tasks = Tasks::new();
        tasks.spawn("listener", Listener::new(socket, router, limits).run(tasks.clone()));
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
                client.write_all(b"POST / HTTP/1.1\r\nHost: n\r\nContent-Length: 3\r\n\r\n{").await.unwrap();
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
