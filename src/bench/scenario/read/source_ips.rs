//! Reads `source_ips`: local addresses of connections, one by one or as ranges. Read [`parse`] first.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

/// Limit of addresses per text; no machine has more by design.
const ADDRESSES_MAX: u64 = 4_096;
const ALLOWED: &str = "allowed are an IPv4 address, FIRST-LAST, and ranges in parts, as in 127.0.1-8.1";

/// Reads `127.0.0.2`, `127.0.0.2-127.0.0.9`, or `127.0.1-8.1`, which stands for eight addresses.
pub(super) fn parse(text: &str) -> Result<Vec<Ipv4Addr>, String> {
    let refused = |count: Option<u64>| match count {
        Some(count) => format!("{text:?} has {count} addresses; allowed are up to {ADDRESSES_MAX}"),
        None => format!("{text:?} is not a list of addresses; {ALLOWED}"),
    };
    let addresses = match text.split_once('-').map(|(first, last)| (first.parse(), last.parse())) {
        Some((Ok(first), Ok(last))) => between(first, last).map_err(refused)?,
        _ => product(text).map_err(refused)?,
    };
    match addresses.iter().find(|address| !address.is_loopback() && !is_local(**address)) {
        Some(other) => {
            Err(format!("{other} is not an address of this machine; connections need local addresses"))
        }
        None => Ok(addresses),
    }
}

fn between(first: Ipv4Addr, last: Ipv4Addr) -> Result<Vec<Ipv4Addr>, Option<u64>> {
    let (first, last) = (first.to_bits(), last.to_bits());
    let count = u64::from(last.checked_sub(first).ok_or(None)?) + 1;
    if count > ADDRESSES_MAX {
        Err(Some(count))
    } else {
        Ok((first..=last).map(Ipv4Addr::from_bits).collect())
    }
}

/// All combinations of parts, each a number or a range of numbers.
fn product(text: &str) -> Result<Vec<Ipv4Addr>, Option<u64>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u8, u8) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some(first..=last)
    };
    let ranges: Vec<_> = text.split('.').map(range).collect::<Option<_>>().ok_or(None)?;
    let [_, _, _, _] = ranges[..] else { return Err(None) };
    let count = ranges.iter().map(|range| range.len() as u64).product();
    if count > ADDRESSES_MAX {
        return Err(Some(count));
    }
    let extend = |prefixes: Vec<u32>, range: RangeInclusive<u8>| {
        let under = |prefix: u32| range.clone().map(move |byte| (prefix << 8) | u32::from(byte));
        prefixes.into_iter().flat_map(under).collect()
    };
    let addresses = ranges.into_iter().fold(vec![0_u32], extend);
    Ok(addresses.into_iter().map(Ipv4Addr::from_bits).collect())
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
        for text in ["", "127.0.0", "127.0.0.1.1", "127.0.0.300", "127.0.0.9-127.0.0.2", "127.0.0.9-2", "::1"]
        {
            assert!(parse(text).unwrap_err().contains("127.0.1-8.1"), "{text}");
        }
        for (text, count) in [("127.0-255.0-255.1", "65536"), ("127.0.0.1-127.0.16.1", "4097")] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(&format!("{count} addresses; allowed are up to 4096")), "{error}");
        }
        assert!(parse("192.0.2.1").unwrap_err().contains("not an address of this machine"));
    }
}
