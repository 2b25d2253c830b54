//! What one virtual client saw. Told of every event as it arrives; answers what it was, so that the client can
//! record its latency.

use std::time::Duration;

use crate::bench::clock::RunTime;
use crate::bench::payload::{Foreign, RunId, Stamp};
use crate::bench::plan::{AddressId, SubscriberPlan};

/// How an event reached the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// It was due while the session was open.
    Live,
    /// It was due before the session was confirmed: the server read it again for this client.
    Replay,
}

/// What an arrival was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The first time. Its latency counts.
    New {
        /// What it says of itself.
        stamp: Stamp,
        /// How it came.
        path: Path,
        /// For the first new event after a stream was lost: how long ago that was.
        recovered_after: Option<Duration>,
    },
    /// It was here before.
    Repeated {
        /// In this very session.
        in_session: bool,
    },
    /// The last event of an address.
    Sentinel(AddressId),
    /// Addressed to somebody else.
    Leaked,
    /// Of another run.
    OtherRun,
    /// Of no run.
    Foreign,
}

/// Why a client connects no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The plan said so, or the run was over and the stream was open.
    Planned,
    /// Its stream ended, and its policy is not to come back.
    NoReconnect,
    /// Its policy gave up (a browser after a 503, …): the server made it go away for good.
    GaveUp,
    /// It was still trying when the run was over.
    Unreachable,
}

/// The book of one virtual client.
#[derive(Debug, Clone)]
pub struct SubscriberLedger {
    run: RunId,
}

impl SubscriberLedger {
    /// An empty book.
    #[must_use]
    pub fn new(plan: &SubscriberPlan, run: RunId) -> Self {
        let _ = plan;
        Self { run }
    }

    /// A session begins: the `CONNECTION` event came. `resumed`: the client had sent a cursor.
    pub fn confirmed(&mut self, at: RunTime, resumed: bool) {
        let _ = (at, resumed, self.run);
        todo!()
    }

    /// The session is over: the stream ended or broke, whoever did it.
    pub fn disconnected(&mut self, at: RunTime) {
        let _ = at;
        todo!()
    }

    /// The server said that something cannot be replayed.
    pub fn gap(&mut self, at: RunTime) {
        let _ = at;
        todo!()
    }

    /// An event with its `id:` and `data:`; not for the node's own control events.
    pub fn event(&mut self, at: RunTime, id: Option<&str>, data: &str) -> Arrival {
        match Stamp::decode(data) {
            Ok(stamp) => self.arrive(at, id, stamp),
            Err(Foreign) => todo!(),
        }
    }

    /// The same for an event whose stamp is known already.
    pub fn arrive(&mut self, at: RunTime, id: Option<&str>, stamp: Stamp) -> Arrival {
        let _ = (at, id, stamp);
        todo!()
    }

    /// The client connects no more.
    pub fn finish(&mut self, at: RunTime, ending: Ending) {
        let _ = (at, ending);
        todo!()
    }

    /// Of these addresses (sorted), those that are its own and whose sentinel has not come.
    #[must_use]
    pub fn sentinels_missing(&self, published: &[AddressId]) -> usize {
        let _ = published;
        todo!()
    }
}
