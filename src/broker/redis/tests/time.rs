//! The passing of time in the log in Redis: old entries, old mail and silent nodes are removed.

use std::sync::Arc;
use std::time::Duration;

use super::load::event;
use crate::broker::tests::redis_server::{Topology, url};
use crate::broker::{Broker, Durability, LogLimits, NewEvent};
use crate::protocol::Address;
use crate::runtime::Tasks;

pub(super) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waited)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come"));
}

#[tokio::test]
async fn old_entries_and_old_mail_go_without_an_append_and_mail_is_told() {
    let limits = LogLimits {
        max_age: Duration::from_millis(200),
        mailbox_max_age: Duration::from_secs(2),
        ..LogLimits::default()
    };
    let (tasks, user): (_, Address) = (Tasks::new(), "user:u".parse().unwrap());
    let log = Broker::open(&url(Topology::Standalone), limits, Durability::Accepted, &tasks).await.unwrap();
    // Together: the count of what a mailbox lost is itself kept no longer than the mail.
    let mail = |n: u32| NewEvent { mailbox: true, address: user.clone(), ..event(&format!("m{n}")) };
    for appended in futures_util::future::join_all((0..3).map(|n| log.append(mail(n)))).await {
        appended.unwrap();
    }
    until("an empty log", async || log.bounds().await.unwrap().length == 0).await;
    let bounds = log.bounds().await.unwrap();
    assert_eq!((bounds.bytes, bounds.start), (0, bounds.newest));
    until("an empty mailbox", async || log.bounds().await.unwrap().mailbox_messages == 0).await;
    let mailbox = log.mailbox(&user).await.unwrap();
    assert_eq!((mailbox.entries.len(), mailbox.overflowed), (0, 3));
    assert_eq!(log.bounds().await.unwrap().mailboxes, 0);
    tasks.token().cancel();
    assert_eq!(tasks.join(Duration::from_secs(60)).await, Ok(()));
}

#[tokio::test]
async fn a_node_that_is_silent_leaves_the_roster_and_no_trace() {
    let (tasks, url) = (Tasks::new(), url(Topology::Standalone));
    let log = Broker::open(&url, LogLimits::default(), Durability::Accepted, &tasks).await.unwrap();
    let (silent, lively): (Arc<str>, Arc<str>) = (Arc::from("01A"), Arc::from("01B"));
    log.beat(&silent, &Arc::from("{}")).await.unwrap();
    until("the end of a silent node", async || {
        log.beat(&lively, &Arc::from("{}")).await.unwrap();
        log.alive().await.unwrap().iter().all(|node| *node.incarnation != *silent)
    })
    .await;
    assert_eq!(log.alive().await.unwrap().len(), 1);
    tasks.token().cancel();
    assert_eq!(tasks.join(Duration::from_secs(60)).await, Ok(()));
}

/// Found by a review: probes that were never removed hid the oldest entry, and with it the whole log.
#[tokio::test]
async fn probes_that_were_left_behind_hide_nothing_for_long() {
    let server = crate::broker::tests::redis_server::Server::start(&[]);
    for n in 1..=20 {
        server.cli(&["XADD", "{sse}:log", &format!("{n}-0"), "probe", "left behind"]);
    }
    let (tasks, url) = (Tasks::new(), format!("redis://{}", server.address()).parse().unwrap());
    let log = Broker::open(&url, LogLimits::default(), Durability::Accepted, &tasks).await.unwrap();
    log.append(event("m0")).await.unwrap();
    until("a log without probes", async || log.bounds().await.unwrap().length == 1).await;
    assert_eq!(server.cli(&["XLEN", "{sse}:log"]).trim(), "1");
    tasks.token().cancel();
    assert_eq!(tasks.join(Duration::from_secs(60)).await, Ok(()));
}

/// The bytes of all mailboxes are counted through everything that takes mail out of them.
#[tokio::test]
async fn mailboxes_hold_no_more_bytes_than_they_may_and_what_left_counts_no_more() {
    let limits = LogLimits { mailboxes_max_bytes: 20_000, ..LogLimits::default() };
    let server = crate::broker::tests::redis_server::Server::start(&[]);
    let (tasks, url) = (Tasks::new(), format!("redis://{}", server.address()).parse().unwrap());
    let log = Broker::open(&url, limits, Durability::Accepted, &tasks).await.unwrap();
    let bytes = || server.cli(&["HGET", "{sse}:meta", "mailbytes"]).trim().parse::<u64>().unwrap_or(0);
    let user = |n: u32| -> Address { format!("user:u{n}").parse().unwrap() };
    for n in 0..200 {
        let mail = NewEvent { mailbox: true, address: user(n % 100), ..event(&format!("m{n}")) };
        log.append(mail).await.unwrap();
    }
    until("mailboxes within their bound", async || bytes() <= 20_000).await;
    let (mut left, mut dropped, mut held) = (0, 0, 0);
    for n in 0..100 {
        let mailbox = log.mailbox(&user(n)).await.unwrap();
        left += mailbox.entries.len() as u64;
        dropped += mailbox.overflowed;
        held += server.cli(&["LRANGE", &format!("{{sse}}:mb:{}", user(n)), "0", "-1"]).trim_end().len();
        if let Some(last) = mailbox.entries.last() {
            log.confirm(&user(n), last.cursor.position).await.unwrap();
        }
    }
    assert_eq!(left + dropped, 200);
    // Not far below the bound either.
    assert!(left > 40 && held < 20_000 && held > 15_000, "{left} of {held} bytes");
    assert_eq!((bytes(), log.bounds().await.unwrap().mailbox_messages), (0, 0));
    tasks.token().cancel();
    assert_eq!(tasks.join(Duration::from_secs(60)).await, Ok(()));
}
