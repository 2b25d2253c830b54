//! The body of a request, which must come within a time: a client that sends one byte and waits would hold its socket
//! for ever, and with all sockets nobody could connect. Read [`TimedBody`] first.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

/// A body that fails when it is not complete in time.
#[derive(Debug)]
pub(crate) struct TimedBody {
    incoming: Incoming,
    allowed: Duration,
    /// From the first wait on: most bodies have come with their head.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// The body did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("the body was not complete after {0:?}")]
pub(crate) struct BodyTooSlow(Duration);

impl TimedBody {
    /// A body that may take so long.
    pub(crate) fn new(incoming: Incoming, allowed: Duration) -> Self {
        Self { incoming, allowed, deadline: None }
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let allowed = self.allowed;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(allowed)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Some(Err(BodyTooSlow(allowed).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
