//! The wire format: events, their addresses, their positions in the log, and how they are written and read as
//! `text/event-stream`. Pure: never awaits, never reads a clock, never touches a socket. Read [`Cursor`] first, then
//! [`Envelope`], then [`encode`].

pub mod address;
pub mod api;
pub mod cursor;
pub mod decode;
pub mod encode;
pub mod event;
pub mod filter;
mod format;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub mod guard;
pub mod host;
pub mod name;
pub mod path;
mod short_id;

pub use address::Address;
pub use cursor::{Cursor, Epoch, EventId, Position, Resume, SpelledId};
pub use decode::{Decoder, Item, LimitExceeded, Limits, Pending};
pub use encode::{EncodedEvent, Frame, RetryMs};
pub use event::{Envelope, EventType, MessageId};
pub use filter::{Fields, Filter, InvalidFilter};
pub use format::Format;
pub use name::{ClientId, ConnectionId, InvalidName, NodeId, Topic, UserId};
