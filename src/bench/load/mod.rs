//! The load of a run: clients, publishers, the processes that share them, and what says whether the bench itself was the limit.

pub mod adhoc;
pub mod balancer;
pub mod clients;
pub mod lag;
pub mod progress;
pub mod publishers;
pub mod saturation;
pub mod tls;
pub mod workers;
