//! One connection of the listener: HTTP/1.1, or HTTP/2 where TLS has agreed on it. When a response of HTTP/1.1 is a
//! stream, the connection leaves the HTTP server and goes to the loop of the stream; over HTTP/2 the loop gets a pipe to the
//! body of the response. Read [`HttpConnection::serve`] first.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt as _;

use super::bare::Explained;
use super::body::TimedBody;
use super::error::ApiError;
use super::guard::{Door, finish};
use super::listener::{ListenerLimits, PendingStream};
use super::operators::Way;
use super::stream_body::pipe;
use super::timed_answers::{AsSocket, TimedAnswers};
use crate::net::Transport;
use crate::node::limits::{
    H2_CONNECTION_WINDOW, H2_PING_EVERY, H2_PING_TIMEOUT, H2_SEND_BUFFER, H2_STREAM_WINDOW, H2_STREAMS,
    LINGER, LINGER_BYTES,
};
use crate::node::loops::{Arrival, Message, NewStream, Portion, response_head};
use crate::node::sockets::{Place, Sockets, Waiting};
use crate::runtime::Tasks;

/// What all connections of a listener share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) router: Router,
    pub(super) door: Arc<Door>,
    pub(super) limits: ListenerLimits,
    /// Places of sockets, and of streams over HTTP/2.
    pub(super) sockets: Sockets,
    /// Whether operators have another address of their own.
    pub(super) is_public: bool,
    pub(super) tasks: Tasks,
}

/// A connection that was accepted.
pub(super) struct HttpConnection {
    pub(super) shared: Arc<Shared>,
    /// `None`: HTTP without TLS.
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) remote: SocketAddr,
    pub(super) waiting: Waiting,
}

/// Who sends the requests of a connection.
#[derive(Debug, Clone, Copy)]
struct Peer {
    remote: SocketAddr,
    way: Way,
}

/// A stream on its way from its handler to its connection, with the headers of its response.
pub(super) struct Handover {
    stream: NewStream,
    headers: HeaderMap,
}

impl Handover {
    /// Gives the stream, with the connection that is now its own, to its loop.
    pub(super) fn complete(mut self, transport: Transport, place: Place) {
        let head = response_head(StatusCode::OK, &self.headers, self.stream.form.framing);
        self.stream.queue.push_front(Portion::new(head.into(), None));
        send(self.stream, transport, place);
    }
}

fn send(stream: NewStream, transport: Transport, place: Place) {
    let handle = Arc::clone(stream.loop_permit.handle());
    handle.send(Message::Arrival(Box::new(Arrival { transport, stream, place })));
}

/// Takes the first stream of a connection; empty once it has one.
type HandoverSender = Arc<Mutex<Option<oneshot::Sender<Handover>>>>;

impl HttpConnection {
    /// Answers requests until the connection ends or a response is a stream.
    pub(super) async fn serve(self, socket: TcpStream) -> Option<(Transport, Handover)> {
        if !self.has_spoken(&socket).await {
            return None;
        }
        // A box: a connection that waits for its first byte keeps no room for what it may become.
        Box::pin(self.answer_all(socket)).await
    }

    fn peer(&self, has_certificate: bool) -> Peer {
        Peer { remote: self.remote, way: Way { is_public: self.shared.is_public, has_certificate } }
    }

    async fn answer_all(&self, socket: TcpStream) -> Option<(Transport, Handover)> {
        let Some(acceptor) = &self.tls else {
            let (socket, handover) = self.http1(socket, self.peer(false)).await?;
            return Some((Transport::Plain(leave(socket)?.into()), handover));
        };
        let handshake = tokio::time::timeout(self.shared.limits.head_timeout, acceptor.accept(socket));
        let stream = match handshake.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, remote = %self.remote, "the handshake of TLS failed");
                return None;
            }
            Err(_) => return None,
        };
        let session = stream.get_ref().1;
        let peer = self.peer(session.peer_certificates().is_some());
        if session.alpn_protocol() == Some(b"h2") {
            // Another box, so that HTTP/1.1 has no room for it.
            Box::pin(self.http2(stream, peer)).await;
            return None;
        }
        let (stream, handover) = self.http1(stream, peer).await?;
        let (socket, session) = stream.into_inner();
        Some((Transport::tls(leave(socket)?.into(), session), handover))
    }

    /// Waits for the first byte, so that a client that has said nothing yet costs no buffers: hyper takes 16 kB. A storm of
    /// connects that all had them would leave holes in the memory between the streams. A peek, since tokio takes a new
    /// socket for readable until a read says otherwise.
    async fn has_spoken(&self, socket: &TcpStream) -> bool {
        let mut first = [0];
        let peeked = tokio::time::timeout(self.shared.limits.head_timeout, socket.peek(&mut first));
        tokio::select! {
            peeked = peeked => matches!(peeked, Ok(Ok(1..))),
            () = self.waiting.asked_to_end() => false,
            () = self.shared.tasks.token().cancelled() => false,
        }
    }

    /// Answers requests of HTTP/1.1 until the connection ends or leaves for a stream.
    async fn http1<S>(&self, socket: S, peer: Peer) -> Option<(S, Handover)>
    where
        S: AsyncRead + AsyncWrite + AsSocket + Send + Unpin + 'static,
    {
        let (sender, mut receiver) = oneshot::channel();
        let handover = (Arc::new(Mutex::new(Some(sender))), Arc::<AtomicU64>::default());
        let service = service_fn(|request: Request<Incoming>| self.answer((request, peer), handover.clone()));
        let limits = &self.shared.limits;
        let timed = TimedAnswers::new(socket, limits.answer_timeout, &handover.1);
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_buf_size(limits.head_bytes)
            .serve_connection(TokioIo::new(Explained::new(timed, limits.head_bytes)), service);
        let mut asked_to_end = false;
        loop {
            tokio::select! {
                // In this order a stream leaves in the poll that answers its request: the next one gets its buffers.
                biased;
                outcome = &mut connection => {
                    if let Err(error) = outcome {
                        tracing::debug!(%error, remote = %self.remote, "connection ended");
                        if error.is_parse() {
                            linger(connection.into_parts().io.into_inner().into_inner()).await;
                        }
                    }
                    return None;
                }
                Ok(handover) = &mut receiver => {
                    // Bytes that the client sent after its request are dropped with the parts: a stream reads none.
                    let socket = connection.into_parts().io.into_inner().into_inner().into_inner();
                    return Some((socket, handover));
                }
                () = self.waiting.asked_to_end() => return None,
                () = self.shared.tasks.token().cancelled(), if !asked_to_end => {
                    asked_to_end = true;
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
                }
            }
        }
    }

    async fn answer(
        &self,
        (request, peer): (Request<Incoming>, Peer),
        (sender, answers): (HandoverSender, Arc<AtomicU64>),
    ) -> Result<Response, Infallible> {
        self.waiting.serves();
        let (response, stream) = self.shared.respond(request, peer).await?;
        let Some(stream) = stream else {
            answers.fetch_add(1, Ordering::Relaxed);
            self.waiting.waits();
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

    /// Answers requests of HTTP/2 until the connection ends. One that has had neither a request nor a stream for the time
    /// of a head is ended: pings alone would keep it for ever.
    async fn http2(&self, socket: TlsStream<TcpStream>, peer: Peer) {
        self.waiting.serves();
        // The number of requests. Each that is being answered, and each open stream, has a clone.
        let activity = Arc::new(AtomicU64::new(0));
        let service = {
            let (shared, activity) = (Arc::clone(&self.shared), Arc::clone(&activity));
            service_fn(move |request| Arc::clone(&shared).answer_h2(request, peer, Arc::clone(&activity)))
        };
        let limits = &self.shared.limits;
        let connection = http2::Builder::new(OwnedTasks(self.shared.tasks.clone()))
            .timer(TokioTimer::new())
            .initial_stream_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW)
            .max_send_buf_size(H2_SEND_BUFFER)
            .max_concurrent_streams(H2_STREAMS)
            .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(H2_PING_EVERY)
            .keep_alive_timeout(H2_PING_TIMEOUT)
            .serve_connection(TokioIo::new(socket), service);
        let mut connection = std::pin::pin!(connection);
        let mut looks = tokio::time::interval(limits.head_timeout);
        looks.tick().await;
        let mut known = 0;
        let mut asked_to_end = false;
        loop {
            tokio::select! {
                outcome = &mut connection => {
                    if let Err(error) = outcome {
                        tracing::debug!(%error, remote = %self.remote, "connection ended");
                    }
                    return;
                }
                _ = looks.tick(), if !asked_to_end => {
                    let requests = activity.load(Ordering::Relaxed);
                    if requests == known && Arc::strong_count(&activity) <= 2 {
                        asked_to_end = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    known = requests;
                }
                () = self.shared.tasks.token().cancelled(), if !asked_to_end => {
                    asked_to_end = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

impl Shared {
    /// The response, and the stream that it is to become.
    async fn respond(
        &self,
        mut request: Request<Incoming>,
        peer: Peer,
    ) -> Result<(Response, Option<NewStream>), Infallible> {
        if let Some(mut refused) = self.door.refuse(&request) {
            finish(&mut refused);
            return Ok((refused, None));
        }
        request.extensions_mut().insert(ConnectInfo(peer.remote));
        if peer.way != Way::default() {
            request.extensions_mut().insert(peer.way);
        }
        let timed = |body| Body::new(TimedBody::new(body, self.limits.body_timeout));
        let mut response = self.router.clone().oneshot(request.map(timed)).await?;
        finish(&mut response);
        let stream = response.extensions().get::<PendingStream>().and_then(PendingStream::take);
        Ok((response, stream))
    }

    async fn answer_h2(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
        activity: Arc<AtomicU64>,
    ) -> Result<Response, Infallible> {
        activity.fetch_add(1, Ordering::Relaxed);
        let (response, stream) = self.respond(request, peer).await?;
        let Some(stream) = stream else { return Ok(response) };
        let Ok(place) = self.sockets.take(peer.remote.ip()) else {
            return Ok(ApiError::Full("the node has no place for another stream".to_owned()).into_response());
        };
        match pipe(self.limits.end, activity) {
            Ok((writer, body)) => {
                send(stream, Transport::Plain(writer), place);
                let mut response = response.map(|_| Body::new(body));
                // That of the empty body which the handler gave it.
                response.headers_mut().remove(http::header::CONTENT_LENGTH);
                Ok(response)
            }
            Err(error) => {
                tracing::warn!(%error, "a stream over HTTP/2 has no pipe");
                Ok(ApiError::Full("the node has no file descriptor left".to_owned()).into_response())
            }
        }
    }
}

/// Runs what hyper runs beside a connection as tasks with an owner.
#[derive(Clone)]
struct OwnedTasks(Tasks);

impl<F> hyper::rt::Executor<F> for OwnedTasks
where
    F: Future + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn("http2", async move {
            task.await;
        });
    }
}

/// Reads what a client still sends, so that it gets the answer that is on its way.
async fn linger(mut socket: impl AsyncRead + Unpin) {
    let drain = async {
        let mut buffer = [0; 4096];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match socket.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => left = left.saturating_sub(count),
            }
        }
    };
    // Whether it was read to its end or the time is over, the socket is closed now.
    let _over = tokio::time::timeout(LINGER, drain).await;
}

/// The socket, out of the hands of tokio.
fn leave(socket: TcpStream) -> Option<std::net::TcpStream> {
    let left: io::Result<_> = socket.into_std();
    left.inspect_err(|error| tracing::warn!(%error, "a socket cannot leave the HTTP server")).ok()
}
