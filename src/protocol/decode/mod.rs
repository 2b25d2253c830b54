//! Reads `text/event-stream` as the HTML standard 9.2.6 has it: bytes in, items out. No I/O, no clock, no panic on
//! any input, time linear in the bytes however they are split, memory bounded by [`Limits`].
//! Read [`Decoder`] first.

mod decoder;
mod line;

pub use decoder::{Decoder, Item, LimitExceeded, Limits, Pending};

#[cfg(test)]
mod tests;
