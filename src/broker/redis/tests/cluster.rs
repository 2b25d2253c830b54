//! A Redis Cluster whose owner of the log dies, hands over, or gives the slot away.

use std::time::Duration;

use super::ablation::Ablation;
use super::load::{Load, event, open};
use crate::broker::tests::redis_server::{Members, cluster_of_one, eventually};
use crate::runtime::Tasks;

async fn while_publishing(fault: impl FnOnce(&mut Members) + Send + 'static) {
    let members = tokio::task::spawn_blocking(Members::start).await.unwrap();
    let load = Load::start(&members.url(), Ablation::default()).await;
    load.more(500).await;
    let members = tokio::task::spawn_blocking(move || {
        let mut members = members;
        fault(&mut members);
        members
    });
    let members = members.await.unwrap();
    load.more(500).await;
    load.end().await.assert_whole();
    drop(members);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_of_the_log_may_be_killed() {
    while_publishing(|members| {
        let owner = members.owner();
        members.servers[owner].kill();
        eventually("a new owner", || members.owner_seen_by_others(owner) != Some(owner));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_of_the_log_may_hand_over_to_its_replica() {
    while_publishing(|members| {
        let owner = members.owner();
        let replica = members.replica_of(owner);
        // Refused while the replica is not in step; then it is asked again.
        eventually("a failover", || {
            members.servers[replica].cli(&["CLUSTER", "FAILOVER"]);
            members.is_owner(replica)
        });
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slot_of_the_log_may_move() {
    while_publishing(|members| {
        let owner = members.owner();
        let other = members.other_master(owner);
        members.move_log_slot(owner, other);
        assert_eq!(members.owner(), other);
    })
    .await;
}

/// As behind a proxy that ends TLS, and on some clouds.
#[tokio::test]
async fn members_without_an_address_are_where_they_were_asked() {
    for endpoint in ["unknown-endpoint", "hostname"] {
        let server = cluster_of_one(&["--cluster-preferred-endpoint-type", endpoint]);
        let slots = server.cli(&["CLUSTER", "SLOTS"]);
        assert!(slots.lines().nth(2).is_some_and(|host| matches!(host, "" | "?")), "{slots}");
        let tasks = Tasks::new();
        let log = open(&format!("redis+cluster://{}", server.address()), Ablation::default(), &tasks).await;
        log.append(event("m0")).await.unwrap();
        tasks.token().cancel();
        assert_eq!(tasks.join(Duration::from_secs(60)).await, Ok(()));
    }
}
