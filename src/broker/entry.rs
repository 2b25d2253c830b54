//! An event before it is in the log, and as an entry of it. Read [`NewEvent`] first, then [`Entry`].

use std::sync::Arc;

use super::Origins;
use crate::protocol::{Address, Cursor, EventType, MessageId};

/// An event on its way into the log.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Identity of the message; a repeated one is answered with the first position.
    pub message_id: MessageId,
    /// Connections or mailboxes that receive it.
    pub address: Address,
    /// The `event:` on the wire.
    pub event_type: EventType,
    /// The envelope as JSON, which becomes the `data:` of the event.
    pub envelope: Arc<str>,
    /// Keep it in the mailbox of its address too, until confirmed (`qos: 1`). Only for addresses that have one.
    pub mailbox: bool,
    /// The message id was made for this event, and the event was never appended: the log need not look for an earlier
    /// one.
    pub fresh: bool,
}

/// An event in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub cursor: Cursor,
    /// Identity of the message.
    pub message_id: MessageId,
    /// Connections or mailboxes that receive it.
    pub address: Address,
    /// The `event:` on the wire.
    pub event_type: EventType,
    /// The envelope as JSON.
    pub envelope: Arc<str>,
    /// Where the message stood before it was lost and appended again.
    pub origins: Origins,
}

/// The log has the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Where it stands.
    pub cursor: Cursor,
    /// It was there already, under the same message id.
    pub duplicate: bool,
}
