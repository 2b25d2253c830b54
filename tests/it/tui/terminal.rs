//! Drives `sse-tui` in a terminal of tmux, or runs it as a command. Read [`Terminal`] first.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::process::Command;

pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_sse-tui");
/// Longest wait of a test; a machine that needs longer is broken.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// The console in a terminal of its own.
pub(super) struct Terminal {
    socket: String,
    dir: tempfile::TempDir,
}

impl Terminal {
    /// Starts `sse-tui` with these arguments in 120x40 cells. After its end the terminal shows the exit code and
    /// whether lines are edited again.
    pub(super) async fn open(args: &[&str]) -> Self {
        Self::open_program(BINARY, args).await
    }

    /// The same for another program.
    pub(super) async fn open_program(program: &str, args: &[&str]) -> Self {
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

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) async fn tmux<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> String {
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

    pub(super) async fn screen(&self) -> String {
        self.tmux(["capture-pane", "-p", "-t", "console"]).await
    }

    /// Waits until the screen is as expected and gives it.
    #[track_caller]
    pub(super) fn until(
        &self,
        what: &'static str,
        is_there: impl Fn(&str) -> bool,
    ) -> impl Future<Output = String> {
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
    pub(super) async fn type_text(&self, text: &str) {
        self.tmux(["send-keys", "-t", "console", "-l", text]).await;
    }

    pub(super) async fn press(&self, key: &str) {
        self.tmux(["send-keys", "-t", "console", key]).await;
    }

    /// Pastes a text as a terminal does that was asked to say so.
    pub(super) async fn paste(&self, text: &str) {
        self.tmux(["set-buffer", text]).await;
        self.tmux(["paste-buffer", "-p", "-t", "console"]).await;
    }

    pub(super) async fn resize(&self, width: &str, height: &str) {
        self.tmux(["resize-window", "-t", "console", "-x", width, "-y", height]).await;
    }

    pub(super) fn pid(&self) -> rustix::process::Pid {
        let text = std::fs::read_to_string(self.file("pid")).unwrap();
        rustix::process::Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }

    /// Waits for the end and checks that the terminal is as it was before: the usual screen, a cursor, no mouse
    /// reports, lines edited.
    pub(super) async fn ended_with(&self, code: u8) -> String {
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

pub(super) async fn run(args: &[&str]) -> Output {
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

pub(super) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
