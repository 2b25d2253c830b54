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
