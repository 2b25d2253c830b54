//! The whole of *one log, many cursors* as a simulation: a log that is trimmed and reset, a tail that lags and has to
//! jump, a small window, feeds that come, go, resume and fall behind, in random order. Every connection must see
//! strictly increasing ids or a gap that says why not, nothing twice, and nothing lost without a gap. A feed is
//! stepped only when it was woken, so a lost wake-up fails too.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use tokio::time::Instant;

use super::feed::{Feed, FeedLimits, Step, encode};
use super::window::{Slot, Wake, Window, WindowLimits};
use crate::broker::{Entry, Missing, Page};
use crate::protocol::api::GapReason;
use crate::protocol::{Address, Cursor, Epoch, EventType, MessageId, Position, UserId};

/// A log as the contract of the broker describes it, in the simplest form.
struct Log {
    epoch: Epoch,
    entries: Vec<Entry>,
    start: Position,
    newest: Position,
}

impl Log {
    fn new(epoch: u64) -> Self {
        let epoch = Epoch::from_random(epoch);
        Self { epoch, entries: Vec::new(), start: Position::ZERO, newest: Position::ZERO }
    }

    fn append(&mut self, address: Address) {
        self.newest = self.newest.next();
        self.entries.push(Entry {
            cursor: Cursor::new(self.epoch, self.newest),
            message_id: MessageId::parse(&format!("m{}", self.newest.seq)).unwrap(),
            address,
            event_type: EventType::parse("MESSAGE").unwrap(),
            envelope: Arc::from("{}"),
            origin: None,
        });
    }

    fn trim(&mut self, keep: usize) {
        let gone = self.entries.len().saturating_sub(keep);
        if let Some(last) = self.entries.drain(..gone).next_back() {
            self.start = last.cursor.position;
        }
    }

    fn read_after(&self, after: Cursor, limit: usize) -> Page {
        let start = Cursor::new(self.epoch, self.start);
        let gap = |reason| Some(Missing { reason, resumed_after: start, missed: None });
        let (gap, from) = if after.epoch != self.epoch {
            (gap(GapReason::Epoch), self.start)
        } else if after.position < self.start {
            (gap(GapReason::Trimmed), self.start)
        } else {
            (None, after.position)
        };
        let entries =
            self.entries.iter().filter(|entry| entry.cursor.position > from).take(limit).cloned().collect();
        Page { gap, sync: None, entries }
    }
}

/// What one connection saw, and what it was owed.
struct Client {
    feed: Feed,
    wake: Arc<Wake>,
    addresses: Vec<Address>,
    /// Everything up to here was delivered, did not concern it, or was announced as missing.
    settled: Cursor,
    seen: BTreeSet<(Epoch, Position)>,
    asleep: bool,
}

struct World {
    log: Log,
    history: Vec<Entry>,
    window: Window,
    tail: Cursor,
    clients: Vec<Client>,
    limits: FeedLimits,
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Happening {
    Append(u8),
    Tail(usize),
    Trim(usize),
    Reset(u64),
    Connect(u8),
    Reconnect(usize),
    Step(usize),
}

fn address(draw: u8) -> Address {
    match draw % 4 {
        0 => Address::All,
        user => Address::User(UserId::parse(&format!("u{user}")).unwrap()),
    }
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        8 => any::<u8>().prop_map(Happening::Append),
        6 => (1..6_usize).prop_map(Happening::Tail),
        1 => (0..12_usize).prop_map(Happening::Trim),
        1 => any::<u64>().prop_map(Happening::Reset),
        2 => any::<u8>().prop_map(Happening::Connect),
        2 => any::<usize>().prop_map(Happening::Reconnect),
        8 => any::<usize>().prop_map(Happening::Step),
    ];
    prop::collection::vec(one, 0..400)
}

impl World {
    fn new() -> Self {
        let log = Log::new(1);
        let tail = Cursor::start_of(log.epoch);
        let window = Window::new(WindowLimits { frames: 7, bytes: 1 << 20 }, tail);
        let limits = FeedLimits { batch_frames: 3, batch_bytes: 1 << 20, page: 2, lag: 40 };
        Self { log, history: Vec::new(), window, tail, clients: Vec::new(), limits }
    }

    fn happen(&mut self, what: &Happening) {
        match what {
            Happening::Append(draw) => {
                self.log.append(address(*draw));
                self.history.extend(self.log.entries.last().cloned());
            }
            Happening::Tail(limit) => self.tail(*limit),
            Happening::Trim(keep) => self.log.trim(*keep),
            Happening::Reset(epoch) => self.log = Log::new(*epoch),
            Happening::Connect(draw) => self.connect(*draw, None),
            Happening::Reconnect(draw) => {
                if !self.clients.is_empty() {
                    let index = draw % self.clients.len();
                    let client = self.clients.swap_remove(index);
                    self.connect(0, Some(client));
                }
            }
            Happening::Step(draw) => {
                if !self.clients.is_empty() {
                    let index = draw % self.clients.len();
                    self.step(index);
                }
            }
        }
    }

    fn tail(&mut self, limit: usize) {
        let page = self.log.read_after(self.tail, limit);
        let frames = page.entries.iter().map(|entry| Slot::Frame(Arc::new(encode(entry, Instant::now(), 0))));
        let slots: Vec<_> = page.gap.map(Slot::Gap).into_iter().chain(frames).collect();
        if let Some(missing) = page.gap {
            self.tail = missing.resumed_after;
        }
        if let Some(last) = page.entries.last() {
            self.tail = last.cursor;
        }
        if !slots.is_empty() {
            self.window.publish(slots);
        }
    }

    fn connect(&mut self, draw: u8, again: Option<Client>) {
        let addresses = again.as_ref().map_or_else(|| vec![address(draw | 1)], |old| old.addresses.clone());
        let reader = self.window.attach(addresses.clone());
        let wake = reader.wake_handle();
        let client = match again {
            None => {
                let feed = Feed::live(reader, self.limits);
                let settled = feed.cursor();
                Client { feed, wake, addresses, settled, seen: BTreeSet::new(), asleep: false }
            }
            Some(old) => {
                let cursor = old.settled;
                let mut feed = Feed::resume(reader, self.limits, cursor);
                let mut settled = cursor;
                // As the handler of a stream does: the log judges a cursor that is not in the window.
                if feed.is_replaying()
                    && let Some(missing) = self.log.read_after(cursor, 1).gap
                {
                    settled = missing.resumed_after;
                    feed = feed.restart(settled);
                }
                Client { feed, wake, settled, asleep: false, ..old }
            }
        };
        self.clients.push(client);
    }

    /// Lets a feed do one thing, unless it sleeps and nobody woke it; returns whether it did.
    fn step(&mut self, index: usize) -> bool {
        let client = &mut self.clients[index];
        if client.asleep && client.wake.woken().now_or_never().is_none() {
            return false;
        }
        client.asleep = false;
        match client.feed.step() {
            Step::Frames(frames) => {
                for frame in frames {
                    client.deliver(frame.cursor, &frame.address, &self.history);
                }
            }
            Step::Gap(missing) => client.settled = missing.resumed_after,
            Step::ReadLog { after, limit } => {
                let page = self.log.read_after(after, limit.entries);
                let (gap, frames) = client.feed.accept(&page, Instant::now());
                if let Some(missing) = gap {
                    client.settled = missing.resumed_after;
                }
                for frame in frames {
                    client.deliver(frame.cursor, &frame.address, &self.history);
                }
            }
            Step::Idle => {
                client.asleep = true;
                client.claim(client.feed.cursor(), &self.history);
            }
            Step::TooSlow => {
                let client = self.clients.swap_remove(index);
                self.connect(0, Some(client));
            }
        }
        true
    }

    /// Lets everything come to rest, then checks that everybody has everything.
    fn settle(&mut self) {
        for _ in 0..self.log.entries.len() + 2 {
            self.tail(50);
        }
        let mut steps = 0;
        // Every feed gets its turn in every round, so no short cut after the first that moves.
        while (0..self.clients.len()).filter(|index| self.step(*index)).count() > 0 {
            steps += 1;
            assert!(steps < 10_000, "feeds come to rest");
        }
        let newest = Cursor::new(self.log.epoch, self.log.newest);
        for client in &mut self.clients {
            assert!(client.asleep, "a feed at rest sleeps");
            client.claim(newest, &self.history);
        }
    }
}

impl Client {
    fn concerns(&self, address: &Address) -> bool {
        *address == Address::All || self.addresses.contains(address)
    }

    fn deliver(&mut self, cursor: Cursor, address: &Address, history: &[Entry]) {
        assert!(self.concerns(address), "an event for somebody else");
        assert!(self.seen.insert((cursor.epoch, cursor.position)), "{cursor} was delivered twice");
        assert_eq!(cursor.epoch, self.settled.epoch, "another history without a gap");
        assert!(cursor.position > self.settled.position, "{cursor} comes after {}", self.settled);
        let before = Cursor::new(cursor.epoch, cursor.position);
        self.settled_up_to(before, history, Some(cursor));
    }

    /// The connection holds that it has everything up to `cursor`.
    fn claim(&mut self, cursor: Cursor, history: &[Entry]) {
        if cursor.epoch != self.settled.epoch || cursor.position <= self.settled.position {
            return;
        }
        self.settled_up_to(cursor, history, None);
    }

    fn settled_up_to(&mut self, cursor: Cursor, history: &[Entry], except: Option<Cursor>) {
        let lost = history.iter().find(|entry| {
            entry.cursor.epoch == cursor.epoch
                && entry.cursor.position > self.settled.position
                && entry.cursor.position <= cursor.position
                && Some(entry.cursor) != except
                && self.concerns(&entry.address)
        });
        assert!(lost.is_none(), "{} was lost without a gap, up to {cursor}", lost.unwrap().cursor);
        self.settled = cursor;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]
    #[test]
    fn nobody_loses_anything_silently_or_gets_it_twice(what in happenings()) {
        let mut world = World::new();
        for happening in &what {
            world.happen(happening);
        }
        world.settle();
    }
}

/// Found by the simulation: a reader that had read the log beyond the tail was thrown back by the gap that the tail
/// came upon later, and got an event twice.
#[test]
fn a_reader_ahead_of_the_tail_is_not_thrown_back_by_the_tails_gap() {
    use Happening::{Append, Connect, Reset, Step, Tail, Trim};
    let crowd = std::iter::repeat_n(Connect(0), 14);
    let story = [
        Append(48),
        Append(0),
        Append(0),
        Tail(3),
        Connect(0),
        Reset(2),
        Append(0),
        Append(0),
        Connect(0),
        Append(0),
        Connect(0),
        Connect(0),
        Tail(2),
        Connect(0),
        Append(0),
        Tail(2),
        Append(0),
        Append(132),
        Trim(1),
        Connect(0),
        Step(27_852_997_601_693_860),
    ];
    let mut world = World::new();
    for happening in crowd.chain(story) {
        world.happen(&happening);
    }
    world.settle();
}

/// The wake-up protocol under real threads: no reader may sleep through a frame that concerns it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_reader_sleeps_through_its_frame() {
    const EVENTS: usize = 20_000;
    const READERS: u8 = 8;
    let mut log = Log::new(1);
    let window =
        Window::new(WindowLimits { frames: EVENTS + 1, bytes: 1 << 30 }, Cursor::start_of(log.epoch));
    for draw in 0..EVENTS {
        log.append(address(u8::try_from(draw % 251).unwrap()));
    }
    let mut readers = tokio::task::JoinSet::new();
    for draw in 0..READERS {
        let mut reader = window.attach(vec![address(draw)]);
        let mine = |entry: &&Entry| entry.address == Address::All || entry.address == address(draw);
        let owed = log.entries.iter().filter(mine).count();
        readers.spawn(async move {
            let mut got = 0;
            while got < owed {
                match reader.take(16, 1 << 20) {
                    super::window::Taken::Frames(frames) => got += frames.len(),
                    super::window::Taken::Idle => reader.wake_handle().woken().await,
                    other => panic!("{other:?}"),
                }
            }
            got
        });
    }
    let publisher = window.clone();
    let publishing = tokio::task::spawn_blocking(move || {
        for entries in log.entries.chunks(3) {
            let frame = |entry| Slot::Frame(Arc::new(encode(entry, Instant::now(), 0)));
            publisher.publish(entries.iter().map(frame).collect());
        }
    });
    publishing.await.unwrap();
    let all = async { while readers.join_next().await.is_some() {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), all)
        .await
        .expect("a reader slept through its frame");
}
