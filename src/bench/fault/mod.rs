//! What is broken on purpose, and its mending. Every fault that was applied is healed: at its own time, or in reverse
//! order when the run is over or interrupted. A fault that cannot be applied is an error of the run, never silence.
//! Read [`Timeline`] first.

mod cable;
mod link;
mod process;
mod states;
mod store;
mod timeline;

pub use cable::Cables;
pub use link::Links;
pub use process::Processes;
pub use states::{FaultBoard, FaultStates};
pub use store::Stores;
pub use timeline::{Injector, Timeline};
