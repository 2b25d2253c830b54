//! A server at its `maxmemory` that evicts nothing: publishes are refused, and everything that only reads or frees goes on.

use std::sync::Arc;
use std::time::Duration;

use super::load::event;
use super::time::until;
use crate::broker::tests::redis_server::Server;
use crate::broker::{AppendError, Broker, Durability, LogLimits, NewEvent, PageLimit};
use crate::protocol::Address;
use crate::runtime::Tasks;

fn mail(id: &str, owner: &Address) -> NewEvent {
    NewEvent { mailbox: true, address: owner.clone(), ..event(id) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_refuses_publishes_and_nothing_else() {
    let server = Server::start(&["--maxmemory-policy", "noeviction", "--maxmemory", "1gb"]);
    let url = format!("redis://{}", server.address()).parse().unwrap();
    let (tasks, user): (_, Address) = (Tasks::new(), "user:u".parse().unwrap());
    let log = Broker::open(&url, LogLimits::default(), Durability::Accepted, &tasks).await.unwrap();
    let start = log.bounds().await.unwrap().start_cursor();
    let mut follower = log.follow(start);
    let mut appended = Vec::new();
    for n in 0..3 {
        appended.push(log.append(mail(&format!("m{n}"), &user)).await.unwrap().cursor);
    }
    let mut followed = 0;
    while followed < 3 {
        followed += follower.next(10).await.unwrap().entries.len();
    }
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);

    let refused = log.append(event("refused")).await.unwrap_err();
    assert!(
        matches!(&refused, AppendError::BrokerFull(cause) if cause.cause.contains("maxmemory")),
        "{refused:?}"
    );
    // All reconnect, and the new connections look at the log.
    server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    until("a new connection", async || log.bounds().await.is_ok()).await;
    let history = log.read_after(start, PageLimit::entries(10)).await.unwrap();
    assert_eq!((history.entries.len(), history.gap), (3, None));
    assert_eq!(log.read_newest(10, u64::MAX).await.unwrap().len(), 3);
    assert!(log.get(appended[0]).await.unwrap().is_some());
    assert_eq!(log.mailbox(&user).await.unwrap().entries.len(), 3);
    assert_eq!(log.confirm(&user, appended[1].position).await.unwrap(), 2);
    assert_eq!(log.mailbox(&user).await.unwrap().entries.len(), 1);
    let node: Arc<str> = Arc::from("01A");
    log.beat(&node, &Arc::from("{}")).await.unwrap();
    assert_eq!(log.alive().await.unwrap().len(), 1);
    log.leave(&node).await.unwrap();
    assert_eq!(log.alive().await.unwrap().len(), 0);
    assert!(log.probe().await.is_err(), "publishes are refused, so the log is not ready");
    // Another node starts.
    let others = Tasks::new();
    let limits = LogLimits {
        max_age: Duration::from_millis(1),
        mailbox_max_age: Duration::from_millis(1),
        ..LogLimits::default()
    };
    let other = Broker::open(&url, limits, Durability::Accepted, &others).await.unwrap();
    // It keeps nothing for long, so the log and the mailbox become empty.
    until("an empty log", async || other.bounds().await.unwrap().length == 0).await;
    until("an empty mailbox", async || other.bounds().await.unwrap().mailbox_messages == 0).await;
    others.token().cancel();
    assert_eq!(others.join(Duration::from_secs(60)).await, Ok(()));

    server.cli(&["CONFIG", "SET", "maxmemory", "1gb"]);
    let again = log.append(event("refused")).await.unwrap();
    assert!(!again.duplicate);
    let entry = loop {
        if let Some(entry) = follower.next(10).await.ok().and_then(|page| page.entries.into_iter().next()) {
            break entry;
        }
    };
    assert_eq!(entry.cursor, again.cursor);
    tasks.token().cancel();
    assert_eq!(tasks.join(Duration::from_secs(60)).await, Ok(()));
}

/// A restart begins a term, and a term needs a history, before anybody may read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_that_was_started_again_can_be_read() {
    let mut server = Server::start(&[
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--maxmemory-policy",
        "noeviction",
    ]);
    let url = format!("redis://{}", server.address()).parse().unwrap();
    let tasks = Tasks::new();
    let log = Broker::open(&url, LogLimits::default(), Durability::Accepted, &tasks).await.unwrap();
    let start = log.bounds().await.unwrap().start_cursor();
    let mut follower = log.follow(start);
    log.append(event("m0")).await.unwrap();
    assert_eq!(follower.next(10).await.unwrap().entries.len(), 1);
    let server = tokio::task::spawn_blocking(move || {
        server.kill();
        server.restart_with(&["--maxmemory", "1"]);
        server
    });
    let server = server.await.unwrap();
    until("the history after the restart", async || {
        log.read_after(start, PageLimit::entries(10)).await.is_ok_and(|page| page.entries.len() == 1)
    })
    .await;
    let synced = loop {
        if let Some(sync) = follower.next(10).await.ok().and_then(|page| page.sync) {
            break sync;
        }
    };
    assert!(!synced.is_lost());
    drop(server);
    tasks.token().cancel();
    assert_eq!(tasks.join(Duration::from_secs(60)).await, Ok(()));
}
