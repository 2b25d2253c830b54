//! Everything at once: many clients that come and go, two publishers, and a node that is killed twice. What each
//! client has seen, over all its connections, is the log: nothing lost, nothing twice, nothing out of order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use sse_lab::client::{Received, Request, connect};
use sse_lab::protocol::api::{History, Published};
use sse_lab::protocol::{Cursor, event::control};
use tokio::task::JoinSet;

use crate::support::{Node, directory, eventually, file, http, within};

const CLIENTS: u64 = 200;
const EVENTS_PER_PUBLISHER: u64 = 150;
/// A client or publisher that meets a dead node knocks again after so long.
const KNOCK: Duration = Duration::from_millis(50);

/// A client that leaves and comes back at random until it has seen the last event.
async fn churn(number: u64, url: reqwest::Url, start: String) -> Vec<String> {
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    let http = http();
    let mut seen = Vec::new();
    let mut cursor = start;
    loop {
        let mut request = Request::new(url.clone());
        request.last_event_id.clone_from(&cursor);
        let Ok(mut stream) = connect(&http, &request).await else {
            tokio::time::sleep(KNOCK).await;
            continue;
        };
        let mut patience = rng.random_range(1..80);
        while patience > 0 {
            let received = within("the last event", stream.next()).await;
            let Ok(received) = received else { break };
            let Received::Event(event) = received else { continue };
            if event.id_in_block {
                cursor.clone_from(&event.last_event_id);
            }
            match event.event.as_str() {
                "MESSAGE" => seen.push(event.last_event_id),
                control::CONNECTION | control::CURSOR => {}
                other => panic!("client {number} got {other}: {}", event.data),
            }
            if event.data.contains(r#""data":"end""#) {
                return seen;
            }
            patience -= 1;
        }
    }
}

/// Publishes until every event is acknowledged, each under its own key; returns the positions.
async fn publish(
    name: &'static str,
    base: reqwest::Url,
    acknowledged: &AtomicU64,
) -> Vec<(String, &'static str)> {
    let http = http();
    let mut positions = Vec::new();
    for number in 0..EVENTS_PER_PUBLISHER {
        let to = if number % 3 == 0 { "topics/even" } else { "broadcast" };
        let body = json!({ "data": number, "type": "MESSAGE", "id": format!("{name}-{number}") }).to_string();
        let url = base.join(to).unwrap();
        let published = eventually("an acknowledgement", async || {
            let answer = http.post(url.clone()).body(body.clone()).send().await;
            match answer {
                Ok(answer) if answer.status() == 202 => answer.json::<Published>().await.ok(),
                _ => None,
            }
        })
        .await;
        positions.push((published.id.to_string(), to));
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    positions
}

fn position(id: &str) -> Cursor {
    id.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_kills_and_two_hundred_restless_clients_lose_and_repeat_nothing() {
    let directory = directory();
    let args = ["--broker", &file(&directory), "--window-frames", "60", "--replay-page", "25"];
    let mut node = Node::start(&args).await;
    let history: History = node.get("/api/sse/history").await.json();
    let start = history.newest.to_string();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let topics = if number % 2 == 0 { "&topics=even" } else { "" };
        let url = node.url(&format!("/api/sse/stream?clientId=c{number}{topics}"));
        let client = churn(number, url, start.clone());
        clients.spawn(async move { (number, client.await) });
    }
    let acknowledged = AtomicU64::new(0);
    let base = node.url("/api/sse/");
    let killer = async {
        for threshold in [EVENTS_PER_PUBLISHER / 2, EVENTS_PER_PUBLISHER * 3 / 2] {
            eventually("enough events", async || {
                (acknowledged.load(Ordering::Relaxed) >= threshold).then_some(())
            })
            .await;
            node.kill().await;
            node.restart().await;
        }
    };
    let (one, two, ()) = tokio::join!(
        publish("one", base.clone(), &acknowledged),
        publish("two", base.clone(), &acknowledged),
        killer
    );
    let end = node.publish("broadcast", &json!({ "data": "end" })).await.id.to_string();
    let mut published = [one, two, vec![(end, "broadcast")]].concat();
    published.sort_by_key(|(id, _)| position(id).position);
    while let Some(joined) = within("all clients", clients.join_next()).await {
        let (number, seen) = joined.unwrap();
        let expected: Vec<_> = published
            .iter()
            .filter(|(_, to)| *to == "broadcast" || number % 2 == 0)
            .map(|(id, _)| id.as_str())
            .collect();
        assert_eq!(seen, expected, "client {number}");
    }
    let log: Vec<_> = node.history().await.into_iter().map(|event| event.id.to_string()).collect();
    let accounted: Vec<_> = published.into_iter().map(|(id, _)| id).collect();
    assert_eq!(log, accounted, "nothing in the log but what was acknowledged");
}
