//! Parts of the node that `benches/counts.rs` counts the instructions of, each built alone and without a thread. Not in a
//! build without the feature `counts`. Read [`Fanout`] first.

use std::collections::VecDeque;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::admission::{Admission, AdmissionLimits};
use super::close::RetryPolicy;
use super::connections::{AckMode, Connection, Connections, Identity};
use super::feed::{Feed, FeedLimits, encode};
use super::http::publish::parse;
use super::loops::{
    Arrival, Budget, EventLoop, Following, LoopPermit, LoopSettings, Loops, Message, NewStream, SharedLoop,
    StreamEnd, Subscription,
};
use super::metrics::Metrics;
use super::sockets::{SocketLimits, Sockets};
use super::stream_context::{HeartbeatForm, StreamContext, StreamTiming};
use super::window::{Form, Framing, Slot, Window, WindowLimits};
use crate::broker::publisher::{new_event, published};
use crate::broker::{Broker, BrokerUrl, Durability, Entry, LogLimits, Origins};
use crate::net::Transport;
use crate::protocol::{
    Address, ClientId, ConnectionId, Cursor, Epoch, EventType, Format, MessageId, NodeId, Position, UserId,
};
use crate::runtime::Tasks;

const LONG: Duration = Duration::from_secs(3_600);
const LIMITS: FeedLimits = FeedLimits { batch_frames: 64, batch_bytes: 256 * 1024, page: 500, lag: 100_000 };

fn entry(at: Cursor, envelope: &str) -> Entry {
    Entry {
        cursor: at,
        message_id: MessageId::parse("m").expect("it is valid"),
        address: Address::All,
        event_type: EventType::parse("MESSAGE").expect("it is valid"),
        envelope: Arc::from(envelope),
        origins: Origins::default(),
    }
}

/// A loop with streams whose sockets are read in between only: keep to few events.
pub struct Fanout {
    window: Window,
    next: Cursor,
    served: SharedLoop,
    clients: Vec<UnixStream>,
}

impl Fanout {
    /// With so many streams, level with the loop. `broker` is asked nothing.
    #[must_use]
    pub fn new(broker: &Publishing, streams: usize) -> Self {
        // Of today, so that ids are as long as they are.
        let next = Cursor::new(Epoch::from_random(1), Position { ms: 1_800_000_000_000, seq: 0 });
        let window = Window::new(WindowLimits { frames: 1_000, bytes: 1 << 24 }, next);
        let context = Arc::new(StreamContext {
            broker: broker.broker.clone(),
            window: window.clone(),
            metrics: Arc::new(Metrics::new(Instant::now())),
            replay_permits: Semaphore::new(1),
            timing: StreamTiming {
                heartbeat: LONG,
                cursor: LONG,
                log_read: LONG,
                retry: RetryPolicy { base: LONG, jitter: LONG },
            },
        });
        let settings = LoopSettings {
            node: NodeId::parse("n").expect("it is valid"),
            limits: LIMITS,
            end: StreamEnd::Clean,
            stall: LONG,
            budget: Budget::default(),
        };
        let loops = Loops::new(1, next).expect("a descriptor");
        let handle = Arc::clone(&loops.handles()[0]);
        let served = EventLoop::new(settings, context, handle, Box::new(|_| {})).expect("a descriptor");
        let served = SharedLoop::new(served);
        let connections = Connections::default();
        let sockets = SocketLimits { open: streams, ..SocketLimits::default() };
        let sockets = Sockets::new(sockets, Arc::new(Metrics::new(Instant::now())));
        let unlimited = AdmissionLimits { connections: 0, per_user: 0, per_address: 0, per_second: 0 };
        let admission = Admission::new(unlimited, Instant::now());
        let arrive = |number| {
            let (client, socket) = UnixStream::pair().expect("two descriptors");
            client.set_nonblocking(true).expect("an option");
            let loop_permit = LoopPermit::new(loops.emptiest());
            let handle = Arc::clone(loop_permit.handle());
            let reader = window.reader(Vec::new(), window.place());
            let (feed, remote) = (Feed::live(reader, LIMITS), Ipv4Addr::LOCALHOST.into());
            let connection = Connection::new(identity(number), feed.cursor(), Arc::clone(&handle));
            let subscription = Subscription {
                registered: connections.register(Arc::new(connection)),
                _admitted: admission.admit(None, remote, Instant::now()).expect("nothing is limited"),
                heartbeat: HeartbeatForm::Comment,
                ack: AckMode::Cursor,
                expires_at: u32::MAX,
            };
            let following = Some(Box::new(Following { feed, subscription }));
            let form = Form { framing: Framing::Chunked, format: Format::Envelope };
            let stream = NewStream { form, queue: VecDeque::new(), backlog: None, following, loop_permit };
            let place = sockets.take(Ipv4Addr::LOCALHOST.into()).expect("one for each");
            let arrival = Arrival { transport: Transport::Plain(socket.into()), stream, place };
            handle.send(Message::Arrival(Box::new(arrival)));
            client
        };
        let clients = (0..streams).map(arrive).collect();
        let mut fanout = Self { window, next, served, clients };
        fanout.serve();
        fanout
    }

    /// Encodes an event as the tail does.
    #[must_use]
    pub fn encode(&mut self, envelope: &str) -> Encoded {
        self.next.position = self.next.position.next();
        let frame = encode(&entry(self.next, envelope), Instant::now(), None);
        Encoded(Slot::Frame(Arc::new(frame)))
    }

    /// Puts it into the window.
    pub fn publish(&self, event: Encoded) {
        self.window.publish(vec![event.0]);
    }

    /// Takes what the window has behind its first events, as a loop does. Returns how many.
    #[must_use]
    pub fn take(&self, from: u64) -> usize {
        let mut slots = Vec::new();
        self.window.slots(from, LIMITS.batch_bytes, &mut slots);
        slots.len()
    }

    /// Reads what the streams were sent; returns the number of bytes.
    pub fn drain(&mut self) -> u64 {
        let mut buffer = vec![0; 1 << 16];
        let bytes = self.clients.iter_mut().map(|client| {
            std::iter::from_fn(|| client.read(&mut buffer).ok()).map(|read| read as u64).sum::<u64>()
        });
        bytes.sum()
    }

    /// Turns the loop until everybody has everything.
    pub fn serve(&mut self) {
        while self.served.is_busy() {
            self.served.turn(Duration::ZERO);
        }
    }
}

/// An event as it goes over the wire.
#[derive(Debug)]
pub struct Encoded(Slot);

fn identity(number: usize) -> Identity {
    Identity {
        id: ConnectionId::parse(&number.to_string()).expect("it is valid"),
        client_id: ClientId::parse(&format!("c{number}")).expect("it is valid"),
        user_id: Some(UserId::parse(&format!("u{number}")).expect("it is valid")),
        topics: Vec::new(),
        remote: Ipv4Addr::LOCALHOST.into(),
        connected_at: 0,
    }
}

/// From the body of a request to its answer, without HTTP.
#[derive(Debug)]
pub struct Publishing {
    broker: Broker,
    _tasks: Tasks,
}

impl Publishing {
    /// Opens a log in memory; must be called within a runtime of tokio.
    pub async fn open() -> Self {
        let tasks = Tasks::new();
        let broker = Broker::open(&BrokerUrl::Memory, LogLimits::default(), Durability::Accepted, &tasks);
        Self { broker: broker.await.expect("memory is there"), _tasks: tasks }
    }

    /// Publishes to all; returns the bytes of the answer.
    pub async fn publish(&self, body: &[u8]) -> usize {
        let event = new_event(parse(body).expect("it is valid"), Address::All, "n").expect("it is valid");
        let message_id = event.message_id.clone();
        let mut appended = self.broker.append(event).await.expect("memory takes it");
        // The log's own is random, and not always as long.
        appended.cursor.epoch = Epoch::from_random(1);
        serde_json::to_vec(&published(message_id, appended)).expect("it is JSON").len()
    }
}
