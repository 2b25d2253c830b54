//! One stream a client, anywhere in the cluster: with `--takeover newest`, whoever opens a stream claims its client,
//! and the older streams of that client are closed for good. Connection ids sort by age, by the clock of the cluster.
//! Read [`Claims::claim`] first.
//!
//! Exactly one stream survives, since each is in the list of its node before it claims: of two nodes that claim the
//! same client at once, the one that is heard second hears of the other, and both compare the same two ids. A node
//! that did not answer, or that appears in the roster, is told everything again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::Method;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::close::CloseCode;
use super::config::TakeOverMode;
use super::connections::{CloseOrder, Connection, Connections};
use super::limits::CLAIMS_AT_ONCE;
use super::peers::{Peers, Question};
use super::roster::{Member, Roster};
use crate::broker::roster::BEAT_EVERY;
use crate::protocol::api::Unreachable;
use crate::protocol::{ClientId, ConnectionId};
use crate::runtime::mutant::{self, Mutant};

/// A stream that is its client's newest, as far as its node knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claim {
    /// Whose.
    pub(crate) client_id: ClientId,
    /// Which.
    pub(crate) connection_id: ConnectionId,
}

/// The claims of a node. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Claims {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    mode: TakeOverMode,
    connections: Connections,
    roster: Roster,
    ids: Mutex<ulid::Generator>,
    /// Not told yet; at most one a client.
    pending: Mutex<BTreeMap<ClientId, ConnectionId>>,
    wake: Notify,
}

impl Claims {
    /// No stream has claimed anything.
    pub(crate) fn new(mode: TakeOverMode, connections: Connections, roster: Roster) -> Self {
        let shared = Shared {
            mode,
            connections,
            roster,
            ids: Mutex::new(ulid::Generator::new()),
            pending: Mutex::default(),
            wake: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Whether older streams are closed at all.
    pub(crate) fn are_made(&self) -> bool {
        self.shared.mode == TakeOverMode::Newest
    }

    /// The id of a new stream. It sorts behind every id that any node has given out before, as far as the clocks of the
    /// nodes that are ahead are known.
    pub(crate) fn next_id(&self) -> ConnectionId {
        let now = UNIX_EPOCH + Duration::from_millis(self.shared.roster.cluster_ms());
        let mut ids = self.shared.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let id = match ids.generate_from_datetime(now) {
            Ok(id) => id,
            Err(overflow) => overflow.commit_overflow_increment(),
        };
        ConnectionId::parse(&id.to_string()).expect("a ULID is a valid name")
    }

    /// A stream has been opened, and is in the list: its client's older streams end, here at once and elsewhere soon.
    pub(crate) fn claim(&self, connection: &Connection) {
        if !self.are_made() {
            return;
        }
        let client_id = connection.identity.client_id.clone();
        let newest = self.keep_newest(&Claim { client_id, connection_id: connection.identity.id.clone() });
        self.pending().insert(newest.client_id, newest.connection_id);
        self.shared.wake.notify_one();
    }

    /// Another node's claims: ends what is older here, and returns what is newer here.
    pub(crate) fn settle(&self, claims: &[Claim]) -> Vec<Claim> {
        if !self.are_made() {
            return Vec::new();
        }
        claims
            .iter()
            .map(|claim| (claim, self.keep_newest(claim)))
            .filter(|(claim, newest)| *claim != newest)
            .map(|(_, newest)| newest)
            .collect()
    }

    /// Ends all streams of the client here but the newest, if that is not an even newer one elsewhere.
    fn keep_newest(&self, claim: &Claim) -> Claim {
        let streams = self.shared.connections.of_client(&claim.client_id);
        let open = streams.iter().filter(|stream| !is_taken_over(stream));
        let ids = open.map(|stream| &stream.identity.id).chain([&claim.connection_id]);
        let newest = if mutant::is_on(Mutant::TakeoverOldest) { ids.min() } else { ids.max() };
        let newest = newest.unwrap_or(&claim.connection_id).clone();
        for stream in streams.iter().filter(|stream| stream.identity.id != newest) {
            let reason = Arc::from("a newer stream of this client has taken over");
            stream.close(CloseOrder { at: Instant::now(), code: CloseCode::TakenOver, reason });
        }
        Claim { client_id: claim.client_id.clone(), connection_id: newest }
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, BTreeMap<ClientId, ConnectionId>> {
        // A holder only moves values in and out; what a panic left is whole.
        self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that this node claims.
    fn all(&self) -> BTreeMap<ClientId, ConnectionId> {
        let mut all = BTreeMap::new();
        for stream in self.shared.connections.all().iter().filter(|stream| !is_taken_over(stream)) {
            let newest =
                all.entry(stream.identity.client_id.clone()).or_insert_with(|| stream.identity.id.clone());
            if *newest < stream.identity.id {
                *newest = stream.identity.id.clone();
            }
        }
        all
    }

    /// Tells the other nodes of claims until the token ends it: each at its own pace, so that one that sleeps keeps nobody
    /// waiting.
    pub(crate) async fn run(self, peers: Arc<Peers>, token: CancellationToken) {
        let mut owed = HashMap::new();
        let mut told = FuturesUnordered::new();
        let mut look = tokio::time::interval(BEAT_EVERY);
        loop {
            let mut tries_again = false;
            tokio::select! {
                () = token.cancelled() => return,
                () = self.shared.wake.notified() => {}
                _ = look.tick() => tries_again = true,
                Some((incarnation, outcome)) = told.next() => note_outcome(&mut owed, &incarnation, &outcome),
            }
            self.note_claims(&mut owed);
            for owed in owed.values_mut().filter(|owed| owed.is_due(tries_again)) {
                let everything = std::mem::take(&mut owed.everything);
                let news = std::mem::take(&mut owed.news);
                owed.is_told = true;
                told.push(self.tell(&peers, owed.member.clone(), if everything { self.all() } else { news }));
            }
        }
    }

    /// What is new is owed to everybody, and everything to whom the roster shows for the first time. That the roster is
    /// what the node's own beat has read is new enough, and no stream waits for the broker.
    fn note_claims(&self, owed: &mut HashMap<Arc<str>, Owed>) {
        let news = std::mem::take(&mut *self.pending());
        let others = self.shared.roster.known().others(self.shared.roster.incarnation());
        owed.retain(|incarnation, _| others.iter().any(|member| member.incarnation == *incarnation));
        for member in others {
            let owed =
                owed.entry(Arc::clone(&member.incarnation)).or_insert_with(|| Owed::everything(member));
            if !owed.everything {
                owed.news.extend(news.clone());
            }
        }
    }

    async fn tell(
        &self,
        peers: &Peers,
        member: Member,
        claims: BTreeMap<ClientId, ConnectionId>,
    ) -> (Arc<str>, Result<(), Unreachable>) {
        let claims: Vec<_> =
            claims.into_iter().map(|(client_id, connection_id)| Claim { client_id, connection_id }).collect();
        for claims in claims.chunks(CLAIMS_AT_ONCE) {
            let question = Question::new(Method::POST, "/cluster/claims").body(&claims);
            match peers.ask_one::<Vec<Claim>>(&member, &question).await {
                Ok(newer) => self.settle(&newer),
                Err(unreachable) => return (member.incarnation, Err(unreachable)),
            };
        }
        (member.incarnation, Ok(()))
    }
}

/// What another node has not been told yet.
#[derive(Debug)]
struct Owed {
    member: Member,
    news: BTreeMap<ClientId, ConnectionId>,
    everything: bool,
    is_told: bool,
    fails: bool,
}

impl Owed {
    fn everything(member: Member) -> Self {
        Self { member, news: BTreeMap::new(), everything: true, is_told: false, fails: false }
    }

    /// One thing after the other; and whoever did not answer is left alone for a while.
    fn is_due(&self, tries_again: bool) -> bool {
        !self.is_told && (self.everything || !self.news.is_empty()) && (!self.fails || tries_again)
    }
}

fn note_outcome(
    owed: &mut HashMap<Arc<str>, Owed>,
    incarnation: &Arc<str>,
    outcome: &Result<(), Unreachable>,
) {
    let Some(owed) = owed.get_mut(incarnation) else { return };
    owed.is_told = false;
    if let Err(unreachable) = outcome {
        if !owed.fails {
            let (node, reason) = (&unreachable.instance_id, &unreachable.reason);
            tracing::warn!(%node, reason, "a node cannot be told which streams took over; trying again");
        }
        owed.everything = true;
        owed.news.clear();
    }
    owed.fails = outcome.is_err();
}

fn is_taken_over(stream: &Connection) -> bool {
    stream.close_order().is_some_and(|order| order.code == CloseCode::TakenOver)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Broker, BrokerUrl, Durability, LogLimits};
    use crate::node::connections::Registered;
    use crate::node::connections::tests::idle;
    use crate::node::metrics::Metrics;
    use crate::node::peers::PeerLimits;
    use crate::node::roster::tests::{member, roster, roster_beside_a_clock_ahead, server};
    use crate::runtime::Tasks;
    use crate::runtime::clock::unix_ms;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    async fn claims(mode: TakeOverMode, connections: &Connections) -> Claims {
        let tasks = Tasks::new();
        let log = Broker::open(&BrokerUrl::Memory, LogLimits::default(), Durability::Accepted, &tasks).await;
        tasks.token().cancel();
        Claims::new(mode, connections.clone(), roster(&log.unwrap()).await)
    }

    fn open(streams: &[Registered]) -> Vec<&str> {
        let open = streams.iter().map(Registered::connection).filter(|stream| !is_taken_over(stream));
        open.map(|stream| stream.identity.id.as_str()).collect()
    }

    fn claim(client: &str, id: &str) -> Claim {
        let connection_id = ConnectionId::parse(id).unwrap();
        Claim { client_id: ClientId::parse(client).unwrap(), connection_id }
    }

    #[tokio::test]
    async fn of_a_client_the_newest_stream_stays() {
        let connections = Connections::default();
        let claims = claims(TakeOverMode::Newest, &connections).await;
        let streams: Vec<_> = ["5", "3", "7"].into_iter().map(|id| idle(&connections, "a", id)).collect();
        let _other = idle(&connections, "b", "1");
        // The order in which they come to claim does not matter.
        for stream in &streams {
            claims.claim(stream.connection());
        }
        assert_eq!(open(&streams), ["7"]);
        assert_eq!(claims.settle(&[claim("a", "6"), claim("b", "2"), claim("c", "1")]), [claim("a", "7")]);
        assert_eq!(open(&streams), ["7"]);
        assert_eq!(claims.settle(&[claim("a", "8")]), []);
        assert_eq!(open(&streams), [""; 0]);
        assert_eq!(connections.of_client(&claim("b", "1").client_id).len(), 1);
    }

    #[tokio::test]
    async fn nobody_takes_over_unless_that_is_asked_for() {
        let connections = Connections::default();
        let claims = claims(TakeOverMode::Off, &connections).await;
        let streams = [idle(&connections, "a", "1"), idle(&connections, "a", "2")];
        claims.claim(streams[1].connection());
        assert_eq!(claims.settle(&[claim("a", "9")]), []);
        assert_eq!(open(&streams), ["1", "2"]);
        assert!(claims.pending().is_empty());
    }

    #[tokio::test]
    async fn a_stream_comes_behind_those_of_a_node_whose_clock_is_ahead() {
        let hour = 3_600_000;
        let roster = roster_beside_a_clock_ahead(hour).await;
        let claims = Claims::new(TakeOverMode::Newest, Connections::default(), roster);
        let id: ulid::Ulid = claims.next_id().as_str().parse().unwrap();
        assert!(id.timestamp_ms() > unix_ms() + hour - 60_000, "{id}");
    }

    #[tokio::test]
    async fn ids_sort_in_the_order_in_which_they_were_given_out() {
        let claims = claims(TakeOverMode::Newest, &Connections::default()).await;
        let ids: Vec<_> = (0..10_000).map(|_| claims.next_id()).collect();
        assert!(ids.is_sorted() && ids.iter().collect::<std::collections::HashSet<_>>().len() == ids.len());
    }

    /// A stream that was slow to open: its client has come to another node, which has claimed it, in the meantime.
    #[tokio::test]
    async fn a_stream_ends_that_hears_of_a_newer_one_when_it_claims() {
        let connections = Connections::default();
        let claims = claims(TakeOverMode::Newest, &connections).await;
        let streams = [idle(&connections, "a", "5"), idle(&connections, "b", "6")];
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut row = server("n-1", 0, "ready");
        row.url = format!("http://{}", socket.local_addr().unwrap());
        let node = async {
            let body = r#"[{"clientId":"a","connectionId":"9"}]"#;
            let answer =
                format!("HTTP/1.1 200 OK\r\nX-Sse-Peer: 2\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let (mut socket, _) = socket.accept().await.unwrap();
            let mut question = vec![0; 4_096];
            let mut read = 0;
            while !question[..read].ends_with(b"]") {
                read += socket.read(&mut question[read..]).await.unwrap();
            }
            socket.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&question[..read]).into_owned()
        };
        let limits = PeerLimits { deadline: Duration::from_secs(30), at_once: 1, answer_bytes: 1_024 };
        let metrics = Arc::new(Metrics::new(Instant::now()));
        let peers = Peers::new(Arc::from("1"), None, limits, metrics).unwrap();
        let telling = claims.tell(&peers, member("2", row), claims.all());
        let (told, question) = tokio::join!(telling, node);
        assert_eq!(told, (Arc::from("2"), Ok(())));
        let claimed = r#"[{"clientId":"a","connectionId":"5"},{"clientId":"b","connectionId":"6"}]"#;
        assert!(question.starts_with("POST /cluster/claims ") && question.ends_with(claimed), "{question}");
        assert!(is_taken_over(streams[0].connection()) && !is_taken_over(streams[1].connection()));
    }

    #[tokio::test]
    async fn whoever_did_not_answer_is_owed_everything_and_left_alone_for_a_while() {
        let member = member("2", server("n-1", 0, "ready"));
        let incarnation = Arc::clone(&member.incarnation);
        let mut owed = HashMap::from([(Arc::clone(&incarnation), Owed::everything(member.clone()))]);
        let mut is_due = |outcome: Option<bool>| {
            if let Some(is_ok) = outcome {
                let (instance_id, url) = (member.server.instance_id.clone(), String::new());
                let unreachable = Unreachable { instance_id, url, reason: "asleep".to_owned() };
                let outcome = if is_ok { Ok(()) } else { Err(unreachable) };
                note_outcome(&mut owed, &incarnation, &outcome);
            }
            let owed = owed.get_mut("2").unwrap();
            let due = (owed.is_due(false), owed.is_due(true), owed.everything);
            (owed.is_told, owed.everything) = (true, false);
            due
        };
        assert_eq!(is_due(None), (true, true, true));
        assert_eq!(is_due(None), (false, false, false), "it is being told");
        assert_eq!(is_due(Some(false)), (false, true, true));
        assert_eq!(is_due(Some(true)), (false, false, false), "there is nothing to tell");
    }

    /// Streams of one client that are opened at once: on which node each, and in which order they are registered and
    /// their claims heard by the others.
    #[derive(Debug, Clone)]
    struct Race {
        nodes: Vec<usize>,
        order: Vec<usize>,
    }

    fn races() -> impl Strategy<Value = Race> {
        (2..6_usize).prop_flat_map(|streams| {
            let nodes = prop::collection::vec(0..3_usize, streams);
            // Each stream has three steps: registered, heard by the first other node, heard by the second.
            let steps: Vec<_> = (0..streams).flat_map(|stream| [stream; 3]).collect();
            (nodes, Just(steps).prop_shuffle()).prop_map(|(nodes, order)| Race { nodes, order })
        })
    }

    async fn survivors(race: &Race) -> Vec<usize> {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let connections = Connections::default();
            nodes.push((claims(TakeOverMode::Newest, &connections).await, connections));
        }
        let mut streams: Vec<Option<Registered>> = race.nodes.iter().map(|_| None).collect();
        let mut steps = vec![0; streams.len()];
        for stream in &race.order {
            let (own, step) = (race.nodes[*stream], steps[*stream]);
            steps[*stream] += 1;
            let made = claim("a", &stream.to_string());
            let (claims, connections) = &nodes[own];
            if step == 0 {
                let registered = idle(connections, "a", &stream.to_string());
                claims.claim(registered.connection());
                streams[*stream] = Some(registered);
            } else {
                let newer = nodes[(own + step) % 3].0.settle(&[made]);
                claims.settle(&newer);
            }
        }
        let alive = streams
            .iter()
            .enumerate()
            .filter(|(_, stream)| stream.as_ref().is_some_and(|stream| !is_taken_over(stream.connection())));
        alive.map(|(stream, _)| stream).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn of_streams_that_race_exactly_the_newest_survives(race in races()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            prop_assert_eq!(runtime.block_on(survivors(&race)), [race.nodes.len() - 1]);
        }
    }
}
