//! Writes to a socket that has left the HTTP server. A stream then needs no buffers of the server (measured: 2 kB
//! instead of 20 kB per idle connection), and frames go from the window to the socket without a copy. Knows HTTP/1.1
//! framing and must know nothing of events. Read [`SocketWriter`] first.

use std::io::{self, IoSlice};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, Version};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::limits::ABORT_PAUSE;
use super::window::{WindowFrame, chunked};

/// Buffers in one `writev`; Linux allows 1,024, but a socket rarely takes that many at once.
const SLICES_MAX: usize = 64;

/// How the body of a response is delimited (RFC 9112, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// HTTP/1.1: chunks, so that an end without the last chunk counts as an abort.
    Chunked,
    /// HTTP/1.0: the end of the connection ends the body.
    Close,
}

impl Framing {
    /// The framing for a client of this HTTP version.
    pub(crate) fn for_version(version: Version) -> Self {
        if version == Version::HTTP_10 || version == Version::HTTP_09 { Self::Close } else { Self::Chunked }
    }
}

/// How a stream ends on the wire.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum StreamEnd {
    /// Without the last chunk. Every client that reconnects at all does so after an abort; some stop after a clean end
    /// (measured: fetch-event-source, sse.js). Proxies log an error.
    #[default]
    Abort,
    /// With the last chunk.
    Clean,
}

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The write made no progress for this long.
    #[error("the client took no byte for {0:?} (--write-stall)")]
    Stalled(Duration),
    /// The socket is closed.
    #[error("the connection is closed")]
    Gone(#[source] io::Error),
}

/// A socket and the framing of its response body.
#[derive(Debug)]
pub(crate) struct SocketWriter {
    socket: TcpStream,
    framing: Framing,
    stall: Duration,
}

impl SocketWriter {
    /// `stall` is the longest time without progress of a write.
    pub(crate) fn new(socket: TcpStream, framing: Framing, stall: Duration) -> Self {
        Self { socket, framing, stall }
    }

    /// Writes the head of the response; returns the bytes written.
    pub(crate) async fn head(&self, status: StatusCode, headers: &HeaderMap) -> Result<usize, WriteError> {
        self.write_all(&mut [IoSlice::new(&response_head(status, headers, self.framing))]).await
    }

    /// Writes a part of the body. Returns once the kernel has all of it, with the bytes written.
    pub(crate) async fn body(&self, bytes: &[u8]) -> Result<usize, WriteError> {
        match self.framing {
            Framing::Chunked => self.write_all(&mut [IoSlice::new(&chunked(bytes).0)]).await,
            Framing::Close => self.write_all(&mut [IoSlice::new(bytes)]).await,
        }
    }

    /// Writes frames in order. Returns once the kernel has all of them, with the bytes written.
    pub(crate) async fn frames<F>(&self, frames: &[F]) -> Result<usize, WriteError>
    where
        F: AsRef<WindowFrame> + Sync,
    {
        let mut written = 0;
        for group in frames.chunks(SLICES_MAX) {
            let mut slices = group.iter().map(|frame| IoSlice::new(self.bytes_of(frame.as_ref())));
            // A live stream mostly writes one frame, which needs no list.
            written += match group {
                [_only] => self.write_all(slices.next().as_mut_slice()).await?,
                _ => self.write_all(&mut slices.collect::<Vec<_>>()).await?,
            };
        }
        Ok(written)
    }

    fn bytes_of<'a>(&self, frame: &'a WindowFrame) -> &'a [u8] {
        match self.framing {
            Framing::Chunked => frame.chunk(),
            Framing::Close => frame.body(),
        }
    }

    async fn write_all(&self, mut slices: &mut [IoSlice<'_>]) -> Result<usize, WriteError> {
        let mut written = 0;
        while !slices.is_empty() {
            match self.socket.try_write_vectored(slices) {
                Ok(0) => return Err(WriteError::Gone(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    written += count;
                    IoSlice::advance_slices(&mut slices, count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(WriteError::Gone(error)),
            }
        }
        Ok(written)
    }

    async fn writable(&self) -> Result<(), WriteError> {
        match tokio::time::timeout(self.stall, self.socket.writable()).await {
            Ok(ready) => ready.map_err(WriteError::Gone),
            Err(_) => Err(WriteError::Stalled(self.stall)),
        }
    }

    /// Waits until the client has closed its side. Discards bytes that the client sends, which mean nothing on a
    /// stream. Cancel-safe.
    pub(crate) async fn gone(&self) {
        let mut discarded = [0_u8; 256];
        loop {
            if self.socket.readable().await.is_err() {
                return;
            }
            match self.socket.try_read(&mut discarded) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Ends the stream. Bytes that were written before are still delivered; before an abort the client has
    /// [`ABORT_PAUSE`] to read them.
    pub(crate) async fn end(mut self, end: StreamEnd) {
        match (end, self.framing) {
            (StreamEnd::Clean, Framing::Chunked) => {
                if let Err(error) = self.write_all(&mut [IoSlice::new(b"0\r\n\r\n")]).await {
                    tracing::debug!(%error, "the last chunk did not reach the client");
                }
            }
            // It is fine if the client closes first.
            (StreamEnd::Abort, _) => drop(tokio::time::timeout(ABORT_PAUSE, self.gone()).await),
            (StreamEnd::Clean, Framing::Close) => {}
        }
        // The peer may have closed already.
        if let Err(error) = self.socket.shutdown().await {
            tracing::debug!(%error, "a stream's socket was closed by the other side first");
        }
    }
}

fn response_head(status: StatusCode, headers: &HeaderMap, framing: Framing) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    let mut put = |name: &[u8], value: &[u8]| {
        head.extend_from_slice(name);
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    };
    for (name, value) in headers {
        if name != http::header::CONTENT_LENGTH && name != http::header::TRANSFER_ENCODING {
            put(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    put(b"date", httpdate::fmt_http_date(SystemTime::now()).as_bytes());
    match framing {
        Framing::Chunked => put(b"transfer-encoding", b"chunked"),
        Framing::Close => put(b"connection", b"close"),
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    #[track_caller]
    fn check(wire: &[u8], expected: &str) {
        assert_eq!(std::str::from_utf8(wire).unwrap(), expected);
    }

    #[tokio::test]
    async fn only_a_clean_end_has_the_last_chunk() {
        for (end, expected) in
            [(StreamEnd::Clean, "2\r\n:\n\r\n0\r\n\r\n"), (StreamEnd::Abort, "2\r\n:\n\r\n")]
        {
            let (mut client, server) = pair().await;
            let writer = SocketWriter::new(server, Framing::Chunked, Duration::from_secs(5));
            writer.body(b":\n").await.unwrap();
            writer.end(end).await;
            let mut wire = Vec::new();
            client.read_to_end(&mut wire).await.unwrap();
            check(&wire, expected);
        }
    }

    /// A page that reads with `fetch` loses the bytes that it has not read when the abort arrives.
    #[tokio::test(start_paused = true)]
    async fn an_abort_comes_behind_a_pause_unless_the_client_leaves_first() {
        let begun = tokio::time::Instant::now();
        for leaves in [false, true] {
            let (mut client, server) = pair().await;
            let writer = SocketWriter::new(server, Framing::Chunked, Duration::from_secs(5));
            writer.body(b":\n").await.unwrap();
            if leaves {
                client.shutdown().await.unwrap();
            }
            let before = begun.elapsed();
            writer.end(StreamEnd::Abort).await;
            assert_eq!(begun.elapsed() - before < ABORT_PAUSE, leaves);
            let mut wire = Vec::new();
            client.read_to_end(&mut wire).await.unwrap();
            check(&wire, "2\r\n:\n\r\n");
        }
    }

    #[tokio::test]
    async fn an_old_client_gets_the_bytes_alone() {
        let (mut client, server) = pair().await;
        let writer =
            SocketWriter::new(server, Framing::for_version(Version::HTTP_10), Duration::from_secs(5));
        writer.head(StatusCode::OK, &HeaderMap::new()).await.unwrap();
        writer.body(b"data: x\n\n").await.unwrap();
        writer.end(StreamEnd::Clean).await;
        let mut wire = Vec::new();
        client.read_to_end(&mut wire).await.unwrap();
        let wire = String::from_utf8(wire).unwrap();
        assert!(wire.starts_with("HTTP/1.1 200 OK\r\ndate: "), "{wire}");
        assert!(wire.ends_with("\r\nconnection: close\r\n\r\ndata: x\n\n"), "{wire}");
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_stalls_the_write() {
        let (client, server) = pair().await;
        let writer = SocketWriter::new(server, Framing::Close, Duration::from_millis(20));
        let megabyte = vec![b'x'; 1 << 20];
        let mut outcome = Ok(0);
        for _ in 0..64 {
            outcome = writer.body(&megabyte).await;
            if outcome.is_err() {
                break;
            }
        }
        assert!(matches!(outcome, Err(WriteError::Stalled(_))), "{outcome:?}");
        drop(client);
    }
}
