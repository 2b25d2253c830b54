//! The console against a real cluster and a real run of the bench: what it shows, finds, does, and survives.

use serde_json::json;

use super::terminal::{Terminal, run, text};
use crate::support::{Node, Redis, Subscriber};

/// Three nodes on a Redis.
async fn cluster() -> (Redis, Vec<Node>) {
    let redis = Redis::start().await;
    let mut nodes = Vec::new();
    for number in 1..=3 {
        nodes.push(Node::start(&["--broker", &redis.url(), "--id", &format!("node-{number}")]).await);
    }
    (redis, nodes)
}

fn base(node: &Node) -> String {
    format!("http://{}", node.address())
}

/// The line of a node in a table of nodes.
fn row<'a>(screen: &'a str, node: &str) -> &'a str {
    screen.lines().find(|line| line.contains(node)).unwrap_or_default()
}

#[tokio::test]
async fn a_cluster_is_watched_searched_and_acted_upon() {
    let (_redis, nodes) = cluster().await;
    let mut streams = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let topic = if number == 0 { "news" } else { "chat" };
        streams.push(Subscriber::open(node, &format!("clientId=reader-{number}&topics={topic}")).await);
    }
    let url = base(&nodes[0]);
    let terminal = Terminal::open(&["--node", &url, "--interval", "300ms", "--token", "any"]).await;
    let is_whole = |screen: &str| {
        screen.contains("3 up")
            && screen.contains("actions allowed")
            && screen.contains("reader-2")
            && screen.contains("FOLLOW")
    };
    terminal.until("a cluster found through one node", is_whole).await;

    // Connections of all nodes, searched by the nodes.
    terminal.press("2").await;
    terminal.press("/").await;
    terminal.type_text("topic:chat !reader-1").await;
    terminal.press("Enter").await;
    let found = terminal
        .until("one reader", |screen| {
            screen.contains("reader-2") && !screen.contains("reader-0") && screen.contains("1/1 of")
        })
        .await;
    assert!(row(&found, "reader-2").contains("node-3"), "{found}");
    // A dialog starts on Cancel: Enter does nothing.
    terminal.press("x").await;
    terminal.until("the equal curl", |screen| screen.contains("curl -X DELETE")).await;
    terminal.press("Enter").await;
    terminal.until("no dialog", |screen| !screen.contains("curl")).await;
    nodes[2].wait_for_connections(1).await;
    terminal.press("x").await;
    terminal.until("the dialog again", |screen| screen.contains("curl -X DELETE")).await;
    terminal.press("Right").await;
    terminal.press("Enter").await;
    terminal.until("what was done", |screen| screen.contains("disconnect reader-2: accepted")).await;
    nodes[2].wait_for_connections(0).await;

    // Events over the console's own stream, published from the console.
    terminal.press("3").await;
    terminal.until("an open stream", |screen| screen.contains("CONNECTION")).await;
    terminal.press("b").await;
    terminal.until("a dialog", |screen| screen.contains("Broadcast to")).await;
    for key in ["Tab", "Tab", "Tab"] {
        terminal.press(key).await;
    }
    terminal.type_text(r#"{"said":"hello from the console"}"#).await;
    for key in ["Tab", "Tab", "Enter"] {
        terminal.press(key).await;
    }
    let heard = |screen: &str| screen.contains("in the log as") && screen.contains("hello from the console");
    terminal.until("the event", heard).await;
    let event = streams[0].event().await;
    assert!(event.data.contains("hello from the console"), "{event:?}");
    terminal.press("Enter").await;
    terminal.until("its payload in full", |screen| screen.contains(r#""said": "hello"#)).await;

    // The broker tells of its server.
    terminal.press("5").await;
    let broker = |screen: &str| {
        screen.contains("Log redis") && screen.contains("version") && screen.contains("BEHINDms")
    };
    terminal.until("the log", broker).await;
    // Every size: nothing is drawn beyond it.
    for (width, height) in [(80, 24), (60, 15), (120, 40)] {
        terminal.resize(&width.to_string(), &height.to_string()).await;
        let fits = |screen: &str| screen.lines().count() <= height && screen.contains("Log redis");
        let screen = terminal.until("the same screen", fits).await;
        assert!(screen.lines().all(|line| line.chars().count() <= width), "{screen}");
    }
    terminal.press("q").await;
    terminal.ended_with(0).await;
}

#[tokio::test]
async fn a_node_that_hangs_or_dies_is_told_with_its_reason_and_holds_nobody_up() {
    let (_redis, mut nodes) = cluster().await;
    let url = base(&nodes[0]);
    let terminal = Terminal::open(&["--node", &url, "--interval", "250ms"]).await;
    terminal.until("three nodes", |screen| screen.contains("3 up")).await;
    nodes[2].pause();
    terminal.until("LATE", |screen| row(screen, "node-3").contains("LATE")).await;
    terminal
        .until("STALE and why", |screen| {
            let row = row(screen, "node-3");
            row.contains("STALE") && row.contains("timeout")
        })
        .await;
    terminal.press("6").await;
    terminal
        .until("an alert with advice", |screen| {
            screen.contains("! node-3") && screen.contains("the node hangs or is unreachable")
        })
        .await;
    terminal.press("1").await;
    let told = terminal.until("DOWN", |screen| row(screen, "node-3").contains("DOWN")).await;
    assert!(row(&told, "node-1").contains(" UP ") && row(&told, "node-2").contains(" UP "), "{told}");
    nodes[2].resume();
    terminal.until("three nodes again", |screen| screen.contains("3 up")).await;
    nodes[1].kill().await;
    terminal
        .until("DOWN and why", |screen| {
            let row = row(screen, "node-2");
            row.contains("DOWN") && row.contains("refused")
        })
        .await;
    // Looking back, step by step: it was up.
    terminal.press("space").await;
    let mut screen = terminal.until("a pause", |screen| screen.contains("PAUSED")).await;
    while !row(&screen, "node-2").contains(" UP ") {
        terminal.press("Left").await;
        let now = screen;
        screen =
            terminal.until("a step back", |screen| screen != now && !row(screen, "node-2").is_empty()).await;
    }
    terminal.press("q").await;
    terminal.ended_with(0).await;
}

#[tokio::test]
async fn without_a_token_nothing_is_done() {
    let node = Node::start(&[]).await;
    let terminal = Terminal::open(&["--node", &base(&node), "--interval", "250ms"]).await;
    terminal.until("a node", |screen| screen.contains("1 up") && screen.contains("read-only")).await;
    terminal.press("d").await;
    terminal.until("why not", |screen| screen.contains("start sse-tui with --token")).await;
    assert!(!terminal.screen().await.contains("curl"));
    terminal.press("q").await;
    terminal.ended_with(0).await;
}

#[tokio::test]
async fn a_recording_is_shown_again_without_a_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("session.jsonl").display().to_string();
    let node = Node::start(&["--id", "node-7"]).await;
    let _stream = Subscriber::open(&node, "clientId=recorded-reader").await;
    let terminal = Terminal::open(&["--node", &base(&node), "--interval", "250ms", "--record", &file]).await;
    terminal.until("a reader", |screen| screen.contains("recorded-reader")).await;
    node.publish("broadcast", &json!({ "data": "recorded-event" })).await;
    terminal.until("an event", |screen| screen.contains("recorded-event")).await;
    terminal.press("q").await;
    terminal.ended_with(0).await;
    drop(node);
    let terminal = Terminal::open(&["--replay", &file, "--speed", "50"]).await;
    let again = |screen: &str| {
        ["REPLAY ended", "node-7", "recorded-reader", "recorded-event"]
            .iter()
            .all(|part| screen.contains(part))
    };
    terminal.until("the same again", again).await;
    terminal.press("q").await;
    terminal.ended_with(0).await;
    let refused = run(&["--record", &file]).await;
    assert_eq!(refused.status.code(), Some(2));
    let refused = run(&["--replay", "/nowhere"]).await;
    assert!(text(&refused.stderr).contains("not a terminal"), "{refused:?}");
}

#[tokio::test]
async fn a_configuration_is_read_and_its_mistakes_have_lines() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tui.toml");
    std::fs::write(&file, "# mine\ninterval = \"1ms\"\nthemes = \"dark\"\n").unwrap();
    let path = file.display().to_string();
    let refused = run(&["--once", "--config", &path]).await;
    let told = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2));
    assert!(told.contains("tui.toml line 3: unknown field `themes`"), "{told}");
    std::fs::write(&file, "\ninterval = \"1ms\"\nnode = [\"ftp://x\"]\n").unwrap();
    let refused = run(&["--once", "--config", &path]).await;
    let told = text(&refused.stderr);
    for part in ["tui.toml line 2: interval \"1ms\" is not valid", "tui.toml line 3: node \"ftp://x\""] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    let node = Node::start(&[]).await;
    std::fs::write(&file, format!("node = [{:?}]\ninterval = \"250ms\"\n", base(&node))).unwrap();
    let once = run(&["--once", "--format", "json", "--config", &path]).await;
    let report: serde_json::Value = serde_json::from_slice(&once.stdout).unwrap();
    assert_eq!((once.status.code(), &report["intervalMs"]), (Some(0), &json!(250)));
    assert_eq!(report["cluster"]["log"]["broker"], "memory");
    assert_eq!(report["cluster"]["alerts"], json!([]));
}

#[tokio::test]
async fn other_keys_are_configured_and_wrong_ones_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tui.toml");
    std::fs::write(&file, "[keys]\nquit = \"X\"\nzoom = \"j\"\nfly = \"f\"\n").unwrap();
    let path = file.display().to_string();
    let refused = run(&["--once", "--config", &path]).await;
    let told = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2));
    for part in
        ["tui.toml line 3: zoom \"j\" is taken by down", "tui.toml line 4: keys \"fly\" is not an action"]
    {
        assert!(told.contains(part), "{part}\n{told}");
    }
    std::fs::write(&file, "[keys]\nquit = \"X\"\n").unwrap();
    let node = Node::start(&[]).await;
    let terminal = Terminal::open(&["--node", &base(&node), "--config", &path]).await;
    terminal.until("the key in the footer", |screen| screen.contains("X quit")).await;
    terminal.press("q").await;
    terminal.press("?").await;
    terminal
        .until("the key in the help", |screen| screen.contains(" X ") && screen.contains("quit; in help"))
        .await;
    terminal.press("X").await;
    terminal.until("no help", |screen| !screen.contains("quit; in help")).await;
    terminal.press("X").await;
    terminal.ended_with(0).await;
}

#[tokio::test]
async fn what_an_event_says_does_nothing_to_the_terminal() {
    let node = Node::start(&["--max-body", "4MiB", "--max-payload", "4MiB"]).await;
    let terminal = Terminal::open(&["--node", &base(&node), "--interval", "250ms"]).await;
    terminal.press("3").await;
    terminal.until("an open stream", |screen| screen.contains("CONNECTION")).await;
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\0\u{202e}evil\u{9b}31m";
    node.publish("broadcast", &json!({ "data": format!("{}{}", "x".repeat(900_000), evil) })).await;
    node.publish("broadcast", &json!({ "data": evil })).await;
    // The long one is cut, and only its size tells how long it was.
    let are_there = |screen: &str| screen.contains("\\u001b]0;owned") && screen.contains(" 879K ");
    let screen = terminal.until("both events", are_there).await;
    assert!(screen.contains("\\u{202e}evil"), "{screen}");
    assert!(screen.contains("[3 Events]") && screen.contains("q quit"), "{screen}");
    let title = terminal.tmux(["display-message", "-p", "-t", "console", "#{pane_title}"]).await;
    assert!(!title.contains("owned"), "{title}");
    terminal.press("q").await;
    terminal.ended_with(0).await;
}

const SCENARIO: &str = r#"
schema      = 1
name        = "watched"
description = "five readers"
seed        = 1
duration    = "20s"

[cluster]
nodes  = 1
broker = "memory"

[clients.readers]
clients = 5

[publishers.writer]
rate = 20
mix  = { broadcast = 1 }

[verify]
delivery = "exactly-once"
quiesce  = { idle = "1s", timeout = "15s" }
"#;

#[tokio::test]
async fn a_run_of_the_bench_is_followed_in_the_console_and_tells_its_result_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("watched.toml");
    std::fs::write(&scenario, SCENARIO).unwrap();
    let (scenario, out) = (scenario.display().to_string(), dir.path().join("out").display().to_string());
    let bench = env!("CARGO_BIN_EXE_sse-bench");
    let terminal = Terminal::open_program(bench, &["run", &scenario, "--out", &out, "--tui"]).await;
    terminal
        .until("the bench screen", |screen| screen.contains("[4 Bench]") && screen.contains("watched"))
        .await;
    // Its node is found by itself, with what it serves.
    terminal.press("1").await;
    terminal.until("the node at work", |screen| row(screen, "n1").contains(" UP ")).await;
    terminal.press("4").await;
    terminal.until("the verdict", |screen| screen.contains("PASS") && screen.contains("0 lost")).await;
    terminal.press("1").await;
    terminal.until("no node any more", |screen| screen.contains("Nodes 0")).await;
    terminal.press("q").await;
    let result = terminal.ended_with(0).await;
    assert!(result.contains("results in"), "{result}");
    // A finished run can be opened as well.
    let terminal = Terminal::open(&["--run", &out]).await;
    terminal
        .until("the finished run", |screen| screen.contains("PASS") && screen.contains("exit code 0"))
        .await;
    terminal.press("q").await;
    terminal.ended_with(0).await;
}

#[tokio::test]
async fn a_signal_to_a_followed_run_gives_the_terminal_back_and_ends_the_run_in_good_order() {
    use rustix::process::{Signal, kill_process};
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("watched.toml");
    std::fs::write(&scenario, SCENARIO.replace("\"20s\"", "\"10m\"")).unwrap();
    let out = dir.path().join("out");
    // What another run left there is not taken for this one.
    std::fs::create_dir(&out).unwrap();
    let live = out.join("live.jsonl");
    std::fs::write(&live, "{\"kind\":\"begin\",\"scenario\":\"another\"}\n").unwrap();
    let (scenario, out) = (scenario.display().to_string(), out.display().to_string());
    let bench = env!("CARGO_BIN_EXE_sse-bench");
    let terminal = Terminal::open_program(bench, &["run", &scenario, "--out", &out, "--tui"]).await;
    terminal.until("the bench screen", |screen| screen.contains("[4 Bench]")).await;
    terminal.press("1").await;
    terminal.until("the node at work", |screen| row(screen, "n1").contains(" UP ")).await;
    kill_process(terminal.pid(), Signal::TERM).unwrap();
    terminal.ended_with(105).await;
    let told = std::fs::read_to_string(&live).unwrap();
    let last: serde_json::Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!((&last["kind"], &last["exit_code"]), (&json!("end"), &json!(105)), "{told}");
}

#[tokio::test]
async fn a_run_is_read_from_standard_input_while_keys_come_from_the_terminal() {
    let begin = r#"{"kind":"begin","scenario":"piped","duration_ms":60000,"clients":3,"nodes":["n1"]}"#;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lines");
    std::fs::write(&file, format!("{begin}\n")).unwrap();
    let terminal = Terminal::open(&["--run", "-", "<", &file.display().to_string()]).await;
    terminal.until("the run", |screen| screen.contains("piped")).await;
    terminal.press("?").await;
    terminal.until("a key", |screen| screen.contains("quit at once")).await;
    terminal.press("C-c").await;
    terminal.ended_with(0).await;
}
