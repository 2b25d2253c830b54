//! Publishers are open loops: an event is sent when it is due, whether or not earlier ones were answered, unless the plan
//! serialises those to one address (`in_order`). An event that is due while `max_in_flight` events are unanswered is dropped and counted; it must never be sent late without a trace. Read
//! [`Publisher`] first.

pub mod context;
mod publisher;
mod request;
#[cfg(test)]
mod tests;

pub use context::PublishContext;
pub use publisher::{Published, Publisher};
pub use request::{PreparedRequest, Retry, Sent, deliver};
