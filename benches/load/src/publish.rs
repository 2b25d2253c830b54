//! Publishers: an open loop of connections that each send one request at a time, when it is due. Read [`run`] first.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::plan::{Histogram, Plan, Stamp, fill};
use crate::server::clock;

/// To whom the events of a kind go.
#[derive(Clone, Copy, PartialEq)]
pub enum Reach {
    All,
    Topic,
    Client,
}

/// One kind of publish in one step.
pub struct Group<'a> {
    template: &'a str,
    pub reach: Reach,
    /// Number of its first connection.
    pub first: usize,
    /// Events a second.
    pub rate: f64,
    pub seconds: f64,
    /// Events that are due.
    pub events: u64,
    /// How many addresses it has.
    pub addresses: usize,
}

impl<'a> Group<'a> {
    pub fn new(
        template: &'a str,
        first: usize,
        rate: f64,
        seconds: f64,
        plan: &Plan,
        streams: usize,
    ) -> Self {
        let (reach, addresses) = match template {
            text if text.contains("{c}") => (Reach::Client, if plan.apart > 0 { plan.apart } else { streams }),
            text if text.contains("{t}") => (Reach::Topic, plan.topics),
            _ => (Reach::All, 1),
        };
        Self { template, reach, first, rate, seconds, events: (rate * seconds).round() as u64, addresses }
    }
}

/// What publishers have done.
#[derive(Default)]
pub struct Published {
    pub accepted: AtomicU64,
    pub refused: AtomicU64,
}

/// Events that a connection has published to each address so far, those of this step, and how long the answers took.
pub type Sent = (Vec<u32>, u64, Histogram);

/// Publishes the share of one connection, and says what went where. `seqs` goes on from step to step.
pub fn run(
    plan: &Plan,
    group: &Group<'_>,
    connection: usize,
    mut seqs: Vec<u32>,
    start: Instant,
    published: &Published,
) -> Sent {
    let address = plan.publish_to[connection % plan.publish_to.len()];
    let mut socket = connect(address);
    let (mut answers, mut head) = (Histogram::new(), Vec::with_capacity(1024));
    let mut sent = 0;
    seqs.resize(group.addresses, 0);
    // Whoever cannot keep up is not waited for.
    let last = start + Duration::from_secs_f64(1.5 * group.seconds);
    for number in (connection as u64..group.events).step_by(plan.connections) {
        let due = start + Duration::from_secs_f64(number as f64 / group.rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // Spread over all clients; topics in turn.
        let to = match group.reach {
            Reach::Client => (number.wrapping_mul(7_919) % group.addresses as u64) as usize,
            _ => (number % group.addresses as u64) as usize,
        };
        // A late publisher is charged to the server. That a timer is late is not.
        let now = Instant::now();
        if now > last {
            break;
        }
        let late = (now - due).as_nanos() as u64;
        let at = clock() - if late < 1_000_000 { 0 } else { late };
        let payload = Stamp { at, publisher: group.first + connection, seq: seqs[to] }.payload(plan.size);
        match post(&mut socket, address, &request(group.template, to, &payload), &mut head) {
            true => _ = published.accepted.fetch_add(1, Relaxed),
            false => _ = published.refused.fetch_add(1, Relaxed),
        }
        seqs[to] += 1;
        sent += 1;
        answers.add((Instant::now() - now).as_nanos() as u64);
    }
    (seqs, sent, answers)
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("the server listens");
    socket
        .set_nodelay(true)
        .and_then(|()| socket.set_read_timeout(Some(Duration::from_secs(30))))
        .expect("options");
    socket
}

fn request(template: &str, to: usize, payload: &str) -> Vec<u8> {
    let filled = fill(template, to, to).replace("{payload}", payload);
    let (head, body) = filled.split_once("\n\n").expect("a blank line in front of the body");
    let (path, headers) = head.split_once('\n').unwrap_or((head, ""));
    let headers: String = headers.lines().map(|line| format!("{line}\r\n")).collect();
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// Whether the server accepted it.
fn post(socket: &mut TcpStream, address: SocketAddr, request: &[u8], answer: &mut Vec<u8>) -> bool {
    answer.clear();
    if socket.write_all(request).is_err() {
        *socket = connect(address);
        return false;
    }
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) | Err(_) => {
                *socket = connect(address);
                return false;
            }
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
        }
        let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        if answer.len() >= end + 4 + length.unwrap_or(0) {
            return head.split(' ').nth(1).is_some_and(|status| status.starts_with('2'));
        }
    }
}
