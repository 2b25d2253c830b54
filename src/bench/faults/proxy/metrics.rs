//! The traffic of all proxies in toxiproxy's Prometheus metrics: bytes by proxy and direction.

use std::fmt::Write as _;

use super::connection::Traffic;
use super::listener::ProxyHandle;
use crate::bench::scenario::Direction;

/// Content type of Prometheus' text format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric: its name, its help text, and which of the two counts of a direction it shows.
type Metric = (&'static str, &'static str, fn(&Traffic) -> u64);

const METRICS: [Metric; 2] = [
    (
        "toxiproxy_proxy_received_bytes_total",
        "The total number of bytes received on a given proxy link in a given direction",
        |traffic| traffic.bytes().0,
    ),
    (
        "toxiproxy_proxy_sent_bytes_total",
        "The total number of bytes sent on a given proxy link in a given direction",
        |traffic| traffic.bytes().1,
    ),
];

/// Encodes the metrics of all proxies.
pub(super) fn render<'a>(proxies: impl Iterator<Item = &'a ProxyHandle>) -> String {
    let proxies: Vec<&ProxyHandle> = proxies.collect();
    let mut text = String::new();
    for (name, help, number) in METRICS {
        // Writing into a string cannot fail.
        let _written = write!(text, "# HELP {name} {help}\n# TYPE {name} counter\n");
        for proxy in &proxies {
            for (direction, traffic) in [Direction::Downstream, Direction::Upstream].iter().zip([1, 0]) {
                let value = number(&proxy.traffic()[traffic]);
                let _written = writeln!(
                    text,
                    "{name}{{direction=\"{direction}\",listener=\"{}\",proxy=\"{}\",upstream=\"{}\"}} {value}",
                    escaped(&proxy.listen()),
                    escaped(proxy.name()),
                    escaped(proxy.upstream()),
                );
            }
        }
    }
    text
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::faults::proxy::listener::{ProxySpec, ProxyTask};

    #[test]
    fn bytes_are_told_by_proxy_and_direction() {
        let spec = ProxySpec {
            name: "a\"b".into(),
            listen: "127.0.0.1:1".into(),
            upstream: "127.0.0.1:2".into(),
            seed: 1,
        };
        let (proxy, _task) = ProxyTask::new(spec);
        let text = render([&proxy].into_iter());
        let labels = r#"direction="upstream",listener="127.0.0.1:1",proxy="a\"b",upstream="127.0.0.1:2""#;
        assert!(text.contains(&format!("toxiproxy_proxy_sent_bytes_total{{{labels}}} 0\n")), "{text}");
        assert_eq!(text.matches("# TYPE").count(), 2);
    }
}
