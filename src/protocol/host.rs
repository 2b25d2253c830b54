//! `Host` and `Origin` as browsers send them, and the rules by which a server accepts a `Host`. Compared as what they mean,
//! never as prefixes of texts: `http://localhost.attacker.example` is not localhost. Read [`Host`] first.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The value of a `Host` field, or the host and port of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host<'a> {
    /// The name or IP address, without a dot at its end; an IPv6 address stands in brackets.
    pub name: &'a str,
    /// The port, where there is one.
    pub port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Reads `name`, `name:port`, `1.2.3.4:port` or `[::1]:port`; `None` if it is something else.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let end =
            if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
        let (name, port) = text.split_at(end);
        let port = match port.strip_prefix(':') {
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
            None if port.is_empty() => None,
            None => return None,
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let is_name = ipv6(name).is_some() || name.split('.').all(is_label);
        is_name.then_some(Self { name, port })
    }

    /// Whether both are one server of HTTPS.
    #[must_use]
    pub fn is_same(self, other: Host<'_>) -> bool {
        self.name.eq_ignore_ascii_case(other.name) && self.port.unwrap_or(443) == other.port.unwrap_or(443)
    }

    /// Whether no foreign name server can have made it lead here: `localhost` and what is below it, and IP addresses.
    #[must_use]
    pub fn needs_no_resolver(self) -> bool {
        let localhost = |name: &str| name.eq_ignore_ascii_case("localhost");
        localhost(self.name)
            || self.name.rsplit_once('.').is_some_and(|(_, last)| localhost(last))
            || self.name.parse::<Ipv4Addr>().is_ok()
            || ipv6(self.name).is_some()
    }

    /// Whether this `Origin` is that of a page which this host served. The scheme cannot be known behind a proxy.
    #[must_use]
    pub fn is_of_origin(self, origin: &str) -> bool {
        let Some((scheme, host)) = origin.split_once("://") else { return false };
        let default = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return false,
        };
        let port = |host: Host<'_>| host.port.unwrap_or(default);
        Host::parse(host)
            .is_some_and(|other| other.name.eq_ignore_ascii_case(self.name) && port(other) == port(self))
    }
}

fn ipv6(name: &str) -> Option<Ipv6Addr> {
    name.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// Hosts that a server accepts besides those that need no resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRule {
    /// `*`, which accepts every name.
    Any,
    /// This name, with every port.
    Exact(String),
    /// `*.example.com`: every name below `example.com`.
    Below(String),
}

impl HostRule {
    /// Reads a rule.
    ///
    /// # Errors
    /// What is wrong, and what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| {
            Err(format!(
                "{text:?} is not a host: {why}; allowed are hosts like sse.example.com, *.example.com, and *"
            ))
        };
        if text == "*" {
            return Ok(Self::Any);
        }
        if text.contains("://") {
            return refuse("a scheme is no part of it");
        }
        let below = text.strip_prefix("*.");
        match Host::parse(below.unwrap_or(text)) {
            None => refuse("a host has letters, digits, '-' and '.'"),
            Some(Host { port: Some(_), .. }) => refuse("every port is accepted, so it has none"),
            Some(Host { name, .. }) => {
                let name = name.to_ascii_lowercase();
                Ok(if below.is_some() { Self::Below(name) } else { Self::Exact(name) })
            }
        }
    }

    /// Whether it accepts this host.
    #[must_use]
    pub fn accepts(&self, host: Host<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name.eq_ignore_ascii_case(host.name),
            Self::Below(name) => {
                let start = host.name.len().checked_sub(name.len());
                let split = start.and_then(|start| host.name.split_at_checked(start));
                split.is_some_and(|(front, end)| {
                    front.len() > 1 && front.ends_with('.') && end.eq_ignore_ascii_case(name)
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, name: &str, port: Option<u16>, needs_no_resolver: bool) {
        let host = Host::parse(text).unwrap();
        assert_eq!((host.name, host.port), (name, port), "{text}");
        assert_eq!(host.needs_no_resolver(), needs_no_resolver, "{text}");
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        check("localhost", "localhost", None, true);
        check("LOCALHOST.:8080", "LOCALHOST", Some(8080), true);
        check("app.localhost:1", "app.localhost", Some(1), true);
        check("127.0.0.1:8080", "127.0.0.1", Some(8080), true);
        check("10.1.2.3:", "10.1.2.3", None, true);
        check("[::1]:8080", "[::1]", Some(8080), true);
        check("[fe80::1]", "[fe80::1]", None, true);
        check("sse.example.com", "sse.example.com", None, false);
        check("backend_1:8080", "backend_1", Some(8080), false);
        check("localhost.attacker.example", "localhost.attacker.example", None, false);
        check("notlocalhost", "notlocalhost", None, false);
        check("127.0.0.1.attacker.example", "127.0.0.1.attacker.example", None, false);
        // No browser sends an address in another form than the usual one, so this is a name.
        check("127.1", "127.1", None, false);
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "a b",
            "a,b",
            "a/b",
            "a@b",
            "http://a",
            "a:port",
            "a:65536",
            "a:1:2",
            "a:+1",
            "[::1",
            "::1",
            "[::1]x",
            "[a]",
            "[fe80::1%25eth0]",
            "a?b",
            "a#b",
            "\u{e4}",
            "a\t",
        ] {
            assert_eq!(Host::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_origin_is_of_its_host_if_name_and_port_are_the_same() {
        let check = |host: &str, origin: &str, is_same: bool| {
            assert_eq!(Host::parse(host).unwrap().is_of_origin(origin), is_same, "{host} {origin}");
        };
        check("n.example", "http://n.example", true);
        check("N.example:443", "https://n.example", true);
        check("n.example:80", "http://n.example", true);
        check("[::1]:8080", "http://[::1]:8080", true);
        check("n.example", "https://n.example:8443", false);
        check("n.example:8080", "http://n.example", false);
        check("n.example", "http://other.example", false);
        check("localhost", "http://localhost.attacker.example", false);
        check("n.example", "null", false);
        check("n.example", "n.example", false);
        check("n.example", "http://n.example/", false);
        check("n.example", "ftp://n.example", false);
    }

    #[test]
    fn a_rule_accepts_its_host_with_every_port_and_no_other() {
        let check = |rule: &str, host: &str, accepts: bool| {
            let accepted = HostRule::parse(rule).unwrap().accepts(Host::parse(host).unwrap());
            assert_eq!(accepted, accepts, "{rule} {host}");
        };
        check("sse.example.com", "SSE.example.com.:81", true);
        check("SSE.example.com", "sse.example.com", true);
        check("sse.example.com", "example.com", false);
        check("sse.example.com", "a.sse.example.com", false);
        check("*.example.com", "a.b.Example.com", true);
        check("*.example.com", "example.com", false);
        check("*.example.com", "notexample.com", false);
        check("*", "whatever", true);
        for (rule, why) in [
            ("https://a.example", "scheme"),
            ("a.example:80", "port"),
            ("a.*.example", "letters"),
            ("", "letters"),
            ("a/b", "letters"),
        ] {
            let refusal = HostRule::parse(rule).unwrap_err();
            assert!(refusal.contains(why) && refusal.contains("allowed are"), "{refusal}");
        }
    }
}
