//! A log in a directory whose disk fills, whose process runs out of descriptors, and whose files vanish: what was
//! acknowledged stays, and the node says what it can no longer do. A small file system of its own stands for the disk.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use reqwest::StatusCode;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::process::Resource;
use serde_json::{Value, json};
use sse_lab::protocol::api::GapReason;

use crate::support::{Node, Subscriber, directory, eventually, file, gap, run, skip};

const MIB: u64 = 1 << 20;

/// A file system in memory, unmounted with the test.
struct Disk(tempfile::TempDir);

impl Disk {
    /// `None`, said aloud, where this machine allows no mounts.
    fn mount() -> Option<Self> {
        let directory = directory();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=96m", "tmpfs"]).arg(directory.path());
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(directory));
        }
        skip("file systems cannot be mounted here: root with CAP_SYS_ADMIN can");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn broker(&self) -> String {
        format!("file:{}", self.path().join("log").display())
    }

    fn free(&self) -> u64 {
        let disk = statvfs(self.path()).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    /// Fills the disk with a file until only so much is left.
    fn leave(&self, bytes: u64) {
        let filler = File::options().create(true).append(true).open(self.path().join("filler")).unwrap();
        let length = filler.metadata().unwrap().len();
        fallocate(&filler, FallocateFlags::empty(), length, self.free() - bytes).unwrap();
    }

    fn make_room(&self) {
        std::fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// Publishes until the node takes no more, over one connection; how many it acknowledged, and the refusal.
async fn publish_until_refused(node: &Node, bytes: usize) -> (usize, Option<StatusCode>) {
    const MANY: usize = 2_000;
    let http = reqwest::Client::new();
    let body = json!({ "data": "x".repeat(bytes) }).to_string();
    for acknowledged in 0..MANY {
        let sent = http.post(node.url("/api/sse/broadcast")).body(body.clone()).send().await;
        match sent.map(|answer| answer.status()) {
            Ok(StatusCode::ACCEPTED) => {}
            Ok(other) => return (acknowledged, Some(other)),
            Err(_) => return (acknowledged, None),
        }
    }
    panic!("{MANY} events were taken");
}

/// Acknowledged events are there; one whose outcome was unknown may be, too.
async fn check_nothing_is_lost(node: &Node, acknowledged: usize) {
    let kept = node.history().await.len();
    assert!((acknowledged..=acknowledged + 1).contains(&kept), "{kept} of {acknowledged} events are there");
}

#[tokio::test]
async fn a_full_disk_refuses_events_before_the_store_fails_and_takes_them_again() {
    let Some(disk) = Disk::mount() else { return };
    let node = Node::start(&["--broker", &disk.broker(), "--min-free-disk", "8MiB"]).await;
    let mail = node.publish("users/u", &json!({ "data": 1, "qos": 1 })).await;
    for left in [6, 1] {
        disk.leave(left * MIB);
        let answer = node.post("/api/sse/broadcast", r#"{"data": 2}"#).await;
        let detail = answer.problem(503, "disk_full");
        assert!(
            detail.contains(&format!("{left} MiB left")) && detail.contains("--min-free-disk"),
            "{detail}"
        );
        assert_eq!(answer.header("retry-after"), Some("30"));
        assert_eq!(node.get("/health/ready").await.status, StatusCode::SERVICE_UNAVAILABLE);
        node.wait_for_line("sse_node_log_disk_full 1").await;
        if left == 6 {
            // What frees space goes on.
            let ack = json!({ "userId": "u", "id": mail.id }).to_string();
            let answer = node.post("/api/sse/ack", ack).await;
            assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, r#"{"confirmed":1}"#));
        }
    }
    disk.make_room();
    node.publish("broadcast", &json!({ "data": 3 })).await;
    assert_eq!(node.get("/health/ready").await.status, StatusCode::OK);
    node.wait_for_line("sse_node_log_disk_full 0").await;
    assert_eq!(node.history().await.len(), 2);
}

#[tokio::test]
async fn a_store_that_failed_all_the_same_ends_the_process_with_code_75_and_loses_nothing() {
    let Some(disk) = Disk::mount() else { return };
    let args = ["--broker", &disk.broker(), "--min-free-disk", "0", "--drain-over", "0s"];
    let mut node = Node::start(&args).await;
    disk.leave(MIB);
    let (acknowledged, refused) = publish_until_refused(&node, 30_000).await;
    assert!(
        acknowledged > 10 && refused == Some(StatusCode::SERVICE_UNAVAILABLE),
        "{acknowledged} {refused:?}"
    );
    assert_eq!(node.exit().await.code(), Some(75));
    node.wait_for_log("the log has failed; start the node again").await;
    disk.make_room();
    node.restart().await;
    check_nothing_is_lost(&node, acknowledged).await;
    node.publish("broadcast", &json!({ "data": 3 })).await;
}

#[tokio::test]
async fn a_store_without_descriptors_ends_the_process_with_code_75_and_loses_nothing() {
    let directory = directory();
    let mut node = Node::start(&["--broker", &file(&directory), "--drain-over", "0s"]).await;
    // One for the connection of the publisher.
    node.limit(Resource::Nofile, node.open_files() + 1);
    // The store opens files when it has some 16 MiB to sort.
    let (acknowledged, _) = publish_until_refused(&node, 60_000).await;
    assert!(acknowledged > 100, "{acknowledged}");
    assert_eq!(node.exit().await.code(), Some(75));
    node.restart().await;
    check_nothing_is_lost(&node, acknowledged).await;
}

#[tokio::test]
async fn files_that_may_not_grow_lose_nothing() {
    let directory = directory();
    let mut node = Node::start(&["--broker", &file(&directory), "--drain-over", "0s"]).await;
    node.limit(Resource::Fsize, MIB);
    let (acknowledged, _) = publish_until_refused(&node, 30_000).await;
    assert!(acknowledged > 10, "{acknowledged}");
    // The system may end it by a signal instead.
    let code = node.exit().await.code();
    assert!(matches!(code, None | Some(75)), "{code:?}");
    node.restart().await;
    check_nothing_is_lost(&node, acknowledged).await;
}

#[tokio::test]
async fn a_removed_directory_takes_no_event_and_ends_the_process_with_code_75() {
    let directory = directory();
    let mut node = Node::start(&["--broker", &file(&directory), "--drain-over", "0s"]).await;
    node.publish("broadcast", &json!({ "data": 1 })).await;
    std::fs::remove_dir_all(directory.path()).unwrap();
    let answer = node.post("/api/sse/broadcast", r#"{"data": 2}"#).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert_eq!(node.exit().await.code(), Some(75));
    node.restart().await;
    eventually("a new history", async || node.history().await.is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_damaged_log_is_checked_and_repaired_and_what_is_missing_is_told() {
    let directory = directory();
    let path = directory.path().join("log");
    let broker = format!("file:{}", path.display());
    let mut node = Node::start(&["--broker", &broker]).await;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(node.publish("broadcast", &json!({ "data": n, "id": format!("m{n}") })).await.id);
    }
    node.kill().await;
    let journal = path.join("0.jnl");
    let mut bytes = std::fs::read(&journal).unwrap();
    let at = bytes.windows(8).position(|bytes| bytes == br#""id":"m7"#).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&journal, bytes).unwrap();

    let text = path.to_str().unwrap();
    let checked = run(&["check-log", text]).await;
    assert_eq!(checked.code, Some(3), "{checked:?}");
    assert!(checked.stdout.contains("message ids in them: m7\n"), "{checked:?}");
    assert!(checked.stdout.contains("1 acknowledged events are missing, after "), "{checked:?}");
    let repaired = run(&["repair-log", text]).await;
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    assert!(repaired.stdout.contains("repaired; the damaged directory is now "), "{repaired:?}");

    node.restart().await;
    assert_eq!(node.history().await.len(), 19);
    let health: Value = node.get("/health/ready").await.json();
    assert_eq!(health["lost"], json!({ "events": 1, "after": ids[6], "upTo": ids[8] }));
    node.wait_for_line("sse_node_log_lost_events 1").await;
    let mut client = Subscriber::after(&node, "clientId=c", ids[3].as_str()).await;
    gap(&client.event().await, GapReason::Epoch);
    let in_use = run(&["check-log", text]).await;
    assert_eq!(in_use.code, Some(1));
    assert!(in_use.stderr.contains("in use by another process"), "{in_use:?}");
}
