//! What the log costs Redis: commands for an event and for a look into mailboxes, those that scripts call included. The
//! follower reads beside them, one command for each node.

use std::collections::BTreeMap;
use std::time::Duration;

use super::load::event;
use crate::broker::tests::redis_server::Server;
use crate::broker::{Broker, Durability, LogLimits};
use crate::protocol::Address;
use crate::runtime::Tasks;

const EVENTS: u64 = 200;

/// How often each command was called since the last reset.
fn calls(server: &Server) -> BTreeMap<String, u64> {
    let stats = server.cli(&["INFO", "commandstats"]);
    let call = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    };
    stats.lines().filter_map(call).collect()
}

#[tokio::test]
async fn an_event_costs_few_commands_and_an_empty_mailbox_one() {
    let server = Server::start(&[]);
    let (tasks, url) = (Tasks::new(), format!("redis://{}", server.address()).parse().unwrap());
    let log = Broker::open(&url, LogLimits::default(), Durability::Accepted, &tasks).await.unwrap();
    log.append(event("first")).await.unwrap();
    server.cli(&["CONFIG", "RESETSTAT"]);
    for n in 0..EVENTS {
        log.append(event(&format!("m{n}"))).await.unwrap();
    }
    let user: Address = "user:u".parse().unwrap();
    for _ in 0..EVENTS {
        assert!(log.mailbox(&user).await.unwrap().entries.is_empty());
    }
    let calls = calls(&server);
    let of = |name: &str| calls.get(name).copied().unwrap_or(0);
    // One for each event, and one for each look into a mailbox.
    assert_eq!((of("xadd"), of("hsetnx"), of("hset"), of("exists")), (EVENTS, EVENTS, EVENTS, EVENTS));
    // The sweep, which runs beside them, calls some of these too; half of the time an append looks into two buckets.
    for (name, most) in [("evalsha", EVENTS), ("hmget", 2 * EVENTS)] {
        assert!((EVENTS..most + EVENTS / 4).contains(&of(name)), "{name} {}", of(name));
    }
    for name in ["time", "hget", "xlen", "expire", "lrange", "multi"] {
        assert!(of(name) < EVENTS / 4, "{name} {}", of(name));
    }
    tasks.token().cancel();
    assert_eq!(tasks.join(Duration::from_secs(60)).await, Ok(()));
}
