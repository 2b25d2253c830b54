//! The open streams of a node: identity, counters and position of each, and the way to end one from outside.
//! Read [`Connection`] first.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashTable;
use tokio::time::Instant;

use super::access::TokenRef;
use super::close::CloseCode;
use super::loops::{LoopHandle, Message};
use crate::net::Key;
use crate::protocol::api::ConnectionRow;
use crate::protocol::{Address, ClientId, ConnectionId, Cursor, NodeId, Topic, UserId};

/// When a message of a mailbox counts as confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum AckMode {
    /// By a later `Last-Event-ID` of the client, or by `POST ack`.
    #[default]
    Cursor,
    /// By `POST ack` alone.
    Explicit,
    /// When it was written to the socket, which does not prove that the client got it.
    Written,
}

/// Identity of a stream: its client, user, topics and peer.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Id of the stream; later streams have ids that sort later.
    pub(crate) id: ConnectionId,
    /// Id of the client; the node makes one up for a client that sends none.
    pub(crate) client_id: ClientId,
    /// Id of the user; `None` if the client sent none.
    pub(crate) user_id: Option<UserId>,
    /// Subscribed topics, sorted, without repetitions.
    pub(crate) topics: Vec<Topic>,
    /// Address of the peer of the socket, or the one that a trusted proxy names.
    pub(crate) remote: IpAddr,
    /// Milliseconds since 1970 when the stream was opened.
    pub(crate) connected_at: u64,
}

impl Identity {
    /// The addresses whose events the stream gets, beside [`Address::All`].
    pub(crate) fn addresses(&self, node: &NodeId) -> Vec<Address> {
        let mut addresses = vec![
            Address::Client(self.client_id.clone()),
            Address::Node(node.clone()),
            Address::NodeClient(node.clone(), self.client_id.clone()),
        ];
        addresses.extend(self.user_id.clone().map(Address::User));
        addresses.extend(self.topics.iter().cloned().map(Address::Topic));
        addresses
    }

    /// The mailboxes that belong to this stream's user and client.
    pub(crate) fn mailboxes(&self) -> Vec<Address> {
        let user = self.user_id.clone().map(Address::User);
        user.into_iter().chain([Address::Client(self.client_id.clone())]).collect()
    }
}

/// An order to end a stream.
#[derive(Debug, Clone)]
pub(crate) struct CloseOrder {
    /// The stream ends at this time.
    pub(crate) at: Instant,
    /// Code of the `CLOSE` event that ends the stream.
    pub(crate) code: CloseCode,
    /// The reason in the `CLOSE`, for people.
    pub(crate) reason: Arc<str>,
}

/// An open stream, as other parts of the node see it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Client, user, topics and peer.
    pub(crate) identity: Identity,
    /// Events written to the socket.
    pub(crate) sent: AtomicU64,
    /// Bytes written to the socket.
    pub(crate) bytes: AtomicU64,
    /// Events of the log between this stream and the newest one.
    pub(crate) lag: AtomicU64,
    /// The stream reads the log instead of the window.
    pub(crate) replaying: AtomicBool,
    /// A write waits for the client.
    pub(crate) blocked: AtomicBool,
    /// `None` while the stream is level with its loop.
    cursor: Mutex<Option<Cursor>>,
    /// Boxed, since a stream gets it at its end only.
    order: Mutex<Option<Box<CloseOrder>>>,
    handle: Arc<LoopHandle>,
    /// The token that it was opened with, if there was one.
    pub(crate) token: Option<Box<TokenRef>>,
    /// The stream in its loop, once it is there.
    key: AtomicU64,
}

impl Connection {
    /// A stream that starts at a cursor and goes to this loop.
    pub(crate) fn new(identity: Identity, cursor: Cursor, handle: Arc<LoopHandle>) -> Self {
        Self {
            identity,
            sent: AtomicU64::default(),
            bytes: AtomicU64::default(),
            lag: AtomicU64::default(),
            replaying: AtomicBool::default(),
            blocked: AtomicBool::default(),
            cursor: Mutex::new(Some(cursor)),
            order: Mutex::new(None),
            handle,
            token: None,
            key: AtomicU64::new(Key::NONE.bits()),
        }
    }

    /// The stream has come to its loop, which must then look for an order that came before.
    pub(crate) fn set_key(&self, key: Key) {
        self.key.store(key.bits(), Ordering::SeqCst);
    }

    /// Orders the stream to end. Of two orders the earlier one counts.
    pub(crate) fn close(&self, order: CloseOrder) {
        let mut current = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_none_or(|known| known.at > order.at) {
            *current = Some(Box::new(order));
        }
        drop(current);
        let key = Key::from_bits(self.key.load(Ordering::SeqCst));
        if key != Key::NONE {
            self.handle.send(Message::Order(key));
        }
    }

    /// Cancels an order with this code.
    pub(crate) fn cancel_close(&self, code: CloseCode) {
        let mut current = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|order| order.code == code) {
            *current = None;
        }
    }

    /// The order to end, if there is one.
    pub(crate) fn close_order(&self) -> Option<CloseOrder> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner).as_deref().cloned()
    }

    /// The position up to which the stream has everything.
    pub(crate) fn cursor(&self) -> Cursor {
        let own = *self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        own.unwrap_or_else(|| self.handle.position())
    }

    /// Records that the stream has everything up to this position; `None`: as much as its loop.
    pub(crate) fn set_cursor(&self, cursor: Option<Cursor>) {
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = cursor;
    }

    fn state(&self) -> &'static str {
        if self.close_order().is_some() {
            "closing"
        } else if self.blocked.load(Ordering::Relaxed) {
            "slow"
        } else if self.replaying.load(Ordering::Relaxed) {
            "replaying"
        } else {
            "live"
        }
    }

    /// The stream as JSON shows it.
    pub(crate) fn row(&self, node: &NodeId) -> ConnectionRow {
        ConnectionRow {
            connection_id: self.identity.id.clone(),
            client_id: self.identity.client_id.clone(),
            user_id: self.identity.user_id.clone(),
            topics: self.identity.topics.clone(),
            instance_id: node.clone(),
            remote: self.identity.remote.to_string(),
            connected_at: self.identity.connected_at,
            last_event_id: self.cursor().to_event_id(),
            sent: self.sent.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            lag: self.lag.load(Ordering::Relaxed),
            state: self.state().to_owned(),
        }
    }
}

/// All open streams of a node. Clones share the list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections {
    open: Arc<RwLock<ConnectionIndex>>,
}

/// Finds streams by their own names, so that a stream costs a table one pointer and no copy of a name.
#[derive(Debug, Default)]
struct ConnectionIndex {
    hasher: RandomState,
    by_id: HashTable<Arc<Connection>>,
    /// The streams of one client lie side by side.
    by_client: HashTable<Arc<Connection>>,
}

impl ConnectionIndex {
    fn add(&mut self, connection: &Arc<Connection>) {
        let Self { hasher, by_id, by_client } = self;
        let by_id_hash = |connection: &Arc<Connection>| hasher.hash_one(&connection.identity.id);
        let by_client_hash = |connection: &Arc<Connection>| hasher.hash_one(&connection.identity.client_id);
        by_id.insert_unique(by_id_hash(connection), Arc::clone(connection), by_id_hash);
        by_client.insert_unique(by_client_hash(connection), Arc::clone(connection), by_client_hash);
    }

    fn remove(&mut self, connection: &Arc<Connection>) {
        let Identity { id, client_id, .. } = &connection.identity;
        for (table, hash) in [
            (&mut self.by_id, self.hasher.hash_one(id)),
            (&mut self.by_client, self.hasher.hash_one(client_id)),
        ] {
            if let Ok(entry) = table.find_entry(hash, |other| Arc::ptr_eq(other, connection)) {
                entry.remove();
            }
        }
    }
}

/// An entry in the list of streams. Dropping it removes the stream, so none can be left behind.
#[derive(Debug)]
pub(crate) struct Registered {
    connections: Connections,
    connection: Arc<Connection>,
}

impl Registered {
    /// The stream of this entry.
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.connections.write().remove(&self.connection);
    }
}

impl Connections {
    fn read(&self) -> RwLockReadGuard<'_, ConnectionIndex> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, ConnectionIndex> {
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a stream to the list.
    pub(crate) fn register(&self, connection: Arc<Connection>) -> Registered {
        self.write().add(&connection);
        Registered { connections: self.clone(), connection }
    }

    /// Number of open streams.
    pub(crate) fn len(&self) -> usize {
        self.read().by_id.len()
    }

    /// Whether no stream is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The stream with this id, if it is open.
    pub(crate) fn get(&self, id: &ConnectionId) -> Option<Arc<Connection>> {
        let open = self.read();
        open.by_id.find(open.hasher.hash_one(id), |stream| stream.identity.id == *id).cloned()
    }

    /// All open streams.
    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        self.read().by_id.iter().cloned().collect()
    }

    /// The open streams of a client, oldest first.
    pub(crate) fn of_client(&self, client: &ClientId) -> Vec<Arc<Connection>> {
        let open = self.read();
        let with_hash = open.by_client.iter_hash(open.hasher.hash_one(client));
        let mut streams: Vec<_> =
            with_hash.filter(|stream| stream.identity.client_id == *client).cloned().collect();
        drop(open);
        // Ids sort by age.
        streams.sort_by(|a, b| a.identity.id.cmp(&b.identity.id));
        streams
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::protocol::Epoch;

    /// Who has a stream.
    pub(crate) fn identity(client: &str, user: Option<&str>, topics: &[&str]) -> Identity {
        Identity {
            id: ConnectionId::parse("1").unwrap(),
            client_id: ClientId::parse(client).unwrap(),
            user_id: user.map(|user| UserId::parse(user).unwrap()),
            topics: topics.iter().map(|topic| Topic::parse(topic).unwrap()).collect(),
            remote: Ipv4Addr::LOCALHOST.into(),
            connected_at: 0,
        }
    }

    /// A stream that nobody serves.
    pub(crate) fn connection(identity: Identity) -> Arc<Connection> {
        let cursor = Cursor::start_of(Epoch::from_random(1));
        let handle = Arc::new(LoopHandle::new(cursor).unwrap());
        Arc::new(Connection::new(identity, cursor, handle))
    }

    /// A stream that nobody serves, in the list until it is dropped.
    pub(crate) fn idle(connections: &Connections, client: &str, id: &str) -> Registered {
        let identity = Identity { id: ConnectionId::parse(id).unwrap(), ..identity(client, None, &[]) };
        connections.register(connection(identity))
    }

    #[test]
    fn a_client_is_found_by_its_name_as_long_as_it_has_a_stream() {
        let connections = Connections::default();
        let client = ClientId::parse("a").unwrap();
        let ids = |connections: &Connections| {
            let streams = connections.of_client(&client);
            streams.iter().map(|stream| stream.identity.id.to_string()).collect::<Vec<_>>()
        };
        let (first, second) = (idle(&connections, "a", "1"), idle(&connections, "a", "2"));
        let _other = idle(&connections, "b", "3");
        assert_eq!(ids(&connections), ["1", "2"]);
        drop(first);
        assert_eq!((ids(&connections), connections.len()), (vec!["2".to_owned()], 2));
        drop(second);
        assert!(ids(&connections).is_empty());
        assert_eq!(connections.read().by_client.len(), 1, "nothing is left of the client");
    }
}
