//! The console with small servers as nodes: keys, sizes, signals, colours, the mouse, and `--once`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;

use super::node::{Node, metrics};
use super::terminal::{BINARY, LIMIT, Terminal, run, text};

#[tokio::test]
async fn the_console_answers_to_keys_and_to_the_size_of_its_terminal() {
    let second = Node::up("node-2", Vec::new()).await;
    let first = Node::up("node-1", vec![("node-2", second.url.clone())]).await;
    let hanging = Node::hanging().await;
    let terminal =
        Terminal::open(&["--node", &first.url, "--node", &hanging.url, "--interval", "300ms"]).await;
    // One address of the cluster is enough, and a node that hangs holds nobody up.
    let is_full = |screen: &str| {
        screen.contains("● node-1")
            && screen.contains("● node-2")
            && screen.contains("timeout")
            && rate_of(screen, 1)
    };
    let full = terminal.until("cluster of three", is_full).await;
    assert!(
        full.contains("2 up · 1 down") && full.contains("Latency, ms") && full.contains("Connections"),
        "{full}"
    );
    assert_eq!(full.lines().count(), 40);
    terminal.press("Enter").await;
    terminal.until("the selected node in full", |screen| screen.contains("╭ Changes")).await;
    terminal.press("Escape").await;
    terminal.until("both lists", |screen| screen.contains("╭ Connections")).await;
    terminal.press("?").await;
    terminal.until("help", |screen| screen.contains("quit at once")).await;
    terminal.press("?").await;
    terminal.until("screen without help", |screen| !screen.contains("quit at once")).await;
    terminal.press("space").await;
    terminal.until("badge", |screen| screen.contains("PAUSED")).await;
    terminal.press("space").await;
    terminal.until("live screen", |screen| screen.contains("LIVE 300ms")).await;
    terminal.press("j").await;
    terminal.until("selection", |screen| screen.contains("›● node-1") || screen.contains("›● node-2")).await;
    terminal.resize("80", "24").await;
    let compact = terminal.until("sparklines", |screen| screen.contains("p99 ms ")).await;
    assert!(compact.lines().all(|line| line.chars().count() <= 80), "{compact}");
    assert!(!compact.contains("Latency, ms") && rate_of(&compact, 1), "{compact}");
    terminal.resize("30", "8").await;
    terminal.until("sentence", |screen| screen.contains("sse-tui needs 40x10")).await;
    terminal.resize("120", "40").await;
    terminal.until("full screen", |screen| screen.contains("Latency, ms")).await;
    terminal.press("q").await;
    terminal.ended_with(0).await;
}

/// Whether this node's row shows a rate of about 9,000 events a second.
fn rate_of(screen: &str, node: u16) -> bool {
    let row = screen.lines().find(|line| line.contains(&format!("● node-{node}")));
    row.is_some_and(|row| row.split_whitespace().any(|cell| cell.ends_with('k') && cell.len() == 5))
}

#[tokio::test]
async fn a_node_that_comes_back_is_shown_without_a_key() {
    let gone = Node::up("node-1", Vec::new()).await.stop().await;
    let terminal = Terminal::open(&["--node", &gone, "--interval", "250ms"]).await;
    terminal.until("refusal", |screen| screen.contains("refused, retry")).await;
    let address = gone.strip_prefix("http://").unwrap();
    let listener = TcpListener::bind(address).await.unwrap();
    let started = Arc::new(Instant::now());
    let app = Router::new().route(
        "/api/sse/metrics",
        get(move || async move { metrics("node-1", started.elapsed()).to_string() }),
    );
    let serve = async {
        axum::serve(listener, app).await.unwrap();
    };
    tokio::select! {
        () = serve => unreachable!("it serves until the test ends"),
        _ = terminal.until("recovery", |screen| screen.contains("● node-1")) => {}
    }
    terminal.press("C-c").await;
    terminal.ended_with(0).await;
}

#[tokio::test]
async fn a_signal_gives_the_terminal_back() {
    use rustix::process::{Signal, kill_process};
    let node = Node::up("node-1", Vec::new()).await;
    for (signal, code) in [(Signal::TERM, 0), (Signal::INT, 0), (Signal::HUP, 129)] {
        let terminal = Terminal::open(&["--node", &node.url]).await;
        terminal.until("node", |screen| screen.contains("● node-1")).await;
        kill_process(terminal.pid(), signal).unwrap();
        terminal.ended_with(code).await;
    }
}

#[tokio::test]
async fn what_was_shown_stays_when_that_is_asked_for() {
    let node = Node::up("node-1", Vec::new()).await;
    let terminal = Terminal::open(&["--node", &node.url]).await;
    terminal.until("node", |screen| screen.contains("● node-1")).await;
    terminal.press("Q").await;
    let screen = terminal.ended_with(0).await;
    assert!(screen.contains("● node-1") && screen.contains("╭ Connections"), "{screen}");
}

#[tokio::test]
async fn the_mouse_chooses_screens_and_rows_and_is_given_back() {
    let second = Node::up("node-2", Vec::new()).await;
    let first = Node::up("node-1", vec![("node-2", second.url.clone())]).await;
    let terminal = Terminal::open(&["--node", &first.url, "--interval", "300ms"]).await;
    terminal.until("two nodes", |screen| screen.contains("2 up")).await;
    terminal.press("M").await;
    // As a terminal reports the left button, pressed in the twentieth column of the second line: a name of a screen.
    terminal.type_text("\x1b[<0;20;2M\x1b[<0;20;2m").await;
    terminal.until("connections", |screen| screen.contains("[2 Connections]")).await;
    terminal.type_text("\x1b[<0;3;2M\x1b[<0;3;2m").await;
    terminal.until("overview", |screen| screen.contains("[1 Overview]")).await;
    terminal.type_text("\x1b[<0;10;7M\x1b[<0;10;7m").await;
    let is_second = |screen: &str| screen.lines().nth(6).is_some_and(|line| line.contains('›'));
    terminal.until("the second row", is_second).await;
    terminal.type_text("\x1b[<64;10;7M").await;
    terminal
        .until("the first row, by the wheel", |screen| {
            screen.lines().nth(5).is_some_and(|line| line.contains('›'))
        })
        .await;
    // What is pasted is no key, unless something is typed.
    terminal.paste("q").await;
    terminal.press("/").await;
    terminal.paste("state:slow").await;
    terminal.until("what was pasted", |screen| screen.contains("/state:slow")).await;
    terminal.press("C-c").await;
    terminal.ended_with(0).await;
}

#[tokio::test]
async fn a_terminal_without_colours_or_unicode_shows_the_same() {
    let node = Node::up("node-1", Vec::new()).await;
    for (variable, ascii) in [("NO_COLOR=1", false), ("TERM=dumb", false), ("LC_ALL=C", true)] {
        let terminal = Terminal::open_program("env", &[variable, BINARY, "--node", &node.url]).await;
        let mark = if ascii { "* node-1" } else { "● node-1" };
        terminal.until("node", |screen| screen.contains(mark) && screen.contains(" UP ")).await;
        terminal.press("j").await;
        let cursor = if ascii { ">* node-1" } else { "›● node-1" };
        terminal.until("selection", |screen| screen.contains(cursor)).await;
        let drawn = terminal.tmux(["capture-pane", "-e", "-p", "-t", "console"]).await;
        let row = drawn.lines().find(|line| line.contains("node-1")).unwrap();
        let is_reversed = row.contains("\x1b[7m") || row.contains(";7m");
        assert!(is_reversed, "{variable}: the selected row\n{row:?}");
        let has_colours = drawn.replace("\x1b[39m", "").contains("\x1b[3");
        assert_eq!(has_colours, ascii, "{variable}\n{drawn:?}");
        assert_eq!(drawn.is_ascii(), ascii, "{variable}");
        terminal.press("q").await;
        terminal.ended_with(0).await;
    }
}

#[tokio::test]
async fn a_terminal_that_vanishes_ends_the_console() {
    let node = Node::up("node-1", Vec::new()).await;
    let terminal = Terminal::open(&["--node", &node.url]).await;
    terminal.until("node", |screen| screen.contains("● node-1")).await;
    terminal.tmux(["kill-pane", "-t", "console"]).await;
    let result = result(&terminal.file("result")).await;
    assert!(result.starts_with("ended with 129"), "{result}");
}

async fn result(file: &Path) -> String {
    let deadline = Instant::now() + LIMIT;
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if text.ends_with('\n') {
            return text;
        }
        assert!(Instant::now() < deadline, "the console did not end");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

#[tokio::test]
async fn without_a_terminal_there_is_a_tip_and_nothing_on_stdout() {
    let output = run(&["--node", "127.0.0.1:1"]).await;
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
    assert_eq!(
        text(&output.stderr),
        "error: standard output is not a terminal\n  \
         tip: `sse-tui --once` prints the figures once\n"
    );
}

#[tokio::test]
async fn a_wrong_command_line_is_told_in_full() {
    let output = run(&["--node", "ftp://x", "--interval", "1ms"]).await;
    let problems = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
    for part in ["--node \"ftp://x\"", "allowed are http://HOST[:PORT]", "--interval \"1ms\"", "250ms to 1m"]
    {
        assert!(problems.contains(part), "{problems}");
    }
}

#[tokio::test]
async fn once_prints_a_reading_and_its_exit_code_tells_whether_all_nodes_answer() {
    let up = Node::up("node-1", Vec::new()).await;
    let output = run(&["--once", "--node", &up.url]).await;
    let table = text(&output.stdout);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "{table}");
    assert!(
        table.lines().nth(1).is_some_and(|row| row.starts_with("node-1") && row.contains(" UP ")),
        "{table}"
    );
    let gone = Node::up("node-2", Vec::new()).await.stop().await;
    let output = run(&["--once", "--node", &up.url, "--node", &gone, "--format", "json"]).await;
    assert_eq!(output.status.code(), Some(3));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["cluster"]["up"], 1);
    let down = report["nodes"].as_array().unwrap().iter().find(|node| node["up"] == false).unwrap();
    assert_eq!(down["trouble"], "connection refused");
}
