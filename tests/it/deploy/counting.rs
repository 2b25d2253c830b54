//! A server in the place of a node that takes every request whole, counts it, and then does what a dying or a hanging
//! node would do. Read [`Counting`] first.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::own_address;

/// What happens when a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// The connection breaks off.
    Dies,
    /// Nothing, for ever.
    Hangs,
}

/// Requests that have come, all servers of a test together.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    streams: Arc<AtomicUsize>,
    publishes: Arc<AtomicUsize>,
}

/// Three servers, which end with this value.
pub(super) struct Counting {
    pub(super) addresses: Vec<SocketAddr>,
    counts: Counts,
    _tasks: JoinSet<()>,
}

impl Counting {
    pub(super) async fn start(manner: Manner) -> Self {
        let (mut addresses, counts, mut tasks) = (Vec::new(), Counts::default(), JoinSet::new());
        for _ in 0..3 {
            let listener = TcpListener::bind((own_address(), 0)).await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            tasks.spawn(listen(listener, manner, counts.clone()));
        }
        Self { addresses, counts, _tasks: tasks }
    }

    pub(super) fn streams(&self) -> usize {
        self.counts.streams.load(Ordering::SeqCst)
    }

    pub(super) fn publishes(&self) -> usize {
        self.counts.publishes.load(Ordering::SeqCst)
    }
}

async fn listen(listener: TcpListener, manner: Manner, counts: Counts) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        connections.spawn(serve(socket, manner, counts.clone()));
    }
}

async fn serve(mut socket: TcpStream, manner: Manner, counts: Counts) {
    while let Some(head) = request(&mut socket).await {
        if head.starts_with("GET /health/ready ") {
            // Alive as far as a balancer can tell.
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            if socket.write_all(answer).await.is_err() {
                return;
            }
            continue;
        }
        let counter = if head.starts_with("POST ") { &counts.publishes } else { &counts.streams };
        counter.fetch_add(1, Ordering::SeqCst);
        match manner {
            Manner::Dies => return,
            Manner::Hangs => std::future::pending().await,
        }
    }
}

/// The head of a request whose body has come as well.
async fn request(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
            });
            if bytes.len() >= end + 4 + length.unwrap_or(0) {
                return Some(head);
            }
        }
        if !socket.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
            return None;
        }
    }
}
