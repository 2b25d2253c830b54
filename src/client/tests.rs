//! The client against servers that write chosen bytes: each connection of a [`Server`] follows its own [`Script`].

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::protocol::{LimitExceeded, Limits};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// The response to one connection.
struct Script {
    bytes: Vec<u8>,
    then: Then,
}

enum Then {
    Close,
    Reset,
    /// Say nothing more, until the client is gone.
    Hold,
}

/// An event stream with one chunk of body.
fn stream(body: &[u8], then: Then) -> Script {
    let mut bytes = format!("{HEAD}{:x}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(b"\r\n");
    Script { bytes, then }
}

/// The same, and its proper end.
fn whole_stream(body: &[u8]) -> Script {
    let mut script = stream(body, Then::Close);
    script.bytes.extend_from_slice(b"0\r\n\r\n");
    script
}

fn reply(head: &str) -> Script {
    Script { bytes: format!("HTTP/1.1 {head}\r\n\r\n").into_bytes(), then: Then::Close }
}

/// Serves one connection after the other and then refuses.
struct Server {
    address: SocketAddr,
    /// Heads of the requests so far.
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinSet<()>,
}

impl Server {
    async fn start(scripts: impl IntoIterator<Item = Script>) -> Self {
        let scripts: Vec<_> = scripts.into_iter().collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut task = JoinSet::new();
        let heads = Arc::clone(&requests);
        task.spawn(async move {
            for script in scripts {
                let (socket, _) = listener.accept().await.unwrap();
                play(socket, script, &heads).await;
            }
        });
        Self { address, requests, task }
    }

    fn request(&self) -> Request {
        Request::new(format!("http://{}/stream", self.address).parse().unwrap())
    }

    /// The value of a header in the nth request, raw.
    fn header(&self, nth: usize, name: &str) -> Option<Vec<u8>> {
        let requests = self.requests.lock().unwrap();
        requests[nth].split(|byte| *byte == b'\n').find_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let matches = line[..colon].eq_ignore_ascii_case(name.as_bytes());
            matches.then(|| line[colon + 1..].trim_ascii().to_vec())
        })
    }

    /// Every script was played to its end, and none went wrong.
    async fn done(mut self) -> usize {
        let end = tokio::time::timeout(Duration::from_secs(10), self.task.join_next());
        end.await.expect("a client is still connected, or never came").unwrap().unwrap();
        self.requests.lock().unwrap().len()
    }
}

async fn play(mut socket: TcpStream, script: Script, heads: &Mutex<Vec<Vec<u8>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    heads.lock().unwrap().push(head);
    socket.write_all(&script.bytes).await.unwrap();
    match script.then {
        Then::Close => socket.shutdown().await.unwrap(),
        Then::Reset => socket.set_zero_linger().unwrap(),
        Then::Hold => {
            // Nothing more comes from the client; it is gone when this returns, politely or not.
            let read = socket.read(&mut [0]).await;
            assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
        }
    }
}

fn http() -> reqwest::Client {
    HttpOptions::default().build().unwrap()
}

async fn open(request: &Request) -> Stream {
    connect(&http(), request).await.unwrap()
}

/// Everything until the end.
async fn read(request: &Request) -> (Vec<Received>, Ending) {
    let mut stream = open(request).await;
    let mut all = Vec::new();
    let ending = loop {
        match stream.next().await {
            Ok(received) => all.push(received),
            Err(ending) => break ending,
        }
    };
    assert_eq!(stream.next().await, Err(ending.clone()), "an end is the end");
    (all, ending)
}

fn event(data: &str, id: &str, id_in_block: bool) -> Received {
    let (event, data) = ("message".to_owned(), data.to_owned());
    Received::Event(Event { event, data, last_event_id: id.to_owned(), id_in_block })
}

#[tokio::test]
async fn a_clean_end_comes_behind_everything_that_was_sent() {
    let body = b": hi\nretry: 2000\nid: 1\n\nevent: a\ndata: x\nid: 2\n\ndata: y\n\ndata: unfinished\n";
    let server = Server::start([whole_stream(body)]).await;
    let (all, ending) = read(&server.request()).await;
    let named = Event { event: "a".into(), data: "x".into(), last_event_id: "2".into(), id_in_block: true };
    let expected = [
        Received::Comment(" hi".into()),
        Received::Retry(Duration::from_secs(2)),
        Received::IdCommitted("1".into()),
        Received::Event(named),
        event("y", "2", false),
    ];
    assert_eq!((all.as_slice(), ending), (expected.as_slice(), Ending::Clean));
}

#[tokio::test]
async fn what_is_taken_is_what_comes_next() {
    let body = b"retry: 5\nid: 1\ndata: x\n\nevent: a\ndata: y\n\n: hi\nid: 2\n\ndata: \xc3\xa4\n\n";
    for decoder in [DecoderKind::Strict, DecoderKind::EventsourceStream] {
        let server = Server::start([whole_stream(body), whole_stream(body)]).await;
        let request = Request { decoder, ..server.request() };
        let (expected, ending) = read(&request).await;
        let (mut stream, mut taken) = (open(&request).await, Vec::new());
        let taking = loop {
            let ready = stream.ready().await;
            let took = ready.and_then(|()| stream.take(|item| taken.push(Received::from(item))));
            if let Err(ending) = took {
                break ending;
            }
        };
        assert_eq!((taken, taking), (expected, ending.clone()), "{decoder:?}");
        assert_eq!(stream.ready().await, Err(ending), "an end is the end");
    }
}

#[tokio::test]
async fn a_stream_knows_its_cursor_its_bytes_and_its_peer() {
    let server = Server::start([whole_stream(b"id: 7\ndata: x\n\nretry: 9\n")]).await;
    let mut stream = open(&server.request()).await;
    assert_eq!((stream.intake().bytes_received(), stream.peer()), (0, Some(server.address)));
    while stream.next().await.is_ok() {}
    let known = (stream.last_event_id(), stream.reconnection_time(), stream.intake().bytes_received());
    assert_eq!(known, ("7", Some(Duration::from_millis(9)), 24));
}

#[tokio::test]
async fn a_body_without_its_last_chunk_was_aborted() {
    for then in [Then::Close, Then::Reset] {
        let server = Server::start([stream(b"data: x\n\n", then)]).await;
        let (all, ending) = read(&server.request()).await;
        // A reset may overtake the bytes before it.
        assert!(all.is_empty() || all == [event("x", "", false)], "{all:?}");
        assert!(matches!(ending, Ending::Aborted { .. }), "{ending:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_refused() {
    // Bound, so that nobody else gets the port, but not listening.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let request = Request::new(format!("http://{}/", socket.local_addr().unwrap()).parse().unwrap());
    let error = connect(&http(), &request).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn hanging_up_before_the_response_is_broken() {
    let server = Server::start([Script { bytes: Vec::new(), then: Then::Close }]).await;
    let error = connect(&http(), &server.request()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Broken { .. }), "{error:?}");
}

#[tokio::test]
async fn no_response_in_time_is_a_timeout() {
    let server = Server::start([Script { bytes: Vec::new(), then: Then::Hold }]).await;
    let request = Request { connect_timeout: Duration::from_millis(50), ..server.request() };
    let error = connect(&http(), &request).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn a_status_is_told_with_retry_after() {
    let heads = [
        "204 No Content",
        "500 Internal Server Error\r\nContent-Length: 0",
        "503 Service Unavailable\r\nContent-Type: text/event-stream\r\nRetry-After: 5\r\nContent-Length: 0",
    ];
    for (head, expected) in heads.iter().zip([(204, None), (500, None), (503, Some(Duration::from_secs(5)))])
    {
        let server = Server::start([reply(head)]).await;
        match connect(&http(), &server.request()).await.unwrap_err() {
            ConnectError::Status { status, retry_after, .. } => {
                assert_eq!((status.as_u16(), retry_after), expected);
            }
            error => panic!("{error:?}"),
        }
    }
}

#[tokio::test]
async fn another_type_or_none_is_no_stream() {
    for (line, expected) in [("Content-Type: text/html", Some("text/html")), ("X: y", None)] {
        let server = Server::start([reply(&format!("200 OK\r\n{line}\r\nContent-Length: 0"))]).await;
        match connect(&http(), &server.request()).await.unwrap_err() {
            ConnectError::ContentType { content_type, .. } => assert_eq!(content_type.as_deref(), expected),
            error => panic!("{error:?}"),
        }
    }
}

#[tokio::test]
async fn the_request_is_what_the_standard_asks_for() {
    let server = Server::start([whole_stream(b""), whole_stream(b"")]).await;
    read(&server.request()).await;
    read(&Request { last_event_id: "größe 1".into(), ..server.request() }).await;
    for (nth, id) in [(0, None), (1, Some("größe 1".as_bytes().to_vec()))] {
        assert_eq!(server.header(nth, "Last-Event-ID"), id, "raw UTF-8, and absent when there is none");
        assert_eq!(server.header(nth, "Accept").unwrap(), b"text/event-stream");
        assert_eq!(server.header(nth, "Cache-Control").unwrap(), b"no-cache");
        assert_eq!(server.header(nth, "Accept-Encoding").unwrap(), b"identity");
    }
}

#[tokio::test]
async fn a_redirect_is_followed_with_the_cursor() {
    let target = Server::start([whole_stream(b"data: x\n\n")]).await;
    let location =
        format!("307 Temporary Redirect\r\nLocation: http://{}/b\r\nContent-Length: 0", target.address);
    let server = Server::start([reply(&location)]).await;
    let (all, _) = read(&Request { last_event_id: "5".into(), ..server.request() }).await;
    assert_eq!(all, [event("x", "5", false)]);
    assert_eq!(target.header(0, "Last-Event-ID").unwrap(), b"5");
}

#[tokio::test]
async fn a_byte_order_mark_is_read_by_one_decoder_and_survived_with_the_other() {
    let body = b"\xef\xbb\xbfdata: x\n\n";
    let server = Server::start([whole_stream(body), whole_stream(body)]).await;
    assert_eq!(read(&server.request()).await, (vec![event("x", "", false)], Ending::Clean));
    let crates = Request { decoder: DecoderKind::EventsourceStream, ..server.request() };
    let (all, ending) = read(&crates).await;
    assert!(all.is_empty() && matches!(ending, Ending::DecoderPanicked { .. }), "{all:?} {ending:?}");
}

#[tokio::test]
async fn the_other_decoder_reads_as_rust_programs_do() {
    let body = b": unseen\nretry: 5\n\ndata: a\nid: 1\nretry: 6\n\ndata: b\n\ndata: c\nid: 2\n\n";
    let server =
        Server::start([whole_stream(body), whole_stream(b"data: \xff\n\n"), stream(&[b'x'; 99], Then::Hold)])
            .await;
    let request = Request { decoder: DecoderKind::EventsourceStream, ..server.request() };
    let (all, ending) = read(&request).await;
    let retry = Received::Retry(Duration::from_millis(6));
    let events = [event("a", "1", true), event("b", "1", false), event("c", "2", true)];
    assert_eq!(all, [vec![retry], events.to_vec()].concat(), "no comment, and no retry without data");
    assert_eq!(ending, Ending::Clean);

    let (all, ending) = read(&request).await;
    assert!(
        all.is_empty() && matches!(ending, Ending::Malformed { .. }),
        "silent until the end: {all:?} {ending:?}"
    );

    let limits = Limits { max_event: 98, ..Limits::default() };
    let (all, ending) = read(&Request { limits, ..request }).await;
    assert_eq!((all, ending), (vec![], Ending::LimitExceeded(LimitExceeded::Event { max: 98 })));
}

/// The parts of a body, one chunk each, and what the crate gets wrong of them.
#[track_caller]
fn check_crate(parts: &[&[u8]], expected: &[CrateFault]) {
    let mut reader = reader::Reader::new(DecoderKind::EventsourceStream, Limits::default(), "seed");
    for part in parts {
        if reader.read_all(bytes::Bytes::copy_from_slice(part), |_| {}).is_err() {
            break;
        }
    }
    reader.finish();
    let parts: Vec<_> = parts.iter().map(|part| String::from_utf8_lossy(part)).collect();
    assert_eq!(reader.crate_faults(), expected, "{parts:?}");
}

#[test]
fn what_the_crate_gets_wrong_is_named_and_what_it_reads_well_is_not() {
    let well: [&[&[u8]]; 5] = [
        &[b": hi\n\nid: 1\nretry: 5\ndata: a\n\n", b"id: 2\ndata: b\n\n"],
        &[b"id: 1\r\ndata: a\r", b"\n\r", b"\nid: 2\r\ndata: b\r\n\r\n"],
        &["id: 1\ndata: größe\n\n".as_bytes()],
        &[b"id: 1\ndata: gr\xc3", b"\xb6\xc3\x9fe\n\n"],
        &[b"id: 1\ndata: a\n\nretry: 7\n", b"id: 2\ndata: b\n\n"],
    ];
    well.iter().for_each(|parts| check_crate(parts, &[]));
    // Two of the three bytes of a mark are not UTF-8.
    check_crate(&[b"\xef", b"\xbb", b"x\nid: 1\ndata: a\n\n"], &[CrateFault::NotUtf8]);
    check_crate(&[b"\xef\xbb\xbfid: 1\ndata: a\n\n"], &[CrateFault::ByteOrderMark]);
    check_crate(&[b"\xef", b"\xbb", b"\xbf"], &[CrateFault::ByteOrderMark]);
    check_crate(&[b"id: 1\ndata: a\r\r", b"id: 2\ndata: b\n\n"], &[CrateFault::CarriageReturn]);
    check_crate(&[b"id: 1\ndata: \xff\n\n", b"id: 2\ndata: b\n\n"], &[CrateFault::NotUtf8]);
    check_crate(&[b"id: 1\ndata: a\n\nid: 2\n\n"], &[CrateFault::ForgottenId]);
    check_crate(&[b"data: a\n\n"], &[CrateFault::ForgottenId]);
    check_crate(&[b"retry: 5\n\nid: 1\ndata: a\n\n"], &[CrateFault::OtherRetry]);
    check_crate(&[b"id: 1\nretry: +5\ndata: a\n\n"], &[CrateFault::OtherRetry]);
}

#[tokio::test]
async fn a_compressed_stream_is_read_by_both_decoders_and_a_broken_one_is_aborted() {
    use flate2::{Compression, write::GzEncoder};
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(b"id: 1\ndata: a\n\n").unwrap();
    let packed = encoder.finish().unwrap();
    let coded = |body: &[u8], coding: &str| {
        let mut script = whole_stream(body);
        let head = format!("200 OK\r\nContent-Encoding: {coding}\r\n");
        let text = [b"HTTP/1.1 ".as_slice(), head.as_bytes()].concat();
        script.bytes.splice(..b"HTTP/1.1 200 OK\r\n".len(), text);
        script
    };
    let parts = [
        (&packed[..], "gzip"),
        (&packed[..], "x-gzip"),
        (b"data: this is not compressed\n\n", "gzip"),
        (b"", "lzma"),
    ];
    let server = Server::start(parts.map(|(body, coding)| coded(body, coding))).await;
    for decoder in [DecoderKind::Strict, DecoderKind::EventsourceStream] {
        let (all, ending) = read(&Request { decoder, ..server.request() }).await;
        assert_eq!((all, ending), (vec![event("a", "1", true)], Ending::Clean), "{decoder:?}");
    }
    let (all, ending) = read(&server.request()).await;
    assert!(
        all.is_empty() && matches!(&ending, Ending::Aborted { reason } if reason.contains("gzip")),
        "{ending:?}"
    );
    let error = connect(&http(), &server.request()).await.unwrap_err();
    assert!(error.is_final() && error.to_string().contains("\"lzma\""), "{error}");
}

#[tokio::test]
async fn beyond_a_limit_the_connection_is_closed() {
    let server = Server::start([stream(b"data: x\n\ndata: 123456789\n\n", Then::Hold)]).await;
    let limits = Limits { max_line: 9, ..Limits::default() };
    let mut stream = open(&Request { limits, ..server.request() }).await;
    assert_eq!(stream.next().await, Ok(event("x", "", false)));
    assert_eq!(stream.next().await, Err(Ending::LimitExceeded(LimitExceeded::Line { max: 9 })));
    // The server holds until its client is gone, and the stream is still alive here.
    assert_eq!(server.done().await, 1);
    drop(stream);
}

#[tokio::test]
async fn silence_ends_a_stream_but_the_callers_own_pauses_do_not() {
    let server = Server::start([stream(b": x\n", Then::Hold)]).await;
    let after = Duration::from_secs(30);
    let mut stream = open(&Request { idle_timeout: Some(after), ..server.request() }).await;
    assert_eq!(stream.next().await, Ok(Received::Comment(" x".into())));
    // From here on nothing comes over the socket, so the clock may stand still.
    tokio::time::pause();
    tokio::time::advance(10 * after).await;
    assert_eq!(stream.next().now_or_never(), None, "nobody waited meanwhile");
    tokio::time::advance(after / 2).await;
    assert_eq!(stream.next().now_or_never(), None, "half of it is not all of it");
    tokio::time::advance(after / 2).await;
    assert_eq!(stream.next().await, Err(Ending::Idle { after }), "waits that were cancelled count");
}

fn quick() -> ReconnectOptions {
    let wait = Duration::from_millis(1);
    ReconnectOptions { default_retry: Some(wait), min_delay: wait, max_delay: wait, ..Default::default() }
}

fn line(signal: &Signal) -> String {
    match signal {
        Signal::Open { .. } => "open".into(),
        Signal::Event(event) => format!("event {} {}", event.data, event.last_event_id),
        Signal::Heartbeat => "heartbeat".into(),
        Signal::Reconnecting { because: Interruption::NotOpened(_), .. } => "again, not opened".into(),
        Signal::Reconnecting { because: Interruption::Ended(ending), .. } => match ending {
            Ending::Clean => "again, clean".into(),
            Ending::Aborted { .. } => "again, aborted".into(),
            other => panic!("{other}"),
        },
        Signal::GaveUp { why, .. } => format!("gave up: {why}"),
    }
}

#[tokio::test]
async fn an_event_source_goes_on_where_it_was_cut_off() {
    let server = Server::start([
        stream(b": hi\nid: 1\ndata: a\n\nid: 2\ndata: half", Then::Close),
        Script { bytes: Vec::new(), then: Then::Close },
        whole_stream(b"data: b\n\nid: 3\n\n"),
        reply("204 No Content"),
    ])
    .await;
    let mut source = EventSource::new(http(), server.request(), Reconnect::new(Policy::Browser, quick()));
    let mut lines = Vec::new();
    while let Some(signal) = source.next().await {
        lines.push(line(&signal));
    }
    let expected = [
        "open",
        "heartbeat",
        "event a 1",
        "again, aborted",
        "again, not opened",
        "open",
        "event b 1",
        "again, clean",
        "gave up: status 204 No Content is final for this client",
    ];
    assert_eq!(lines, expected);
    assert!(source.next().await.is_none() && !source.is_open());
    let ids: Vec<_> = (0..4).map(|nth| server.header(nth, "Last-Event-ID")).collect();
    assert_eq!(ids, [None, Some(b"1".to_vec()), Some(b"1".to_vec()), Some(b"3".to_vec())]);
}

#[tokio::test]
async fn an_event_source_that_is_asked_impatiently_loses_nothing() {
    let server = Server::start([whole_stream(b"data: a\n\ndata: b\n\n"), reply("204 No Content")]).await;
    let mut source = EventSource::new(http(), server.request(), Reconnect::new(Policy::Browser, quick()));
    let mut lines = Vec::new();
    loop {
        // Every future is dropped after one poll, as in the `select!` of a caller with something better to do.
        match source.next().now_or_never() {
            Some(Some(signal)) => lines.push(line(&signal)),
            Some(None) => break,
            None => tokio::task::yield_now().await,
        }
    }
    assert_eq!(lines[..4], ["open", "event a ", "event b ", "again, clean"]);
    assert_eq!(server.done().await, 2, "one connection each, however often it was asked");
}

#[tokio::test]
async fn a_policy_of_none_connects_once() {
    let server = Server::start([whole_stream(b"data: a\n\n")]).await;
    let mut source = EventSource::new(http(), server.request(), Reconnect::new(Policy::None, quick()));
    let mut lines = Vec::new();
    while let Some(signal) = source.next().await {
        lines.push(line(&signal));
    }
    assert_eq!(lines, ["open", "event a ", "gave up: this client connects only once"]);
}

#[test]
fn names_in_files_are_those_on_the_command_line() {
    use clap::ValueEnum as _;
    for policy in Policy::value_variants() {
        let name = policy.to_possible_value().unwrap().get_name().to_owned();
        assert_eq!(serde_json::to_value(policy).unwrap(), name);
    }
    for decoder in DecoderKind::value_variants() {
        let name = decoder.to_possible_value().unwrap().get_name().to_owned();
        assert_eq!(serde_json::to_value(decoder).unwrap(), name);
    }
}

#[test]
fn ten_thousand_streams_are_small() {
    assert!(size_of::<Stream>() <= 512, "{}", size_of::<Stream>());
}

const CERTIFICATE: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/cert.pem"));
const KEY: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/key.pem"));

/// Serves one stream over TLS. Returns whether the client went through with the handshake.
fn serve_tls(listener: &std::net::TcpListener) -> std::io::Result<()> {
    let certificate = rustls::pki_types::CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (socket, _) = listener.accept()?;
    let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
    let mut tls = rustls::StreamOwned::new(connection, socket);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tls.read_exact(&mut byte)?;
        head.extend(byte);
    }
    tls.write_all(&whole_stream(b"data: secret\n\n").bytes)?;
    tls.conn.send_close_notify();
    tls.flush()
}

async fn read_over_tls(trust: Trust) -> (Result<Vec<Received>, ConnectError>, std::io::Result<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let request = Request::new(format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap());
    let server = tokio::task::spawn_blocking(move || serve_tls(&listener));
    let http = HttpOptions { trust, ..HttpOptions::default() }.build().unwrap();
    let read = match connect(&http, &request).await {
        Ok(mut stream) => {
            let mut all = Vec::new();
            while let Ok(received) = stream.next().await {
                all.push(received);
            }
            Ok(all)
        }
        Err(error) => Err(error),
    };
    (read, server.await.unwrap())
}

#[tokio::test]
async fn https_works_with_a_certificate_that_is_trusted_and_with_no_other() {
    let ours = reqwest::Certificate::from_pem(CERTIFICATE).unwrap();
    for trust in [Trust::Only(vec![ours]), Trust::Anybody] {
        let (read, served) = read_over_tls(trust).await;
        assert_eq!(read.unwrap(), [event("secret", "", false)]);
        served.unwrap();
    }
    for trust in [Trust::System, Trust::Only(Vec::new())] {
        let (read, served) = read_over_tls(trust).await;
        let error = read.unwrap_err();
        assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
        assert!(served.is_err(), "the client does not finish the handshake");
    }
}

/// What a stream was: its items, its end, what its head told, and what was unfinished; or why there was none.
type Outcome =
    Result<(Vec<Received>, String, Option<Head>, Box<[String]>, u64, crate::protocol::Pending), String>;

fn outcome(all: Vec<Received>, ending: &Ending, intake: &mut Intake) -> Outcome {
    // The words of a broken connection are those of its library.
    let ending = if let Ending::Aborted { .. } = ending { "aborted".to_owned() } else { ending.to_string() };
    let (head, cookies) = (intake.take_head(), intake.cookies().into());
    Ok((all, ending, head, cookies, intake.bytes_received(), intake.pending()))
}

async fn by_reqwest(request: &Request) -> Outcome {
    let mut stream = connect(&http(), request).await.map_err(|error| error.to_string())?;
    let mut all = Vec::new();
    let ending = loop {
        match stream.next().await {
            Ok(received) => all.push(received),
            Err(ending) => break ending,
        }
    };
    outcome(all, &ending, stream.intake_mut())
}

async fn by_hand(request: &Request) -> Outcome {
    let Opened::Stream(mut connection) =
        PlainHttp::default().connect(request).await.map_err(|error| error.to_string())?
    else {
        return Err("it is elsewhere".to_owned());
    };
    let mut socket = TcpStream::from_std(connection.socket.try_clone().unwrap().into()).unwrap();
    let (mut all, mut bytes) = (Vec::new(), std::mem::take(&mut connection.rest));
    let ending = loop {
        let mut rest = bytes.as_slice();
        let fed = loop {
            match connection.next(&mut rest) {
                Ok(Some(piece)) => match connection.intake.feed(piece, |item| all.push(item.into())) {
                    Ok(()) => {}
                    Err(ending) => break Err(ending),
                },
                Ok(None) => break Ok(()),
                Err(ending) => break Err(ending),
            }
        };
        if let Err(ending) = fed {
            break ending;
        }
        bytes.resize(7, 0);
        match socket.read(&mut bytes).await {
            Ok(0) => break connection.close(),
            Ok(count) => bytes.truncate(count),
            Err(error) => break connection.fail(error.to_string()),
        }
    };
    outcome(all, &ending, &mut connection.intake)
}

#[tokio::test]
async fn a_socket_that_is_read_by_hand_means_what_reqwest_makes_of_it() {
    const OK: &str = "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: text/event-stream\r\n";
    let body = "retry: 7\n: hi\nid: 1\ndata: a\ndata: b\n\ndata: unfinished";
    let chunked = |chunks: &str| format!("{OK}Transfer-Encoding: chunked\r\n\r\n{chunks}");
    let whole = format!("{:x}\r\n{body}\r\n", body.len());
    let answers = [
        chunked(&format!("{whole}0\r\n\r\n")),
        chunked(&format!("{whole}3;a=\"b\"\r\n\n\n\n\r\n000\r\nTrailer: x\r\n\r\n")),
        chunked(&whole),
        chunked(&format!("{whole}zz\r\n")),
        chunked("5\r\ndata:"),
        chunked("3\r\ndata: x\n\n\r\n"),
        format!("{OK}Content-Length: {}\r\n\r\n{body}", body.len()),
        format!("{OK}Content-Length: 9999\r\n\r\n{body}"),
        format!("{OK}Content-Length: 0\r\n\r\n"),
        format!("{OK}Content-Length: 5\r\nContent-Length: 6\r\n\r\n{body}"),
        format!("{OK}Content-Length: x\r\n\r\n{body}"),
        format!("{OK}Set-Cookie: a=b; Path=/\r\nVia: p\r\nSet-Cookie: c=d\r\n\r\n{body}"),
        format!("HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{body}"),
        "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{OK}\r\n{body}"),
        format!("{OK}Content-Encoding: gzip\r\n\r\nno gzip"),
        format!("{OK}Content-Encoding: rot13\r\n\r\n"),
        "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno".to_owned(),
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>".to_owned(),
        "HTTP/1.1 200 OK\r\n\r\ndata: x\n\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Ty".to_owned(),
        "SSH-2.0-OpenSSH\r\n\r\n".to_owned(),
        String::new(),
    ];
    for answer in answers {
        let script = || Script { bytes: answer.clone().into_bytes(), then: Then::Close };
        let server = Server::start([script(), script()]).await;
        let mut request = server.request();
        request.last_event_id = "größe".to_owned();
        request.headers.append("x-token", "t".parse().unwrap());
        let (expected, found) = (by_reqwest(&request).await, by_hand(&request).await);
        assert_eq!(found, expected, "{answer:?}");
        let requests = server.requests.lock().unwrap().clone();
        let sent: Vec<_> = requests.iter().map(|head| lines_of(head)).collect();
        assert_eq!(sent[1], sent[0], "{answer:?}");
    }
}

/// The lines of a request, the headers sorted.
fn lines_of(head: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<_> = head.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    lines[1..].sort_unstable();
    lines
}

#[tokio::test]
async fn by_hand_nobody_there_is_refused_and_a_silent_server_is_a_timeout() {
    let server = Server::start([Script { bytes: Vec::new(), then: Then::Hold }]).await;
    let mut request = server.request();
    request.connect_timeout = Duration::from_millis(50);
    let silent = PlainHttp::default().connect(&request).await;
    assert!(matches!(silent, Err(ConnectError::Timeout { .. })), "{silent:?}");
    assert_eq!(server.done().await, 1);
    let refused = PlainHttp::default().connect(&request).await;
    assert!(matches!(refused, Err(ConnectError::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn by_hand_a_redirect_is_told_or_a_status() {
    let moved = || reply("302 Found\r\nLocation: /other\r\nContent-Length: 0");
    let server = Server::start([moved(), moved()]).await;
    let http = PlainHttp { tells_redirects: true, ..PlainHttp::default() };
    assert!(matches!(http.connect(&server.request()).await, Ok(Opened::Elsewhere)));
    let told = PlainHttp::default().connect(&server.request()).await;
    assert!(matches!(told, Err(ConnectError::Status { .. })), "{told:?}");
    for (url, can) in [("http://a/", true), ("https://a/", false), ("http://me:secret@a/", false)] {
        assert_eq!(PlainHttp::can_send(&Request::new(url.parse().unwrap())), can, "{url}");
    }
}
