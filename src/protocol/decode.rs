//! Reads `text/event-stream` (HTML standard 9.2.6): bytes in, items out, no I/O.

/// Reads a stream.
#[derive(Debug, Default)]
pub struct Decoder;
/// What a stream holds.
#[derive(Debug)]
pub enum Item {}
