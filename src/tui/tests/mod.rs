//! Tests of the console as a whole: messages in, frames out.

mod alerts;
mod frames;
mod panics;
mod random;
mod recording;
mod sizes;
