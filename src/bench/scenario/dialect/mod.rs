//! The wire format of servers other than `sse-node`: paths of streams, requests that publish, and the place of the
//! payload in a message. Pure: makes paths and bodies and reads texts; sends nothing. A plan without a dialect has
//! servers that speak as `sse-node` does. Read [`Dialect`] first.

#[expect(clippy::module_inception, reason = "the type that the module is named after")]
mod dialect;
mod locate;
mod pointer;
mod statuses;
mod template;
#[cfg(test)]
mod tests;

pub use locate::Locator;
pub use pointer::{InvalidPointer, Pointer};
pub use statuses::Statuses;
pub use template::{InvalidTextTemplate, Placeholder, TextTemplate};

pub use dialect::{
    BodyForm, Confirm, Dialect, HttpRequest, IdOrder, Ids, Message, Names, PublishTemplate, Resume,
};
