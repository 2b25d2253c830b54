//! Requests that read much: a page of the log, a mailbox, the list of all streams. They run on a thread that publishes and
//! heartbeats do not wait for, and only so many of their answers are in memory at once. Read [`Heavy::json`] first.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use super::error::ApiError;

/// Bytes of an answer that the HTTP server gets at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// A kind of requests that read much.
#[derive(Debug)]
pub(crate) struct Heavy {
    thread: Handle,
    answers: Arc<Semaphore>,
    wait: Duration,
}

impl Heavy {
    /// Requests of this kind run on `thread`; so many answers may be under way, and others wait for at most `wait`.
    pub(crate) fn new(thread: &Handle, answers: usize, wait: Duration) -> Self {
        Self { thread: thread.clone(), answers: Arc::new(Semaphore::new(answers)), wait }
    }

    /// Works out an answer, and sends it as JSON. Its permit is free again when the client has taken it.
    ///
    /// # Errors
    /// The question failed, or too many answers are under way.
    pub(crate) async fn json<T: Serialize + Send + 'static>(
        &self,
        question: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<Response, ApiError> {
        let permit = tokio::time::timeout(self.wait, Arc::clone(&self.answers).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            let detail = "too many large answers have not been read by their clients yet; ask again later";
            return Err(ApiError::Unavailable(detail.to_owned()));
        };
        let task = self.thread.spawn(async move {
            let value = question.await?;
            serde_json::to_vec(&value).map_err(|error| ApiError::Unavailable(error.to_string()))
        });
        let json = match AbortOnDropHandle::new(task).await {
            Ok(json) => json?,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return Err(ApiError::Unavailable("the node is leaving".to_owned())),
            },
        };
        let body = axum::body::Body::new(Answer { rest: json.into(), _permit: permit });
        let json = HeaderValue::from_static("application/json");
        Ok(([(header::CONTENT_TYPE, json)], body).into_response())
    }
}

/// An answer that is still to be read.
#[derive(Debug)]
struct Answer {
    rest: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(piece);
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_holds_its_permit_until_it_is_read() {
        let heavy = Heavy::new(&Handle::current(), 1, Duration::from_secs(1));
        let ask = || heavy.json(async { Ok("x".repeat(3 * PIECE_BYTES)) });
        let mut unread = ask().await.unwrap().into_body();
        assert_eq!(unread.size_hint().exact(), Some(3 * PIECE_BYTES as u64 + 2));
        unread.frame().await.unwrap().unwrap();
        assert!(matches!(ask().await, Err(ApiError::Unavailable(_))), "the first one is still unread");
        assert_eq!(unread.collect().await.unwrap().to_bytes().len(), 2 * PIECE_BYTES + 2);
        assert!(ask().await.is_ok());
    }
}
