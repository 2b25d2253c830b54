//! A client comes back to its node while that node lives, and finds another one when it does not: for each of the
//! ways that the shipped files offer.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use super::balancer::{Balancer, Kind};
use super::behind::{nodes, number_of};

/// Enough that not all of them belong to one node.
const CLIENTS: u8 = 12;

/// A client, by everything that a balancer may know it by.
#[derive(Debug)]
struct Client {
    address: Ipv4Addr,
    id: String,
    cookie: Option<String>,
}

impl Client {
    /// Each from another network, as nginx counts them: by the first three numbers.
    fn all() -> Vec<Self> {
        let client =
            |n| Self { address: Ipv4Addr::new(127, 1, n, 7), id: format!("client-{n}"), cookie: None };
        (1..=CLIENTS).map(client).collect()
    }

    /// Opens a stream; the name of the node that has it.
    async fn connect(&mut self, balancer: &Balancer) -> String {
        let query = format!("clientId={}", self.id);
        let (head, _stream) = balancer.head(self.address, &query, self.cookie.as_deref()).await;
        let field = |name: &str| {
            head.lines().find_map(|line| {
                let (known, value) = line.split_once(':')?;
                known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        if let Some(cookie) = field("set-cookie") {
            self.cookie = Some(cookie.split(';').next().unwrap().to_owned());
        }
        field("x-sse-server-id").unwrap_or_else(|| panic!("no node has answered: {head}"))
    }
}

/// The parts of a client that change between its visits, so that only the one it is known by can bring it back.
fn disguise(client: &mut Client, known_by: &str, visit: u8) {
    if known_by != "address" {
        client.address = Ipv4Addr::new(127, 2, client.address.octets()[2], visit);
    }
    if known_by != "clientId" {
        client.id = format!("{}-{visit}", client.id);
    }
    if known_by != "cookie" {
        client.cookie = None;
    }
}

async fn check(kind: Kind, sticky: &'static str, known_by: &str) {
    let mut nodes = nodes(&[]).await;
    let balancer = kind.setup().sticky(sticky).start(&nodes).await;
    let mut clients = Client::all();
    let mut homes = HashMap::new();
    for (number, client) in clients.iter_mut().enumerate() {
        homes.insert(number, client.connect(&balancer).await);
    }
    for visit in 1..=3 {
        for (number, client) in clients.iter_mut().enumerate() {
            disguise(client, known_by, visit);
            assert_eq!(client.connect(&balancer).await, homes[&number], "{client:?}, visit {visit}");
        }
    }
    let used: std::collections::HashSet<_> = homes.values().collect();
    assert!(used.len() > 1, "all clients are on one node, which proves nothing: {homes:?}");

    let dead = homes[&0].clone();
    nodes[number_of(&dead)].kill().await;
    let mut new_homes = HashMap::new();
    for visit in 4..=6 {
        for (number, client) in clients.iter_mut().enumerate() {
            disguise(client, known_by, visit);
            let home = client.connect(&balancer).await;
            if homes[&number] == dead {
                let first = new_homes.entry(number).or_insert_with(|| home.clone());
                assert_ne!(home, dead);
                assert_eq!(home, *first, "{client:?} came back to another node, visit {visit}");
            } else {
                assert_eq!(home, homes[&number], "{client:?} had to move although its node lives");
            }
        }
    }
}

#[tokio::test]
async fn nginx_knows_a_client_by_its_address() {
    check(Kind::Nginx, "ip_hash", "address").await;
}

#[tokio::test]
async fn nginx_knows_a_client_by_its_cookie() {
    check(Kind::Nginx, "cookie", "cookie").await;
}

#[tokio::test]
async fn nginx_knows_a_client_by_its_client_id() {
    check(Kind::Nginx, "client_id", "clientId").await;
}

#[tokio::test]
async fn haproxy_knows_a_client_by_its_address() {
    check(Kind::Haproxy, "source", "address").await;
}

#[tokio::test]
async fn haproxy_knows_a_client_by_its_cookie() {
    check(Kind::Haproxy, "cookie", "cookie").await;
}

#[tokio::test]
async fn haproxy_knows_a_client_by_its_client_id() {
    check(Kind::Haproxy, "client_id", "clientId").await;
}
