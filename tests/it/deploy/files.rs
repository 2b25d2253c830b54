//! What the files of `deploy/` say of a node must be true of a node: variables, flags, paths, metrics, values. Read
//! [`Shipped`] first.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;

use super::balancer::{Kind, program, repository};
use crate::support::{Node, run, within};

/// A file of `deploy/`.
#[derive(Debug)]
pub(super) struct Shipped {
    /// Path of the file below `deploy/`.
    pub(super) path: String,
    pub(super) text: String,
}

/// Flags of other programs.
const FLAGS_OF_OTHERS: [&str; 22] = [
    "--bin",
    "--bind",
    "--build",
    "--chown",
    "--from",
    "--from-literal",
    "--interval",
    "--locked",
    "--mount",
    "--no-install-recommends",
    "--now",
    "--port",
    "--protected-mode",
    "--release",
    "--requirepass",
    "--retries",
    "--scale",
    "--start-period",
    "--target",
    "--test",
    "--time",
    "--timeout",
];

impl Shipped {
    pub(super) fn all() -> Vec<Self> {
        let mut files = Vec::new();
        collect(&repository("deploy"), &mut files);
        assert!(files.len() > 15, "{files:?}");
        files
    }

    pub(super) fn read(path: &str) -> Self {
        let text = std::fs::read_to_string(repository("deploy").join(path)).unwrap();
        Self { path: path.to_owned(), text }
    }

    /// Words that begin like this, and where they stand.
    fn words(&self, beginning: &str, is_part: impl Fn(char) -> bool) -> Vec<String> {
        let mut words = Vec::new();
        for (at, _) in self.text.match_indices(beginning) {
            // `a--b` holds no flag, and `/x/metrics` is another path than `/metrics`.
            if self.text[..at].chars().next_back().is_some_and(&is_part) {
                continue;
            }
            let rest = &self.text[at + beginning.len()..];
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let word = format!("{beginning}{}", &rest[..end]);
            words.push(word.trim_end_matches(['.', '-', '_']).to_owned());
        }
        words
    }
}

fn collect(directory: &Path, files: &mut Vec<Shipped>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(repository("deploy")).unwrap().to_str().unwrap().to_owned();
            files.push(Shipped { path, text });
        }
    }
}

/// Everything that is wrong, in all files at once.
#[track_caller]
fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn help() -> String {
    let output = run(&["serve", "--help"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    output.stdout
}

fn is_variable(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'
}

fn is_flag(c: char) -> bool {
    c.is_ascii_lowercase() || c == '-'
}

#[tokio::test]
async fn every_variable_is_one_of_a_node() {
    let help = Shipped { path: String::new(), text: help().await };
    let known: BTreeSet<_> = help.words("SSE_NODE_", is_variable).into_iter().collect();
    assert!(known.contains("SSE_NODE_LISTEN") && known.len() > 30, "{known:?}");
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for file in Shipped::all() {
        for word in file.words("SSE_NODE_", is_variable) {
            // The beginning alone, as in a sentence about all of them.
            if word == "SSE_NODE" {
                continue;
            }
            if !known.contains(&word) {
                wrong.push(format!("{}: a node knows no {word}", file.path));
            }
            used.insert(word);
        }
    }
    assert!(used.len() > 8, "{used:?}");
    none(&wrong);
}

#[tokio::test]
async fn every_flag_is_one_of_a_node() {
    let help = Shipped { path: String::new(), text: help().await };
    let known: BTreeSet<_> = help.words("--", is_flag).into_iter().collect();
    assert!(known.contains("--listen") && known.len() > 30, "{known:?}");
    let mut wrong = Vec::new();
    for file in Shipped::all() {
        for flag in file.words("--", is_flag) {
            if flag.len() > 2 && !known.contains(&flag) && !FLAGS_OF_OTHERS.contains(&flag.as_str()) {
                wrong.push(format!("{}: neither a node nor another known program has {flag}", file.path));
            }
        }
    }
    none(&wrong);
}

#[tokio::test]
async fn every_path_is_one_of_a_node() {
    let node = Node::start(&[]).await;
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/_.-".contains(c);
    let mut paths = BTreeSet::new();
    for file in Shipped::all() {
        for beginning in ["/api/", "/health", "/actuator", "/admin", "/metrics", "/sse.js", "/openapi.json"] {
            for path in file.words(beginning, is_path) {
                // A prefix is no path.
                if !path.ends_with('/') {
                    paths.insert((path, file.path.clone()));
                }
            }
        }
    }
    assert!(paths.iter().any(|(path, _)| path == "/api/sse/stream"), "{paths:?}");
    let mut wrong = Vec::new();
    for (path, file) in paths {
        // HEAD, since a stream has no end to wait for.
        let answer = node.answer(node.http().head(node.url(&path))).await;
        let from_outside = path == "/api/sse";
        if answer.status == 404 && !from_outside {
            wrong.push(format!("{file}: a node has no path {path}"));
        }
    }
    none(&wrong);
}

#[tokio::test]
async fn every_metric_is_one_of_a_node() {
    let node = Node::start(&[]).await;
    let known = node.get("/metrics").await.body;
    let mut used = 0;
    for file in Shipped::all() {
        for name in file.words("sse_node_", |c| c.is_ascii_lowercase() || c == '_') {
            let line = format!("\n{name} ");
            assert!(known.contains(&line), "{}: {name} is not in /metrics", file.path);
            used += 1;
        }
    }
    assert!(used > 0, "no file names a metric");
}

#[test]
fn the_balancers_find_nothing_to_warn_of() {
    for (kind, stickies) in [
        (Kind::Nginx, ["ip_hash", "cookie", "client_id"]),
        (Kind::Haproxy, ["source", "cookie", "client_id"]),
    ] {
        for sticky in stickies {
            let warnings = kind.setup().sticky(sticky).warnings();
            assert!(warnings.is_empty(), "{kind:?}, {sticky}: {warnings}");
        }
    }
    let wrong = Kind::Nginx.setup().change("gzip off;", "gzip off; gzip_types text/html;").warnings();
    assert!(wrong.contains("duplicate MIME type"), "the control is not seen: {wrong}");
    let wrong = Kind::Haproxy.setup().change("  timeout client 90s\n", "").warnings();
    assert!(wrong.contains("missing timeouts"), "the control is not seen: {wrong}");
}

#[test]
fn haproxy_names_the_variants_that_there_are() {
    let warnings = Kind::Haproxy.setup().sticky("by_moon").warnings();
    assert!(warnings.contains("SSE_STICKY is by_moon; allowed are source, cookie, client_id"), "{warnings}");
}

/// A command that the image or a unit runs, with its variables, as far as it can be run here.
pub(super) async fn check_config(variables: &[(String, String)]) -> Output {
    let mut command = program(env!("CARGO_BIN_EXE_sse-node"));
    command.arg("check-config").env_clear();
    for (name, value) in variables {
        if name.starts_with("SSE_NODE_") {
            // `${NAME:-default}`, as compose reads it when nobody sets the variable.
            let default = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')?.split_once(":-"));
            command.env(name, default.map_or(value.as_str(), |(_, default)| default));
        }
    }
    within("the end of check-config", command.output()).await.unwrap()
}

/// The setting as `check-config` prints it.
pub(super) fn setting(output: &Output, key: &str) -> String {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    assert!(output.status.success(), "{output:?}");
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(key));
    line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or_else(|| panic!("{key}: {text}")).to_owned()
}

#[tokio::test]
async fn the_example_of_the_unit_is_valid_also_with_its_commented_lines() {
    let text = Shipped::read("systemd/example.env").text;
    let variables: Vec<_> = text
        .lines()
        .map(|line| line.trim_start_matches("# "))
        .filter_map(|line| line.starts_with("SSE_NODE_").then(|| line.split_once('=')).flatten())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert!(variables.len() >= 5, "{variables:?}");
    let output = check_config(&variables).await;
    assert_eq!(setting(&output, "reject"), "status");
}
