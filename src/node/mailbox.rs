//! Mailboxes: reads the messages that a client has not confirmed, and removes the ones that it confirms. No other file
//! may remove a message from a mailbox; this one must not write to a socket. Read [`unconfirmed`] first.

use std::sync::atomic::Ordering;

use super::connections::Identity;
use super::stream_context::StreamContext;
use crate::broker::{Entry, PageLimit, StoreError};
use crate::protocol::{Address, Cursor, Epoch};

/// The messages in a stream's mailboxes up to a position, in log order, and the number of messages that the mailboxes
/// had to drop.
///
/// # Errors
/// The log cannot be read.
pub(crate) async fn unconfirmed(
    context: &StreamContext,
    identity: &Identity,
    up_to: Cursor,
) -> Result<(Vec<Entry>, u64), StoreError> {
    let mut messages = Vec::new();
    let mut overflowed = 0;
    for owner in identity.mailboxes() {
        let mailbox = context.broker.mailbox(&owner).await?;
        overflowed += mailbox.overflowed;
        messages.extend(mailbox.entries);
    }
    // By position alone: a mailbox holds positions of the present history, and the stream may still be in an older
    // one.
    messages.retain(|message| message.cursor.position <= up_to.position);
    messages.sort_by_key(|message| message.cursor.position);
    Ok((messages, overflowed))
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
    let mailbox = context.broker.mailbox(owner).await?;
    if mailbox.entries.is_empty() && mailbox.overflowed == 0 {
        // The usual case of a reconnect: one read and no write.
        return Ok(0);
    }
    let epoch = mailbox.entries.first().map_or(context.window.tip().epoch, |entry| entry.cursor.epoch);
    let up_to = in_history(context, up_to, epoch).await?;
    let confirmed = mailbox.entries.iter().filter(|entry| entry.cursor.position <= up_to.position);
    for frame in confirmed.filter_map(|entry| context.window.find(entry.cursor)) {
        frame.confirmed.fetch_add(1, Ordering::Relaxed);
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
