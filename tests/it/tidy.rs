//! The rules of the house that a compiler does not check: who may know whom, what is pure, how a file begins, how
//! long it may be. Every rule is a function over sources, and is shown a violation that it must catch. Read [`RULES`]
//! first.

mod source;

use std::path::Path;

use source::{Source, words_at};

/// What is wrong, with the file it is wrong in.
type Violations = Vec<String>;

/// All rules.
const RULES: [fn(&[Source]) -> Violations; 12] = [
    rooms_know_only_whom_they_may,
    a_binary_is_the_door_of_one_room,
    nobody_knows_the_node_itself,
    window_and_feed_know_only_the_log,
    the_protocol_is_pure,
    one_room_names_the_redis_crate,
    a_file_says_what_it_is,
    a_file_is_not_too_long,
    nothing_is_left_for_later,
    no_module_is_a_drawer,
    every_task_has_an_owner,
    binaries_are_short,
];

/// Each room, and whom it may know beside itself.
const ROOMS: [(&str, &[&str]); 7] = [
    ("protocol", &[]),
    ("runtime", &[]),
    ("broker", &["protocol", "runtime"]),
    ("client", &["protocol", "runtime"]),
    ("node", &["broker", "protocol", "runtime"]),
    ("bench", &["client", "protocol", "runtime"]),
    ("tui", &["client", "protocol", "runtime"]),
];

/// Lines of a file without its tests.
const LINES_MAX: usize = 500;
/// Lines of a binary.
const BINARY_LINES_MAX: usize = 40;
/// Items of the redis crate, by which a path to it is told from one to a module of that name.
const REDIS_ITEMS: [&str; 9] =
    ["aio", "cmd", "pipe", "Client", "Cmd", "Connection", "RedisError", "RedisResult", "Value"];
const DRAWERS: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "types", "error_types", "errors"];

fn is_room(name: &str) -> bool {
    ROOMS.iter().any(|(room, _)| *room == name)
}

fn rooms_know_only_whom_they_may(sources: &[Source]) -> Violations {
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

fn binaries(sources: &[Source]) -> impl Iterator<Item = (&Source, &str)> {
    sources.iter().filter_map(|source| {
        let name = source.path.strip_prefix("src/bin/")?.strip_suffix(".rs")?;
        Some((source, name.strip_prefix("sse-").unwrap_or(name)))
    })
}

fn a_binary_is_the_door_of_one_room(sources: &[Source]) -> Violations {
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

fn nobody_knows_the_node_itself(sources: &[Source]) -> Violations {
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

fn window_and_feed_know_only_the_log(sources: &[Source]) -> Violations {
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
            // A line that is broken on purpose can be anywhere.
            let allowed = matches!(name[..], ["protocol" | "broker", ..] | ["runtime", "mutant", ..])
                || matches!(name[..], ["node", part, ..] if PARTS.contains(&part));
            if !allowed {
                violations.push(format!("{}: it may not know {}", source.path, name.join("::")));
            }
        }
    }
    violations
}

fn the_protocol_is_pure(sources: &[Source]) -> Violations {
    const IMPURE: [&str; 8] = ["tokio", "async", "await", "Instant", "SystemTime", "fs", "net", "thread"];
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| source.room() == Some("protocol")) {
        for word in IMPURE.iter().filter(|word| source.has_word(word)) {
            violations.push(format!("{}: {word} has no place in the protocol", source.path));
        }
    }
    violations
}

/// A command or key of Redis has one obvious room. What others call `redis` are modules and names of their own.
fn one_room_names_the_redis_crate(sources: &[Source]) -> Violations {
    let named =
        sources.iter().filter(|source| !source.path.starts_with("src/broker/redis/")).filter(|source| {
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
    named.map(|source| format!("{}: only src/broker/redis may name the redis crate", source.path)).collect()
}

fn a_file_says_what_it_is(sources: &[Source]) -> Violations {
    let silent = sources.iter().filter(|source| {
        let first = source.text.lines().next().unwrap_or_default();
        first.strip_prefix("//! ").is_none_or(|text| text.trim().is_empty())
    });
    silent.map(|source| format!("{}: it does not open with //! and what it is", source.path)).collect()
}

fn a_file_is_not_too_long(sources: &[Source]) -> Violations {
    let parts: Vec<_> = sources.iter().map(|source| (source, source.without_tests())).collect();
    let test_modules: Vec<_> = parts.iter().flat_map(|(_, (_, modules))| modules).collect();
    let is_test = |source: &Source| {
        let path = source.path.trim_end_matches(".rs");
        test_modules.iter().any(|module| path == *module || path.starts_with(&format!("{module}/")))
    };
    let long =
        parts.iter().filter(|(source, (code, _))| !is_test(source) && code.lines().count() > LINES_MAX);
    let message = |(source, (code, _)): &(&Source, (String, _))| {
        format!("{}: {} lines without its tests; make it a folder", source.path, code.lines().count())
    };
    long.map(message).collect()
}

fn nothing_is_left_for_later(sources: &[Source]) -> Violations {
    // Not written out, or this file would break its own rule.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    let mut violations = Vec::new();
    for source in sources {
        let marked = marks.iter().filter(|mark| words_at(&source.text, mark).next().is_some());
        violations.extend(marked.map(|mark| format!("{}: {mark}", source.path)));
        let macros = ["todo", "unimplemented"].into_iter().filter(|name| {
            words_at(&source.code, name).any(|at| source.code[at + name.len()..].starts_with('!'))
        });
        violations.extend(macros.map(|name| format!("{}: {name}!", source.path)));
        let ignored = source.code.contains("#[ignore") || source.code.contains("#[cfg_attr(ignore");
        violations.extend(ignored.then(|| format!("{}: a test is ignored", source.path)));
    }
    violations
}

fn no_module_is_a_drawer(sources: &[Source]) -> Violations {
    let mut violations = Vec::new();
    for source in sources {
        let parts = source.path.trim_end_matches(".rs").split('/').filter(|part| DRAWERS.contains(part));
        violations.extend(parts.map(|part| format!("{}: {part} says nothing", source.path)));
        let inner = DRAWERS.iter().filter(|name| {
            words_at(&source.code, name).any(|at| source.code[..at].trim_end().ends_with("mod"))
        });
        violations.extend(inner.map(|name| format!("{}: mod {name} says nothing", source.path)));
    }
    violations
}

fn every_task_has_an_owner(sources: &[Source]) -> Violations {
    let ownerless = sources.iter().filter(|source| {
        words_at(&source.code, "spawn").any(|at| {
            let before = source.code[..at].trim_end();
            // `tasks.spawn` and `set.spawn` have an owner in front; a path has none.
            before.ends_with("tokio::") || before.ends_with("task::")
        })
    });
    ownerless.map(|source| format!("{}: a task without an owner; use runtime::Tasks", source.path)).collect()
}

fn binaries_are_short(sources: &[Source]) -> Violations {
    let long = binaries(sources).filter(|(source, _)| source.text.lines().count() > BINARY_LINES_MAX);
    long.map(|(source, _)| format!("{}: more than {BINARY_LINES_MAX} lines", source.path)).collect()
}

/// Every `[[bin]]` of a manifest has its file, and is named as its room is.
fn the_manifest_names_the_binaries(manifest: &str, sources: &[Source]) -> Violations {
    let manifest: toml::Table = manifest.parse().unwrap();
    let bins = manifest["bin"].as_array().unwrap();
    let paths: Vec<_> =
        bins.iter().map(|bin| (bin["name"].as_str().unwrap(), bin["path"].as_str().unwrap())).collect();
    let mut violations: Vec<_> = paths
        .iter()
        .filter(|(name, path)| {
            *path != format!("src/bin/{name}.rs") || !sources.iter().any(|source| source.path == *path)
        })
        .map(|(name, path)| format!("Cargo.toml: {name} is not at {path}"))
        .collect();
    let unnamed = binaries(sources).filter(|(source, _)| !paths.iter().any(|(_, path)| *path == source.path));
    violations.extend(unnamed.map(|(source, _)| format!("{}: Cargo.toml does not name it", source.path)));
    violations
}

#[test]
fn the_house_is_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = Source::read_all(root, &["src", "tests", "benches"]);
    for room in ROOMS {
        assert!(sources.iter().any(|source| source.room() == Some(room.0)), "{} was not found", room.0);
    }
    let mut violations: Violations = RULES.iter().flat_map(|rule| rule(&sources)).collect();
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    violations.extend(the_manifest_names_the_binaries(&manifest, &sources));
    violations.sort();
    assert!(violations.is_empty(), "{}\n", violations.join("\n"));
}

#[cfg(test)]
mod planted {
    use super::*;

    type Rule = fn(&[Source]) -> Violations;

    #[track_caller]
    fn check(rule: Rule, path: &str, text: &str, expected: usize) {
        let violations = rule(&[Source::new(path, text)]);
        assert_eq!(violations.len(), expected, "{path}: {text}\n{violations:#?}");
    }

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
            "use std::net::IpAddr;",
        ] {
            check(rule, "src/protocol/x.rs", text, 1);
            check(rule, "src/runtime/x.rs", text, 0);
        }
        check(rule, "src/protocol/x.rs", "//! Never awaits: no tokio, no Instant.\nfn network() {}", 0);
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is_is_caught() {
        let rule = a_file_says_what_it_is;
        for text in ["", "use x;", "//!", "//! \nuse x;", "// A file.", "\n//! Late."] {
            check(rule, "src/node/x.rs", text, 1);
        }
        check(rule, "src/node/x.rs", "//! A file.\n", 0);
    }

    #[test]
    fn a_long_file_is_caught_unless_it_is_a_test() {
        let rule = a_file_is_not_too_long;
        let lines = |count: usize| "fn f() {}\n".repeat(count);
        check(rule, "src/node/x.rs", &lines(500), 0);
        check(rule, "src/node/x.rs", &lines(501), 1);
        check(
            rule,
            "src/node/x.rs",
            &format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(400), lines(400)),
            0,
        );
        check(rule, "src/node/x.rs", &format!("{}// #[cfg(test)]\n{}", lines(400), lines(400)), 1);
        let long = Source::new("src/node/proof/deep.rs", &lines(501));
        let parent = Source::new("src/node/mod.rs", "//! x\n#[cfg(test)]\nmod proof;\n");
        assert_eq!(rule(&[long, parent]), Violations::new());
    }

    #[test]
    fn what_is_left_for_later_is_caught() {
        let rule = nothing_is_left_for_later;
        check(rule, "src/node/x.rs", concat!("// TO", "DO: more"), 1);
        check(rule, "src/node/x.rs", concat!("/* FIX", "ME */"), 1);
        check(rule, "src/node/x.rs", "fn f() { todo!() }", 1);
        check(rule, "src/node/x.rs", "fn f() { unimplemented!(\"x\") }", 1);
        check(rule, "src/node/x.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}", 1);
        check(rule, "src/node/x.rs", "let todo = \"todo!\"; // unimplemented", 0);
    }

    #[test]
    fn a_drawer_is_caught() {
        let rule = no_module_is_a_drawer;
        check(rule, "src/node/util.rs", "", 1);
        check(rule, "src/bench/helpers/x.rs", "", 1);
        check(rule, "tests/it/common/mod.rs", "", 1);
        check(rule, "src/node/x.rs", "mod types { }", 1);
        check(rule, "src/node/x.rs", "use std::io; let types = 1; mod model {}", 0);
    }

    #[test]
    fn a_task_without_an_owner_is_caught() {
        let rule = every_task_has_an_owner;
        check(rule, "src/node/x.rs", "tokio::spawn(async {});", 1);
        check(rule, "src/node/x.rs", "use tokio::task::spawn;", 1);
        check(rule, "tests/it/x.rs", "tokio::task::spawn (f())", 1);
        check(
            rule,
            "src/node/x.rs",
            "tasks.spawn(\"x\", f()); set.spawn(f()); tokio::task::spawn_blocking(f)",
            0,
        );
    }

    #[test]
    fn a_long_binary_is_caught() {
        check(binaries_are_short, "src/bin/sse-node.rs", &"x\n".repeat(40), 0);
        check(binaries_are_short, "src/bin/sse-node.rs", &"x\n".repeat(41), 1);
    }

    #[test]
    fn a_manifest_that_names_other_binaries_is_caught() {
        let sources = [Source::new("src/bin/sse-node.rs", "")];
        let check = |manifest: &str, expected: usize| {
            let violations = the_manifest_names_the_binaries(manifest, &sources);
            assert_eq!(violations.len(), expected, "{manifest}: {violations:?}");
        };
        check("[[bin]]\nname = \"sse-node\"\npath = \"src/bin/sse-node.rs\"", 0);
        check("[[bin]]\nname = \"sse-n\"\npath = \"src/bin/sse-node.rs\"", 1);
        check("[[bin]]\nname = \"sse-tui\"\npath = \"src/bin/sse-tui.rs\"", 2);
    }
}
