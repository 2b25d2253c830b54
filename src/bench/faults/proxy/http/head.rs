//! The heads of HTTP/1 requests and responses, as far as a proxy must know them, and the change of one header line.
//! Read [`RequestHead`] and [`ResponseHead`].

use super::body::Framing;

/// Most header lines of a head.
const HEADERS_MAX: usize = 128;
/// The header by which a client resumes a stream.
const LAST_EVENT_ID: &str = "last-event-id";
/// The parameter of the node's streams that does the same.
const LAST_EVENT_ID_PARAMETER: &str = "lastEventId=";

/// What a parser found.
#[derive(Debug)]
pub(super) enum Parsed<T> {
    /// The head and its length in bytes.
    Whole(T, usize),
    /// More bytes are needed.
    Partial,
    /// The bytes are not of HTTP/1.
    Alien,
}

/// The first lines of a request, as far as they matter here.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    pub(super) is_http10: bool,
    pub(super) framing: Framing,
    /// Whether the client waits for a `100 Continue` before it sends the body.
    pub(super) waits: bool,
    /// The cursor with which the client resumes, in its header or in the query.
    pub(super) last_event_id: Option<String>,
}

/// The first lines of a response, as far as they matter here.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub(super) status: u16,
    pub(super) framing: Framing,
    pub(super) is_event_stream: bool,
    /// The encoding of the body, if it has one.
    pub(super) encoding: Option<String>,
}

/// Parses the head of a request.
pub(super) fn request(bytes: &[u8]) -> Parsed<RequestHead> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Alien,
    };
    let headers = Headers(parsed.headers);
    let target = parsed.path.unwrap_or_default().to_owned();
    let in_query = target.split(['?', '&']).find_map(|part| part.strip_prefix(LAST_EVENT_ID_PARAMETER));
    let last_event_id = headers.text(LAST_EVENT_ID).or_else(|| in_query.map(str::to_owned));
    let head = RequestHead {
        method: parsed.method.unwrap_or_default().to_owned(),
        is_http10: parsed.version == Some(0),
        framing: headers.framing().unwrap_or(Framing::None),
        waits: headers.has("expect", "100-continue"),
        last_event_id: last_event_id.filter(|id| !id.is_empty()),
        target,
    };
    Parsed::Whole(head, length)
}

/// Parses the head of a response. A response to HEAD has no body, whatever its headers say.
pub(super) fn response(bytes: &[u8], to_head: bool) -> Parsed<ResponseHead> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Alien,
    };
    let headers = Headers(parsed.headers);
    let status = parsed.code.unwrap_or_default();
    let has_body = !to_head && !matches!(status, 100..=199 | 204 | 304);
    let framing = if has_body { headers.framing().unwrap_or(Framing::UntilClose) } else { Framing::None };
    let encoding = headers.text("content-encoding").filter(|name| !name.eq_ignore_ascii_case("identity"));
    let is_event_stream = has_body && headers.is_event_stream();
    Parsed::Whole(ResponseHead { status, framing, is_event_stream, encoding }, length)
}

struct Headers<'h, 'b>(&'h [httparse::Header<'b>]);

impl Headers<'_, '_> {
    fn value(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(|value| String::from_utf8_lossy(value).trim().to_owned())
    }

    fn has(&self, name: &str, word: &str) -> bool {
        let value = self.text(name).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
    }

    fn framing(&self) -> Option<Framing> {
        if self.has("transfer-encoding", "chunked") {
            return Some(Framing::chunked());
        }
        self.text("content-length")?.parse().ok().map(Framing::Length)
    }

    fn is_event_stream(&self) -> bool {
        let value = self.text("content-type").unwrap_or_default();
        value.split(';').next().is_some_and(|word| word.trim().eq_ignore_ascii_case("text/event-stream"))
    }
}

/// The head without a cursor, in its header and in the query.
pub(super) fn without_last_event_id(head: &[u8]) -> Vec<u8> {
    let mut changed = without_header(head, LAST_EVENT_ID);
    let line = changed.iter().position(|byte| *byte == b'\n').unwrap_or(changed.len());
    let first = String::from_utf8_lossy(&changed[..line]).into_owned();
    let Some((method, target, rest)) = request_line(&first) else { return changed };
    let Some((path, query)) = target.split_once('?') else { return changed };
    let kept: Vec<&str> =
        query.split('&').filter(|part| !part.starts_with(LAST_EVENT_ID_PARAMETER)).collect();
    let target = if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) };
    changed.splice(..line, format!("{method} {target} {rest}").into_bytes());
    changed
}

/// The head with another cursor.
pub(super) fn with_last_event_id(head: &[u8], id: &str) -> Vec<u8> {
    with_header(without_last_event_id(head), &format!("Last-Event-ID: {id}"))
}

fn request_line(line: &str) -> Option<(&str, &str, &str)> {
    let (method, rest) = line.split_once(' ')?;
    let (target, rest) = rest.rsplit_once(' ')?;
    Some((method, target, rest))
}

/// The head of a response whose length is no longer known: chunked, or up to the end of the connection.
pub(super) fn without_length(head: &[u8], chunked: bool) -> Vec<u8> {
    let line = if chunked { "Transfer-Encoding: chunked" } else { "Connection: close" };
    let head = without_header(head, "content-length");
    with_header(if chunked { head } else { without_header(&head, "connection") }, line)
}

fn without_header(head: &[u8], name: &str) -> Vec<u8> {
    let is_other = |line: &&[u8]| {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
        !line[..colon].eq_ignore_ascii_case(name.as_bytes())
    };
    head.split_inclusive(|byte| *byte == b'\n').filter(is_other).flatten().copied().collect()
}

/// Adds a header line as the last one.
fn with_header(mut head: Vec<u8>, line: &str) -> Vec<u8> {
    let blank = if head.ends_with(b"\r\n") { 2 } else { 1 };
    let end = head.len().saturating_sub(blank);
    head.splice(end..end, format!("{line}\r\n").into_bytes());
    head
}

/// Whether a path is of this pattern, in which `*` stands for anything. A pattern without `?` is compared with the path
/// alone.
pub(super) fn is_of(pattern: &str, target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let mut rest = if pattern.contains('?') { target } else { path };
    if pattern.is_empty() {
        return true;
    }
    let parts: Vec<&str> = pattern.split('*').collect();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return true };
    if parts.len() == 1 {
        return rest == *first;
    }
    let Some(behind) = rest.strip_prefix(first) else { return false };
    rest = behind;
    for part in &parts[1..parts.len() - 1] {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] =
        b"GET /s?a=1&lastEventId=7&b=2 HTTP/1.1\r\nHost: h\r\nlast-event-ID: 8\r\nAccept: */*\r\n\r\n";

    #[test]
    fn a_cursor_is_found_and_taken_out_in_both_places() {
        let Parsed::Whole(head, length) = request(HEAD) else { panic!("it is whole") };
        assert_eq!((length, head.last_event_id.as_deref()), (HEAD.len(), Some("8")));
        let bare = "GET /s?a=1&b=2 HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n";
        assert_eq!(without_last_event_id(HEAD), format!("{bare}\r\n").into_bytes());
        assert_eq!(with_last_event_id(HEAD, "6"), format!("{bare}Last-Event-ID: 6\r\n\r\n").into_bytes());
        let only = without_last_event_id(b"GET /s?lastEventId=7 HTTP/1.1\r\n\r\n");
        assert_eq!(only, b"GET /s HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn a_pattern_names_paths() {
        for (pattern, target) in [
            ("", "/a"),
            ("/a", "/a?b"),
            ("/a*", "/ab/c"),
            ("*/c", "/a/c"),
            ("/a*c*e", "/abcde"),
            ("/a?b=*", "/a?b=1"),
        ] {
            assert!(is_of(pattern, target), "{pattern} {target}");
        }
        for (pattern, target) in [("/a", "/ab"), ("/a*", "/b"), ("*/c", "/a/cd"), ("/a?b=*", "/a")] {
            assert!(!is_of(pattern, target), "{pattern} {target}");
        }
    }

    #[test]
    fn what_has_no_length_any_more_says_so() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n";
        let text = |chunked| String::from_utf8(without_length(head, chunked)).unwrap();
        let expected = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(text(true), expected);
        assert_eq!(text(false), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    }
}
