//! Accepts sockets, lets axum answer requests on them, and hands a socket to its stream when the answer is one. The
//! handler of a stream is an ordinary handler: it returns a response with a [`Takeover`] in its extensions, so
//! routing and layers treat it like any other. Read [`Listener::run`] first.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use http::{HeaderMap, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tower::ServiceExt as _;

use super::body::TimedBody;
use crate::node::stream::Stream;
use crate::node::writer::{Framing, SocketWriter, StreamEnd};
use crate::runtime::Tasks;

/// Bounds of a connection before it is a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListenerLimits {
    /// Open sockets.
    pub(crate) sockets: usize,
    /// Bytes of a request's head.
    pub(crate) head_bytes: usize,
    /// A request's head must be complete within this time; it is also how long an idle connection is kept.
    pub(crate) head_timeout: Duration,
    /// A request's body must be complete within this time.
    pub(crate) body_timeout: Duration,
    /// A write of a stream may make no progress for this long.
    pub(crate) stall: Duration,
    /// What was sent may stay unacknowledged for this long; then the peer counts as gone. Nothing else notices a
    /// peer that vanished without a word, since heartbeats fit into the socket's buffer for an hour.
    pub(crate) peer_timeout: Duration,
}

/// A response that is a stream: what to write once the socket is ours. Taken out once.
#[derive(Debug, Clone)]
pub(crate) struct Takeover(Arc<Mutex<Option<Stream>>>);

impl Takeover {
    /// Marks a response with its stream.
    pub(crate) fn new(stream: Stream) -> Self {
        Self(Arc::new(Mutex::new(Some(stream))))
    }

    fn take(&self) -> Option<Stream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Accepts connections.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    router: Router,
    limits: ListenerLimits,
    end: StreamEnd,
}

/// A stream that was handed over, with what its response needs.
struct Handover {
    stream: Stream,
    headers: HeaderMap,
    framing: Framing,
}

impl Listener {
    /// A listener on a bound socket.
    pub(crate) fn new(socket: TcpListener, router: Router, limits: ListenerLimits, end: StreamEnd) -> Self {
        Self { socket, router, limits, end }
    }

    /// Accepts until the token of `tasks` ends it. Connections run on `tasks`.
    pub(crate) async fn run(self, tasks: Tasks) {
        let places = Arc::new(Semaphore::new(self.limits.sockets));
        let token = tasks.token().clone();
        loop {
            let accepted = tokio::select! {
                () = token.cancelled() => return,
                accepted = self.accept(&places) => accepted,
            };
            let Some((socket, remote, place)) = accepted else { continue };
            let router = self.router.clone();
            let connection = HttpConnection { router, limits: self.limits, remote, shutdown: token.clone() };
            let end = self.end;
            tasks.spawn("connection", async move {
                // A statement of its own, so that the HTTP server's buffers are freed before the stream begins, not
                // after it.
                let handed = Box::pin(connection.serve(socket)).await;
                if let Some((writer, stream)) = handed {
                    stream.run(writer, end).await;
                }
                drop(place);
            });
        }
    }

    async fn accept(
        &self,
        places: &Arc<Semaphore>,
    ) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
        // The semaphore is never closed; without a place there is nothing to accept.
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        match self.socket.accept().await {
            Ok((socket, remote)) => {
                let options = SockRef::from(&socket);
                let set = options.set_tcp_nodelay(true);
                let set = set.and_then(|()| options.set_tcp_user_timeout(Some(self.limits.peer_timeout)));
                if let Err(error) = set {
                    tracing::debug!(%error, "a client left before it was accepted");
                    return None;
                }
                Some((socket, remote, place))
            }
            Err(error) => {
                // Out of file descriptors, most likely: trying again at once would only burn a core.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                None
            }
        }
    }
}

/// Where the first stream of a connection is handed over.
type Hand = Arc<Mutex<Option<oneshot::Sender<Handover>>>>;

struct HttpConnection {
    router: Router,
    limits: ListenerLimits,
    remote: SocketAddr,
    shutdown: tokio_util::sync::CancellationToken,
}

impl HttpConnection {
    /// Answers requests until the connection ends, or until one of them is a stream.
    async fn serve(self, socket: TcpStream) -> Option<(SocketWriter, Stream)> {
        let (hand, handed) = oneshot::channel();
        let hand = Arc::new(Mutex::new(Some(hand)));
        let service = service_fn(|request: Request<Incoming>| self.answer(request, Arc::clone(&hand)));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_timeout)
            .max_buf_size(self.limits.head_bytes)
            .serve_connection(TokioIo::new(socket), service);
        let mut connection = connection;
        let mut handed = handed;
        let mut asked_to_end = false;
        loop {
            tokio::select! {
                biased;
                Ok(handover) = &mut handed => {
                    // Bytes that the client sent behind its request stay behind in the parts: a stream takes none.
                    let socket = connection.into_parts().io.into_inner();
                    return Some(self.take_over(socket, handover));
                }
                outcome = &mut connection => {
                    if let Err(error) = outcome {
                        tracing::debug!(%error, remote = %self.remote, "connection ended");
                    }
                    return None;
                }
                () = self.shutdown.cancelled(), if !asked_to_end => {
                    asked_to_end = true;
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
                }
            }
        }
    }

    fn take_over(&self, socket: TcpStream, handover: Handover) -> (SocketWriter, Stream) {
        let Handover { mut stream, headers, framing } = handover;
        stream.headers = headers;
        (SocketWriter::new(socket, framing, self.limits.stall), stream)
    }

    async fn answer(&self, mut request: Request<Incoming>, hand: Hand) -> Result<Response, Infallible> {
        let framing = Framing::for_version(request.version());
        request.extensions_mut().insert(ConnectInfo(self.remote));
        let timed = |body| Body::new(TimedBody::new(body, self.limits.body_timeout));
        let response = self.router.clone().oneshot(request.map(timed)).await?;
        let Some(stream) = response.extensions().get::<Takeover>().and_then(Takeover::take) else {
            return Ok(response);
        };
        let handover = Handover { stream, headers: response.headers().clone(), framing };
        let hand = hand.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(hand) = hand
            && hand.send(handover).is_ok()
        {
            // From here on the socket is the stream's; this future is dropped with the HTTP connection.
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
        stall: Duration::from_secs(60),
        peer_timeout: Duration::from_secs(60),
    };

    async fn length(body: Result<Bytes, BytesRejection>) -> Result<String, ApiError> {
        Ok(body?.len().to_string())
    }

    #[tokio::test]
    async fn a_client_that_keeps_its_body_to_itself_loses_its_socket() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let router = Router::new().route("/", post(length));
        let tasks = Tasks::new();
        tasks.spawn("listener", Listener::new(socket, router, LIMITS, StreamEnd::Abort).run(tasks.clone()));
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
        tasks.token().cancel();
        assert_eq!(tasks.join(Duration::from_secs(30)).await, Ok(()));
    }
}
