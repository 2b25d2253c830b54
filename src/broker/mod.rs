//! The log. This page is the contract that every broker keeps; one suite (`tests/contract`) checks them all.
//!
//! - **Append** is one atomic step: de-duplicate by message id, number the entry, keep it, put it into the mailbox if
//!   it asks for that. When [`Broker::append`] returns, the log has the event: kept in memory by `memory:`, written to
//!   the operating system by `file:` (survives the death of the process), or on the disk with `--durability fsync`.
//! - **Positions** strictly increase, also when the clock goes backwards, and none is given out twice, not even after a
//!   loss of power that took the newest ones away. So a log that did not end in order may go on a few seconds ahead of
//!   the clock: order by positions, tell the time by envelopes.
//! - **Idempotency**: the same message id within the window gives the first position again and adds nothing, whatever
//!   else the repeat says, and also after the first entry was trimmed.
//! - **Read after a cursor** is the only way to read: live, replay, and a follower that was away. An answer that cannot
//!   be complete says so ([`Page::gap`]), and why: *trimmed* (the entries after the cursor are no longer kept), *epoch*
//!   (the cursor belongs to another history), *rollback* (the cursor's own entry is not in the log although its
//!   neighbours are, or lies beyond the newest: the log lost its tail). A cursor is sound when it is the start of the
//!   history, the last trimmed entry, or an entry that is kept. Reading resumes so that no kept entry is left out: at
//!   the oldest kept entry, or after a rollback behind the newest kept entry before the cursor.
//! - **Trim** by count, bytes and age, oldest first, by age also without an append. A reader that misses entries
//!   because of it gets the gap *trimmed*, never silence. Ages go by the log's time: the clock's, but never before the
//!   newest position.
//! - **Epoch**: `memory:` has a new one in every process; `file:` keeps it in the directory.
//! - **Mailbox** of a user or client: the undelivered `qos: 1` messages, oldest first, in log order, bounded by count
//!   and age; the trim of the log does not touch them. Overflow drops the oldest messages and counts them until a
//!   confirmation reaches the newest dropped one. The count is forgotten when its owner does not read it within the age
//!   limit of messages.
//!
//! - **Roster**: which nodes share the log and are alive ([`roster`]). It is not part of the log.
//!
//! A broker knows nothing of connections. Read [`Broker`] first.

mod bounds;
pub mod embedded;
mod entry;
mod error;
pub mod history;
pub mod limits;
mod log;
mod page;
pub mod publisher;
pub mod redis;
pub mod roster;
#[cfg(test)]
mod tests;
pub mod url;

pub use bounds::{Bounds, Condition, Lost, Repairs};
pub use embedded::Embedded;
pub use entry::{Appended, Entry, NewEvent};
pub use error::{AppendError, OpenError, StoreError};
pub use history::{Origins, Synced};
pub use limits::{Durability, LogLimits, PageLimit};
pub use log::{Broker, Follower};
pub use page::{MailCursor, Mailbox, Missing, Page};
pub use publisher::Publisher;
pub use redis::Redis;
pub use roster::Alive;
pub use url::{BrokerUrl, InvalidBrokerUrl};
