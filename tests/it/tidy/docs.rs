//! No doc comment is a stub: one or two words, or only the words of its own item. Read [`Doc`] first.

use super::{
    house::Violations,
    source::Source,
    tokens::{head_end, is_word, without_attributes},
};

/// Words that do not count when a doc comment is compared with its item.
const FILLERS: [&str; 10] = ["a", "an", "the", "of", "for", "this", "its", "it", "that", "is"];

/// A doc comment of an item, field, variant or function. Consecutive lines are one comment.
#[derive(Debug)]
pub(super) struct Doc {
    /// Number of its first line, from 1.
    pub(super) line: usize,
    /// Its lines joined, without the slashes.
    pub(super) text: String,
    /// The item's code up to its body or value: visibility, name, parameters, type.
    head: String,
}

impl Doc {
    pub(super) fn all(source: &Source) -> Vec<Self> {
        let mut docs = Vec::new();
        let mut comments = source.comments.iter().peekable();
        while let Some(first) = comments.next() {
            let mut text = match doc_text(&source.text[first.clone()]) {
                Some(text) => text.to_owned(),
                None => continue,
            };
            let mut end = first.end;
            while let Some(next) = comments.peek() {
                let behind = doc_text(&source.text[(*next).clone()]);
                let is_next = source.text[end..next.start].trim().is_empty();
                let Some(more) = behind.filter(|_| is_next) else { break };
                text = format!("{text} {more}").trim().to_owned();
                end = next.end;
                comments.next();
            }
            let line = source.text[..first.start].lines().count().max(1);
            let head = without_attributes(&source.code[end..]);
            let head = &head[..head_end(head)];
            docs.push(Self { line, text, head: head.to_owned() });
        }
        docs
    }

    pub(super) fn is_stub(&self) -> bool {
        self.words() <= 2 || self.only_repeats()
    }

    fn words(&self) -> usize {
        // A route is more than its method and one word.
        let words = self.text.split(|c: char| c.is_whitespace() || c == '/');
        words.filter(|word| word.contains(char::is_alphanumeric)).count()
    }

    /// Whether the head of its item has all its words.
    fn only_repeats(&self) -> bool {
        let said = stems(&self.head);
        stems(&self.text).iter().all(|word| said.contains(word))
    }
}

/// The text behind the slashes of a `///` comment; `None` for other comments.
fn doc_text(comment: &str) -> Option<&str> {
    let text = comment.strip_prefix("///")?;
    (!text.starts_with('/')).then(|| text.trim())
}

/// The words of prose or code in lower case, without fillers. `snake_case` and `CamelCase` are split, plurals become
/// singular.
fn stems(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in text.replace("'s", " ").chars() {
        if !is_word(c) || c == '_' || (c.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = c.is_lowercase();
        if is_word(c) && c != '_' {
            words.last_mut().unwrap().extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty() && !FILLERS.contains(&word.as_str()));
    words.iter().map(|word| stem(word)).collect()
}

/// One form for singular and plural: cuts `s` and `es`, and writes `i` for a last `y`, as in `entries`.
fn stem(word: &str) -> String {
    let word = word.strip_suffix('s').unwrap_or(word);
    let word = word.strip_suffix('e').unwrap_or(word);
    word.strip_suffix('y').map_or(word.to_owned(), |word| format!("{word}i"))
}

/// A doc comment says what the code does not: a unit, a range, what `None` means, why.
pub(super) fn a_doc_comment_says_something(sources: &[Source]) -> Violations {
    let docs = sources.iter().flat_map(|source| Doc::all(source).into_iter().map(move |doc| (source, doc)));
    let stubs = docs.filter(|(_, doc)| doc.is_stub());
    stubs
        .map(|(source, doc)| format!("{}:{}: stub doc comment: {}", source.path, doc.line, doc.text))
        .collect()
}

#[cfg(test)]
mod planted {
    use super::{super::house::check, *};

    #[test]
    fn a_doc_comment_of_one_or_two_words_is_caught() {
        let rule = a_doc_comment_says_something;
        for text in [
            "struct X {\n    /// When.\n    at: Instant,\n}",
            "/// Its name.\nname: String",
            "/// In milliseconds.\n#[serde(default)]\nwait: u64",
            "///\n/// Why.\n///\nfn why() {}",
            "/// Unknown\nUnknown,",
        ] {
            check(rule, "src/node/x.rs", text, 1);
        }
        for text in [
            "/// Milliseconds since 1970.\nat: u64",
            "/// One line\n/// and another.\nfn f() {}",
            "// Not docs.\nfn f() {}",
            "//// Not docs.\nfn f() {}",
            "let x = \"\n/// Text.\n\";",
            "/// `GET /api/sse/clients`\nfn clients() {}",
            "//! A header.\n",
        ] {
            check(rule, "src/node/x.rs", text, 0);
        }
    }

    #[test]
    fn a_doc_comment_that_repeats_its_item_is_caught() {
        let rule = a_doc_comment_says_something;
        for text in [
            "/// The index of the node.\npub(crate) node_index: u32",
            "/// This is the reader of pages.\nstruct PageReader;",
            "/// The entries of this `History`.\n#[serde(rename = \"x[0]\")]\nentries: Vec<History>",
            "/// Reads a page for the cursor.\nfn read_page(&self, cursor: Cursor) -> Page {",
            "/// The time limit of publishes.\nconst PUBLISH_TIME_LIMIT: Duration = SECOND;",
            "enum X {\n    /// A node's\n    /// node error.\n    NodeError(Node),\n}",
        ] {
            check(rule, "src/node/x.rs", text, 1);
        }
        for text in [
            "/// The index of the node, from 0.\nnode_index: u32",
            "/// The reader of all pages.\nstruct PageReader;",
            "/// The limit in the file.\nlimit: u32, // file",
            "/// A second of time.\nconst TIME: Duration = SECOND;",
            "/// The state of the node.\nstate: u32,\nnode: Node",
        ] {
            check(rule, "src/node/x.rs", text, 0);
        }
    }
}
