//! Several nodes that share a Redis, and behave as one server: who is alive, who is where, one stream a client, and
//! streams that move to a node with room.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use sse_lab::client::Received;
use sse_lab::protocol::api::{
    CloseEvent, ConnectionList, ConnectionRow, EventLedger, Presence, Rebalance, Servers,
};

use crate::support::{Node, Redis, Subscriber, closing, eventually, payload};

/// Nodes of one cluster; they are gone with the story.
struct Cluster {
    nodes: Vec<Node>,
    redis: Redis,
}

impl Cluster {
    /// `n-0`, `n-1`, …, all of which know each other.
    async fn start(count: usize, more: &[&str]) -> Self {
        let redis = Redis::start().await;
        let starting = (0..count).map(|number| {
            let (id, url) = (format!("n-{number}"), redis.url());
            async move { Node::start(&[&["--broker", &url, "--id", &id], more].concat()).await }
        });
        let nodes = join_all(starting).await;
        let cluster = Self { nodes, redis };
        for node in &cluster.nodes {
            eventually("a roster of all nodes", async || {
                let servers = servers(node).await;
                let ready = servers.available_servers.iter().filter(|server| server.state == "ready");
                (ready.count() == count).then_some(())
            })
            .await;
        }
        cluster
    }

    /// One stream on each node, one after the other.
    async fn stream_each(&self, query: impl Fn(usize) -> String) -> Vec<Subscriber> {
        let mut streams = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            streams.push(Subscriber::open(node, &query(number)).await);
        }
        streams
    }
}

async fn servers(node: &Node) -> Servers {
    node.get("/api/sse/servers").await.json()
}

fn ids(servers: &Servers) -> Vec<&str> {
    servers.available_servers.iter().map(|server| server.instance_id.as_str()).collect()
}

fn clients(list: &ConnectionList) -> Vec<&str> {
    list.clients.iter().map(|row| row.client_id.as_str()).collect()
}

#[tokio::test]
async fn who_is_killed_is_gone_within_the_time_of_silence_and_who_leaves_at_once() {
    let mut cluster = Cluster::start(3, &["--drain-over", "0s"]).await;
    let roster = servers(&cluster.nodes[2]).await;
    assert_eq!(
        (ids(&roster), roster.stale, roster.current_instance.as_str()),
        (vec!["n-0", "n-1", "n-2"], false, "n-2")
    );
    for (server, node) in roster.available_servers.iter().zip(&cluster.nodes) {
        assert_eq!(server.url, format!("http://{}", node.address()));
        assert!(server.last_beat_ms < 10_000 && !server.incarnation.is_empty(), "{server:?}");
    }
    cluster.nodes[0].term();
    assert_eq!(cluster.nodes[0].exit().await.code(), Some(0));
    assert_eq!(ids(&servers(&cluster.nodes[2]).await), ["n-1", "n-2"]);
    cluster.nodes[1].kill().await;
    let killed = Instant::now();
    assert_eq!(ids(&servers(&cluster.nodes[2]).await), ["n-1", "n-2"], "nobody can know yet");
    eventually("an end of the silence", async || {
        (ids(&servers(&cluster.nodes[2]).await) == ["n-2"]).then_some(())
    })
    .await;
    assert!(killed.elapsed() < Duration::from_secs(12), "{:?}", killed.elapsed());
}

#[tokio::test]
async fn a_node_that_is_started_again_is_one_node() {
    let mut cluster = Cluster::start(2, &[]).await;
    let first = servers(&cluster.nodes[0]).await;
    cluster.nodes[1].kill().await;
    cluster.nodes[1].restart().await;
    let second = eventually("the new life", async || {
        let servers = servers(&cluster.nodes[0]).await;
        let is_new = servers.available_servers[1].incarnation != first.available_servers[1].incarnation;
        is_new.then_some(servers)
    })
    .await;
    assert_eq!((ids(&second), second.duplicates.len()), (vec!["n-0", "n-1"], 0));
}

#[tokio::test]
async fn two_nodes_with_one_id_are_told_so() {
    let cluster = Cluster::start(1, &[]).await;
    let twin = Node::start(&["--broker", &cluster.redis.url(), "--id", "n-0"]).await;
    twin.wait_for_log("the roster lists a node with the same --id").await;
    for node in [&twin, &cluster.nodes[0]] {
        node.wait_for_log("so an event to one of them reaches both").await;
        let servers = servers(node).await;
        assert_eq!((ids(&servers), servers.duplicates.len()), (vec!["n-0", "n-0"], 1));
    }
}

#[tokio::test]
async fn without_its_broker_a_node_tells_what_it_knew_last() {
    let mut cluster = Cluster::start(2, &[]).await;
    cluster.redis.kill().await;
    let _stream = Subscriber::request(&cluster.nodes[1], "clientId=a", &[]).await;
    let servers = servers(&cluster.nodes[0]).await;
    assert_eq!((ids(&servers), servers.stale), (vec!["n-0", "n-1"], true));
    assert_eq!(servers.available_servers[0].state, "degraded");
    let metrics = cluster.nodes[0].metrics().await;
    assert_eq!((metrics.state.as_str(), metrics.log.broker.as_str()), ("degraded", "redis"));
    cluster.nodes[0].wait_for_line("sse_node_log_up 0").await;
    // The nodes still answer each other.
    let list = cluster.nodes[0].connections("?scope=cluster").await;
    assert!(list.unreachable.is_empty(), "{list:?}");
    cluster.nodes[0].wait_for_log("the roster cannot be reached").await;
}

#[tokio::test]
async fn connections_of_all_nodes_are_one_list() {
    let mut cluster = Cluster::start(3, &[]).await;
    let mut streams = cluster.stream_each(|number| format!("clientId=a{number}&userId=u{number}")).await;
    streams.extend(cluster.stream_each(|number| format!("clientId=b{number}&topics=news")).await);
    for (query, expected) in [
        ("&sort=clientId", &["a0", "a1", "a2", "b0", "b1", "b2"][..]),
        ("&sort=-clientId", &["b2", "b1", "b0", "a2", "a1", "a0"]),
        ("&sort=clientId&limit=4", &["a0", "a1", "a2", "b0"]),
        ("&sort=clientId&limit=4&page=2", &["b1", "b2"]),
        ("&sort=clientId&limit=4&page=3", &[]),
        ("&sort=clientId&limit=2&offset=3", &["b0", "b1"]),
        ("&sort=-instanceId&limit=2&filter=topic:news", &["b2", "b1"]),
        ("&sort=clientId&filter=topic:news&limit=2&page=2", &["b2"]),
        ("&sort=clientId&filter=node:n-1", &["a1", "b1"]),
    ] {
        for (number, node) in cluster.nodes.iter().enumerate() {
            let list = node.connections(&format!("?scope=cluster{query}")).await;
            assert_eq!(clients(&list), expected, "{query}");
            assert_eq!((list.total_connections, list.unreachable.len()), (6, 0), "{query}");
            assert_eq!(list.instance_id.as_str(), format!("n-{number}"));
        }
    }
    assert_eq!(clients(&cluster.nodes[1].connections("?sort=clientId").await), ["a1", "b1"]);
    let log = cluster.nodes[1].metrics().await.log;
    let server = log.server.expect("Redis says what it is");
    assert!(server.memory > 0 && server.clients > 1 && !server.version.is_empty() && log.rtt_us.is_some());
    let refusal = cluster.nodes[0].get("/api/sse/connections?scope=cluster&page=1001").await;
    assert!(refusal.problem(400, "invalid_request").contains("100000 rows"));
    cluster.nodes[2].kill().await;
    let list = cluster.nodes[0].connections("?scope=cluster&sort=clientId").await;
    assert_eq!((clients(&list), list.total_connections), (vec!["a0", "a1", "b0", "b1"], 4));
    let [missing] = &list.unreachable[..] else { panic!("{list:?}") };
    assert_eq!((missing.instance_id.as_str(), missing.url.is_empty()), ("n-2", false));
    assert!(missing.reason.contains("refused"), "{missing:?}");
}

#[tokio::test]
async fn a_stream_is_found_and_ended_through_any_node() {
    let mut cluster = Cluster::start(3, &[]).await;
    let mut streams = cluster.stream_each(|number| format!("clientId=c{number}")).await;
    let path = format!("/api/sse/connections/{}", streams[1].hello.connection_id);
    for node in &cluster.nodes {
        let row: ConnectionRow = node.get(&path).await.json();
        assert_eq!((row.client_id.as_str(), row.instance_id.as_str()), ("c1", "n-1"));
    }
    assert_eq!(cluster.nodes[2].delete(&path).await.status, 202);
    closing(&streams[1].event().await, 3503);
    eventually("the end of the stream", async || {
        (cluster.nodes[0].get(&path).await.status == 404).then_some(())
    })
    .await;
    cluster.nodes[0].delete(&path).await.problem(404, "not_found");
    cluster.nodes[2].kill().await;
    // Whoever does not answer may have it.
    let detail = cluster.nodes[0].get(&path).await.problem(503, "unreachable");
    assert!(detail.contains("n-2"), "{detail}");
}

#[tokio::test]
async fn anybody_can_ask_who_is_online_and_where() {
    let mut cluster = Cluster::start(2, &[]).await;
    let streams = cluster.stream_each(|number| format!("clientId=phone%20{number}&userId=anna%26co")).await;
    for node in &cluster.nodes {
        let presence: Presence = node.get("/api/sse/users/anna%26co").await.json();
        assert!(presence.online && presence.unreachable.is_empty(), "{presence:?}");
        let places: Vec<_> = presence
            .connections
            .iter()
            .map(|place| (place.instance_id.as_str(), place.client_id.as_str(), &place.connection_id))
            .collect();
        let [first, second] = &streams[..] else { panic!() };
        let expected =
            [("n-0", "phone 0", &first.hello.connection_id), ("n-1", "phone 1", &second.hello.connection_id)];
        assert_eq!(places, expected);
        assert!(presence.connections[0].since > 1_700_000_000_000);
        let presence: Presence = node.get("/api/sse/clients/phone%201").await.json();
        assert_eq!((presence.online, presence.connections.len()), (true, 1));
        assert_eq!(presence.connections[0].user_id.as_ref().unwrap().as_str(), "anna&co");
        for nobody in ["users/bert", "clients/fax"] {
            let presence: Presence = node.get(&format!("/api/sse/{nobody}")).await.json();
            assert!(!presence.online && presence.connections.is_empty(), "{presence:?}");
        }
    }
    cluster.nodes[1].kill().await;
    let presence: Presence = cluster.nodes[0].get("/api/sse/clients/phone%201").await.json();
    assert_eq!((presence.online, presence.unreachable[0].instance_id.as_str()), (false, "n-1"));
}

#[tokio::test]
async fn the_ledger_of_an_event_counts_the_writes_of_all_nodes() {
    let cluster = Cluster::start(2, &[]).await;
    let mut streams = cluster.stream_each(|_| "topics=news".to_owned()).await;
    streams.push(Subscriber::open(&cluster.nodes[1], "topics=news").await);
    let published = cluster.nodes[0].publish("topics/news", &json!({ "data": 1 })).await;
    for stream in &mut streams {
        assert_eq!(payload(&stream.event().await), 1);
    }
    for node in &cluster.nodes {
        eventually("all writes", async || {
            let ledger: EventLedger = node.get(&format!("/api/sse/events/{}", published.id)).await.json();
            let written: Vec<_> =
                ledger.written.iter().map(|by| (by.instance_id.as_str(), by.connections)).collect();
            (written == [("n-0", 1), ("n-1", 2)]).then_some(())
        })
        .await;
    }
}

/// The code that a stream was closed with, if it was.
async fn close_code(stream: Subscriber) -> (u16, bool) {
    let (events, _ending) = stream.rest().await;
    let last = events.last().unwrap_or_else(|| panic!("a stream that ends says why"));
    let close: CloseEvent = serde_json::from_str(&last.data).unwrap();
    (close.code, close.reconnect)
}

async fn of_client(node: &Node, client: &str) -> Vec<String> {
    let presence: Presence = node.get(&format!("/api/sse/clients/{client}")).await.json();
    presence.connections.iter().map(|place| place.connection_id.to_string()).collect()
}

#[tokio::test]
async fn the_newest_stream_of_a_client_takes_over_wherever_it_is() {
    let cluster = Cluster::start(2, &["--takeover", "newest"]).await;
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    let first = Subscriber::open(a, "clientId=phone").await;
    let mut other = Subscriber::open(a, "clientId=fax").await;
    for node in [b, a, a, b] {
        let newer = Subscriber::open(node, "clientId=phone").await;
        eventually("one stream of the client", async || {
            (of_client(a, "phone").await == [newer.hello.connection_id.to_string()]).then_some(())
        })
        .await;
        drop(newer);
    }
    assert_eq!(close_code(first).await, (4500, false));
    assert!(a.metrics().await.closed["taken_over"] > 0);
    b.publish("broadcast/fax", &json!({ "data": "still here" })).await;
    assert_eq!(payload(&other.event().await), "still here");
}

#[tokio::test]
async fn of_streams_that_race_exactly_one_survives() {
    let cluster = Cluster::start(3, &["--takeover", "newest"]).await;
    let racing = (0..10).map(|client| {
        let nodes = &cluster.nodes;
        async move {
            let query = format!("clientId=c{client}");
            let streams = join_all((0..6).map(|turn| Subscriber::open(&nodes[turn % 3], &query))).await;
            let newest = streams.iter().map(|stream| stream.hello.connection_id.clone()).max().unwrap();
            let survivor = eventually("one stream of the client", async || {
                let open = of_client(&nodes[0], &format!("c{client}")).await;
                (open.len() == 1).then(|| open[0].clone())
            })
            .await;
            assert_eq!(survivor, newest.to_string());
            let (survivor, ended): (Vec<_>, Vec<_>) =
                streams.into_iter().partition(|stream| stream.hello.connection_id == newest);
            assert_eq!(join_all(ended.into_iter().map(close_code)).await, [(4500, false); 5]);
            survivor
        }
    });
    let mut survivors: Vec<_> = join_all(racing).await.into_iter().flatten().collect();
    cluster.nodes[0].publish("broadcast", &json!({ "data": 1 })).await;
    for survivor in &mut survivors {
        assert_eq!(payload(&survivor.event().await), 1);
    }
    let total = cluster.nodes[1].connections("?scope=cluster").await.total_connections;
    assert_eq!((survivors.len(), total), (10, 10));
}

#[tokio::test]
async fn a_node_that_slept_while_another_took_over_is_told_when_it_wakes() {
    let cluster = Cluster::start(2, &["--takeover", "newest"]).await;
    let (awake, asleep) = (&cluster.nodes[0], &cluster.nodes[1]);
    let older = Subscriber::open(asleep, "clientId=phone").await;
    asleep.pause();
    let newer = Subscriber::open(awake, "clientId=phone").await;
    awake.wait_for_log("cannot tell a node which older streams it must close").await;
    let presence: Presence = awake.get("/api/sse/clients/phone").await.json();
    assert_eq!((presence.connections.len(), presence.unreachable.len()), (1, 1));
    asleep.resume();
    assert_eq!(close_code(older).await, (4500, false));
    assert_eq!(of_client(asleep, "phone").await, [newer.hello.connection_id.to_string()]);
}

#[tokio::test]
async fn without_take_over_a_client_may_have_a_stream_on_each_node() {
    let cluster = Cluster::start(2, &[]).await;
    let mut streams = cluster.stream_each(|_| "clientId=phone".to_owned()).await;
    cluster.nodes[0].publish("broadcast/phone", &json!({ "data": 1 })).await;
    for stream in &mut streams {
        assert_eq!(payload(&stream.event().await), 1);
    }
    assert_eq!(of_client(&cluster.nodes[0], "phone").await.len(), 2);
}

/// Reads a stream up to its `CLOSE`, or to the message that only those get who stay.
async fn was_sent_away(mut stream: Subscriber) -> bool {
    loop {
        match stream.received().await {
            Ok(Received::Event(event)) if event.event == "CLOSE" => {
                closing(&event, 3011);
                return true;
            }
            Ok(Received::Event(event)) if event.event == "MESSAGE" => return false,
            Ok(_) => {}
            Err(ending) => panic!("it ended without a word: {ending}"),
        }
    }
}

#[tokio::test]
async fn a_new_node_is_given_its_share() {
    let cluster = Cluster::start(2, &["--retry-jitter", "5s"]).await;
    let (full, empty) = (&cluster.nodes[0], &cluster.nodes[1]);
    let streams = join_all((0..40).map(|_| Subscriber::open(full, ""))).await;
    eventually("the news of it", async || {
        let servers = servers(empty).await;
        (servers.available_servers[0].connections == 40).then_some(())
    })
    .await;
    // The mean is 20, one more is tolerated.
    let answer = empty.post("/admin/rebalance?scope=cluster", r#"{"over":"1h","reason":"room"}"#).await;
    assert_eq!(answer.status, 202);
    let rebalance: Rebalance = answer.json();
    let shed: Vec<_> = rebalance.nodes.iter().map(|node| (node.instance_id.as_str(), node.shed)).collect();
    assert_eq!((rebalance.shed, shed), (19, vec![("n-0", 19), ("n-1", 0)]));
    assert_eq!((rebalance.nodes[0].mean, rebalance.nodes[0].connections), (20, 40));
    let taken_back: Rebalance = empty.delete("/admin/rebalance?scope=cluster").await.json();
    assert!(taken_back.nodes.iter().all(|node| node.remaining == 0), "{taken_back:?}");
    assert_eq!(full.metrics().await.active_connections, 40);
    let again: Rebalance = full.post("/admin/rebalance", r#"{"over":"200ms"}"#).await.json();
    assert_eq!((again.shed, again.nodes.len()), (19, 1));
    full.wait_for_connections(21).await;
    let status: Rebalance = full.get("/admin/rebalance").await.json();
    assert_eq!((status.nodes[0].remaining, status.nodes[0].connections), (0, 21));
    full.publish("broadcast", &json!({ "data": 1 })).await;
    let sent_away = join_all(streams.into_iter().map(was_sent_away)).await;
    assert_eq!(sent_away.iter().filter(|away| **away).count(), 19);
    assert_eq!(full.metrics().await.closed["rebalance"], 19);
    for (query, body, status, code) in [
        ("?scope=world", "", 400, "invalid_request"),
        ("", r#"{"over":"soon"}"#, 422, "invalid_event"),
        ("", r#"{"within":"5s"}"#, 422, "invalid_event"),
    ] {
        full.post(&format!("/admin/rebalance{query}"), body).await.problem(status, code);
    }
}

#[tokio::test]
async fn only_who_knows_the_secret_is_answered() {
    let secret = "the-secret-of-this-cluster".to_owned();
    let cluster = Cluster::start(2, &["--cluster-secret", &secret]).await;
    let stranger = Node::start(&[
        "--broker",
        &cluster.redis.url(),
        "--id",
        "n-2",
        "--cluster-secret",
        "0123456789abcdef",
    ])
    .await;
    let list = eventually("news of the stranger", async || {
        let list = cluster.nodes[0].connections("?scope=cluster").await;
        (!list.unreachable.is_empty()).then_some(list)
    })
    .await;
    let [missing] = &list.unreachable[..] else { panic!("{list:?}") };
    assert_eq!(missing.instance_id.as_str(), "n-2");
    assert!(missing.reason.contains("403") && missing.reason.contains("secret"), "{missing:?}");
    let list = stranger.connections("?scope=cluster").await;
    assert_eq!(list.unreachable.len(), 2, "{list:?}");

    let node = &cluster.nodes[0];
    let ask = async |headers: &[(&str, &str)]| {
        let mut request = node.http().request(Method::GET, node.url("/cluster/connections"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        node.answer(request).await
    };
    for headers in [
        &[][..],
        &[("x-sse-peer", "somebody")],
        &[("x-sse-cluster-secret", secret.as_str())],
        &[("x-sse-peer", "somebody"), ("x-sse-cluster-secret", "the-secret-of-this-clusteR")],
    ] {
        ask(headers).await.problem(403, "forbidden");
    }
    let known = [("x-sse-peer", "somebody"), ("x-sse-cluster-secret", secret.as_str())];
    // As nodes of earlier builds ask.
    assert_eq!(ask(&known).await.status, 200);
    assert!(node.said("a node of an earlier build sends the cluster secret itself"));
    for node in cluster.nodes.iter().chain([&stranger]) {
        assert!(!node.said(&secret), "the secret is in the log");
    }
}

#[tokio::test]
async fn without_a_secret_only_this_machine_is_answered() {
    let node = Node::start(&[]).await;
    let ask = async |more: &[(&str, &str)]| {
        let mut request = node.http().request(Method::GET, node.url("/cluster/connections"));
        request = request.header("x-sse-peer", "somebody");
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        node.answer(request).await
    };
    assert_eq!(ask(&[]).await.status, 200);
    // A proxy on this machine speaks for somebody who is not.
    for header in ["x-forwarded-for", "forwarded", "via", "x-real-ip"] {
        let detail = ask(&[(header, "10.0.0.1")]).await.problem(403, "forbidden");
        assert!(detail.contains("--cluster-secret"), "{detail}");
    }
    node.get("/cluster/connections").await.problem(403, "forbidden");
    node.get("/cluster/nothing").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_node_with_the_address_of_another_is_not_taken_for_it() {
    let cluster = Cluster::start(1, &[]).await;
    let here = format!("http://{}", cluster.nodes[0].address());
    let _lost = Node::start(&["--broker", &cluster.redis.url(), "--id", "n-1", "--advertise", &here]).await;
    let list = eventually("news of the other node", async || {
        let list = cluster.nodes[0].connections("?scope=cluster").await;
        (!list.unreachable.is_empty()).then_some(list)
    })
    .await;
    assert!(list.unreachable[0].reason.contains("--advertise"), "{list:?}");
}
