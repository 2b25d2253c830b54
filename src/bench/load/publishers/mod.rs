//! Publishers: open loops. Events are sent when they are due, whether or not earlier ones were answered; what is due
//! while too many are unanswered is dropped and counted, never sent late in silence. Read [`Publisher`] first.

pub mod context;
mod publisher;
mod request;
#[cfg(test)]
mod tests;

pub use context::PublishContext;
pub use publisher::{Published, Publisher};
pub use request::{PreparedRequest, Retry, Sent, deliver};
