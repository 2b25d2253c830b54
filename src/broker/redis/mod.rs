//! The log in Redis: a stream that several nodes follow. The only room that names the `redis` crate.
//!
//! - One stream is the log. A *batch* of publishes is one script: de-duplicate by message id, number, append, trim,
//!   put into mailboxes (`lua/append.lua`). All keys share a hash tag, so a script may touch all of them, also in a
//!   Redis Cluster; every key is declared.
//! - Connections are our own ([`link`]): opened with a deadline, asked with PING (answers LOADING, which ROLE does not)
//!   and ROLE, dropped at the first sign of trouble, opened again with jitter for ever. The crate's connection manager
//!   and its cluster client lose their way in failovers (measured), and both re-send what may have been carried out.
//!   A response is awaited for less time than a failover takes to be noticed, or a master that was stopped and
//!   continues would acknowledge what is thrown away a moment later.
//! - **Term**: the rule of one server as master, from its promotion or start on. No append is accepted in a term until
//!   somebody has closed the history before it, at the newest entry that this server has (`lua/begin.lua`). So
//!   whatever the old master had beyond that is known to be lost, exactly and for ever: ids are compared only within an
//!   epoch, and a cursor of the old epoch is either before its end, or on the branch that was lost.
//! - **Repair**: a node that had read beyond the end of the old history appends what was lost again, out of its memory
//!   of the newest entries ([`recent`]), by message id and so once, however many nodes do it. A node whose own publishes
//!   were acknowledged and not yet read back publishes these again ([`unread`]). Each such entry says where it stood
//!   before, so that whoever has had it there is spared a repetition.
//!
//! What remains: the tail of Redis is lost, and every node that had read it, or published it, dies before it comes
//! back. Then nobody knows, and nobody is told.
//!
//! Read [`Redis`] first, then `follower`.

mod entry;
mod follower;
mod history;
mod info;
mod keys;
mod limits;
mod link;
mod log;
mod mailbox;
mod probe;
mod recent;
mod roster;
mod scripts;
#[cfg(test)]
pub(in crate::broker) mod server;
mod setup;
mod sweeper;
#[cfg(test)]
mod tests;
mod unread;
mod url;
mod writer;

pub use follower::Follower;
pub use log::Redis;
pub use url::{RedisUrl, Server, Topology};
