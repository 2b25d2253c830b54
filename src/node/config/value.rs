//! Parses the texts of settings into values. Every error says what is allowed. Does no I/O.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderValue;
use ipnet::IpNet;

use super::settings::InvalidValue;
use crate::broker::{BrokerUrl, InvalidBrokerUrl};
use crate::protocol::NodeId;
use crate::protocol::host::HostRule;
use crate::runtime::secrets::without_secrets;

/// Where the log is kept.
pub(super) fn broker(text: &str) -> Result<BrokerUrl, InvalidValue> {
    text.parse().map_err(|error: InvalidBrokerUrl| error.reason())
}

/// A node id; the error leaves out the text, which the caller shows.
pub(super) fn node_id(text: &str) -> Result<NodeId, InvalidValue> {
    NodeId::parse(text).map_err(|error| error.reason())
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, InvalidValue> {
    text.parse()
        .map_err(|_| "allowed is an IP address with a port, like 127.0.0.1:8080 or [::1]:8080".to_owned())
}

/// A whole number within a range; `_` may separate digits.
pub(super) fn count<T>(text: &str, range: RangeInclusive<T>) -> Result<T, InvalidValue>
where
    T: FromStr + PartialOrd + Display,
{
    let allowed = || format!("allowed are whole numbers from {} to {}", range.start(), range.end());
    let number = text.replace('_', "").parse().map_err(|_| allowed())?;
    if range.contains(&number) { Ok(number) } else { Err(allowed()) }
}

/// A duration within a range.
pub(super) fn duration(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, InvalidValue> {
    let allowed = || {
        let [from, to] = [range.start(), range.end()].map(|end| humantime::format_duration(*end));
        format!("allowed are durations from {from} to {to} with a unit, like 500ms, 15s, 10m or 24h")
    };
    let time = humantime::parse_duration(text).map_err(|_| allowed())?;
    if range.contains(&time) { Ok(time) } else { Err(allowed()) }
}

const UNITS: [(&str, u64); 7] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("b", 1),
];

/// A number of bytes within a range, with or without a unit.
pub(super) fn size(text: &str, range: RangeInclusive<u64>) -> Result<u64, InvalidValue> {
    let allowed = || {
        let (from, to) = (range.start(), range.end());
        format!("allowed are sizes from {from} to {to} bytes, like 65536, 64KiB, 64MiB or 1GB")
    };
    let lower = text.trim().to_lowercase();
    let with_unit = UNITS.iter().find_map(|(unit, bytes)| Some((lower.strip_suffix(unit)?, *bytes)));
    let (number, unit) = with_unit.unwrap_or((&lower, 1));
    let number: u64 = number.trim_end().replace('_', "").parse().map_err(|_| allowed())?;
    let bytes = number.checked_mul(unit).ok_or_else(allowed)?;
    if range.contains(&bytes) { Ok(bytes) } else { Err(allowed()) }
}

/// A number of bytes in memory, within a range.
pub(super) fn memory(text: &str, range: RangeInclusive<u64>) -> Result<usize, InvalidValue> {
    size(text, range).and_then(|bytes| usize::try_from(bytes).map_err(|error| error.to_string()))
}

pub(super) fn switch(text: &str) -> Result<bool, InvalidValue> {
    text.parse().map_err(|_| "allowed are true and false".to_owned())
}

/// One of the variants of an enum, by its name.
pub(super) fn choice<T: clap::ValueEnum>(text: &str) -> Result<T, InvalidValue> {
    T::from_str(text, false).map_err(|_| {
        let words: Vec<_> = T::value_variants().iter().filter_map(T::to_possible_value).collect();
        let words: Vec<_> = words.iter().map(clap::builder::PossibleValue::get_name).collect();
        format!("allowed are {}", words.join(", "))
    })
}

/// An `http` or `https` URL without query and password.
pub(super) fn url(text: &str) -> Result<String, InvalidValue> {
    let allowed = || "allowed is a URL like http://10.0.0.7:8080".to_owned();
    let uri: http::Uri = text.parse().map_err(|_| allowed())?;
    let has_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_bare = uri.query().is_none() && uri.authority().is_some_and(|host| !host.as_str().contains('@'));
    if has_scheme && is_bare { Ok(text.trim_end_matches('/').to_owned()) } else { Err(allowed()) }
}

/// The parts of a list with commas; empty ones do not count.
pub(super) fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// Origins separated by commas, as browsers send them in `Origin`, or `*`.
pub(super) fn origins(text: &str) -> Result<Vec<HeaderValue>, InvalidValue> {
    parts(text).map(origin).collect()
}

/// An origin that can match: one that a browser would send in just this spelling.
fn origin(text: &str) -> Result<HeaderValue, InvalidValue> {
    let refuse = |why: &str| {
        let shown = without_secrets(text);
        format!("{shown:?} matches no page: {why}; allowed are origins like https://app.example:8443, and *")
    };
    if text != "*" {
        origin_problem(text).map_or(Ok(()), |why| Err(refuse(&why)))?;
    }
    HeaderValue::from_str(text).map_err(|_| refuse("an origin is ASCII"))
}

/// Why no browser sends this text as an origin.
fn origin_problem(text: &str) -> Option<String> {
    let why = |text: &str| Some(text.to_owned());
    if text.eq_ignore_ascii_case("null") {
        return why("every page can make itself one of the origin null; * says openly that all are allowed");
    }
    let Some((scheme, host)) = text.split_once("://") else { return why("an origin begins with its scheme") };
    if host.contains('*') {
        return why("* stands for all origins, never for a part of one; list them one by one");
    }
    if host.contains('@') {
        return why("an origin has no name and no password");
    }
    if host.contains(['/', '?', '#']) {
        return why("an origin has no path and ends with its host or port");
    }
    let url = reqwest::Url::parse(text);
    let sent = match &url {
        Ok(url) if url.origin().is_tuple() => url.origin().ascii_serialization(),
        Ok(_) if !host.is_empty() => format!("{scheme}://{host}").to_ascii_lowercase(),
        Ok(_) | Err(_) => return why("it is no URL"),
    };
    (sent != text).then(|| format!("browsers spell it {sent}"))
}

/// Rules for the `Host` of requests, separated by commas.
pub(super) fn hosts(text: &str) -> Result<Vec<HostRule>, InvalidValue> {
    parts(text).map(HostRule::parse).collect()
}

/// Addresses and networks separated by commas.
pub(super) fn nets(text: &str) -> Result<Vec<IpNet>, InvalidValue> {
    let net = |part: &str| {
        let one = part.parse().map(|address: IpAddr| IpNet::from(address));
        one.or_else(|_| part.parse::<IpNet>()).map_err(|_| {
            format!("{part:?} is neither an address nor a network; allowed are those like 192.0.2.7 and 10.0.0.0/8")
        })
    };
    parts(text).map(net).collect()
}

/// A filter of `tracing` for log lines.
pub(super) fn filter(text: &str) -> Result<String, InvalidValue> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "{error}; allowed are error, warn, info, debug, trace and module=level pairs, separated by commas"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: PartialEq + std::fmt::Debug>(value: Result<T, InvalidValue>, expected: Option<T>) {
        match expected {
            Some(expected) => assert_eq!(value, Ok(expected)),
            None => {
                let refusal = value.unwrap_err();
                assert!(refusal.contains("allowed"), "{refusal}");
            }
        }
    }

    #[test]
    fn sizes_have_decimal_and_binary_units_or_none() {
        let all = 0..=u64::MAX;
        check(size("65536", all.clone()), Some(65_536));
        check(size("64KiB", all.clone()), Some(65_536));
        check(size("64 kib", all.clone()), Some(65_536));
        check(size("2MB", all.clone()), Some(2_000_000));
        check(size("1GiB", all.clone()), Some(1 << 30));
        check(size("1_000B", all.clone()), Some(1_000));
        for text in ["", "KiB", "64TiB", "-1", "1.5MiB", "99999999999GiB"] {
            check(size(text, all.clone()), None);
        }
        check(size("9", 10..=20), None);
    }

    #[test]
    fn times_need_a_unit_and_stay_in_range() {
        let range = Duration::from_millis(100)..=Duration::from_secs(60);
        check(duration("15s", range.clone()), Some(Duration::from_secs(15)));
        check(duration("1s 500ms", range.clone()), Some(Duration::from_millis(1_500)));
        for text in ["", "15", "99ms", "61s", "soon"] {
            check(duration(text, range.clone()), None);
        }
    }

    #[test]
    fn numbers_stay_in_range() {
        check(count("1_000", 1..=2_000_u64), Some(1_000));
        for text in ["", "0", "2001", "-1", "1.0", "many"] {
            check(count(text, 1..=2_000_u64), None);
        }
    }

    #[test]
    fn origins_are_what_browsers_send() {
        let origins = |text: &str| {
            origins(text)
                .map(|all| all.iter().map(|one| one.to_str().unwrap().to_owned()).collect::<Vec<_>>())
        };
        check(origins("*"), Some(vec!["*".to_owned()]));
        check(
            origins("https://a.example, http://b:8080"),
            Some(vec!["https://a.example".to_owned(), "http://b:8080".to_owned()]),
        );
        check(origins(""), Some(vec![]));
        check(origins("capacitor://localhost"), Some(vec!["capacitor://localhost".to_owned()]));
        for (text, why) in [
            ("a.example", "begins with its scheme"),
            ("https://a.example/", "no path"),
            ("https://a.example/app", "no path"),
            ("https://*.example.com", "* stands for all"),
            ("https://a.example:443", "browsers spell it https://a.example;"),
            ("http://a.example:80", "browsers spell it http://a.example;"),
            ("https://A.example", "browsers spell it https://a.example;"),
            ("HTTPS://a.example", "browsers spell it https://a.example;"),
            ("https://ä.example", "browsers spell it https://xn--4ca.example;"),
            ("http://127.1:8080", "browsers spell it http://127.0.0.1:8080;"),
            ("Capacitor://localhost", "browsers spell it capacitor://localhost;"),
            ("https://me:geheim@a.example", "no password"),
            ("https://a\u{7f}", "no URL"),
            ("https://", "no URL"),
            ("app://", "no URL"),
            ("null", "every page"),
        ] {
            let refusal = origins(text).unwrap_err();
            assert!(refusal.contains(why) && !refusal.contains("geheim"), "{text}: {refusal}");
        }
    }

    #[test]
    fn networks_are_addresses_with_or_without_a_length() {
        let nets =
            |text: &str| nets(text).map(|nets| nets.iter().map(ToString::to_string).collect::<Vec<_>>());
        check(
            nets("10.0.0.0/8, 192.0.2.7,fd00::/8"),
            Some(["10.0.0.0/8", "192.0.2.7/32", "fd00::/8"].map(str::to_owned).to_vec()),
        );
        check(nets(""), Some(vec![]));
        for text in ["10.0.0.0/33", "proxy", "10.0.0"] {
            check(nets(text), None);
        }
    }

    #[test]
    fn addresses_are_checked() {
        check(url("http://10.0.0.7:8080/"), Some("http://10.0.0.7:8080".to_owned()));
        for text in ["10.0.0.7:8080", "ftp://a", "http://user:secret@a", "http://", "http://a?x=1"] {
            check(url(text), None);
        }
        check(listen("[::1]:0"), Some("[::1]:0".parse().unwrap()));
        for text in ["localhost:8080", ":8080", "8080", "127.0.0.1"] {
            check(listen(text), None);
        }
    }
}
