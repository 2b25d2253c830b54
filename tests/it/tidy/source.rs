//! Rust source as the rules look at it: without comments and literals, without its tests, and the paths it names.
//! Knows tokens, not grammar. Read [`Source`] first.

use std::path::Path;

/// A file of the house.
#[derive(Debug)]
pub(super) struct Source {
    /// From the root of the project.
    pub(super) path: String,
    pub(super) text: String,
    /// The text with comments and literals blanked, line by line the same.
    pub(super) code: String,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: blank(text) }
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
    fn module(&self) -> Vec<&str> {
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
        let module: Vec<String> = self.module().into_iter().map(str::to_owned).collect();
        let parent = module.split_last().map_or(Vec::new(), |(_, parent)| parent.to_vec());
        let starts = [("crate", Vec::new()), ("sse_lab", Vec::new()), ("self", module), ("super", parent)];
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
        const MARK: &str = "#[cfg(test)]";
        let mut kept = String::new();
        let mut modules = Vec::new();
        let mut rest = self.code.as_str();
        while let Some((before, behind)) = rest.split_once(MARK) {
            kept.push_str(before);
            let end = item_end(behind);
            let item = behind[..end].trim();
            let name = item.strip_suffix(';').and_then(|item| item.rsplit_once("mod "));
            if let Some((_, name)) = name {
                let mut module = self.module();
                module.push(name);
                modules.push(format!("src/{}", module.join("/")));
            }
            rest = &behind[end..];
        }
        kept.push_str(rest);
        (kept, modules)
    }
}

/// Where the item ends that a text begins with: at its `;`, or behind its braces.
fn item_end(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The paths of a `use` tree behind its first `::`; returns what follows the tree.
fn tree<'a>(code: &'a str, from: &[String], names: &mut Vec<Vec<String>>) -> &'a str {
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
    if let Some(rest) = rest.trim_start().strip_prefix("::") {
        return tree(rest, &path, names);
    }
    names.push(path);
    // `as other` belongs to the path.
    let Some(alias) = rest.trim_start().strip_prefix("as ") else { return rest };
    alias.trim_start().trim_start_matches(is_word)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where a word stands by itself.
pub(super) fn words_at(text: &str, word: &str) -> impl Iterator<Item = usize> {
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !text[..*at].ends_with(is_word) && !text[at + word.len()..].starts_with(is_word))
}

/// Blanks comments and literals, and keeps every line where it is.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let hidden = comment(rest).or_else(|| literal(rest, &out));
        match hidden {
            Some(length) => {
                out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
                rest = &rest[length..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// Length of the comment that a text begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    text.strip_prefix("/*")?;
    let mut depth = 0;
    let mut at = 0;
    loop {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest.chars().next().map_or(0, char::len_utf8);
            if rest.is_empty() {
                return Some(at);
            }
        }
    }
}

/// Length of the string or character that a text begins with; `before` is the code in front of it.
fn literal(text: &str, before: &str) -> Option<usize> {
    let in_word = before.ends_with(is_word);
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        let behind = text.strip_prefix(prefix);
        let quoted = behind.is_some_and(|behind| behind.starts_with(['"', '#', '\'']));
        quoted && (prefix.is_empty() || !in_word)
    })?;
    let body = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let inner = body[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(prefix.len() + hashes + 1 + inner.find(&end)? + end.len());
    }
    let quote = body.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    if quote == '\'' && !is_character(body) {
        return None;
    }
    let mut is_escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    None
}

/// Whether it is a character and not a lifetime.
fn is_character(text: &str) -> bool {
    let mut behind = text.chars().skip(1);
    behind.next() == Some('\\') || behind.next() == Some('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let text =
            "a // b\n/* c /* d */\n e */ f(\"g \\\" h\", 'i', '\\'', b\"j\", r#\"k \" l\"#, &'m str) n\n";
        let code = Source::new("src/x.rs", text).code;
        assert_eq!(code.lines().count(), text.lines().count());
        let words: Vec<_> = code.split(|c| !is_word(c)).filter(|word| !word.is_empty()).collect();
        assert_eq!(words, ["a", "f", "m", "str", "n"]);
    }

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
            "use crate::{c::{D, e::F as G}, h}; i(crate::j::k());",
            &["c::D", "c::e::F", "h", "j::k"],
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
