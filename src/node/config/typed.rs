//! The configuration, ready to use. Read [`Config`] first.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::HeaderValue;

use super::resolve::{Chosen, InvalidConfig, Origin, Problem, Sources};
use super::secret::Secret;
use super::settings::Fallback;
use super::value::{self, Refusal};
use crate::broker::{BrokerUrl, Durability, LogLimits};
use crate::node::StreamEnd;
use crate::node::limits::Limits;
use crate::protocol::name::NAME_MAX_BYTES;
use crate::protocol::{NodeId, RetryMs};
use crate::runtime::telemetry::LogFormat;

/// How a stream is refused that could be served later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum RejectMode {
    /// 200, `retry:`, a `CLOSE` event, the end. After any other status a browser never comes back (measured).
    #[default]
    Soft,
    /// 503 with Retry-After.
    Status,
}

/// What happens to the older streams of a client that opens a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum TakeOverMode {
    /// Nothing: a client may have several streams.
    #[default]
    Off,
    /// They are closed, on whatever node they are.
    Newest,
}

/// Everything that a node has to be told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen. Only a loopback address, unless `insecure` was said.
    pub listen: SocketAddr,
    /// Who keeps the log.
    pub broker: BrokerUrl,
    /// What an acknowledged publish survives.
    pub durability: Durability,
    /// Identity of the node.
    pub id: NodeId,
    /// Name for people.
    pub name: String,
    /// Where others reach the node; `None`: where it listens.
    pub advertise: Option<String>,
    /// Origins whose pages may use the node, as browsers write them; `*` for all.
    pub cors_origins: Vec<HeaderValue>,
    /// Streams of the node.
    pub max_connections: usize,
    /// Streams of one user; 0: no limit.
    pub max_connections_per_user: usize,
    /// Streams from one address; 0: no limit.
    pub max_connections_per_address: usize,
    /// New streams a second; 0: no limit.
    pub accept_rate: u32,
    /// How a stream is refused that could be served later.
    pub reject: RejectMode,
    /// What clients wait before they reconnect.
    pub retry: Duration,
    /// Random addition to that.
    pub retry_jitter: Duration,
    /// Silence before a heartbeat.
    pub heartbeat: Duration,
    /// Silence before a `CURSOR` event.
    pub cursor_every: Duration,
    /// How long a write may make no progress.
    pub write_stall: Duration,
    /// Frames in the window.
    pub window_frames: usize,
    /// Bytes in the window.
    pub window_bytes: usize,
    /// Streams that may read the log at the same time.
    pub replay_permits: usize,
    /// Entries that such a stream reads at a time.
    pub replay_page: usize,
    /// Events that a stream may fall behind.
    pub lag_limit: u64,
    /// Bytes of a request's body.
    pub max_body: usize,
    /// Bytes of an event's data and metadata together.
    pub max_payload: usize,
    /// Time over which open streams end in a drain.
    pub drain_over: Duration,
    /// How they end.
    pub drain_close: StreamEnd,
    /// How long to wait for those that do not end.
    pub drain_grace: Duration,
    /// What the nodes of the cluster show each other.
    pub cluster_secret: Option<Secret>,
    /// What happens to the older streams of a client that opens a new one.
    pub takeover: TakeOverMode,
    /// Limits of the log.
    pub log: LogLimits,
    /// What nobody needs to tune.
    pub limits: Limits,
    /// End with the process that started this one.
    pub die_with_parent: bool,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines there are.
    pub log_level: String,
}

/// A configuration, and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Ready to use.
    pub config: Config,
    /// Worth saying, yet no reason not to start.
    pub warnings: Vec<String>,
    pub(super) chosen: Vec<Chosen>,
}

impl Loaded {
    pub(super) fn from_sources(sources: &Sources) -> Result<Self, InvalidConfig> {
        let resolved = sources.resolve();
        let mut reader = Reader { chosen: resolved.chosen, problems: resolved.problems };
        let config = reader.config();
        reader.check_together(&config);
        let mut warnings = resolved.warnings;
        warnings.extend(reader.chosen.iter().filter_map(Chosen::exposed));
        if reader.problems.is_empty() {
            Ok(Self { config, warnings, chosen: reader.chosen })
        } else {
            Err(reader.problems.into())
        }
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

struct Reader {
    chosen: Vec<Chosen>,
    problems: Vec<Problem>,
}

impl Reader {
    fn config(&mut self) -> Config {
        let id = self.optional("id", value::parsed::<NodeId>).unwrap_or_else(default_id);
        let name = self.optional("name", label).unwrap_or_else(|| id.to_string());
        let some_connections = |text: &str| value::count(text, 0..=10_000_000);
        Config {
            listen: self.read("listen", value::listen),
            broker: self.read("broker", value::parsed),
            durability: self.read("durability", value::word),
            id,
            name,
            advertise: self.optional("advertise", value::url),
            cors_origins: self.optional("cors-origins", value::origins).unwrap_or_default(),
            max_connections: self.read("max-connections", |text| value::count(text, 1..=10_000_000)),
            max_connections_per_user: self.read("max-connections-per-user", some_connections),
            max_connections_per_address: self.read("max-connections-per-address", some_connections),
            accept_rate: self.read("accept-rate", |text| value::count(text, 0..=1_000_000)),
            reject: self.read("reject", value::word),
            retry: self.read("retry", |text| value::duration(text, retry_range())),
            retry_jitter: self.read("retry-jitter", |text| value::duration(text, Duration::ZERO..=HOUR)),
            heartbeat: self.read("heartbeat", |text| value::duration(text, 10 * MILLISECOND..=HOUR)),
            cursor_every: self
                .read("cursor-every", |text| value::duration(text, 10 * MILLISECOND..=24 * HOUR)),
            write_stall: self.read("write-stall", |text| value::duration(text, 10 * MILLISECOND..=HOUR)),
            window_frames: self.read("window-frames", |text| value::count(text, 1..=100_000_000)),
            window_bytes: self.read("window-bytes", |text| value::memory(text, KIB..=1_024 * GIB)),
            replay_permits: self.read("replay-permits", |text| value::count(text, 1..=10_000)),
            replay_page: self.read("replay-page", |text| value::count(text, 1..=10_000)),
            lag_limit: self.read("lag-limit", |text| value::count(text, 1..=u64::MAX)),
            max_body: self.read("max-body", |text| value::memory(text, KIB..=GIB)),
            max_payload: self.read("max-payload", |text| value::memory(text, 1..=GIB)),
            drain_over: self.read("drain-over", |text| value::duration(text, Duration::ZERO..=HOUR)),
            drain_close: self.read("drain-close", value::word),
            drain_grace: self.read("drain-grace", |text| value::duration(text, Duration::ZERO..=HOUR)),
            cluster_secret: self.optional("cluster-secret", Secret::parse),
            takeover: self.read("takeover", value::word),
            log: self.log_limits(),
            limits: Limits::default(),
            die_with_parent: self.read("die-with-parent", value::switch),
            log_format: self.read("log-format", value::word),
            log_level: self.read("log-level", value::filter),
        }
    }

    fn log_limits(&mut self) -> LogLimits {
        LogLimits {
            max_events: self.read("keep-events", |text| value::count(text, 1..=10_000_000_000)),
            max_bytes: self.read("keep-bytes", |text| value::size(text, KIB..=1_024 * GIB)),
            max_age: self.read("keep-age", |text| value::duration(text, SECOND..=100 * YEAR)),
            idempotency_window: self.read("idempotency-window", |text| value::duration(text, SECOND..=YEAR)),
            mailbox_max_messages: self.read("mailbox-messages", |text| value::count(text, 1..=1_000_000)),
            mailbox_max_age: self.read("mailbox-age", |text| value::duration(text, SECOND..=100 * YEAR)),
            append_queue: self.read("publish-queue", |text| value::count(text, 1..=1_000_000)),
        }
    }

    /// What only two settings together can get wrong.
    fn check_together(&mut self, config: &Config) {
        if !config.listen.ip().is_loopback() && !self.read("insecure", value::switch) {
            self.refuse(
                "listen",
                "this version has no tokens, so only loopback addresses are allowed without --insecure",
            );
        }
        if config.durability == Durability::Fsync && config.broker == BrokerUrl::Memory {
            self.refuse(
                "durability",
                "nothing of --broker memory: survives the process; allowed with file:DIR",
            );
        }
        let is_shared = matches!(config.broker, BrokerUrl::Redis(_));
        if config.durability == Durability::Replicated && !is_shared {
            self.refuse("durability", "an embedded log has no replica; replicated is allowed with redis://…");
        }
        if config.max_payload > config.max_body {
            self.refuse(
                "max-payload",
                &format!("it must fit into max-body, which is {} bytes", config.max_body),
            );
        }
    }

    /// A setting that always has a text. After a refusal its default stands in, so that all refusals can be found.
    fn read<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, Refusal>) -> T {
        self.optional(key, &parse).unwrap_or_else(|| {
            let Fallback::Text(text) = self.find(key).setting.default else {
                unreachable!("{key} has a fixed default");
            };
            parse(text).expect("every default in the table is valid")
        })
    }

    fn optional<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, Refusal>) -> Option<T> {
        let chosen = self.find(key);
        match parse(chosen.text.as_deref()?) {
            Ok(value) => Some(value),
            Err(why) => {
                let problem = chosen.problem(&why);
                self.problems.push(problem);
                None
            }
        }
    }

    fn refuse(&mut self, key: &str, why: &str) {
        let problem = self.find(key).problem(why);
        self.problems.push(problem);
    }

    fn find(&self, key: &str) -> &Chosen {
        self.chosen.iter().find(|chosen| chosen.setting.key == key).expect("a row of the table")
    }
}

fn label(text: &str) -> Result<String, Refusal> {
    if text.trim().is_empty() || text.len() > NAME_MAX_BYTES || text.chars().any(char::is_control) {
        Err(format!("allowed are 1 to {NAME_MAX_BYTES} bytes without control characters"))
    } else {
        Ok(text.to_owned())
    }
}

/// What clients are really told: the encoder brings everything else to the nearer end.
fn retry_range() -> RangeInclusive<Duration> {
    let [least, most] = [RetryMs::MIN, RetryMs::MAX].map(|ms| Duration::from_millis(ms.get().into()));
    least..=most
}

/// After the machine, so that a node that is started again is the same one; by chance where the machine's name is
/// none for us.
fn default_id() -> NodeId {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    NodeId::parse(&format!("node-{host}")).ok().filter(|_| !host.is_empty()).unwrap_or_else(|| {
        let random = ulid::Ulid::generate().to_string().to_lowercase();
        NodeId::parse(&format!("node-{random}")).expect("letters and digits are a name")
    })
}

impl Loaded {
    /// What counts for a setting, and where it came from; `None` for what the node makes itself.
    pub(super) fn value_of(&self, chosen: &Chosen) -> Option<String> {
        let made = match chosen.setting.key {
            "id" => Some(self.config.id.to_string()),
            "name" => Some(self.config.name.clone()),
            _ => None,
        };
        chosen.shown().or(made)
    }

    /// Where the value of a setting came from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.chosen.iter().find(|chosen| chosen.setting.key == key).map(|chosen| &chosen.origin)
    }
}
