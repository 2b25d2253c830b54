//! What a server of ours takes from web pages. A browser sends requests for every page that is open in it, also to this
//! machine and its network, so where a request comes from is checked before anybody looks at what it asks for: the `Host`
//! first (a page can give its own name this machine's address), then `Sec-Fetch-Site`, then `Origin`. Programs send
//! neither of the latter two. Read [`Guard::check`] first.

use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, Method, Request, Uri, Version};

use super::host::{Host, HostRule};

/// The path of streams. Opening one changes what others see, so no link of another site opens one.
pub const STREAM_PATH: &str = "/api/sse/stream";
/// The start of the paths of operators, which `*` does not open to all pages.
const OPERATOR_PATHS: &str = "/admin/";
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// Characters of a client's text in a message.
const SHOWN: usize = 100;

/// Which hosts and pages a server accepts.
#[derive(Debug, Clone)]
pub struct Guard {
    /// The rules for `Host`; `None`: every well-formed one is accepted.
    pub hosts: Option<Vec<HostRule>>,
    /// What an operator sets to accept one more host, for messages.
    pub hosts_setting: Option<&'static str>,
    /// Origins of other sites whose pages may use the server, as browsers spell them; `*` for all.
    pub origins: Vec<String>,
    /// What an operator sets to accept one more origin, for messages.
    pub origins_setting: Option<&'static str>,
}

/// Why a request was not taken. The texts say what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request breaks the rules of HTTP about `Host` or `Origin`.
    #[error("{0}")]
    Malformed(String),
    /// The `Host` is none that the server has.
    #[error("{0}")]
    Host(String),
    /// A page of another site sent the request.
    #[error("{0}")]
    Origin(String),
    /// The body of a page's request is not JSON.
    #[error("{0}")]
    MediaType(String),
    /// The body is encoded in a way that the server does not know.
    #[error("{0}")]
    Coding(String),
}

impl Guard {
    /// Checks a request.
    ///
    /// # Errors
    /// [`Refusal`] says what is allowed, and which setting would change it.
    pub fn check<B>(&self, request: &Request<B>, has_body: bool) -> Result<(), Refusal> {
        let headers = request.headers();
        check_coding(headers)?;
        let host = self.check_host(request)?;
        // A program, or a page that needs no header to be told from one: it is of this host.
        if !headers.contains_key(ORIGIN) && !headers.contains_key(FETCH_SITE) {
            return Ok(());
        }
        self.check_origin(request, host)?;
        if has_body { check_media_type(headers) } else { Ok(()) }
    }

    /// Whether the page of this origin may use the server although it is of another site.
    #[must_use]
    pub fn lists(&self, origin: &str) -> bool {
        self.lists_all() || self.origins.iter().any(|listed| listed == origin)
    }

    /// Whether the page of every origin may use the server.
    #[must_use]
    pub fn lists_all(&self) -> bool {
        self.origins.iter().any(|listed| listed == "*")
    }

    /// The host that a request is for: that of its URL, else its `Host`. Only HTTP/1.0 may do without.
    fn check_host<'a, B>(&self, request: &'a Request<B>) -> Result<Option<Host<'a>>, Refusal> {
        let malformed =
            |why: &str| Err(Refusal::Malformed(format!("{why}; allowed is one Host, like example.com:8080")));
        let mut fields = request.headers().get_all(HOST).iter();
        let (field, more) = (fields.next(), fields.next());
        if more.is_some() {
            return malformed("the request has more than one Host");
        }
        let field = match field.map(|value| (value, value.to_str().ok().and_then(Host::parse))) {
            Some((value, None)) => {
                return malformed(&format!("the Host {} is not valid", shown(value.as_bytes())));
            }
            Some((_, host)) => host,
            None if request.version() == Version::HTTP_11 => return malformed("the request has no Host"),
            None => None,
        };
        let host = match request.uri().authority() {
            Some(authority) => match Host::parse(authority.as_str()) {
                None => {
                    return malformed(&format!(
                        "the host {} is not valid",
                        shown(authority.as_str().as_bytes())
                    ));
                }
                // RFC 9113, 8.3.1. Of HTTP/1.1 the URL counts (RFC 9112, 3.2.2).
                Some(host)
                    if request.version() == Version::HTTP_2
                        && field.is_some_and(|field| !field.is_same(host)) =>
                {
                    return malformed("the Host is another one than the :authority");
                }
                host => host,
            },
            None => field,
        };
        match (&self.hosts, host) {
            (Some(rules), Some(host)) if !host.needs_no_resolver() => {
                if rules.iter().any(|rule| rule.accepts(host)) {
                    return Ok(Some(host));
                }
                let name = shown(host.name.as_bytes());
                let more = self
                    .hosts_setting
                    .map_or_else(String::new, |setting| format!(" and the hosts of {setting}"));
                Err(Refusal::Host(format!(
                    "the Host {name} is no name of this server; allowed are localhost, IP addresses{more}"
                )))
            }
            (_, host) => Ok(host),
        }
    }

    fn check_origin<B>(&self, request: &Request<B>, host: Option<Host<'_>>) -> Result<(), Refusal> {
        let headers = request.headers();
        let mut origins = headers.get_all(ORIGIN).iter();
        let (origin, more) = (origins.next(), origins.next());
        let origin = match origin.map(|value| (value, value.to_str())) {
            Some((value, Err(_))) => {
                return Err(Refusal::Malformed(format!(
                    "the Origin {} is not ASCII; allowed is one, like https://example.com",
                    shown(value.as_bytes())
                )));
            }
            Some((_, Ok(origin))) if more.is_none() => Some(origin),
            Some(_) => {
                let why = "the request has more than one Origin; allowed is one, like https://example.com";
                return Err(Refusal::Malformed(why.to_owned()));
            }
            None => None,
        };
        let site = single(headers, &FETCH_SITE);
        let is_own = match site {
            Some(site) => matches!(site, b"same-origin" | b"none"),
            None => {
                headers.get(FETCH_SITE).is_none()
                    && host.zip(origin).is_some_and(|(host, origin)| host.is_of_origin(origin))
            }
        };
        let is_listed = || origin.is_some_and(|origin| self.lists(origin)) && !self.is_kept_from_all(request);
        if is_own || is_listed() || is_link(request) || has_token(headers) {
            return Ok(());
        }
        let from = origin.map_or_else(|| "another site".to_owned(), |origin| shown(origin.as_bytes()));
        let more = self
            .origins_setting
            .map_or_else(String::new, |setting| format!(" and of the origins of {setting}"));
        Err(Refusal::Origin(format!(
            "a page of {from} may not do this; allowed are pages of this server{more}"
        )))
    }

    /// Whether every page may use the server, but not for this: to stop it, or to end what others have.
    fn is_kept_from_all<B>(&self, request: &Request<B>) -> bool {
        let asked = request.headers().get(ACCESS_CONTROL_REQUEST_METHOD).map(http::HeaderValue::as_bytes);
        let method = asked.unwrap_or(request.method().as_str().as_bytes());
        let changes = !matches!(method, b"GET" | b"HEAD" | b"OPTIONS");
        let is_operators = request.uri().path().starts_with(OPERATOR_PATHS) || method == b"DELETE";
        self.lists_all() && changes && is_operators
    }
}

/// RFC 9112, 6.1: a server refuses a coding that it does not know.
fn check_coding(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(coding), _) => Err(Refusal::Coding(format!(
            "the Transfer-Encoding {} is not known; allowed is chunked, once",
            shown(coding.as_bytes())
        ))),
    }
}

/// A page can send JSON under another type without asking first (`text/plain`, forms), but not as JSON.
fn check_media_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let found = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let essence = found.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(b"application/json")
        || essence.eq_ignore_ascii_case(b"application/x-ndjson")
    {
        return Ok(());
    }
    Err(Refusal::MediaType(format!(
        "the Content-Type {} is not allowed from a browser, whose requests have Origin or Sec-Fetch-Site; allowed is application/json",
        shown(found)
    )))
}

/// Whether somebody has followed a link: the answer is shown as a page of its own, which the other site cannot read.
fn is_link<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    matches!(*request.method(), Method::GET | Method::HEAD)
        && single(headers, &FETCH_MODE) == Some(b"navigate")
        && single(headers, &FETCH_DEST) == Some(b"document")
        && !is_stream(request.uri())
}

fn is_stream(uri: &Uri) -> bool {
    uri.path() == STREAM_PATH
}

/// A page cannot add a token without a preflight, which only listed origins pass.
fn has_token(headers: &HeaderMap) -> bool {
    let token = headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes);
    token
        .and_then(|token| token.split_at_checked(7))
        .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "))
}

/// The value of a field that is there once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}

/// A client's text in quotes, without anything that a terminal would take for a command, and not at any length.
fn shown(text: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(text).chars().take(SHOWN).collect();
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(origins: &[&str]) -> Guard {
        Guard {
            hosts: Some(vec![HostRule::Exact("sse.example".to_owned())]),
            hosts_setting: Some("--hosts"),
            origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            origins_setting: Some("--origins"),
        }
    }

    /// A request line, with its headers behind it, each in `name: value`.
    fn request(line: &str, headers: &[&str]) -> Request<()> {
        let (method, uri) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(uri);
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        request.body(()).unwrap()
    }

    #[track_caller]
    fn check(guard: &Guard, line: &str, headers: &[&str], refusal: &str) {
        let has_body = line.starts_with("POST");
        let outcome = match guard.check(&request(line, headers), has_body) {
            Ok(()) => "taken",
            Err(Refusal::Malformed(_)) => "malformed",
            Err(Refusal::Host(why)) => {
                assert!(why.contains("--hosts"), "{why}");
                "host"
            }
            Err(Refusal::Origin(why)) => {
                assert!(why.contains("--origins"), "{why}");
                "origin"
            }
            Err(Refusal::MediaType(_)) => "type",
            Err(Refusal::Coding(_)) => "coding",
        };
        assert_eq!(outcome, refusal, "{line} {headers:?}");
    }

    const HOST: &str = "host: sse.example";
    const JSON: &str = "content-type: application/json";

    #[test]
    fn the_host_comes_first_and_the_url_goes_before_its_field() {
        let guard = guard(&[]);
        check(&guard, "GET /", &[HOST], "taken");
        check(&guard, "GET /", &["host: other.example"], "host");
        check(&guard, "GET /", &["host: other.example", "sec-fetch-site: same-origin"], "host");
        check(&guard, "GET http://other.example/", &[HOST], "host");
        check(&guard, "GET http://sse.example/", &["host: other.example"], "taken");
        check(&guard, "GET http://a@b/", &[HOST], "malformed");
        check(&guard, "GET /", &[], "malformed");
        check(&guard, "GET /", &[HOST, HOST], "malformed");
        check(&guard, "GET /", &["host: a b"], "malformed");
        let mut old = request("GET /", &[]);
        *old.version_mut() = Version::HTTP_10;
        assert_eq!(guard.check(&old, false), Ok(()));
        let mut two = request("GET https://sse.example/", &[]);
        *two.version_mut() = Version::HTTP_2;
        assert_eq!(guard.check(&two, false), Ok(()));
        two.headers_mut().insert(http::header::HOST, "SSE.example:443".parse().unwrap());
        assert_eq!(guard.check(&two, false), Ok(()));
        two.headers_mut().insert(http::header::HOST, "other.example".parse().unwrap());
        assert!(matches!(guard.check(&two, false), Err(Refusal::Malformed(_))), "which of the two is meant?");
    }

    #[test]
    fn a_page_is_known_by_where_its_browser_says_it_is_from_else_by_its_origin() {
        let guard = guard(&["https://app.example"]);
        let check = |headers: &[&str], refusal| {
            check(&guard, "POST /x", &[&[HOST, JSON], headers].concat(), refusal);
        };
        check(&[], "taken");
        check(&["sec-fetch-site: same-origin"], "taken");
        check(&["sec-fetch-site: same-origin", "origin: http://behind.a.proxy"], "taken");
        check(&["sec-fetch-site: none"], "taken");
        check(&["origin: https://sse.example"], "taken");
        check(&["origin: https://app.example"], "taken");
        check(&["origin: https://app.example", "sec-fetch-site: cross-site"], "taken");
        check(&["sec-fetch-site: same-site"], "origin");
        check(&["sec-fetch-site: cross-site"], "origin");
        check(&["sec-fetch-site: anything-else"], "origin");
        check(&["sec-fetch-site: same-origin", "sec-fetch-site: cross-site"], "origin");
        check(&["origin: https://sse.example", "sec-fetch-site: cross-site"], "origin");
        check(&["origin: https://sse.example:8443"], "origin");
        check(&["origin: https://app.example.attacker"], "origin");
        check(&["origin: null"], "origin");
        check(&["origin: "], "origin");
        check(&["origin: https://app.example", "origin: https://app.example"], "malformed");
    }

    #[test]
    fn every_origin_is_listed_by_a_star_but_not_for_what_operators_do() {
        let guard = guard(&["*"]);
        let page = &[HOST, JSON, "origin: https://any.example"][..];
        for line in
            ["POST /api/sse/broadcast", "GET /admin/drain", "GET /api/sse/stream", "OPTIONS /api/sse/ack"]
        {
            check(&guard, line, page, "taken");
        }
        for line in ["POST /admin/drain", "DELETE /admin/drain", "DELETE /api/sse/connections/c"] {
            check(&guard, line, page, "origin");
        }
        let preflight = [page, &["access-control-request-method: DELETE"]].concat();
        check(&guard, "OPTIONS /api/sse/connections/c", &preflight, "origin");
        check(&guard, "POST /api/sse/broadcast", &[HOST, JSON, "origin: null"], "taken");
    }

    #[test]
    fn a_page_sends_json_and_says_so_and_a_program_what_it_likes() {
        let guard = guard(&[]);
        let page = "sec-fetch-site: same-origin";
        for (kind, refusal) in [
            ("application/json", "taken"),
            ("Application/JSON ; charset=utf-8", "taken"),
            ("application/x-ndjson", "taken"),
            ("text/plain", "type"),
            ("text/plain; application/json", "type"),
            ("application/x-www-form-urlencoded", "type"),
            ("", "type"),
        ] {
            let kind = format!("content-type: {kind}");
            check(&guard, "POST /x", &[HOST, page, &kind], refusal);
            check(&guard, "POST /x", &[HOST, &kind], "taken");
        }
        check(&guard, "POST /x", &[HOST, page], "type");
        assert_eq!(guard.check(&request("POST /x", &[HOST, page]), false), Ok(()), "nothing to have a type");
    }

    #[test]
    fn one_chunked_is_the_only_coding() {
        let guard = guard(&[]);
        for (codings, refusal) in [
            (&["transfer-encoding: chunked"][..], "taken"),
            (&["transfer-encoding: CHUNKED"], "taken"),
            (&["transfer-encoding: gzip, chunked"], "coding"),
            (&["transfer-encoding: gzip", "transfer-encoding: chunked"], "coding"),
            (&["transfer-encoding: identity"], "coding"),
        ] {
            check(&guard, "POST /x", &[&[HOST], codings].concat(), refusal);
        }
    }

    #[test]
    fn what_a_client_sent_is_shown_short_and_harmless() {
        let host = format!("host: {}.example", "a".repeat(300));
        let Err(Refusal::Host(why)) = guard(&[]).check(&request("GET /", &[&host]), false) else {
            panic!("taken")
        };
        assert!(why.len() < 300 && !why.contains(&"a".repeat(101)), "{why}");
        assert_eq!(shown(b"a\x1b[31m"), r#""a\u{1b}[31m""#);
    }
}
