//! The swarm and the judge. A scenario (file) becomes a plan (timeline), a plan becomes a run (execution), a run a
//! report, a report a verdict.
//!
//! The first half is pure: no task, no socket, no clock; everything that happened is told to it, with its time. The
//! second half is what tasks, sockets and clocks do: [`run`] knows everyone in it.
//! Read [`scenario::Scenario`], [`plan::Plan`], [`ledger`] in this order, then [`verdict::Verdict`].

pub mod clock;
pub mod history;
pub mod ledger;
pub mod metric;
pub mod pacer;
pub mod payload;
pub mod plan;
mod queues;
pub mod recorder;
pub mod report;
pub mod scenario;
pub mod series;
pub mod threshold;
mod thresholds;
pub mod verdict;

pub mod balance;
pub mod cli;
pub mod cluster;
pub mod dialect;
pub mod doctor;
pub mod fault;
pub mod gateway;
pub mod generator;
pub mod latencies;
pub mod live;
mod panic;
pub mod progress;
pub mod proxy;
pub mod publisher;
pub mod run;
pub mod site;
pub mod stopwatch;
pub mod store;
pub mod strain;
pub mod stranger;
pub mod swarm;
pub mod trust;
pub mod wiring;
pub mod workers;
