//! Mailboxes: reads the messages that a client has not confirmed, and removes the ones that it confirms. No other file
//! may remove a message from a mailbox; this one must not write to a socket. Read [`unconfirmed`] first.

use std::sync::atomic::Ordering;

use super::connections::Identity;
use super::limits::MAIL_PAGE;
use super::stream_context::StreamContext;
use crate::broker::{Entry, MailCursor, PageLimit, StoreError};
use crate::protocol::{Address, Cursor, Epoch, Position};

/// A part of what a stream's mailboxes hold.
#[derive(Debug, Default)]
pub(crate) struct MailPage {
    /// In log order.
    pub(crate) messages: Vec<Entry>,
    /// Messages that the mailboxes had to drop.
    pub(crate) overflowed: u64,
    /// Where the next part begins; `None` if this is the last one.
    pub(crate) next: Option<MailPlace>,
}

/// Where a stream is in its mailboxes, and how far it goes. By positions alone: a mailbox holds positions of the present
/// history, and the stream may still be in an older one.
#[derive(Debug, Clone)]
pub(crate) struct MailPlace {
    mailboxes: Vec<(Address, MailCursor)>,
    up_to: Position,
}

impl MailPlace {
    /// Behind one position, up to another one.
    pub(crate) fn new(identity: &Identity, after: Position, up_to: Position) -> Self {
        let start = MailCursor { after, index: 0 };
        Self { mailboxes: identity.mailboxes().into_iter().map(|owner| (owner, start)).collect(), up_to }
    }
}

/// The next messages in a stream's mailboxes.
///
/// # Errors
/// The log cannot be read.
pub(crate) async fn unconfirmed(
    context: &StreamContext,
    mut place: MailPlace,
) -> Result<MailPage, StoreError> {
    let mut page = MailPage::default();
    // Of two mailboxes one may be read further than the other.
    let mut reached = place.up_to;
    let mut read = Vec::new();
    for (owner, cursor) in &place.mailboxes {
        let mailbox = context.broker.mail_after(owner, *cursor, MAIL_PAGE).await?;
        page.overflowed += mailbox.overflowed;
        if let Some(last) = mailbox.entries.last().filter(|_| mailbox.more) {
            reached = reached.min(last.cursor.position);
        }
        read.push(mailbox);
    }
    for ((_, cursor), mut mailbox) in place.mailboxes.iter_mut().zip(read) {
        mailbox.entries.retain(|message| message.cursor.position <= reached);
        cursor.index = mailbox.index + mailbox.entries.len();
        cursor.after = mailbox.entries.last().map_or(cursor.after, |last| last.cursor.position);
        page.messages.extend(mailbox.entries);
    }
    page.messages.sort_by_key(|message| message.cursor.position);
    page.next = (reached < place.up_to).then_some(place);
    Ok(page)
}

/// Removes every message up to a position from a mailbox, and counts the confirmation of those that are still in the
/// window. The position must be one that the log has assigned. Returns the number of removed messages.
///
/// # Errors
/// The log failed; messages that were not removed are sent again.
pub(crate) async fn confirm(
    context: &StreamContext,
    owner: &Address,
    up_to: Cursor,
) -> Result<u64, StoreError> {
    let mut mailbox = context.broker.mail_after(owner, MailCursor::default(), MAIL_PAGE).await?;
    if mailbox.entries.is_empty() && mailbox.overflowed == 0 {
        // The usual case of a reconnect: one read and no write.
        return Ok(0);
    }
    let epoch = mailbox.entries.first().map_or(context.window.tip().epoch, |entry| entry.cursor.epoch);
    let up_to = in_history(context, up_to, epoch).await?;
    loop {
        let confirmed = mailbox.entries.iter().filter(|entry| entry.cursor.position <= up_to.position);
        for frame in confirmed.filter_map(|entry| context.window.find(entry.cursor)) {
            frame.confirmed.fetch_add(1, Ordering::Relaxed);
        }
        let Some(last) = mailbox.entries.last().map(|last| last.cursor.position) else { break };
        if !mailbox.more || last >= up_to.position {
            break;
        }
        let cursor = MailCursor { after: last, index: mailbox.index + mailbox.entries.len() };
        mailbox = context.broker.mail_after(owner, cursor, MAIL_PAGE).await?;
    }
    let count = context.broker.confirm(owner, up_to.position).await?;
    context.metrics.confirmed.fetch_add(count, Ordering::Relaxed);
    Ok(count)
}

/// Translates a cursor into the present history `epoch`: positions of a lost branch mean nothing there.
async fn in_history(context: &StreamContext, cursor: Cursor, epoch: Epoch) -> Result<Cursor, StoreError> {
    if cursor.epoch == epoch {
        return Ok(cursor);
    }
    let page = context.broker.read_after(cursor, PageLimit::entries(1)).await?;
    Ok(page.sync.map_or(cursor, |sync| sync.to))
}

/// Like [`confirm`], but only logs a failure: messages are then sent again, and none is lost.
pub(crate) async fn confirm_or_repeat(context: &StreamContext, owner: &Address, up_to: Cursor) {
    let confirmed = tokio::time::timeout(context.timing.log_read, confirm(context, owner, up_to)).await;
    let failure = match confirmed {
        Ok(Ok(_count)) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the log did not answer in time".to_owned(),
    };
    tracing::warn!(failure, %owner, "cannot record a confirmation; the messages will be sent again");
}
