//! One command to one Redis server, and its reply: what asking servers and breaking them needs. Each command has a
//! connection and a deadline of its own, without a pool or a retry, since the servers come and go. Read [`ask`] first.

use std::net::SocketAddr;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo, RedisError,
    RedisResult, Value, cmd,
};

/// Why a command has no reply.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no connection, it broke, or the other side does not speak Redis' protocol.
    #[error("{command} got no answer from Redis at {address}")]
    NoReply {
        command: String,
        address: SocketAddr,
        #[source]
        source: RedisError,
    },
    /// The reply did not come in time.
    #[error("{command} got no answer from Redis at {address} within {limit:?}")]
    Late { command: String, address: SocketAddr, limit: Duration },
    /// The server answered with an error.
    #[error("Redis at {address} refused {command}: {message}")]
    Refused { command: String, address: SocketAddr, message: String },
}

/// Sends one command and reads its reply, all within `limit`. A server with a password gets it first.
///
/// # Errors
/// There is no reply, or the server refuses.
pub async fn ask(
    address: SocketAddr,
    password: Option<&str>,
    args: &[&str],
    limit: Duration,
) -> Result<Value, AskError> {
    let command = args.first().copied().unwrap_or_default().to_owned();
    let exchange = async {
        let mut connection = connect(address, password).await?;
        let (name, rest) = args.split_first().unwrap_or((&"PING", &[]));
        cmd(name).arg(rest).query_async(&mut connection).await
    };
    match tokio::time::timeout(limit, exchange).await {
        Err(_) => Err(AskError::Late { command, address, limit }),
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(source)) => Err(match source.code() {
            Some(code) => {
                let message = format!("{code} {}", source.detail().unwrap_or_default());
                AskError::Refused { command, address, message }
            }
            None => AskError::NoReply { command, address, source },
        }),
    }
}

async fn connect(address: SocketAddr, password: Option<&str>) -> RedisResult<MultiplexedConnection> {
    // Sentinels and older servers refuse CLIENT SETINFO.
    let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(password) = password {
        login = login.set_password(password);
    }
    let place = ConnectionAddr::Tcp(address.ip().to_string(), address.port());
    let info = place.into_connection_info()?.set_redis_settings(login);
    // The caller's deadline is the only one.
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await
}

/// The text of a reply, or a number as text; `None` for other replies.
#[must_use]
pub fn text(reply: &Value) -> Option<String> {
    match reply {
        Value::Okay => Some("OK".to_owned()),
        Value::SimpleString(text) => Some(text.clone()),
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The elements of a list; none of any other reply.
#[must_use]
pub fn items(reply: &Value) -> &[Value] {
    match reply {
        Value::Array(items) => items,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Sends `PING` to a server that answers each request with the next of these replies and then closes.
    async fn answered(password: Option<&str>, replies: &[&[u8]]) -> Result<Value, AskError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            for reply in replies {
                let mut asked = [0; 128];
                assert!(stream.read(&mut asked).await.unwrap() > 0);
                stream.write_all(reply).await.unwrap();
            }
        };
        let asking = ask(address, password, &["PING"], Duration::from_secs(20));
        tokio::join!(serve, asking).1
    }

    #[tokio::test]
    async fn texts_and_lists_are_read() {
        let reply = answered(None, &[b"*3\r\n$1\r\na\r\n:-7\r\n*-1\r\n"]).await.unwrap();
        let texts: Vec<_> = items(&reply).iter().map(text).collect();
        assert_eq!(texts, [Some("a".to_owned()), Some("-7".to_owned()), None]);
        assert_eq!(text(&answered(None, &[b"+PONG\r\n"]).await.unwrap()).as_deref(), Some("PONG"));
    }

    #[tokio::test]
    async fn a_refusal_is_reported_in_the_servers_words() {
        let error = answered(None, &[b"-LOADING Redis is loading\r\n"]).await.unwrap_err();
        assert!(error.to_string().contains("refused PING: LOADING Redis"), "{error}");
        let error = answered(None, &[b"-ERR odd\r\n"]).await.unwrap_err();
        assert!(error.to_string().contains("refused PING: ERR odd"), "{error}");
    }

    #[tokio::test]
    async fn a_password_goes_first_and_the_reply_is_that_of_the_command() {
        let reply = answered(Some("p"), &[b"+OK\r\n", b"+PONG\r\n"]).await.unwrap();
        assert_eq!(text(&reply).as_deref(), Some("PONG"));
        let error = answered(Some("p"), &[b"-WRONGPASS no\r\n"]).await.unwrap_err();
        assert!(crate::runtime::error_chain(&error).contains("authentication failed"), "{error:?}");
    }

    #[tokio::test]
    async fn a_server_of_another_protocol_gives_no_reply() {
        for bytes in [b"HTTP/1.1 400\r\n".as_slice(), b"\r\n", b"$5\r\nab"] {
            let result = answered(None, &[bytes]).await;
            assert!(matches!(result, Err(AskError::NoReply { .. })), "{bytes:?} {result:?}");
        }
    }

    #[tokio::test]
    async fn a_silent_server_does_not_hold_the_caller_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let error = ask(address, None, &["PING"], Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, AskError::Late { .. }), "{error}");
    }
}
