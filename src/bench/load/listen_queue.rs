//! Connects that a listener of the bench itself (a fault proxy, the load balancer) could not take because its queue was full.
//! The kernel of the client asks again a second later, and the server would get the blame. Only Linux tells. Read
//! [`ListenQueues`] first.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// Where Linux counts connects that met a full queue, of all listeners in this network namespace together.
const COUNTERS: &str = "/proc/self/net/netstat";
/// Families, protocols and message types of Linux: `netlink`, `sock_diag`.
const AF_NETLINK: i32 = 16;
const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_SKMEMINFO: u16 = 7;
/// Bytes of the fixed parts of a message.
const HEADER: usize = 16;
const INET_DIAG_MSG: usize = 72;
/// Where the number of dropped segments stands in the attribute of a socket's memory.
const DROPS_AT: usize = 8 * 4;
/// The kernel answers at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Some listeners, from now on.
#[derive(Debug)]
pub struct ListenQueues {
    /// Each with its name and port.
    listeners: Vec<(String, u16)>,
    overflows: u64,
}

impl ListenQueues {
    /// Watches these listeners, which are new.
    #[must_use]
    pub fn watch(listeners: Vec<(String, u16)>) -> Self {
        Self { listeners, overflows: overflows() }
    }

    /// The listeners that turned connects away since, each with how many.
    #[must_use]
    pub fn turned_away(&self) -> Vec<(String, u64)> {
        let overflows = overflows().saturating_sub(self.overflows);
        if overflows == 0 {
            return Vec::new();
        }
        let dropped = dropped_by_port().unwrap_or_default();
        turned_away(&self.listeners, overflows, &dropped)
    }
}

/// A listener also drops segments for other reasons: no more than all overflows together were connects.
fn turned_away(
    listeners: &[(String, u16)],
    overflows: u64,
    dropped: &BTreeMap<u16, u64>,
) -> Vec<(String, u64)> {
    let of = |(name, port): &(String, u16)| Some((name.clone(), (*dropped.get(port)?).min(overflows)));
    listeners.iter().filter_map(of).filter(|(_, count)| *count > 0).collect()
}

fn overflows() -> u64 {
    let text = std::fs::read_to_string(COUNTERS).unwrap_or_default();
    counter(&text, "TcpExt:", "ListenOverflows").unwrap_or(0)
}

/// A counter in a file of pairs of lines: names, and below them numbers.
fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let place = names.split_whitespace().position(|word| word == name)?;
    numbers.split_whitespace().nth(place)?.parse().ok()
}

/// Segments that the listeners on IPv4 addresses have dropped, by port.
fn dropped_by_port() -> std::io::Result<BTreeMap<u16, u64>> {
    let protocol = Protocol::from(NETLINK_SOCK_DIAG);
    let mut socket = Socket::new(Domain::from(AF_NETLINK), Type::DGRAM, Some(protocol))?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    socket.write_all(&question())?;
    let mut found = BTreeMap::new();
    let mut answer = vec![0; 64 * 1024];
    loop {
        let length = socket.read(&mut answer)?;
        if !read_answer(&answer[..length], &mut found) {
            return Ok(found);
        }
    }
}

/// Asks for all listening TCP sockets with their memory.
fn question() -> Vec<u8> {
    const LENGTH: u32 = 72;
    const REQUEST_DUMP: u16 = 0x301;
    const AF_INET: u8 = 2;
    const TCP: u8 = 6;
    const LISTENING: u32 = 1 << 10;
    let mut bytes = LENGTH.to_ne_bytes().to_vec();
    bytes.extend([SOCK_DIAG_BY_FAMILY, REQUEST_DUMP].iter().flat_map(|number| number.to_ne_bytes()));
    // Sequence number and sender; the kernel fills in the latter.
    bytes.extend([0; 8]);
    bytes.extend([AF_INET, TCP, 1 << (INET_DIAG_SKMEMINFO - 1), 0]);
    bytes.extend(LISTENING.to_ne_bytes());
    // Any addresses and ports.
    bytes.resize(72, 0);
    bytes
}

/// Reads one datagram. Returns whether more follow.
fn read_answer(mut bytes: &[u8], found: &mut BTreeMap<u16, u64>) -> bool {
    while let Some(length) = number32(bytes, 0) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(message) = bytes.get(..length).filter(|message| message.len() >= HEADER) else {
            return false;
        };
        if number16(message, 4) != Some(SOCK_DIAG_BY_FAMILY) {
            return false;
        }
        let port = message.get(HEADER + 4..HEADER + 6).map(|port| u16::from_be_bytes([port[0], port[1]]));
        let attributes = message.get(HEADER + INET_DIAG_MSG..).unwrap_or_default();
        if let Some((port, dropped)) = port.zip(dropped(attributes)) {
            *found.entry(port).or_default() += u64::from(dropped);
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    true
}

/// The dropped segments among the attributes of a socket.
fn dropped(mut attributes: &[u8]) -> Option<u32> {
    loop {
        let length = usize::from(number16(attributes, 0)?);
        if number16(attributes, 2)? == INET_DIAG_SKMEMINFO {
            return number32(attributes, 4 + DROPS_AT);
        }
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

fn number16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn number32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(listeners: &[(&str, u16)]) -> Vec<(String, u16)> {
        listeners.iter().map(|(name, port)| ((*name).to_owned(), *port)).collect()
    }

    #[test]
    fn the_counter_is_read_by_its_name_as_linux_writes_it() {
        let text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 72 73\nIpExt: InNoRoutes\nIpExt: 4\n";
        assert_eq!(counter(text, "TcpExt:", "ListenOverflows"), Some(72));
        assert_eq!(counter(text, "IpExt:", "InNoRoutes"), Some(4));
        for text in ["", "TcpExt: ListenOverflows\n", "TcpExt: Other\nTcpExt: 1\n"] {
            assert_eq!(counter(text, "TcpExt:", "ListenOverflows"), None, "{text}");
        }
    }

    #[test]
    fn a_listener_is_blamed_for_its_own_drops_and_for_no_more_than_all_overflows() {
        let all = named(&[("a", 1), ("b", 2), ("c", 3), ("gone", 4)]);
        let dropped = BTreeMap::from([(1, 0), (2, 9), (3, 2), (5, 7)]);
        let blamed = turned_away(&all, 5, &dropped);
        assert_eq!(blamed, [("b".to_owned(), 5), ("c".to_owned(), 2)]);
    }

    #[test]
    fn an_answer_that_is_cut_anywhere_is_no_panic() {
        let mut message = 128_u32.to_ne_bytes().to_vec();
        message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        message.resize(HEADER, 0);
        message.extend([2, 10, 0, 0, 0x1f, 0x90]);
        message.resize(HEADER + INET_DIAG_MSG, 0);
        message.extend([40_u16, INET_DIAG_SKMEMINFO].iter().flat_map(|number| number.to_ne_bytes()));
        message.resize(128 - 4, 0);
        message.extend(3_u32.to_ne_bytes());
        let mut found = BTreeMap::new();
        assert!(read_answer(&message, &mut found));
        assert_eq!(found, BTreeMap::from([(8_080, 3)]));
        for length in 0..message.len() {
            let mut found = BTreeMap::new();
            read_answer(&message[..length], &mut found);
            assert!(found.is_empty(), "{length}");
        }
    }

    #[test]
    fn connects_that_meet_a_full_queue_are_counted_at_their_listener() {
        let listener = |queue| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
            socket.listen(queue).unwrap();
            let address = socket.local_addr().unwrap();
            (socket, address.clone(), address.as_socket().unwrap().port())
        };
        let (narrow, busy, port) = listener(1);
        let (_wide, _, other) = listener(100);
        if let Err(error) = dropped_by_port() {
            println!("skipped: the kernel does not tell what listeners drop: {error}");
            return;
        }
        let queues = ListenQueues::watch(named(&[("busy", port), ("idle", other)]));
        let mut connects = Vec::new();
        for _ in 0..6 {
            let connect = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            connect.set_nonblocking(true).unwrap();
            // It goes on in the background, for ever where the queue is full.
            let _in_progress = connect.connect(&busy);
            connects.push(connect);
        }
        let blamed = queues.turned_away();
        assert!(matches!(&blamed[..], [(name, 1..)] if name == "busy"), "{blamed:?}");
        drop(narrow);
    }
}
