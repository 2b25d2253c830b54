//! Checks whether a node is ready, for containers without curl. Sends one HTTP/1.1 request over a plain TCP socket: no
//! TLS, no redirects. Read [`Healthcheck`] first.

use std::time::Duration;

use http::Uri;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::node::config::default;
use crate::runtime::secrets::without_secrets;

/// Arguments of `sse-node healthcheck`.
#[derive(Debug, clap::Args)]
pub struct Healthcheck {
    /// URL of the node; http only
    #[arg(default_value = default::URL)]
    url: Uri,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// Why a node counts as not ready.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotReady {
    #[error("the URL {0} is not valid; allowed are http:// URLs, like {url}", url = default::URL)]
    Url(String),
    #[error("cannot connect to {url}")]
    Unreachable {
        url: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("{url} did not answer within {timeout:?}")]
    Silent { url: String, timeout: Duration },
    #[error("{url} is not ready: it answered {status:?}")]
    Refused { url: String, status: String },
}

/// Most bytes read of the status line.
const STATUS_LINE_BYTES: usize = 256;

impl Healthcheck {
    pub(super) async fn run(self) -> Result<(), NotReady> {
        let Self { url, timeout } = self;
        let answered = tokio::time::timeout(timeout, status_line(&url)).await;
        let url = without_secrets(&url.to_string());
        let status = match answered {
            Ok(answer) => answer?,
            Err(_) => return Err(NotReady::Silent { url, timeout }),
        };
        // "HTTP/1.1 200 OK"
        if status.split(' ').nth(1) == Some("200") { Ok(()) } else { Err(NotReady::Refused { url, status }) }
    }
}

async fn status_line(url: &Uri) -> Result<String, NotReady> {
    let shown = || without_secrets(&url.to_string());
    let Some((authority, "http")) = url.authority().zip(url.scheme_str()) else {
        return Err(NotReady::Url(shown()));
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let prefix = url.path().trim_end_matches('/');
    let request = format!(
        "GET {prefix}/health/ready HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: sse-node-healthcheck\r\nConnection: close\r\n\r\n"
    );
    let ask = async {
        let mut socket = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
        socket.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while head.len() < STATUS_LINE_BYTES && !head.contains(&b'\n') {
            if socket.read_buf(&mut head).await? == 0 {
                break;
            }
        }
        Ok(head)
    };
    let head = ask.await.map_err(|cause| NotReady::Unreachable { url: shown(), cause })?;
    let line = head.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}
