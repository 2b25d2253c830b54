//! Limits on open streams: per node, per user and per address, and a rate. A refusal is cheap and comes before any
//! part of the stream is built. Read [`Admission::admit`] first.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::close::CloseCode;
use super::token_bucket::TokenBucket;
use crate::protocol::UserId;

/// Limits on open streams; 0 means no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdmissionLimits {
    /// Streams of the node.
    pub(crate) connections: usize,
    /// Streams of one user.
    pub(crate) per_user: usize,
    /// Streams from one peer address.
    pub(crate) per_address: usize,
    /// New streams per second.
    pub(crate) per_second: u32,
}

/// Why a stream is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AdmissionError {
    #[error("the node has reached its limit of {0} streams (--max-connections)")]
    Node(usize),
    #[error("this user has reached the limit of {0} streams (--max-connections-per-user)")]
    User(usize),
    #[error("this address has reached the limit of {0} streams (--max-connections-per-address)")]
    Address(usize),
    #[error("more than {0} streams were opened in one second (--accept-rate)")]
    Rate(u32),
}

impl AdmissionError {
    /// The code of the `CLOSE` that the client gets.
    pub(crate) fn code(self) -> CloseCode {
        match self {
            Self::Node(_) | Self::User(_) | Self::Address(_) => CloseCode::ConnectionLimit,
            Self::Rate(_) => CloseCode::TooManyRequests,
        }
    }
}

/// Counts open streams. Clones share the counts.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    limits: AdmissionLimits,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug)]
struct Counts {
    open: usize,
    users: HashMap<UserId, usize>,
    addresses: HashMap<IpAddr, usize>,
    /// The streams of one second.
    rate: TokenBucket,
}

/// Permission for one stream; dropping it frees its place.
#[derive(Debug)]
pub(crate) struct Admitted {
    counts: Arc<Mutex<Counts>>,
    /// `None` where no limit counts users or addresses: a stream costs no memory for what nobody asks.
    counted: Option<Box<Counted>>,
}

/// What a stream is counted under.
#[derive(Debug)]
struct Counted {
    user: Option<UserId>,
    address: IpAddr,
}

impl Admission {
    /// Counts no stream yet.
    pub(crate) fn new(limits: AdmissionLimits, now: Instant) -> Self {
        let counts = Counts {
            open: 0,
            users: HashMap::new(),
            addresses: HashMap::new(),
            rate: TokenBucket::full(limits.per_second, now),
        };
        Self { limits, counts: Arc::new(Mutex::new(counts)) }
    }

    /// Takes a place for one stream.
    ///
    /// # Errors
    /// [`AdmissionError`] names the limit.
    pub(crate) fn admit(
        &self,
        user: Option<&UserId>,
        address: IpAddr,
        now: Instant,
    ) -> Result<Admitted, AdmissionError> {
        let limits = self.limits;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |count: usize, limit: usize| limit > 0 && count >= limit;
        if full(counts.open, limits.connections) {
            return Err(AdmissionError::Node(limits.connections));
        }
        if user.is_some_and(|user| full(counts.users.get(user).copied().unwrap_or(0), limits.per_user)) {
            return Err(AdmissionError::User(limits.per_user));
        }
        if full(counts.addresses.get(&address).copied().unwrap_or(0), limits.per_address) {
            return Err(AdmissionError::Address(limits.per_address));
        }
        if limits.per_second > 0 && counts.rate.take(limits.per_second, now).is_err() {
            return Err(AdmissionError::Rate(limits.per_second));
        }
        counts.open += 1;
        let is_counted = limits.per_user > 0 || limits.per_address > 0;
        let counted = is_counted.then(|| Box::new(Counted { user: user.cloned(), address }));
        if let Some(counted) = &counted {
            *counts.addresses.entry(address).or_default() += 1;
            if let Some(user) = &counted.user {
                *counts.users.entry(user.clone()).or_default() += 1;
            }
        }
        Ok(Admitted { counts: Arc::clone(&self.counts), counted })
    }
}

/// Counts one less under a key, and forgets the key with its last one.
pub(super) fn release<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.open -= 1;
        let Some(counted) = &self.counted else { return };
        release(&mut counts.addresses, &counted.address);
        if let Some(user) = &counted.user {
            release(&mut counts.users, user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn limits(connections: usize, per_user: usize, per_address: usize, per_second: u32) -> AdmissionLimits {
        AdmissionLimits { connections, per_user, per_address, per_second }
    }

    #[tokio::test(start_paused = true)]
    async fn each_limit_refuses_by_its_name_and_a_dropped_place_is_free_again() {
        let user = UserId::parse("u").unwrap();
        let now = Instant::now();
        let check = |limits, expected: AdmissionError| {
            let admission = Admission::new(limits, now);
            let held = admission.admit(Some(&user), HOME, now).unwrap();
            assert_eq!(admission.admit(Some(&user), HOME, now).unwrap_err(), expected);
            drop(held);
            if limits.per_second == 0 {
                assert!(admission.admit(Some(&user), HOME, now).is_ok());
            }
        };
        check(limits(1, 0, 0, 0), AdmissionError::Node(1));
        check(limits(9, 1, 0, 0), AdmissionError::User(1));
        check(limits(9, 9, 1, 0), AdmissionError::Address(1));
        check(limits(9, 0, 1, 0), AdmissionError::Address(1));
        check(limits(9, 9, 9, 1), AdmissionError::Rate(1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_recovers_with_time() {
        let admission = Admission::new(limits(0, 0, 0, 10), Instant::now());
        let mut open = Vec::new();
        while let Ok(place) = admission.admit(None, HOME, Instant::now()) {
            open.push(place);
        }
        assert_eq!(open.len(), 10);
        tokio::time::advance(Duration::from_millis(250)).await;
        assert!(admission.admit(None, HOME, Instant::now()).is_ok());
    }
}
