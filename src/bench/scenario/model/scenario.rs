//! A checked scenario, ready to plan: every value is within its allowed range, every name is parsed.
//! Read [`Scenario`] first.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::cluster::{Cluster, Lb, Tls};
use super::faults::{FaultSpec, Nemesis};
use super::hostile::HostileGroup;
use super::links::LinkKind;
use super::template::Template;
use crate::bench::metrics::threshold::Threshold;
use crate::bench::scenario::dialect::Dialect;
use crate::protocol::Format;

/// A load test: nodes, load, faults, and what must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// 1 to 64 letters, digits, `-` and `_`.
    pub name: String,
    /// Shown in reports; may be empty.
    pub description: String,
    /// Seed of all draws: arrivals, addresses, payload sizes, jitter and fault targets.
    pub seed: u64,
    /// Time of load and faults, warm-up included. Quiescence comes after it.
    pub duration: Duration,
    /// First part of `duration`, recorded with `phase:warmup`.
    pub warmup: Duration,
    pub cluster: Cluster,
    /// Wire format of the servers; `None`: that of `sse-node`.
    pub dialect: Option<Dialect>,
    /// Kinds of links that pass the fault proxy.
    pub proxied: Vec<LinkKind>,
    /// Accepted certificates of `https` nodes.
    pub tls: Tls,
    /// Load balancing over the nodes.
    pub lb: Lb,
    /// Number of worker processes for the clients; `None`: as few as the limit of open files allows.
    pub workers: Option<u16>,
    /// Groups of virtual clients, in the order of their names.
    pub clients: Vec<ClientGroup>,
    /// Clients that mean harm, in the order of their names.
    pub hostile: Vec<HostileGroup>,
    /// Publishers, in the order of their names.
    pub publishers: Vec<PublisherSpec>,
    /// Faults at fixed times, in the order of the file.
    pub faults: Vec<FaultSpec>,
    /// Faults at times drawn from the seed.
    pub nemesis: Option<Nemesis>,
    /// What must hold of the deliveries.
    pub verify: Verify,
    /// Whether the judge resumes streams itself.
    pub probes: bool,
    /// What must hold of the metrics.
    pub thresholds: Vec<Threshold>,
    /// Report formats and their directory.
    pub output: Output,
    /// Environment variables that left nothing in a text, as `${NAME:-}` does where NAME is not set.
    pub empty_variables: Vec<EmptyVariable>,
}

/// An environment variable that was replaced by nothing. Shown as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmptyVariable {
    /// Key of the text: `publishers.main.token`.
    pub key: String,
    pub name: String,
}

impl fmt::Display for EmptyVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has nothing in the place of the variable {}, which is not set", self.key, self.name)
    }
}

/// Virtual clients with the same behaviour.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientGroup {
    /// Value of the tag `group`.
    pub name: String,
    pub executor: Executor,
    /// Added to each join time of the executor.
    pub joins: Duration,
    pub subscribe: Subscribe,
    pub reconnect: Reconnect,
    pub decoder: DecoderKind,
    pub reading: Reading,
    /// A client gives up a stream without data for this long.
    pub idle_timeout: Duration,
    /// Indices of the nodes to connect to, from 0; empty: all.
    pub nodes: Vec<u16>,
    /// Whether events that reached their mailboxes before they joined are owed to them.
    pub mailbox: bool,
    /// Length of stay of each client; `None`: decided by the executor.
    pub session: Option<Session>,
    /// Read limits; `None`: reads as fast as possible.
    pub read: Option<ReadLimits>,
    /// Local addresses of connections, in turn; empty: chosen by the system.
    pub sources: Vec<Ipv4Addr>,
    /// HTTP headers of each connect: valid names, and templates that make valid values.
    pub headers: Vec<(String, Template)>,
}

/// What the clients of a group ask for and how much they take in. No part of what is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Value of `Accept-Encoding`.
    pub accept_encoding: String,
    /// Longest line and most data of one event, in bytes; `None`: follows from the payloads of the plan.
    pub max_event: Option<u64>,
    /// What they ask for as `format`; `None`: nothing, so that the nodes decide.
    pub format: Option<Format>,
    pub transport: TransportKind,
}

/// Lengths of stay of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    pub mean: Duration,
    pub distribution: Distribution,
    /// Whether a new client joins for each that leaves.
    pub churn: bool,
}

/// Distribution of lengths of stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// All equal to the mean.
    Constant,
    /// Exponential: the chance to leave does not depend on the time stayed.
    Exponential,
}

/// Read limits of a slow client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadLimits {
    /// Bytes of events per second; `None`: no limit.
    pub bytes_per_sec: Option<u32>,
    /// Reads for the first duration, then pauses for the second; `None`: never pauses.
    pub pause: Option<(Duration, Duration)>,
    /// `SO_RCVBUF` as requested from the kernel, in bytes; `None`: the system's default.
    pub receive_buffer: Option<u32>,
}

/// Number of clients over time.
#[derive(Debug, Clone, PartialEq)]
pub enum Executor {
    /// The same number from the start to the end.
    Constant {
        clients: u32,
        /// Zero: all connect before the run's clock starts. Else they join evenly over this time.
        ramp: Duration,
    },
    /// Follows stages. Surplus clients leave, the newest first.
    Ramping {
        /// In order, starting at zero clients.
        stages: Vec<Stage>,
    },
    /// New clients join at a rate, independent of the number connected (open model).
    ArrivalRate { pace: Pace },
}

/// A linear ramp to a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stage {
    pub duration: Duration,
    /// Clients, or clients or events per second, at its end.
    pub target: f64,
}

/// Subscription of client number `i` of a group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Subscribe {
    pub topics: Vec<Template>,
    pub user: Option<Template>,
    /// Template of the client id; `None`: `<group>-<i>`.
    pub client: Option<Template>,
}

/// Behaviour of a client when its stream ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reconnect {
    pub policy: ReconnectPolicy,
    /// Whether the client sends `Last-Event-ID`.
    pub last_event_id: bool,
    /// Each wait is extended at random by up to this share of it, 0 to 1.
    pub jitter: f64,
    /// Upper bound of a wait before a reconnect.
    pub max_delay: Duration,
}

/// The kind of client that the reconnects imitate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReconnectPolicy {
    /// An EventSource (HTML standard, 9.2): obeys `retry:`, gives up after a status other than 200.
    Browser,
    /// A client on top of `fetch`: as the usual libraries, it stops at a clean end.
    Fetch,
    /// Reconnects after everything but status 204.
    Tolerant,
    /// Stays away after its first stream.
    None,
}

/// Which decoder reads the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecoderKind {
    /// The decoder of this crate.
    Strict,
    /// The crate `eventsource-stream`.
    EventsourceStream,
}

/// What reads the sockets of the streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TransportKind {
    /// Loops of epoll, each with a share of the clients. What they cannot do (`https`, a redirect, a user in the URL) goes
    /// on with `reqwest`.
    #[default]
    Loops,
    /// The crate `reqwest`, with a task for each client.
    Reqwest,
}

impl TransportKind {
    /// As in a scenario.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loops => "loops",
            Self::Reqwest => "reqwest",
        }
    }
}

/// A source of events.
#[derive(Debug, Clone, PartialEq)]
pub struct PublisherSpec {
    /// Value of the tag `publisher`.
    pub name: String,
    pub pace: Pace,
    /// Limit of unanswered publishes: an event that is due beyond it is dropped and counted.
    pub max_in_flight: u32,
    /// Whether a publish waits for the answer to the previous one to the same address: a closed loop.
    pub in_order: bool,
    /// Weights of the kinds of addresses; at least one is above zero.
    pub mix: Mix,
    pub payload: PayloadSize,
    /// 0, or 1 for delivery through mailboxes.
    pub qos: u8,
    /// Whether a publish without a definite answer is sent again with the same id. Not for servers without idempotency
    /// keys.
    pub retry: bool,
    /// Indices of the nodes to publish to, from 0; empty: all.
    pub nodes: Vec<u16>,
    /// HTTP headers of each publish: valid names, and templates that make valid values.
    pub headers: Vec<(String, Template)>,
}

/// Due times of events: a rate over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    pub arrival: Arrival,
    /// Events per second at the start.
    pub from: f64,
    /// Linear ramps from there, in order. A constant rate is one stage with `from` as its target.
    pub stages: Vec<Stage>,
}

/// Distribution of arrivals at a given rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// At equal distances.
    Uniform,
    /// At random, as from independent sources.
    Poisson,
}

/// Weights of the kinds of addresses; their sum is arbitrary.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Mix {
    /// To all clients.
    pub broadcast: f64,
    /// To one of the topics with subscribers.
    pub topic: f64,
    /// To one of the users.
    pub user: f64,
    /// To one of the clients.
    pub client: f64,
}

/// Size of a payload in bytes, before the envelope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PayloadSize {
    Fixed(u32),
    LogNormal { median: u32, p99: u32 },
}

/// What must hold of the deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verify {
    pub delivery: Guarantee,
    pub order: Order,
    pub gaps: Gaps,
    pub quiesce: Quiesce,
    /// Whether every mailbox that received an event must be empty at the end.
    pub mailboxes_empty: bool,
}

/// Which events are owed to a subscriber, and which may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// Owed: events published during an open session. Events published between sessions may be missed.
    AtMostOnce,
    /// Owed: events published between the first confirmed subscription and the final close, across all reconnects.
    /// An event may be repeated across a reconnect, never within a session.
    AtLeastOnce,
    /// As at least once, and no event is ever repeated.
    ExactlyOnce,
}

/// Which order of deliveries is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Order is not checked.
    None,
    /// Within a session, two events of one publisher to one address arrive in order if the second was sent after the
    /// first was acknowledged.
    PerPublisherAddress,
}

/// Whether a gap that the server declares fails the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gaps {
    /// An event within a declared gap is counted and does not fail the run.
    Allowed,
    /// An event within a declared gap fails the run, under a name of its own.
    Forbidden,
}

/// How the run waits for the last deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiesce {
    /// The run is quiescent when no client received anything for this long.
    pub idle: Duration,
    /// Events that are missing after this time are unknown, not lost.
    pub timeout: Duration,
    /// Whether the log is read again from its oldest event, to tell lost from undelivered.
    pub audit_read: bool,
}

/// Report files, and the address for scrapes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Directory of the run, with the placeholders `{name}` and `{seed}`; `None`: `runs/<name>-<time>`.
    pub dir: Option<String>,
    pub formats: Vec<OutputFormat>,
    /// Listen address of the Prometheus endpoint during the run; `None`: no endpoint.
    pub prometheus: Option<SocketAddr>,
}

/// Format of a report file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    Text,
    /// The whole report as JSON.
    Json,
    /// JUnit XML for CI systems.
    Junit,
    /// One self-contained HTML page.
    Html,
    /// Markdown, for a comment on a pull request.
    Md,
    /// Tables for a spreadsheet.
    Csv,
    /// One histogram per second, for the tools of HdrHistogram.
    Hlog,
    /// Percentiles in the print format of HdrHistogram.
    Hgrm,
}

impl OutputFormat {
    /// In the order of the documentation.
    pub const ALL: [Self; 8] =
        [Self::Text, Self::Json, Self::Junit, Self::Html, Self::Md, Self::Csv, Self::Hlog, Self::Hgrm];

    /// As written in scenarios and flags.
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
