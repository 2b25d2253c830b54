//! Reads `source_ips`: local addresses of connections, one by one or as ranges. Read [`parse`] first.

use std::net::Ipv4Addr;

/// Limit of addresses per text; no machine has more by design.
const ADDRESSES_MAX: usize = 4_096;
const ALLOWED: &str = "allowed are an IPv4 address, FIRST-LAST, and ranges in parts, as in 127.0.1-8.1";

/// Reads `127.0.0.2`, `127.0.0.2-127.0.0.9`, or `127.0.1-8.1`, which stands for eight addresses.
pub(super) fn parse(text: &str) -> Result<Vec<Ipv4Addr>, String> {
    let refused = || format!("{text:?} is not a list of addresses; {ALLOWED}");
    let addresses = match text.split_once('-').map(|(first, last)| (first.parse(), last.parse())) {
        Some((Ok(first), Ok(last))) => between(first, last).ok_or_else(refused)?,
        _ => product(text).ok_or_else(refused)?,
    };
    match addresses.iter().find(|address| !address.is_loopback() && !is_local(**address)) {
        Some(other) => {
            Err(format!("{other} is not an address of this machine; connections need local addresses"))
        }
        None => Ok(addresses),
    }
}

fn between(first: Ipv4Addr, last: Ipv4Addr) -> Option<Vec<Ipv4Addr>> {
    let (first, last) = (first.to_bits(), last.to_bits());
    let count = usize::try_from(last.checked_sub(first)?).ok()?;
    (count < ADDRESSES_MAX).then(|| (first..=last).map(Ipv4Addr::from_bits).collect())
}

/// All combinations of parts, each a number or a range of numbers.
fn product(text: &str) -> Option<Vec<Ipv4Addr>> {
    let mut addresses = vec![0_u32];
    for part in text.split('.') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u8, u8) = (first.parse().ok()?, last.parse().ok()?);
        let extend = |prefix: u32| (first..=last).map(move |byte| (prefix << 8) | u32::from(byte));
        addresses = addresses.into_iter().flat_map(extend).collect();
        if addresses.is_empty() || addresses.len() > ADDRESSES_MAX {
            return None;
        }
    }
    (text.split('.').count() == 4).then(|| addresses.into_iter().map(Ipv4Addr::from_bits).collect())
}

/// Whether a socket can be bound to the address.
fn is_local(address: Ipv4Addr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let addresses: Vec<String> = parse(text).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(addresses, expected);
    }

    #[test]
    fn addresses_are_one_or_a_range_or_ranges_in_their_parts() {
        check("127.0.0.2", &["127.0.0.2"]);
        check("127.0.0.254-127.0.1.1", &["127.0.0.254", "127.0.0.255", "127.0.1.0", "127.0.1.1"]);
        check("127.0.1-3.1", &["127.0.1.1", "127.0.2.1", "127.0.3.1"]);
        check("127.0.1-2.8-9", &["127.0.1.8", "127.0.1.9", "127.0.2.8", "127.0.2.9"]);
    }

    #[test]
    fn what_is_no_address_of_this_machine_is_refused() {
        for text in
            ["", "127.0.0", "127.0.0.1.1", "127.0.0.300", "127.0.0.9-127.0.0.2", "127.0-255.0-255.1", "::1"]
        {
            assert!(parse(text).unwrap_err().contains("127.0.1-8.1"), "{text}");
        }
        assert!(parse("192.0.2.1").unwrap_err().contains("not an address of this machine"));
    }
}
