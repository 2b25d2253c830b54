//! The places for sockets: how many there are, how many one address may have, and who is closed when they run short:
//! whoever has waited longest without a request. A stream keeps its place. Read [`Sockets::place`] first.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tokio::sync::Notify;

use super::admission::release;
use super::limits::SHED_TIME;
use super::metrics::Metrics;

/// How many sockets there may be, and whose are not counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct SocketLimits {
    /// Sockets that may be open at once.
    pub(crate) open: usize,
    /// Sockets of one address; 0 means no limit.
    pub(crate) per_address: usize,
    /// Proxies, whose addresses have no limit, as this machine has none.
    pub(crate) trusted: Vec<IpNet>,
}

/// Why a socket gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// Its address has as many as it may have.
    Address,
    /// All are taken, and none of them waits for a request.
    Full,
}

/// The places of a node. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Sockets(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: SocketLimits,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: usize,
    addresses: HashMap<IpAddr, usize>,
    /// The connections that wait for a request, by the number of their wait: the longest first.
    waiting: BTreeMap<u64, Arc<Notify>>,
    waits: u64,
}

/// A place for one socket; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    sockets: Sockets,
    /// `None` where nothing limits the address: a stream costs no memory for what nobody asks.
    address: Option<Box<IpAddr>>,
}

impl Sockets {
    pub(crate) fn new(limits: SocketLimits, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared { limits, metrics, state: Mutex::default(), freed: Notify::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A holder only counts, so a panic leaves the numbers whole.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a socket from this address. When all are taken, whoever has waited longest for a request loses its own.
    ///
    /// # Errors
    /// [`NoPlace`] says which limit is reached.
    pub(crate) async fn place(&self, address: IpAddr) -> Result<Place, NoPlace> {
        let refused = loop {
            match self.take(address) {
                Ok(place) => return Ok(place),
                Err(NoPlace::Full) if self.shed() => {
                    // One that has just got a request serves that first; then the next one is asked.
                    if tokio::time::timeout(SHED_TIME, self.0.freed.notified()).await.is_err() {
                        tracing::debug!("a connection that was to end has got a request");
                    }
                }
                Err(refused) => break refused,
            }
        };
        let count = self.0.metrics.count_refused_socket(refused);
        // The first, the second, the fourth, … so that a crowd does not fill the log.
        if count.is_power_of_two() {
            let (why, limits) = match refused {
                NoPlace::Address => ("--max-sockets-per-address", "; name proxies in --trusted-proxy"),
                NoPlace::Full => ("--max-connections", ""),
            };
            tracing::warn!(%address, count, "a connection was refused because of {why}{limits}");
        }
        Err(refused)
    }

    /// A place, if one is free.
    ///
    /// # Errors
    /// [`NoPlace`] says which limit is reached.
    pub(crate) fn take(&self, address: IpAddr) -> Result<Place, NoPlace> {
        let limits = &self.0.limits;
        let address = self.counted(address);
        let mut state = self.lock();
        let of_address = address.as_ref().and_then(|address| state.addresses.get(address));
        if of_address.is_some_and(|count| *count >= limits.per_address) {
            return Err(NoPlace::Address);
        }
        if state.open >= limits.open {
            return Err(NoPlace::Full);
        }
        state.open += 1;
        if let Some(address) = address {
            *state.addresses.entry(address).or_default() += 1;
        }
        Ok(Place { sockets: self.clone(), address: address.map(Box::new) })
    }

    /// The address that a socket is counted under, if it is.
    fn counted(&self, address: IpAddr) -> Option<IpAddr> {
        let SocketLimits { per_address, trusted, .. } = &self.0.limits;
        let address = address.to_canonical();
        let is_free =
            *per_address == 0 || address.is_loopback() || trusted.iter().any(|net| net.contains(&address));
        (!is_free).then(|| match address {
            IpAddr::V4(_) => address,
            // Whoever has one address of IPv6 has 2^64.
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        })
    }

    /// Asks the connection that has waited longest for a request to end. Returns whether there is one.
    fn shed(&self) -> bool {
        let longest = self.lock().waiting.pop_first();
        let Some((_, connection)) = longest else { return false };
        self.0.metrics.sockets_shed.fetch_add(1, Ordering::Relaxed);
        connection.notify_one();
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.sockets.lock();
        state.open -= 1;
        if let Some(address) = &self.address {
            release(&mut state.addresses, address);
        }
        drop(state);
        self.sockets.0.freed.notify_one();
    }
}

/// A connection that waits for a request, or serves one.
#[derive(Debug)]
pub(crate) struct Waiting {
    sockets: Sockets,
    asked_to_end: Arc<Notify>,
    /// The number of the wait; 0 while it serves a request.
    wait: AtomicU64,
}

impl Waiting {
    /// A connection that waits for its first request.
    pub(crate) fn new(sockets: &Sockets) -> Self {
        let waiting =
            Self { sockets: sockets.clone(), asked_to_end: Arc::default(), wait: AtomicU64::default() };
        waiting.waits();
        waiting
    }

    /// It waits for the next request.
    pub(crate) fn waits(&self) {
        let mut state = self.sockets.lock();
        state.waits += 1;
        let wait = state.waits;
        state.waiting.insert(wait, Arc::clone(&self.asked_to_end));
        self.wait.store(wait, Ordering::Relaxed);
    }

    /// It has got a request.
    pub(crate) fn serves(&self) {
        let wait = self.wait.swap(0, Ordering::Relaxed);
        self.sockets.lock().waiting.remove(&wait);
    }

    /// Completes when the connection must end for others.
    pub(crate) async fn asked_to_end(&self) {
        self.asked_to_end.notified().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.serves();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::time::Instant;

    use super::*;

    /// Places without limits.
    pub(crate) fn unlimited() -> Sockets {
        sockets(usize::MAX, 0)
    }

    /// Places with these limits.
    pub(crate) fn sockets(open: usize, per_address: usize) -> Sockets {
        let trusted = vec!["10.1.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let metrics = Arc::new(Metrics::new(Instant::now()));
        Sockets::new(SocketLimits { open, per_address, trusted }, metrics)
    }

    #[test]
    fn an_address_has_its_limit_and_this_machine_and_proxies_have_none() {
        for (first, second, is_one) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8::1", "2001:db8::ffff:0:0:2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("127.0.0.1", "127.0.0.1", false),
            ("::1", "::1", false),
            ("10.1.2.3", "10.1.2.3", false),
            ("::ffff:10.1.2.3", "10.1.2.3", false),
            ("10.2.0.1", "10.2.0.1", true),
            ("fd00::1", "fd00::1", false),
        ] {
            let sockets = sockets(9, 1);
            let [first_ip, second_ip] = [first, second].map(|text| text.parse().unwrap());
            let place = sockets.take(first_ip).unwrap();
            let refused = sockets.take(second_ip).err();
            assert_eq!(refused, is_one.then_some(NoPlace::Address), "{first} and {second}");
            drop(place);
            assert!(sockets.take(second_ip).is_ok(), "{second}");
            let state = sockets.lock();
            assert_eq!((state.open, state.addresses.len()), (0, 0), "nothing is left");
        }
    }

    #[tokio::test]
    async fn whoever_has_waited_longest_without_a_request_makes_room() {
        let (sockets, address) = (sockets(3, 0), IpAddr::from([192, 0, 2, 1]));
        let connect = async || {
            let place = sockets.place(address).await.unwrap();
            (place, Waiting::new(&sockets))
        };
        let (serves, waits, newest) = (connect().await, connect().await, connect().await);
        serves.1.serves();
        let ends = async move {
            waits.1.asked_to_end().await;
            drop(waits);
        };
        let (place, ()) = tokio::join!(sockets.place(address), ends);
        let place = place.unwrap();
        assert_eq!(sockets.0.metrics.sockets_shed.load(Ordering::Relaxed), 1);
        newest.1.serves();
        assert_eq!(sockets.place(address).await.err(), Some(NoPlace::Full), "nobody waits");
        newest.1.waits();
        drop((serves, newest, place));
        let state = sockets.lock();
        assert_eq!((state.open, state.waiting.len()), (0, 0), "nothing is left");
    }
}
