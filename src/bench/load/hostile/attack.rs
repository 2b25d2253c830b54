//! What a hostile client does with one connection. Read [`Attack::carry_out`] first.

use std::io;
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;

use crate::bench::scenario::Behavior;

/// Pause after each byte of a slow head or body.
const BYTE_EVERY: Duration = Duration::from_secs(1);
/// How often a client that reads nothing looks whether its connection is still there.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Bytes written at once by those who write as fast as they can.
const PIECE: usize = 64 * 1024;
/// `SO_RCVBUF` of those who read nothing: what the server sends stays with it.
const RECEIVE_BUFFER: usize = 4 * 1024;
/// Length of the body that never comes.
const BODY_BYTES: usize = 100_000;

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    ByServer,
    ByClient,
}

/// An open connection, and what its client asks for.
pub(super) struct Attack<'a> {
    pub(super) socket: TcpStream,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) rng: &'a mut StdRng,
}

impl Attack<'_> {
    /// Misuses the connection until one side ends it. An error is an end: the server reset it.
    pub(super) async fn carry_out(self, behavior: Behavior) -> Ended {
        // A server that ends a connection makes the next read or write fail.
        self.act(behavior).await.unwrap_or(Ended::ByServer)
    }

    async fn act(mut self, behavior: Behavior) -> io::Result<Ended> {
        let get = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", self.path, self.host);
        let whole = format!("{get}Accept: text/event-stream\r\n\r\n");
        match behavior {
            Behavior::UnreadStream => {
                SockRef::from(&self.socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
                self.socket.write_all(whole.as_bytes()).await?;
                until_gone(&self.socket).await?;
                Ok(Ended::ByServer)
            }
            Behavior::UnreadPages => {
                SockRef::from(&self.socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
                let (_, mut writer) = self.socket.split();
                repeat(&mut writer, whole.as_bytes()).await?;
                Ok(Ended::ByServer)
            }
            Behavior::OpenAndClose => {
                self.socket.write_all(whole.as_bytes()).await?;
                let answered = self.socket.read(&mut [0]).await? > 0;
                Ok(if answered { Ended::ByClient } else { Ended::ByServer })
            }
            Behavior::Silent
            | Behavior::SlowHead
            | Behavior::SlowBody
            | Behavior::EndlessHead
            | Behavior::Garbage
            | Behavior::Flood => {
                let (mut reader, mut writer) = self.socket.split();
                let post = format!(
                    "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {BODY_BYTES}\r\n\r\n{{",
                    self.path, self.host
                );
                let mut piece = vec![b'a'; PIECE];
                let write = async {
                    match behavior {
                        Behavior::SlowHead => slowly(&mut writer, &format!("{get}X-Slow: "), b'a').await,
                        Behavior::SlowBody => slowly(&mut writer, &post, b' ').await,
                        Behavior::EndlessHead => {
                            writer.write_all(get.as_bytes()).await?;
                            repeat(
                                &mut writer,
                                b"X-Endless: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
                            )
                            .await
                        }
                        Behavior::Garbage => {
                            self.rng.fill_bytes(&mut piece);
                            repeat(&mut writer, &piece).await
                        }
                        Behavior::Flood => {
                            writer.write_all(whole.as_bytes()).await?;
                            repeat(&mut writer, &piece).await
                        }
                        _ => std::future::pending().await,
                    }
                };
                tokio::select! {
                    ended = drain(&mut reader) => ended?,
                    failed = write => failed?,
                }
                Ok(Ended::ByServer)
            }
        }
    }
}

/// Reads until the server ends the connection.
async fn drain(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    tokio::io::copy(reader, &mut tokio::io::sink()).await.map(|_| ())
}

/// Writes the same bytes until it fails.
async fn repeat(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    loop {
        writer.write_all(bytes).await?;
        // A server that takes everything must not keep the other tasks of this thread from running.
        tokio::task::yield_now().await;
    }
}

/// Writes a beginning, and then a byte at a time until it fails.
async fn slowly(writer: &mut (impl AsyncWrite + Unpin), begin: &str, then: u8) -> io::Result<()> {
    writer.write_all(begin.as_bytes()).await?;
    loop {
        writer.write_all(&[then]).await?;
        tokio::time::sleep(BYTE_EVERY).await;
    }
}

/// Waits until the server has ended the connection, and reads nothing.
async fn until_gone(socket: &TcpStream) -> io::Result<()> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        let looked = tokio::time::timeout(LOOK_EVERY, socket.ready(Interest::READABLE)).await;
        if matches!(looked, Ok(Ok(ready)) if ready.is_read_closed()) {
            return Ok(());
        }
    }
}
