//! Answers that get lost, and publishers that ask again, also elsewhere.

use std::time::Duration;

use super::load::{event, open};
use super::proxy;
use crate::broker::redis::limits::Protections;
use crate::broker::redis::server::Server;
use crate::broker::{NewEvent, PageLimit};
use crate::runtime::Tasks;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_answers_get_lost_is_in_the_log_once_at_one_place() {
    const EVENTS: usize = 300;
    let server = Server::start(&[]);
    let tasks = Tasks::new();
    let way = proxy::start(server.address(), 10, &tasks).await;
    // Through the bad way, and past it: whatever the first one is told, the second learns where the message stands.
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
    let good = open(&format!("redis://{}", server.address()), Protections::default(), &tasks).await;
    let mut duplicates = 0;
    for n in 0..EVENTS {
        let event =
            NewEvent { mailbox: n % 10 == 0, address: "user:u".parse().unwrap(), ..event(&format!("m{n}")) };
        let first = bad.append(event.clone()).await.unwrap();
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
