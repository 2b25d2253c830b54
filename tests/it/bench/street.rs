//! Servers as they are found in the street: plain EventSource endpoints, written by hand on a socket so that every byte is
//! theirs, each with one habit. Read [`Ways`] first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How a server works. The default is honest: ids, a replay, HTTP/1.1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ways {
    pub(super) framing: Framing,
    pub(super) ids: Ids,
    pub(super) replay: Replay,
    /// What ends an event. Honest: an empty line.
    pub(super) ending: &'static str,
    /// Headers of the stream, each with its line end.
    pub(super) headers: &'static str,
    /// Time between flushes; `None`: at once.
    pub(super) flushed_every: Option<Duration>,
    /// Bytes between flushes; 0: at once.
    pub(super) flushed_at: usize,
    /// Sends the head with the first event only.
    pub(super) holds_the_head: bool,
    pub(super) ends_at: Option<Duration>,
    /// Ends a stream after this silence.
    pub(super) ends_after_silence: Option<Duration>,
    /// Breaks off in the middle of the line of every n-th event; 0: never.
    pub(super) breaks_at: usize,
    pub(super) heartbeat: Option<Duration>,
    /// The first line of the stream.
    pub(super) hello: &'static str,
    /// The answer to all streams but the first so many; `None`: all are served.
    pub(super) refuses: Option<(usize, &'static str)>,
    /// The number of the first stream that is served again.
    pub(super) serves_from: usize,
    /// Time before the head.
    pub(super) head_after: Option<Duration>,
    /// What a stream ends with, where the server ends it.
    pub(super) goodbye: &'static str,
    /// Sends everything as Brotli does. It is flushed as the rest is.
    pub(super) is_brotli: bool,
}

/// How the end of a response is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Chunked,
    /// HTTP/1.0: by the end of the connection.
    Old,
    /// HTTP/1.1 and `Connection: close`.
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ids {
    Rising,
    None,
    /// Every n-th event has the id of the one before.
    Repeating(usize),
    /// Every n-th event has an id far below.
    Falling(usize),
    /// Of no order at all, as UUIDs are.
    Random,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replay {
    Whole,
    /// From the event of the cursor on.
    WithCursor,
    /// Without the first event behind the cursor.
    WithoutFirst,
    /// With the last event again as the first live one.
    LastTwice,
    /// What is new, and nothing that was missed.
    Nothing,
    /// Without the last event before the first live one.
    WithoutLast,
    /// The oldest events behind the cursor, so many.
    Oldest(usize),
    /// The newest events behind the cursor, so many.
    Newest(usize),
}

impl Default for Ways {
    fn default() -> Self {
        Self {
            framing: Framing::Chunked,
            ids: Ids::Rising,
            replay: Replay::Whole,
            ending: "\n\n",
            headers: "",
            flushed_every: None,
            flushed_at: 0,
            holds_the_head: false,
            ends_at: None,
            ends_after_silence: None,
            breaks_at: 0,
            heartbeat: None,
            hello: ":\n\n",
            refuses: None,
            serves_from: usize::MAX,
            head_after: None,
            goodbye: "",
            is_brotli: false,
        }
    }
}

/// A server that runs until it is dropped.
pub(super) struct Street {
    pub(super) base: String,
    _serving: JoinSet<()>,
}

struct Server {
    ways: Ways,
    log: Mutex<Vec<String>>,
    length: watch::Sender<usize>,
    streams: AtomicUsize,
}

impl Street {
    pub(super) async fn start(ways: Ways) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (log, length) = (Mutex::default(), watch::Sender::new(0));
        let server = Arc::new(Server { ways, log, length, streams: AtomicUsize::new(0) });
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let server = Arc::clone(&server);
                // A client that is gone ends its connection, and nothing else.
                connections.spawn(async move { server.serve(socket).await.unwrap_or_default() });
            }
        });
        Self { base, _serving: serving }
    }
}

/// The head of a request: its path, its cursor, and the length of its body.
struct Asked {
    path: String,
    cursor: Option<String>,
    length: usize,
}

async fn asked(from: &mut BufReader<OwnedReadHalf>) -> std::io::Result<Option<Asked>> {
    let mut line = String::new();
    if from.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut asked = Asked { path, cursor: None, length: 0 };
    loop {
        line.clear();
        from.read_line(&mut line).await?;
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                asked.length = value.parse().unwrap();
            }
            Some((name, value)) if name.eq_ignore_ascii_case("last-event-id") => {
                asked.cursor = Some(value.to_owned());
            }
            Some(_) => {}
            None => return Ok(Some(asked)),
        }
    }
}

impl Server {
    async fn serve(self: Arc<Self>, socket: TcpStream) -> std::io::Result<()> {
        socket.set_nodelay(true)?;
        let (from, mut to) = socket.into_split();
        let mut from = BufReader::new(from);
        while let Some(asked) = asked(&mut from).await? {
            let mut body = vec![0; asked.length];
            from.read_exact(&mut body).await?;
            match asked.path.as_str() {
                "/publish" => {
                    self.keep(String::from_utf8(body).unwrap());
                    to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await?;
                }
                "/elsewhere" => return self.stream(to, asked.cursor).await,
                "/events" => {
                    let number = self.streams.fetch_add(1, Ordering::Relaxed);
                    let is_refused =
                        |(served, _): &(usize, &str)| (*served..self.ways.serves_from).contains(&number);
                    if let Some((_, answer)) = self.ways.refuses.filter(is_refused) {
                        to.write_all(answer.as_bytes()).await?;
                        continue;
                    }
                    return self.stream(to, asked.cursor).await;
                }
                "/login" => {
                    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nlogin";
                    to.write_all(page.as_bytes()).await?;
                }
                "/account" => to.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await?,
                _ => to.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await?,
            }
        }
        Ok(())
    }

    fn keep(&self, data: String) {
        let mut log = self.log.lock().unwrap();
        log.push(data);
        self.length.send_replace(log.len());
    }

    fn id(&self, index: usize) -> String {
        let own = 1_000 + index;
        match self.ways.ids {
            Ids::Rising => format!("{own}"),
            Ids::None => String::new(),
            Ids::Repeating(every) if index.is_multiple_of(every) => format!("{}", own - 1),
            Ids::Falling(every) if index.is_multiple_of(every) => format!("{}", own - 700),
            Ids::Repeating(_) | Ids::Falling(_) => format!("{own}"),
            // The number stays readable for the replay.
            Ids::Random => format!(
                "{:08x}-{own}",
                u32::try_from(index).unwrap().wrapping_mul(0x9e37_79b9).rotate_left(7)
            ),
        }
    }

    /// What is sent for the events behind a cursor, and the place where the live stream begins.
    fn replayed(&self, cursor: Option<&str>) -> (String, usize) {
        let newest = self.log.lock().unwrap().len();
        let number = cursor.and_then(|id| id.rsplit('-').next()?.parse::<usize>().ok());
        let after = number.and_then(|number| number.checked_sub(1_000)).map(|index| (index + 1).min(newest));
        let Some(after) = after else {
            return (String::new(), newest);
        };
        let missed = newest - after;
        let (from, until, live) = match self.ways.replay {
            Replay::Whole => (after, newest, newest),
            Replay::WithCursor => (after.saturating_sub(1), newest, newest),
            Replay::WithoutFirst => ((after + 1).min(newest), newest, newest),
            Replay::LastTwice if missed > 1 => (after, newest, newest - 1),
            Replay::LastTwice => (after, newest, newest),
            Replay::Nothing => (newest, newest, newest),
            Replay::WithoutLast => (after, newest.saturating_sub(1).max(after), newest),
            Replay::Oldest(most) => (after, newest.min(after + most), newest),
            Replay::Newest(most) => (newest.saturating_sub(most).max(after), newest, newest),
        };
        ((from..until).map(|index| self.frame(index)).collect(), live)
    }

    fn frame(&self, index: usize) -> String {
        let data = self.log.lock().unwrap()[index].clone();
        let id = match self.id(index) {
            id if id.is_empty() => String::new(),
            id => format!("id: {id}\n"),
        };
        format!("{id}data: {data}{}", self.ways.ending)
    }

    /// The head, what comes before the live events, and where these begin.
    fn beginning(&self, cursor: Option<&str>) -> (String, Vec<u8>, usize) {
        let (version, framing) = match self.ways.framing {
            Framing::Chunked => ("1.1", "Transfer-Encoding: chunked\r\n"),
            Framing::Old => ("1.0", ""),
            Framing::Close => ("1.1", "Connection: close\r\n"),
        };
        let (kind, more) = ("Content-Type: text/event-stream\r\n", self.ways.headers);
        let packed = if self.ways.is_brotli { "Content-Encoding: br\r\n" } else { "" };
        let head = format!("HTTP/{version} 200 OK\r\n{kind}{packed}{framing}{more}\r\n");
        let (replayed, live) = self.replayed(cursor);
        let first = self.chunk(&format!("{}{replayed}", self.ways.hello));
        (head, [self.chunk_of(brotli_window(self.ways.is_brotli)), first].concat(), live)
    }

    async fn stream(&self, mut to: OwnedWriteHalf, cursor: Option<String>) -> std::io::Result<()> {
        let ways = self.ways;
        let mut length = self.length.subscribe();
        let (head, first, mut read) = self.beginning(cursor.as_deref());
        if let Some(time) = ways.head_after {
            tokio::time::sleep(time).await;
        }
        let mut held = [head.as_bytes(), &first].concat();
        if !ways.holds_the_head {
            to.write_all(&std::mem::take(&mut held)).await?;
        }
        let began = Instant::now();
        let (mut silent, mut flushed, mut written) = (began, began, 0);
        loop {
            let wake = [
                ways.ends_at.map(|age| began + age),
                ways.ends_after_silence.map(|silence| silent + silence),
                ways.heartbeat.map(|every| silent + every),
                ways.flushed_every.map(|every| flushed + every),
            ];
            let wake = wake.into_iter().flatten().min().unwrap_or(began + Duration::from_secs(3_600));
            let published = tokio::select! {
                _ = length.wait_for(|length| *length > read) => true,
                () = tokio::time::sleep_until(wake) => false,
            };
            let now = Instant::now();
            if published {
                let frame = self.frame(read);
                read += 1;
                written += 1;
                if ways.breaks_at > 0 && written == ways.breaks_at {
                    to.write_all(&self.chunk(&frame[..frame.len() / 2])).await?;
                    return self.end(to).await;
                }
                held.extend(self.chunk(&frame));
            }
            let is_old = ways.ends_at.is_some_and(|age| now >= began + age);
            if is_old || ways.ends_after_silence.is_some_and(|silence| now >= silent + silence) {
                return self.end(to).await;
            }
            if ways.heartbeat.is_some_and(|every| now >= silent + every) {
                held.extend(self.chunk(":\n\n"));
            }
            if ways.flushed_every.is_some_and(|every| now < flushed + every) {
                continue;
            }
            flushed = now;
            // A server that holds the head sends it with the first event.
            if held.len() > ways.flushed_at && (published || !ways.holds_the_head) {
                to.write_all(&std::mem::take(&mut held)).await?;
                silent = now;
            }
        }
    }

    async fn end(&self, mut to: OwnedWriteHalf) -> std::io::Result<()> {
        to.write_all(&self.chunk(self.ways.goodbye)).await?;
        if self.ways.framing == Framing::Chunked {
            to.write_all(b"0\r\n\r\n").await?;
        }
        to.shutdown().await
    }

    fn chunk(&self, text: &str) -> Vec<u8> {
        self.chunk_of(if self.ways.is_brotli { stored_as_brotli(text) } else { text.as_bytes().to_vec() })
    }

    fn chunk_of(&self, bytes: Vec<u8>) -> Vec<u8> {
        match self.ways.framing {
            _ if bytes.is_empty() => Vec::new(),
            Framing::Chunked => [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat(),
            Framing::Old | Framing::Close => bytes,
        }
    }
}

/// The begin of a Brotli stream: its window, then an empty block of metadata, so that the next one begins with a byte.
fn brotli_window(is_brotli: bool) -> Vec<u8> {
    // One bit 0: 16 bits of window. Then not the last (0), no length (11), reserved (0), no bytes to skip (00).
    if is_brotli { vec![0b0000_1100] } else { Vec::new() }
}

/// An uncompressed block of Brotli: not the last (0), four nibbles of length (00), its length less one, uncompressed (1).
fn stored_as_brotli(text: &str) -> Vec<u8> {
    let Some(length) = text.len().checked_sub(1) else { return Vec::new() };
    assert!(length < 1 << 16, "a block has four nibbles of length");
    let head = u32::try_from(length).unwrap() << 3 | 1 << 19;
    [&head.to_le_bytes()[..3], text.as_bytes()].concat()
}
