//! The load of a run: clients, publishers and worker processes, and the checks whether the bench itself was the limit.

pub mod adhoc;
pub mod adhoc_swarm;
pub mod balancer;
pub mod clients;
pub mod hostile;
pub mod lag;
pub mod listen_queue;
pub mod probes;
pub mod progress;
pub mod publishers;
mod refusal;
pub mod saturation;
pub mod tls;
pub mod workers;
