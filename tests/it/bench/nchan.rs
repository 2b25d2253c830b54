//! A real nchan (Debian: `libnginx-mod-nchan`) under the bench: its true figures where nothing was trimmed, and its known
//! fault where something was: it goes on at the oldest message that it has, and tells nobody.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use sse_lab::client::HttpOptions;

use super::harness::{bench, in_time};
use super::nginx::Nginx;

const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
/// Where the configuration that is shipped listens.
const SHIPPED: &str = "127.0.0.1:8099";

/// One that runs until it is dropped.
struct Nchan {
    address: SocketAddr,
    nginx: Nginx,
    http: reqwest::Client,
}

impl Nchan {
    /// With so many messages kept.
    async fn start(kept: u32) -> Self {
        assert!(Path::new(MODULE).exists(), "{MODULE} is missing; make setup installs it");
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut text = std::fs::read_to_string(repository("scenarios/any-server/nchan.conf")).unwrap();
        for (from, to) in [
            (SHIPPED, address.to_string()),
            ("nchan_message_buffer_length 10;", format!("nchan_message_buffer_length {kept};")),
            ("daemon off;", "daemon off; master_process off;".to_owned()),
        ] {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, &to);
        }
        let nginx = Nginx::start(address, &text).await;
        Self { address, nginx, http: HttpOptions::default().build().unwrap() }
    }

    fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A shipped scenario; its exit code, and the summary of its report.
    async fn judge(&self, scenario: &str) -> (Option<i32>, Value) {
        let out = self.nginx.path().join("out");
        let mut run = bench(&["run", "--quiet", "--target", &self.base()]);
        run.arg(repository("scenarios/any-server").join(scenario)).arg("--out").arg(&out);
        run.args(["--set=clients.everybody.clients=20", "--set=duration=8s", "--set=faults.0.at=4s"]);
        let output = in_time(run.output()).await;
        let report = std::fs::read(out.join("report.json")).unwrap_or_default();
        let report: Value = serde_json::from_slice(&report).unwrap_or_default();
        assert!(!report.is_null(), "{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code(), report["summary"].clone())
    }
}

fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn nchan_passes_where_it_still_has_what_clients_missed() {
    let nchan = Nchan::start(1_000).await;
    let (code, summary) = nchan.judge("nchan.toml").await;
    assert_eq!(code, Some(0), "{summary:#}");
    assert!(summary["events_ok"].as_u64().unwrap() > 1_000, "{summary:#}");
    assert_eq!(summary["events_ok"], summary["events_expected"], "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_silent_jump_of_nchan_is_convicted() {
    let nchan = Nchan::start(10).await;
    let (code, summary) = nchan.judge("nchan.toml").await;
    assert_eq!(code, Some(120), "{summary:#}");
    let failed: Vec<&str> = summary["failed"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(failed.contains(&"lost") && failed.contains(&"replayed from the wrong place"), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nchan_with_several_channels_a_client_is_judged_through_its_own_paths() {
    let nchan = Nchan::start(1_000).await;
    let (code, summary) = nchan.judge("nchan-channels.toml").await;
    assert_eq!(code, Some(0), "{summary:#}");
    assert_eq!(summary["events_ok"], summary["events_expected"], "{summary:#}");
    assert!(summary["events_ok"].as_u64().unwrap() > 1_000, "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swarm_at_nchan_gets_everything() {
    let nchan = Nchan::start(1_000).await;
    let base = nchan.base();
    let swarm = ["swarm", &base, "-c", "8", "-z", "50s", "--expect-all", "--format", "json"];
    let swarm = bench(&swarm).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // A message that came before a client did is kept for it: with `newest` it begins behind what it finds.
    wait_for_listeners(&nchan, 8).await;
    let published = in_time(bench(&["publish", &base, "-q", "100", "-z", "1s"]).output()).await;
    assert_eq!(published.status.code(), Some(0));
    let swarm = in_time(swarm.wait_with_output()).await;
    let summary: Value = serde_json::from_slice(&swarm.stdout).unwrap();
    assert_eq!(swarm.status.code(), Some(0), "{summary:#}");
    assert_eq!((&summary["missing"], &summary["ok"]), (&0.into(), &summary["expected"]), "{summary:#}");
}

/// nchan answers a GET of the publisher's location with the number of its subscribers.
async fn wait_for_listeners(nchan: &Nchan, wanted: u32) {
    let url = nchan.base() + "/api/sse/broadcast";
    let there = async {
        loop {
            let told = nchan.http.get(&url).send().await.unwrap().text().await.unwrap();
            if told.contains(&format!("active subscribers: {wanted}")) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), there).await.expect("all clients connect");
}
