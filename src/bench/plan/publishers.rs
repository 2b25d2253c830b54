//! What is published when to whom: data, drawn from the seed as it is asked for.

use std::time::Duration;

use crate::bench::scenario::{Mix, Pace, PayloadSize};

use super::{AddressId, PublisherId};

/// One publisher.
#[derive(Debug, Clone, PartialEq)]
pub struct PublisherPlan {
    /// Its number.
    pub id: PublisherId,
    /// Name.
    pub name: String,
    /// When events are due.
    pub pace: Pace,
    /// Publishes without an answer, beyond which one that is due is dropped and counted.
    pub max_in_flight: u32,
    /// Whether a publish waits for the answer to the one before it to the same address. So whenever order is
    /// judged: two publishes in flight at once have no order that could be kept. Latency counts from the due time
    /// all the same.
    pub in_order: bool,
    /// `qos` of every publish.
    pub qos: u8,
    /// Sizes.
    pub payload: PayloadSize,
    /// Shares of the kinds of addresses.
    pub mix: Mix,
    /// The addresses of each kind that clients listen to.
    pub targets: Targets,
    /// Draws come from here.
    pub seed: u64,
}

/// Addresses by kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Targets {
    /// `all`.
    pub broadcast: Vec<AddressId>,
    /// Topics.
    pub topics: Vec<AddressId>,
    /// Users.
    pub users: Vec<AddressId>,
    /// Clients.
    pub clients: Vec<AddressId>,
}

/// An event that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When, since the start of the run.
    pub at: Duration,
    /// For whom.
    pub address: AddressId,
    /// Size of `data`.
    pub bytes: u32,
}

/// The events of one publisher, in order of time. The same each time it is asked for.
#[derive(Debug, Clone)]
pub struct Schedule;

impl PublisherPlan {
    /// All events, in order of time.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        todo!()
    }
}

impl Iterator for Schedule {
    type Item = Due;
    fn next(&mut self) -> Option<Due> {
        todo!()
    }
}
