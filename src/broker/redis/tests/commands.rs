//! What the log costs Redis: commands for an event and for a look into mailboxes, those that scripts call included. The
//! follower reads beside them, one command for each node.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::load::event;
use crate::broker::tests::redis_server::Server;
use crate::broker::{Broker, Durability, LogLimits, NewEvent};
use crate::protocol::{Address, Cursor};
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
        log.append(NewEvent { fresh: true, ..event(&format!("m{n}")) }).await.unwrap();
    }
    let user: Address = "user:u".parse().unwrap();
    for _ in 0..EVENTS {
        assert!(log.mailbox(&user).await.unwrap().entries.is_empty());
    }
    let counted = calls(&server);
    let of = |name: &str| counted.get(name).copied().unwrap_or(0);
    // One for each event, one that notes its id, and one for each look into a mailbox.
    assert_eq!((of("xadd"), of("hset"), of("exists")), (EVENTS, 2 * EVENTS, EVENTS));
    // The sweep, which runs beside them, calls some of these too.
    for name in ["evalsha", "hmget"] {
        assert!((EVENTS..EVENTS + EVENTS / 4).contains(&of(name)), "{name} {}", of(name));
    }
    for name in ["time", "hget", "xlen", "expire", "lrange", "multi"] {
        assert!(of(name) < EVENTS / 4, "{name} {}", of(name));
    }
    // The id of a fresh event is noted like any other. One that a publisher gave is looked up, half of the time in two
    // buckets.
    server.cli(&["CONFIG", "RESETSTAT"]);
    assert!(log.append(event("m0")).await.unwrap().duplicate);
    for n in 0..EVENTS {
        log.append(event(&format!("named-{n}"))).await.unwrap();
    }
    let looked = calls(&server)["hmget"];
    assert!((2 * EVENTS..3 * EVENTS + EVENTS / 4).contains(&looked), "hmget {looked}");
    tasks.token().cancel();
    assert_eq!(tasks.join(Duration::from_secs(60)).await, Ok(()));
}

/// Publishes all at once: they wait together, and become one script.
async fn at_once(log: &Broker, ids: &[&str]) -> Vec<(Cursor, bool)> {
    let appended = join_all(ids.iter().map(|id| log.append(event(id)))).await;
    appended.into_iter().map(|appended| appended.unwrap()).map(|it| (it.cursor, it.duplicate)).collect()
}

/// Message ids are looked up and noted for all events of a batch together.
#[tokio::test]
async fn a_batch_costs_few_commands_and_finds_what_is_repeated() {
    let server = Server::start(&[]);
    let (tasks, url) = (Tasks::new(), format!("redis://{}", server.address()).parse().unwrap());
    let log = Broker::open(&url, LogLimits::default(), Durability::Accepted, &tasks).await.unwrap();
    log.append(event("first")).await.unwrap();
    server.cli(&["CONFIG", "RESETSTAT"]);
    let ids: Vec<_> = (0..EVENTS / 5).map(|n| format!("m{n}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let once = at_once(&log, &ids).await;
    let counted = calls(&server);
    let of = |name: &str| counted.get(name).copied().unwrap_or(0);
    assert_eq!((of("xadd"), of("hset"), of("hsetnx")), (EVENTS / 5, 2, 0));
    // The sweep may run beside it.
    assert!(of("evalsha") < 6 && of("hmget") < 6, "{counted:?}");
    assert!(once.iter().all(|(_, repeated)| !repeated), "{once:?}");

    // Some in the same batch, some in an earlier one.
    let mixed = at_once(&log, &["n0", "m3", "n1", "n0", "n2"]).await;
    let repeated: Vec<_> = mixed.iter().map(|(_, repeated)| *repeated).collect();
    assert_eq!(repeated, [false, true, false, true, false]);
    assert_eq!((mixed[1].0, mixed[3].0), (once[3].0, mixed[0].0));

    // Another program moves the end of the stream, and the places that were noted are not those of the events.
    server.cli(&["XADD", "{sse}:log", "9999999999999-7", "x", "y"]);
    let moved = at_once(&log, &["o0", "o1", "o2"]).await;
    let again = at_once(&log, &["o2", "o1", "o0"]).await;
    assert_eq!(moved.iter().rev().map(|(at, _)| (*at, true)).collect::<Vec<_>>(), again);
    assert_eq!(server.cli(&["XLEN", "{sse}:log"]).trim(), (1 + EVENTS / 5 + 3 + 1 + 3).to_string());

    // What is refused is not noted.
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = join_all(["p0", "p1", "p2"].map(|id| log.append(event(id)))).await;
    assert!(refused.iter().all(Result::is_err), "{refused:?}");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    let then = at_once(&log, &["p0", "p1", "p2"]).await;
    assert!(then.iter().all(|(_, repeated)| !repeated), "{then:?}");
    tasks.token().cancel();
    assert_eq!(tasks.join(Duration::from_secs(60)).await, Ok(()));
}
