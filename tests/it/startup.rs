//! Starting, and the ways in which a node cannot: what it says, and the exit code.

use crate::support::{Node, Output, directory, file, run};

/// A node that cannot start says what, which and why, on stderr alone, within a few lines.
#[track_caller]
fn check(output: &Output, code: i32, says: &[&str]) {
    assert_eq!(output.code, Some(code), "{output:?}");
    assert_eq!(output.stdout, "", "{output:?}");
    for text in says {
        assert!(output.stderr.contains(text), "{text:?} in {output:?}");
    }
    assert!(!output.stderr.contains("panicked"), "{output:?}");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let node = Node::start(&[]).await;
    let address = node.address().to_string();
    let output = run(&["serve", "--listen", &address]).await;
    check(&output, 1, &["error: ", "cannot listen on", &address, "in use"]);
}

#[tokio::test]
async fn a_log_in_use_is_named_and_unharmed() {
    let directory = directory();
    let node = Node::start(&["--broker", &file(&directory)]).await;
    node.publish("broadcast", &serde_json::json!({ "data": 1 })).await;
    let output = run(&["serve", "--listen", "127.0.0.1:0", "--broker", &file(&directory)]).await;
    check(&output, 1, &["error: ", &file(&directory), "in use by another process"]);
    node.publish("broadcast", &serde_json::json!({ "data": 2 })).await;
    assert_eq!(node.history().await.len(), 2);
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named() {
    let directory = directory();
    let path = directory.path().join("a file");
    std::fs::write(&path, "no log").unwrap();
    let broker = format!("file:{}", path.display());
    let output = run(&["serve", "--listen", "127.0.0.1:0", "--broker", &broker]).await;
    check(&output, 1, &["error: ", &path.display().to_string(), "caused by: "]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "no log");
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_made() {
    let directory = directory();
    let path = directory.path().join("deep").join("log");
    let broker = format!("file:{}", path.display());
    let node = Node::start(&["--broker", &broker]).await;
    node.publish("broadcast", &serde_json::json!({ "data": 1 })).await;
    assert!(path.is_dir());
}

#[tokio::test]
async fn arguments_that_mean_nothing_are_refused_with_what_does() {
    for (args, says) in [
        (&["serve", "--colour", "red"][..], &["--colour"][..]),
        (&["serve", "--broker", "kafka://h"], &["kafka://h", "memory:", "file:DIR"]),
        (&["serve", "--broker", "redis://h:port"], &["redis://h:***", "port must be", "memory:"]),
        (&["serve", "--listen", "nowhere"], &["--listen", "nowhere"]),
        (&["serve", "--heartbeat", "often"], &["--heartbeat", "often"]),
        (&["serve", "--reject", "loudly"], &["--reject", "loudly", "soft", "status"]),
        (&["serve", "--id", "a/b"], &["--id", "a/b"]),
        (&["server"], &["server"]),
    ] {
        let output = run(args).await;
        check(&output, 2, says);
    }
}

#[tokio::test]
async fn help_goes_to_stdout_and_is_no_failure() {
    let output = run(&["serve", "--help"]).await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    for flag in ["--listen", "--broker", "--max-connections", "--drain-over"] {
        assert!(output.stdout.contains(flag), "{flag} in {}", output.stdout);
    }
}

#[tokio::test]
async fn a_node_listens_on_a_free_port_and_says_which() {
    let (one, two) = (Node::start(&[]).await, Node::start(&[]).await);
    assert_ne!(one.address(), two.address());
    assert!(one.address().port() > 0);
    // `Node::start` has read the address from the line that says so.
    assert_eq!(one.get("/health/live").await.status, 200);
}
