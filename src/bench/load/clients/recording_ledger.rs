//! A client's book, and beside it, where the history is stored in full, a line for everything that it is told.

use crate::bench::ids::{AddressId, NodeIndex};
use crate::bench::metrics::time::RunTime;
use crate::bench::stamp::{Foreign, Stamp};
use crate::bench::verdict::history::{HistoryWriter, Op, OpSender};
use crate::bench::verdict::ledger::{Arrival, Ending, SubscriberLedger};

/// Told what a [`SubscriberLedger`] is told.
#[derive(Debug)]
pub(super) struct RecordingLedger {
    book: SubscriberLedger,
    /// `None`: nobody wants to know every arrival.
    ops: Option<OpSender>,
}

impl RecordingLedger {
    pub(super) fn new(book: SubscriberLedger, writer: Option<&HistoryWriter>) -> Self {
        Self { book, ops: writer.map(HistoryWriter::op_sender) }
    }

    pub(super) fn confirmed(&mut self, at: RunTime, resumed: bool) {
        self.book.confirmed(at, resumed);
        let client = self.book.id();
        self.write(|| Op::Confirmed { client, at, resumed });
    }

    pub(super) fn served_by(&mut self, node: NodeIndex) {
        self.book.served_by(node);
        let client = self.book.id();
        self.write(|| Op::ServedBy { client, node });
    }

    pub(super) fn disconnected(&mut self, at: RunTime) {
        self.book.disconnected(at);
        let client = self.book.id();
        self.write(|| Op::Disconnected { client, at });
    }

    pub(super) fn turned_away(&mut self, began: RunTime, at: RunTime) {
        self.book.record_failed_attempt(began, at);
        let client = self.book.id();
        self.write(|| Op::AttemptFailed { client, began, at });
    }

    pub(super) fn gap(&mut self, at: RunTime) {
        self.book.gap(at);
        let client = self.book.id();
        self.write(|| Op::Gap { client, at });
    }

    pub(super) fn event(&mut self, at: RunTime, id: Option<&str>, data: &str) -> Arrival {
        match Stamp::decode(data) {
            Ok(stamp) => self.arrive(at, id, stamp),
            Err(Foreign) => self.foreign(at),
        }
    }

    pub(super) fn arrive(&mut self, at: RunTime, id: Option<&str>, stamp: Stamp) -> Arrival {
        let client = self.book.id();
        self.write(|| Op::Event { client, at, id: id.map(str::to_owned), stamp });
        self.book.arrive(at, id, stamp)
    }

    pub(super) fn foreign(&mut self, at: RunTime) -> Arrival {
        let client = self.book.id();
        self.write(|| Op::Foreign { client, at });
        self.book.foreign(at)
    }

    pub(super) fn sentinels_missing(&self, published: &[AddressId]) -> usize {
        self.book.sentinels_missing(published)
    }

    /// Waits where the disk is behind.
    pub(super) async fn hand_in_many(&mut self) {
        if let Some(ops) = &mut self.ops {
            ops.flush_if_full().await;
        }
    }

    /// The client connects no more: hands in the rest, and gives the book.
    pub(super) async fn finish(mut self, at: RunTime, ending: Ending) -> SubscriberLedger {
        self.book.finish(at, ending);
        let client = self.book.id();
        self.write(|| Op::Finished { client, at, ending });
        if let Some(ops) = &mut self.ops {
            ops.flush().await;
        }
        self.book
    }

    fn write(&mut self, line: impl FnOnce() -> Op) {
        if let Some(ops) = &mut self.ops {
            ops.write(line());
        }
    }
}
