//! Real processes and the users who talk to them. Every wait here has a deadline and polls; nothing sleeps for a
//! fixed time, uses a fixed port, or ends a process that it did not start. Read [`Node`] first.

mod client;
mod directory;
mod log;
mod node;
pub(crate) mod openmetrics;
mod raw;
mod redis;
mod skip;
mod wait;

pub(crate) use client::{Subscriber, closing, envelope, flood, gap, http, https, payload};
pub(crate) use directory::{directory, file};
pub(crate) use log::OfflineLog;
pub(crate) use node::{Answer, Node, Output, TLS, api_key, own_address, run};
pub(crate) use raw::{Raw, Reply, events};
pub(crate) use redis::{Redis, free_port};
pub(crate) use skip::skip;
pub(crate) use wait::{PATIENCE, eventually, within};
