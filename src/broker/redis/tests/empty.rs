//! One server that is killed and comes back: with its data, without its newest, without any.

use super::ablation::Ablation;
use super::load::Load;
use crate::broker::tests::redis_server::Server;

async fn restart(args: &[&str], ablation: Ablation) -> super::load::Outcome {
    let mut server = Server::start(args);
    let load = Load::start(&format!("redis://{}", server.address()), ablation).await;
    load.more(1_000).await;
    let server = tokio::task::spawn_blocking(move || {
        server.kill();
        server.restart();
        server
    });
    let server = server.await.unwrap();
    load.more(1_000).await;
    let outcome = load.end().await;
    drop(server);
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_with_its_data_is_noticed_by_nobody() {
    // With everysec, a slow disk delays even the write to the operating system: then a killed server has a lost tail.
    let outcome = restart(&["--appendonly", "yes", "--appendfsync", "always"], Ablation::default()).await;
    outcome.assert_whole();
    assert_eq!(outcome.losses, 0, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_empty_gets_everything_again() {
    let outcome = restart(&[], Ablation::default()).await;
    outcome.assert_whole();
    assert!(outcome.losses >= 1, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_without_repair_an_empty_server_stays_empty() {
    let ablation = Ablation { no_repair: true, no_read_back: true, ..Ablation::default() };
    let outcome = restart(&[], ablation).await;
    assert!(outcome.lost >= 900, "{outcome:?}");
    assert!(outcome.losses >= 3, "all are told: {outcome:?}");
}

/// Found by a review: a follower that went over two histories at once stood before the first entry of the one between
/// them, and took that for the beginning of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_away_for_two_histories_reads_on() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let tasks = crate::runtime::Tasks::new();
    let log = super::load::open(&format!("redis://{}", server.address()), Ablation::default(), &tasks).await;
    log.append(super::load::event("m0")).await.unwrap();
    // It begins with the first question, and so is away until then.
    let mut follower = log.follow(log.bounds().await.unwrap().start_cursor());
    for id in ["m1", "m2"] {
        let restarted = tokio::task::spawn_blocking(move || {
            server.kill();
            server.restart();
            server
        });
        server = restarted.await.unwrap();
        log.append(super::load::event(id)).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let page = tokio::time::timeout(std::time::Duration::from_secs(30), follower.next(10)).await;
        let page = page.expect("the follower goes on").unwrap();
        assert_eq!(page.gap, None);
        seen.extend(page.entries.iter().map(|entry| entry.message_id.to_string()));
    }
    assert_eq!(seen, ["m0", "m1", "m2"]);
    tasks.token().cancel();
    assert_eq!(tasks.join(std::time::Duration::from_secs(60)).await, Ok(()));
}

/// A master takes another replication id when the last replica has been gone for an hour: its term changes while
/// connections stay open. Nodes that each kept the old term would end one history after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_term_that_changes_under_open_connections_ends_one_history() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let load = Load::start(&format!("redis://{}", server.address()), Ablation::default()).await;
    load.more(300).await;
    assert!(server.cli(&["DEBUG", "CHANGE-REPL-ID"]).contains("OK"));
    // Whatever opens a connection from now on learns of the new term.
    server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    load.more(600).await;
    let outcome = load.end().await;
    outcome.assert_whole();
    let epochs: u32 = server.cli(&["HGET", "{sse}:meta", "es"]).trim().parse().unwrap();
    assert!((2..=3).contains(&epochs), "{epochs} histories: {outcome:?}");
}

/// As above, but no node notices until one opens a connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_know_of_different_terms_come_to_agree() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let url = format!("redis://{}", server.address());
    let load = Load::start(&url, Ablation::default()).await;
    load.more(300).await;
    assert!(server.cli(&["DEBUG", "CHANGE-REPL-ID"]).contains("OK"));
    // A node that comes now is the first to know.
    let tasks = crate::runtime::Tasks::new();
    let late = super::load::open(&url, Ablation::default(), &tasks).await;
    late.append(super::load::event("late")).await.unwrap();
    load.more(1_000).await;
    let outcome = load.end().await;
    outcome.assert_whole();
    let epochs: u32 = server.cli(&["HGET", "{sse}:meta", "es"]).trim().parse().unwrap();
    assert_eq!(epochs, 2, "{outcome:?}");
    tasks.token().cancel();
    assert_eq!(tasks.join(std::time::Duration::from_secs(60)).await, Ok(()));
}
