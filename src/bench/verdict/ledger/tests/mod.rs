//! The verifier is itself verified: histories made by hand, each with one fault of the server that must be named,
//! and honest ones that must be acquitted.

mod faults;
mod history;
mod honest;
mod mutations;
mod overlaps;
mod size;
mod wicked;
