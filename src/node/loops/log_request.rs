//! What a loop cannot do itself, because it waits: reads of the log for one stream, and confirmations. A request takes
//! the feed of its stream along and brings it back. Read [`Offload::run`] first.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use tokio::time::Instant;

use super::handle::{LoopHandle, Message};
use super::portion::{Portion, confirmed, gap_frame, mail_portion, sync_frame};
use crate::broker::{Missing, Page, PageLimit};
use crate::net::Key;
use crate::node::close::CloseCode;
use crate::node::connections::{AckMode, Connection};
use crate::node::feed::{Accepted, Feed};
use crate::node::limits::TAIL_PAUSE;
use crate::node::mailbox::{MailPlace, confirm_or_repeat, unconfirmed};
use crate::node::stream_context::StreamContext;
use crate::node::window::Form;
use crate::protocol::api::{GapEvent, GapReason};
use crate::protocol::{Address, Cursor};

/// What is asked of the log.
#[derive(Debug, Default)]
pub(crate) enum Question {
    /// Nothing: it was answered.
    #[default]
    Answered,
    /// The page after a cursor.
    Page { after: Cursor, limit: PageLimit },
    /// What else the client must get before it is told of a gap.
    Gap(Missing),
    /// The next part of the mail that the client gets before anything else.
    Mail(Box<Backlog>),
}

/// Mail that a stream gets before anything else of the log, read as it is written.
#[derive(Debug)]
pub(crate) struct Backlog {
    pub(crate) place: MailPlace,
    /// Messages that the mailboxes had dropped when the client was told of that.
    pub(crate) overflowed: u64,
    /// What comes behind the last of it.
    pub(crate) then: Portion,
}

/// What a stream gets after a question.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    pub(crate) portion: Portion,
    /// What must be asked next.
    pub(crate) backlog: Option<Box<Backlog>>,
}

impl From<Portion> for Delivery {
    fn from(portion: Portion) -> Self {
        Self { portion, backlog: None }
    }
}

/// A question to the log for one stream.
#[derive(Debug)]
pub(crate) struct LogRequest {
    pub(super) key: Key,
    pub(super) handle: Arc<LoopHandle>,
    pub(super) connection: Arc<Connection>,
    pub(super) form: Form,
    pub(super) ack: AckMode,
    pub(super) feed: Box<Feed>,
    /// The position of the stream before the question.
    pub(super) known: Cursor,
    pub(crate) question: Question,
}

/// Work that a loop leaves to a task.
#[derive(Debug)]
pub(crate) enum Offload {
    /// A page or mailboxes, for one stream.
    Ask(LogRequest),
    /// Records what was written with `ack=written`.
    Confirm(Vec<(Address, Cursor)>),
}

impl Offload {
    /// Does the work, and waits as long as it takes.
    pub(crate) async fn run(self, context: Arc<StreamContext>) {
        match self {
            Self::Ask(request) => request.run(&context).await,
            Self::Confirm(written) => {
                for (owner, cursor) in written {
                    confirm_or_repeat(&context, &owner, cursor).await;
                }
            }
        }
    }
}

/// Why the stream must end.
pub(crate) type Failure = (CloseCode, &'static str);

const UNREADABLE: Failure = (CloseCode::LogUnavailable, "the log cannot be read");
const TIMEOUT: Failure = (CloseCode::LogUnavailable, "the log did not answer in time");

impl LogRequest {
    /// Asks the log, and tells the loop what to write.
    async fn run(self, context: &StreamContext) {
        let page = match self.question {
            Question::Gap(_) | Question::Mail(_) | Question::Answered => Ok(None),
            Question::Page { after, limit } => {
                let read =
                    tokio::time::timeout(context.timing.log_read, read_page(context, after, limit)).await;
                read.unwrap_or(Err(TIMEOUT)).map(Some)
            }
        };
        self.answer(context, page).await;
    }

    /// Tells the loop what to write, now that the log has answered.
    pub(crate) async fn answer(mut self, context: &StreamContext, page: Result<Option<Page>, Failure>) {
        let outcome = match (page, std::mem::take(&mut self.question)) {
            (Err(failure), _) => Err(failure),
            (Ok(Some(page)), _) => self.page(context, &page).await,
            (Ok(None), Question::Gap(missing)) => self.gap(context, missing, Portion::default()).await,
            (Ok(None), Question::Mail(backlog)) => self.mail(context, *backlog).await,
            (Ok(None), Question::Page { .. } | Question::Answered) => Ok(Delivery::default()),
        };
        self.handle.send(Message::Answer(self.key, self.feed, outcome));
    }

    async fn page(&mut self, context: &StreamContext, page: &Page) -> Result<Delivery, Failure> {
        let Accepted { sync, gap, frames } = self.feed.accept(page, Instant::now());
        let mut wire = BytesMut::new();
        for frame in &frames {
            wire.extend_from_slice(frame.bytes(self.form));
        }
        let written = frames.iter().map(|frame| (&frame.address, frame.cursor));
        let events = Portion {
            wire: wire.freeze(),
            events: frames.len() as u64,
            told: frames.last().map(|frame| frame.cursor),
            confirms: confirmed(self.ack, &self.connection.identity, &written),
            frame: None,
        };
        let mut delivery = match gap {
            Some(missing) => self.gap(context, missing, events).await?,
            None => events.into(),
        };
        if let Some(sync) = sync {
            context.metrics.syncs.fetch_add(1, Ordering::Relaxed);
            let sync = Portion::new(self.form.framing.wrap(sync_frame(&sync)), None);
            delivery.portion = sync.then(delivery.portion);
        }
        if page.entries.is_empty() && self.feed.is_replaying() {
            // At the end of a history, where the tail has not arrived yet.
            tokio::time::sleep(TAIL_PAUSE).await;
        }
        Ok(delivery)
    }

    /// A `GAP`, and before it the mailbox messages that the log has trimmed: its `id:` would otherwise confirm them
    /// undelivered.
    async fn gap(
        &self,
        context: &StreamContext,
        missing: Missing,
        behind: Portion,
    ) -> Result<Delivery, Failure> {
        let event = GapEvent {
            reason: missing.reason,
            requested: Some(self.known.to_string()),
            oldest: Some(missing.resumed_after.to_event_id()),
            newest: Some(context.window.tip().to_event_id()),
            missed: missing.missed,
        };
        context.metrics.count_gap(missing.reason);
        let id = missing.resumed_after.spelled(self.form.format);
        let gap = self.form.framing.wrap(gap_frame(&event, Some(id)));
        let then = Portion::new(gap, Some(missing.resumed_after)).then(behind);
        let (known, up_to) = (self.known.position, missing.resumed_after.position);
        let place = MailPlace::new(&self.connection.identity, known, up_to);
        // Of what the mailboxes have dropped the client is told when it comes.
        self.mail(context, Backlog { place, overflowed: u64::MAX, then }).await
    }

    /// The next part of the mail, and behind the last one what follows.
    async fn mail(&self, context: &StreamContext, backlog: Backlog) -> Result<Delivery, Failure> {
        let Backlog { place, overflowed, then } = backlog;
        let read = async {
            let _permit = context.replay_permits.acquire().await.map_err(|_closed| UNREADABLE)?;
            unconfirmed(context, place).await.map_err(|error| {
                tracing::warn!(%error, "cannot read the mailboxes of a stream");
                UNREADABLE
            })
        };
        let page = tokio::time::timeout(context.timing.log_read, read).await.unwrap_or(Err(TIMEOUT))?;
        context.metrics.mailbox_resent.fetch_add(page.messages.len() as u64, Ordering::Relaxed);
        let mut portion = mail_portion(&page.messages, self.form, (self.ack, &self.connection.identity));
        if page.overflowed > overflowed {
            // Dropped while the messages before them were being written.
            context.metrics.count_gap(GapReason::Overflow);
            let gap = gap_frame(&GapEvent::overflow(page.overflowed - overflowed), None);
            portion = Portion::new(self.form.framing.wrap(gap), None).then(portion);
        }
        let overflowed = overflowed.max(page.overflowed);
        Ok(match page.next {
            Some(place) => Delivery { portion, backlog: Some(Box::new(Backlog { place, overflowed, then })) },
            None => portion.then(then).into(),
        })
    }
}

/// Reads a page of the log under a permit, so that many reconnects at once do not overload the log.
async fn read_page(context: &StreamContext, after: Cursor, limit: PageLimit) -> Result<Page, Failure> {
    let _permit = context.replay_permits.acquire().await.map_err(|_closed| UNREADABLE)?;
    context.metrics.replay_pages.fetch_add(1, Ordering::Relaxed);
    context.broker.read_after(after, limit).await.map_err(|error| {
        tracing::warn!(%error, "a replay cannot read the log");
        UNREADABLE
    })
}
