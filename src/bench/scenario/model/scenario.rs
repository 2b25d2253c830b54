//! A scenario, checked and ready to plan: every value here is within its allowed range, every name parsed.
//! Read [`Scenario`] first.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::cluster::{Cluster, Lb, Tls};
use super::faults::{FaultSpec, Nemesis};
use super::links::LinkKind;
use crate::bench::metrics::threshold::Threshold;
use crate::bench::scenario::dialect::Dialect;
use crate::bench::scenario::read::template::Template;

/// What is run and judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Name: letters, digits, `-` and `_`.
    pub name: String,
    /// A sentence for people; may be empty.
    pub description: String,
    /// One seed for arrivals, targets, payload sizes, jitter and fault targets.
    pub seed: u64,
    /// How long publishers publish and faults happen, the warm-up included. Quiescence comes after it.
    pub duration: Duration,
    /// The first part of `duration`, recorded with `phase:warmup`.
    pub warmup: Duration,
    /// What is judged.
    pub cluster: Cluster,
    /// How the servers are spoken to; `None`: as `sse-node` is.
    pub dialect: Option<Dialect>,
    /// Which links pass the fault proxy.
    pub proxied: Vec<LinkKind>,
    /// Whose certificates are accepted.
    pub tls: Tls,
    /// Who chooses a node for the swarm, and how.
    pub lb: Lb,
    /// Processes that the clients are spread over; `None`: as many as the limit of open files asks for.
    pub workers: Option<u16>,
    /// Groups of virtual clients, in the order of their names.
    pub clients: Vec<ClientGroup>,
    /// Publishers, in the order of their names.
    pub publishers: Vec<PublisherSpec>,
    /// Faults, in the order of the file.
    pub faults: Vec<FaultSpec>,
    /// More of them, drawn from the seed.
    pub nemesis: Option<Nemesis>,
    /// What must hold.
    pub verify: Verify,
    /// What must hold of the metrics.
    pub thresholds: Vec<Threshold>,
    /// Where results go.
    pub output: Output,
}

/// A group of virtual clients that do the same.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientGroup {
    /// Name; the tag `group`.
    pub name: String,
    /// How many, and when.
    pub executor: Executor,
    /// So much later than the executor says.
    pub joins: Duration,
    /// What they listen to.
    pub subscribe: Subscribe,
    /// What they do when a stream ends.
    pub reconnect: Reconnect,
    /// How they read the stream.
    pub decoder: DecoderKind,
    /// Silence after which they take a stream for dead.
    pub idle_timeout: Duration,
    /// Nodes that they connect to, counted from zero; all where none is named.
    pub nodes: Vec<u16>,
    /// Whether they are owed what was put into their mailboxes before they came.
    pub mailbox: bool,
    /// How long each of them stays; `None`: as long as the executor says.
    pub session: Option<Session>,
    /// How slowly they read; `None`: as fast as they can.
    pub read: Option<Reading>,
    /// Local addresses that their connections start from, in turn; empty: what the system chooses.
    pub sources: Vec<Ipv4Addr>,
    /// Sent with each connect. Names and values have been checked.
    pub headers: Vec<(String, String)>,
}

/// How long a client stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The mean of all.
    pub mean: Duration,
    /// How they differ.
    pub spread: Spread,
    /// Whether a new client comes for each that leaves.
    pub churn: bool,
}

/// How lengths differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Not at all.
    Constant,
    /// As if who has stayed for long were as likely to leave as who has just come.
    Exponential,
}

/// How slowly a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Bytes of events in a second; `None`: any number.
    pub bytes_per_sec: Option<u32>,
    /// Reads for so long, then does not for so long.
    pub pause: Option<(Duration, Duration)>,
    /// Size of the socket's receive buffer, as it is asked of the kernel, in bytes.
    pub receive_buffer: Option<u32>,
}

/// How many clients there are, and when.
#[derive(Debug, Clone, PartialEq)]
pub enum Executor {
    /// All from the beginning to the end.
    Constant {
        /// How many.
        clients: u32,
        /// Zero: they connect before the run's clock starts. Else they join evenly over this time.
        ramp: Duration,
    },
    /// As many as the stages say. Clients that are no longer wanted leave, the newest first.
    Ramping {
        /// One after the other, from zero clients on.
        stages: Vec<Stage>,
    },
    /// New clients come at a rate, however many are there.
    ArrivalRate {
        /// When.
        pace: Pace,
    },
}

/// A straight line to a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stage {
    /// How long.
    pub duration: Duration,
    /// Clients (or events per second) at its end.
    pub target: f64,
}

/// What client number `i` of a group listens to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Subscribe {
    /// Topics.
    pub topics: Vec<Template>,
    /// User id.
    pub user: Option<Template>,
    /// Client id; without one the client is named `<group>-<i>`.
    pub client: Option<Template>,
}

/// What a client does when its stream ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reconnect {
    /// Whom it behaves like.
    pub policy: ReconnectPolicy,
    /// Whether it says `Last-Event-ID`.
    pub last_event_id: bool,
    /// Added to every wait: up to this share of it, at random; 0 to 1.
    pub jitter: f64,
    /// Longest wait.
    pub max_delay: Duration,
}

/// Whom a reconnecting client behaves like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReconnectPolicy {
    /// An EventSource: obeys `retry:`, never comes back after a status other than 200.
    Browser,
    /// A fetch-based client: as the libraries do, stops at a clean end.
    Fetch,
    /// Comes back from everything but 204.
    Tolerant,
    /// Never comes back.
    None,
}

/// Which decoder reads the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecoderKind {
    /// Ours.
    Strict,
    /// The crate of that name.
    EventsourceStream,
}

/// A source of events.
#[derive(Debug, Clone, PartialEq)]
pub struct PublisherSpec {
    /// Name.
    pub name: String,
    /// When events are due.
    pub pace: Pace,
    /// Publishes without an answer, beyond which one that is due is dropped and counted.
    pub max_in_flight: u32,
    /// Shares of the kinds of addresses; at least one is above zero.
    pub mix: Mix,
    /// Size of `data`.
    pub payload: PayloadSize,
    /// 0 or 1.
    pub qos: u8,
    /// Whether a publish without a definite answer is sent again, with the same id. Not for a cluster that does not
    /// know idempotency keys.
    pub retry: bool,
    /// Nodes that events are posted to, counted from zero; all where none is named.
    pub nodes: Vec<u16>,
    /// Sent with each publish. Names and values have been checked.
    pub headers: Vec<(String, String)>,
}

/// When events are due.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    /// How they are spread.
    pub arrival: Arrival,
    /// Events per second: straight lines, one after the other, beginning at `from`.
    pub from: f64,
    /// The lines. A constant rate is one stage with the same rate.
    pub stages: Vec<Stage>,
}

/// How arrivals are spread at a given rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Evenly.
    Uniform,
    /// At random, as independent sources would.
    Poisson,
}

/// Weights of the kinds of addresses; they need not sum up to one.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Mix {
    /// To all.
    pub broadcast: f64,
    /// To one of the topics that clients subscribed to.
    pub topic: f64,
    /// To one of the users.
    pub user: f64,
    /// To one of the clients.
    pub client: f64,
}

/// Size of a payload in bytes, before the envelope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PayloadSize {
    /// Always this.
    Fixed(u32),
    /// Log-normal.
    LogNormal {
        /// Half of them are smaller.
        median: u32,
        /// One of a hundred is larger.
        p99: u32,
    },
}

/// What must hold of the deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verify {
    /// The guarantee.
    pub delivery: Guarantee,
    /// Whether order is judged.
    pub order: Order,
    /// Whether a declared gap is forgiven.
    pub gaps: Gaps,
    /// How the end is awaited.
    pub quiesce: Quiesce,
    /// Whether every mailbox that got something must be empty in the end.
    pub mailboxes_empty: bool,
}

/// What is owed to a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// What was published while a session was open. What is published between sessions may be missed.
    AtMostOnce,
    /// What was published between the first confirmed subscription and the final close, across all reconnects.
    /// Across a reconnect an event may be repeated, within a session never.
    AtLeastOnce,
    /// The same, and nothing is ever repeated.
    ExactlyOnce,
}

/// Which order is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// None.
    None,
    /// Events of one publisher to one address, of which the second was sent after the first was acknowledged,
    /// arrive in this order within a session.
    PerPublisherAddress,
}

/// Whether a declared gap is forgiven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gaps {
    /// An event that the server itself said to be missing is counted, and forgiven.
    Allowed,
    /// It fails the run, under its own name.
    Forbidden,
}

/// How the end is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiesce {
    /// The run is quiet when nothing arrived anywhere for this long.
    pub idle: Duration,
    /// What is not there by then is unknown, not lost.
    pub timeout: Duration,
    /// Whether fresh clients read everything again from the oldest event on.
    pub audit_read: bool,
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Directory of the run; `{name}` and `{seed}` are filled in. `None`: `runs/<name>-<time>`.
    pub dir: Option<String>,
    /// What is written there.
    pub formats: Vec<OutputFormat>,
    /// Where it is asked for metrics while the run goes on.
    pub prometheus: Option<SocketAddr>,
}

/// What a report is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For CI.
    Junit,
    /// One page for a browser.
    Html,
    /// For a comment on a pull request.
    Md,
    /// Tables for a spreadsheet.
    Csv,
    /// A histogram a second, for HdrHistogram's tools.
    Hlog,
    /// Percentiles, as HdrHistogram prints them.
    Hgrm,
}

impl OutputFormat {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Text, Self::Json, Self::Junit, Self::Html, Self::Md, Self::Csv, Self::Hlog, Self::Hgrm];

    /// Its name in scenarios and flags.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Junit => "junit",
            Self::Html => "html",
            Self::Md => "md",
            Self::Csv => "csv",
            Self::Hlog => "hlog",
            Self::Hgrm => "hgrm",
        }
    }

    /// The format of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}
