//! What a run leaves behind that ends in the middle of its faults, by an interrupt or by a panic of its own: nothing. No
//! process, none that stands still, nobody who listens.

use std::process::Output;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use super::harness::{Lab, in_time};

/// A node and the Redis stand still until the run mends them.
const PAUSED: &str = r#"
schema = 1
name = "healing"
duration = "60s"
[cluster]
nodes = 2
broker = "redis"
[clients.all]
clients = 10
[publishers.main]
rate = 20
[[faults]]
at = "100ms"
type = "pause"
target = ["n1"]
[[faults]]
at = "200ms"
type = "redis-pause"
[verify]
quiesce = { idle = "1s", timeout = "20s" }
"#;

/// A process that the bench started.
#[derive(Debug)]
struct Started {
    id: u32,
    /// When, in the kernel's ticks: an id may be given to somebody else.
    since: String,
}

/// Of what `/proc` says: state and start of a process.
fn look(id: u32) -> Option<(String, String)> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(((*fields.first()?).to_owned(), (*fields.get(19)?).to_owned()))
}

fn started_by(bench: u32) -> Vec<Started> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{bench}/task")) else { return Vec::new() };
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let ids: String = tasks.flatten().map(|task| read(task.path().join("children"))).collect();
    let ids = ids.split_whitespace().filter_map(|id| id.parse().ok());
    ids.filter_map(|id| Some(Started { id, since: look(id)?.1 })).collect()
}

/// Waits until two of the bench's processes stand still; all of them.
async fn until_two_stand_still(bench: u32) -> Vec<Started> {
    let waiting = async {
        loop {
            let all = started_by(bench);
            let stopped = all.iter().filter(|it| look(it.id).is_some_and(|(state, _)| state == "T"));
            if stopped.count() == 2 {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("both faults are applied")
}

/// Ports that these processes listen on, as they were told.
fn ports(all: &[Started]) -> Vec<u16> {
    let words =
        |it: &Started| std::fs::read_to_string(format!("/proc/{}/cmdline", it.id)).unwrap_or_default();
    let port = |word: &str| word.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    all.iter().flat_map(|it| words(it).split('\0').filter_map(port).collect::<Vec<u16>>()).collect()
}

#[track_caller]
fn assert_gone(all: &[Started], ports: &[u16]) {
    let left: Vec<_> = all
        .iter()
        .filter(|it| look(it.id).is_some_and(|(state, since)| since == it.since && state != "Z"))
        .collect();
    assert!(left.is_empty(), "still there: {left:?}");
    let listening = ports.iter().filter(|port| std::net::TcpStream::connect(("127.0.0.1", **port)).is_ok());
    assert_eq!(listening.count(), 0, "{ports:?}");
}

/// A run in the middle of its faults, brought to its end; what it started, and how it ended.
async fn end_in_the_middle(child: Child, end: impl FnOnce(u32)) -> Output {
    let bench = child.id().expect("it runs");
    let all = until_two_stand_still(bench).await;
    let ports = ports(&all);
    assert!(all.len() == 3 && ports.len() >= 2, "two nodes and a Redis: {all:?} {ports:?}");
    end(bench);
    let output = in_time(child.wait_with_output()).await;
    assert_gone(&all, &ports);
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_in_the_middle_of_two_pauses_leaves_nothing_behind() {
    let lab = Lab::new(PAUSED);
    let interrupt = |bench| {
        kill_process(Pid::from_raw(i32::try_from(bench).unwrap()).unwrap(), Signal::INT).unwrap();
    };
    let output = end_in_the_middle(lab.start(), interrupt).await;
    let ran = lab.ran(&output);
    assert_eq!(ran.code, Some(105), "{}\n{}", ran.stdout, ran.stderr);
    let faults = ran.report["faults"].as_array().unwrap();
    assert!(faults.len() == 2 && faults.iter().all(|fault| fault["healed_ms"].is_number()), "{faults:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_the_middle_of_two_pauses_leaves_nothing_behind() {
    panic_in_the_middle("SSE_BENCH_PANIC_FILE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_of_clients_that_panics_ends_the_run_at_once() {
    panic_in_the_middle("SSE_BENCH_PANIC_LOOP_FILE").await;
}

/// The run would go on for longer than anybody waits for it.
async fn panic_in_the_middle(variable: &str) {
    let lab = Lab::new(&PAUSED.replace("60s", "1h"));
    let mut command = lab.command(&[]);
    let file = lab.path().join("panic");
    command.env(variable, &file);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let output = end_in_the_middle(command.spawn().unwrap(), |_| std::fs::write(&file, "").unwrap()).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("asked to panic"), "{:?} {said}", output.status);
}
