//! A line of the full history: what happened to one client or publisher. Knows neither files nor queues. Read [`Op`] first.

use serde::{Deserialize, Serialize};

use crate::bench::ids::{AddressId, NodeIndex, PhaseId, PublisherId, SubscriberId};
use crate::bench::metrics::time::RunTime;
use crate::bench::stamp::Stamp;
use crate::bench::verdict::ledger::{Ending, PublishOutcome};

/// A call that changed a ledger. The operations of a history, applied in order to empty ledgers, make the same ledgers
/// again. `at` and `began` are nanoseconds since the start of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// A session of a client began: the `CONNECTION` event arrived.
    Confirmed {
        client: SubscriberId,
        at: RunTime,
        /// Whether the client had sent a cursor.
        resumed: bool,
        /// When the client sent its request; `None`: it was not recorded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        began: Option<RunTime>,
    },
    /// The node that serves the current session became known.
    ServedBy { client: SubscriberId, node: NodeIndex },
    /// The session ended.
    Disconnected { client: SubscriberId, at: RunTime },
    /// An attempt to get a session, begun at `began`, failed at `at`.
    #[serde(rename = "turned_away")]
    AttemptFailed { client: SubscriberId, began: RunTime, at: RunTime },
    /// A `GAP` event arrived.
    Gap { client: SubscriberId, at: RunTime },
    /// An event with a stamp arrived, of this run or another.
    Event {
        client: SubscriberId,
        at: RunTime,
        /// The SSE `id:`; `None` where the event had none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// The SSE `event:`, `message` where the event had none; `None`: it was not recorded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<String>,
        #[serde(flatten)]
        stamp: Stamp,
    },
    /// The client dropped a stream that was open and lacked what it was sent, to connect again.
    Rechecks { client: SubscriberId, at: RunTime },
    /// The server answered that connect with a stream.
    Reopened { client: SubscriberId },
    /// An event arrived whose payload is not the one that was published.
    Altered {
        client: SubscriberId,
        at: RunTime,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<String>,
        /// `None`: it is not known which event it was.
        stamp: Option<Stamp>,
    },
    /// An event without a stamp arrived.
    Foreign { client: SubscriberId, at: RunTime },
    /// The client will not connect again.
    Finished { client: SubscriberId, at: RunTime, ending: Ending },
    /// A publish was sent; its number is the next one of its series.
    Publish { publisher: PublisherId, address: AddressId, at: RunTime },
    /// The publish number `seq` of its series ended.
    Ended { publisher: PublisherId, address: AddressId, seq: u64, at: RunTime, outcome: PublishOutcome },
    /// A publish was due in `phase` and never sent.
    Dropped { publisher: PublisherId, phase: PhaseId },
}
