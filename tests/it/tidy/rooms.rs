//! Which room may know which, and what is pure. Read [`ROOMS`] first.

use super::{files::binaries, house::Violations, source::Source, tokens::words_at};

/// Each room, and whom it may know beside itself.
pub(super) const ROOMS: [(&str, &[&str]); 8] = [
    ("protocol", &[]),
    ("runtime", &[]),
    ("net", &["runtime"]),
    ("broker", &["protocol", "runtime"]),
    ("client", &["protocol", "runtime"]),
    ("node", &["broker", "net", "protocol", "runtime"]),
    ("bench", &["client", "net", "protocol", "runtime"]),
    ("tui", &["client", "protocol", "runtime"]),
];
/// Items of the redis crate, by which a path to it is told from one to a module of that name.
const REDIS_ITEMS: [&str; 9] =
    ["aio", "cmd", "pipe", "Client", "Cmd", "Connection", "RedisError", "RedisResult", "Value"];

fn is_room(name: &str) -> bool {
    ROOMS.iter().any(|(room, _)| *room == name)
}

pub(super) fn rooms_know_only_whom_they_may(sources: &[Source]) -> Violations {
    let mut violations = Vec::new();
    for source in sources {
        let Some(room) = source.room() else { continue };
        let Some((_, allowed)) = ROOMS.iter().find(|(known, _)| *known == room) else {
            violations.push(format!("{}: {room} is no room; there are {ROOMS:?}", source.path));
            continue;
        };
        for name in source.names(&source.code) {
            let Some(other) = name.first().filter(|other| is_room(other)) else { continue };
            if other != room && !allowed.contains(&other.as_str()) {
                violations.push(format!("{}: {room} may not know {}", source.path, name.join("::")));
            }
        }
    }
    violations
}

pub(super) fn a_binary_is_the_door_of_one_room(sources: &[Source]) -> Violations {
    let mut violations = Vec::new();
    for (source, room) in binaries(sources) {
        if !sources.iter().any(|source| source.room() == Some(room)) {
            violations.push(format!("{}: there is no room src/{room}/", source.path));
        }
        for name in source.names(&source.code) {
            if name.first().is_none_or(|other| other != room && other != "runtime") {
                violations.push(format!("{}: it may not know {}", source.path, name.join("::")));
            }
        }
    }
    violations
}

pub(super) fn nobody_knows_the_node_itself(sources: &[Source]) -> Violations {
    let others = sources.iter().filter(|source| {
        source.room() == Some("node")
            && source.path != "src/node/mod.rs"
            && source.path != "src/node/node.rs"
            && !source.path.starts_with("src/node/node/")
    });
    let knowing = others.flat_map(|source| {
        let names = source.names(&source.code).into_iter();
        names.filter(|name| name.starts_with(&["node".into(), "node".into()])).map(move |name| (source, name))
    });
    knowing.map(|(source, name)| format!("{}: it may not know {}", source.path, name.join("::"))).collect()
}

pub(super) fn window_and_feed_know_only_the_log(sources: &[Source]) -> Violations {
    const PARTS: [&str; 2] = ["window", "feed"];
    let mut violations = Vec::new();
    for source in sources {
        let Some(part) = source.path.strip_prefix("src/node/") else { continue };
        if !PARTS.contains(&part.split(['/', '.']).next().unwrap_or_default()) {
            continue;
        }
        let (code, _) = source.without_tests();
        for name in source.names(&code) {
            let name: Vec<_> = name.iter().map(String::as_str).collect();
            let allowed = matches!(name[..], ["protocol" | "broker", ..])
                || matches!(name[..], ["node", part, ..] if PARTS.contains(&part));
            if !allowed {
                violations.push(format!("{}: it may not know {}", source.path, name.join("::")));
            }
        }
    }
    violations
}

pub(super) fn the_protocol_is_pure(sources: &[Source]) -> Violations {
    // Of `net` an address is a value; a socket is not.
    const IMPURE: [&str; 10] = [
        "tokio",
        "async",
        "await",
        "Instant",
        "SystemTime",
        "fs",
        "thread",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
    ];
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| source.room() == Some("protocol")) {
        for word in IMPURE.iter().filter(|word| source.has_word(word)) {
            violations.push(format!("{}: {word} has no place in the protocol", source.path));
        }
    }
    violations
}

/// The rooms that may name the redis crate: the log, and the servers that a run starts.
const REDIS_ROOMS: [&str; 2] = ["src/broker/redis/", "src/bench/cluster/redis/"];

/// A command or key of Redis has one obvious room. What others call `redis` are modules and names of their own.
pub(super) fn one_room_names_the_redis_crate(sources: &[Source]) -> Violations {
    let named = sources
        .iter()
        .filter(|source| !REDIS_ROOMS.iter().any(|room| source.path.starts_with(room)))
        .filter(|source| {
            words_at(&source.code, "redis").any(|at| {
                let before = source.code[..at].trim_end();
                let is_crate = !before.ends_with("::") || before.ends_with("use ::");
                let behind = &source.code[at + "redis".len()..];
                let item = behind.strip_prefix("::").unwrap_or_default();
                is_crate
                    && REDIS_ITEMS
                        .iter()
                        .any(|name| item.starts_with(name) || item.starts_with(&format!("{{{name}")))
            })
        });
    named.map(|source| format!("{}: only {REDIS_ROOMS:?} may name the redis crate", source.path)).collect()
}

#[cfg(test)]
mod planted {
    use super::{super::house::check, *};

    #[test]
    fn a_room_that_knows_too_much_is_caught() {
        let rule = rooms_know_only_whom_they_may;
        for (path, text) in [
            ("src/protocol/x.rs", "use crate::runtime::Tasks;"),
            ("src/runtime/x.rs", "use crate::protocol::Cursor;"),
            ("src/broker/x.rs", "use crate::{runtime::Tasks, node::config::Config};"),
            ("src/client/x.rs", "fn f() { crate::broker::open() }"),
            ("src/node/x/y.rs", "use super::super::super::client::Stream;"),
            ("src/bench/mod.rs", "use super::node::run;"),
            ("src/tui/x.rs", "#[cfg(test)] mod tests { use crate::bench::run; }"),
            ("src/cellar/x.rs", "use crate::protocol::Cursor;"),
        ] {
            check(rule, path, text, 1);
        }
        check(rule, "src/node/x.rs", "use crate::{broker::Broker, protocol::*, runtime, node::feed};", 0);
        check(rule, "src/bench/x.rs", "//! See [`crate::node`].\nuse crate::client::Stream;", 0);
    }

    #[test]
    fn a_binary_with_two_rooms_or_none_is_caught() {
        let rule = |sources: &[Source]| {
            let mut sources: Vec<_> =
                sources.iter().map(|source| Source::new(&source.path, &source.text)).collect();
            sources.push(Source::new("src/node/mod.rs", ""));
            a_binary_is_the_door_of_one_room(&sources).into_iter().collect()
        };
        check(rule, "src/bin/sse-node.rs", "use sse_lab::{node::run, runtime::exit};", 0);
        check(rule, "src/bin/sse-node.rs", "use sse_lab::{node::run, broker::Broker};", 1);
        check(rule, "src/bin/sse-cellar.rs", "", 1);
    }

    #[test]
    fn knowing_the_node_itself_is_caught() {
        let rule = nobody_knows_the_node_itself;
        check(rule, "src/node/drain.rs", "use super::node::Parts;", 1);
        check(rule, "src/node/http/ops.rs", "crate::node::node::run()", 1);
        check(rule, "src/node/http/ops.rs", "use super::super::node::NodeError;", 1);
        check(rule, "src/node/http/ops.rs", "use crate::node::{drain, node};", 1);
        check(rule, "src/node/mod.rs", "pub use self::node::run;", 0);
        check(rule, "src/node/drain.rs", "use crate::protocol::api; use super::close::CloseCode;", 0);
    }

    #[test]
    fn a_window_that_knows_more_than_the_log_is_caught() {
        let rule = window_and_feed_know_only_the_log;
        check(rule, "src/node/feed.rs", "use super::metrics::Metrics;", 1);
        check(rule, "src/node/window.rs", "use crate::runtime::Tasks;", 1);
        check(rule, "src/node/window/reader.rs", "use crate::node::http::AppState;", 1);
        check(rule, "src/node/feed.rs", "use super::window::Reader; use crate::broker::Page;", 0);
        check(
            rule,
            "src/node/feed.rs",
            "#[cfg(test)]\nmod tests { use super::*; use crate::runtime::Tasks; }",
            0,
        );
        check(rule, "src/node/stream.rs", "use super::metrics::Metrics;", 0);
    }

    #[test]
    fn naming_the_redis_crate_elsewhere_is_caught() {
        let rule = one_room_names_the_redis_crate;
        check(rule, "src/node/x.rs", "use redis::aio::MultiplexedConnection;", 1);
        check(rule, "src/bench/x.rs", "fn f() { redis::cmd(name); }", 1);
        check(rule, "src/bench/cluster/redis/x.rs", "fn f() { redis::cmd(name); }", 0);
        check(rule, "tests/it/x.rs", "use redis::{Client, Cmd};", 1);
        check(rule, "src/broker/redis/x.rs", "use redis::cmd;", 0);
        check(rule, "src/broker/x.rs", "pub use redis::Redis; use super::redis::url;", 0);
    }

    #[test]
    fn an_impure_protocol_is_caught() {
        let rule = the_protocol_is_pure;
        for text in [
            "use tokio::time;",
            "async fn f() {}",
            "f().await",
            "use std::time::Instant;",
            "SystemTime::now()",
            "std::fs::read(x)",
            "use std::net::TcpStream;",
        ] {
            check(rule, "src/protocol/x.rs", text, 1);
            check(rule, "src/runtime/x.rs", text, 0);
        }
        check(rule, "src/protocol/x.rs", "//! Never awaits: no tokio, no Instant.\nfn network() {}", 0);
    }
}
