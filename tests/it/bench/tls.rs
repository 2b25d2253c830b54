//! Nodes behind `https`: whose certificates a run accepts, and what it says of those that it does not.

use std::net::{SocketAddr, TcpListener};

use super::harness::{Lab, bench, in_time};
use super::nginx::Nginx;
use super::recipe::Recipe;
use crate::support::Node;

/// Ends TLS, and hands everything on as it comes.
const CONFIGURATION: &str = "
daemon off; master_process off; pid nginx.pid; error_log stderr;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {
    listen ADDRESS ssl;
    ssl_certificate CERTIFICATE;
    ssl_certificate_key KEY;
    location / {
      proxy_pass http://NODE;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_buffering off;
      proxy_read_timeout 1h;
    }
  }
}
";

/// A node and what stands before it.
struct Fronted {
    base: String,
    _nginx: Nginx,
    _node: Node,
}

fn own(file: &str) -> String {
    format!("{}/tests/tls/{file}", env!("CARGO_MANIFEST_DIR"))
}

impl Fronted {
    async fn start() -> Self {
        let node = Node::start(&["--broker", "memory:"]).await;
        let address: SocketAddr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = CONFIGURATION.replace("ADDRESS", &address.to_string());
        let text = text.replace("CERTIFICATE", &own("cert.pem")).replace("KEY", &own("key.pem"));
        let nginx = Nginx::start(address, &text.replace("NODE", &node.address().to_string())).await;
        Self { base: format!("https://{address}"), _nginx: nginx, _node: node }
    }

    /// A scenario for it, with these lines in `[cluster]`, and its certificate beside it.
    fn lab(&self, tls: &str) -> Lab {
        let lab = Recipe::new("tls", "1s").attach(&self.base).and(&format!("[cluster.tls]\n{tls}")).lab();
        std::fs::copy(own("cert.pem"), lab.path().join("ca.pem")).unwrap();
        lab
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_publishers_and_workers_accept_the_certificate_that_they_are_told_to() {
    let fronted = Fronted::start().await;
    let lab = fronted.lab("ca = \"ca.pem\"");
    for more in [["--workers", "1"], ["--workers", "2"]] {
        let ran = lab.run(&more).await;
        assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
        assert!(ran.report["summary"]["events_ok"].as_u64() > Some(100), "{}", ran.stdout);
    }
    let ran = fronted.lab("insecure = true").run(&[]).await;
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    let flags = ["-c", "2", "-z", "10ms", "--format", "json", "--ca", &own("cert.pem")];
    let output = in_time(bench(&["swarm", &fronted.base]).args(flags).output()).await;
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["connected"], 2, "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_somebody_else_is_told_with_what_can_be_done() {
    let fronted = Fronted::start().await;
    let lab = Recipe::new("tls", "1s").attach(&fronted.base).lab();
    let ran = lab.run(&[]).await;
    assert_eq!(ran.code, Some(100), "{}\n{}", ran.stdout, ran.stderr);
    for word in [fronted.base.as_str(), "certificate", "cluster.tls.ca"] {
        assert!(ran.stdout.contains(word), "{word:?} is not in {}", ran.stdout);
    }
    let ran = fronted.lab("ca = \"other.pem\"").run(&[]).await;
    assert_eq!(ran.code, Some(104), "{}", ran.stderr);
    assert!(ran.stderr.contains("other.pem") && ran.stderr.contains("No such file"), "{}", ran.stderr);
    let slow = fronted.lab("ca = \"ca.pem\"").run(&["-s", "clients.all.read={ bytes_per_sec = 1000 }"]).await;
    assert_eq!(slow.code, Some(104), "{}\n{}", slow.stdout, slow.stderr);
    assert!(slow.stdout.contains("clients.all.read"), "{}", slow.stdout);
}
