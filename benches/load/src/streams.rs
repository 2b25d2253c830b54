//! The streams: one epoll, one receive for each delivery, and no decoder. A delivery is a stamp in the bytes; whether each
//! stream had every stamp once and in order is counted as they come. Read [`Streams::turn`] first.

use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use crate::plan::{Histogram, STAMP, Stamp};
use crate::server::clock;

/// Events that one look at the epoll takes.
const EVENTS: usize = 1024;
/// Connections that publish, of all kinds.
pub const PUBLISHERS: usize = 24;

#[derive(Default)]
pub struct Stream {
    /// `None` once the server has ended it.
    pub fd: Option<OwnedFd>,
    request: Option<Vec<u8>>,
    pub is_open: bool,
    /// The begin of a stamp that came in two parts.
    carry: Vec<u8>,
    /// The next stamp of each publisher.
    pub next: [u32; PUBLISHERS],
    /// The newest id, if ids are kept.
    pub id: Vec<u8>,
}

pub struct Streams {
    epoll: OwnedFd,
    buffer: Vec<u8>,
    pub all: Vec<Stream>,
    pub keeps_ids: bool,
    /// Of these streams what comes is not read.
    pub stalled: std::ops::Range<usize>,
    pub opened: usize,
    pub ended: usize,
    pub refused: usize,
    pub received: u64,
    pub bytes: u64,
    pub missed: u64,
    pub again: u64,
    /// One for each kind of publish.
    pub latencies: Vec<Histogram>,
    pub group_of: [usize; PUBLISHERS],
    pub newest: Instant,
}

impl Streams {
    pub fn new() -> Self {
        Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).expect("a descriptor"),
            buffer: vec![0; 256 * 1024],
            all: Vec::new(),
            keeps_ids: false,
            stalled: 0..0,
            opened: 0,
            ended: 0,
            refused: 0,
            received: 0,
            bytes: 0,
            missed: 0,
            again: 0,
            latencies: vec![Histogram::new()],
            group_of: [0; PUBLISHERS],
            newest: Instant::now(),
        }
    }

    /// Starts to connect; the request goes when the connection is there. A new stream expects the stamps that are `next`;
    /// one that comes back knows. `small` is a socket that holds little.
    pub fn open(
        &mut self,
        address: SocketAddr,
        request: Vec<u8>,
        index: usize,
        next: &[u32; PUBLISHERS],
        small: bool,
    ) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd =
            net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("a descriptor");
        if small {
            sockopt::set_socket_recv_buffer_size(&fd, 16 * 1024).expect("an option");
        }
        match net::connect(&fd, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => panic!("connect: {error}"),
        }
        watch(&self.epoll, &fd, index);
        if index == self.all.len() {
            self.all.push(Stream { next: *next, ..Stream::default() });
        }
        let stream = &mut self.all[index];
        stream.carry.clear();
        (stream.fd, stream.request, stream.is_open) = (Some(fd), Some(request), false);
    }

    /// The first streams, for somebody else to read until they [come back](Self::join).
    pub fn split(&mut self, count: usize) -> Self {
        let mut apart = Self::new();
        (apart.latencies, apart.group_of) = (self.latencies.clone(), self.group_of);
        apart.all = self.all.iter_mut().take(count).map(std::mem::take).collect();
        for (index, stream) in apart.all.iter().enumerate() {
            let Some(fd) = &stream.fd else { continue };
            epoll::delete(&self.epoll, fd).expect("it was added");
            watch(&apart.epoll, fd, index);
        }
        apart
    }

    /// Takes back what was [split off](Self::split).
    pub fn join(&mut self, apart: Self) {
        self.received += apart.received;
        self.bytes += apart.bytes;
        self.missed += apart.missed;
        self.again += apart.again;
        self.ended += apart.ended;
        self.newest = self.newest.max(apart.newest);
        self.latencies.iter_mut().zip(&apart.latencies).for_each(|(own, other)| own.merge(other));
        for (index, stream) in apart.all.into_iter().enumerate() {
            if let Some(fd) = &stream.fd {
                epoll::delete(&apart.epoll, fd).expect("it was added");
                watch(&self.epoll, fd, index);
            }
            self.all[index] = stream;
        }
    }

    /// Waits at most this long, and reads what is there. Whether there was anything.
    pub fn turn(&mut self, ms: i64) -> bool {
        let limit = Timespec { tv_sec: ms / 1_000, tv_nsec: ms % 1_000 * 1_000_000 };
        let mut room = [const { MaybeUninit::uninit() }; EVENTS];
        let events = epoll::wait(&self.epoll, &mut room[..], Some(&limit)).map_or(&[][..], |(events, _)| events);
        for event in events {
            let (index, flags) = (event.data.u64() as usize, event.flags);
            if flags.contains(epoll::EventFlags::OUT)
                && let Some(request) = self.all[index].request.take()
            {
                let fd = self.all[index].fd.as_ref().expect("it has just been opened");
                if net::send(fd, &request, SendFlags::NOSIGNAL) != Ok(request.len()) {
                    self.all[index].request = Some(request);
                }
            }
            let readable = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::HUP;
            if flags.intersects(readable) && !self.stalled.contains(&index) {
                self.read(index);
            }
        }
        !events.is_empty()
    }

    /// Everything that has come for a stream.
    pub fn read(&mut self, index: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            let stream = &mut self.all[index];
            let Some(fd) = &stream.fd else { break };
            match net::recv(fd, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => self.end(index),
                Ok((read, _)) => {
                    self.bytes += read as u64;
                    self.take(index, &buffer[..read]);
                    // A short read has emptied the socket.
                    if read == buffer.len() {
                        continue;
                    }
                }
                Err(Errno::AGAIN) => {}
                Err(_) => self.end(index),
            }
            break;
        }
        self.buffer = buffer;
    }

    fn end(&mut self, index: usize) {
        self.all[index].fd = None;
        self.ended += 1;
    }

    pub fn take(&mut self, index: usize, bytes: &[u8]) {
        let stream = &mut self.all[index];
        if stream.carry.is_empty() {
            return self.scan(index, bytes);
        }
        let mut whole = std::mem::take(&mut stream.carry);
        whole.extend_from_slice(bytes);
        self.scan(index, &whole);
    }

    fn scan(&mut self, index: usize, bytes: &[u8]) {
        let stream = &mut self.all[index];
        let mut at = 0;
        if !stream.is_open {
            let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
                return stream.carry = bytes.to_vec();
            };
            let is_ok = bytes.get(9..12) == Some(b"200".as_slice());
            (stream.is_open, at) = (true, end);
            self.opened += 1;
            self.refused += usize::from(!is_ok);
        }
        let (now, ns) = (Instant::now(), clock());
        while let Some(found) = memchr::memchr(b'~', &bytes[at..]) {
            at += found + 1;
            let Some(text) = bytes.get(at..at + STAMP) else {
                stream.carry = bytes[at - 1..].to_vec();
                break;
            };
            let Some(stamp) = Stamp::read(text).filter(|stamp| stamp.publisher < PUBLISHERS) else {
                continue;
            };
            at += STAMP;
            let next = &mut stream.next[stamp.publisher];
            if stamp.seq < *next {
                self.again += 1;
                continue;
            }
            self.missed += u64::from(stamp.seq - *next);
            *next = stamp.seq + 1;
            self.received += 1;
            self.newest = now;
            self.latencies[self.group_of[stamp.publisher]].add(ns.saturating_sub(stamp.at));
        }
        // In an envelope a quote stands between.
        if self.keeps_ids
            && let Some(begin) = memchr::memmem::rfind(bytes, b"id:")
            && let Some(length) = memchr::memchr(b'\n', &bytes[begin + 3..])
        {
            stream.id = bytes[begin + 3..begin + 3 + length].trim_ascii().to_vec();
        }
    }
}

fn watch(epoll: &OwnedFd, fd: &OwnedFd, index: usize) {
    let edges =
        epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
    epoll::add(epoll, fd, epoll::EventData::new_u64(index as u64), edges).expect("room in the epoll");
}
