//! Request bodies with a deadline: a client that sends one byte and waits would hold its socket for ever, and such
//! clients could occupy all sockets. Read [`TimedBody`] first.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

/// A body that fails unless it is complete in time.
#[derive(Debug)]
pub(crate) struct TimedBody {
    incoming: Incoming,
    allowed: Duration,
    /// Starts with the first wait, since most bodies arrive together with their head.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// The body did not arrive in time.
#[derive(Debug, thiserror::Error)]
#[error("the body was not complete after {0:?}")]
pub(crate) struct BodyTooSlow(Duration);

impl TimedBody {
    /// A body that must be complete within `allowed`.
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
