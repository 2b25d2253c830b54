//! Mailboxes: one list for each user or client, in the slot of the log. Filled by `lua/append.lua` in the same step as
//! the log, emptied by `lua/confirm.lua`.

use super::connection::Ask;
use super::entry::{mail, position};
use super::limits::{MAIL_COUNT, MAIL_TRIES};
use super::log::Redis;
use crate::broker::{Mailbox, StoreError};
use crate::protocol::{Address, Position};
use crate::runtime::clock::{millis, unix_ms};

/// The reply of the server for one mailbox.
struct Messages {
    epoch: Option<String>,
    newest: Option<String>,
    messages: Vec<Vec<u8>>,
    over: Option<u64>,
}

impl Redis {
    /// All messages of a mailbox, read in pieces that are small enough for one answer. `None` if its oldest message
    /// changed meanwhile, because a piece may then be missing.
    async fn messages(&self, owner: &Address) -> Result<Option<Messages>, StoreError> {
        let keys = &self.shared.keys;
        let [list, state] = keys.mailbox(owner);
        let mut messages: Vec<Vec<u8>> = Vec::new();
        loop {
            let from = messages.len();
            let mut script = self.shared.scripts.mail.key(&keys.meta);
            script.key(&list).key(&state).arg(from).arg(from + MAIL_COUNT - 1);
            type Piece = (Vec<Option<String>>, Option<Vec<u8>>, Vec<Vec<u8>>, Option<u64>);
            let (meta, oldest, piece, over): Piece =
                self.shared.commands.ask("read a mailbox", Ask::Script(&script)).await?;
            if from > 0 && oldest.as_ref() != messages.first() {
                return Ok(None);
            }
            let is_last = piece.len() < MAIL_COUNT;
            messages.extend(piece);
            if is_last {
                let [epoch, newest] = <[_; 2]>::try_from(meta).unwrap_or_default();
                return Ok(Some(Messages { epoch, newest, messages, over }));
            }
        }
    }

    pub(in crate::broker) async fn mailbox(&self, owner: &Address) -> Result<Mailbox, StoreError> {
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
            messages = self.messages(owner).await?;
            if messages.is_some() {
                break;
            }
        }
        let changing = || self.shared.error("read a mailbox", "it was emptied faster than it could be read");
        let Messages { epoch, newest, messages, over } = messages.ok_or_else(changing)?;
        let Some(epoch) = epoch.and_then(|epoch| epoch.parse().ok()) else { return Ok(Mailbox::default()) };
        let mut entries: Vec<_> = messages.iter().filter_map(|message| mail(owner, epoch, message)).collect();
        // Messages that are too old count as dropped even before the next sweep removes them.
        let newest = newest.as_deref().and_then(position).unwrap_or_default();
        let now = unix_ms().max(newest.ms);
        let oldest = now.saturating_sub(millis(self.shared.limits.mailbox_max_age));
        let before = entries.len();
        entries.retain(|entry| entry.cursor.position.ms >= oldest);
        let expired = (before - entries.len()) as u64;
        Ok(Mailbox { entries, overflowed: over.unwrap_or(0) + expired })
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
