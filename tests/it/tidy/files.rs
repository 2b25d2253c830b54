//! How a file begins, how long it may be, and its name. Read [`modules_are_spelled_in_one_way`] first.

use super::{
    house::Violations,
    source::Source,
    tokens::{head_end, keyword, without_attributes, words_at},
};

/// Lines of a file without its tests.
const LINES_MAX: usize = 500;
/// A binary only opens the door of its room.
const BINARY_LINES_MAX: usize = 40;
const DRAWERS: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "types", "error_types", "errors"];

pub(super) fn binaries(sources: &[Source]) -> impl Iterator<Item = (&Source, &str)> {
    sources.iter().filter_map(|source| {
        let name = source.path.strip_prefix("src/bin/")?.strip_suffix(".rs")?;
        Some((source, name.strip_prefix("sse-").unwrap_or(name)))
    })
}

pub(super) fn a_file_says_what_it_is(sources: &[Source]) -> Violations {
    let silent = sources.iter().filter(|source| {
        let first = source.text.lines().next().unwrap_or_default();
        first.strip_prefix("//! ").is_none_or(|text| text.trim().is_empty())
    });
    silent.map(|source| format!("{}: it does not open with //! and what it is", source.path)).collect()
}

/// Files that are compiled for tests only: they, or a module above them, are declared behind `#[cfg(test)]`.
pub(super) struct TestFiles {
    /// Paths without `.rs`.
    modules: Vec<String>,
}

impl TestFiles {
    pub(super) fn of(sources: &[Source]) -> Self {
        Self { modules: sources.iter().flat_map(|source| source.without_tests().1).collect() }
    }

    pub(super) fn holds(&self, source: &Source) -> bool {
        let path = source.path.trim_end_matches(".rs");
        self.modules.iter().any(|module| {
            let behind = path.strip_prefix(module.as_str());
            behind.is_some_and(|behind| behind.is_empty() || behind.starts_with('/'))
        })
    }
}

pub(super) fn a_file_is_not_too_long(sources: &[Source]) -> Violations {
    let tests = TestFiles::of(sources);
    let lengths = sources.iter().filter(|source| !tests.holds(source));
    let lengths = lengths.map(|source| (&source.path, source.without_tests().0.lines().count()));
    let long = lengths.filter(|(_, lines)| *lines > LINES_MAX);
    long.map(|(path, lines)| format!("{path}: {lines} lines without its tests; make it a folder")).collect()
}

/// A folder `foo/` has `foo/mod.rs` and no `foo.rs` beside it. A `mod.rs` holds docs, `mod` and `use` only.
pub(super) fn modules_are_spelled_in_one_way(sources: &[Source]) -> Violations {
    let mut violations = Vec::new();
    for source in sources {
        let folder = source.path.trim_end_matches("rs").replace('.', "/");
        if sources.iter().any(|other| other.path.starts_with(&folder)) {
            violations.push(format!(
                "{}: it stands beside {folder}; move it to {folder}mod.rs and named files",
                source.path
            ));
        }
        let held = source.items().into_iter().filter(|item| {
            let item = without_attributes(item);
            !matches!(keyword(item), Some("mod" | "use") if item.ends_with(';'))
        });
        if let Some(first) = held.clone().next().filter(|_| source.path.ends_with("/mod.rs")) {
            let first = without_attributes(first);
            let first = first[..head_end(first)].trim();
            let more = held.count();
            violations.push(format!(
                "{}: mod.rs holds {more} items besides mod and use; the first is {first}",
                source.path
            ));
        }
    }
    violations
}

/// A file of tests is called `tests.rs`, `tests_*.rs` or `*_tests.rs`, or stands below a folder `tests`.
pub(super) fn a_file_of_tests_says_so(sources: &[Source]) -> Violations {
    let tests = TestFiles::of(sources);
    let silent = sources.iter().filter(|source| {
        let mut parts = source.path.trim_end_matches(".rs").split('/');
        let name = parts.next_back().unwrap_or_default();
        let is_named = name == "tests" || name.starts_with("tests_") || name.ends_with("_tests");
        !is_named && !parts.any(|part| part == "tests") && (tests.holds(source) || has_only_tests(source))
    });
    silent
        .map(|source| {
            format!("{}: only tests use it; call it tests.rs or move it below a folder tests", source.path)
        })
        .collect()
}

fn has_only_tests(source: &Source) -> bool {
    let is_test = |item: &str| {
        let attributes = &item[..item.len() - without_attributes(item).len()];
        ["#[test]", "::test]", "::test("].iter().any(|mark| attributes.contains(mark))
    };
    let items = source.items();
    let mut held =
        items.iter().filter(|item| !matches!(keyword(without_attributes(item)), Some("mod" | "use")));
    held.clone().next().is_some() && held.all(|item| is_test(item))
}

pub(super) fn no_module_is_a_drawer(sources: &[Source]) -> Violations {
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

pub(super) fn binaries_are_short(sources: &[Source]) -> Violations {
    let long = binaries(sources).filter(|(source, _)| source.text.lines().count() > BINARY_LINES_MAX);
    long.map(|(source, _)| format!("{}: more than {BINARY_LINES_MAX} lines", source.path)).collect()
}

/// Every `[[bin]]` of a manifest has its file, and is named as its room is; but one that is only measured stands in
/// `benches/`.
pub(super) fn the_manifest_names_the_binaries(manifest: &str, sources: &[Source]) -> Violations {
    let manifest: toml::Table = manifest.parse().unwrap();
    let bins = manifest["bin"].as_array().unwrap();
    let paths: Vec<_> =
        bins.iter().map(|bin| (bin["name"].as_str().unwrap(), bin["path"].as_str().unwrap())).collect();
    let mut violations: Vec<_> = paths
        .iter()
        .filter(|(name, path)| {
            ![format!("src/bin/{name}.rs"), format!("benches/{name}.rs")].iter().any(|at| at == path)
                || !sources.iter().any(|source| source.path == *path)
        })
        .map(|(name, path)| format!("Cargo.toml: {name} is not at {path}"))
        .collect();
    let unnamed = binaries(sources).filter(|(source, _)| !paths.iter().any(|(_, path)| *path == source.path));
    violations.extend(unnamed.map(|(source, _)| format!("{}: Cargo.toml does not name it", source.path)));
    violations
}

#[cfg(test)]
mod planted {
    use super::{super::house::check, *};

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
    fn a_drawer_is_caught() {
        let rule = no_module_is_a_drawer;
        check(rule, "src/node/util.rs", "", 1);
        check(rule, "src/bench/helpers/x.rs", "", 1);
        check(rule, "tests/it/common/mod.rs", "", 1);
        check(rule, "src/node/x.rs", "mod types { }", 1);
        check(rule, "src/node/x.rs", "use std::io; let types = 1; mod model {}", 0);
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
        check("[[bin]]\nname = \"counts\"\npath = \"benches/counts.rs\"", 2);
    }

    #[test]
    fn a_folder_with_a_file_beside_it_is_caught() {
        let rule = modules_are_spelled_in_one_way;
        let count = |paths: [&str; 2]| rule(&paths.map(|path| Source::new(path, "//! A file.\n"))).len();
        assert_eq!(count(["src/node/http.rs", "src/node/http/stream.rs"]), 1);
        assert_eq!(count(["tests/it/tui.rs", "tests/it/tui/live.rs"]), 1);
        assert_eq!(count(["src/node/http/mod.rs", "src/node/http/stream.rs"]), 0);
        assert_eq!(count(["src/node/http.rs", "src/node/http_stream/x.rs"]), 0);
    }

    #[test]
    fn a_mod_rs_that_holds_something_is_caught() {
        let rule = modules_are_spelled_in_one_way;
        let text = "//! Docs.\n#![warn(x)]\n#[macro_use]\nmod a;\npub(crate) mod b;\n#[cfg(test)]\nmod tests;\n\
                    pub use a::{C, d::{E, F}};\nuse b::G;\n";
        check(rule, "src/node/mod.rs", text, 0);
        for held in [
            "pub fn f() {}",
            "struct A;",
            "const A: [u8; 2] = [1; 2];",
            "pub type A = B;",
            "#[cfg(test)]\nmod tests { use super::*; }",
            "impl A {}\nfn f() {}",
            "thread_local! { static A: B = C; }",
        ] {
            check(rule, "src/node/mod.rs", &format!("{text}{held}"), 1);
            check(rule, "src/node/model.rs", &format!("{text}{held}"), 0);
        }
    }

    #[test]
    fn a_file_of_tests_under_another_name_is_caught() {
        let rule = a_file_of_tests_says_so;
        let count = |path: &str, declaration: &str| {
            let parent = Source::new("src/node/mod.rs", declaration);
            rule(&[Source::new(path, "fn f() {}"), parent]).len()
        };
        assert_eq!(count("src/node/proof.rs", "#[cfg(test)]\nmod proof;"), 1);
        assert_eq!(count("src/node/proof/deep.rs", "#[cfg(test)]\npub(crate) mod proof;"), 1);
        assert_eq!(count("src/node/tests.rs", "#[cfg(test)]\nmod tests;"), 0);
        assert_eq!(count("src/node/tests/proof.rs", "#[cfg(test)]\nmod tests;"), 0);
        assert_eq!(count("src/node/tests_of_faults.rs", "#[cfg(test)]\nmod tests_of_faults;"), 0);
        assert_eq!(count("src/node/proof.rs", "mod proof;"), 0);
        assert_eq!(count("src/node/proofs.rs", "#[cfg(test)]\nmod proof;"), 0);
        check(
            rule,
            "src/node/proof.rs",
            "use super::*;\n#[test]\nfn f() {}\n#[tokio::test]\nasync fn g() {}",
            1,
        );
        check(rule, "src/node/proof.rs", "fn f() {}\n#[cfg(test)]\nmod tests { #[test] fn g() {} }", 0);
        check(rule, "src/node/proof.rs", "#[test]\nfn f() {}\nfn g() {}", 0);
        check(rule, "tests/it/proof.rs", "#[test]\nfn f() {}", 0);
    }
}
