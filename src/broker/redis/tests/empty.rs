//! One server that is killed and comes back: with its data, without its newest, without any.

use super::load::Load;
use crate::broker::redis::limits::Protections;
use crate::broker::redis::server::Server;

async fn restart(args: &[&str], protections: Protections) -> super::load::Outcome {
    let mut server = Server::start(args);
    let load = Load::start(&format!("redis://{}", server.address()), protections).await;
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
    let outcome = restart(&["--appendonly", "yes", "--appendfsync", "always"], Protections::default()).await;
    outcome.assert_whole();
    assert_eq!(outcome.losses, 0, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_empty_gets_everything_again() {
    let outcome = restart(&[], Protections::default()).await;
    outcome.assert_whole();
    assert!(outcome.losses >= 1, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_without_repair_an_empty_server_stays_empty() {
    let protections = Protections { repair: false, read_back: false, ..Protections::default() };
    let outcome = restart(&[], protections).await;
    assert!(outcome.lost >= 900, "{outcome:?}");
    assert!(outcome.losses >= 3, "all are told: {outcome:?}");
}

/// A master takes another replication id when the last replica has been gone for an hour: its term changes while
/// connections stay open. Nodes that each held on to what they knew would end one history after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_term_that_changes_under_open_connections_ends_one_history() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let load = Load::start(&format!("redis://{}", server.address()), Protections::default()).await;
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

/// As above, but nobody notices until somebody opens a connection: one node's line at first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_know_of_different_terms_come_to_agree() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let url = format!("redis://{}", server.address());
    let load = Load::start(&url, Protections::default()).await;
    load.more(300).await;
    assert!(server.cli(&["DEBUG", "CHANGE-REPL-ID"]).contains("OK"));
    // A node that comes now is the first to know.
    let tasks = crate::runtime::Tasks::new();
    let late = super::load::open(&url, Protections::default(), &tasks).await;
    late.append(super::load::event("late")).await.unwrap();
    load.more(1_000).await;
    let outcome = load.end().await;
    outcome.assert_whole();
    let epochs: u32 = server.cli(&["HGET", "{sse}:meta", "es"]).trim().parse().unwrap();
    assert_eq!(epochs, 2, "{outcome:?}");
    tasks.token().cancel();
    assert_eq!(tasks.join(std::time::Duration::from_secs(60)).await, Ok(()));
}
