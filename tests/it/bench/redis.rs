//! The Redis that a run starts: real servers that come up in three shapes, each fault seen from outside, through
//! `redis-cli`, and nothing left behind.

use std::process::Command;
use std::time::Duration;

use sse_lab::bench::cluster::redis::{RedisDeployment, Server, Servers};
use sse_lab::bench::faults::RedisFaults;
use sse_lab::bench::ids::FaultId;
use sse_lab::bench::scenario::{RedisAction, RedisSet, RedisShape, RedisTarget};
use tempfile::TempDir;

const LOG: &str = "{sse}:log";
const FAULT: FaultId = FaultId(0);

/// A set, and what breaks it.
struct Broken {
    store: RedisDeployment,
    stores: RedisFaults,
    _dir: TempDir,
}

impl Broken {
    async fn start(shape: RedisShape, replicas: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let set = RedisSet { replicas, ..RedisSet::new(shape) };
        let store = RedisDeployment::start(&set, std::net::Ipv4Addr::LOCALHOST, dir.path()).await.unwrap();
        let stores = RedisFaults::new(Some(store.servers().clone()));
        let broken = Self { store, stores, _dir: dir };
        let primary = broken.primary().await;
        for number in 1..=3 {
            cli(&primary, &["XADD", LOG, "*", "number", &number.to_string()]);
        }
        broken
    }

    fn servers(&self) -> &Servers {
        self.store.servers()
    }

    async fn primary(&self) -> Server {
        self.servers().primary().await.unwrap().clone()
    }

    async fn apply(&self, action: RedisAction) -> Result<(), String> {
        self.stores.apply(FAULT, action, RedisTarget::Primary).await
    }

    async fn heal(&self, action: RedisAction) {
        self.stores.heal(FAULT, action).await.unwrap();
    }
}

/// What `redis-cli` says; its error where it has none.
fn cli(server: &Server, args: &[&str]) -> String {
    let port = server.address.port().to_string();
    let output = Command::new("redis-cli").args(["-p", &port]).args(args).output().unwrap();
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).trim().to_owned()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_redis_comes_back_with_what_it_had_synced() {
    let broken = Broken::start(RedisShape::Single, 0).await;
    let primary = broken.primary().await;
    assert_eq!(broken.servers().url(), format!("redis://{}", primary.address));
    until("the log is synced", || {
        cli(&primary, &["INFO", "persistence"]).contains("aof_pending_bio_fsync:0")
    })
    .await;
    broken.apply(RedisAction::Kill).await.unwrap();
    assert!(cli(&primary, &["PING"]).contains("refused"));
    let again = broken.apply(RedisAction::Kill).await.unwrap_err();
    assert!(again.contains("redis-1 was not running"), "{again}");
    broken.heal(RedisAction::Kill).await;
    assert_eq!(cli(&primary, &["XLEN", LOG]), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_redis_has_everything_and_a_paused_one_answers_later() {
    let broken = Broken::start(RedisShape::Single, 0).await;
    let primary = broken.primary().await;
    broken.apply(RedisAction::Restart).await.unwrap();
    broken.heal(RedisAction::Restart).await;
    assert_eq!(cli(&primary, &["XLEN", LOG]), "3");
    broken.apply(RedisAction::Pause).await.unwrap();
    let pid = primary.handle.pid().unwrap();
    let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    until("it is stopped", || stat().contains(") T ")).await;
    broken.heal(RedisAction::Pause).await;
    assert_eq!(cli(&primary, &["PING"]), "PONG");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_flushed_trimmed_and_skewed() {
    let broken = Broken::start(RedisShape::Single, 0).await;
    let primary = broken.primary().await;
    broken.apply(RedisAction::Trim { keep: 1 }).await.unwrap();
    assert_eq!(cli(&primary, &["XLEN", LOG]), "1");
    let nothing = broken.apply(RedisAction::Trim { keep: 1 }).await.unwrap_err();
    assert!(nothing.contains("nothing to trim"), "{nothing}");
    let before = cli(&primary, &["TIME"]);
    broken.apply(RedisAction::ClockSkew { by: Duration::from_secs(30) }).await.unwrap();
    let next = cli(&primary, &["XADD", LOG, "*", "a", "b"]);
    let (now, next) = (before.lines().next().unwrap(), next.split_once('-').unwrap().0);
    let ahead = next.parse::<u64>().unwrap() / 1_000 - now.parse::<u64>().unwrap();
    assert!((29..=32).contains(&ahead), "{now} {next}");
    broken.apply(RedisAction::Flush).await.unwrap();
    assert_eq!(cli(&primary, &["DBSIZE"]), "0");
    let skew = RedisAction::ClockSkew { by: Duration::from_secs(30) };
    assert!(broken.apply(skew).await.unwrap_err().contains("XSETID"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_leaves_replicas_behind_until_it_is_healed() {
    let broken = Broken::start(RedisShape::Single, 1).await;
    let primary = broken.primary().await;
    let replica = broken.servers().data()[1].clone();
    until("it is copied", || cli(&replica, &["XLEN", LOG]) == "3").await;
    let cut = RedisAction::ReplicationCut { unread: true };
    broken.apply(cut).await.unwrap();
    cli(&primary, &["XADD", LOG, "*", "number", "4"]);
    assert!(cli(&primary, &["XREAD", "STREAMS", LOG, "0"]).contains("NOPERM"));
    // It asks again every second, and is refused.
    until("the replica is refused", || cli(&primary, &["ACL", "LOG"]).contains("psync")).await;
    assert_eq!(cli(&replica, &["XLEN", LOG]), "3");
    broken.heal(cut).await;
    until("it is copied again", || cli(&replica, &["XLEN", LOG]) == "4").await;
    assert!(cli(&primary, &["XREAD", "STREAMS", LOG, "0"]).contains("number"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_is_healed_by_the_death_of_the_server_that_it_met() {
    let broken = Broken::start(RedisShape::Single, 1).await;
    let primary = broken.primary().await;
    let (cut, kill) = (RedisAction::ReplicationCut { unread: false }, RedisAction::Kill);
    broken.apply(cut).await.unwrap();
    broken.stores.apply(FaultId(1), kill, RedisTarget::Primary).await.unwrap();
    broken.heal(cut).await;
    broken.stores.heal(FaultId(1), kill).await.unwrap();
    assert!(!cli(&primary, &["ACL", "LIST"]).contains("-psync"));
    until("replicas are let in", || cli(&primary, &["INFO", "replication"]).contains("state=online")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_fail_over_when_they_are_asked() {
    let broken = Broken::start(RedisShape::Sentinel, 1).await;
    let first = broken.primary().await;
    assert!(broken.servers().url().starts_with("redis+sentinel://127.0.0.1:"));
    assert!(broken.servers().url().ends_with("/sse"));
    broken.apply(RedisAction::Failover).await.unwrap();
    let second = broken.primary().await;
    assert_ne!(first.name, second.name);
    assert!(cli(&second, &["ROLE"]).starts_with("master"));
    assert_eq!(cli(&second, &["XLEN", LOG]), "3");
    broken.store.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_fail_over_when_the_master_is_killed() {
    let broken = Broken::start(RedisShape::Sentinel, 2).await;
    let first = broken.primary().await;
    broken.apply(RedisAction::Kill).await.unwrap();
    let others = || broken.servers().data().iter().filter(|server| server.name != first.name);
    until("the Sentinels notice", || others().any(|server| cli(server, &["ROLE"]).starts_with("master")))
        .await;
    broken.heal(RedisAction::Kill).await;
    assert_eq!(cli(&first, &["PING"]), "PONG");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_cluster_has_all_slots_and_hands_the_logs_slot_over() {
    let broken = Broken::start(RedisShape::Cluster, 1).await;
    let first = broken.primary().await;
    let info = cli(&first, &["CLUSTER", "INFO"]);
    assert!(info.contains("cluster_slots_ok:16384") && info.contains("cluster_size:3"), "{info}");
    broken.apply(RedisAction::Failover).await.unwrap();
    let second = broken.primary().await;
    assert_ne!(first.name, second.name);
    assert_eq!(cli(&second, &["XLEN", LOG]), "3");
    broken.apply(RedisAction::Flush).await.unwrap();
    assert_eq!(cli(&second, &["DBSIZE"]), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_needs_a_replica_takes_the_first_write() {
    let dir = tempfile::tempdir().unwrap();
    let set = RedisSet { replicas: 1, min_replicas: 1, ..RedisSet::new(RedisShape::Single) };
    let store = RedisDeployment::start(&set, std::net::Ipv4Addr::LOCALHOST, dir.path()).await.unwrap();
    let primary = store.servers().primary().await.unwrap();
    let said = cli(primary, &["XADD", LOG, "*", "number", "1"]);
    assert!(said.contains('-') && !said.contains("NOREPLICAS"), "{said}");
    store.stop().await.unwrap();
}
