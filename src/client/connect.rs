//! Opens one connection and checks that it is an event stream. Never retries: that is for [`super::Reconnect`].
//! Read [`Request`] first.

use std::time::Duration;

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue,
    RETRY_AFTER, SET_COOKIE,
};
use reqwest::{StatusCode, Url};

use super::coding::Coding;
use super::head::{Head, without_query};
use super::intake::Intake;
use super::reader::DecoderKind;
use super::reconnect;
use super::stream::Stream;
use crate::protocol::Limits;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What to connect to, and how to read it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where the stream is.
    pub url: Url,
    /// Headers beside those that every SSE client sends; one of the same name replaces it.
    pub headers: HeaderMap,
    /// The id to continue after. Empty: none is sent.
    pub last_event_id: String,
    /// Whether the id is sent in `Last-Event-ID`. Off where the URL carries it already.
    pub sends_last_event_id: bool,
    /// Longest wait until the head of the response is there, redirects included.
    pub connect_timeout: Duration,
    /// Longest silence before the connection counts as dead; `None`: for ever. Nothing in the protocol detects a
    /// peer that is gone, so this should be two or three heartbeats of the server.
    pub idle_timeout: Option<Duration>,
    /// How large lines and events may be.
    pub limits: Limits,
    /// What reads the body.
    pub decoder: DecoderKind,
    /// `Accept-Encoding`. Whatever is asked for, a body that comes as gzip, deflate, br or zstd is decoded.
    pub accept_encoding: HeaderValue,
}

impl Request {
    /// A request without a cursor: 10 s to connect, 45 s of silence (three of the usual heartbeats), strict decoder,
    /// no compression: a compressor may hold back events.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self {
            url,
            headers: HeaderMap::new(),
            last_event_id: String::new(),
            sends_last_event_id: true,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Some(Duration::from_secs(45)),
            limits: Limits::default(),
            decoder: DecoderKind::Strict,
            accept_encoding: HeaderValue::from_static("identity"),
        }
    }
}

/// An error of the transport.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a connection did not become a stream.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The request can never be sent.
    #[error("cannot request the stream {}: {why}", without_query(.url))]
    Request { url: Url, why: String },
    /// No connection: refused, unreachable, no such host, or TLS failed.
    #[error("cannot connect to the stream {}", without_query(.url))]
    Refused {
        url: Url,
        #[source]
        source: Cause,
    },
    /// The connection broke before there was a response, or redirects led nowhere.
    #[error("the stream {} sent no response", without_query(.url))]
    Broken {
        url: Url,
        #[source]
        source: Cause,
    },
    /// No response in time.
    #[error("the stream {} sent no response within {limit:?}", without_query(.url))]
    Timeout {
        url: Url,
        /// Limit of the whole attempt, redirects included.
        limit: Duration,
    },
    /// A status other than 200.
    #[error("the stream {} was refused with status {status}", without_query(.url))]
    Status {
        /// The URL that answered, after redirects.
        url: Url,
        status: StatusCode,
        /// What else its head says.
        head: Box<Head>,
        /// The wait that the server asked for; `None` without a readable `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// 200, but not an event stream.
    #[error("the stream {} is not text/event-stream but {}", without_query(.url), content_type.as_deref().unwrap_or("of no type"))]
    ContentType {
        /// The URL that answered, after redirects.
        url: Url,
        /// What else its head says.
        head: Box<Head>,
        /// The `Content-Type` of the response; `None` where it has none.
        content_type: Option<String>,
    },
    /// An event stream in an encoding that is not known here.
    #[error("the stream {} comes as content-encoding {encoding:?}, which cannot be decoded", without_query(.url))]
    Coding {
        /// The URL that answered, after redirects.
        url: Url,
        /// The `Content-Encoding` of the response.
        encoding: String,
    },
}

impl ConnectError {
    /// Whether the server would answer the next attempt like this one, as a browser takes it: a status of its own
    /// making, another type, or failed TLS. A server that starts or is busy (5xx, 408, 425, 429) may answer otherwise.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Request { .. } | Self::ContentType { .. } | Self::Coding { .. } => true,
            Self::Status { status, .. } => !reconnect::is_temporary(*status),
            Self::Refused { source, .. } => is_tls_failure(source.as_ref()),
            Self::Broken { .. } | Self::Timeout { .. } => false,
        }
    }

    /// Whether TLS failed: the certificate is not accepted, or the other side does not speak TLS as it should.
    #[must_use]
    pub fn is_tls_failure(&self) -> bool {
        matches!(self, Self::Refused { source, .. } if is_tls_failure(source.as_ref()))
    }
}

/// Whether an error of the HTTP client goes back to TLS.
#[must_use]
pub fn is_tls_failure(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        if cause.is::<rustls::Error>() {
            return true;
        }
        // The source of an I/O error is the source of the error that it carries, and not that error.
        let carried = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match carried {
            Some(carried) => Some(carried),
            None => cause.source(),
        };
    }
    false
}

/// Opens a stream: `GET` with the headers that the standard asks for. Follows redirects as the client is set up to.
///
/// # Errors
/// [`ConnectError`] has one variant for each failure that policies treat differently.
pub async fn connect(http: &reqwest::Client, request: &Request) -> Result<Stream, ConnectError> {
    let sending = http.get(request.url.clone()).headers(headers(request)?).send();
    let response = match tokio::time::timeout(request.connect_timeout, sending).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(classify(request, error)),
        Err(_elapsed) => {
            return Err(ConnectError::Timeout { url: request.url.clone(), limit: request.connect_timeout });
        }
    };
    let head = Head::of(response.version(), response.headers(), &request.url, response.url());
    let (head, coding) = check((response.url(), response.status()), response.headers(), head)?;
    let (peer, cookies) = (response.remote_addr(), cookies(response.headers()));
    // The values themselves are dropped: they would pin the buffer that they were read into.
    let intake = Intake::new(coding, peer, (cookies, head), request);
    Ok(Stream::new(response.into(), intake, request))
}

/// Cookies to send back to the server, as `name=value`. Attributes are for browsers.
pub(super) fn cookies(headers: &HeaderMap) -> Box<[String]> {
    let values = headers.get_all(SET_COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    values.filter_map(|value| value.split(';').next()).map(|pair| pair.trim().to_owned()).collect()
}

pub(super) fn headers(request: &Request) -> Result<HeaderMap, ConnectError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ACCEPT_ENCODING, request.accept_encoding.clone());
    if request.sends_last_event_id && !request.last_event_id.is_empty() {
        // Raw UTF-8, as the standard has it; the constructors from `str` would refuse it.
        let id = HeaderValue::from_bytes(request.last_event_id.as_bytes()).map_err(|_| {
            let why = format!("the last event id {:?} holds control characters", request.last_event_id);
            ConnectError::Request { url: request.url.clone(), why }
        })?;
        headers.insert(LAST_EVENT_ID, id);
    }
    for name in request.headers.keys() {
        headers.remove(name);
    }
    for (name, value) in &request.headers {
        headers.append(name, value.clone());
    }
    Ok(headers)
}

fn classify(request: &Request, error: reqwest::Error) -> ConnectError {
    let url = request.url.clone();
    // The URL stands in our own message already.
    let source = error.without_url();
    if source.is_timeout() {
        ConnectError::Timeout { url, limit: request.connect_timeout }
    } else if source.is_builder() {
        ConnectError::Request { url, why: source.to_string() }
    } else if source.is_connect() {
        ConnectError::Refused { url, source: source.into() }
    } else {
        ConnectError::Broken { url, source: source.into() }
    }
}

/// Checks that the response is an event stream. Gives its head back, and its content coding.
pub(super) fn check(
    (url, status): (&Url, StatusCode),
    headers: &HeaderMap,
    head: Head,
) -> Result<(Box<Head>, Option<Coding>), ConnectError> {
    let (url, head) = (url.clone(), Box::new(head));
    if status != StatusCode::OK {
        return Err(ConnectError::Status { url, status, head, retry_after: retry_after(headers) });
    }
    let content_type = headers.get(CONTENT_TYPE);
    if content_type.is_some_and(is_event_stream) {
        return match Coding::of(headers) {
            Ok(coding) => Ok((head, coding)),
            Err(encoding) => Err(ConnectError::Coding { url, encoding }),
        };
    }
    Err(ConnectError::ContentType {
        url,
        head,
        content_type: content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
    })
}

/// By essence: parameters do not matter, and a charset is ignored, since an event stream is UTF-8.
fn is_event_stream(value: &HeaderValue) -> bool {
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// Seconds, or a date (RFC 9110, 10.2.3). A date is compared with the `Date` of the response, so that no clock is read
/// and none has to agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let now = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request::new("http://127.0.0.1/".parse().unwrap())
    }

    #[test]
    fn the_type_is_compared_by_essence() {
        for value in
            ["text/event-stream", "Text/Event-Stream", "text/event-stream;", "text/event-stream ; charset=x"]
        {
            assert!(is_event_stream(&HeaderValue::from_static(value)), "{value:?}");
        }
        for value in ["", "text/x-bogus", "x bogus", "text/event-streams", "text/plain;text/event-stream"] {
            assert!(!is_event_stream(&HeaderValue::from_static(value)), "{value:?}");
        }
    }

    #[track_caller]
    fn check_retry_after(value: &'static str, date: Option<&'static str>, expected: Option<u64>) {
        let mut headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
        headers.extend(date.map(|date| (DATE, HeaderValue::from_static(date))));
        assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{value:?} at {date:?}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        const NOW: Option<&str> = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        check_retry_after("7", None, Some(7));
        check_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", NOW, Some(60));
        check_retry_after("Sun, 06 Nov 1994 08:48:37 GMT", NOW, Some(0));
        check_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", None, None);
        check_retry_after("soon", NOW, None);
        check_retry_after("-1", NOW, None);
    }

    #[test]
    fn a_failure_of_tls_is_found_however_deep_it_stands() {
        let tls = || rustls::Error::General("no".to_owned());
        let wrapped = std::io::Error::other(std::io::Error::other(tls()));
        assert!(is_tls_failure(&tls()) && is_tls_failure(&wrapped));
        assert!(!is_tls_failure(&std::io::Error::other("no")));
        assert!(!is_tls_failure(&std::io::Error::from(std::io::ErrorKind::ConnectionRefused)));
    }

    #[test]
    fn headers_of_the_caller_replace_ours() {
        let mut request = request();
        request.headers.append(ACCEPT, HeaderValue::from_static("a"));
        request.headers.append(ACCEPT, HeaderValue::from_static("b"));
        let headers = headers(&request).unwrap();
        assert_eq!(headers.get_all(ACCEPT).iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(headers[CACHE_CONTROL], "no-cache");
    }

    #[test]
    fn the_last_event_id_travels_as_it_was_received() {
        let mut request = request();
        assert_eq!(headers(&request).unwrap().get(LAST_EVENT_ID), None, "an empty one is not sent");
        request.last_event_id = "größe…".to_owned();
        assert_eq!(headers(&request).unwrap()[LAST_EVENT_ID].as_bytes(), "größe…".as_bytes());
        request.last_event_id = "a\u{1}".to_owned();
        assert!(matches!(headers(&request), Err(ConnectError::Request { .. })));
    }
}
