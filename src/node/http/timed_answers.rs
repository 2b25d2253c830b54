//! The socket of a connection whose answers must be taken in time: a client that reads nothing, or a byte now and then,
//! would hold its answer in our memory for ever. Read [`TimedAnswers::new`] first.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

use crate::net::reset_on_close;

/// A connection on a socket.
pub(crate) trait AsSocket {
    /// The socket below it.
    fn as_socket(&self) -> BorrowedFd<'_>;
}

impl AsSocket for TcpStream {
    fn as_socket(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

impl AsSocket for TlsStream<TcpStream> {
    fn as_socket(&self) -> BorrowedFd<'_> {
        self.get_ref().0.as_fd()
    }
}

/// A connection that fails where an answer is not taken in time.
#[derive(Debug)]
pub(crate) struct TimedAnswers<S> {
    io: S,
    allowed: Duration,
    /// Answers that have begun on this connection; and how many had when the deadline was set.
    begun: Arc<AtomicU64>,
    known: u64,
    /// Starts with the first write that the socket does not take at once, since most answers fit into its buffer.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S: AsSocket> TimedAnswers<S> {
    /// Each answer has this much time, from its first write that must wait on. `begun` counts the answers.
    pub(crate) fn new(io: S, allowed: Duration, begun: &Arc<AtomicU64>) -> Self {
        Self { io, allowed, begun: Arc::clone(begun), known: 0, deadline: None }
    }

    /// The connection, for what comes after the answers.
    pub(crate) fn into_inner(self) -> S {
        self.io
    }

    fn judge<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            return written;
        }
        let begun = self.begun.load(Ordering::Relaxed);
        if begun != self.known {
            (self.known, self.deadline) = (begun, None);
        }
        let allowed = self.allowed;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(allowed)));
        ready!(deadline.as_mut().poll(context));
        reset_on_close(self.io.as_socket());
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client did not take the answer in time",
        )))
    }
}

impl<S: AsyncWrite + AsSocket + Unpin> AsyncWrite for TimedAnswers<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.judge(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, pieces);
        self.judge(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TLS writes what it has taken only here.
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.judge(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedAnswers<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, into)
    }
}
