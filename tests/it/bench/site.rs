//! Clusters that the bench starts for people: what it prints is there, the balancer spreads and answers for nodes that
//! are gone, and nothing is left behind, not even by a bench that is killed.

use std::process::Stdio;

use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use sse_lab::client::HttpOptions;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use super::harness::{Lab, bench, in_time, until_nobody_listens};
use super::recipe::Recipe;

/// A cluster that is up.
struct Up {
    bench: Child,
    /// What was printed: what it is, and where.
    places: Vec<(String, String)>,
    http: Client,
    _dir: TempDir,
}

impl Up {
    async fn start(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = bench(&["up", "-o"]);
        command.arg(dir.path().join("up")).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut bench = command.spawn().unwrap();
        let mut lines = BufReader::new(bench.stdout.take().unwrap()).lines();
        let mut places = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            let (what, place) = line.split_once(' ').unwrap();
            places.push((what.to_owned(), place.trim().to_owned()));
            if what == "files" {
                break;
            }
        }
        assert!(!places.is_empty(), "it did not come up");
        Self { bench, places, http: HttpOptions::default().build().unwrap(), _dir: dir }
    }

    fn place(&self, what: &str) -> &str {
        let found = self.places.iter().find(|(name, _)| name == what);
        &found.unwrap_or_else(|| panic!("{what} is not in {:?}", self.places)).1
    }

    /// `host:port` of everything that listens.
    fn addresses(&self) -> Vec<String> {
        let urls = self.places.iter().filter_map(|(_, place)| place.split_once("://"));
        let hosts = urls.flat_map(|(_, rest)| rest.split('/').next().unwrap_or_default().split(','));
        hosts.map(str::to_owned).collect()
    }

    fn signal(&self, signal: Signal) {
        kill_process(pid_of(self.bench.id().unwrap()), signal).unwrap();
    }

    /// Which node a stream through the balancer reaches.
    async fn reached(&self, balancer: &str, client: usize) -> String {
        let url = format!("{balancer}/api/sse/stream?clientId=c{client}");
        let answer = self.http.get(url).send().await.unwrap();
        answer.headers()["x-sse-server-id"].to_str().unwrap().to_owned()
    }

    /// Its exit code, and what it said.
    async fn end(self) -> (Option<i32>, String) {
        self.signal(Signal::INT);
        let output = in_time(self.bench.wait_with_output()).await;
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Processes that a bench started: id and name.
fn children(bench: u32) -> Vec<(u32, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{bench}/task")).unwrap();
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let ids: String = tasks.map(|task| read(task.unwrap().path().join("children"))).collect();
    let ids = ids.split_whitespace().map(|id| id.parse().unwrap());
    ids.map(|id: u32| (id, read(format!("/proc/{id}/comm").into()).trim().to_owned())).collect()
}

fn pid_of(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

/// A balancer over two nodes with a log each: both are reached, and for nodes that are gone it answers itself.
async fn check_balancer(name: &str) {
    let up = Up::start(&["--nodes", "2", "--broker", "memory", "--lb", name]).await;
    let balancer = up.place(name).to_owned();
    let mut nodes = Vec::new();
    for client in 0..8 {
        nodes.push(up.reached(&balancer, client).await);
    }
    assert!(nodes.contains(&"n1".to_owned()) && nodes.contains(&"n2".to_owned()), "{nodes:?}");
    for (id, _) in children(up.bench.id().unwrap()).iter().filter(|(_, name)| name == "sse-node") {
        kill_process(pid_of(*id), Signal::KILL).unwrap();
    }
    until_nobody_listens(up.place("n1").strip_prefix("http://").unwrap()).await;
    until_nobody_listens(up.place("n2").strip_prefix("http://").unwrap()).await;
    let mut tries = 0;
    let answer = loop {
        // HAProxy looks every 250 ms, and answers by itself only then.
        let answer = up.http.get(format!("{balancer}/api/sse/stream")).send().await.unwrap();
        tries += 1;
        if answer.status() == 200 || tries > 100 {
            break answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let close = "{\"code\":3001,\"reason\":\"no node answers\",\"reconnect\":true,\"retryMs\":1000}";
    assert_eq!(answer.text().await.unwrap(), format!("retry: 1000\nevent: CLOSE\ndata: {close}\n\n"));
    let (code, said) = up.end().await;
    assert_eq!(code, Some(101), "{said}");
    assert!(said.contains("node n1 ended by itself"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_spreads_streams_and_answers_softly_when_all_nodes_are_gone() {
    check_balancer("nginx").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_spreads_streams_and_answers_softly_when_all_nodes_are_gone() {
    check_balancer("haproxy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_up_prints_is_there_until_an_interrupt() {
    let up = Up::start(&["--nodes", "2", "--broker", "redis", "--lb", "nginx"]).await;
    let publish = up.http.post(format!("{}/api/sse/broadcast", up.place("nginx")));
    let answer =
        publish.header("content-type", "application/json").body("{\"data\":1}").send().await.unwrap();
    assert_eq!(answer.status(), 202);
    // Taken by one node, and in the log of both.
    for node in ["n1", "n2"] {
        let url = format!("{}/api/sse/history?after=earliest", up.place(node));
        let page = up.http.get(url).send().await.unwrap().text().await.unwrap();
        let page: serde_json::Value = serde_json::from_str(&page).unwrap();
        assert_eq!(page["events"].as_array().map(Vec::len), Some(1), "{node}: {page}");
    }
    let addresses = up.addresses();
    assert_eq!(addresses.len(), 4, "{addresses:?}");
    let (code, said) = up.end().await;
    assert_eq!(code, Some(0), "{said}");
    for address in addresses {
        let refused = tokio::net::TcpStream::connect(&address).await;
        assert!(refused.is_err(), "{address} still listens");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_of_a_cluster_can_be_broken_by_hand() {
    let lab = Recipe::new("links", "1s").nodes("broker = \"file\"\nproxy = [\"client->node\"]").lab();
    let scenario = lab.scenario();
    let up = Up::start(&[scenario.to_str().unwrap(), "--proxy-api", "127.0.0.1:0"]).await;
    let (name, way) = up.place("proxy").split_once(' ').unwrap();
    let (listen, upstream) = way.split_once(" -> ").unwrap();
    assert_eq!((name, format!("http://{upstream}").as_str()), ("client->n1", up.place("n1")));
    let through = format!("http://{listen}/health/ready");
    let is_reached =
        || async { up.http.get(&through).send().await.is_ok_and(|answer| answer.status() == 200) };
    assert!(is_reached().await);
    for enabled in [false, true] {
        let told = up.http.post(format!("{}/proxies/{name}", up.place("api")));
        let told = told.body(format!("{{\"enabled\":{enabled}}}")).send().await.unwrap();
        assert_eq!(told.status(), 200);
        assert_eq!(is_reached().await, enabled);
    }
    let taken = bench(&["up", scenario.to_str().unwrap(), "--proxy-api"]).arg(listen).output().await.unwrap();
    assert_eq!(taken.status.code(), Some(106), "{}", String::from_utf8_lossy(&taken.stderr));
    let (listen, api) = (listen.to_owned(), up.place("api").to_owned());
    let (code, said) = up.end().await;
    assert_eq!(code, Some(0), "{said}");
    for address in [listen.as_str(), api.strip_prefix("http://").unwrap()] {
        assert!(tokio::net::TcpStream::connect(address).await.is_err(), "{address} still listens");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bench_that_is_killed_leaves_no_server_behind_not_even_a_paused_one() {
    let up = Up::start(&["--nodes", "2", "--broker", "redis-sentinel", "--lb", "nginx"]).await;
    let children = children(up.bench.id().unwrap());
    let named = |wanted: &str| children.iter().filter(|(_, name)| name.starts_with(wanted)).count();
    assert_eq!((named("sse-node"), named("redis-server"), named("nginx")), (2, 5, 1), "{children:?}");
    let (paused, _) = children.iter().find(|(_, name)| name.starts_with("redis-server")).unwrap();
    kill_process(pid_of(*paused), Signal::STOP).unwrap();
    up.signal(Signal::KILL);
    let gone = async {
        // Until somebody has reaped it an entry stays, as a zombie.
        let stat = |id: u32| std::fs::read_to_string(format!("/proc/{id}/stat"));
        let is_there = |(id, _): &(u32, String)| stat(*id).is_ok_and(|stat| !stat.contains(") Z "));
        while children.iter().any(is_there) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), gone).await.expect("all end with the bench");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_installed_is_named_with_its_package() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = bench(&["up", "--broker", "redis", "-o"]);
    let output = in_time(command.arg(dir.path()).env("PATH", dir.path()).output()).await;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(100), "{text}");
    assert!(
        text.contains("redis-1 needs redis-server") && text.contains("apt-get install redis-server"),
        "{text}"
    );
}

const CLUSTER: &str = "nodes = 2\nbroker = \"redis\"";

/// Behind a balancer; each node is killed, then the Redis is started again.
const BROKEN: &str = r#"
[lb]
kind = "nginx"

[[faults]]
at = "1s"
for = "500ms"
type = "kill"
target = ["n1"]

[[faults]]
at = "3s"
for = "500ms"
type = "kill"
target = ["n2"]

[[faults]]
at = "5s"
for = "200ms"
type = "redis-restart"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_behind_nginx_outlives_its_nodes_one_after_the_other_and_its_redis() {
    let recipe = Recipe::new("cluster", "8s").nodes(CLUSTER).rate(50).verify("order = \"none\"").and(BROKEN);
    let ran = recipe.lab().run(&[]).await;
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    let faults = ran.report["faults"].as_array().unwrap();
    let cut: Vec<u64> = faults.iter().map(|fault| fault["sessions_cut"].as_u64().unwrap()).collect();
    // Round-robin gives each node a half; the second kill meets at least those that fled from the first.
    assert_eq!((cut[0], cut[2]), (10, 0), "{cut:?}");
    assert!((10..=20).contains(&cut[1]), "{cut:?}");
    let redis = &ran.report["cluster"]["redis"];
    assert!(redis["commands_per_event"].as_f64().unwrap() > 1.0, "{redis:#}");
    assert!(
        ran.report["cluster"]["cpu_us_per_delivery"].as_f64().unwrap() > 0.0,
        "{:#}",
        ran.report["cluster"]
    );
    let ids: Vec<&str> =
        ran.report["processes"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["n1", "n2", "nginx", "redis-1", "bench"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_continues_a_redis_that_was_paused() {
    let pause = "[lb]\nkind = \"nginx\"\n[[faults]]\nat = \"100ms\"\ntype = \"redis-pause\"\n";
    let lab = Recipe::new("cluster", "60s").nodes(CLUSTER).rate(50).and(pause).lab();
    let bench = lab.start();
    let is_paused = || {
        let is_stopped = |id: u32| {
            std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") T "))
        };
        children(bench.id().unwrap())
            .iter()
            .any(|(id, name)| name.starts_with("redis-server") && is_stopped(*id))
    };
    let pausing = async {
        while !is_paused() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), pausing).await.expect("Redis is paused");
    kill_process(pid_of(bench.id().unwrap()), Signal::INT).unwrap();
    let ran = lab.ran(&in_time(bench.wait_with_output()).await);
    assert_eq!(ran.report["summary"]["verdict"], "INTERRUPTED", "{}\n{}", ran.stdout, ran.stderr);
    let fault = &ran.report["faults"][0];
    assert!(fault["applied_ms"].is_number() && fault["healed_ms"].is_number(), "{fault:#}");
    assert!(fault["error"].is_null(), "{fault:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_redis_that_finds_nothing_to_break_fails_the_run() {
    let trim = "[[faults]]\nat = \"1s\"\ntype = \"redis-trim\"\nkeep = 1000000\n";
    let ran = Recipe::new("cluster", "2s").nodes(CLUSTER).rate(50).and(trim).lab().run(&[]).await;
    assert_eq!(ran.code, Some(123), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("nothing to trim"), "{}", ran.stdout);
}

const AWAY: &str = r#"
schema = 1
name = "away"
duration = "5s"

[cluster]
broker = "file"
flags = { retry = "1s", retry-jitter = "200ms" }

[clients.users]
clients = 10
joins = "2s"
mailbox = true
subscribe = { user = "u{i}" }

[publishers.mail]
start_rate = 50
stages = [{ duration = "1s", target = 50 }]
mix = { user = 1 }
qos = 1

[verify]
mailboxes = "empty"
quiesce = { idle = "2s", timeout = "30s" }

[thresholds]
generator_lag = ["p(99)<60s"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn users_who_were_away_are_owed_their_mail_and_a_mailbox_is_empty_once_they_have_confirmed_it() {
    let storm = "[[faults]]\nat = \"4s\"\ntype = \"reconnect-storm\"\n\n[verify]";
    let ran = Lab::new(&AWAY.replace("[verify]", storm)).run(&[]).await;
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(ran.report["summary"]["events_expected"], 50, "{}", ran.stdout);
    assert_eq!(ran.report["cluster"]["mailboxes"]["pending"], 0);
    let unconfirmed = Lab::new(AWAY).run(&[]).await;
    assert_eq!(unconfirmed.code, Some(120), "{}", unconfirmed.stdout);
    assert!(
        unconfirmed.stdout.contains("50 messages wait in 10 of 10 mailboxes: u0"),
        "{}",
        unconfirmed.stdout
    );
}
