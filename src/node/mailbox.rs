//! Messages for those who were away: what is still owed to a client, and what it confirms. Writes to no socket; a
//! message leaves its mailbox here and nowhere else. Read [`unconfirmed`] first.

use std::sync::atomic::Ordering;

use super::connections::Identity;
use super::stream::StreamContext;
use crate::broker::{Entry, PageLimit, StoreError};
use crate::protocol::{Address, Cursor, Epoch};
use crate::runtime::mutant::{self, Mutant};

/// What the mailboxes of this client hold up to a position, in log order; and how many messages they had to drop.
///
/// # Errors
/// The store failed.
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
    // By position alone: a mailbox speaks of the present history, a stream may be about to go over to it.
    messages.retain(|message| message.cursor.position <= up_to.position);
    messages.sort_by_key(|message| message.cursor.position);
    Ok((messages, overflowed))
}

/// Takes everything up to a position out of a mailbox, and counts it where it is still in the window. The position
/// is one that the log has given out: nobody confirms what is yet to come.
///
/// # Errors
/// The store failed; what was not confirmed will be sent again.
pub(crate) async fn confirm(
    context: &StreamContext,
    owner: &Address,
    up_to: Cursor,
) -> Result<u64, StoreError> {
    let mailbox = context.broker.mailbox(owner).await?;
    if mutant::is_on(Mutant::MailStays) || mailbox.entries.is_empty() && mailbox.overflowed == 0 {
        // Nearly everybody, on every reconnect: a read, but no write.
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

/// Where a cursor stands in this history, which is the present one: positions of a lost branch say nothing about it.
async fn in_history(context: &StreamContext, cursor: Cursor, epoch: Epoch) -> Result<Cursor, StoreError> {
    if cursor.epoch == epoch {
        return Ok(cursor);
    }
    let page = context.broker.read_after(cursor, PageLimit::entries(1)).await?;
    Ok(page.sync.map_or(cursor, |sync| sync.to))
}

/// As [`confirm`], where nobody waits for an answer: a failure costs a repetition, never a message.
pub(crate) async fn confirm_or_repeat(context: &StreamContext, owner: &Address, up_to: Cursor) {
    let confirmed = tokio::time::timeout(context.timing.log_read, confirm(context, owner, up_to)).await;
    let failure = match confirmed {
        Ok(Ok(_count)) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the log did not answer in time".to_owned(),
    };
    tracing::warn!(failure, %owner, "a confirmation was not kept; the messages will be sent again");
}
