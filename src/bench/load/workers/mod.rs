//! A swarm in several processes: where one process may not have enough open files, or when a run is told to. Each worker
//! is this program again, has every so-manieth client of the plan, and knows nothing but its own; the parent has the
//! nodes, the publishers and the faults, and judges all books as if they were one process's. A history in full has a part
//! of each of them, beside the parent's.
//!
//! - [`wire`]: what parent and worker say to each other, over the worker's stdin and stdout.
//! - [`worker`]: the life of a worker.
//! - [`pool`]: the parent's side: starts workers, relays orders, collects their books.
//!
//! Must never pass over a worker that is gone: a run that lacks books is not a run. Read [`WorkerPool`] first.

pub mod coordinator;
pub mod partition;
pub mod protocol;
pub mod worker;

pub use coordinator::{WorkerPool, WorkerPoolError, WorkerSpec};
pub use partition::workers_for;
