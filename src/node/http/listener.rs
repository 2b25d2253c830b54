//! Accepts sockets; each becomes a connection, on which axum answers the requests. The handler of a stream is an ordinary
//! handler: it returns a response with a [`PendingStream`] in its extensions, so routing and layers treat it like any other. Read [`Listener::run`] first.

use std::fs::File;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};

use super::connection::{HttpConnection, Shared};
use super::guard::Door;
use crate::net::reset_on_close;
use crate::node::loops::{NewStream, StreamEnd};
use crate::node::sockets::{Place, Sockets, Waiting};
use crate::node::tls::TlsSettings;
use crate::runtime::Tasks;

/// Limits of sockets and of the requests on them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListenerLimits {
    /// Most bytes of a request's head.
    pub(crate) head_bytes: usize,
    /// A request's head must be complete within this time of its first byte. An idle connection is closed after the same
    /// time.
    pub(crate) head_timeout: Duration,
    /// A request's body must be complete within this time.
    pub(crate) body_timeout: Duration,
    /// An answer must be taken within this time of the first write that its client does not take at once.
    pub(crate) answer_timeout: Duration,
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
    sockets: Sockets,
    entry: Entry,
}

/// How clients come to a listener.
#[derive(Debug)]
pub(crate) struct Entry {
    /// `None`: HTTP without TLS.
    pub(crate) tls: Option<TlsSettings>,
    /// Operators have another address of their own.
    pub(crate) is_public: bool,
}

impl Listener {
    /// A listener on a bound socket.
    pub(crate) fn new(
        socket: TcpListener,
        (router, door): (Router, Arc<Door>),
        (limits, sockets): (ListenerLimits, Sockets),
        entry: Entry,
    ) -> Self {
        Self { socket, router, door, limits, sockets, entry }
    }

    /// Accepts connections until the token of `tasks` is cancelled. Each connection is a task of `tasks`.
    pub(crate) async fn run(self, tasks: Tasks) {
        let token = tasks.token().clone();
        let shared = Arc::new(Shared {
            router: self.router.clone(),
            door: Arc::clone(&self.door),
            limits: self.limits,
            sockets: self.sockets.clone(),
            is_public: self.entry.is_public,
            tasks: tasks.clone(),
        });
        let mut spare = SpareFile::open();
        loop {
            let accepted = tokio::select! {
                () = token.cancelled() => return,
                accepted = self.accept(&mut spare) => accepted,
            };
            let Some((socket, remote, place)) = accepted else { continue };
            let tls = self.entry.tls.as_ref().map(TlsSettings::acceptor);
            let waiting = Waiting::new(&self.sockets);
            let connection = HttpConnection { shared: Arc::clone(&shared), tls, remote, waiting };
            tasks.spawn("connection", async move {
                if let Some((transport, handover)) = connection.serve(socket).await {
                    handover.complete(transport, place);
                }
            });
        }
    }

    /// Accepts also where no place is left: in the backlog a client would wait for a node that looks dead.
    async fn accept(&self, spare: &mut SpareFile) -> Option<(TcpStream, SocketAddr, Place)> {
        match self.socket.accept().await {
            Ok((socket, remote)) => match self.sockets.place(remote.ip()).await {
                Ok(place) => Some((socket, remote, place)),
                Err(_) => {
                    reset_on_close(&socket);
                    None
                }
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                if !spare.refuse_one(&self.socket).await {
                    // An immediate retry would only burn a core.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                None
            }
        }
    }
}

/// A file descriptor that is given up to accept and close a connection when the process has no other one left.
struct SpareFile(Option<File>);

impl SpareFile {
    fn open() -> Self {
        Self(File::open("/dev/null").ok())
    }

    /// Returns whether there was a descriptor to do it with.
    async fn refuse_one(&mut self, socket: &TcpListener) -> bool {
        let Some(file) = self.0.take() else {
            *self = Self::open();
            return false;
        };
        drop(file);
        let accepted = tokio::time::timeout(Duration::ZERO, socket.accept()).await;
        let refused = accepted.is_ok_and(|accepted| {
            accepted.is_ok_and(|(socket, _)| {
                reset_on_close(&socket);
                true
            })
        });
        *self = Self::open();
        refused
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::extract::rejection::BytesRejection;
    use axum::routing::post;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};

    use super::*;
    use crate::node::http::error::ApiError;
    use crate::node::sockets::tests::sockets;

    const LIMITS: ListenerLimits = ListenerLimits {
        head_bytes: 16 * 1024,
        head_timeout: Duration::from_secs(60),
        body_timeout: Duration::from_millis(20),
        answer_timeout: Duration::from_millis(20),
        end: StreamEnd::Clean,
    };

    /// Serves one route with these limits, and ends when the clients are done with its address.
    async fn serve((limits, places): (ListenerLimits, usize), clients: impl AsyncFnOnce(SocketAddr)) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let router = Router::new().route("/", post(length).get(async || "x".repeat(8 << 20)));
        let tasks = Tasks::new();
        let router = (router, Arc::new(Door::of_every_host()));
        let limits = (limits, sockets(places, 0));
        tasks.spawn(
            "listener",
            Listener::new(socket, router, limits, Entry { tls: None, is_public: false }).run(tasks.clone()),
        );
        clients(address).await;
        tasks.token().cancel();
        assert_eq!(tasks.join(Duration::from_secs(30)).await, Ok(()));
    }

    async fn length(body: Result<Bytes, BytesRejection>) -> Result<String, ApiError> {
        Ok(body?.len().to_string())
    }

    #[tokio::test]
    async fn a_client_that_keeps_its_body_to_itself_loses_its_socket() {
        serve((LIMITS, 1), async |address| {
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
        serve((limits, 1), async |address| {
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

    #[tokio::test]
    async fn a_client_that_does_not_take_its_answer_loses_its_socket() {
        serve((LIMITS, 1), async |address| {
            for _ in 0..2 {
                let mut client = TcpStream::connect(address).await.unwrap();
                client.write_all(b"GET / HTTP/1.1\r\nHost: n\r\n\r\n").await.unwrap();
                // It reads nothing, until its socket says that the other side has closed.
                let closed = async { while !client.ready(Interest::ERROR).await.unwrap().is_error() {} };
                tokio::time::timeout(Duration::from_secs(30), closed).await.unwrap();
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_client_that_only_waits_makes_room_for_one_that_asks() {
        let limits = ListenerLimits { answer_timeout: Duration::from_secs(60), ..LIMITS };
        serve((limits, 2), async |address| {
            let ask = async |client: &mut TcpStream| {
                client.write_all(b"POST / HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\n\r\nx").await.unwrap();
                let mut answer = vec![0; 1_000];
                let count = client.read(&mut answer).await.unwrap();
                assert!(answer[..count].starts_with(b"HTTP/1.1 200 "), "{:?}", &answer[..count]);
            };
            let mut first = TcpStream::connect(address).await.unwrap();
            ask(&mut first).await;
            let mut silent = TcpStream::connect(address).await.unwrap();
            // Requests later, the second one has waited longest.
            ask(&mut first).await;
            ask(&mut first).await;
            let mut third = TcpStream::connect(address).await.unwrap();
            ask(&mut third).await;
            let mut rest = Vec::new();
            let ended = tokio::time::timeout(Duration::from_secs(30), silent.read_to_end(&mut rest));
            assert_eq!(ended.await.unwrap().unwrap(), 0);
            ask(&mut first).await;
        })
        .await;
    }
}
