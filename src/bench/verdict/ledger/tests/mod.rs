//! The verifier is itself verified: histories made by hand, each with one fault of the server that must be named,
//! and honest ones that must be acquitted.

mod content;
mod faults;
mod history;
mod honest;
mod id_order;
mod mutations;
mod overlaps;
mod probes;
mod replays;
mod silence;
mod size;
mod wicked;
