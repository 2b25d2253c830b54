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

use futures_util::{StreamExt as _, stream};
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
use crate::protocol::{ClientId, ConnectionId};

/// A stream that is its client's newest, as far as its node knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claim {
    /// Whose.
    pub(crate) client_id: ClientId,
    /// Which.
    pub(crate) connection_id: ConnectionId,
}

/// Lives of other nodes, and whether they know all that this one claims.
type Told = HashMap<Arc<str>, bool>;

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
        let newest = ids.max().unwrap_or(&claim.connection_id).clone();
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

    /// Tells the other nodes of claims until the token ends it.
    pub(crate) async fn run(self, peers: Arc<Peers>, token: CancellationToken) {
        let mut knew = Told::new();
        let mut look = tokio::time::interval(BEAT_EVERY);
        loop {
            let view = tokio::select! {
                () = token.cancelled() => return,
                () = self.shared.wake.notified() => self.shared.roster.read().await,
                // Nothing new here: what the roster's own task has seen is new enough.
                _ = look.tick() => self.shared.roster.known(),
            };
            let others = view.others(self.shared.roster.incarnation());
            let told = self.tell(&peers, &others, &knew);
            knew = tokio::select! {
                () = token.cancelled() => return,
                told = told => told,
            };
        }
    }

    /// Tells what is new, and everything to those who may not have heard it. Returns who knows everything now.
    async fn tell(&self, peers: &Peers, others: &[Member], knew: &Told) -> Told {
        let news = std::mem::take(&mut *self.pending());
        let told = stream::iter(others.to_vec()).map(async |member: Member| {
            let before = knew.get(&member.incarnation).copied();
            let claims = if before == Some(true) { news.clone() } else { self.all() };
            let failure = self.tell_one(peers, &member, claims).await.err();
            if let Some(unreachable) = failure.as_ref().filter(|_| before != Some(false)) {
                let (node, reason) = (&unreachable.instance_id, &unreachable.reason);
                tracing::warn!(%node, reason, "a node cannot be told which streams took over; trying again");
            }
            (Arc::clone(&member.incarnation), failure.is_none())
        });
        told.buffer_unordered(peers.at_once()).collect().await
    }

    async fn tell_one(
        &self,
        peers: &Peers,
        member: &Member,
        claims: BTreeMap<ClientId, ConnectionId>,
    ) -> Result<(), crate::protocol::api::Unreachable> {
        let claims: Vec<_> =
            claims.into_iter().map(|(client_id, connection_id)| Claim { client_id, connection_id }).collect();
        for claims in claims.chunks(CLAIMS_AT_ONCE) {
            let question = Question::new(Method::POST, "/cluster/claims").body(&claims);
            let newer: Vec<Claim> = peers.ask_one(member, &question).await?;
            self.settle(&newer);
        }
        Ok(())
    }
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
    use crate::node::roster::tests::{member, roster, server};
    use crate::runtime::Tasks;
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
        let others = [member("2", row)];
        let knew = Told::new();
        let (told, question) = tokio::join!(claims.tell(&peers, &others, &knew), node);
        assert_eq!(told, [(Arc::from("2"), true)].into());
        let claimed = r#"[{"clientId":"a","connectionId":"5"},{"clientId":"b","connectionId":"6"}]"#;
        assert!(question.starts_with("POST /cluster/claims ") && question.ends_with(claimed), "{question}");
        assert!(is_taken_over(streams[0].connection()) && !is_taken_over(streams[1].connection()));
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
