//! The built `sse-tui`: in a real terminal (tmux) with keys, resizes, signals and panics, and as a command in a
//! pipe. The nodes are small servers in this process.

mod live;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use sse_lab::runtime::Tasks;
use tokio::net::TcpListener;
use tokio::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_sse-tui");
/// For whatever a test waits for; a machine that needs longer is broken.
const LIMIT: Duration = Duration::from_secs(60);

/// A node, as far as the console can see.
struct Node {
    url: String,
    tasks: Tasks,
}

impl Node {
    /// Answers, and knows these nodes beside itself.
    async fn up(id: &'static str, roster: Vec<(&'static str, String)>) -> Self {
        let started = Instant::now();
        let servers = serde_json::json!({
            "currentInstance": id,
            "totalServers": roster.len(),
            "availableServers": roster.iter().map(|(id, url)| serde_json::json!({
                "instanceId": id, "instanceName": id, "url": url, "state": "ready", "connections": 1, "lag": 0,
                "version": "0.1.0", "startedAt": 1,
            })).collect::<Vec<_>>(),
        });
        let app = Router::new()
            .route("/api/sse/metrics", get(move || async move { metrics(id, started.elapsed()).to_string() }))
            .route("/api/sse/servers", get(move || async move { servers.to_string() }));
        Self::serve(app).await
    }

    /// Accepts, and never answers.
    async fn hanging() -> Self {
        Self::serve(Router::new().fallback(std::future::pending::<String>)).await
    }

    async fn serve(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let tasks = Tasks::new();
        let token = tasks.token().clone();
        tasks.spawn("node", async move {
            tokio::select! {
                served = axum::serve(listener, app).into_future() => served.unwrap(),
                () = token.cancelled() => {}
            }
        });
        Self { url, tasks }
    }

    /// Nobody listens any more.
    async fn stop(self) -> String {
        self.tasks.token().cancel();
        self.tasks.join(LIMIT).await.unwrap();
        self.url
    }
}

fn metrics(id: &str, age: Duration) -> serde_json::Value {
    let mut latency = Histogram::<u64>::new(3).unwrap();
    (1..=200_u64).for_each(|n| latency.record(n * 50).unwrap());
    let mut hdr = Vec::new();
    V2DeflateSerializer::new().serialize(&latency, &mut hdr).unwrap();
    let seconds = age.as_secs_f64();
    let grown = |per_second: u64| per_second * u64::try_from(age.as_millis()).unwrap() / 1_000;
    serde_json::json!({
        "instanceId": id, "instanceName": id, "uptime": age.as_secs(), "activeConnections": 4512,
        "totalMessagesSent": grown(9_000), "messagesPerMinute": 540_000,
        "memoryUsage": {"max": 1, "total": 1, "used": 433_000_000, "free": 1},
        "state": "ready", "version": "0.1.0", "totalMessagesPublished": grown(20),
        "totalMessagesTailed": 1, "tailLag": 3, "totalBytesSent": 1, "totalConnections": 5000, "gaps": {"trimmed": 2},
        "closed": {"client": 400, "slow": 1},
        "deliveryLatency": {
            "count": 200, "p50Us": 1, "p99Us": 1, "maxUs": 1,
            "hdr": base64::engine::general_purpose::STANDARD.encode(hdr),
        },
        "cpuSeconds": 0.3 * seconds, "openFiles": 4600,
        "log": {
            "broker": "memory", "epoch": "k3f9ab", "length": 1000, "bytes": 250_000,
            "oldest": "k3f9ab-1-0", "newest": "k3f9ab-2-0", "mailboxes": 0, "mailboxMessages": 0,
        },
        "windowFrames": 1000, "windowBytes": 250_000,
    })
}

/// The console in a terminal of its own.
struct Terminal {
    socket: String,
    dir: tempfile::TempDir,
}

impl Terminal {
    /// Starts `sse-tui` with these arguments in 120x40 cells. After its end the terminal shows the exit code and
    /// whether lines are edited again.
    async fn open(args: &[&str]) -> Self {
        Self::open_program(BINARY, args).await
    }

    /// The same for another program.
    async fn open_program(program: &str, args: &[&str]) -> Self {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let socket =
            format!("sse-tui-test-{}-{}", std::process::id(), OPENED.fetch_add(1, Ordering::Relaxed));
        let terminal = Self { socket, dir: tempfile::tempdir().unwrap() };
        let (pid, result, script) = (terminal.file("pid"), terminal.file("result"), terminal.file("run.sh"));
        let (pid, result) = (pid.display(), result.display());
        let args = args.join(" ");
        // The hang-up is survived only to tell of the exit code; `cat` ends with the terminal.
        let text = format!(
            "trap : HUP\n\
             sh -c 'echo $$ >{pid}; exec {program} {args}'\n\
             echo \"ended with $?, $(stty -a 2>/dev/null | tr ' ;' '\\n\\n' | grep -x -e icanon -e -icanon)\" \
             | tee {result}\n\
             exec cat\n"
        );
        std::fs::write(&script, text).unwrap();
        let command = format!("sh {}", script.display());
        let size = ["new-session", "-d", "-s", "console", "-x", "120", "-y", "40"];
        terminal.tmux(size.into_iter().chain([command.as_str()])).await;
        terminal
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn tmux<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> String {
        let mut command = Command::new("tmux");
        command.args(["-u", "-L", &self.socket, "-f", "/dev/null"]).args(args);
        command
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "xterm-256color")
            .env("TMUX_TMPDIR", self.dir.path())
            .env("XDG_CONFIG_HOME", "/nowhere")
            .env_remove("NO_COLOR")
            .env_remove("TMUX");
        // A backtrace would push what a panic said off the screen.
        command.env("RUST_BACKTRACE", "0").stdin(Stdio::null());
        let output = tokio::time::timeout(LIMIT, command.output()).await.unwrap();
        let output = output.unwrap_or_else(|error| {
            panic!("cannot run tmux, which this test needs ({error}); `make setup` or `apt-get install tmux` gets it")
        });
        assert!(output.status.success(), "tmux: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn screen(&self) -> String {
        self.tmux(["capture-pane", "-p", "-t", "console"]).await
    }

    /// Waits until the screen is as expected and gives it.
    #[track_caller]
    fn until(&self, what: &'static str, is_there: impl Fn(&str) -> bool) -> impl Future<Output = String> {
        let deadline = Instant::now() + LIMIT;
        let caller = std::panic::Location::caller();
        async move {
            loop {
                let screen = self.screen().await;
                if is_there(&screen) {
                    return screen;
                }
                assert!(Instant::now() < deadline, "{caller}: no {what} on\n{screen}");
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }
    }

    /// Types a text, which may look like the name of a key.
    async fn type_text(&self, text: &str) {
        self.tmux(["send-keys", "-t", "console", "-l", text]).await;
    }

    async fn press(&self, key: &str) {
        self.tmux(["send-keys", "-t", "console", key]).await;
    }

    /// Pastes a text as a terminal does that was asked to say so.
    async fn paste(&self, text: &str) {
        self.tmux(["set-buffer", text]).await;
        self.tmux(["paste-buffer", "-p", "-t", "console"]).await;
    }

    async fn resize(&self, width: &str, height: &str) {
        self.tmux(["resize-window", "-t", "console", "-x", width, "-y", height]).await;
    }

    fn pid(&self) -> rustix::process::Pid {
        let text = std::fs::read_to_string(self.file("pid")).unwrap();
        rustix::process::Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }

    /// Waits for the end and checks that the terminal is as it was before: the usual screen, a cursor, no mouse
    /// reports, lines edited.
    async fn ended_with(&self, code: u8) -> String {
        let end = format!("ended with {code}, icanon");
        let screen = self.until("end", |screen| screen.contains("ended with")).await;
        assert!(screen.contains(&end), "{end}, not\n{screen}");
        let format = "#{alternate_on} #{mouse_any_flag} #{cursor_flag}";
        assert_eq!(self.tmux(["display-message", "-p", "-t", "console", format]).await.trim(), "0 0 1");
        screen
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The server of this test only, by its own socket; it may be gone already.
        let mut command = std::process::Command::new("tmux");
        command.env("TMUX_TMPDIR", self.dir.path()).args(["-L", &self.socket, "kill-server"]);
        let _ended = command.stderr(Stdio::null()).status();
    }
}

async fn run(args: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(args).stdin(Stdio::null()).env("LC_ALL", "C.UTF-8").kill_on_drop(true);
    command.env("XDG_CONFIG_HOME", "/nowhere");
    for name in [
        "MASK", "NODE", "INTERVAL", "ASCII", "THEME", "ONCE", "FORMAT", "TOKEN", "TOPICS", "RUN", "RECORD",
        "REPLAY",
    ] {
        command.env_remove(format!("SSE_TUI_{name}"));
    }
    tokio::time::timeout(LIMIT, command.output()).await.unwrap().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

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
async fn a_panic_gives_the_terminal_back_and_can_be_read() {
    let node = Node::up("node-1", Vec::new()).await;
    // In a task that collects, and in the middle of a frame.
    for flag in ["--panic-after", "--panic-drawing"] {
        let terminal = Terminal::open(&["--node", &node.url, flag, "700ms"]).await;
        let screen = terminal.ended_with(101).await;
        assert!(screen.contains(&format!("asked to by {flag}")), "{screen}");
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
         tip: `sse-tui --once` prints one reading to wherever standard output goes\n"
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
