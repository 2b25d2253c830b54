//! The ledger of a client. With a full history, each entry is also written there. Judges nothing. Read [`RecordingLedger`]
//! first.

use crate::bench::ids::{AddressId, NodeIndex};
use crate::bench::metrics::time::RunTime;
use crate::bench::stamp::{Stamp, Unreadable};
use crate::bench::verdict::history::{HistoryWriter, Op, OpSender};
use crate::bench::verdict::ledger::{Arrival, Ending, Fields, SubscriberLedger};

/// A [`SubscriberLedger`] that also writes each entry to the full history.
#[derive(Debug)]
pub(super) struct RecordingLedger {
    ledger: SubscriberLedger,
    /// `None`: there is no full history.
    ops: Option<OpSender>,
}

impl RecordingLedger {
    pub(super) fn new(ledger: SubscriberLedger, writer: Option<&HistoryWriter>) -> Self {
        Self { ledger, ops: writer.map(HistoryWriter::op_sender) }
    }

    pub(super) fn confirmed(&mut self, at: RunTime, resumed: bool, began: RunTime) {
        self.ledger.confirmed(at, resumed);
        self.ledger.requested(began);
        let client = self.ledger.id();
        self.write(|| Op::Confirmed { client, at, resumed, began: Some(began) });
    }

    pub(super) fn served_by(&mut self, node: NodeIndex) {
        self.ledger.served_by(node);
        let client = self.ledger.id();
        self.write(|| Op::ServedBy { client, node });
    }

    pub(super) fn disconnected(&mut self, at: RunTime) {
        self.ledger.disconnected(at);
        let client = self.ledger.id();
        self.write(|| Op::Disconnected { client, at });
    }

    /// The client drops a stream that is open and lacks what it was sent, to connect again.
    pub(super) fn rechecks(&mut self, at: RunTime) {
        self.ledger.rechecks(at);
        let client = self.ledger.id();
        self.write(|| Op::Rechecks { client, at });
    }

    /// The server answered a connect with a stream.
    pub(super) fn opened(&mut self) {
        if self.ledger.opened() {
            let client = self.ledger.id();
            self.write(|| Op::Reopened { client });
        }
    }

    pub(super) fn failed_attempt(&mut self, began: RunTime, at: RunTime) {
        self.ledger.record_failed_attempt(began, at);
        let client = self.ledger.id();
        self.write(|| Op::AttemptFailed { client, began, at });
    }

    pub(super) fn gap(&mut self, at: RunTime) {
        self.ledger.gap(at);
        let client = self.ledger.id();
        self.write(|| Op::Gap { client, at });
    }

    pub(super) fn arrive(&mut self, at: RunTime, fields: Fields<'_>, stamp: Stamp) -> Arrival {
        let client = self.ledger.id();
        self.write(|| {
            let (id, event) = owned(fields);
            Op::Event { client, at, id, event, stamp }
        });
        self.ledger.arrive(at, fields, stamp)
    }

    pub(super) fn unreadable(&mut self, at: RunTime, fields: Fields<'_>, why: Unreadable) -> Arrival {
        let client = self.ledger.id();
        self.write(|| match why {
            Unreadable::Foreign => Op::Foreign { client, at },
            Unreadable::Altered(stamp) => {
                let (id, event) = owned(fields);
                Op::Altered { client, at, id, event, stamp }
            }
        });
        self.ledger.unreadable(at, fields, why)
    }

    pub(super) fn sentinels_missing(&self, published: &[AddressId]) -> usize {
        self.ledger.sentinels_missing(published)
    }

    /// Sends entries to the writer of the history once there are many. Waits while the disk is behind.
    pub(super) async fn hand_in_many(&mut self) {
        if let Some(ops) = &mut self.ops {
            ops.flush_if_full().await;
        }
    }

    /// As [`Self::hand_in_many`], without waiting. Returns whether the client may read on.
    pub(super) fn try_hand_in_many(&mut self) -> bool {
        self.ops.as_mut().is_none_or(OpSender::try_flush_if_full)
    }

    /// Ends the ledger of a client that does not connect again.
    pub(super) async fn finish(mut self, at: RunTime, ending: Ending) -> SubscriberLedger {
        self.ledger.finish(at, ending);
        let client = self.ledger.id();
        self.write(|| Op::Finished { client, at, ending });
        if let Some(ops) = &mut self.ops {
            ops.flush().await;
        }
        self.ledger
    }

    fn write(&mut self, op: impl FnOnce() -> Op) {
        if let Some(ops) = &mut self.ops {
            ops.write(op());
        }
    }
}

/// `id:` and `event:`, for the history.
fn owned(fields: Fields<'_>) -> (Option<String>, Option<String>) {
    (fields.id.map(str::to_owned), fields.event.map(str::to_owned))
}
