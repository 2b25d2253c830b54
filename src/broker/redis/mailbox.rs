//! What waits for those who are away: a list of each user or client, in the slot of the log. Filled by `lua/append.lua`
//! in the same step as the log, emptied by `lua/confirm.lua`.

use super::entry::{mail, position};
use super::link::Ask;
use super::log::{Redis, millis, unix_ms};
use crate::broker::{Mailbox, StoreError};
use crate::protocol::{Address, Position};

impl Redis {
    pub(in crate::broker) async fn mailbox(&self, owner: &Address) -> Result<Mailbox, StoreError> {
        if !owner.has_mailbox() {
            return Ok(Mailbox::default());
        }
        let keys = &self.shared.keys;
        let [list, state] = keys.mailbox(owner);
        let mut all = redis::pipe();
        all.atomic();
        all.cmd("HGET").arg(&keys.meta).arg("e");
        all.cmd("HGET").arg(&keys.meta).arg("newest");
        all.cmd("LRANGE").arg(list).arg(0).arg(-1);
        all.cmd("HGET").arg(state).arg("over");
        let (epoch, newest, messages, over): (Option<String>, Option<String>, Vec<Vec<u8>>, Option<u64>) =
            self.shared.line.ask("read a mailbox", Ask::Pipeline(&all)).await?;
        let Some(epoch) = epoch.and_then(|epoch| epoch.parse().ok()) else { return Ok(Mailbox::default()) };
        let mut entries: Vec<_> = messages.iter().filter_map(|message| mail(owner, epoch, message)).collect();
        // What is too old counts as dropped, though the next sweep has yet to drop it.
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
            return Err(self.shared.error("confirm", "the log is closed"));
        }
        let keys = &self.shared.keys;
        let [list, state] = keys.mailbox(owner);
        let mut script = self.shared.scripts.confirm.key(&keys.meta);
        script.key(&keys.boxes).key(list).key(state);
        script.arg(owner.to_string()).arg(up_to.ms).arg(up_to.seq);
        self.shared.line.ask("confirm", Ask::Script(&script)).await
    }
}
