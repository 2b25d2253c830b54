//! Faults, and their healing. Every applied fault is healed: at its own time, or in reverse order when the run ends or is
//! interrupted. A fault that cannot be applied is an error of the run, never silence.
//! Read [`Timeline`] first.

mod board;
mod link;
mod netns_link;
mod process;
pub mod proxies;
pub mod proxy;
mod redis;
mod timeline;

pub use board::{FaultBoard, FaultStates};
pub use link::Links;
pub use netns_link::NetnsLinks;
pub use process::Processes;
pub use redis::RedisFaults;
pub use timeline::{Injector, Timeline};
