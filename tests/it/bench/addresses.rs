//! Clients with addresses of their own: a balancer that goes by the address of a client has something to go by.

use super::harness::Lab;

const BY_ADDRESS: &str = r#"
schema = 1
name = "addresses"
duration = "2s"
[cluster]
nodes = 3
broker = "redis"
[lb]
kind = "nginx"
policy = "ip-hash"
[clients.all]
clients = 48
source_ips = "SOURCES"
token = "t"
[publishers.main]
rate = 20
[verify]
delivery = "exactly-once"
quiesce = { idle = "3s", timeout = "30s" }
# Many tests share the machine: what is judged here is delivery, not speed.
[thresholds]
generator_lag = ["p(99)<60s"]
"#;

/// How many nodes had a client.
async fn nodes_reached(sources: &str) -> usize {
    let ran = Lab::new(&BY_ADDRESS.replace("SOURCES", sources)).run(&[]).await;
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    let processes = ran.report["processes"].as_array().unwrap().iter();
    let nodes = processes.filter(|process| process["id"].as_str().is_some_and(|id| id.starts_with('n')));
    nodes.filter(|node| node["connections_peak"].as_u64() > Some(0)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_spreads_by_address_what_comes_from_several_networks() {
    assert_eq!(nodes_reached("127.0.0.2-127.0.0.9").await, 1, "nginx looks at three bytes of four");
    assert!(nodes_reached("127.0.1-24.1").await >= 2);
}
