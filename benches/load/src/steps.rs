//! The steps of a measurement. Read [`Bench::step`] first.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv, sockopt};

use crate::plan::{Histogram, Plan, fill};
use crate::publish::{Group, Published, Reach, run};
use crate::server::{clock, cpu, memory};
use crate::streams::{PUBLISHERS, Streams};

/// Nothing comes any more when nothing has come for so long.
const SILENCE: Duration = Duration::from_secs(5);

pub struct Bench<'a> {
    plan: &'a Plan,
    streams: Streams,
    /// What each publisher has sent to each of its addresses, and to whom its events go.
    sent: Vec<(Vec<u32>, Reach)>,
}

impl<'a> Bench<'a> {
    pub fn new(plan: &'a Plan) -> Self {
        let sent = vec![(Vec::new(), Reach::All); PUBLISHERS];
        Self { plan, streams: Streams::new(), sent }
    }

    /// | step | what it does |
    /// |---|---|
    /// | `open N [AT_ONCE]` | opens N streams more |
    /// | `rest S` | reads for S seconds |
    /// | `load S KIND RATE …` | publishes for S seconds, and reads until everything is there, or nothing comes any more |
    /// | `storm EVENTS KIND` | resets all streams, publishes, opens them again at once with their last ids |
    /// | `bare ADDRESS RATE S` | Redis' own `PUBLISH` to `SUBSCRIBE` |
    /// | `stall EVENTS KIND` | one stream more, which is not read while that many events are published; then it is |
    pub fn step(&mut self, words: &[String]) -> String {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let began = Instant::now();
        let (spent, own) = (cpu(&self.plan.pids), cpu(&[std::process::id()]));
        let figures = match words[..] {
            ["open", count] => self.open(number(count), 256),
            ["open", count, at_once] => self.open(number(count), number(at_once)),
            ["rest", seconds] => self.rest(Duration::from_secs_f64(seconds.parse().expect("seconds"))),
            ["load", seconds, ref kinds @ ..] => self.load(seconds.parse().expect("seconds"), kinds),
            ["storm", events, kind] => self.storm(events, kind),
            ["bare", address, rate, seconds] => bare(address, number(rate), number(seconds)),
            ["stall", events, kind] => self.stall(events, kind),
            _ => panic!("no step: {words:?}"),
        };
        let spent = cpu(&self.plan.pids) - spent;
        let own = cpu(&[std::process::id()]) - own;
        let (took, memory) = (began.elapsed().as_secs_f64(), memory(&self.plan.pids));
        format!(
            "{{\"step\":\"{}\",\"took\":{took:.4},\"cpu\":{spent:.6},\"own_cpu\":{own:.6},\"memory\":{memory}{figures}}}",
            words.join(" ")
        )
    }

    fn request(&self, index: usize) -> Vec<u8> {
        let path = fill(&self.plan.sub, index, index % self.plan.topics);
        let id = self.streams.all.get(index).map_or(&[][..], |stream| &stream.id);
        let id = match String::from_utf8_lossy(id) {
            id if id.is_empty() => String::new(),
            id => format!("last-event-id: {id}\r\n"),
        };
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n{id}\r\n").into_bytes()
    }

    fn open(&mut self, count: usize, at_once: usize) -> String {
        let first = self.streams.all.len();
        let began = Instant::now();
        self.connect(first, count, at_once);
        let seconds = began.elapsed().as_secs_f64();
        self.until(Duration::from_millis(300), |_| false);
        format!(",\"streams\":{count},\"seconds\":{seconds:.4},\"refused\":{}", self.streams.refused)
    }

    fn connect(&mut self, first: usize, count: usize, at_once: usize) {
        let (already, mut asked) = (self.streams.opened, 0);
        let mut newest = Instant::now();
        while self.streams.opened - already < count {
            while asked < count && asked < self.streams.opened - already + at_once {
                let index = first + asked;
                let address = self.plan.to[index % self.plan.to.len()];
                self.streams.open(address, self.request(index), index, &self.already_sent(index), false);
                asked += 1;
                newest = Instant::now();
            }
            if self.streams.turn(100) {
                newest = Instant::now();
            }
            assert!(
                newest.elapsed() < Duration::from_secs(20),
                "{} of {count} are open",
                self.streams.opened - already
            );
        }
    }

    /// Reads until it is so, or nothing has come for a while.
    fn until(&mut self, silence: Duration, is_so: impl Fn(&Streams) -> bool) -> bool {
        let mut newest = Instant::now();
        while !is_so(&self.streams) {
            if self.streams.turn(20) {
                newest = Instant::now();
            } else if newest.elapsed() > silence {
                return false;
            }
        }
        true
    }

    fn rest(&mut self, time: Duration) -> String {
        let (end, bytes) = (Instant::now() + time, self.streams.bytes);
        while Instant::now() < end {
            self.streams.turn(20);
        }
        format!(",\"bytes\":{}", self.streams.bytes - bytes)
    }

    /// Publishes, and reads meanwhile. Ends when everything is there.
    fn load(&mut self, seconds: f64, kinds: &[&str]) -> String {
        let (plan, count) = (self.plan, self.streams.all.len());
        let groups: Vec<_> = kinds
            .chunks(2)
            .enumerate()
            .map(|(index, kind)| {
                let template = plan.kinds.get(kind[0]).unwrap_or_else(|| panic!("no pub:{}", kind[0]));
                let rate = kind[1].parse().expect("events a second");
                Group::new(template, index * plan.connections, rate, seconds, plan, count)
            })
            .collect();
        self.streams.latencies = vec![Histogram::new(); groups.len()];
        for (index, group) in groups.iter().enumerate() {
            self.streams.group_of[group.first..group.first + plan.connections].fill(index);
        }
        let (received, bytes) = (self.streams.received, self.streams.bytes);
        let start = Instant::now() + Duration::from_millis(20);
        let published = Published::default();
        let mut answers = vec![Histogram::new(); groups.len()];
        let (mut took, mut expected) = (0.0, 0);
        let is_published = AtomicBool::new(false);
        let mut apart = self.streams.split(plan.apart);
        let apart = std::thread::scope(|scope| {
            // Without streams it looks up 50 times a second.
            let reader = scope.spawn(|| {
                while !is_published.load(Relaxed) {
                    apart.turn(20);
                }
                apart
            });
            let mut threads = Vec::new();
            for group in &groups {
                let receivers = match group.reach {
                    _ if count == 0 => 0,
                    Reach::All => count,
                    Reach::Topic => count / plan.topics,
                    Reach::Client => 1,
                };
                for connection in 0..plan.connections {
                    let seqs = std::mem::take(&mut self.sent[group.first + connection].0);
                    let published = &published;
                    let thread = scope.spawn(move || run(plan, group, connection, seqs, start, published));
                    threads.push((group.first + connection, group.reach, receivers as u64, thread));
                }
            }
            while !threads.iter().all(|(.., thread)| thread.is_finished()) {
                self.streams.turn(20);
            }
            took = start.elapsed().as_secs_f64();
            is_published.store(true, Relaxed);
            for (publisher, reach, receivers, thread) in threads {
                let (seqs, count_sent, histogram) = thread.join().expect("a publisher");
                expected += count_sent * receivers;
                self.sent[publisher] = (seqs, reach);
                answers[publisher / plan.connections].merge(&histogram);
            }
            reader.join().expect("the other reader")
        });
        self.streams.join(apart);
        let goal = received + expected;
        let last = start + Duration::from_secs_f64(3.0 * seconds + 5.0);
        self.until(SILENCE, |streams| streams.received >= goal || Instant::now() > last);
        let got = self.streams.received - received;
        let whole = (self.streams.newest.max(start) - start).as_secs_f64();
        let mut text = format!(
            ",\"expected\":{expected},\"deliveries\":{got},\"seconds\":{whole:.4},\"publishing\":{took:.4},\"accepted\":{},\
             \"refused\":{},\"bytes\":{},\"lost\":{},\"again\":{}",
            published.accepted.into_inner(),
            published.refused.into_inner(),
            self.streams.bytes - bytes,
            self.lost(),
            self.streams.again,
        );
        for (index, (histogram, kind)) in self.streams.latencies.iter().zip(kinds.chunks(2)).enumerate() {
            quantiles(&mut text, kind[0], histogram);
            quantiles(&mut text, &format!("{}_answer", kind[0]), &answers[index]);
        }
        text
    }

    /// How many events each publisher has sent to a stream.
    fn already_sent(&self, index: usize) -> [u32; PUBLISHERS] {
        std::array::from_fn(|publisher| {
            let (seqs, reach) = &self.sent[publisher];
            let address = match reach {
                Reach::All => 0,
                Reach::Topic => index % self.plan.topics,
                Reach::Client => index,
            };
            seqs.get(address).copied().unwrap_or(0)
        })
    }

    /// Stamps that streams have not got, of all that was sent since they were opened.
    fn lost(&self) -> u64 {
        let streams = self.streams.all.iter().enumerate();
        let lacking = streams.map(|(index, stream)| {
            let pairs = self.already_sent(index).into_iter().zip(stream.next);
            pairs.map(|(sent, next)| u64::from(sent.saturating_sub(next))).sum::<u64>()
        });
        lacking.sum::<u64>() + self.streams.missed
    }

    fn storm(&mut self, events: &str, kind: &str) -> String {
        let count = self.streams.all.len();
        self.streams.keeps_ids = true;
        // Events by which everybody has an id to come back with.
        for _ in 0..3 {
            self.load(0.1, &[kind, "100"]);
        }
        for stream in &mut self.streams.all {
            if let Some(fd) = stream.fd.take() {
                sockopt::set_socket_linger(&fd, Some(Duration::ZERO)).expect("an option");
            }
        }
        let missed = self.streams.received + number(events) as u64 * count as u64;
        // Nobody is there to get them, so nothing is waited for.
        let streams = std::mem::take(&mut self.streams.all);
        self.load(1.0, &[kind, events]);
        self.streams.all = streams;
        let (spent, began) = (cpu(&self.plan.pids), Instant::now());
        self.connect(0, count, count);
        let connected = began.elapsed().as_secs_f64();
        let all = self.until(SILENCE, |streams| streams.received >= missed);
        let seconds = (self.streams.newest.max(began) - began).as_secs_f64();
        let spent = cpu(&self.plan.pids) - spent;
        format!(
            ",\"all\":{all},\"connected\":{connected:.4},\"seconds\":{seconds:.4},\"storm_cpu\":{spent:.4},\"lost\":{}",
            self.lost()
        )
    }

    fn stall(&mut self, events: &str, kind: &str) -> String {
        let index = self.streams.all.len();
        let request = self.request(index);
        self.streams.open(self.plan.to[0], request, index, &self.already_sent(index), true);
        let opened = self.streams.opened + 1;
        self.until(SILENCE, |streams| streams.opened >= opened);
        self.streams.stalled = index..index + 1;
        let others = self.load(4.0, &[kind, &(number(events) as f64 / 4.0).to_string()]);
        let (mut told, mut bytes) = (String::new(), vec![0; 256 * 1024]);
        let mut newest = Instant::now();
        while newest.elapsed() < Duration::from_secs(2) {
            let fd = self.streams.all[index].fd.as_ref().expect("it was not read");
            match recv(fd, &mut bytes[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) | Err(Errno::CONNRESET) => {
                    told.push_str(" closed");
                    break;
                }
                Ok((read, _)) => {
                    newest = Instant::now();
                    for word in ["event: GAP", "event: CLOSE"] {
                        if memchr::memmem::find(&bytes[..read], word.as_bytes()).is_some()
                            && !told.contains(word)
                        {
                            write!(told, " {word}").expect("a text takes text");
                        }
                    }
                    let part = bytes[..read].to_vec();
                    self.streams.take(index, &part);
                }
                Err(Errno::AGAIN) => std::thread::sleep(Duration::from_millis(5)),
                Err(error) => panic!("the stalled reader: {error}"),
            }
        }
        format!("{others},\"told\":\"{}\",\"missed\":{}", told.trim(), self.lost())
    }
}

/// From a publish to its receipt in Redis, without anybody between.
fn bare(address: &str, rate: usize, seconds: usize) -> String {
    let connect = || {
        let socket = TcpStream::connect(address).expect("Redis listens");
        socket.set_nodelay(true).expect("an option");
        socket
    };
    let (mut reader, mut writer) = (connect(), connect());
    let (mut buffer, mut histogram) = ([0; 4096], Histogram::new());
    reader.write_all(b"SUBSCRIBE bare\r\n").expect("Redis reads");
    _ = reader.read(&mut buffer).expect("Redis answers");
    for _ in 0..rate * seconds {
        std::thread::sleep(Duration::from_secs_f64(1.0 / rate as f64));
        let sent = clock();
        writer.write_all(format!("PUBLISH bare {:x<140}\r\n", "").as_bytes()).expect("Redis reads");
        _ = reader.read(&mut buffer).expect("Redis publishes");
        histogram.add(clock() - sent);
        _ = writer.read(&mut buffer).expect("Redis answers");
    }
    let mut text = String::new();
    quantiles(&mut text, "all", &histogram);
    text
}

fn quantiles(text: &mut String, name: &str, histogram: &Histogram) {
    for (label, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
        let value = histogram.quantile(share);
        if value.is_finite() {
            write!(text, ",\"{name}_{label}\":{value:.4}").expect("a text takes text");
        }
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}
