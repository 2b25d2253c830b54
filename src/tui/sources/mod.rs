//! The sources of messages: tasks that poll nodes, read a stream, follow a bench run or play a recording. Read
//! `tasks` first.

pub(crate) mod clock;
pub(crate) mod fetch;
pub(crate) mod follow_run;
pub(crate) mod mask;
pub(crate) mod poll_connections;
pub(crate) mod poll_nodes;
pub(crate) mod recording;
pub(crate) mod stream_events;
pub(crate) mod tasks;
#[cfg(test)]
pub(crate) mod tests;
