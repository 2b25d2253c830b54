//! The whole of `compose.yaml` without containers: Redis with its shipped file, three nodes, a balancer with its own.
//! What is published through the balancer reaches every client on every node, also those whose node is killed.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;
use sse_lab::client::Stream;
use sse_lab::protocol::api::ConnectionEvent;
use sse_lab::protocol::event::control;

use super::balancer::{Balancer, Kind, free_address};
use super::behind::{next_event, nodes, number_of};
use crate::support::{directory, eventually, payload, within};

const CLIENTS: u64 = 12;

/// A client that reads through the balancer.
struct Client {
    id: u64,
    stream: Stream,
    home: usize,
    got: Vec<u64>,
}

impl Client {
    async fn open(balancer: &Balancer, id: u64, last_event_id: Option<&str>) -> Self {
        let mut stream = balancer.stream_after(&format!("clientId=client-{id}"), last_event_id).await;
        let first = next_event(&mut stream).await;
        assert_eq!(first.event, control::CONNECTION, "{first:?}");
        let hello: ConnectionEvent = serde_json::from_str(&first.data).unwrap();
        Self { id, stream, home: number_of(hello.instance_id.as_str()), got: Vec::new() }
    }

    /// Reads up to this number.
    async fn read_up_to(&mut self, last: u64) {
        while self.got.last() != Some(&last) {
            let event = next_event(&mut self.stream).await;
            match event.event.as_str() {
                "MESSAGE" => self.got.push(payload(&event).as_u64().unwrap()),
                control::CURSOR => {}
                _ => panic!("client {}: {event:?}", self.id),
            }
        }
    }

    /// Reads to the end, and comes back with what it saw last.
    async fn come_back(mut self, balancer: &Balancer) -> Self {
        within("the end of a stream whose node died", async { while self.stream.next().await.is_ok() {} })
            .await;
        let last = self.stream.last_event_id().to_owned();
        Self { got: self.got, ..Self::open(balancer, self.id, Some(&last)).await }
    }
}

/// As publishers do: what was answered 502 may have been taken all the same, and is sent again with its id.
async fn publish(balancer: &Balancer, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let body = json!({ "data": number, "id": format!("number-{number}") }).to_string();
        eventually("an accepted publish", async || {
            let answer = balancer.send(Method::POST, "/api/sse/broadcast", &body).await;
            assert!(matches!(answer.status.as_u16(), 202 | 502), "{answer:?}");
            (answer.status == 202).then_some(())
        })
        .await;
    }
}

async fn everybody_gets_everything_also_when_a_node_is_killed(kind: Kind) {
    let (address, directory) = (free_address(), directory());
    let _redis = super::redis::start(address, directory.path()).await;
    let mut nodes = nodes(&["--broker", &format!("redis://{address}")]).await;
    let balancer = kind.setup().sticky("client_id").start(&nodes).await;
    let mut clients = Vec::new();
    for id in 0..CLIENTS {
        clients.push(Client::open(&balancer, id, None).await);
    }
    let homes: BTreeSet<_> = clients.iter().map(|client| client.home).collect();
    assert!(homes.len() > 1, "all clients are on one node, which proves nothing");
    publish(&balancer, 1..=10).await;
    for client in &mut clients {
        client.read_up_to(10).await;
    }

    let dead = clients[0].home;
    nodes[dead].kill().await;
    publish(&balancer, 11..=20).await;
    let mut after = Vec::new();
    for client in clients {
        let client = if client.home == dead { client.come_back(&balancer).await } else { client };
        assert_ne!(client.home, dead);
        after.push(client);
    }
    publish(&balancer, 21..=30).await;
    for mut client in after {
        client.read_up_to(30).await;
        assert_eq!(client.got, (1..=30).collect::<Vec<_>>(), "client {}", client.id);
    }
}

#[tokio::test]
async fn behind_nginx_everybody_gets_everything_also_when_a_node_is_killed() {
    everybody_gets_everything_also_when_a_node_is_killed(Kind::Nginx).await;
}

#[tokio::test]
async fn behind_haproxy_everybody_gets_everything_also_when_a_node_is_killed() {
    everybody_gets_everything_also_when_a_node_is_killed(Kind::Haproxy).await;
}
