//! The configuration of nginx in front of SSE nodes. It must have, each for a reason: streams unbuffered and over HTTP/1.1
//! (over 1.0 an abort looks like a clean end), read time-outs longer than any heartbeat, and nginx' own 5xx on the
//! stream's path turned into a 200 with a `retry:`, since a browser stays away for good after any other
//! status.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use super::layout::{Layout, open_files};
use crate::bench::scenario::LbPolicy;

/// Features of nginx with temporary directories, by the names of their directives and of their modules.
/// Without a directory below the run's, nginx uses the system's, which only root may write to.
const TEMPORARY: [&str; 3] = ["fastcgi", "uwsgi", "scgi"];
/// Time limit of `nginx -V`, which only prints.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// The code that a client gets when no node is up: that of a node that drains.
const CLOSE: &str = r#"{\"code\":3001,\"reason\":\"no node answers\",\"reconnect\":true,\"retryMs\":1000}"#;

/// One process in the foreground: a worker would outlive a killed master.
pub(super) fn arguments(config: &Path) -> Vec<String> {
    vec!["-c".to_owned(), config.display().to_string(), "-e".to_owned(), "stderr".to_owned()]
}

/// The [`TEMPORARY`] directories that this build of nginx knows.
pub(super) async fn temporary_paths(program: &Path) -> Vec<&'static str> {
    let asking = Command::new(program).arg("-V").kill_on_drop(true).output();
    let told = match tokio::time::timeout(ASK_TIMEOUT, asking).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stderr).into_owned(),
        // nginx reports its problem itself when it is started.
        Ok(Err(_)) | Err(_) => String::new(),
    };
    TEMPORARY.into_iter().filter(|name| !told.contains(&format!("--without-http_{name}_module"))).collect()
}

pub(super) fn config(layout: &Layout<'_>, temporary: &[&str]) -> String {
    let dir = layout.dir.display();
    // nginx counts both ends as connections.
    let connections = open_files(layout.connections);
    let temporary: String = ["client_body", "proxy"]
        .iter()
        .chain(temporary)
        .map(|name| format!("  {name}_temp_path \"{dir}/{name}\";\n"))
        .collect();
    let (maps, rule, cookie) = policy(layout.policy);
    let servers: String =
        layout.nodes.iter().map(|node| format!("    server {node} max_fails=1 fail_timeout=1s;\n")).collect();
    let listen = layout.listen;
    format!(
        r#"daemon off;
master_process off;
pid "{dir}/nginx.pid";
worker_rlimit_nofile {connections};
events {{
  worker_connections {connections};
}}
http {{
{temporary}  access_log off;
  default_type application/octet-stream;
  client_max_body_size 8m;
{maps}  upstream nodes {{
{rule}{servers}    keepalive 64;
  }}
  server {{
    listen {listen} backlog=4096;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    # With its port, by which a node tells its own pages from others.
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_connect_timeout 1s;
    # Another node for what did not reach one; a publish that may have been taken is the publisher's to repeat.
    proxy_next_upstream error timeout http_502 http_503;
{cookie}    location / {{
      proxy_pass http://nodes;
    }}
    location = /api/sse/stream {{
      proxy_pass http://nodes;
      proxy_buffering off;
      proxy_cache off;
      gzip off;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
      proxy_intercept_errors on;
      error_page 502 503 504 =200 @come_back;
    }}
    location @come_back {{
      default_type text/event-stream;
      add_header Cache-Control no-store always;
      add_header Access-Control-Allow-Origin * always;
      return 200 "retry: 1000\nevent: CLOSE\ndata: {CLOSE}\n\n";
    }}
  }}
}}
"#
    )
}

/// Maps before the upstream, the rule in it, and what the server adds.
fn policy(policy: LbPolicy) -> (&'static str, &'static str, &'static str) {
    match policy {
        LbPolicy::RoundRobin => ("", "", ""),
        LbPolicy::LeastConn => ("", "    least_conn;\n", ""),
        LbPolicy::Random => ("", "    random;\n", ""),
        LbPolicy::IpHash => ("", "    ip_hash;\n", ""),
        LbPolicy::Cookie => (
            "  # Who has no cookie yet is given one, and goes where it leads.\n  \
             map $cookie_sse_route $sse_route {\n    \"\" $request_id;\n    default $cookie_sse_route;\n  }\n",
            "    hash $sse_route consistent;\n",
            "    add_header Set-Cookie \"sse_route=$sse_route; Path=/; HttpOnly; SameSite=Lax\";\n",
        ),
        LbPolicy::ConsistentHash => (
            "  map $arg_userId $sse_user {\n    \"\" $arg_clientId;\n    default $arg_userId;\n  }\n  \
             # What names nobody, a publish, is spread.\n  \
             map $sse_user $sse_key {\n    \"\" $request_id;\n    default $sse_user;\n  }\n",
            "    hash $sse_key consistent;\n",
            "",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_what_the_documentation_advises() {
        insta::assert_snapshot!(config(&Layout::example(LbPolicy::RoundRobin), &["fastcgi"]), @r#"
    daemon off;
    master_process off;
    pid "/r/nginx.pid";
    worker_rlimit_nofile 2304;
    events {
      worker_connections 2304;
    }
    http {
      client_body_temp_path "/r/client_body";
      proxy_temp_path "/r/proxy";
      fastcgi_temp_path "/r/fastcgi";
      access_log off;
      default_type application/octet-stream;
      client_max_body_size 8m;
      upstream nodes {
        server 127.0.0.1:7001 max_fails=1 fail_timeout=1s;
        server 127.0.0.1:7002 max_fails=1 fail_timeout=1s;
        keepalive 64;
      }
      server {
        listen 127.0.0.1:7000 backlog=4096;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        # With its port, by which a node tells its own pages from others.
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_connect_timeout 1s;
        # Another node for what did not reach one; a publish that may have been taken is the publisher's to repeat.
        proxy_next_upstream error timeout http_502 http_503;
        location / {
          proxy_pass http://nodes;
        }
        location = /api/sse/stream {
          proxy_pass http://nodes;
          proxy_buffering off;
          proxy_cache off;
          gzip off;
          proxy_read_timeout 1h;
          proxy_send_timeout 1h;
          proxy_intercept_errors on;
          error_page 502 503 504 =200 @come_back;
        }
        location @come_back {
          default_type text/event-stream;
          add_header Cache-Control no-store always;
          add_header Access-Control-Allow-Origin * always;
          return 200 "retry: 1000\nevent: CLOSE\ndata: {\"code\":3001,\"reason\":\"no node answers\",\"reconnect\":true,\"retryMs\":1000}\n\n";
        }
      }
    }
    "#);
    }

    #[test]
    fn each_policy_has_its_rule() {
        for (policy, rule) in [
            (LbPolicy::LeastConn, "least_conn;"),
            (LbPolicy::Random, "random;"),
            (LbPolicy::IpHash, "ip_hash;"),
            (LbPolicy::Cookie, "hash $sse_route consistent;"),
            (LbPolicy::ConsistentHash, "hash $sse_key consistent;"),
        ] {
            assert!(config(&Layout::example(policy), &[]).contains(rule), "{policy:?}");
        }
        assert!(
            config(&Layout::example(LbPolicy::Cookie), &[]).contains("Set-Cookie \"sse_route=$sse_route;")
        );
    }
}
