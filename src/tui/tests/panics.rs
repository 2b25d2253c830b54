//! A panic gives the terminal back, whether it happens in a task or in the middle of a frame. The console runs in a
//! process of its own, this test binary again, in a terminal of tmux. Read [`check`] first.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use clap::Parser as _;
use tokio::process::Command;

use crate::runtime::Tasks;
use crate::tui::app;
use crate::tui::config::cli::Args;
use crate::tui::terminal::Screen;
use crate::tui::update::tests::fixture::mixed;
use crate::tui::view::draw::view;

/// Tells the child what to do: `task` or `frame`.
const CASE: &str = "SSE_TUI_TEST_PANIC";
/// Names the file whose appearance makes the child panic.
const SIGN: &str = "SSE_TUI_TEST_SIGN";
const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(30);

async fn wait_for_sign() {
    let sign = std::env::var(SIGN).unwrap();
    while !Path::new(&sign).exists() {
        tokio::time::sleep(POLL).await;
    }
}

/// The child of the tests below; in an ordinary test run it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_panics() {
    match std::env::var(CASE).as_deref() {
        Ok("task") => {
            let tasks = Tasks::new();
            tasks.spawn("panic", async {
                wait_for_sign().await;
                panic!("this task was asked to panic");
            });
            let args = Args::try_parse_from(["sse-tui", "--node", "http://127.0.0.1:1"]).unwrap();
            let _code = app::run(args).await;
        }
        Ok("frame") => {
            let model = mixed();
            let mut screen = Screen::take().unwrap();
            screen.draw(|frame| view(&model, frame)).unwrap();
            wait_for_sign().await;
            let drawn = screen.draw(|frame| {
                view(&model, frame);
                panic!("this frame was asked to panic");
            });
            drawn.unwrap();
        }
        _ => {}
    }
}

async fn tmux(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("tmux");
    command.args(["-u", "-S"]).arg(dir.join("socket")).args(["-f", "/dev/null"]).args(args);
    command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color").env("XDG_CONFIG_HOME", "/nowhere");
    // A backtrace would push the message off the screen.
    command.env("RUST_BACKTRACE", "0").env_remove("TMUX").env_remove("NO_COLOR").stdin(Stdio::null());
    let output = tokio::time::timeout(LIMIT, command.output()).await.unwrap();
    let output = output.unwrap_or_else(|error| panic!("this test needs tmux (`make setup`): {error}"));
    assert!(output.status.success(), "tmux: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn until(dir: &Path, text: &str) -> String {
    let deadline = Instant::now() + LIMIT;
    loop {
        let screen = tmux(dir, &["capture-pane", "-p", "-t", "console"]).await;
        if screen.contains(text) {
            return screen;
        }
        assert!(Instant::now() < deadline, "no {text:?} on\n{screen}");
        tokio::time::sleep(POLL).await;
    }
}

/// Lets the child panic and checks what it leaves: exit code 101, the message, lines that are edited again, the usual
/// screen, no mouse reports, a cursor.
async fn check(case: &str) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (sign, script) = (dir.join("sign"), dir.join("run.sh"));
    let text = format!(
        "{CASE}={case} {SIGN}={} {} --exact tui::tests::panics::child_that_panics --nocapture\n\
         echo \"ended with $?, $(stty -a | tr ' ;' '\\n\\n' | grep -x -e icanon -e -icanon)\"\n\
         exec cat\n",
        sign.display(),
        std::env::current_exe().unwrap().display(),
    );
    std::fs::write(&script, text).unwrap();
    let command = format!("sh {}", script.display());
    tmux(dir, &["new-session", "-d", "-s", "console", "-x", "120", "-y", "40", &command]).await;
    until(dir, "[1 Overview]").await;
    std::fs::write(&sign, "").unwrap();
    let screen = until(dir, "ended with").await;
    let format = "#{alternate_on} #{mouse_any_flag} #{cursor_flag}";
    let state = tmux(dir, &["display-message", "-p", "-t", "console", format]).await;
    tmux(dir, &["kill-server"]).await;
    assert!(screen.contains("ended with 101, icanon"), "{screen}");
    assert!(screen.contains(&format!("this {case} was asked to panic")), "{screen}");
    assert_eq!(state.trim(), "0 0 1");
}

#[tokio::test]
async fn a_panic_in_a_task_gives_the_terminal_back_and_can_be_read() {
    check("task").await;
}

#[tokio::test]
async fn a_panic_in_a_frame_gives_the_terminal_back_and_can_be_read() {
    check("frame").await;
}
