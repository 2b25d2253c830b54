//! Free ports for child nodes, outside the range from which the kernel takes the local ports of outgoing connections.
//! Inside that range a client's own connection may take a node's port while the node is down, so that it cannot come
//! back; and a client that dials a dead node may be given the node's port as its own and connect to itself.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use rand::{Rng, RngExt as _};

/// Text in the error of a server whose port is in use: another process took a port that was free a moment ago.
pub const TAKEN: &str = "Address already in use";
/// Where Linux says which ports it hands out.
const RANGE_FILE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// The range that Linux ships, for when it cannot be read.
const DEFAULT_RANGE: (u16, u16) = (32_768, 60_999);
/// Lowest port to choose; the ports below belong to well-known services.
const LOWEST: u16 = 10_240;
/// Number of binds tried before the outgoing range is used after all.
const TRIES: usize = 64;

/// The first and the last port that the kernel gives to outgoing connections.
#[must_use]
pub fn outgoing_range() -> (u16, u16) {
    std::fs::read_to_string(RANGE_FILE).ok().and_then(|text| parse_range(&text)).unwrap_or(DEFAULT_RANGE)
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next()?, numbers.next()?) {
        (Ok(first), Ok(last)) if first <= last => Some((first, last)),
        _ => None,
    }
}

/// A loopback address with a port that is free at this moment.
///
/// # Errors
/// The system has no free port.
pub fn free_address(rng: &mut impl Rng) -> std::io::Result<SocketAddr> {
    free_address_of(Ipv4Addr::LOCALHOST, rng)
}

/// An address with a free port, on another local address.
///
/// # Errors
/// The system has no free port.
pub fn free_address_of(host: Ipv4Addr, rng: &mut impl Rng) -> std::io::Result<SocketAddr> {
    let (first_outgoing, last_outgoing) = outgoing_range();
    let candidates = allowed(first_outgoing, last_outgoing);
    if !candidates.is_empty() {
        for _ in 0..TRIES {
            let port = rng.random_range(candidates.clone());
            if let Ok(address) = try_bind(host, port) {
                return Ok(address);
            }
        }
    }
    try_bind(host, 0)
}

/// Ports to choose from: below the outgoing range, or above it where there is no room below.
fn allowed(first_outgoing: u16, last_outgoing: u16) -> std::ops::Range<u16> {
    if first_outgoing > LOWEST { LOWEST..first_outgoing } else { last_outgoing.saturating_add(1)..u16::MAX }
}

fn try_bind(host: Ipv4Addr, port: u16) -> std::io::Result<SocketAddr> {
    TcpListener::bind((host, port))?.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    #[test]
    fn the_range_is_read_as_linux_writes_it() {
        assert_eq!(parse_range("32768\t60999\n"), Some((32_768, 60_999)));
        assert_eq!(parse_range("60999 32768"), None);
        assert_eq!(parse_range(""), None);
        assert_eq!(parse_range("1 70000"), None);
    }

    #[test]
    fn a_node_never_listens_where_outgoing_connections_get_their_ports() {
        let (first, last) = outgoing_range();
        let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(1);
        for _ in 0..20 {
            let port = free_address(&mut rng).unwrap().port();
            assert!(port < first || port > last, "{port}");
        }
    }

    #[test]
    fn a_range_from_the_bottom_leaves_the_ports_above_it() {
        assert_eq!(allowed(1_024, 60_999), 61_000..u16::MAX);
        assert!(allowed(1_024, 65_535).is_empty());
    }
}
