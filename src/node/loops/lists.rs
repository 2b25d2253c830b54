//! Who in a loop listens to what: for each client, user and topic the indices of the streams. Read [`Lists::of`] first.

use std::collections::HashMap;
use std::hash::Hash;

use crate::node::connections::Identity;
use crate::protocol::{Address, ClientId, NodeId, Topic, UserId};

/// Nearly always one stream.
#[derive(Debug)]
enum List {
    One(u32),
    Many(Vec<u32>),
}

/// The streams of a loop that an event is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Listeners<'a> {
    All,
    These(&'a [u32]),
}

/// A stream that stands elsewhere in the list of an address now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) stream: u32,
    address: Address,
    at: u32,
}

impl Moved {
    /// Notes it in the places of the stream.
    pub(super) fn note(&self, identity: &Identity, places: &mut [u32]) {
        let users = usize::from(identity.user_id.is_some());
        let index = match &self.address {
            Address::Client(_) => Some(0),
            Address::User(_) => Some(1),
            Address::Topic(topic) => identity.topics.binary_search(topic).ok().map(|index| 1 + users + index),
            Address::All | Address::Node(_) | Address::NodeClient(..) => None,
        };
        if let Some(place) = index.and_then(|index| places.get_mut(index)) {
            *place = self.at;
        }
    }
}

/// The lists of a loop.
#[derive(Debug)]
pub(super) struct Lists {
    node: NodeId,
    clients: HashMap<ClientId, List>,
    users: HashMap<UserId, List>,
    topics: HashMap<Topic, List>,
}

impl Lists {
    pub(super) fn new(node: NodeId) -> Self {
        Self { node, clients: HashMap::new(), users: HashMap::new(), topics: HashMap::new() }
    }

    /// The streams that an event of this address is for.
    pub(super) fn of(&self, address: &Address) -> Listeners<'_> {
        let list = match address {
            Address::All => return Listeners::All,
            Address::Node(node) if *node == self.node => return Listeners::All,
            Address::NodeClient(node, client) if *node == self.node => self.clients.get(client),
            Address::Node(_) | Address::NodeClient(..) => None,
            Address::Client(client) => self.clients.get(client),
            Address::User(user) => self.users.get(user),
            Address::Topic(topic) => self.topics.get(topic),
        };
        Listeners::These(match list {
            None => &[],
            Some(List::One(stream)) => std::slice::from_ref(stream),
            Some(List::Many(streams)) => streams,
        })
    }

    /// Adds a stream. Returns its place in each of its lists: of its client, its user, its topics.
    pub(super) fn add(&mut self, identity: &Identity, stream: u32) -> Box<[u32]> {
        let client = std::iter::once(add(&mut self.clients, &identity.client_id, stream));
        let user = identity.user_id.iter().map(|user| add(&mut self.users, user, stream));
        let topics = identity.topics.iter().map(|topic| add(&mut self.topics, topic, stream));
        client.chain(user).chain(topics).collect()
    }

    /// Takes a stream out. Returns the streams that took its places.
    pub(super) fn remove(&mut self, identity: &Identity, places: &[u32]) -> Vec<Moved> {
        let Self { clients, users, topics, .. } = self;
        let mut places = places.iter().copied();
        let mut moved = Vec::new();
        let mut note = |stream: Option<u32>, at: u32, address: Address| {
            moved.extend(stream.map(|stream| Moved { stream, address, at }));
        };
        if let Some(at) = places.next() {
            let client = &identity.client_id;
            note(remove(clients, client, at), at, Address::Client(client.clone()));
        }
        for (user, at) in identity.user_id.iter().zip(&mut places) {
            note(remove(users, user, at), at, Address::User(user.clone()));
        }
        for (topic, at) in identity.topics.iter().zip(places) {
            note(remove(topics, topic, at), at, Address::Topic(topic.clone()));
        }
        moved
    }
}

fn add<N: Hash + Eq + Clone>(lists: &mut HashMap<N, List>, name: &N, stream: u32) -> u32 {
    match lists.get_mut(name) {
        None => {
            lists.insert(name.clone(), List::One(stream));
            0
        }
        Some(list) => {
            if let List::One(first) = list {
                *list = List::Many(vec![*first]);
            }
            let List::Many(streams) = list else { return 0 };
            streams.push(stream);
            u32::try_from(streams.len() - 1).unwrap_or(u32::MAX)
        }
    }
}

/// Takes the stream at a place out. Returns the one that stands there now, if any does.
fn remove<N: Hash + Eq>(lists: &mut HashMap<N, List>, name: &N, at: u32) -> Option<u32> {
    let List::Many(streams) = lists.get_mut(name)? else {
        lists.remove(name);
        return None;
    };
    streams.swap_remove(at as usize);
    let moved = streams.get(at as usize).copied();
    if streams.is_empty() {
        lists.remove(name);
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::connections::tests::identity;

    #[test]
    fn whoever_leaves_is_in_no_list_and_the_others_are_found() {
        let node = NodeId::parse("n").unwrap();
        let mut lists = Lists::new(node.clone());
        let mut open = Vec::new();
        for stream in 0..40_u32 {
            let topics: &[&str] = if stream % 2 == 0 { &["a", "b"] } else { &["b"] };
            let identity = identity(&format!("c{}", stream % 10), (stream % 3 == 0).then_some("u"), topics);
            let places = lists.add(&identity, stream);
            open.push((stream, identity, places));
        }
        while !open.is_empty() {
            let index = open.len() * 7 / 11;
            let (_, identity, places) = open.swap_remove(index);
            for moved in lists.remove(&identity, &places) {
                let (_, identity, places) =
                    open.iter_mut().find(|(stream, ..)| *stream == moved.stream).unwrap();
                moved.note(identity, places);
            }
            for text in
                ["client:c0", "client:c7", "node:n/client:c3", "user:u", "topic:a", "topic:b", "topic:x"]
            {
                let address: Address = text.parse().unwrap();
                let Listeners::These(found) = lists.of(&address) else { panic!("not all") };
                let mut found = found.to_vec();
                found.sort_unstable();
                let owed =
                    open.iter().filter(|(_, identity, _)| identity.addresses(&node).contains(&address));
                let mut owed: Vec<_> = owed.map(|(stream, ..)| *stream).collect();
                owed.sort_unstable();
                assert_eq!(found, owed, "{text}");
            }
        }
        assert!(lists.clients.is_empty() && lists.users.is_empty() && lists.topics.is_empty());
        let elsewhere = Address::Node(NodeId::parse("m").unwrap());
        assert_eq!(
            (lists.of(&Address::Node(node)), lists.of(&elsewhere)),
            (Listeners::All, Listeners::These(&[]))
        );
    }
}
