//! Tests of every broker: the contract suite, and the Redis servers that tests start. Read [`contract`] first.

mod contract;
pub(in crate::broker) mod redis_server;
