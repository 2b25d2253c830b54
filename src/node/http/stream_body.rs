//! A stream over HTTP/2. Its loop writes into a pipe as it would into a socket, and the body of the response reads it. So
//! the loop knows nothing of HTTP/2, and a client whose window is full (RFC 9113, section 5.2) fills its own pipe and
//! holds up nobody else. Read [`pipe`] first.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame};
use socket2::SockRef;
use tokio::net::UnixStream;
use tokio_util::io::poll_read_buf;

use crate::node::limits::PIPE_BYTES;
use crate::node::loops::StreamEnd;

/// Most bytes of one DATA frame.
const FRAME_BYTES: usize = 16 * 1024;

/// What a loop writes into its pipe, as the body of a response.
#[derive(Debug)]
pub(crate) struct StreamBody {
    pipe: UnixStream,
    end: StreamEnd,
    /// Shows the connection that it has an open stream.
    _activity: Arc<AtomicU64>,
}

/// The stream ends as one that is cut off (RST_STREAM), so that clients see that it is not over.
#[derive(Debug, thiserror::Error)]
#[error("the stream is ended in the middle")]
struct Aborted;

/// A pipe from a loop to a body. `end` says what the end of the pipe becomes.
///
/// # Errors
/// The process has no file descriptor left.
pub(crate) fn pipe(end: StreamEnd, activity: Arc<AtomicU64>) -> io::Result<(OwnedFd, StreamBody)> {
    let (writer, reader) = StdUnixStream::pair()?;
    reader.set_nonblocking(true)?;
    SockRef::from(&writer).set_send_buffer_size(PIPE_BYTES)?;
    Ok((writer.into(), StreamBody { pipe: UnixStream::from_std(reader)?, end, _activity: activity }))
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        // The buffer exists only while bytes are there: an idle stream has none.
        ready!(self.pipe.poll_read_ready(context))?;
        let mut bytes = BytesMut::with_capacity(FRAME_BYTES);
        match ready!(poll_read_buf(Pin::new(&mut self.pipe), context, &mut bytes)) {
            Ok(0) if self.end == StreamEnd::Abort => Poll::Ready(Some(Err(Aborted.into()))),
            Ok(0) => Poll::Ready(None),
            Ok(_) => Poll::Ready(Some(Ok(Frame::data(bytes.freeze())))),
            Err(error) => Poll::Ready(Some(Err(error.into()))),
        }
    }
}
