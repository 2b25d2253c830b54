//! One command to one Redis server, and its answer: what looking at servers and breaking them needs. A connection for
//! each command, a deadline for both, no pool, no retry. The nodes' own way to Redis is another.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Longest bulk text that is read: `INFO everything` is far below it.
const BULK_MAX: usize = 1 << 20;
/// Longest list, and how deep lists may stand in each other.
const LIST_MAX: usize = 1 << 16;
const DEPTH_MAX: usize = 8;

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A status or a text.
    Text(String),
    /// A number.
    Number(i64),
    /// Nothing.
    Null,
    /// A list.
    List(Vec<Self>),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No connection, or it broke.
    #[error("{command} got no answer from Redis at {address}")]
    Io {
        command: String,
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    /// Too late.
    #[error("{command} got no answer from Redis at {address} within {limit:?}")]
    Late { command: String, address: SocketAddr, limit: Duration },
    /// The server refused.
    #[error("Redis at {address} refused {command}: {message}")]
    Refused { command: String, address: SocketAddr, message: String },
    /// Not Redis' protocol.
    #[error("what {address} answers to {command} is not Redis' protocol: {what}")]
    Garbled { command: String, address: SocketAddr, what: String },
}

impl Reply {
    /// The text, or the number as one; nothing for other answers.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Number(number) => Some(number.to_string()),
            Self::Null | Self::List(_) => None,
        }
    }

    /// Elements of a list; none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            Self::Text(_) | Self::Number(_) | Self::Null => &[],
        }
    }
}

/// Sends one command and reads its answer, all within `limit`; the password before it, where the server has one.
///
/// # Errors
/// There is none, or the server refuses.
pub async fn ask(
    address: SocketAddr,
    password: Option<&str>,
    args: &[&str],
    limit: Duration,
) -> Result<Reply, AskError> {
    let command = args.first().copied().unwrap_or_default().to_owned();
    let late = AskError::Late { command: command.clone(), address, limit };
    tokio::time::timeout(limit, exchange((address, password), command, args)).await.unwrap_or(Err(late))
}

async fn exchange(
    (address, password): (SocketAddr, Option<&str>),
    command: String,
    args: &[&str],
) -> Result<Reply, AskError> {
    let failed = |source| AskError::Io { command: command.clone(), address, source };
    let mut stream = TcpStream::connect(address).await.map_err(failed)?;
    let mut bytes = password.map(|password| encode(&["AUTH", password])).unwrap_or_default();
    bytes.extend(encode(args));
    stream.write_all(&bytes).await.map_err(failed)?;
    let mut reader = BufReader::new(stream);
    let reply = async {
        if password.is_some() {
            read(&mut reader, 0).await?;
        }
        read(&mut reader, 0).await
    };
    match reply.await {
        Ok(reply) => Ok(reply),
        Err(Unread::Io(source)) => Err(failed(source)),
        Err(Unread::Refused(message)) => Err(AskError::Refused { command, address, message }),
        Err(Unread::Garbled(what)) => Err(AskError::Garbled { command, address, what }),
    }
}

fn encode(args: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n{arg}\r\n", arg.len()).as_bytes());
    }
    bytes
}

enum Unread {
    Io(std::io::Error),
    Refused(String),
    Garbled(String),
}

impl From<std::io::Error> for Unread {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

async fn read(reader: &mut BufReader<TcpStream>, depth: usize) -> Result<Reply, Unread> {
    let mut line = String::new();
    // A status line is short; what is longer than the largest text is no answer.
    let mut limited = reader.take(BULK_MAX as u64);
    if limited.read_line(&mut line).await? == 0 {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    let line = line.trim_end();
    let garbled = || Unread::Garbled(format!("{line:?}"));
    let (kind, rest) = line.split_at_checked(1).ok_or_else(garbled)?;
    let length = |most: usize| match rest.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(count) => usize::try_from(count).ok().filter(|count| *count <= most).map(Some).ok_or_else(garbled),
        Err(_) => Err(garbled()),
    };
    match kind {
        "+" => Ok(Reply::Text(rest.to_owned())),
        "-" => Err(Unread::Refused(rest.to_owned())),
        ":" => rest.parse().map(Reply::Number).map_err(|_| garbled()),
        "$" => match length(BULK_MAX)? {
            None => Ok(Reply::Null),
            Some(count) => {
                let mut bytes = vec![0; count + 2];
                reader.read_exact(&mut bytes).await?;
                bytes.truncate(count);
                Ok(Reply::Text(String::from_utf8_lossy(&bytes).into_owned()))
            }
        },
        "*" if depth < DEPTH_MAX => match length(LIST_MAX)? {
            None => Ok(Reply::Null),
            Some(count) => {
                let mut items = Vec::new();
                for _ in 0..count {
                    // Boxed: lists stand in lists.
                    items.push(Box::pin(read(reader, depth + 1)).await?);
                }
                Ok(Reply::List(items))
            }
        },
        _ => Err(garbled()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Asks a server that answers with these bytes, and then hangs up.
    async fn answered(bytes: &'static [u8]) -> Result<Reply, AskError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 64];
            let count = stream.read(&mut asked).await.unwrap();
            assert_eq!(&asked[..count], b"*2\r\n$4\r\nLLEN\r\n$1\r\nk\r\n");
            stream.write_all(bytes).await.unwrap();
        };
        let asking = ask(address, None, &["LLEN", "k"], Duration::from_secs(20));
        tokio::join!(serve, asking).1
    }

    #[tokio::test]
    async fn every_kind_of_answer_is_read() {
        assert_eq!(answered(b"+OK\r\n").await.unwrap(), Reply::Text("OK".to_owned()));
        assert_eq!(answered(b":-7\r\n").await.unwrap(), Reply::Number(-7));
        assert_eq!(answered(b"$-1\r\n").await.unwrap(), Reply::Null);
        assert_eq!(answered(b"$4\r\na\r\nb\r\n").await.unwrap(), Reply::Text("a\r\nb".to_owned()));
        let list = answered(b"*3\r\n$1\r\na\r\n*1\r\n:2\r\n*-1\r\n").await.unwrap();
        let inner = Reply::List(vec![Reply::Number(2)]);
        assert_eq!(list, Reply::List(vec![Reply::Text("a".to_owned()), inner, Reply::Null]));
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_servers_words() {
        let error = answered(b"-LOADING Redis is loading\r\n").await.unwrap_err();
        assert!(error.to_string().contains("refused LLEN: LOADING Redis"), "{error}");
    }

    /// Asks a server with a password, that answers with these bytes.
    async fn admitted(bytes: &'static [u8]) -> Result<Reply, AskError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let expected = b"*2\r\n$4\r\nAUTH\r\n$1\r\np\r\n*1\r\n$4\r\nPING\r\n";
            let mut asked = vec![0; expected.len()];
            stream.read_exact(&mut asked).await.unwrap();
            assert_eq!(asked, expected);
            stream.write_all(bytes).await.unwrap();
        };
        let asking = ask(address, Some("p"), &["PING"], Duration::from_secs(20));
        tokio::join!(serve, asking).1
    }

    #[tokio::test]
    async fn a_password_is_told_first_and_the_answer_is_that_to_the_command() {
        assert_eq!(admitted(b"+OK\r\n+PONG\r\n").await.unwrap(), Reply::Text("PONG".to_owned()));
        let error = admitted(b"-WRONGPASS no\r\n-NOAUTH no\r\n").await.unwrap_err();
        assert!(error.to_string().contains("WRONGPASS"), "{error}");
    }

    #[tokio::test]
    async fn what_is_not_redis_is_not_read_as_such() {
        for bytes in [b"HTTP/1.1 400\r\n".as_slice(), b"$9999999999\r\n", b"*-2\r\n", b"\r\n"] {
            assert!(matches!(answered(bytes).await, Err(AskError::Garbled { .. })), "{bytes:?}");
        }
        assert!(matches!(answered(b"$5\r\nab").await, Err(AskError::Io { .. })));
    }

    #[tokio::test]
    async fn a_server_that_is_silent_does_not_hold_anybody_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let error = ask(address, None, &["PING"], Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, AskError::Late { .. }), "{error}");
    }
}
