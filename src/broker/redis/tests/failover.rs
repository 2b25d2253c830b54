//! A master behind sentinels that dies, or stands still, while its replica lags.

use rustix::process::Signal;

use super::ablation::Ablation;
use super::load::{Load, Outcome};
use crate::broker::Durability;
use crate::broker::tests::redis_server::{Sentinels, eventually};

/// Events that the replica never gets.
const TAIL: u64 = 400;

/// How far a clock is ahead: longer than any failover takes on a busy machine, or the true time overtakes it and new
/// events come behind the lost ones after all.
const AHEAD_MS: u128 = 3_600_000;

/// The situation in which the master dies.
#[derive(Clone, Copy)]
struct Story {
    replicas: usize,
    durability: Durability,
    /// No node reads the newest events either.
    unread: bool,
    /// The master's clock is ahead.
    skewed: bool,
}

async fn failover(story: Story, ablation: Ablation) -> Outcome {
    let sentinels = tokio::task::spawn_blocking(move || Sentinels::start(story.replicas, &[])).await.unwrap();
    let load = Load::start_with(&sentinels.url(), story.durability, ablation).await;
    load.more(500).await;
    let sentinels = tokio::task::spawn_blocking(move || {
        cut_replication(&sentinels, story);
        sentinels
    });
    let mut sentinels = sentinels.await.unwrap();
    match story.durability {
        // From now on nothing is acknowledged, so there is no number to wait for.
        Durability::Replicated => tokio::time::sleep(std::time::Duration::from_millis(400)).await,
        Durability::Accepted | Durability::Fsync => load.more(TAIL).await,
    }
    let sentinels = tokio::task::spawn_blocking(move || {
        sentinels.servers[0].kill();
        let old = sentinels.servers[0].port();
        eventually("a new master", || ![0, old].contains(&sentinels.master_port()));
        sentinels
    });
    let sentinels = sentinels.await.unwrap();
    load.more(1_000).await;
    let outcome = load.end().await;
    drop(sentinels);
    outcome
}

/// No command of replication is allowed any more, so the link is not made again after it was broken. Stopping the
/// replica would be no cut: the tail would wait in its socket.
fn cut_replication(sentinels: &Sentinels, story: Story) {
    let master = &sentinels.servers[0];
    if story.skewed {
        let ahead = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()
            + AHEAD_MS;
        master.cli(&["XADD", "{sse}:log", &format!("{ahead}-0"), "from", "the future"]);
    }
    let mut rules = vec!["ACL", "SETUSER", "default", "-psync", "-sync"];
    if story.unread {
        rules.push("-xread");
    }
    assert!(master.cli(&rules).contains("OK"));
    master.cli(&["CLIENT", "KILL", "TYPE", "replica"]);
    if story.unread {
        // A read that waits in the server was allowed when it came.
        master.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    }
}

const READ: Story = Story { replicas: 1, durability: Durability::Accepted, unread: false, skewed: false };
const UNREAD: Story = Story { unread: true, ..READ };
const SKEWED: Story = Story { skewed: true, ..READ };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_the_nodes_have_read_is_appended_again() {
    let outcome = failover(READ, Ablation::default()).await;
    outcome.assert_whole();
    assert!(outcome.losses >= 1, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_a_plain_log_loses_the_tail() {
    let outcome = failover(READ, Ablation::PLAIN_LOG).await;
    assert!(outcome.lost as u64 >= TAIL * 3 / 4, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_nobody_has_read_is_published_again_by_its_publishers() {
    failover(UNREAD, Ablation::default()).await.assert_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_without_reading_back_a_tail_that_nobody_has_read_is_lost() {
    let outcome = failover(UNREAD, Ablation { no_read_back: true, ..Ablation::default() }).await;
    assert!(outcome.lost as u64 >= TAIL * 3 / 4, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_ahead_hides_nothing() {
    failover(SKEWED, Ablation::default()).await.assert_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_a_plain_log_hides_what_comes_after_a_clock_that_was_ahead() {
    let outcome = failover(SKEWED, Ablation::PLAIN_LOG).await;
    assert!(outcome.lost as u64 >= TAIL * 3 / 4, "{outcome:?}");
    // The new master gives out the same ids again: readers who had the lost ones take the new ones for known, unless they see in
    // time that the entries do not follow each other, and say so.
    assert!(outcome.missed as u64 >= TAIL * 3 / 4 || outcome.gaps > 0, "{outcome:?}");
}

/// The master stands still until it was replaced, and goes on then.
async fn zombie(ablation: Ablation) -> Outcome {
    let sentinels = tokio::task::spawn_blocking(|| Sentinels::start(1, &[])).await.unwrap();
    let load = Load::start(&sentinels.url(), ablation).await;
    load.more(500).await;
    let sentinels = tokio::task::spawn_blocking(move || {
        sentinels.servers[0].pause();
        let promoted = sentinels.servers[1].port();
        eventually("a new master", || sentinels.master_port() == promoted);
        sentinels.servers[0].resume();
        eventually("the old master's new role", || sentinels.servers[0].cli(&["ROLE"]).starts_with("slave"));
        sentinels
    });
    let sentinels = sentinels.await.unwrap();
    load.more(500).await;
    let outcome = load.end().await;
    drop(sentinels);
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_stood_still_acknowledges_nothing_that_is_thrown_away() {
    zombie(Ablation::default()).await.assert_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_who_waits_long_for_an_answer_gets_it_from_a_deposed_master() {
    let outcome =
        zombie(Ablation { response: Some(std::time::Duration::from_secs(20)), ..Ablation::PLAIN_LOG }).await;
    assert!(outcome.lost >= 1, "{outcome:?}");
}

/// The one silent loss needs nodes to die together with Redis. So here no node repairs anything, as if all of them had
/// died, and events that a replica has confirmed must be there all the same.
const CONFIRMED: Story = Story { replicas: 2, durability: Durability::Replicated, ..READ };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_has_confirmed_survives_without_any_node() {
    let outcome = failover(CONFIRMED, Ablation::PLAIN_LOG).await;
    assert!(outcome.acknowledged > 500, "{outcome:?}");
    assert_eq!(outcome.lost, 0, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_what_no_replica_has_confirmed_is_lost_without_nodes() {
    let outcome =
        failover(Story { durability: Durability::Accepted, ..CONFIRMED }, Ablation::PLAIN_LOG).await;
    assert!(outcome.lost as u64 >= TAIL * 3 / 4, "{outcome:?}");
}

/// Found by a review: a writer that had nothing to send while its master was replaced believed the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_was_idle_does_not_believe_a_deposed_master() {
    let sentinels = tokio::task::spawn_blocking(|| Sentinels::start(1, &[])).await.unwrap();
    let tasks = crate::runtime::Tasks::new();
    let log = super::load::open(&sentinels.url(), Ablation::default(), &tasks).await;
    let first = log.append(super::load::event("m0")).await.unwrap();
    let mut follower = log.follow(first.cursor);
    let mut reader = tokio::task::JoinSet::new();
    reader.spawn(async move {
        // Goes over to the next history as a node does.
        loop {
            if let Ok(page) = follower.next(10).await
                && page.sync.is_some()
            {
                return follower;
            }
        }
    });
    let sentinels = tokio::task::spawn_blocking(move || {
        sentinels.servers[0].pause();
        let promoted = sentinels.servers[1].port();
        eventually("a new master", || sentinels.master_port() == promoted);
        sentinels
    });
    let sentinels = sentinels.await.unwrap();
    let gone_over = tokio::time::timeout(std::time::Duration::from_secs(30), reader.join_next()).await;
    let _follower = gone_over.unwrap().unwrap().unwrap();
    sentinels.servers[0].resume();
    let second = log.append(super::load::event("m1")).await.unwrap();
    assert_ne!(second.cursor.epoch, first.cursor.epoch, "acknowledged by the one that was deposed");
    let in_new = sentinels.servers[1].cli(&["XRANGE", "{sse}:log", "-", "+"]);
    assert!(in_new.contains("m0") && in_new.contains("m1"), "{in_new}");
    tasks.token().cancel();
    assert_eq!(tasks.join(std::time::Duration::from_secs(60)).await, Ok(()));
}

/// A signal that stops a process is not one that ends it.
#[test]
fn the_stories_stop_and_continue_a_real_process() {
    let server = crate::broker::tests::redis_server::Server::start(&[]);
    server.pause();
    let output = std::process::Command::new("timeout")
        .args(["0.3", "redis-cli", "-p", &server.port().to_string(), "PING"])
        .output()
        .unwrap();
    assert!(output.stdout.is_empty(), "{output:?} after {:?}", Signal::STOP);
    server.resume();
    assert!(server.cli(&["PING"]).contains("PONG"));
}
