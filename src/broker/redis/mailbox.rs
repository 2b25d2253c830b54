//! Mailboxes: one list for each user or client, in the slot of the log. Filled by `lua/append.lua` in the same step as
//! the log, emptied by `lua/confirm.lua`.

use super::connection::Ask;
use super::entry::{mail, position};
use super::limits::{MAIL_COUNT, MAIL_FIRST, MAIL_TRIES};
use super::log::Redis;
use crate::broker::{Entry, MailCursor, Mailbox, PageLimit, StoreError};
use crate::protocol::{Address, Position};
use crate::runtime::clock::{millis, unix_ms};

/// The reply of the server for one mailbox.
#[derive(Default)]
struct Messages {
    entries: Vec<Entry>,
    /// Messages before them.
    index: usize,
    more: bool,
    /// Messages that were dropped, and those that are too old.
    dropped: u64,
}

impl Redis {
    /// Messages of a mailbox behind a cursor, read in pieces that are small enough for one answer. `None` if its oldest
    /// message changed meanwhile, because a piece may then be missing.
    async fn messages(
        &self,
        owner: &Address,
        cursor: MailCursor,
        limit: PageLimit,
    ) -> Result<Option<Messages>, StoreError> {
        let keys = &self.shared.keys;
        let [list, state] = keys.mailbox(owner);
        // With the one before, which shows whether the index is still right.
        let mut from = cursor.index.saturating_sub(1);
        let mut is_sure = from == 0;
        let (mut first, mut bytes, mut expired, mut found) = (None, 0, 0, Messages::default());
        loop {
            // Few at first, since each may be large.
            let count = (2 * found.entries.len()).clamp(MAIL_FIRST, MAIL_COUNT);
            let mut script = self.shared.scripts.mail.key(&keys.meta);
            script.key(&list).key(&state).arg(from).arg(from + count - 1);
            type Piece = (Vec<Option<String>>, Option<Vec<u8>>, Vec<Vec<u8>>, Option<u64>);
            let (meta, oldest, piece, over): Piece =
                self.shared.commands.ask("read a mailbox", Ask::Script(&script)).await?;
            if *first.get_or_insert_with(|| oldest.clone()) != oldest {
                return Ok(None);
            }
            let [epoch, newest] = <[_; 2]>::try_from(meta).unwrap_or_default();
            let Some(epoch) = epoch.and_then(|epoch| epoch.parse().ok()) else {
                return Ok(Some(Messages::default()));
            };
            // Messages that are too old count as dropped even before the next sweep removes them.
            let newest = newest.as_deref().and_then(position).unwrap_or_default();
            let age = millis(self.shared.limits.mailbox_max_age);
            let oldest = unix_ms().max(newest.ms).saturating_sub(age);
            let before = piece.first().and_then(|message| mail(owner, epoch, message));
            let is_right = before.is_some_and(|before| before.cursor.position == cursor.after);
            if !std::mem::replace(&mut is_sure, true) && !is_right {
                // Messages before it have gone since.
                from = 0;
                continue;
            }
            let is_last = piece.len() < count;
            for (index, message) in piece.iter().enumerate() {
                let Some(entry) = mail(owner, epoch, message) else { continue };
                if entry.cursor.position <= cursor.after {
                    continue;
                }
                if entry.cursor.position.ms < oldest {
                    expired += 1;
                    continue;
                }
                if found.entries.is_empty() {
                    found.index = from + index;
                }
                bytes += message.len() as u64;
                let is_full = found.entries.len() >= limit.entries || bytes > limit.bytes;
                if is_full && !found.entries.is_empty() {
                    found.more = true;
                    break;
                }
                found.entries.push(entry);
            }
            if is_last || found.more {
                found.dropped = over.unwrap_or(0) + expired;
                return Ok(Some(found));
            }
            from += piece.len();
        }
    }

    #[cfg(test)]
    pub(in crate::broker) async fn mailbox(&self, owner: &Address) -> Result<Mailbox, StoreError> {
        self.mail_after(owner, MailCursor::default(), PageLimit::entries(usize::MAX)).await
    }

    pub(in crate::broker) async fn mail_after(
        &self,
        owner: &Address,
        cursor: MailCursor,
        limit: PageLimit,
    ) -> Result<Mailbox, StoreError> {
        if !owner.has_mailbox() {
            return Ok(Mailbox::default());
        }
        // Most mailboxes are empty. One that is filled after this look has messages that stand in the log, too.
        let mut exists = redis::cmd("EXISTS");
        self.shared.keys.mailbox(owner).iter().for_each(|key| {
            exists.arg(key);
        });
        let found: u64 = self.shared.commands.ask("read a mailbox", Ask::Command(&exists)).await?;
        if found == 0 {
            return Ok(Mailbox::default());
        }
        let mut messages = None;
        for _ in 0..MAIL_TRIES {
            messages = self.messages(owner, cursor, limit).await?;
            if messages.is_some() {
                break;
            }
        }
        let changing = || self.shared.error("read a mailbox", "it was emptied faster than it could be read");
        let Messages { entries, index, more, dropped } = messages.ok_or_else(changing)?;
        Ok(Mailbox { entries, index, more, overflowed: dropped })
    }

    pub(in crate::broker) async fn confirm(
        &self,
        owner: &Address,
        up_to: Position,
    ) -> Result<u64, StoreError> {
        if !owner.has_mailbox() {
            return Ok(0);
        }
        if self.shared.tasks.token().is_cancelled() {
            return Err(self.shared.error("confirm mailbox messages", "the log is closed"));
        }
        let keys = &self.shared.keys;
        let [list, state] = keys.mailbox(owner);
        let mut script = self.shared.scripts.confirm.key(&keys.meta);
        script.key(&keys.boxes).key(list).key(state);
        script.arg(owner.to_string()).arg(up_to.ms).arg(up_to.seq);
        self.shared.commands.ask("confirm mailbox messages", Ask::Script(&script)).await
    }
}
