//! The commands as a user types them.

use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::command::manual;
use super::failure::{USAGE, invalid_config};
use super::{Cli, Command};
use crate::broker::{Broker, BrokerUrl, Durability, Entry, LogLimits};
use crate::protocol::{Address, Envelope};
use crate::runtime::Tasks;
use crate::runtime::exit::{Failure, render};

fn command(arguments: &[&str]) -> Command {
    Cli::try_parse_from([&["sse-node"], arguments].concat()).unwrap().command
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn the_help_of_serve_is_as_written() {
    let mut cli = Cli::command().term_width(100);
    cli.build();
    let help = cli.find_subcommand_mut("serve").unwrap().render_help().to_string();
    insta::assert_snapshot!(help);
}

#[test]
fn every_command_has_a_manual_page_and_others_have_none() {
    for known in Cli::command().get_subcommands() {
        let page = String::from_utf8(manual(Some(known.get_name())).unwrap()).unwrap();
        assert!(page.contains(".TH"), "{page}");
    }
    let failure = manual(Some("sevre")).unwrap_err();
    assert_eq!(failure.code, USAGE);
    assert!(render(&failure).contains("serve"), "{}", render(&failure));
}

#[test]
fn an_invalid_configuration_ends_with_all_its_problems_and_the_code_of_usage() {
    let Command::CheckConfig(flags) = command(&["check-config", "--retry", "soon", "--max-connections=0"])
    else {
        panic!("another command")
    };
    let failure = flags.load().map_err(invalid_config).unwrap_err();
    assert_eq!(failure.code, USAGE);
    let text = render(&failure);
    assert!(text.contains("--retry \"soon\"") && text.contains("--max-connections \"0\""), "{text}");
    let missing = command(&["check-config", "--config", "/nowhere/node.toml"]);
    let Command::CheckConfig(flags) = missing else { panic!("another command") };
    let error = flags.load().unwrap_err().to_string();
    assert!(error.contains("/nowhere/node.toml"), "{error}");
}

async fn publish(arguments: &[&str]) -> Result<serde_json::Value, Failure> {
    let Command::Publish(publish) = command(&[&["publish"], arguments].concat()) else {
        panic!("another command")
    };
    publish.run().await.map(|answer| serde_json::from_str(&answer).unwrap())
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn url(&self) -> String {
        format!("file:{}", self.dir.path().join("log").display())
    }

    async fn open(&self) -> (Broker, Tasks) {
        let (url, tasks): (BrokerUrl, _) = (self.url().parse().unwrap(), Tasks::new());
        let broker = Broker::open(&url, LogLimits::default(), Durability::Accepted, &tasks).await.unwrap();
        (broker, tasks)
    }

    async fn entries(&self) -> Vec<Entry> {
        let (broker, tasks) = self.open().await;
        let entries = broker.read_newest(100, u64::MAX).await.unwrap();
        tasks.token().cancel();
        tasks.join(Duration::from_secs(60)).await.unwrap();
        entries
    }
}

#[tokio::test]
async fn publish_appends_and_says_where() {
    let place = Place::new();
    let url = place.url();
    let arguments =
        ["--broker", &url, "--user", "u", "--qos", "1", "--id", "m1", "--metadata", "[1]", r#"{"a":1.0}"#];
    let answer = publish(&arguments).await.unwrap();
    assert_eq!((answer["messageId"].as_str(), answer["duplicate"].as_bool()), (Some("m1"), Some(false)));
    let again = publish(&arguments).await.unwrap();
    assert_eq!((again["id"].as_str(), again["duplicate"].as_bool()), (answer["id"].as_str(), Some(true)));
    publish(&["--broker", &url, "--all", "--text", "say \"hi\""]).await.unwrap();

    let entries = place.entries().await;
    let [first, second] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(first.cursor.to_string(), answer["id"].as_str().unwrap());
    assert_eq!((first.address.to_string(), first.event_type.as_str()), ("user:u".to_owned(), "DIRECT"));
    let envelope: Envelope = serde_json::from_str(&first.envelope).unwrap();
    assert_eq!((envelope.data.get(), envelope.metadata.get()), (r#"{"a":1.0}"#, "[1]"));
    let envelope: Envelope = serde_json::from_str(&second.envelope).unwrap();
    assert_eq!((second.address.clone(), envelope.data.get()), (Address::All, r#""say \"hi\"""#));

    let (broker, _tasks) = place.open().await;
    let mailbox = broker.mailbox(&"user:u".parse().unwrap()).await.unwrap();
    assert_eq!(mailbox.entries.len(), 1);
}

#[track_caller]
fn check_failure(failure: &Failure, code: u8, words: &[&str]) {
    let text = render(failure);
    assert_eq!(failure.code, code, "{text}");
    for word in words {
        assert!(text.contains(word), "{text}");
    }
}

#[tokio::test]
async fn publish_says_why_it_cannot() {
    let place = Place::new();
    let url = place.url();
    let failure = publish(&["--all", "1"]).await.unwrap_err();
    check_failure(&failure, USAGE, &["memory:", "--broker file:DIR"]);
    let failure = publish(&["--broker", &url, "--all", "hello"]).await.unwrap_err();
    check_failure(&failure, USAGE, &["DATA is not JSON", "--text"]);
    let failure = publish(&["--broker", &url, "--all", "--qos", "1", "1"]).await.unwrap_err();
    check_failure(&failure, USAGE, &["qos 1", "mailbox"]);
    let large = format!("\"{}\"", "x".repeat(70_000));
    let failure = publish(&["--broker", &url, "--all", &large]).await.unwrap_err();
    check_failure(&failure, USAGE, &["70002 bytes", "65536"]);
    let (_broker, _tasks) = place.open().await;
    let failure = publish(&["--broker", &url, "--all", "1"]).await.unwrap_err();
    check_failure(&failure, 1, &["in use by another process", "POST"]);
}

#[test]
fn publish_is_for_exactly_one_address() {
    for arguments in [&["publish", "1"][..], &["publish", "--all", "--user", "u", "1"], &["publish", "--all"]]
    {
        assert!(Cli::try_parse_from([&["sse-node"], arguments].concat()).is_err(), "{arguments:?}");
    }
    let error = Cli::try_parse_from(["sse-node", "publish", "--user", "a,b", "1"]).unwrap_err().to_string();
    assert!(error.contains("user id") && error.contains("a,b"), "{error}");
}

/// Asks a server that answers with these bytes, or not at all.
async fn check_health(answer: Option<&'static str>, timeout: &str) -> Result<(), String> {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", server.local_addr().unwrap());
    let Command::Healthcheck(healthcheck) = command(&["healthcheck", &url, "--timeout", timeout]) else {
        panic!("another command")
    };
    let serve = async {
        let (mut socket, _) = server.accept().await.unwrap();
        let mut head = vec![0; 1_024];
        let read = socket.read(&mut head).await.unwrap();
        assert!(String::from_utf8_lossy(&head[..read]).starts_with("GET /health/ready HTTP/1.1\r\n"));
        match answer {
            Some(answer) => socket.write_all(answer.as_bytes()).await.unwrap(),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        outcome = async { healthcheck.run().await } => outcome.map_err(|error| error.to_string()),
        // Answered: now only the other side is awaited.
        outcome = async { serve.await; std::future::pending().await } => outcome,
    }
}

#[tokio::test]
async fn a_node_is_ready_only_if_it_says_so() {
    assert_eq!(check_health(Some("HTTP/1.1 200 OK\r\n\r\n"), "10s").await, Ok(()));
    let refused = check_health(Some("HTTP/1.1 503 Service Unavailable\r\n\r\n"), "10s").await.unwrap_err();
    assert!(refused.contains("503"), "{refused}");
    let strange = check_health(Some("SSH-2.0-200\r\n"), "10s").await.unwrap_err();
    assert!(strange.contains("SSH-2.0-200"), "{strange}");
    let silent = check_health(None, "50ms").await.unwrap_err();
    assert!(silent.contains("50ms"), "{silent}");
}

#[tokio::test]
async fn a_node_that_is_not_there_is_not_ready() {
    // Bound and not listening: nobody else gets the port, and nobody answers.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    for (url, words) in
        [(url.as_str(), "cannot connect to"), ("https://127.0.0.1:1", "allowed are http:// URLs")]
    {
        let Command::Healthcheck(healthcheck) = command(&["healthcheck", url]) else {
            panic!("another command")
        };
        let error = healthcheck.run().await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
