//! HTTPS: the same streams with TLS below them, over HTTP/1.1 and over HTTP/2. With `SSE_LAB_TEST_TLS` set, every other
//! story is told over HTTP/2 too.

use std::sync::Arc;

use futures_util::future::join_all;
use reqwest::Version;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use sse_lab::protocol::api::Resumed;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Node, Subscriber, TLS, closing, eventually, flood, http, https, payload, run, within};

#[tokio::test]
async fn a_stream_is_the_same_with_tls_and_comes_back_with_its_cursor() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut node = Node::start(&TLS).await;
        node.speak_with(https(None, version));
        assert_eq!(node.http().get(node.url("/health")).send().await.unwrap().version(), version);
        let mut stream = Subscriber::open(&node, "clientId=c&topics=t").await;
        node.publish("topics/t", &json!({ "data": 1 })).await;
        let first = stream.event().await;
        assert_eq!(payload(&first), 1);
        drop(stream);
        eventually("the end of the stream", async || {
            (node.metrics().await.active_connections == 0).then_some(())
        })
        .await;
        node.publish("broadcast/c", &json!({ "data": 2 })).await;
        let mut stream = Subscriber::after(&node, "clientId=c&topics=t", &first.last_event_id).await;
        assert_eq!(stream.hello.resumed, Resumed::Replayed, "{version:?}");
        assert_eq!(payload(&stream.event().await), 2);
        node.post("/admin/drain", r#"{"over":"0s"}"#).await;
        let (events, _) = stream.rest().await;
        closing(events.last().unwrap(), 3001);
    }
}

/// All are streams of one connection: their clients have its window together, and one of them takes nothing.
#[tokio::test]
async fn over_http2_a_reader_that_takes_nothing_holds_up_nobody_else() {
    let mut node = Node::start(&TLS).await;
    node.speak_with(https(None, Version::HTTP_2));
    let deaf = Subscriber::request(&node, "clientId=deaf", &[]).await;
    let mut others = Vec::new();
    for number in 0..20 {
        others.push(Subscriber::open(&node, &format!("clientId=c{number}")).await);
    }
    // More than the window of a stream and its pipe hold. The others read all the time: what nobody reads of the window of
    // a connection is lost for all of its streams.
    let read = others.iter_mut().map(async |other| {
        let mut ids = Vec::new();
        while ids.len() < 100 {
            ids.push(other.event().await.last_event_id);
        }
        ids
    });
    let (published, read) = tokio::join!(flood(&node, 100), join_all(read));
    assert!(read.iter().all(|ids| *ids == published), "{published:?} {read:?}");
    drop(deaf);
}

/// What is written is large, and comes in pieces of TLS records: nothing is lost or changed on the way.
#[tokio::test]
async fn large_events_come_whole_over_a_slow_reader() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut node = Node::start(&TLS).await;
        node.speak_with(https(None, version));
        let mut stream = Subscriber::open(&node, "clientId=slow").await;
        // It reads nothing until all is published, so the node has to wait for it.
        let published = flood(&node, 60).await;
        for (number, id) in published.iter().enumerate() {
            let event = stream.event().await;
            assert_eq!(&event.last_event_id, id, "{version:?}");
            let text = payload(&event);
            let text = text.as_str().unwrap();
            assert!(text.starts_with(&format!("{number} ")) && text.len() > 60_000, "{number}");
        }
    }
}

/// What TLS has taken and the socket has not is sent when the client reads, and not with the next event: that may be an
/// hour away. Of streams with ever more events, one ends just where the socket is full.
#[tokio::test]
async fn the_last_event_comes_whole_when_the_client_reads_again() {
    const STREAMS: usize = 40;
    let quiet = ["--send-buffer", "4KiB", "--heartbeat", "1h", "--cursor-every", "1h"];
    let mut node = Node::start(&[&TLS[..], &quiet].concat()).await;
    node.speak_with(https(None, Version::HTTP_2));
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        streams.push(unread(&node, &format!("clientId=c{number}&topics=t{number}")).await);
    }
    let text = "x".repeat(4_000);
    for first in 0..STREAMS {
        let to = |number| json!({ "to": format!("topic:t{number}"), "event": { "data": text } }).to_string();
        let body = (first..STREAMS).map(to).collect::<Vec<_>>().join("\n");
        assert_eq!(node.post("/api/sse/batch", body).await.status, 200);
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        let mut read = Vec::new();
        while memchr::memmem::find_iter(&read, "x\"").count() <= number {
            let count = within("the rest of an event", stream.read_buf(&mut read)).await.unwrap();
            assert!(count > 0, "{number}");
        }
    }
}

/// A stream over HTTP/1.1 of which nothing was read, with as small a receive buffer as the system allows.
async fn unread(node: &Node, query: &str) -> TlsStream<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2_048).unwrap();
    let socket = within("a connection", socket.connect(node.address())).await.unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(TLS[1]).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = within("a handshake", connector.connect(name, socket)).await.unwrap();
    let head = format!("GET /api/sse/stream?{query} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    within("a request", stream.write_all(head.as_bytes())).await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_without_tls_is_turned_away_and_others_are_served() {
    let node = Node::start(&TLS).await;
    let plain = http().get(format!("http://{}/health", node.address())).send();
    within("the end of a plain request", plain).await.unwrap_err();
    assert_eq!(node.get("/health").await.status, 200);
}

#[tokio::test]
async fn a_body_over_http2_has_the_same_limits() {
    let mut node = Node::start(&TLS).await;
    node.speak_with(https(None, Version::HTTP_2));
    node.post("/api/sse/broadcast", "{").await.problem(400, "malformed_json");
    let large = futures_util::stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(vec![b' '; 65_536])));
    let request = node.http().post(node.url("/api/sse/broadcast")).body(reqwest::Body::wrap_stream(large));
    node.answer(request).await.problem(413, "too_large");
}

#[tokio::test]
async fn a_certificate_without_its_key_is_a_clear_error() {
    for (args, words) in [
        (&["--tls-certificate", TLS[1]][..], "it needs --tls-key"),
        (&["--tls-key", TLS[3]][..], "it needs --tls-certificate"),
        (&["--tls-certificate", TLS[3], "--tls-key", TLS[1]][..], "holds no certificate"),
        (&["--tls-certificate", "/nowhere", "--tls-key", TLS[1]][..], "cannot read /nowhere"),
    ] {
        let ended = run(&[&["check-config"], args].concat()).await;
        assert!(ended.code == Some(2) || ended.code == Some(78), "{ended:?}");
        assert!(ended.stderr.contains(words), "{ended:?}");
    }
}
