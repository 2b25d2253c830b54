//! Each behaviour against a small server that reads and ends the connection.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::attack::{Attack, Ended};
use crate::bench::scenario::Behavior;

/// What a server reads from a hostile client until it has this many bytes and ends the connection, and who ended it.
async fn read(behavior: Behavior, bytes: usize) -> (Vec<u8>, Ended) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        while read.len() < bytes {
            assert!(socket.read_buf(&mut read).await.unwrap() > 0, "the client left after {read:?}");
        }
        read
    };
    let mut rng = StdRng::seed_from_u64(1);
    let attack = async {
        let socket = TcpStream::connect(address).await.unwrap();
        Attack { socket, host: "h:1", path: "/p?a=b", rng: &mut rng }.carry_out(behavior).await
    };
    tokio::join!(server, attack)
}

#[tokio::test]
async fn each_behaviour_is_what_its_name_says_and_ends_with_the_server() {
    let get = "GET /p?a=b HTTP/1.1\r\nHost: h:1\r\n";
    let whole = format!("{get}Accept: text/event-stream\r\n\r\n");
    for (behavior, begin, bytes) in [
        (Behavior::Silent, String::new(), 0),
        (Behavior::SlowHead, format!("{get}X-Slow: a"), get.len() + 9),
        (
            Behavior::SlowBody,
            "POST /p?a=b HTTP/1.1\r\nHost: h:1\r\nContent-Type: application/json\r\n".to_owned(),
            90,
        ),
        (Behavior::EndlessHead, format!("{get}X-Endless: aaa"), 1_000_000),
        (Behavior::Garbage, String::new(), 1_000_000),
        (Behavior::Flood, whole.clone() + "aaa", 1_000_000),
        (Behavior::UnreadStream, whole.clone(), whole.len()),
        (Behavior::UnreadPages, whole.repeat(3), 10_000),
    ] {
        let (sent, ended) = read(behavior, bytes).await;
        assert_eq!(ended, Ended::ByServer, "{behavior:?}");
        let shown = String::from_utf8_lossy(&sent[..sent.len().min(200)]).into_owned();
        assert!(sent.starts_with(begin.as_bytes()), "{behavior:?}: {shown}");
    }
    let (sent, _) = read(Behavior::Garbage, 1_000).await;
    assert!(!sent.is_ascii(), "random bytes");
}

#[tokio::test]
async fn one_that_opens_and_closes_leaves_by_itself_once_it_was_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut socket, b"HTTP/1.1 200 OK\r\n").await.unwrap();
        let mut rest = Vec::new();
        // A reset is an end too: the client leaves with bytes unread.
        drop(socket.read_to_end(&mut rest).await);
    };
    let mut rng = StdRng::seed_from_u64(1);
    let attack = async {
        let socket = TcpStream::connect(address).await.unwrap();
        Attack { socket, host: "h", path: "/", rng: &mut rng }.carry_out(Behavior::OpenAndClose).await
    };
    let ((), ended) = tokio::join!(server, attack);
    assert_eq!(ended, Ended::ByClient);
}
