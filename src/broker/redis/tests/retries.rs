//! Answers that get lost, and publishers that ask again, also elsewhere.

use std::time::Duration;

use super::ablation::Ablation;
use super::load::{event, open};
use super::proxy;
use crate::broker::tests::redis_server::{Sentinels, Server};
use crate::broker::{NewEvent, PageLimit};
use crate::runtime::Tasks;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_answers_get_lost_is_in_the_log_once_at_one_place() {
    const EVENTS: usize = 300;
    let server = Server::start(&[]);
    let tasks = Tasks::new();
    let way = proxy::start(server.address(), 10, &tasks).await;
    // Through the bad connection, and past it: whatever answer the first one gets, the second learns where the message
    // stands.
    let bad = loop {
        // The greeting may get lost too.
        let url = format!("redis://{way}").parse().unwrap();
        let crate::broker::BrokerUrl::Redis(url) = url else { unreachable!() };
        let limits = crate::broker::LogLimits::default();
        let durability = crate::broker::Durability::Accepted;
        if let Ok(bad) = crate::broker::Redis::open(&url, limits, durability, &tasks).await {
            break bad;
        }
    };
    let good = open(&format!("redis://{}", server.address()), Ablation::default(), &tasks).await;
    let mut duplicates = 0;
    for n in 0..EVENTS {
        let event =
            NewEvent { mailbox: n % 10 == 0, address: "user:u".parse().unwrap(), ..event(&format!("m{n}")) };
        // What is sent a second time is looked up, fresh or not.
        let first = bad.append(NewEvent { fresh: n % 2 == 0, ..event.clone() }).await.unwrap();
        let second = good.append(event).await.unwrap();
        assert_eq!((first.cursor, second.duplicate), (second.cursor, true), "m{n}");
        duplicates += u32::from(first.duplicate);
    }
    assert_eq!(duplicates, 0, "a retry of the writer is nobody's repetition");
    let start = good.bounds().await.unwrap().start_cursor();
    let log = good.read_after(start, PageLimit::entries(2 * EVENTS)).await.unwrap();
    assert_eq!(log.entries.len(), EVENTS);
    let mailbox = good.mailbox(&"user:u".parse().unwrap()).await.unwrap();
    assert_eq!((mailbox.entries.len(), mailbox.overflowed), (EVENTS / 10, 0));
    tasks.token().cancel();
    assert_eq!(tasks.join(Duration::from_secs(60)).await, Ok(()));
}

/// A probe goes through the log and leaves no trace: no reader gets it, nothing is counted.
#[tokio::test]
async fn a_probe_goes_through_the_log_and_leaves_no_trace() {
    let server = Server::start(&[]);
    let tasks = Tasks::new();
    let log = open(&format!("redis://{}", server.address()), Ablation::default(), &tasks).await;
    log.append(event("m0")).await.unwrap();
    let mut follower = log.follow(log.bounds().await.unwrap().start_cursor());
    assert_eq!(follower.next(10).await.unwrap().entries.len(), 1);
    let before = log.bounds().await.unwrap();
    log.probe().await.unwrap();
    assert_eq!(log.bounds().await.unwrap(), before);
    assert_eq!(server.cli(&["XLEN", "{sse}:log"]).trim(), "1");
    log.append(event("m1")).await.unwrap();
    let page = follower.next(10).await.unwrap();
    assert_eq!((page.gap, page.entries.len()), (None, 1));
    // A log that refuses to be written is not ready, although it can be read.
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    // Until the earlier proof expires. The server needs no time for that.
    tokio::time::pause();
    tokio::time::advance(crate::broker::redis::limits::PROOF).await;
    tokio::time::resume();
    let refused = log.probe().await.unwrap_err().to_string();
    assert!(refused.contains("OOM"), "{refused}");
    let publish = log.append(event("m2")).await.unwrap_err();
    assert!(matches!(publish, crate::broker::AppendError::BrokerFull(_)), "nothing was written: {publish:?}");
    tasks.token().cancel();
    assert_eq!(tasks.join(Duration::from_secs(60)).await, Ok(()));
}

/// Two replicas confirm, then none is left: the log has the event, and no acknowledgement says that a replica has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_that_is_to_be_replicated_is_acknowledged_only_with_a_replica() {
    use crate::broker::{AppendError, BrokerUrl, Durability, LogLimits, Redis};
    let mut sentinels = tokio::task::spawn_blocking(|| Sentinels::start(1, &[])).await.unwrap();
    let BrokerUrl::Redis(url) = sentinels.url().parse().unwrap() else { unreachable!() };
    let tasks = Tasks::new();
    let log = Redis::open(&url, LogLimits::default(), Durability::Replicated, &tasks).await.unwrap();
    log.append(event("m0")).await.unwrap();
    sentinels.servers[1].kill();
    let unknown = log.append(event("m1")).await.unwrap_err();
    assert!(
        matches!(&unknown, AppendError::Store(cause) if cause.to_string().contains("a replica")),
        "{unknown:?}"
    );
    tasks.token().cancel();
    assert_eq!(tasks.join(Duration::from_secs(60)).await, Ok(()));
}
