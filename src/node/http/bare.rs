//! Answers of hyper itself. What it cannot read as a request it answers with a bare status, before any code of ours runs.
//! The only place to give such an answer a body is on its way out. Read [`Explained`] first.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::ApiError;

/// The longest answer of hyper's that is taken for a bare one.
const BARE_MAX: usize = 256;

/// A socket under hyper that turns bare errors into problems.
#[derive(Debug)]
pub(crate) struct Explained<S> {
    socket: S,
    /// Most bytes of a head, for the text.
    head_bytes: usize,
    /// What is not written yet of an answer that replaces hyper's.
    pending: Vec<u8>,
}

impl<S: AsyncWrite + Unpin> Explained<S> {
    pub(crate) fn new(socket: S, head_bytes: usize) -> Self {
        Self { socket, head_bytes, pending: Vec::new() }
    }

    pub(crate) fn into_inner(self) -> S {
        self.socket
    }

    fn poll_pending(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(context, &self.pending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    /// Replaces these bytes if they are a bare error. Every answer of ours says `nosniff`.
    fn replace(&mut self, bytes: &[u8]) -> bool {
        let is_error = bytes.starts_with(b"HTTP/1.") && bytes.get(8..10) == Some(b" 4");
        if !is_error || bytes.len() > BARE_MAX {
            return false;
        }
        let Ok(head) = std::str::from_utf8(bytes) else { return false };
        let is_bare = head.ends_with("\r\n\r\n") && !head.contains("x-content-type-options");
        let Some(problem) = self.problem(head.get(9..12)).filter(|_| is_bare) else { return false };
        let fields = format!(
            "content-type: application/problem+json\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\ncontent-length: {}\r\n",
            problem.len()
        );
        self.pending = head.replacen("content-length: 0\r\n", &fields, 1).into_bytes();
        self.pending.extend_from_slice(problem.as_bytes());
        true
    }

    fn problem(&self, status: Option<&str>) -> Option<String> {
        let status = StatusCode::from_bytes(status?.as_bytes()).ok()?;
        let error = match status {
            StatusCode::BAD_REQUEST => ApiError::Invalid("the bytes are no request of HTTP/1.1".to_owned()),
            StatusCode::URI_TOO_LONG => ApiError::UriTooLong("the URL has more than 65,534 bytes".to_owned()),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ApiError::HeadTooLarge(format!(
                "the URL and the headers of the request have more than {} bytes (--max-head), or there are more than 100 headers",
                self.head_bytes
            )),
            _ => return None,
        };
        serde_json::to_string(&error.problem().1).ok()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Explained<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Explained<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_pending(context))?;
        if self.replace(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_pending(context))?;
        if let [only] = buffers
            && self.replace(only)
        {
            return Poll::Ready(Ok(only.len()));
        }
        Pin::new(&mut self.socket).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(context))?;
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(context))?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
