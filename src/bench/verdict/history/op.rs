//! op

use serde::{Deserialize, Serialize};

use crate::bench::ids::{AddressId, NodeIndex, PhaseId, PublisherId, SubscriberId};
use crate::bench::metrics::time::RunTime;
use crate::bench::stamp::Stamp;
use crate::bench::verdict::ledger::{Ending, PublishOutcome};

/// What happened to a client or a publisher, in the words of their books: told to new books in this order, it makes the same
/// books. Times are nanoseconds since the start of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// A client's session began.
    Confirmed {
        /// Who.
        client: SubscriberId,
        /// When.
        at: RunTime,
        /// Whether it had sent a cursor.
        resumed: bool,
    },
    /// Which node serves it.
    ServedBy {
        /// Who.
        client: SubscriberId,
        /// Which.
        node: NodeIndex,
    },
    /// The session ended.
    Disconnected {
        /// Who.
        client: SubscriberId,
        /// When.
        at: RunTime,
    },
    /// An attempt to get a session came to nothing.
    TurnedAway {
        /// Who.
        client: SubscriberId,
        /// When it began.
        began: RunTime,
        /// When it failed.
        at: RunTime,
    },
    /// A `GAP` came.
    Gap {
        /// Who.
        client: SubscriberId,
        /// When.
        at: RunTime,
    },
    /// An event of a run came.
    Event {
        /// Who.
        client: SubscriberId,
        /// When.
        at: RunTime,
        /// Its `id:`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// What it says of itself.
        #[serde(flatten)]
        stamp: Stamp,
    },
    /// An event of no run came.
    Foreign {
        /// Who.
        client: SubscriberId,
        /// When.
        at: RunTime,
    },
    /// The client connects no more.
    Finished {
        /// Who.
        client: SubscriberId,
        /// When.
        at: RunTime,
        /// Why.
        ending: Ending,
    },
    /// A publish was sent: the next number of its series.
    Publish {
        /// By whom.
        publisher: PublisherId,
        /// To whom.
        address: AddressId,
        /// When.
        at: RunTime,
    },
    /// A publish ended.
    Ended {
        /// By whom.
        publisher: PublisherId,
        /// To whom.
        address: AddressId,
        /// Which.
        seq: u64,
        /// When.
        at: RunTime,
        /// How.
        outcome: PublishOutcome,
    },
    /// A publish was due and never sent.
    Dropped {
        /// By whom.
        publisher: PublisherId,
        /// In which phase.
        phase: PhaseId,
    },
}
