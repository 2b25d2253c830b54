//! Finds comments, literals, words and items in Rust code. Knows tokens, not grammar. Read [`blank`] first.

use std::ops::Range;

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Positions where a word is not part of a longer one.
pub(super) fn words_at(text: &str, word: &str) -> impl Iterator<Item = usize> {
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !text[..*at].ends_with(is_word) && !text[at + word.len()..].starts_with(is_word))
}

/// Blanks comments and literals; each other byte keeps its place. Also returns the byte ranges of the comments.
pub(super) fn blank(text: &str) -> (String, Vec<Range<usize>>) {
    let mut code = String::with_capacity(text.len());
    let mut comments = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let comment = comment(rest);
        comments.extend(comment.map(|length| at..at + length));
        if let Some(length) = comment.or_else(|| literal(rest, &code)) {
            code.extend(rest[..length].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
            at += length;
        } else {
            code.push(c);
            at += c.len_utf8();
        }
    }
    (code, comments)
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
    if !text.starts_with(['b', 'c', 'r', '"', '\'']) {
        return None;
    }
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

/// Length of the item that a text begins with: up to its `;` or closing brace, for a variant or arm up to its comma.
pub(super) fn item_end(code: &str) -> usize {
    let item = without_attributes(code);
    let start = code.len() - item.len();
    let keyword = keyword(item);
    let ends_at_semicolon = matches!(keyword, Some("use" | "const" | "static" | "type"));
    let mut depth = 0;
    for (at, c) in item.char_indices().map(|(at, c)| (start + at, c)) {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth -= 1;
                if depth < 0 {
                    return at;
                }
                if c == '}' && depth == 0 && !ends_at_semicolon {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            ',' if depth == 0 && keyword.is_none() => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Length of the head of the item that a text begins with: up to its body, its value or the next item.
pub(super) fn head_end(code: &str) -> usize {
    let mut depth = 0;
    let mut before = ' ';
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' | '<' => depth += 1,
            '>' if matches!(before, '-' | '=') => {}
            ')' | ']' | '>' => depth -= 1,
            '{' | '}' | ';' | ',' | '=' if depth <= 0 => return at,
            _ => {}
        }
        if depth < 0 {
            return at;
        }
        before = c;
    }
    code.len()
}

fn is_keyword(word: &str) -> bool {
    matches!(word, "const" | "enum" | "extern" | "fn" | "impl" | "macro_rules" | "mod" | "static" | "struct")
        || matches!(word, "trait" | "type" | "use")
}

/// The keyword of the item that a text begins with; `fn` for a `const fn`, `None` for fields, variants and macros.
pub(super) fn keyword(item: &str) -> Option<&str> {
    let mut rest = item.trim_start();
    let mut found = None;
    loop {
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        if is_keyword(word) {
            found = Some(word);
        } else if !matches!(word, "pub" | "async" | "unsafe") {
            return found;
        }
        rest = behind.trim_start();
        if word == "pub"
            && let Some((_, behind)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'))
        {
            rest = behind.trim_start();
        }
    }
}

/// The code without the attributes that it begins with.
pub(super) fn without_attributes(code: &str) -> &str {
    let mut code = code.trim_start();
    while code.starts_with("#[") {
        let mut depth = 0;
        let end = code.find(|c| {
            depth += i32::from(c == '[') - i32::from(c == ']');
            c == ']' && depth == 0
        });
        code = code[end.map_or(code.len(), |end| end + 1)..].trim_start();
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let text =
            "a // b\n/* c /* d */\n e */ f(\"g \\\" h\", 'i', '\\'', b\"j\", r#\"k \" l\"#, &'m str) n\n";
        let (code, comments) = blank(text);
        assert_eq!(comments.len(), 2);
        assert_eq!(code.len(), text.len());
        assert_eq!(code.lines().count(), text.lines().count());
        let words: Vec<_> = code.split(|c| !is_word(c)).filter(|word| !word.is_empty()).collect();
        assert_eq!(words, ["a", "f", "m", "str", "n"]);
    }

    #[test]
    fn an_item_ends_where_the_next_begins() {
        for (text, end) in [
            ("fn f(a: [u8; 2]) -> [u8; 3] { { } } fn g() {}", "fn f(a: [u8; 2]) -> [u8; 3] { { } }"),
            ("pub(crate) use a::{b, c}; d", "pub(crate) use a::{b, c};"),
            ("const A: B = B { c: [1; 2] }; d", "const A: B = B { c: [1; 2] };"),
            ("pub const fn f<A, B>() {} d", "pub const fn f<A, B>() {}"),
            ("#[x({ y })]\nstruct A(u8, u8); d", "#[x({ y })]\nstruct A(u8, u8);"),
            ("Variant(u8, u8), Other", "Variant(u8, u8),"),
            ("Self::A(x) => f(x, 1), _", "Self::A(x) => f(x, 1),"),
            ("last: u8 }", "last: u8 "),
        ] {
            assert_eq!(&text[..item_end(text)], end);
        }
    }

    #[test]
    fn a_head_ends_where_the_body_begins() {
        for (text, end) in [
            ("fn f<A, B>(a: Fn(A) -> B) -> C<A, B> { d }", "fn f<A, B>(a: Fn(A) -> B) -> C<A, B> "),
            ("a: B<C, D>, e: F", "a: B<C, D>"),
            ("A { b: C }", "A "),
            ("const A: &[B] = &[c];", "const A: &[B] "),
            ("last: u8 }", "last: u8 "),
        ] {
            assert_eq!(&text[..head_end(text)], end);
        }
    }
}
