//! Redis with the shipped file: it starts, has what the file says, and keeps what it has when it is killed.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Child;

use super::balancer::{free_address, program, repository};
use crate::support::{directory, eventually, within};

/// Starts Redis with the shipped file and, as users do, with arguments for what is particular to this place.
pub(super) async fn start(address: SocketAddr, directory: &Path) -> Child {
    let mut command = program("redis-server");
    command.arg(repository("deploy/redis/redis.conf")).arg("--dir").arg(directory);
    command.args(["--bind", &address.ip().to_string(), "--port", &address.port().to_string()]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn();
    let child = child.unwrap_or_else(|error| panic!("redis-server: {error}; `make setup` installs it"));
    eventually("a Redis that answers", async || {
        (try_ask(address, "PING").await?.trim() == "+PONG").then_some(())
    })
    .await;
    child
}

/// The answer to a command; inline commands are texts.
async fn try_ask(address: SocketAddr, command: &str) -> Option<String> {
    let mut socket = TcpStream::connect(address).await.ok()?;
    socket.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).await.ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.ok()?;
    Some(answer.strip_suffix("+OK\r\n")?.to_owned())
}

async fn ask(address: SocketAddr, command: &str) -> String {
    within(command, try_ask(address, command)).await.unwrap_or_else(|| panic!("{command}: no answer"))
}

/// The value of a setting: `*2`, `$n`, its name, `$n`, the value.
async fn setting(address: SocketAddr, name: &str) -> String {
    let answer = ask(address, &format!("CONFIG GET {name}")).await;
    answer.lines().nth(4).unwrap_or_else(|| panic!("{name}: {answer:?}")).to_owned()
}

#[tokio::test]
async fn redis_runs_with_the_shipped_file_and_survives_being_killed() {
    let (address, directory) = (free_address(), directory());
    let mut redis = start(address, directory.path()).await;
    for (name, expected) in [
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("no-appendfsync-on-rewrite", "no"),
        ("maxmemory-policy", "noeviction"),
        ("maxmemory", "2147483648"),
        ("save", ""),
        ("protected-mode", "yes"),
    ] {
        assert_eq!(setting(address, name).await, expected, "{name}");
    }
    let entry = ask(address, "XADD {sse}:log 1-1 m hello").await;
    assert_eq!(entry, "$3\r\n1-1\r\n");
    within("the end of Redis", redis.kill()).await.unwrap();
    let _redis = start(address, directory.path()).await;
    assert_eq!(ask(address, "XLEN {sse}:log").await, ":1\r\n");
}
