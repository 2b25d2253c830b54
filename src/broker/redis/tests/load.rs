//! Three nodes on one log under load, each with a reader that is always there; and the fate of every event.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ablation::Ablation;
use crate::broker::redis::Redis;
use crate::broker::{BrokerUrl, Durability, Entry, LogLimits, NewEvent, Page, PageLimit};
use crate::protocol::{Address, Cursor, EventType, MessageId};
use crate::runtime::Tasks;

/// Longer than any failover takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two events: 1,000 a second, spread over the nodes.
const EVERY: Duration = Duration::from_millis(1);

/// A broker with a reader, as a node has them.
struct Node {
    redis: Redis,
    tasks: Tasks,
    seen: Arc<Mutex<Seen>>,
}

/// Everything that a reader got that was connected all the time.
#[derive(Debug, Default)]
struct Seen {
    times: HashMap<MessageId, u32>,
    gaps: u32,
    losses: u32,
    at: Option<Cursor>,
}

/// Events that are published without pause, and their outcomes.
pub(super) struct Load {
    nodes: Vec<Node>,
    publisher: JoinSet<()>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<HashMap<MessageId, Cursor>>>,
    count: Arc<AtomicU64>,
}

/// The fate of the acknowledged events.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) acknowledged: usize,
    /// Acknowledged, and not in the log.
    pub(super) lost: usize,
    /// In the log more than once.
    pub(super) doubled: usize,
    /// Acknowledged, and not seen by a reader that was there; the most of all readers.
    pub(super) missed: usize,
    /// Seen more than once by a reader; the most of all readers.
    pub(super) repeated: usize,
    /// Gaps that were reported to readers.
    pub(super) gaps: u32,
    /// Ends of histories that were reported to readers with a loss.
    pub(super) losses: u32,
}

pub(super) fn event(id: &str) -> NewEvent {
    NewEvent {
        message_id: MessageId::parse(id).unwrap(),
        address: Address::All,
        event_type: EventType::parse("MESSAGE").unwrap(),
        envelope: Arc::from(format!(r#"{{"id":"{id}","data":"{}"}}"#, "x".repeat(200))),
        mailbox: false,
        fresh: false,
    }
}

pub(super) async fn open(url: &str, ablation: Ablation, tasks: &Tasks) -> Redis {
    open_with(url, Durability::Accepted, ablation, tasks).await
}

async fn open_with(url: &str, durability: Durability, ablation: Ablation, tasks: &Tasks) -> Redis {
    let BrokerUrl::Redis(url) = url.parse().unwrap() else { panic!("{url} is no Redis") };
    ablation.scope(Redis::open(&url, LogLimits::default(), durability, tasks)).await.unwrap()
}

impl Node {
    async fn start(url: &str, durability: Durability, ablation: Ablation) -> Self {
        let tasks = Tasks::new();
        let redis = open_with(url, durability, ablation, &tasks).await;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let start = redis.bounds().await.unwrap().newest_cursor();
        let (mut follower, noted) = (redis.follow(start), Arc::clone(&seen));
        let token = tasks.token().clone();
        tasks.spawn("reader", async move {
            let mut had = Vec::new();
            loop {
                let page = tokio::select! {
                    () = token.cancelled() => return,
                    page = follower.next(500) => page,
                };
                // A log that cannot be read for a while is part of these stories.
                let Ok(page) = page else { continue };
                noted.lock().unwrap().note(&page, &mut had);
            }
        });
        Self { redis, tasks, seen }
    }
}

impl Seen {
    /// As the window's readers do.
    fn note(&mut self, page: &Page, had: &mut Vec<Cursor>) {
        if let Some(sync) = &page.sync {
            had.extend(sync.passed());
            self.losses += u32::from(sync.is_lost());
            self.at = Some(sync.to);
        }
        if let Some(gap) = page.gap {
            self.gaps += 1;
            self.at = Some(gap.resumed_after);
        }
        for entry in &page.entries {
            self.at = Some(entry.cursor);
            if !has_had(had, entry) {
                *self.times.entry(entry.message_id.clone()).or_default() += 1;
            }
        }
    }
}

fn has_had(had: &[Cursor], entry: &Entry) -> bool {
    let origins = entry.origins.places().iter();
    origins.clone().any(|at| had.iter().any(|had| at.epoch == had.epoch && at.position <= had.position))
}

impl Load {
    /// Three nodes, and events from now on.
    pub(super) async fn start(url: &str, ablation: Ablation) -> Self {
        Self::start_with(url, Durability::Accepted, ablation).await
    }

    /// As [`Load::start`], acknowledged only when this is so.
    pub(super) async fn start_with(url: &str, durability: Durability, ablation: Ablation) -> Self {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(Node::start(url, durability, ablation).await);
        }
        let brokers: Vec<_> = nodes.iter().map(|node| node.redis.clone()).collect();
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let acknowledged = Arc::new(Mutex::new(HashMap::new()));
        let mut publisher = JoinSet::new();
        let (stopped, acks, counted) = (Arc::clone(&stop), Arc::clone(&acknowledged), Arc::clone(&count));
        publisher.spawn(async move {
            let mut publishing = JoinSet::new();
            let mut interval = tokio::time::interval(EVERY);
            for n in 0.. {
                interval.tick().await;
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let (broker, acks, counted) =
                    (brokers[n % brokers.len()].clone(), Arc::clone(&acks), Arc::clone(&counted));
                publishing.spawn(async move {
                    let event = event(&format!("m{n}"));
                    if let Some(at) = publish(&broker, &event).await {
                        acks.lock().unwrap().insert(event.message_id, at);
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            while publishing.join_next().await.is_some() {}
        });
        Self { nodes, publisher, stop, acknowledged, count }
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until `events` more were acknowledged.
    pub(super) async fn more(&self, events: u64) {
        let (goal, began) = (self.acknowledged() + events, Instant::now());
        while self.acknowledged() < goal {
            assert!(began.elapsed() < PATIENCE, "only {} of {goal} were acknowledged", self.acknowledged());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops publishing, lets the readers arrive, and returns the fate of every event.
    pub(super) async fn end(mut self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        tokio::time::timeout(PATIENCE, self.publisher.join_next())
            .await
            .expect("publishes end")
            .unwrap()
            .unwrap();
        let log = self.settle().await;
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        let mut in_log: HashMap<MessageId, u32> = HashMap::new();
        for entry in &log {
            *in_log.entry(entry.message_id.clone()).or_default() += 1;
        }
        let seen = |node: &Node| std::mem::take(&mut *node.seen.lock().unwrap());
        let seen: Vec<_> = self.nodes.iter().map(seen).collect();
        for node in self.nodes {
            node.tasks.token().cancel();
            assert_eq!(node.tasks.join(Duration::from_secs(60)).await, Ok(()));
            assert_eq!(node.tasks.failure(), None);
        }
        let missed = |seen: &Seen| acknowledged.keys().filter(|id| !seen.times.contains_key(*id)).count();
        let repeated = |seen: &Seen| seen.times.values().filter(|times| **times > 1).count();
        Outcome {
            acknowledged: acknowledged.len(),
            lost: acknowledged.keys().filter(|id| !in_log.contains_key(*id)).count(),
            doubled: in_log.values().filter(|times| **times > 1).count(),
            missed: seen.iter().map(missed).max().unwrap_or(0),
            repeated: seen.iter().map(repeated).max().unwrap_or(0),
            gaps: seen.iter().map(|seen| seen.gaps).sum(),
            losses: seen.iter().map(|seen| seen.losses).sum(),
        }
    }

    /// Waits until nothing moves any more: the log, and every reader at its end or where it stays for good.
    async fn settle(&self) -> Vec<Entry> {
        let began = Instant::now();
        let (mut before, mut since) = (None, Instant::now());
        loop {
            assert!(began.elapsed() < PATIENCE, "the log does not come to rest");
            tokio::time::sleep(Duration::from_millis(50)).await;
            let Ok(bounds) = self.nodes[0].redis.bounds().await else { continue };
            let at: Vec<_> = self.nodes.iter().map(|node| node.seen.lock().unwrap().at).collect();
            let now = (bounds.newest_cursor(), at);
            if before.as_ref() != Some(&now) {
                (before, since) = (Some(now), Instant::now());
            } else if since.elapsed() > Duration::from_millis(2_500) {
                // Longer than a follower waits before it looks whether its history still holds.
                break;
            }
        }
        let mut log = Vec::new();
        let mut at = self.nodes[0].redis.bounds().await.unwrap().start_cursor();
        loop {
            let page = self.nodes[0].redis.read_after(at, PageLimit::entries(500)).await.unwrap();
            let Some(last) = page.entries.last() else { return log };
            at = last.cursor;
            log.extend(page.entries);
        }
    }
}

/// Publishes as a well-behaved publisher does: the same id again until there is an answer.
async fn publish(broker: &Redis, event: &NewEvent) -> Option<Cursor> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE / 2 {
        if let Ok(appended) = broker.append(event.clone()).await {
            return Some(appended.cursor);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    None
}

impl Outcome {
    /// Nothing was lost, and nobody missed anything or got anything twice.
    #[track_caller]
    pub(super) fn assert_whole(&self) {
        assert!(self.acknowledged > 500, "{self:?}");
        let Self { lost, doubled, missed, repeated, gaps, .. } = self;
        assert_eq!((*lost, *doubled, *missed, *repeated, *gaps), (0, 0, 0, 0, 0), "{self:?}");
    }
}
