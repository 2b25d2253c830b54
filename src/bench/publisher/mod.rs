//! Publishers: open loops. Events are sent when they are due, whether or not earlier ones were answered; what is due
//! while too many are unanswered is dropped and counted, never sent late in silence. Read [`Publisher`] first.

mod parcel;
mod work;

#[cfg(test)]
mod tests;

pub use parcel::{Parcel, Retry, Sent, deliver};
pub use work::{Desk, Published, Publisher};
