//! One stream per client in the whole cluster: with `--takeover newest` a new stream claims its client, and the older
//! streams of that client are closed for good. Connection ids sort by age, by the clock of the cluster.
//! Read [`Takeover::claim`] first.
//!
//! Exactly one stream survives, because each stream is in the list of its node before it claims. When two nodes claim
//! the same client at once, the node whose claim arrives second learns of the other claim, and both nodes compare the
//! same two ids. A node that did not answer, or is new in the roster, gets all claims again.

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
use super::config::TakeoverMode;
use super::connections::{CloseOrder, Connection, Connections};
use super::limits::CLAIMS_PER_REQUEST;
use super::peers::{PeerRequest, Peers};
use super::roster::{Member, Roster};
use crate::broker::roster::BEAT_EVERY;
use crate::protocol::api::Unreachable;
use crate::protocol::{ClientId, ConnectionId};

/// The newest stream of a client, as far as the node that sends the claim knows. The JSON of `/cluster/claims`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claim {
    pub(crate) client_id: ClientId,
    pub(crate) connection_id: ConnectionId,
}

/// Closes the older streams of clients, here and on other nodes. Clones share their state.
#[derive(Debug, Clone)]
pub(crate) struct Takeover {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    mode: TakeoverMode,
    connections: Connections,
    roster: Roster,
    ids: Mutex<ulid::Generator>,
    /// Claims of this node that have not been queued for the other nodes yet; at most one per client.
    pending: Mutex<BTreeMap<ClientId, ConnectionId>>,
    wake: Notify,
}

impl Takeover {
    /// A takeover that closes streams only with [`TakeoverMode::Newest`].
    pub(crate) fn new(mode: TakeoverMode, connections: Connections, roster: Roster) -> Self {
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

    /// Whether older streams are closed.
    pub(crate) fn is_enabled(&self) -> bool {
        self.shared.mode == TakeoverMode::Newest
    }

    /// The id of a new stream. It sorts after every id that any node has assigned before, as far as this node knows
    /// how far other clocks are ahead.
    pub(crate) fn next_id(&self) -> ConnectionId {
        let now = UNIX_EPOCH + Duration::from_millis(self.shared.roster.cluster_ms());
        let mut ids = self.shared.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let id = match ids.generate_from_datetime(now) {
            Ok(id) => id,
            Err(overflow) => overflow.commit_overflow_increment(),
        };
        ConnectionId::parse(&id.to_string()).expect("a ULID is a valid name")
    }

    /// Claims the client of a stream that is open and in the list. Older streams of the client end: on this node at
    /// once, on other nodes as soon as the claim reaches them.
    pub(crate) fn claim(&self, connection: &Connection) {
        if !self.is_enabled() {
            return;
        }
        let client_id = connection.identity.client_id.clone();
        let newest = self.keep_newest(&Claim { client_id, connection_id: connection.identity.id.clone() });
        self.pending().insert(newest.client_id, newest.connection_id);
        self.shared.wake.notify_one();
    }

    /// Applies another node's claims: ends older streams of this node, and returns the claims of newer ones.
    pub(crate) fn settle(&self, claims: &[Claim]) -> Vec<Claim> {
        if !self.is_enabled() {
            return Vec::new();
        }
        claims
            .iter()
            .map(|claim| (claim, self.keep_newest(claim)))
            .filter(|(claim, newest)| *claim != newest)
            .map(|(_, newest)| newest)
            .collect()
    }

    /// Ends all streams of the client on this node that are older than the newest known one, which may be the claimed
    /// stream of another node. Returns the claim of the newest.
    fn keep_newest(&self, claim: &Claim) -> Claim {
        let streams = self.shared.connections.of_client(&claim.client_id);
        let open = streams.iter().filter(|stream| !is_taken_over(stream));
        let ids = open.map(|stream| &stream.identity.id).chain([&claim.connection_id]);
        let newest = ids.max().unwrap_or(&claim.connection_id).clone();
        for stream in streams.iter().filter(|stream| stream.identity.id != newest) {
            let reason = Arc::from("a newer stream of this client has taken over");
            stream.close(CloseOrder { at: Instant::now(), code: CloseCode::TakenOver, reason });
        }
        Claim { client_id: claim.client_id.clone(), connection_id: newest }
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, BTreeMap<ClientId, ConnectionId>> {
        // A holder only moves values in and out, so a panic leaves the map intact.
        self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest stream of every client of this node.
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

    /// Sends claims to the other nodes until the token is cancelled. Each node has a queue of its own, so a node that
    /// does not answer delays no other.
    pub(crate) async fn run(self, peers: Arc<Peers>, token: CancellationToken) {
        let mut queues = HashMap::new();
        let mut requests = FuturesUnordered::new();
        let mut retry = tokio::time::interval(BEAT_EVERY);
        loop {
            let mut is_retry = false;
            tokio::select! {
                () = token.cancelled() => return,
                () = self.shared.wake.notified() => {}
                _ = retry.tick() => is_retry = true,
                Some((incarnation, outcome)) = requests.next() => {
                    record_outcome(&mut queues, &incarnation, &outcome);
                }
            }
            self.queue_claims(&mut queues);
            for queue in queues.values_mut().filter(|queue| queue.is_due(is_retry)) {
                let sends_all = std::mem::take(&mut queue.sends_all);
                let recent = std::mem::take(&mut queue.recent);
                queue.is_sending = true;
                let claims = if sends_all { self.all() } else { recent };
                requests.push(self.send(&peers, queue.member.clone(), claims));
            }
        }
    }

    /// Queues new claims for every other node, and all claims for a node that is new in the roster. Uses the roster
    /// that the node's own beat has read, so no stream waits for the broker.
    fn queue_claims(&self, queues: &mut HashMap<Arc<str>, PeerQueue>) {
        let recent = std::mem::take(&mut *self.pending());
        let others = self.shared.roster.known().others(self.shared.roster.incarnation());
        queues.retain(|incarnation, _| others.iter().any(|member| member.incarnation == *incarnation));
        for member in others {
            let queue =
                queues.entry(Arc::clone(&member.incarnation)).or_insert_with(|| PeerQueue::new(member));
            if !queue.sends_all {
                queue.recent.extend(recent.clone());
            }
        }
    }

    /// Sends claims to one node in requests of at most [`CLAIMS_PER_REQUEST`], and applies the newer claims of its
    /// answers.
    async fn send(
        &self,
        peers: &Peers,
        member: Member,
        claims: BTreeMap<ClientId, ConnectionId>,
    ) -> (Arc<str>, Result<(), Unreachable>) {
        let claims: Vec<_> =
            claims.into_iter().map(|(client_id, connection_id)| Claim { client_id, connection_id }).collect();
        for claims in claims.chunks(CLAIMS_PER_REQUEST) {
            let request = PeerRequest::new(Method::POST, "/cluster/claims").body(&claims);
            match peers.ask_one::<Vec<Claim>>(&member, &request).await {
                Ok(newer) => self.settle(&newer),
                Err(unreachable) => return (member.incarnation, Err(unreachable)),
            };
        }
        (member.incarnation, Ok(()))
    }
}

/// Claims that another node has not got yet.
#[derive(Debug)]
struct PeerQueue {
    member: Member,
    /// New claims; empty while `sends_all` is set.
    recent: BTreeMap<ClientId, ConnectionId>,
    /// The next request carries all claims of this node.
    sends_all: bool,
    /// A request is under way.
    is_sending: bool,
    /// The last request failed.
    has_failed: bool,
}

impl PeerQueue {
    /// The queue of a node that has no claim of this node yet.
    fn new(member: Member) -> Self {
        Self { member, recent: BTreeMap::new(), sends_all: true, is_sending: false, has_failed: false }
    }

    /// Whether to send now: one request at a time, and after a failure only at the next retry.
    fn is_due(&self, is_retry: bool) -> bool {
        !self.is_sending && (self.sends_all || !self.recent.is_empty()) && (!self.has_failed || is_retry)
    }
}

fn record_outcome(
    queues: &mut HashMap<Arc<str>, PeerQueue>,
    incarnation: &Arc<str>,
    outcome: &Result<(), Unreachable>,
) {
    let Some(queue) = queues.get_mut(incarnation) else { return };
    queue.is_sending = false;
    if let Err(unreachable) = outcome {
        if !queue.has_failed {
            let (node, reason) = (&unreachable.instance_id, &unreachable.reason);
            tracing::warn!(%node, reason, "cannot tell a node which older streams it must close (--takeover newest); trying again");
        }
        queue.sends_all = true;
        queue.recent.clear();
    }
    queue.has_failed = outcome.is_err();
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
    use crate::node::peers::{PeerLimits, PeerSecurity};
    use crate::node::roster::tests::{member, roster, roster_beside_a_clock_ahead, server};
    use crate::runtime::Tasks;
    use crate::runtime::clock::unix_ms;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    async fn takeover(mode: TakeoverMode, connections: &Connections) -> Takeover {
        let tasks = Tasks::new();
        let log = Broker::open(&BrokerUrl::Memory, LogLimits::default(), Durability::Accepted, &tasks).await;
        tasks.token().cancel();
        Takeover::new(mode, connections.clone(), roster(&log.unwrap()).await)
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
        let takeover = takeover(TakeoverMode::Newest, &connections).await;
        let streams: Vec<_> = ["5", "3", "7"].into_iter().map(|id| idle(&connections, "a", id)).collect();
        let _other = idle(&connections, "b", "1");
        // The order in which they come to claim does not matter.
        for stream in &streams {
            takeover.claim(stream.connection());
        }
        assert_eq!(open(&streams), ["7"]);
        assert_eq!(takeover.settle(&[claim("a", "6"), claim("b", "2"), claim("c", "1")]), [claim("a", "7")]);
        assert_eq!(open(&streams), ["7"]);
        assert_eq!(takeover.settle(&[claim("a", "8")]), []);
        assert_eq!(open(&streams), [""; 0]);
        assert_eq!(connections.of_client(&claim("b", "1").client_id).len(), 1);
    }

    #[tokio::test]
    async fn nobody_takes_over_unless_that_is_asked_for() {
        let connections = Connections::default();
        let takeover = takeover(TakeoverMode::Off, &connections).await;
        let streams = [idle(&connections, "a", "1"), idle(&connections, "a", "2")];
        takeover.claim(streams[1].connection());
        assert_eq!(takeover.settle(&[claim("a", "9")]), []);
        assert_eq!(open(&streams), ["1", "2"]);
        assert!(takeover.pending().is_empty());
    }

    #[tokio::test]
    async fn a_stream_comes_behind_those_of_a_node_whose_clock_is_ahead() {
        let hour = 3_600_000;
        let roster = roster_beside_a_clock_ahead(hour).await;
        let takeover = Takeover::new(TakeoverMode::Newest, Connections::default(), roster);
        let id: ulid::Ulid = takeover.next_id().as_str().parse().unwrap();
        assert!(id.timestamp_ms() > unix_ms() + hour - 60_000, "{id}");
    }

    #[tokio::test]
    async fn ids_sort_in_the_order_in_which_they_were_given_out() {
        let takeover = takeover(TakeoverMode::Newest, &Connections::default()).await;
        let ids: Vec<_> = (0..10_000).map(|_| takeover.next_id()).collect();
        assert!(ids.is_sorted() && ids.iter().collect::<std::collections::HashSet<_>>().len() == ids.len());
    }

    /// A stream that was slow to open: its client has come to another node, which has claimed it, in the meantime.
    #[tokio::test]
    async fn a_stream_ends_that_hears_of_a_newer_one_when_it_claims() {
        let connections = Connections::default();
        let takeover = takeover(TakeoverMode::Newest, &connections).await;
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
        let peers = Peers::new(Arc::from("1"), PeerSecurity::default(), limits, metrics).unwrap();
        let sending = takeover.send(&peers, member("2", row), takeover.all());
        let (sent, question) = tokio::join!(sending, node);
        assert_eq!(sent, (Arc::from("2"), Ok(())));
        let claimed = r#"[{"clientId":"a","connectionId":"5"},{"clientId":"b","connectionId":"6"}]"#;
        assert!(question.starts_with("POST /cluster/claims ") && question.ends_with(claimed), "{question}");
        assert!(is_taken_over(streams[0].connection()) && !is_taken_over(streams[1].connection()));
    }

    #[tokio::test]
    async fn a_node_that_did_not_answer_gets_all_claims_at_the_next_retry() {
        let member = member("2", server("n-1", 0, "ready"));
        let incarnation = Arc::clone(&member.incarnation);
        let mut queues = HashMap::from([(Arc::clone(&incarnation), PeerQueue::new(member.clone()))]);
        let mut is_due = |outcome: Option<bool>| {
            if let Some(is_ok) = outcome {
                let (instance_id, url) = (member.server.instance_id.clone(), String::new());
                let unreachable = Unreachable { instance_id, url, reason: "asleep".to_owned() };
                let outcome = if is_ok { Ok(()) } else { Err(unreachable) };
                record_outcome(&mut queues, &incarnation, &outcome);
            }
            let queue = queues.get_mut("2").unwrap();
            let due = (queue.is_due(false), queue.is_due(true), queue.sends_all);
            (queue.is_sending, queue.sends_all) = (true, false);
            due
        };
        assert_eq!(is_due(None), (true, true, true));
        assert_eq!(is_due(None), (false, false, false), "a request is under way");
        assert_eq!(is_due(Some(false)), (false, true, true));
        assert_eq!(is_due(Some(true)), (false, false, false), "there is nothing to send");
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
            nodes.push((takeover(TakeoverMode::Newest, &connections).await, connections));
        }
        let mut streams: Vec<Option<Registered>> = race.nodes.iter().map(|_| None).collect();
        let mut steps = vec![0; streams.len()];
        for stream in &race.order {
            let (own, step) = (race.nodes[*stream], steps[*stream]);
            steps[*stream] += 1;
            let made = claim("a", &stream.to_string());
            let (takeover, connections) = &nodes[own];
            if step == 0 {
                let registered = idle(connections, "a", &stream.to_string());
                takeover.claim(registered.connection());
                streams[*stream] = Some(registered);
            } else {
                let newer = nodes[(own + step) % 3].0.settle(&[made]);
                takeover.settle(&newer);
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
