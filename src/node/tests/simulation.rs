//! The whole of *one log, many cursors* as a simulation: a log that is trimmed and reset, a tail that lags and has to
//! jump, that loses its newest entries and gets them back under another epoch, a small window, feeds that come, go,
//! resume and fall behind, in random order. Every connection must see strictly increasing ids or a gap that says why
//! not, nothing twice, and nothing lost without a gap. A feed is stepped only when it was woken, so a lost wake-up
//! fails too.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use tokio::time::Instant;

use crate::broker::{Entry, Missing, Origins, Page, Synced};
use crate::node::feed::{Accepted, Feed, FeedLimits, Step, encode};
use crate::node::window::{Slot, Taken, Wake, Window, WindowFrame, WindowLimits};
use crate::protocol::api::GapReason;
use crate::protocol::{Address, Cursor, Epoch, EventType, MessageId, Position, UserId};

/// A log as the contract of the broker describes it, in the simplest form.
struct Log {
    epoch: Epoch,
    entries: Vec<Entry>,
    start: Position,
    newest: Position,
    /// Where older histories ended, and which came after.
    ends: Ends,
    /// What was lost and has yet to come again.
    lost: VecDeque<Entry>,
    appended: u64,
}

impl Log {
    fn new(epoch: u64) -> Self {
        Self {
            epoch: Epoch::from_random(epoch),
            entries: Vec::new(),
            start: Position::ZERO,
            newest: Position::ZERO,
            ends: HashMap::new(),
            lost: VecDeque::new(),
            appended: 0,
        }
    }

    fn append(&mut self, address: Address) {
        self.newest = self.newest.next();
        self.appended += 1;
        self.entries.push(Entry {
            cursor: Cursor::new(self.epoch, self.newest),
            message_id: MessageId::parse(&format!("m{}-{}", self.epoch, self.appended)).unwrap(),
            address,
            event_type: EventType::parse("MESSAGE").unwrap(),
            envelope: Arc::from("{}"),
            origins: Origins::default(),
        });
    }

    /// Another server rules, and lacks the newest entries. Nodes that had them will append them again.
    fn fail_over(&mut self, lacks: usize) {
        let old = self.epoch;
        self.epoch = Epoch::from_random(rand::random());
        let kept = self.entries.len().saturating_sub(lacks);
        self.lost.extend(self.entries.drain(kept..));
        self.newest = self.entries.last().map_or(self.start, |entry| entry.cursor.position);
        self.ends.insert(old, Cursor::new(self.epoch, self.newest));
        self.entries.iter_mut().for_each(|entry| entry.cursor.epoch = self.epoch);
    }

    /// Some of what was lost comes again, behind what has come since.
    fn repair(&mut self, count: usize) {
        for _ in 0..count {
            let Some(entry) = self.lost.pop_front() else { return };
            self.newest = self.newest.next();
            let cursor = Cursor::new(self.epoch, self.newest);
            self.entries.push(Entry { cursor, origins: entry.origins.with(entry.cursor), ..entry });
        }
    }

    fn translate(&self, from: Cursor) -> Option<Synced> {
        let (mut ended, mut epoch) = (Vec::new(), from.epoch);
        while epoch != self.epoch {
            let end = self.ends.get(&epoch)?;
            ended.push(Cursor::new(epoch, end.position));
            epoch = end.epoch;
        }
        (!ended.is_empty()).then(|| Synced::new(from, ended.into(), epoch))
    }

    fn trim(&mut self, keep: usize) {
        let gone = self.entries.len().saturating_sub(keep);
        if let Some(last) = self.entries.drain(..gone).next_back() {
            self.start = last.cursor.position;
        }
    }

    fn read_after(&self, asked: Cursor, limit: usize) -> Page {
        let sync = self.translate(asked);
        let after = sync.as_ref().map_or(asked, |sync| sync.to);
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
        Page { gap, sync, entries, more: false }
    }
}

/// What one connection saw, and what it was owed.
struct Client {
    feed: Feed,
    wake: Arc<Wake>,
    addresses: Vec<Address>,
    /// Everything up to here was delivered, did not concern it, or was announced as missing.
    settled: Cursor,
    /// What its last event said: with this it comes back.
    known: Cursor,
    /// Delivered, or not owed: from before it came, or announced as missing.
    seen: BTreeSet<MessageId>,
    /// In this session.
    seen_here: BTreeSet<MessageId>,
    asleep: bool,
}

type Places = HashMap<Epoch, Vec<Entry>>;
type Ends = HashMap<Epoch, Cursor>;

struct World {
    log: Log,
    /// Everything that ever stood somewhere, by history.
    places: Places,
    /// Where every history ended, and which came after; also of logs that are gone.
    ends: Ends,
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
    FailOver(usize),
    Repair(usize),
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
        1 => (0..6_usize).prop_map(Happening::FailOver),
        1 => (1..4_usize).prop_map(Happening::Repair),
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
        let places = Places::from([(log.epoch, Vec::new())]);
        Self { log, places, ends: Ends::new(), window, tail, clients: Vec::new(), limits }
    }

    fn happen(&mut self, what: &Happening) {
        self.do_it(what);
        self.note_places();
    }

    /// What the log holds now that it did not hold before.
    fn note_places(&mut self) {
        self.ends.extend(&self.log.ends);
        if !self.places.contains_key(&self.log.epoch) {
            // What is left of the history before stands in the new one too, also what was trimmed.
            let before = self.log.ends.iter().find(|(_, end)| end.epoch == self.log.epoch);
            let left = before.map(|(old, end)| {
                let stood = self.places[old].iter().filter(|entry| entry.cursor.position <= end.position);
                let moved = |entry: &Entry| Entry {
                    cursor: Cursor::new(self.log.epoch, entry.cursor.position),
                    ..entry.clone()
                };
                stood.map(moved).collect()
            });
            self.places.insert(self.log.epoch, left.unwrap_or_default());
        }
        let places = self.places.get_mut(&self.log.epoch).unwrap();
        let known = places.last().map_or(Position::ZERO, |entry| entry.cursor.position);
        places.extend(self.log.entries.iter().filter(|entry| entry.cursor.position > known).cloned());
    }

    fn do_it(&mut self, what: &Happening) {
        match what {
            Happening::Append(draw) => {
                self.log.append(address(*draw));
            }
            Happening::Tail(limit) => self.tail(*limit),
            Happening::Trim(keep) => self.log.trim(*keep),
            Happening::Reset(epoch) => self.log = Log::new(*epoch),
            Happening::FailOver(lacks) => self.log.fail_over(*lacks),
            Happening::Repair(count) => self.log.repair(*count),
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
        let marks = page.sync.clone().map(Slot::Sync).into_iter().chain(page.gap.map(Slot::Gap));
        let slots: Vec<_> = marks.chain(frames).collect();
        if let Some(sync) = page.sync {
            self.tail = sync.to;
        }
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
                let seen = standing_up_to(settled, &self.places).collect();
                Client {
                    feed,
                    wake,
                    addresses,
                    settled,
                    known: settled,
                    seen,
                    seen_here: BTreeSet::new(),
                    asleep: false,
                }
            }
            Some(old) => {
                let cursor = old.known;
                let mut feed = Feed::resume(reader, self.limits, cursor);
                let (mut settled, mut known, mut announced) = (cursor, cursor, None);
                // As the handler of a stream does: the log judges a cursor that is not in the window.
                if feed.is_replaying() {
                    let page = self.log.read_after(cursor, 1);
                    if let Some(sync) = page.sync {
                        settled = sync.to;
                        feed = feed.translated(&sync);
                    }
                    if let Some(missing) = page.gap {
                        settled = missing.resumed_after;
                        known = settled;
                        feed = feed.restart(settled);
                        announced = Some(settled);
                    }
                }
                let mut seen = old.seen;
                seen.extend(announced.into_iter().flat_map(|cursor| standing_up_to(cursor, &self.places)));
                Client { feed, wake, settled, known, seen, asleep: false, seen_here: BTreeSet::new(), ..old }
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
                    client.deliver(&frame, &self.ends, &self.places);
                }
            }
            Step::Gap(missing) => client.gap(&missing, &self.places),
            Step::Sync(sync) => client.sync(&sync, &self.places),
            Step::ReadLog { after, limit } => {
                let page = self.log.read_after(after, limit.entries);
                let Accepted { sync, gap, frames } = client.feed.accept(&page, Instant::now());
                if let Some(sync) = &page.sync {
                    client.sync(sync, &self.places);
                }
                assert_eq!(
                    sync,
                    page.sync.clone().filter(Synced::is_lost),
                    "a client is told of a loss, and of nothing else"
                );
                if let Some(missing) = gap {
                    client.gap(&missing, &self.places);
                }
                for frame in frames {
                    client.deliver(&frame, &self.ends, &self.places);
                }
            }
            Step::Idle => {
                client.asleep = true;
                client.claim(client.feed.cursor(), &self.ends, &self.places);
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
        self.log.repair(usize::MAX);
        self.note_places();
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
            client.claim(newest, &self.ends, &self.places);
        }
    }
}

fn standing_up_to(cursor: Cursor, places: &Places) -> impl Iterator<Item = MessageId> {
    let stood = places[&cursor.epoch].iter().filter(move |entry| entry.cursor.position <= cursor.position);
    stood.map(|entry| entry.message_id.clone())
}

impl Client {
    fn concerns(&self, address: &Address) -> bool {
        *address == Address::All || self.addresses.contains(address)
    }

    fn deliver(&mut self, frame: &WindowFrame, ends: &Ends, places: &Places) {
        let (cursor, address) = (frame.cursor, &frame.address);
        assert!(self.concerns(address), "an event for somebody else");
        let entry =
            places[&cursor.epoch].iter().find(|entry| entry.cursor == cursor).expect("it stood there");
        let id = &entry.message_id;
        assert!(self.seen_here.insert(id.clone()), "{id} was delivered twice in a session");
        // Whoever comes back with a cursor of the new history may get again what came again behind it.
        assert!(
            self.seen.insert(id.clone()) || !entry.origins.places().is_empty(),
            "{id} was delivered twice"
        );
        self.go_over(cursor.epoch, ends);
        assert!(cursor.position > self.settled.position, "{cursor} comes after {}", self.settled);
        self.settled_up_to(cursor, places);
        self.known = cursor;
    }

    /// Into another history without a word: only where nothing of it was lost to this client.
    fn go_over(&mut self, epoch: Epoch, ends: &Ends) {
        if epoch == self.settled.epoch {
            return;
        }
        let mut to = self.settled;
        while to.epoch != epoch {
            let end = ends.get(&to.epoch).expect("another history without a word");
            to = Cursor::new(end.epoch, to.position.min(end.position));
        }
        assert_eq!(to.position, self.settled.position, "a lost history without a word");
        self.settled = to;
    }

    fn gap(&mut self, missing: &Missing, places: &Places) {
        self.seen.extend(standing_up_to(missing.resumed_after, places));
        self.settled = missing.resumed_after;
        self.known = missing.resumed_after;
    }

    /// The client is told that its history was lost beyond a point. It keeps its cursor.
    fn sync(&mut self, sync: &Synced, places: &Places) {
        if self.settled.epoch == sync.from.epoch && sync.from.position > self.settled.position {
            self.settled_up_to(sync.from, places);
        }
        self.settled = sync.to;
    }

    /// The connection holds that it has everything up to `cursor`.
    fn claim(&mut self, cursor: Cursor, ends: &Ends, places: &Places) {
        self.go_over(cursor.epoch, ends);
        if cursor.position > self.settled.position {
            self.settled_up_to(cursor, places);
        }
        self.known = self.settled;
    }

    fn settled_up_to(&mut self, cursor: Cursor, places: &Places) {
        let lost = places[&cursor.epoch].iter().find(|entry| {
            entry.cursor.position > self.settled.position
                && entry.cursor.position <= cursor.position
                && !self.seen.contains(&entry.message_id)
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
                    Taken::Frames(frames) => got += frames.len(),
                    Taken::Idle => reader.wake_handle().woken().await,
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
