//! How servers that are none of ours are spoken to: where a stream is, how an event is published, where in a message the
//! payload stands. Pure: makes paths and bodies and reads texts; sends nothing. Where a plan has none, servers speak as
//! `sse-node` does. Read [`Dialect`] first.

#[expect(clippy::module_inception, reason = "the dialect itself, in the room of the dialect")]
mod dialect;
mod pointer;
mod template;
#[cfg(test)]
mod tests;

pub use pointer::{InvalidPointer, Pointer};
pub use template::{InvalidTextTemplate, TextTemplate, Word};

pub use dialect::{BodyForm, Confirm, Dialect, HttpRequest, Ids, Message, Names, PublishTemplate, Resume};
