//! Rust source as the rules look at it: without comments and literals, without its tests, and the paths it names.
//! Read [`Source`] first.

use std::{ops::Range, path::Path};

use super::tokens::{blank, is_word, item_end, without_attributes, words_at};

/// A file of the house.
#[derive(Debug)]
pub(super) struct Source {
    /// From the root of the project.
    pub(super) path: String,
    pub(super) text: String,
    /// The text with comments and literals blanked. Each byte keeps its place.
    pub(super) code: String,
    /// Byte ranges of the comments, in the text as in the code.
    pub(super) comments: Vec<Range<usize>>,
}

/// A path that code names.
#[derive(Debug)]
pub(super) struct Name {
    /// From the crate's root, without `crate`.
    pub(super) path: Vec<String>,
    /// Its name in the importing module: the last segment, or the alias.
    pub(super) shown: String,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let (code, comments) = blank(text);
        Self { path: path.to_owned(), text: text.to_owned(), code, comments }
    }

    /// All Rust files below these directories.
    pub(super) fn read_all(root: &Path, directories: &[&str]) -> Vec<Self> {
        let mut sources = Vec::new();
        let mut left: Vec<_> = directories.iter().map(|directory| root.join(directory)).collect();
        while let Some(directory) = left.pop() {
            for entry in std::fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    left.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                    sources.push(Self::new(&name, &std::fs::read_to_string(&path).unwrap()));
                }
            }
        }
        sources
    }

    /// The room of the library that the file stands in.
    pub(super) fn room(&self) -> Option<&str> {
        let (room, _) = self.path.strip_prefix("src/")?.split_once('/')?;
        (room != "bin").then_some(room)
    }

    /// The module that the file is, below the crate.
    pub(super) fn module(&self) -> Vec<&str> {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let path = path.strip_suffix(".rs").unwrap_or(path);
        let path = path.strip_suffix("/mod").unwrap_or(path);
        if path == "lib" { Vec::new() } else { path.split('/').collect() }
    }

    /// Whether a word stands in the code.
    pub(super) fn has_word(&self, word: &str) -> bool {
        words_at(&self.code, word).next().is_some()
    }

    /// Everything of the library that this code names, from the crate on: `use` with all its braces, and paths in
    /// the middle of an expression. `super` and `self` count from the file, also within an inner module.
    pub(super) fn names(&self, code: &str) -> Vec<Vec<String>> {
        self.named(code, &[]).into_iter().map(|name| name.path).collect()
    }

    /// The same, and paths that begin with one of these child modules.
    pub(super) fn named(&self, code: &str, children: &[&str]) -> Vec<Name> {
        let module: Vec<String> = self.module().into_iter().map(str::to_owned).collect();
        let parent = module.split_last().map_or(Vec::new(), |(_, parent)| parent.to_vec());
        let mut starts = vec![("crate", Vec::new()), ("sse_lab", Vec::new()), ("super", parent)];
        starts.extend(children.iter().map(|child| (*child, [&module[..], &[(*child).to_owned()]].concat())));
        starts.push(("self", module));
        let mut names = Vec::new();
        for (word, from) in &starts {
            for at in words_at(code, word) {
                let is_inside = code[..at].trim_end().ends_with("::");
                let rest = code[at + word.len()..].trim_start();
                if let (false, Some(rest)) = (is_inside, rest.strip_prefix("::")) {
                    tree(rest, from, &mut names);
                }
            }
        }
        names
    }

    /// The code without what stands behind `#[cfg(test)]`, and the modules declared there that have files of
    /// their own.
    pub(super) fn without_tests(&self) -> (String, Vec<String>) {
        let mut kept = String::new();
        let mut modules = Vec::new();
        let mut at = 0;
        for tests in self.tests() {
            kept.push_str(&self.code[at..tests.start]);
            at = tests.end;
            let item = without_attributes(&self.code[tests]).trim();
            let name = item.strip_suffix(';').and_then(|item| item.rsplit_once("mod "));
            if let Some((_, name)) = name {
                let mut module = self.module();
                module.push(name);
                modules.push(format!("src/{}", module.join("/")));
            }
        }
        kept.push_str(&self.code[at..]);
        (kept, modules)
    }

    /// Byte ranges of the items behind `#[cfg(test)]`, the attribute included.
    pub(super) fn tests(&self) -> Vec<Range<usize>> {
        const MARK: &str = "#[cfg(test)]";
        let mut tests = Vec::new();
        let mut at = 0;
        while let Some(found) = self.code[at..].find(MARK) {
            let start = at + found;
            at = start + MARK.len();
            at += item_end(&self.code[at..]);
            tests.push(start..at);
        }
        tests
    }

    /// The items at the top level of the file, with their attributes.
    pub(super) fn items(&self) -> Vec<&str> {
        let mut items = Vec::new();
        let mut rest = self.code.trim();
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix("#!") {
                rest = inner.find(']').map_or("", |end| inner[end + 1..].trim_start());
                continue;
            }
            // An unmatched brace would never end.
            let (item, behind) = rest.split_at(item_end(rest));
            rest = if item.is_empty() { "" } else { behind.trim_start() };
            items.extend((!item.is_empty()).then_some(item));
        }
        items
    }
}

/// The paths of a `use` tree behind its first `::`; returns what follows the tree.
fn tree<'a>(code: &'a str, from: &[String], names: &mut Vec<Name>) -> &'a str {
    let code = code.trim_start();
    if let Some(mut rest) = code.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(behind) = rest.strip_prefix('}') {
                return behind;
            }
            let before = rest.len();
            rest = tree(rest, from, names).trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest);
            if rest.len() == before {
                // Not a tree after all.
                return rest;
            }
        }
    }
    let end = code.find(|c: char| !is_word(c) && c != '*').unwrap_or(code.len());
    let (segment, rest) = code.split_at(end);
    if segment.is_empty() {
        return rest;
    }
    let mut path = from.to_vec();
    match segment {
        "super" => drop(path.pop()),
        "self" => {}
        _ => path.push(segment.to_owned()),
    }
    let behind = rest.trim_start().strip_prefix("::").map(str::trim_start);
    if let Some(behind) = behind.filter(|behind| behind.starts_with(|c| is_word(c) || matches!(c, '{' | '*')))
    {
        return tree(behind, &path, names);
    }
    // `as other` belongs to the path.
    let alias = rest.trim_start().strip_prefix("as ").map(str::trim_start);
    let alias = alias.map(|alias| alias.split_at(alias.find(|c| !is_word(c)).unwrap_or(alias.len())));
    let shown =
        alias.map(|(alias, _)| alias).or(path.last().map(String::as_str)).unwrap_or_default().to_owned();
    names.push(Name { path, shown });
    alias.map_or(rest, |(_, behind)| behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn names(path: &str, text: &str, expected: &[&str]) {
        let source = Source::new(path, text);
        let mut names: Vec<_> = source.names(&source.code).iter().map(|name| name.join("::")).collect();
        names.sort();
        assert_eq!(names, expected, "{text}");
    }

    #[test]
    fn every_way_to_name_a_room_is_seen() {
        names(
            "src/a/b.rs",
            "use crate::{c::{D, e::F as G}, h}; i(crate::j::k(), crate::l::m::<N>());",
            &["c::D", "c::e::F", "h", "j::k", "l::m"],
        );
        names(
            "src/a/b.rs",
            "use super::c::D; use super::super::e; use self::f;",
            &["a::b::f", "a::c::D", "e"],
        );
        names("src/a/mod.rs", "use super::c; pub(in crate::d) fn x() {}", &["c", "d"]);
        names("tests/it/x.rs", "use sse_lab::{a, b::*}; // crate::c\n", &["a", "b::*"]);
        names("src/a/b.rs", "let supper = mycrate::x; \"crate::y\"", &[]);
    }

    #[test]
    fn tests_are_cut_out_and_their_files_named() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { {} }\n}\nfn c() {}\n#[cfg(test)]\nmod d;\nfn e() {}";
        let (code, modules) = Source::new("src/x/mod.rs", text).without_tests();
        assert!(code.contains("fn a") && code.contains("fn c") && code.contains("fn e"), "{code}");
        assert!(!code.contains("fn b"), "{code}");
        assert_eq!(modules, ["src/x/d"]);
    }
}
