//! What operators see and do: connections, metrics, health, history.

use futures_util::future::join_all;
use serde_json::{Value, json};
use sse_lab::protocol::api::{ConnectionRow, EventLedger, GapReason, History, Servers};

use crate::support::openmetrics::{self, Metric};
use crate::support::{Node, Subscriber, closing, eventually, payload};

fn clients(rows: &[ConnectionRow]) -> Vec<&str> {
    rows.iter().map(|row| row.client_id.as_str()).collect()
}

async fn three(node: &Node) -> Vec<Subscriber> {
    let mut streams = Vec::new();
    // One after the other, so that their order is known.
    for query in ["clientId=b&userId=u1&topics=orders,news", "clientId=a&userId=u2&topics=news", "clientId=c"]
    {
        streams.push(Subscriber::open(node, query).await);
    }
    streams
}

#[tokio::test]
async fn connections_are_listed_filtered_sorted_and_paged() {
    let node = Node::start(&["--id", "n-1", "--name", "Node 1"]).await;
    let mut streams = three(&node).await;
    node.publish("broadcast/a", &json!({ "data": 1 })).await;
    assert_eq!(payload(&streams[1].event().await), 1);
    for (query, expected) in [
        ("?sort=clientId", &["a", "b", "c"][..]),
        ("?sort=-clientId", &["c", "b", "a"]),
        ("?sort=-sent&limit=1", &["a"]),
        ("?filter=topic:news&sort=clientId", &["a", "b"]),
        ("?filter=topic:news+!topic:orders", &["a"]),
        ("?filter=user:U1", &["b"]),
        ("?filter=!user:u&sort=clientId", &["c"]),
        ("?filter=state:live+client:c", &["c"]),
        ("?filter=ip:127.0.0.1&sort=clientId", &["a", "b", "c"]),
        ("?filter=ip:10.", &[]),
        ("?filter=orders", &["b"]),
        ("?filter=sent%3E0", &["a"]),
        ("?filter=/%5E[bc]$/+age%3C1h&sort=clientId", &["b", "c"]),
        ("?sort=clientId&limit=2&offset=1", &["b", "c"]),
        ("?sort=clientId&limit=2", &["a", "b"]),
        ("?sort=clientId&limit=2&page=2", &["c"]),
        ("?sort=clientId&limit=2&page=3", &[]),
        ("?sort=clientId&page=18446744073709551615", &[]),
        ("?scope=cluster&sort=userId", &["c", "b", "a"]),
    ] {
        let list = node.connections(query).await;
        assert_eq!(clients(&list.clients), expected, "{query}");
        assert_eq!((list.total_connections, list.instance_id.as_str()), (3, "n-1"), "{query}");
        assert_eq!(list.instance_name, "Node 1");
    }
    let page = node.connections("?filter=news&limit=1&page=2").await;
    assert_eq!((page.matched, page.page, page.limit, page.clients.len()), (2, 2, 1, 1));
}

#[tokio::test]
async fn a_list_that_cannot_be_meant_is_refused() {
    let node = Node::start(&[]).await;
    for (query, reason) in [
        ("scope=world", "node, cluster"),
        ("sort=size", "connectedAt, clientId"),
        ("limit=0", "1 to 1000"),
        ("limit=1001", "1 to 1000"),
        ("page=0", "page=0"),
        ("page=one", "page"),
        ("page=-1", "page"),
    ] {
        let detail = node.get(&format!("/api/sse/connections?{query}")).await.problem(400, "invalid_request");
        assert!(detail.contains(reason), "{query}: {detail}");
    }
}

#[tokio::test]
async fn one_connection_shows_what_it_got() {
    let node = Node::start(&["--id", "n-1"]).await;
    let mut streams = three(&node).await;
    let published = node.publish("topics/orders", &json!({ "data": 1 })).await;
    streams[0].event().await;
    let path = format!("/api/sse/connections/{}", streams[0].hello.connection_id);
    let row = eventually("the place of the stream", async || {
        let row: ConnectionRow = node.get(&path).await.json();
        (row.sent == 1 && row.lag == 0 && row.last_event_id == published.id).then_some(row)
    })
    .await;
    assert_eq!((row.client_id.as_str(), row.user_id.unwrap().as_str()), ("b", "u1"));
    assert_eq!(row.topics.iter().map(|topic| topic.as_str()).collect::<Vec<_>>(), ["news", "orders"]);
    assert_eq!(
        (row.instance_id.as_str(), row.remote.as_str(), row.state.as_str()),
        ("n-1", "127.0.0.1", "live")
    );
    assert!(row.bytes > 300 && row.connected_at <= streams[0].hello.server_time, "{}", row.bytes);
    node.get("/api/sse/connections/nobody").await.problem(404, "not_found");
}

#[tokio::test]
async fn an_operator_ends_a_stream() {
    let node = Node::start(&[]).await;
    let mut streams = three(&node).await;
    let ended = streams.remove(0);
    let path = format!("/api/sse/connections/{}", ended.hello.connection_id);
    assert_eq!(node.delete(&path).await.status, 202);
    let (events, _ending) = ended.rest().await;
    let [event] = &events[..] else { panic!("{events:?}") };
    closing(event, 3503);
    node.wait_for_connections(2).await;
    node.get(&path).await.problem(404, "not_found");
    node.delete(&path).await.problem(404, "not_found");
    assert_eq!(node.metrics().await.closed["forced"], 1);
    node.publish("broadcast", &json!({ "data": "the others stay" })).await;
    for stream in &mut streams {
        assert_eq!(payload(&stream.event().await), "the others stay");
    }
}

#[tokio::test]
async fn metrics_have_the_fields_of_old_and_move() {
    let node = Node::start(&["--id", "n-1", "--name", "Node 1"]).await;
    let before: Value = node.get("/api/sse/metrics").await.json();
    assert_eq!((&before["instanceId"], &before["instanceName"]), (&json!("n-1"), &json!("Node 1")));
    for key in ["uptime", "activeConnections", "totalMessagesSent", "messagesPerMinute"] {
        assert_eq!(before[key], 0, "{key}");
    }
    for key in ["max", "total", "used", "free"] {
        assert!(before["memoryUsage"][key].as_u64().unwrap() > 0, "{key}");
    }
    let mut streams = three(&node).await;
    for number in 0..10 {
        node.publish("broadcast", &json!({ "data": number })).await;
    }
    for stream in &mut streams {
        stream.until(&json!(9)).await;
    }
    let metrics = eventually("the counters", async || {
        let metrics = node.metrics().await;
        (metrics.delivery_latency.count == 30).then_some(metrics)
    })
    .await;
    assert_eq!((metrics.active_connections, metrics.total_connections), (3, 3));
    assert_eq!((metrics.messages_per_minute, metrics.total_messages_sent), (30, 30));
    assert_eq!((metrics.total_messages_published, metrics.total_messages_tailed), (10, 10));
    assert_eq!((metrics.log.length, metrics.window_frames, metrics.tail_lag), (10, 10, 0));
    assert_eq!((metrics.log.broker.as_str(), metrics.state.as_str()), ("memory", "ready"));
    assert!(
        metrics.total_bytes_sent > 30 * 100 && metrics.log.bytes > 10 * 50 && metrics.window_bytes > 10 * 100
    );
    assert!(
        metrics.delivery_latency.p50_us > 0
            && metrics.delivery_latency.p99_us <= metrics.delivery_latency.max_us
    );
    assert!(metrics.open_files > 3);
    assert_eq!(metrics.gaps.values().chain(metrics.closed.values()).sum::<u64>(), 0);
}

#[tokio::test]
async fn the_latency_of_two_nodes_can_be_added() {
    use base64::Engine as _;
    let node = Node::start(&[]).await;
    let mut stream = Subscriber::open(&node, "").await;
    node.publish("broadcast", &json!({ "data": 1 })).await;
    stream.event().await;
    let dump = eventually("a latency", async || {
        let latency = node.metrics().await.delivery_latency;
        (latency.count == 1).then_some(latency)
    })
    .await;
    let bytes = base64::engine::general_purpose::STANDARD.decode(&dump.hdr).unwrap();
    let read = || -> hdrhistogram::Histogram<u64> {
        hdrhistogram::serialization::Deserializer::new()
            .deserialize(&mut std::io::Cursor::new(&bytes))
            .unwrap()
    };
    let mut sum = read();
    sum.add(read()).unwrap();
    assert_eq!((sum.len(), sum.max()), (2, dump.max_us));
}

fn count(metrics: &[Metric], name: &str) -> f64 {
    let of_name = metrics.iter().flat_map(|metric| &metric.samples).filter(|sample| sample.name == name);
    of_name.map(|sample| sample.value).sum()
}

#[tokio::test]
async fn prometheus_can_read_the_metrics() {
    let node = Node::start(&[]).await;
    let mut streams = join_all((0..3).map(|n| {
        let query = format!("clientId=secret-client-{n}&userId=secret-user&topics=secret-topic");
        let node = &node;
        async move { Subscriber::open(node, &query).await }
    }))
    .await;
    Subscriber::after(&node, "clientId=secret-client-9", "17").await.event().await;
    // The one that left must be gone, or the broadcast is written to it too.
    node.wait_for_connections(3).await;
    node.publish("broadcast/secret-client-1", &json!({ "data": 1, "type": "secret type" })).await;
    node.publish("broadcast", &json!({ "data": 2 })).await;
    node.post("/api/sse/broadcast", "{").await;
    for stream in &mut streams {
        stream.until(&json!(2)).await;
    }
    node.wait_for_connections(3).await;
    node.wait_for_line("sse_node_delivery_latency_seconds_count 4").await;
    let answer = node.get("/metrics").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, Some("application/openmetrics-text; version=1.0.0; charset=utf-8"),)
    );
    assert!(!answer.body.contains("secret"), "no label grows with users:\n{}", answer.body);
    let metrics =
        openmetrics::parse(&answer.body).unwrap_or_else(|problem| panic!("{problem}:\n{}", answer.body));
    for metric in &metrics {
        assert!(metric.name.starts_with("sse_node_"), "{}", metric.name);
    }
    for (name, value) in [
        ("sse_node_connections", 3.0),
        ("sse_node_connections_opened_total", 4.0),
        ("sse_node_connections_resumed_total", 1.0),
        ("sse_node_messages_published_total", 2.0),
        ("sse_node_messages_tailed_total", 2.0),
        ("sse_node_publish_errors_total", 1.0),
        ("sse_node_gaps_total", 1.0),
        ("sse_node_disconnects_total", 1.0),
        ("sse_node_log_events", 2.0),
        ("sse_node_draining", 0.0),
    ] {
        assert_eq!(count(&metrics, name), value, "{name}");
    }
    assert_eq!(
        count(&metrics, "sse_node_delivery_latency_seconds_count"),
        count(&metrics, "sse_node_messages_sent_total")
    );
    assert!(count(&metrics, "sse_node_resident_memory_bytes") > 1e6);
}

#[tokio::test]
async fn a_probe_gets_a_status_and_may_ask_for_another_state() {
    let node = Node::start(&[]).await;
    assert_eq!(node.get("/actuator/health").await.json::<Value>(), json!({ "status": "UP" }));
    assert_eq!(node.get("/health/live").await.json::<Value>(), json!({ "status": "UP" }));
    let ready: Value = node.get("/health/ready").await.json();
    assert_eq!(ready, json!({ "status": "UP", "state": "ready", "connections": 0, "tailLag": 0 }));
    assert_eq!(node.get("/health/ready?expect=ready").await.status, 200);
    for state in ["draining", "degraded"] {
        assert_eq!(node.get(&format!("/health/ready?expect={state}")).await.status, 503);
    }
    let detail = node.get("/health/ready?expect=happy").await.problem(400, "invalid_request");
    assert!(detail.contains("ready, degraded, draining"), "{detail}");
    assert_eq!(node.get("/health/ready?wait=1").await.status, 200, "what is not known is ignored");
}

#[tokio::test]
async fn the_roster_of_one_node_is_this_node() {
    let node =
        Node::start(&["--id", "n-1", "--name", "Node 1", "--advertise", "http://sse.example:80"]).await;
    let _stream = Subscriber::open(&node, "").await;
    let servers: Servers = node.get("/api/sse/servers").await.json();
    assert_eq!((servers.current_instance.as_str(), servers.total_servers), ("n-1", 1));
    let [server] = &servers.available_servers[..] else { panic!("{servers:?}") };
    assert_eq!((server.instance_id.as_str(), server.url.as_str()), ("n-1", "http://sse.example:80"));
    assert_eq!((server.state.as_str(), server.connections, server.lag), ("ready", 1, 0));
    assert!(!server.version.is_empty() && server.started_at > 1_700_000_000_000);
    let plain = Node::start(&[]).await;
    let servers: Servers = plain.get("/api/sse/servers").await.json();
    assert_eq!(servers.available_servers[0].url, format!("http://{}", plain.address()));
}

#[tokio::test]
async fn history_is_read_in_pages_and_by_topic() {
    let node = Node::start(&[]).await;
    let mut published = Vec::new();
    for number in 0..25 {
        let to = if number % 5 == 0 { "topics/t" } else { "broadcast" };
        published.push(node.publish(to, &json!({ "data": number })).await.id);
    }
    let read = async |query: String| node.get(&format!("/api/sse/history?{query}")).await.json::<History>();
    let mut after = "earliest".to_owned();
    let mut pages = Vec::new();
    loop {
        let page = read(format!("limit=10&after={after}")).await;
        assert_eq!((&page.newest, &page.gap), (published.last().unwrap(), &None));
        assert!(page.newest.as_str().starts_with(&format!("{}-", page.epoch)));
        pages.push(page.events.iter().map(|event| event.id.clone()).collect::<Vec<_>>());
        match page.next {
            Some(next) => after = next.to_string(),
            None => break,
        }
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
    assert_eq!(pages.concat(), published);
    let page = read("topic=t&limit=25".to_owned()).await;
    let payloads: Vec<_> = page.events.iter().map(|event| event.envelope.data.get()).collect();
    assert_eq!(payloads, ["0", "5", "10", "15", "20"]);
    assert_eq!(page.events[1].address.to_string(), "topic:t");
    // A page of the log that holds nothing of the topic is not the last one.
    let page = read(format!("topic=t&limit=4&after={}", published[0])).await;
    assert_eq!((page.events.len(), page.next.as_ref()), (0, Some(&published[4])));
    assert_eq!(read(format!("after={}", published[24])).await.events.len(), 0);
}

#[tokio::test]
async fn history_after_a_lost_cursor_says_what_is_missing() {
    let node = Node::start(&[]).await;
    node.publish("broadcast", &json!({ "data": 1 })).await;
    let page: History = node.get("/api/sse/history?after=zzzzzz-5-0").await.json();
    assert_eq!(page.gap.unwrap().reason, GapReason::Epoch);
    assert_eq!(page.events.len(), 1);
    for (query, reason) in [
        ("after=17", "earliest and what stands in an `id:` line"),
        ("limit=0", "1 to 1000"),
        ("limit=5000", "1 to 1000"),
        ("limit=many", "limit"),
        ("topic=a/b", "topic"),
    ] {
        let detail = node.get(&format!("/api/sse/history?{query}")).await.problem(400, "invalid_request");
        assert!(detail.contains(reason), "{query}: {detail}");
    }
}

#[tokio::test]
async fn the_ledger_of_an_event_says_who_got_it() {
    let node = Node::start(&["--id", "n-1"]).await;
    let mut streams = three(&node).await;
    let body = json!({ "data": 1, "id": "the message" });
    let published = node.publish("topics/news", &body).await;
    for stream in &mut streams[..2] {
        stream.event().await;
    }
    let path = format!("/api/sse/events/{}", published.id);
    let ledger = eventually("both writes", async || {
        let ledger: EventLedger = node.get(&path).await.json();
        (ledger.written[0].connections == 2).then_some(ledger)
    })
    .await;
    assert_eq!((ledger.id, ledger.message_id.as_str()), (published.id.clone(), "the message"));
    assert_eq!((ledger.address.to_string(), ledger.confirmed), ("topic:news".to_owned(), 0));
    assert_eq!((ledger.written.len(), ledger.written[0].instance_id.as_str()), (1, "n-1"));
    humantime::parse_rfc3339(&ledger.accepted_at).unwrap();
    let other = format!("{}-1-0", published.epoch);
    node.get(&format!("/api/sse/events/{other}")).await.problem(404, "not_found");
    node.get("/api/sse/events/zzzzzz-1-0").await.problem(404, "not_found");
    let largest = format!("{0}-{1}-{1}", published.epoch, u64::MAX);
    node.get(&format!("/api/sse/events/{largest}")).await.problem(404, "not_found");
    let detail = node.get("/api/sse/events/17").await.problem(400, "invalid_request");
    assert!(detail.contains("not an event id"), "{detail}");
}

#[tokio::test]
async fn a_page_for_people_is_served() {
    let node = Node::start(&[]).await;
    let answer = node.get("/").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/html"), "{answer:?}");
    assert!(answer.body.contains("<html"), "{answer:?}");
}
