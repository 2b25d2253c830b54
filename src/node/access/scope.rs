//! What the owner of a credential may do. The names in a request are checked against it. Must stay free of any default
//! that allows: an empty scope may nothing. Read [`Scope`] first.

use rand::{Rng, RngExt as _};

use super::pattern::{AddressPattern, Pattern};
use super::revocations::is_reserved;
use crate::node::limits::EXPIRY_SPREAD;
use crate::protocol::event::InvalidMessageId;
use crate::protocol::path::segment;
use crate::protocol::{Address, ClientId, MessageId, Topic, UserId};

/// What the owner of a token or API key may read and write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// `None`: it reads nothing.
    pub(crate) read: Option<ReadScope>,
    pub(crate) write: Vec<AddressPattern>,
    /// It sees and manages the node. Not included: publishing.
    pub(crate) operator: bool,
    /// Whose ids of messages are its own: of an API key its id, of a token `user:` and the user.
    pub(crate) publisher: Option<Box<str>>,
    /// Seconds since 1970 at which it ends; `None` for API keys.
    pub(crate) expires_at: Option<u64>,
    /// Seconds since 1970 at which it was issued, if the token says so.
    pub(crate) issued_at: Option<u64>,
    /// The `jti` of the token.
    pub(crate) token_id: Option<Box<str>>,
}

/// Whose events a caller reads, besides those that are for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ReadScope {
    /// The user that the caller is.
    pub(crate) user: Option<UserId>,
    pub(crate) users: Vec<Pattern>,
    pub(crate) clients: Vec<Pattern>,
    pub(crate) topics: Vec<Pattern>,
    /// What a stream subscribes to when its request names no topic.
    pub(crate) default_topics: Vec<Topic>,
}

/// Why a caller may not do something: what it named, and what its credential would need.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Denied(String);

impl Denied {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl ReadScope {
    /// That of an operator, or of a key with the role `read`.
    pub(crate) fn everything() -> Self {
        let any = || vec![Pattern::any()];
        Self { users: any(), clients: any(), topics: any(), ..Self::default() }
    }

    fn has(patterns: &[Pattern], name: &str) -> bool {
        patterns.iter().any(|pattern| pattern.matches(name))
    }
}

impl Scope {
    /// That of an operator without a token.
    pub(crate) fn operator() -> Self {
        Self { operator: true, read: Some(ReadScope::everything()), ..Self::default() }
    }

    /// Whether events to this address may be read.
    pub(crate) fn may_read(&self, address: &Address) -> bool {
        let Some(read) = self.read.as_ref().filter(|_| !is_reserved(address)) else { return false };
        match address {
            // Every stream gets them.
            Address::All | Address::Node(_) => true,
            Address::Topic(topic) => ReadScope::has(&read.topics, topic.as_str()),
            Address::User(user) => {
                read.user.as_ref() == Some(user) || ReadScope::has(&read.users, user.as_str())
            }
            Address::Client(client) | Address::NodeClient(_, client) => {
                ReadScope::has(&read.clients, client.as_str())
            }
        }
    }

    /// Whether events to this address may be published.
    pub(crate) fn may_write(&self, address: &Address) -> bool {
        !is_reserved(address) && self.write.iter().any(|pattern| pattern.matches(address))
    }

    /// # Errors
    /// [`Denied`] names the address.
    pub(crate) fn check_read(&self, address: &Address) -> Result<(), Denied> {
        if self.may_read(address) { Ok(()) } else { Err(denied("read", address)) }
    }

    /// # Errors
    /// [`Denied`] names the address.
    pub(crate) fn check_write(&self, address: &Address) -> Result<(), Denied> {
        if self.may_write(address) { Ok(()) } else { Err(denied("publish to", address)) }
    }

    /// Whether the caller may know who is connected and how far an event to this address came: who reads its events, and
    /// who publishes to it.
    ///
    /// # Errors
    /// [`Denied`] names the address.
    pub(crate) fn check_watch(&self, address: &Address) -> Result<(), Denied> {
        if self.may_write(address) { Ok(()) } else { self.check_read(address) }
    }

    /// The user of a stream: the one of the request, which the scope must allow, or else that of the token.
    ///
    /// # Errors
    /// [`Denied`] names the user.
    pub(crate) fn stream_user(&self, requested: Option<UserId>) -> Result<Option<UserId>, Denied> {
        match requested {
            Some(user) => self.check_read(&Address::User(user.clone())).map(|()| Some(user)),
            None => Ok(self.read.as_ref().and_then(|read| read.user.clone())),
        }
    }

    /// The topics of a stream.
    ///
    /// # Errors
    /// [`Denied`] names the first topic that the scope does not allow.
    pub(crate) fn stream_topics(&self, requested: Vec<Topic>) -> Result<Vec<Topic>, Denied> {
        if requested.is_empty() {
            return Ok(self.read.as_ref().map(|read| read.default_topics.clone()).unwrap_or_default());
        }
        requested.iter().try_for_each(|topic| self.check_read(&Address::Topic(topic.clone())))?;
        Ok(requested)
    }

    /// The id of a message that a publisher named: its own name in front keeps it apart from the same id of another one.
    ///
    /// # Errors
    /// Both together are too long.
    pub(crate) fn own_message_id(&self, id: &MessageId) -> Result<MessageId, InvalidMessageId> {
        let publisher = self.publisher.as_deref().unwrap_or("token");
        MessageId::parse(&format!("{publisher}/{}", id.as_str()))
    }

    /// The second since 1970 at which a stream ends that is opened `now`: somewhat before the token, see
    /// [`EXPIRY_SPREAD`]. `u32::MAX` means never.
    pub(crate) fn stream_end(&self, now: u64, rng: &mut impl Rng) -> u32 {
        let Some(expires_at) = self.expires_at else { return u32::MAX };
        let spread = (expires_at.saturating_sub(now) / 10).min(EXPIRY_SPREAD.as_secs());
        u32::try_from(expires_at - rng.random_range(0..=spread)).unwrap_or(u32::MAX - 1)
    }

    /// Checks the client id of a request.
    ///
    /// # Errors
    /// [`Denied`] says which client ids are allowed.
    pub(crate) fn check_client(&self, client: &ClientId) -> Result<(), Denied> {
        self.check_read(&Address::Client(client.clone()))
    }
}

fn denied(what: &str, address: &Address) -> Denied {
    let hint = match address {
        Address::Client(_) if what == "read" => {
            "; without a list of clients in its token, a user with the id U may be the clients U and U:…"
        }
        _ => "",
    };
    Denied::new(format!("this credential does not allow to {what} {address}{hint}"))
}

/// The publisher that a user is. No id of an API key has a colon.
pub(super) fn publisher(user: &UserId) -> Box<str> {
    format!("user:{}", segment(user.as_str())).into()
}

/// The client ids of a user whose token lists none: the user's own id, alone and with a colon behind it. A user id that
/// has a colon gets none, since `a:b` could be a client of the user `a` too.
pub(crate) fn own_clients(user: &UserId) -> Vec<Pattern> {
    let user = user.as_str();
    if user.contains(':') {
        return Vec::new();
    }
    vec![Pattern::exact(user), Pattern::prefix(&format!("{user}:"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Scope {
        let user = UserId::parse("alice").unwrap();
        let read = ReadScope {
            clients: own_clients(&user),
            user: Some(user),
            topics: vec![Pattern::parse("orders.*").unwrap()],
            ..ReadScope::default()
        };
        Scope { read: Some(read), ..Scope::default() }
    }

    #[test]
    fn a_user_reads_its_own_and_what_is_for_all() {
        let scope = alice();
        for (address, allowed) in [
            ("all", true),
            ("node:n", true),
            ("user:alice", true),
            ("user:bob", false),
            ("user:alice2", false),
            ("client:alice", true),
            ("client:alice:tab-1", true),
            ("client:alice2", false),
            ("client:bob", false),
            ("node:n/client:alice", true),
            ("node:n/client:bob", false),
            ("topic:orders.eu", true),
            ("topic:orders", false),
        ] {
            let address: Address = address.parse().unwrap();
            assert_eq!(scope.may_read(&address), allowed, "{address}");
            assert!(!scope.may_write(&address), "{address}");
        }
    }

    #[test]
    fn two_users_have_no_client_id_in_common() {
        let users = ["a", "b", "a:b", "ab"].map(|user| UserId::parse(user).unwrap());
        for client in ["a", "b", "a:b", "ab", "a:b:c", "b:a"] {
            let owners = users.iter().filter(|user| ReadScope::has(&own_clients(user), client)).count();
            assert!(owners <= 1, "{client}");
        }
    }

    #[test]
    fn ids_of_messages_are_those_of_their_publisher() {
        let scope = |publisher: &str| Scope { publisher: Some(publisher.into()), ..Scope::default() };
        let id = |text: &str| MessageId::parse(text).unwrap();
        let user = publisher(&UserId::parse("für").unwrap());
        assert_eq!(scope(&user).own_message_id(&id("a")).unwrap(), id("user:f%C3%BCr/a"));
        assert_eq!(scope("shop").own_message_id(&id("a/b")).unwrap(), id("shop/a/b"));
        assert!(scope("shop").own_message_id(&id(&"x".repeat(124))).is_err());
    }

    #[test]
    fn nobody_reads_or_writes_revocations() {
        let everything = Scope {
            read: Some(ReadScope::everything()),
            write: vec![AddressPattern::Everything],
            operator: true,
            ..Scope::default()
        };
        for address in ["client:~revocations", "node:n/client:~revocations"] {
            let address = address.parse().unwrap();
            assert!(!everything.may_read(&address) && !everything.may_write(&address), "{address}");
        }
    }

    #[test]
    fn streams_end_before_their_tokens_and_not_all_at_once() {
        let mut rng = rand::rng();
        let mut end = |expires_at| Scope { expires_at, ..Scope::default() }.stream_end(1_000_000, &mut rng);
        for (left, spread) in [(0, 0), (9, 0), (60, 6), (3_600, 30)] {
            let last = 1_000_000 + left;
            let ends: std::collections::BTreeSet<_> = (0..200).map(|_| end(Some(last.into()))).collect();
            assert!(ends.iter().all(|one| (last - spread..=last).contains(one)), "{left}: {ends:?}");
            assert!(ends.len() > spread as usize / 2, "{left}: {ends:?}");
        }
        assert_eq!((end(None), end(Some(u64::MAX))), (u32::MAX, u32::MAX - 1));
    }

    #[test]
    fn an_empty_scope_allows_nothing() {
        let scope = Scope::default();
        for address in ["all", "topic:a", "user:a", "client:a", "node:a", "node:a/client:a"] {
            let address = address.parse().unwrap();
            assert!(!scope.may_read(&address) && !scope.may_write(&address), "{address}");
            assert!(scope.check_watch(&address).is_err(), "{address}");
        }
    }

    #[test]
    fn a_stream_gets_the_user_and_topics_of_its_token_where_the_request_names_none() {
        let mut scope = alice();
        let topic = |name: &str| Topic::parse(name).unwrap();
        assert_eq!(scope.stream_user(None).unwrap(), UserId::parse("alice").ok());
        assert!(scope.stream_user(UserId::parse("bob").ok()).unwrap_err().to_string().contains("user:bob"));
        assert_eq!(scope.stream_topics(vec![]).unwrap(), []);
        scope.read.as_mut().unwrap().default_topics = vec![topic("orders.eu")];
        assert_eq!(scope.stream_topics(vec![]).unwrap(), [topic("orders.eu")]);
        assert_eq!(scope.stream_topics(vec![topic("orders.us")]).unwrap(), [topic("orders.us")]);
        assert!(scope.stream_topics(vec![topic("orders.us"), topic("x")]).is_err());
    }
}
