//! The log in Redis: a stream that several nodes follow. The only room that names the `redis` crate.
//!
//! - One stream is the log. A *batch* of publishes is one script: de-duplicate by message id, number, append, trim,
//!   put into mailboxes (`lua/append.lua`). All keys share a hash tag, so a script may touch all of them, also in a
//!   Redis Cluster; every key is declared.
//! - Connections are our own ([`connection`]): opened with a deadline, asked with PING (answers LOADING, which ROLE
//!   does not) and ROLE, dropped at the first error, opened again with jitter for ever. The crate's connection
//!   manager and its cluster client lose their way in failovers (measured), and both re-send commands that may have
//!   been carried out. A response is awaited for less time than a failover takes to be noticed, because a master that
//!   was stopped and continues would acknowledge events that are thrown away a moment later.
//! - **Term**: the time of one server as master, from its promotion or start on. No append is accepted in a term until
//!   a node has closed the history before it, at the newest entry that this server has (`lua/begin.lua`). Everything
//!   that the old master had beyond that is then known to be lost, exactly and for ever: ids are compared only within
//!   an epoch, and a cursor of the old epoch is either before its end, or on the branch that was lost.
//! - **Repair**: a node that had read beyond the end of the old history appends what was lost again, out of its memory
//!   of the newest entries ([`recent_entries`]), by message id and so once, however many nodes do it. A node whose own
//!   publishes were acknowledged and not yet read back publishes these again ([`in_flight`]). Each such entry carries
//!   its earlier places, so that no client that had it there gets it again.
//!
//! One silent loss remains: Redis loses its newest entries, and every node that had read or published them dies before
//! Redis comes back. No process knows of them then, and no client gets a GAP.
//!
//! Read [`Redis`] first, then `follower`.

mod command_connection;
mod connection;
mod entry;
mod finder;
mod follower;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod in_flight;
mod info;
mod keys;
mod limits;
mod log;
mod mailbox;
mod meta;
mod permissions;
mod probe;
mod recent_entries;
mod roster;
mod scripts;
mod setup;
mod sweeper;
#[cfg(test)]
mod tests;
mod url;
mod writer;

pub use follower::Follower;
pub use log::Redis;
pub use url::{RedisUrl, Server, Topology};
