//! Whom a proxy speaks for. Only a proxy that the node trusts is believed. Read [`client_address`] first.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

/// The address of the client: of the peer, or what a trusted proxy says in `X-Forwarded-For`. Read from the right, where the
/// nearest proxy writes; what stands before the first address that is no proxy may come from anybody.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return peer;
    }
    let values = headers.get_all("x-forwarded-for").iter().rev();
    let parts = values.flat_map(|value| HeaderValue::to_str(value).unwrap_or_default().rsplit(','));
    for part in parts {
        let Some(address) = address(part.trim()) else { break };
        client = address;
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// Some proxies add the port.
fn address(text: &str) -> Option<IpAddr> {
    let alone = text.parse().ok();
    alone
        .or_else(|| text.parse().ok().map(|with_port: SocketAddr| with_port.ip()))
        .map(|it| it.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, forwarded: &[&str], expected: &str) {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let headers = forwarded
            .iter()
            .map(|value| (http::header::HeaderName::from_static("x-forwarded-for"), value.parse().unwrap()));
        let headers = headers.collect();
        let found = client_address(peer.parse().unwrap(), &headers, &trusted);
        assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
    }

    #[test]
    fn the_last_address_that_is_no_proxy_is_the_client() {
        check("192.0.2.1", &[], "192.0.2.1");
        check("192.0.2.1", &["198.51.100.9"], "192.0.2.1");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.9"], "198.51.100.9");
        check("::ffff:10.0.0.1", &["198.51.100.9"], "198.51.100.9");
        check("10.0.0.1", &["203.0.113.66, 198.51.100.9, 10.0.0.2"], "198.51.100.9");
        check("10.0.0.1", &["203.0.113.66", "198.51.100.9:4711"], "198.51.100.9");
        check("10.0.0.1", &["[2001:db8::1]:4711, 10.0.0.2"], "2001:db8::1");
        check("10.0.0.1", &["203.0.113.66, unknown"], "10.0.0.1");
        check("10.0.0.1", &["unknown, 10.0.0.2"], "10.0.0.2");
    }
}
