//! A socket and bytes: for what no HTTP client would send, and to see what really comes. Read [`Raw`] first.

use sse_lab::client::Event;
use sse_lab::protocol::{Decoder, Item, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::{Node, within};

/// A TCP connection without an HTTP client.
pub(crate) struct Raw {
    socket: TcpStream,
    read: Vec<u8>,
}

/// Head and body of a response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Raw {
    /// Opens a connection to this address.
    pub(crate) async fn connect(node: &Node) -> Self {
        let socket = within("a connection", TcpStream::connect(node.address())).await.unwrap();
        Self { socket, read: Vec::new() }
    }

    /// Connects with as small a receive buffer as the system allows: a reader that soon blocks its writer.
    pub(crate) async fn connect_narrow(node: &Node) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(2_048).unwrap();
        let socket = within("a connection", socket.connect(node.address())).await.unwrap();
        Self { socket, read: Vec::new() }
    }

    /// Over a connection that the test has made.
    pub(crate) fn over(socket: TcpStream) -> Self {
        Self { socket, read: Vec::new() }
    }

    /// Sends bytes to a node that may close in the middle of them.
    pub(crate) async fn try_send(&mut self, text: &str) {
        // What the node thinks of them is seen by reading.
        let _ended = within("a write", self.socket.write_all(text.as_bytes())).await;
    }

    /// Writes as fast as it can until the node has closed.
    pub(crate) async fn flood(mut self) {
        let much = vec![b'x'; 1 << 16];
        while within("a write", self.socket.write_all(&much)).await.is_ok() {}
    }

    /// Sends these bytes as they are.
    pub(crate) async fn send(&mut self, text: &str) {
        within("a write", self.socket.write_all(text.as_bytes())).await.unwrap();
    }

    /// Reads up to and with this text.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end.as_bytes()) {
                let rest = self.read.split_off(at + end.len());
                return String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
            }
            assert!(self.more().await, "the node closed before {end:?}; got {:?}", self.seen());
        }
    }

    /// Reads exactly this many bytes.
    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.more().await, "the node closed; got {:?}", self.seen());
        }
        let rest = self.read.split_off(count);
        std::mem::replace(&mut self.read, rest)
    }

    /// Reads until the node closes the connection.
    pub(crate) async fn rest(mut self) -> Vec<u8> {
        while self.more().await {}
        self.read
    }

    /// A response that says its length.
    pub(crate) async fn reply(&mut self) -> Reply {
        let head = self.until("\r\n\r\n").await;
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        Reply { body: self.exactly(length).await, head }
    }

    async fn more(&mut self) -> bool {
        let count = within("bytes", self.socket.read_buf(&mut self.read)).await;
        // Closed with unread bytes on the other side is closed as well.
        count.is_ok_and(|count| count > 0)
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The events in bytes of a body that is not chunked.
pub(crate) fn events(body: &[u8]) -> Vec<Event> {
    let mut decoder = Decoder::new(Limits::default());
    let mut rest = body;
    let mut events = Vec::new();
    while let Some(item) = decoder.decode(&mut rest).unwrap() {
        if let Item::Event { event, data, last_event_id, id_in_block } = item {
            events.push(Event {
                event: event.to_owned(),
                data: data.to_owned(),
                last_event_id: last_event_id.to_owned(),
                id_in_block,
            });
        }
    }
    events
}
