//! The configuration of HAProxy in front of SSE nodes: events are sent at once, time-outs are longer than any heartbeat, and
//! a 200 with a `retry:` answers where no node is up.

use std::path::Path;

use super::layout::Layout;
use crate::bench::scenario::LbPolicy;

pub(super) fn arguments(config: &Path) -> Vec<String> {
    // In the foreground, and without a worker that would outlive a killed master.
    vec!["-db".to_owned(), "-f".to_owned(), config.display().to_string()]
}

pub(super) fn config(layout: &Layout<'_>) -> String {
    let (balance, cookie) = policy(layout.policy);
    let servers: String = (1..)
        .zip(layout.nodes)
        .map(|(number, node): (usize, _)| {
            let cookie = if cookie.is_empty() { String::new() } else { format!(" cookie n{number}") };
            format!("  server n{number} {node} check inter 250ms fall 1 rise 1{cookie}\n")
        })
        .collect();
    let (listen, connections) = (layout.listen, layout.connections);
    format!(
        r#"global
  maxconn {connections}
defaults
  mode http
  option http-no-delay
  option redispatch
  retries 2
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  timeout http-request 30s
frontend streams
  bind {listen}
  http-request return status 200 content-type text/event-stream hdr cache-control no-store lf-string "retry: 1000\nevent: CLOSE\ndata: {{\"code\":3001,\"reason\":\"no node answers\",\"reconnect\":true,\"retryMs\":1000}}\n\n" if {{ path /api/sse/stream }} {{ nbsrv(nodes) eq 0 }}
  default_backend nodes
backend nodes
  option httpchk GET /health/ready
{balance}{cookie}{servers}"#
    )
}

fn policy(policy: LbPolicy) -> (&'static str, &'static str) {
    match policy {
        LbPolicy::RoundRobin => ("  balance roundrobin\n", ""),
        LbPolicy::LeastConn => ("  balance leastconn\n", ""),
        LbPolicy::Random => ("  balance random\n", ""),
        LbPolicy::IpHash => ("  balance source\n", ""),
        LbPolicy::Cookie => {
            ("  balance roundrobin\n", "  cookie sse_route insert indirect nocache httponly\n")
        }
        LbPolicy::ConsistentHash => ("  balance url_param clientId\n  hash-type consistent\n", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_what_the_documentation_advises() {
        insta::assert_snapshot!(config(&Layout::example(LbPolicy::RoundRobin)), @r#"
    global
      maxconn 1024
    defaults
      mode http
      option http-no-delay
      option redispatch
      retries 2
      timeout connect 1s
      timeout client 1h
      timeout server 1h
      timeout http-request 30s
    frontend streams
      bind 127.0.0.1:7000
      http-request return status 200 content-type text/event-stream hdr cache-control no-store lf-string "retry: 1000\nevent: CLOSE\ndata: {\"code\":3001,\"reason\":\"no node answers\",\"reconnect\":true,\"retryMs\":1000}\n\n" if { path /api/sse/stream } { nbsrv(nodes) eq 0 }
      default_backend nodes
    backend nodes
      option httpchk GET /health/ready
      balance roundrobin
      server n1 127.0.0.1:7001 check inter 250ms fall 1 rise 1
      server n2 127.0.0.1:7002 check inter 250ms fall 1 rise 1
    "#);
    }

    #[test]
    fn each_policy_has_its_rule() {
        for (policy, rule) in [
            (LbPolicy::LeastConn, "balance leastconn"),
            (LbPolicy::Random, "balance random"),
            (LbPolicy::IpHash, "balance source"),
            (LbPolicy::Cookie, "check inter 250ms fall 1 rise 1 cookie n2"),
            (LbPolicy::ConsistentHash, "hash-type consistent"),
        ] {
            assert!(config(&Layout::example(policy)).contains(rule), "{policy:?}");
        }
    }
}
