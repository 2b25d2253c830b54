//! The whole of *one log, many cursors* as a simulation: a log that is trimmed and reset, a tail that lags and has to
//! jump, that loses its newest entries and gets them back under another epoch, a small window, loops of different
//! speeds, streams that come, go, resume ahead of their loop and read slowly through small sockets, in random order.
//! Every client must see strictly increasing ids or a gap that says why not, nothing twice, and nothing lost without a
//! gap.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::broker::{Broker, BrokerUrl, Durability, Entry, LogLimits, Missing, Origins, Page, Synced};
use crate::net::Transport;
use crate::node::admission::{Admission, AdmissionLimits};
use crate::node::close::{CloseCode, RetryPolicy};
use crate::node::connections::tests::identity;
use crate::node::connections::{AckMode, Connection, Connections};
use crate::node::feed::{Feed, FeedLimits, encode};
use crate::node::limits::ABORT_PAUSE;
use crate::node::loops::{
    Arrival, Budget, EventLoop, Following, LoopPermit, LoopSettings, Loops, Message, NewStream, Offload,
    Question, SharedLoop, StreamEnd, Subscription, close_portion,
};
use crate::node::metrics::Metrics;
use crate::node::sockets::tests::unlimited;
use crate::node::stream_context::{HeartbeatForm, StreamContext, StreamTiming};
use crate::node::window::{Form, Framing, Slot, Window, WindowLimits};
use crate::protocol::api::GapReason;
use crate::protocol::{
    Address, Cursor, Epoch, EventType, Format, MessageId, NodeId, Position, RetryMs, UserId,
};
use crate::runtime::Tasks;

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

/// A time whose positions have short ids.
const BEGIN: Position = Position { ms: 1_800_000_000_000, seq: 0 };

impl Log {
    fn new(epoch: u64) -> Self {
        Self {
            epoch: Epoch::from_random(epoch),
            entries: Vec::new(),
            start: BEGIN,
            newest: BEGIN,
            ends: HashMap::new(),
            lost: VecDeque::new(),
            appended: 0,
        }
    }

    fn append(&mut self, address: Address) {
        self.newest = self.newest.next();
        self.appended += 1;
        let event_type = EventType::parse(address.default_type()).unwrap();
        self.entries.push(Entry {
            cursor: Cursor::new(self.epoch, self.newest),
            message_id: MessageId::parse(&format!("m{}-{}", self.epoch, self.appended)).unwrap(),
            address,
            event_type,
            // Longer than what is left of a small socket, now and then.
            envelope: in_envelope(&"x".repeat(usize::try_from(self.appended * 397 % 1_500).unwrap())).into(),
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

/// What one client saw, and what it was owed.
struct Client {
    socket: UnixStream,
    connection: Arc<Connection>,
    format: Format,
    /// What was read and is no whole chunk yet.
    unread: Vec<u8>,
    addresses: Vec<Address>,
    /// Everything up to here was delivered, did not concern it, or was announced as missing.
    settled: Cursor,
    /// What its last event said: with this it comes back.
    known: Cursor,
    /// Delivered, or not owed: from before it came, or announced as missing.
    seen: BTreeSet<MessageId>,
    /// In this session.
    seen_here: BTreeSet<MessageId>,
}

type Places = HashMap<Epoch, Vec<Entry>>;
type Ends = HashMap<Epoch, Cursor>;

/// What stays the same in all stories.
struct Stage {
    runtime: Runtime,
    broker: Broker,
    metrics: Arc<Metrics>,
}

impl Stage {
    fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let tasks = Tasks::new();
        let log = Broker::open(&BrokerUrl::Memory, LogLimits::default(), Durability::Accepted, &tasks);
        let broker = runtime.block_on(log).unwrap();
        Self { runtime, broker, metrics: Arc::new(Metrics::new(Instant::now())) }
    }
}

struct World<'a> {
    stage: &'a Stage,
    log: Log,
    /// Everything that ever stood somewhere, by history.
    places: Places,
    /// Where every history ended, and which came after; also of logs that are gone.
    ends: Ends,
    context: Arc<StreamContext>,
    tail: Cursor,
    handles: Loops,
    loops: Vec<SharedLoop>,
    /// Questions that the log has not answered yet.
    asked: Arc<Mutex<VecDeque<Offload>>>,
    connections: Connections,
    admission: Admission,
    clients: Vec<Client>,
}

const LIMITS: FeedLimits = FeedLimits { batch_frames: 3, batch_bytes: 1 << 20, page: 2, lag: 40 };

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
    Turn(usize),
    /// The tail does a small pass in the place of a thread that waits.
    Advance(usize),
    Answer(usize),
    Read(usize, usize),
}

fn in_envelope(text: &str) -> String {
    format!(r#"{{"data":"{text}"}}"#)
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
        12 => any::<usize>().prop_map(Happening::Turn),
        4 => any::<usize>().prop_map(Happening::Advance),
        4 => any::<usize>().prop_map(Happening::Answer),
        8 => (any::<usize>(), 1..3_000_usize).prop_map(|(draw, bytes)| Happening::Read(draw, bytes)),
    ];
    prop::collection::vec(one, 0..400)
}

impl<'a> World<'a> {
    fn new(stage: &'a Stage, loops: usize) -> Self {
        Self::ending(stage, loops, StreamEnd::Clean)
    }

    fn ending(stage: &'a Stage, loops: usize, end: StreamEnd) -> Self {
        let log = Log::new(1);
        let tail = Cursor::start_of(log.epoch);
        let long = Duration::from_secs(3_600);
        let retry = RetryPolicy { base: long, jitter: long };
        let context = Arc::new(StreamContext {
            broker: stage.broker.clone(),
            window: Window::new(WindowLimits { frames: 7, bytes: 1 << 20 }, tail),
            metrics: Arc::clone(&stage.metrics),
            replay_permits: Semaphore::new(1),
            timing: StreamTiming { heartbeat: long, cursor: long, log_read: long, retry },
        });
        let asked: Arc<Mutex<VecDeque<Offload>>> = Arc::default();
        let handles = Loops::new(loops, tail).unwrap();
        let settings = LoopSettings {
            node: NodeId::parse("n").unwrap(),
            limits: LIMITS,
            end,
            stall: long,
            budget: Budget { messages: 2, served: 2, slice: 2, batch_bytes: 1_000 },
        };
        let serve = |handle: &Arc<_>| {
            let asked = Arc::clone(&asked);
            let offload = Box::new(move |work| asked.lock().unwrap().push_back(work));
            let event_loop =
                EventLoop::new(settings.clone(), Arc::clone(&context), Arc::clone(handle), offload);
            SharedLoop::new(event_loop.unwrap())
        };
        let loops = handles.handles().iter().map(serve).collect();
        let unlimited = AdmissionLimits { connections: 0, per_user: 0, per_address: 0, per_second: 0 };
        Self {
            stage,
            places: Places::from([(log.epoch, Vec::new())]),
            log,
            ends: Ends::new(),
            context,
            tail,
            handles,
            loops,
            asked,
            connections: Connections::default(),
            admission: Admission::new(unlimited, Instant::now()),
            clients: Vec::new(),
        }
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
            Happening::Turn(draw) => {
                let index = draw % self.loops.len();
                assert!(self.loops[index].turn(Duration::ZERO));
            }
            Happening::Advance(draw) => self.loops[draw % self.loops.len()].advance(),
            Happening::Answer(draw) => {
                self.answer(*draw);
            }
            Happening::Read(draw, bytes) => {
                if !self.clients.is_empty() {
                    let index = draw % self.clients.len();
                    self.read(index, *bytes);
                }
            }
        }
    }

    fn tail(&mut self, limit: usize) {
        let page = self.log.read_after(self.tail, limit);
        let frames =
            page.entries.iter().map(|entry| Slot::Frame(Arc::new(encode(entry, Instant::now(), None))));
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
            self.context.window.publish(slots);
        }
    }

    fn connect(&mut self, draw: u8, again: Option<Client>) {
        let user = match again.as_ref().map_or(address(draw | 1), |old| old.addresses[0].clone()) {
            Address::User(user) => user,
            other => panic!("{other} is no user"),
        };
        let identity = identity("c", Some(user.as_str()), &[]);
        let addresses = vec![Address::User(user)];
        let window = &self.context.window;
        let reader = window.reader(addresses.clone(), window.place());
        let (mut settled, mut known, mut announced) = (reader.place().cursor, reader.place().cursor, None);
        let feed = match &again {
            None => Feed::live(reader, LIMITS),
            Some(old) => {
                (settled, known) = (old.known, old.known);
                let mut feed = Feed::resume(reader, LIMITS, known);
                // As the handler of a stream does: the log judges a cursor that is not in the window.
                if feed.is_replaying() {
                    let page = self.log.read_after(known, 1);
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
                feed
            }
        };
        let begun = again.is_none().then_some(settled).or(announced);
        // Each comes back in the other format, with the cursor that it has.
        let is_bare = again.as_ref().map_or(draw & 4 == 0, |old| old.format == Format::Envelope);
        let format = if is_bare { Format::Data } else { Format::Envelope };
        let mut seen = again.map(|old| old.seen).unwrap_or_default();
        seen.extend(begun.into_iter().flat_map(|cursor| standing_up_to(cursor, &self.places)));
        let loop_permit = LoopPermit::new(self.handles.emptiest());
        let _admitted = self.admission.admit(None, Ipv4Addr::LOCALHOST.into(), Instant::now()).unwrap();
        let connection = Arc::new(Connection::new(identity, feed.cursor(), Arc::clone(loop_permit.handle())));
        let registered = self.connections.register(Arc::clone(&connection));
        let subscription = Subscription {
            registered,
            _admitted,
            heartbeat: HeartbeatForm::Comment,
            ack: AckMode::Cursor,
            expires_at: u32::MAX,
        };
        let stream = NewStream {
            form: Form { framing: Framing::Chunked, format },
            queue: VecDeque::new(),
            backlog: None,
            following: Some(Box::new(Following { feed, subscription })),
            loop_permit,
        };
        let socket = arrive(stream);
        let (unread, seen_here) = (Vec::new(), BTreeSet::new());
        self.clients.push(Client {
            socket,
            connection,
            format,
            unread,
            addresses,
            settled,
            known,
            seen,
            seen_here,
        });
    }

    /// Answers one of the questions to the log; returns whether there was one.
    fn answer(&mut self, draw: usize) -> bool {
        let mut asked = self.asked.lock().unwrap();
        let index = draw % asked.len().max(1);
        let Some(Offload::Ask(request)) = asked.remove(index) else { return false };
        drop(asked);
        let page = match request.question {
            Question::Gap(_) | Question::Mail(_) | Question::Answered => None,
            Question::Page { after, limit } => Some(self.log.read_after(after, limit.entries)),
        };
        self.stage.runtime.block_on(request.answer(&self.context, Ok(page)));
        true
    }

    /// Lets a client read some of what was written to it; returns whether there was something.
    fn read(&mut self, index: usize, bytes: usize) -> bool {
        let client = &mut self.clients[index];
        let mut buffer = vec![0; bytes];
        let Ok(count) = client.socket.read(&mut buffer) else { return false };
        client.unread.extend_from_slice(&buffer[..count]);
        let closed = count == 0 || client.take_events(&self.ends, &self.places);
        if closed {
            let client = self.clients.swap_remove(index);
            self.connect(0, Some(client));
        }
        true
    }

    /// Lets everything come to rest, then checks that everybody has everything.
    fn hand_on_counts(&mut self) {
        self.log.repair(usize::MAX);
        self.note_places();
        for _ in 0..self.log.entries.len() + 2 {
            self.tail(50);
        }
        let end = self.context.window.end();
        let mut rounds = 0;
        loop {
            let mut moved = false;
            // Everybody gets its turn in every round, so no short cut after the first that moves.
            for event_loop in &self.loops {
                event_loop.turn(Duration::ZERO);
                moved |= event_loop.is_busy();
            }
            moved |= self.answer(0);
            for index in (0..self.clients.len()).rev() {
                moved |= self.read(index, 4_000);
            }
            if !moved {
                break;
            }
            rounds += 1;
            assert!(rounds < 20_000, "loops come to rest");
        }
        assert_eq!(self.context.window.end(), end);
        let newest = Cursor::new(self.log.epoch, self.log.newest);
        for client in &mut self.clients {
            assert_eq!(client.connection.cursor(), newest, "everybody is level with the log");
            client.claim(newest, &self.ends, &self.places);
        }
    }
}

/// Sends a stream to its loop; returns the socket of the client.
fn arrive(stream: NewStream) -> UnixStream {
    let (socket, server) = UnixStream::pair().unwrap();
    socket.set_nonblocking(true).unwrap();
    socket2::SockRef::from(&server).set_send_buffer_size(1).unwrap();
    let place = unlimited().take(Ipv4Addr::LOCALHOST.into()).unwrap();
    let handle = Arc::clone(stream.loop_permit.handle());
    let transport = Transport::Plain(server.into());
    handle.send(Message::Arrival(Box::new(Arrival { transport, stream, place })));
    socket
}

fn standing_up_to(cursor: Cursor, places: &Places) -> impl Iterator<Item = MessageId> {
    let stood = places[&cursor.epoch].iter().filter(move |entry| entry.cursor.position <= cursor.position);
    stood.map(|entry| entry.message_id.clone())
}

impl Client {
    fn concerns(&self, address: &Address) -> bool {
        *address == Address::All || self.addresses.contains(address)
    }

    /// Takes the whole events out of what was read; returns whether the stream was closed.
    fn take_events(&mut self, ends: &Ends, places: &Places) -> bool {
        while let Some(head) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
            let length = std::str::from_utf8(&self.unread[..head]).unwrap();
            let length = usize::from_str_radix(length, 16).expect("chunks are whole");
            if self.unread.len() < head + 2 + length + 2 {
                return false;
            }
            let chunk: Vec<u8> = self.unread.drain(..head + 2 + length + 2).skip(head + 2).collect();
            let text =
                std::str::from_utf8(&chunk).unwrap().strip_suffix("\n\n\r\n").expect("events are whole");
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
            let id = field("id: ").map(|id| id.parse::<Cursor>().unwrap());
            let data = || serde_json::from_str::<serde_json::Value>(field("data: ").unwrap()).unwrap();
            let default = (self.format == Format::Data).then_some("the default");
            match (field("event: ").or(default).unwrap(), id) {
                ("MESSAGE" | "DIRECT", Some(cursor)) if default.is_none() => {
                    let text = data()["data"].as_str().unwrap().to_owned();
                    self.deliver(cursor, &text, (ends, places));
                }
                ("the default", Some(cursor)) => {
                    assert!(field("id: ").unwrap().len() <= 16, "{text}");
                    let text = data().as_str().unwrap().to_owned();
                    self.deliver(cursor, &text, (ends, places));
                }
                ("GAP", Some(resumed_after)) => self.gap(resumed_after, places),
                ("SYNC", None) => {
                    let [from, to] = ["from", "to"].map(|end| data()[end].as_str().unwrap().parse().unwrap());
                    self.sync(from, to, places);
                }
                ("CLOSE", None) => return true,
                (other, id) => panic!("{other} {id:?}"),
            }
        }
        false
    }

    fn deliver(&mut self, cursor: Cursor, text: &str, (ends, places): (&Ends, &Places)) {
        let entry =
            places[&cursor.epoch].iter().find(|entry| entry.cursor == cursor).expect("it stood there");
        assert_eq!(*entry.envelope, in_envelope(text));
        assert!(self.concerns(&entry.address), "an event for somebody else");
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

    fn gap(&mut self, resumed_after: Cursor, places: &Places) {
        self.seen.extend(standing_up_to(resumed_after, places));
        self.settled = resumed_after;
        self.known = resumed_after;
    }

    /// The client is told that its history was lost beyond a point. It keeps its cursor.
    fn sync(&mut self, from: Cursor, to: Cursor, places: &Places) {
        if self.settled.epoch == from.epoch && from.position > self.settled.position {
            self.settled_up_to(from, places);
        }
        self.settled = to;
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
    fn nobody_loses_anything_silently_or_gets_it_twice(loops in 1..4_usize, what in happenings()) {
        thread_local!(static STAGE: Stage = Stage::new());
        STAGE.with(|stage| {
            let mut world = World::new(stage, loops);
            for happening in &what {
                world.happen(happening);
            }
            world.hand_on_counts();
        });
    }
}

/// Found by the simulation: a reader that had read the log beyond the tail was thrown back by the gap that the tail
/// came upon later, and got an event twice.
#[test]
fn a_reader_ahead_of_the_tail_is_not_thrown_back_by_the_tails_gap() {
    use Happening::{Answer, Append, Connect, Reset, Tail, Trim, Turn};
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
        Turn(0),
        Answer(0),
    ];
    let stage = Stage::new();
    let mut world = World::new(&stage, 1);
    for happening in crowd.chain(story) {
        world.happen(&happening);
    }
    world.hand_on_counts();
}

#[test]
fn an_event_for_one_client_does_not_wait_for_a_long_pass_and_does_not_pass_an_earlier_one() {
    use Happening::{Append, Connect, Tail};
    let stage = Stage::new();
    let mut world = World::new(&stage, 1);
    let crowd = std::iter::repeat_n(Connect(1), 60);
    for happening in crowd.chain([Connect(3)]) {
        world.happen(&happening);
    }
    world.hand_on_counts();
    let [alone, crowd] = [3, 1].map(address);
    world.happen(&Append(0));
    world.happen(&Tail(9));
    world.loops[0].turn(Duration::ZERO);
    world.happen(&Append(3));
    world.happen(&Tail(9));
    for _ in 0..4 {
        world.loops[0].turn(Duration::ZERO);
    }
    let mut counts = HashMap::new();
    for index in 0..world.clients.len() {
        world.read(index, 10_000);
        let client = &world.clients[index];
        let count: &mut (usize, usize) = counts.entry(client.addresses[0].clone()).or_default();
        *count = (count.0 + client.seen_here.len(), count.1 + 1);
    }
    assert_eq!(counts[&alone], (2, 1), "the broadcast, then its own");
    assert!(counts[&crowd].0 < counts[&crowd].1, "the pass is under way: {counts:?}");
    world.hand_on_counts();
}

#[test]
fn a_thread_that_waits_is_woken_for_many_streams_and_not_for_few() {
    for (streams, is_woken) in [(1, false), (17, true)] {
        let stage = Stage::new();
        let mut world = World::new(&stage, 1);
        (0..streams).for_each(|_| world.happen(&Happening::Connect(1)));
        world.hand_on_counts();
        let event_loop = world.loops[0].clone();
        let woken = event_loop.is_woken_after(|| {
            world.happen(&Happening::Append(0));
            world.happen(&Happening::Tail(9));
        });
        assert_eq!(woken, is_woken, "{streams} streams");
        let served = (0..streams).filter(|index| world.read(*index, 10_000)).count();
        assert_eq!(served, if is_woken { 0 } else { streams }, "of {streams}");
        world.hand_on_counts();
    }
}

#[test]
fn a_stream_ends_with_the_last_chunk_or_after_a_pause_without_it() {
    for (end, framing, expected) in [
        (StreamEnd::Clean, Framing::Chunked, "}\n\n\r\n0\r\n\r\n"),
        (StreamEnd::Clean, Framing::Close, "}\n\n"),
        (StreamEnd::Abort, Framing::Chunked, "}\n\n\r\n"),
        (StreamEnd::Abort, Framing::Close, "}\n\n"),
    ] {
        let stage = Stage::new();
        let world = World::ending(&stage, 1, end);
        let close = close_portion(CloseCode::Shutdown, "why", RetryMs::MIN, (framing, end));
        let queue = VecDeque::from([close]);
        let loop_permit = LoopPermit::new(world.handles.emptiest());
        let form = Form { framing, format: Format::Envelope };
        let mut socket = arrive(NewStream { form, queue, backlog: None, following: None, loop_permit });
        let begun = Instant::now();
        let mut got = Vec::new();
        while socket.read_to_end(&mut got).is_err() {
            world.loops[0].turn(Duration::MAX);
        }
        let got = String::from_utf8(got).unwrap();
        assert!(got.ends_with(expected) && got.contains("event: CLOSE\n"), "{got}");
        assert_eq!(got.starts_with("retry: "), framing == Framing::Close, "{got}");
        assert!(end == StreamEnd::Clean || begun.elapsed() >= ABORT_PAUSE, "{:?}", begun.elapsed());
    }
}
