//! The death of the process: this test binary starts itself again as a child that appends without end, kills it in the
//! middle of that, and checks that everything that was acknowledged to the child is in the log.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use super::fixture::{Places, event, ids, mail, open, open_error, user};
use crate::broker::embedded::log::Embedded;
use crate::broker::{BrokerUrl, Durability, LogLimits, OpenError, PageLimit};
use crate::protocol::Cursor;
use crate::runtime::Tasks;

const DIRECTORY: &str = "SSE_LAB_TEST_KILLED_LOG";
const DURABILITY: &str = "SSE_LAB_TEST_KILLED_DURABILITY";
const MAILBOX: u64 = 50;
const ACKNOWLEDGED: usize = 300;

fn limits() -> LogLimits {
    LogLimits { mailbox_max_messages: MAILBOX, ..LogLimits::default() }
}

/// Not a test by itself: the child process of the tests below. Without their environment it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_process_of_the_kill_tests() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let durability = if std::env::var(DURABILITY).as_deref() == Ok("fsync") {
        Durability::Fsync
    } else {
        Durability::Accepted
    };
    let url = BrokerUrl::File(directory.into());
    let log = Embedded::open(&url, limits(), durability, &Tasks::new()).await.unwrap();
    let mut appenders = tokio::task::JoinSet::new();
    for a in 0..8 {
        let log = log.clone();
        appenders.spawn(async move {
            for n in 0_u64.. {
                let id = format!("{a}-{n}");
                let appended = log.append(mail(&id)).await.unwrap();
                // One write per line: whatever the parent reads was acknowledged before.
                std::io::stdout()
                    .write_all(format!("\nacknowledged {id} {}\n", appended.cursor).as_bytes())
                    .unwrap();
            }
        });
    }
    appenders.join_all().await;
}

fn start_child(path: &Path, durability: &str) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "broker::embedded::tests::kill::child_process_of_the_kill_tests", "--nocapture"])
        .env(DIRECTORY, path)
        .env(DURABILITY, durability)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The acknowledgements that the child printed until it was killed.
fn kill_in_the_middle(path: &Path, durability: &str) -> Vec<(String, Cursor)> {
    let mut child = start_child(path, durability);
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some(rest) = line.strip_prefix("acknowledged ") else { continue };
        // The last line may be cut off by the kill.
        if let Some((id, cursor)) = rest.split_once(' ')
            && let Ok(cursor) = cursor.parse()
        {
            acknowledged.push((id.to_owned(), cursor));
        }
        if acknowledged.len() == ACKNOWLEDGED {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success());
    assert!(acknowledged.len() >= ACKNOWLEDGED);
    acknowledged
}

async fn check_survivors(path: &Path, acknowledged: &[(String, Cursor)]) {
    let log = open(&BrokerUrl::File(path.to_owned()), limits(), 1).await;
    let bounds = log.bounds().await.unwrap();
    let kept = log.read_after(bounds.start_cursor(), PageLimit::entries(usize::MAX)).await.unwrap().entries;
    assert_eq!(bounds.length, kept.len() as u64);
    assert!(kept.is_sorted_by(|a, b| a.cursor.position < b.cursor.position));
    for (id, cursor) in acknowledged {
        let entry = log.get(*cursor).await.unwrap().unwrap_or_else(|| panic!("{id} at {cursor} is lost"));
        assert_eq!(entry.message_id.as_str(), id);
    }
    let (id, cursor) = &acknowledged[0];
    let again = log.append(mail(id)).await.unwrap();
    assert_eq!((again.cursor, again.duplicate), (*cursor, true));
    let (messages, overflowed) = log.mailbox_ids(&user()).await;
    assert_eq!(messages.len() as u64 + overflowed, bounds.length);
    assert_eq!(messages, ids(&kept[kept.len() - messages.len()..]));
    assert_eq!(messages.len() as u64, MAILBOX);
    let next = log.put(event("after the kill")).await;
    assert!(next.position > bounds.newest);
    log.close().await;
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let places = Places::new();
    let acknowledged = kill_in_the_middle(&places.path(), "accepted");
    check_survivors(&places.path(), &acknowledged).await;
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_with_fsync_either() {
    let places = Places::new();
    let acknowledged = kill_in_the_middle(&places.path(), "fsync");
    check_survivors(&places.path(), &acknowledged).await;
}

#[tokio::test]
async fn another_process_has_the_log() {
    let places = Places::new();
    let mut child = start_child(&places.path(), "accepted");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("acknowledged")));
    let error = open_error(&places.path()).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    // A dead process holds nothing.
    open(&places.file(), limits(), 1).await.close().await;
}
