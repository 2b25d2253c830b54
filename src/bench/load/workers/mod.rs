//! Clients in several processes, for scenarios that need more open files than one process may have, or on request.
//! Each worker is this program again and runs every n-th client of the plan. The parent has the nodes, publishers and
//! faults, and judges the ledgers of all workers together. In a full history, each worker writes a part of its own.
//!
//! - [`protocol`]: the messages between parent and worker, over the worker's stdin and stdout.
//! - [`worker`]: the worker's side.
//! - [`coordinator`]: the parent's side: starts workers, relays commands, collects ledgers.
//!
//! A worker that is gone must never go unnoticed: a run without its ledgers is not valid. Read [`WorkerPool`] first.

pub mod coordinator;
mod lost_workers;
pub mod partition;
pub mod protocol;
pub mod worker;
mod worker_handle;

pub use coordinator::WorkerPool;
pub use lost_workers::LostWorkers;
pub use partition::workers_for;
pub use worker_handle::{WorkerPoolError, WorkerSpec};
