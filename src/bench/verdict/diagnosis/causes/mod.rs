//! The causes, a file for each place to look at. Each function returns what it found, with the anomalies that this explains.

pub(super) mod connects;
pub(super) mod events;
pub(super) mod expectations;
pub(super) mod replay;
pub(super) mod streams;
