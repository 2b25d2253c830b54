//! Who in a loop listens to what: for each client, user and topic the indices of the streams. Read [`Lists::of`] first.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use crate::node::connections::{Connection, Identity};
use crate::protocol::{Address, ClientId, NodeId, Topic, UserId};

/// The streams of a loop that an event is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Listeners<'a> {
    All,
    These(&'a [u32]),
}

/// The lists of a loop. A table of clients or users holds indices alone and reads the name where the stream keeps it:
/// nearly every client has one stream, and a copy of its name would cost more than the index.
#[derive(Debug)]
pub(super) struct Lists {
    node: NodeId,
    /// By the index of the stream.
    open: Vec<Option<Arc<Connection>>>,
    hasher: RandomState,
    clients: HashTable<u32>,
    users: HashTable<u32>,
    /// Sorted, since a topic may have all streams of the loop.
    topics: HashMap<Topic, Vec<u32>>,
    /// The streams found last.
    found: Vec<u32>,
}

impl Lists {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            open: Vec::new(),
            hasher: RandomState::new(),
            clients: HashTable::new(),
            users: HashTable::new(),
            topics: HashMap::new(),
            found: Vec::new(),
        }
    }

    /// The streams that an event of this address is for.
    pub(super) fn of(&mut self, address: &Address) -> Listeners<'_> {
        match address {
            Address::All => Listeners::All,
            Address::Node(node) if *node == self.node => Listeners::All,
            Address::NodeClient(node, client) if *node == self.node => self.of_client(client),
            Address::Node(_) | Address::NodeClient(..) => Listeners::These(&[]),
            Address::Client(client) => self.of_client(client),
            Address::User(user) => self.of_user(user),
            Address::Topic(topic) => Listeners::These(self.topics.get(topic).map_or(&[], Vec::as_slice)),
        }
    }

    fn of_client(&mut self, client: &ClientId) -> Listeners<'_> {
        let with_hash = self.clients.iter_hash(self.hasher.hash_one(client));
        matching(&self.open, with_hash, &mut self.found, |identity| identity.client_id == *client)
    }

    fn of_user(&mut self, user: &UserId) -> Listeners<'_> {
        let with_hash = self.users.iter_hash(self.hasher.hash_one(user));
        matching(&self.open, with_hash, &mut self.found, |identity| identity.user_id.as_ref() == Some(user))
    }

    /// Adds a stream to the lists of its client, its user and its topics.
    pub(super) fn add(&mut self, connection: &Arc<Connection>, stream: u32) {
        let Self { open, hasher, clients, users, topics, .. } = self;
        let index = stream as usize;
        if open.len() <= index {
            open.resize(index + 1, None);
        }
        open[index] = Some(Arc::clone(connection));
        let known = |stream: &u32| identity(open, *stream);
        let by_client = |stream: &u32| known(stream).map_or(0, |known| hasher.hash_one(&known.client_id));
        let by_user = |stream: &u32| {
            let user = known(stream).and_then(|known| known.user_id.as_ref());
            user.map_or(0, |user| hasher.hash_one(user))
        };
        clients.insert_unique(by_client(&stream), stream, by_client);
        let identity = &connection.identity;
        if identity.user_id.is_some() {
            users.insert_unique(by_user(&stream), stream, by_user);
        }
        for topic in &identity.topics {
            let listeners = topics.entry(topic.clone()).or_default();
            listeners.insert(listeners.partition_point(|other| *other < stream), stream);
        }
    }

    /// Takes a stream out.
    pub(super) fn remove(&mut self, stream: u32) {
        let Some(connection) = self.open.get_mut(stream as usize).and_then(Option::take) else { return };
        let identity = &connection.identity;
        remove(&mut self.clients, self.hasher.hash_one(&identity.client_id), stream);
        if let Some(user) = &identity.user_id {
            remove(&mut self.users, self.hasher.hash_one(user), stream);
        }
        for topic in &identity.topics {
            let Some(listeners) = self.topics.get_mut(topic) else { continue };
            if let Ok(at) = listeners.binary_search(&stream) {
                listeners.remove(at);
            }
            if listeners.is_empty() {
                self.topics.remove(topic);
            }
        }
    }
}

/// The streams among some with one hash whose identity is meant.
fn matching<'a>(
    open: &[Option<Arc<Connection>>],
    with_hash: impl Iterator<Item = &'a u32>,
    found: &'a mut Vec<u32>,
    is_meant: impl Fn(&Identity) -> bool,
) -> Listeners<'a> {
    found.clear();
    found.extend(with_hash.filter(|stream| identity(open, **stream).is_some_and(&is_meant)));
    Listeners::These(found)
}

fn identity(open: &[Option<Arc<Connection>>], stream: u32) -> Option<&Identity> {
    open.get(stream as usize)?.as_ref().map(|connection| &connection.identity)
}

fn remove(table: &mut HashTable<u32>, hash: u64, stream: u32) {
    if let Ok(entry) = table.find_entry(hash, |other| *other == stream) {
        entry.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::connections::tests::{connection, identity};

    #[test]
    fn whoever_leaves_is_in_no_list_and_the_others_are_found() {
        let node = NodeId::parse("n").unwrap();
        let mut lists = Lists::new(node.clone());
        let mut open = Vec::new();
        for stream in 0..40_u32 {
            let topics: &[&str] = if stream % 2 == 0 { &["a", "b"] } else { &["b"] };
            let identity = identity(&format!("c{}", stream % 10), (stream % 3 == 0).then_some("u"), topics);
            let connection = connection(identity);
            lists.add(&connection, stream);
            open.push((stream, connection));
        }
        while !open.is_empty() {
            let index = open.len() * 7 / 11;
            lists.remove(open.swap_remove(index).0);
            for text in
                ["client:c0", "client:c7", "node:n/client:c3", "user:u", "topic:a", "topic:b", "topic:x"]
            {
                let address: Address = text.parse().unwrap();
                let Listeners::These(found) = lists.of(&address) else { panic!("not all") };
                let mut found = found.to_vec();
                found.sort_unstable();
                let owed = open.iter().filter(|(_, one)| one.identity.addresses(&node).contains(&address));
                let mut owed: Vec<_> = owed.map(|(stream, _)| *stream).collect();
                owed.sort_unstable();
                assert_eq!(found, owed, "{text}");
            }
        }
        assert!(lists.clients.is_empty() && lists.users.is_empty() && lists.topics.is_empty());
        let elsewhere = Address::Node(NodeId::parse("m").unwrap());
        assert_eq!(lists.of(&Address::Node(node)), Listeners::All);
        assert_eq!(lists.of(&elsewhere), Listeners::These(&[]));
    }
}
