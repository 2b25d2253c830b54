//! HTTP/1.1 without TLS on a socket that the caller reads itself once the head of the response is there. Follows no
//! redirect, keeps no connection, and has no task and no buffer for an open stream. Read [`PlainHttp::connect`] first.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{StatusCode, Url, Version};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use super::connect::{self, ConnectError, Request};
use super::framing::Framing;
use super::head::Head;
use super::http::USER_AGENT;
use super::intake::Intake;
use super::stream::Ending;
use crate::runtime::error_chain;

/// Headers of a response at most, as hyper has it.
const HEADERS_MAX: usize = 100;
/// Bytes of the head of a response at most, as hyper has it.
const HEAD_MAX: usize = 408 * 1024;
/// Bytes read at once, while the head is not whole.
const READ_BYTES: usize = 2 * 1024;

/// How the connections are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlainHttp {
    /// Local address of the connections; `None`: the kernel chooses.
    pub local_address: Option<IpAddr>,
    /// Receive buffer of a socket in bytes, as requested from the kernel (Linux doubles it). `None`: the default of the
    /// kernel.
    pub receive_buffer: Option<u32>,
    /// Whether a redirect is told as [`Opened::Elsewhere`] instead of as a status.
    pub tells_redirects: bool,
}

/// An open stream whose socket the caller reads.
#[derive(Debug)]
pub struct Connection {
    /// Does not block.
    pub socket: OwnedFd,
    /// Bytes behind the head that have been read already, to be fed first.
    pub rest: Vec<u8>,
    /// What has been read so far.
    pub intake: Intake,
    framing: Framing,
}

impl Connection {
    /// The next bytes of the body, for [`Intake::feed`]; `bytes` of the socket are consumed up to them. `None`: more bytes
    /// are needed.
    ///
    /// # Errors
    /// [`Ending`]: how the stream ended with these bytes.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Ending> {
        match self.framing.next(bytes) {
            Ok(None) if self.framing.is_over() => Err(self.intake.finish()),
            Ok(piece) => Ok(piece),
            Err(error) => Err(self.fail(error_chain(&error))),
        }
    }

    /// The server sends nothing more: how the stream ended.
    pub fn close(&mut self) -> Ending {
        match self.framing.close() {
            Ok(()) => self.intake.finish(),
            Err(error) => self.fail(error_chain(&error)),
        }
    }

    /// The connection broke: how the stream ended.
    pub fn fail(&mut self, reason: String) -> Ending {
        let ending = Ending::Aborted { reason };
        self.intake.end(ending.clone());
        ending
    }
}

/// What became of an attempt.
#[derive(Debug)]
pub enum Opened {
    Stream(Box<Connection>),
    /// The server sends the client to another URL.
    Elsewhere,
}

/// The head of a response.
struct Response {
    version: Version,
    status: StatusCode,
    headers: HeaderMap,
    rest: Vec<u8>,
}

impl PlainHttp {
    /// Whether this client can send such a request: `http`, and nobody to log in as.
    #[must_use]
    pub fn can_send(request: &Request) -> bool {
        let url = &request.url;
        url.scheme() == "http" && url.has_host() && url.username().is_empty() && url.password().is_none()
    }

    /// Opens a stream, as [`connect`](super::connect()) does.
    ///
    /// # Errors
    /// [`ConnectError`], with the same meaning of its variants.
    pub async fn connect(self, request: &Request) -> Result<Opened, ConnectError> {
        let head = head_of(request)?;
        let limit = request.connect_timeout;
        let asking = async {
            let mut socket = self
                .open(&request.url)
                .await
                .map_err(|error| ConnectError::Refused { url: request.url.clone(), source: error.into() })?;
            let broken = |error: io::Error| broken(request, error);
            socket.write_all(&head).await.map_err(broken)?;
            let response = read_head(&socket).await.map_err(broken)?;
            Ok((socket, response))
        };
        let (socket, response) = match tokio::time::timeout(limit, asking).await {
            Ok(asked) => asked?,
            Err(_elapsed) => return Err(ConnectError::Timeout { url: request.url.clone(), limit }),
        };
        self.take_over(request, socket, response)
    }

    async fn open(self, url: &Url) -> io::Result<TcpStream> {
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name of the host has no address");
        let addresses: Vec<SocketAddr> = match literal {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => tokio::net::lookup_host((host, port)).await?.collect(),
        };
        for address in addresses {
            match self.socket(address)?.connect(address).await {
                Ok(socket) => return Ok(socket),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn socket(self, to: SocketAddr) -> io::Result<TcpSocket> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_nodelay(true)?;
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(local) = self.local_address.filter(|local| local.is_ipv4() == to.is_ipv4()) {
            socket.bind(SocketAddr::new(local, 0))?;
        }
        Ok(socket)
    }

    fn take_over(
        self,
        request: &Request,
        socket: TcpStream,
        response: Response,
    ) -> Result<Opened, ConnectError> {
        let Response { version, status, headers, rest } = response;
        if self.tells_redirects && is_redirect(status) && headers.contains_key(LOCATION) {
            return Ok(Opened::Elsewhere);
        }
        let told = Head::of(version, &headers, &request.url, &request.url);
        let (told, coding) = connect::check((&request.url, status), &headers, told)?;
        let framing = Framing::of(version, &headers).map_err(|error| broken(request, error))?;
        let intake =
            Intake::new(coding, socket.peer_addr().ok(), (connect::cookies(&headers), told), request);
        let socket = socket.into_std().map_err(|error| broken(request, error))?.into();
        Ok(Opened::Stream(Box::new(Connection { socket, rest, intake, framing })))
    }
}

fn broken(request: &Request, error: impl Into<connect::Cause>) -> ConnectError {
    ConnectError::Broken { url: request.url.clone(), source: error.into() }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The bytes of the request.
fn head_of(request: &Request) -> Result<Vec<u8>, ConnectError> {
    let url = &request.url;
    let mut head = Vec::with_capacity(512);
    let mut push = |parts: &[&[u8]]| parts.iter().for_each(|part| head.extend_from_slice(part));
    push(&[b"GET ", url.path().as_bytes()]);
    if let Some(query) = url.query() {
        push(&[b"?", query.as_bytes()]);
    }
    push(&[b" HTTP/1.1\r\n"]);
    let headers = connect::headers(request)?;
    if !headers.contains_key("user-agent") {
        push(&[b"user-agent: ", USER_AGENT.as_bytes(), b"\r\n"]);
    }
    for (name, value) in &headers {
        push(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    if !headers.contains_key("host") {
        push(&[b"host: ", url.host_str().unwrap_or_default().as_bytes()]);
        if let Some(port) = url.port() {
            push(&[b":", port.to_string().as_bytes()]);
        }
        push(&[b"\r\n"]);
    }
    push(&[b"\r\n"]);
    Ok(head)
}

/// Reads up to the end of the head of the response, behind all that are only provisional.
async fn read_head(socket: &TcpStream) -> io::Result<Response> {
    let mut bytes = Vec::new();
    loop {
        socket.readable().await?;
        if !read_more(socket, &mut bytes)? {
            continue;
        }
        while let Some(response) = parse(&bytes)? {
            let is_provisional =
                response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS;
            if !is_provisional {
                return Ok(response);
            }
            bytes = response.rest;
        }
        if bytes.len() > HEAD_MAX {
            return Err(io::Error::other("the head of the response is too long"));
        }
    }
}

/// Reads what has come. Returns whether anything has.
fn read_more(socket: &TcpStream, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; READ_BYTES];
    match socket.try_read(&mut buffer) {
        Ok(0) => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the connection was closed before the head of the response was whole",
        )),
        Ok(count) => {
            bytes.extend_from_slice(&buffer[..count]);
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// The head at the front of these bytes; `None`: it is not whole.
fn parse(bytes: &[u8]) -> io::Result<Option<Response>> {
    let mut found = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut found);
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let length = match parsed.parse(bytes).map_err(invalid)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(io::Error::other)?;
        headers.append(name, HeaderValue::from_bytes(header.value).map_err(io::Error::other)?);
    }
    Ok(Some(Response {
        version: if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 },
        status: StatusCode::from_u16(parsed.code.unwrap_or_default()).map_err(io::Error::other)?,
        headers,
        rest: bytes[length..].to_vec(),
    }))
}
