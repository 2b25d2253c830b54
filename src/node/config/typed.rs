//! The parsed configuration: reads every setting and checks the settings that depend on each other. Read [`Config`]
//! first.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use ipnet::IpNet;
use rustls::RootCertStore;

use super::access::{self, AccessConfig};
use super::resolve::{Chosen, ConfigProblem, InvalidConfig, Sources, ValueSource};
use super::secret::{Secret, password};
use super::settings::{Fallback, InvalidValue};
use super::value;
use crate::broker::{BrokerUrl, Durability, LogLimits};
use crate::node::StreamEnd;
use crate::node::access::KeySource;
use crate::node::limits::{ADDRESS_SOCKETS_MIN, Limits};
use crate::node::tls::{self, TlsError, TlsFiles, TlsSettings};
use crate::protocol::host::HostRule;
use crate::protocol::name::NAME_MAX_BYTES;
use crate::protocol::{Format, NodeId, RetryMs};
use crate::runtime::telemetry::LogFormat;

/// How a node refuses a stream that it cannot serve now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum RejectMode {
    /// 200, `retry:`, a `CLOSE` event, the end. A browser never reconnects after any other status (measured).
    #[default]
    Soft,
    /// 503 with `Retry-After`.
    Status,
}

/// What happens to the older streams of a client that opens a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum TakeoverMode {
    /// They stay: a client may have several streams.
    #[default]
    Off,
    /// They are closed, on all nodes.
    Newest,
}

/// The settings of a node. The help of each flag says what it does.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address to listen on; a loopback address unless `insecure` is set.
    pub listen: SocketAddr,
    /// Who may do what; `None`: everybody everything.
    pub access: Option<AccessConfig>,
    /// Certificate and key; `None`: plain HTTP.
    pub(crate) tls: Option<TlsSettings>,
    /// The address that has the paths of operators; `None`: `listen` has them.
    pub operator_listen: Option<SocketAddr>,
    /// The broker that keeps the log.
    pub broker: BrokerUrl,
    /// The failures that an acknowledged publish survives.
    pub durability: Durability,
    /// Id of the node in the cluster.
    pub id: NodeId,
    /// Name of the node for people.
    pub name: String,
    /// URL at which other nodes reach this one; `None`: the address that it listens on.
    pub advertise: Option<String>,
    /// Origins that CORS allows, as browsers send them; `*` for all.
    pub cors_origins: Vec<HeaderValue>,
    /// Rules for the `Host` of requests; empty: the default of where it listens.
    pub allowed_hosts: Vec<HostRule>,
    /// Most streams of the node.
    pub max_connections: usize,
    /// Most streams of one user; 0: no limit.
    pub max_connections_per_user: usize,
    /// Most streams from one address; 0: no limit.
    pub max_connections_per_address: usize,
    /// Most sockets from one address; 0: no limit.
    pub max_sockets_per_address: usize,
    /// Addresses of proxies, which say whom they speak for.
    pub trusted_proxy: Vec<IpNet>,
    /// Most new streams per second; 0: no limit.
    pub accept_rate: u32,
    /// How the node refuses a stream that it cannot serve now.
    pub reject: RejectMode,
    /// Time that clients wait before they reconnect.
    pub retry: Duration,
    /// Longest random addition to `retry`.
    pub retry_jitter: Duration,
    /// The format of streams that ask for none.
    pub format: Format,
    /// Most topics of one stream.
    pub max_topics: usize,
    /// Time without events before a heartbeat.
    pub heartbeat: Duration,
    /// Time without events before a `CURSOR` event.
    pub cursor_every: Duration,
    /// Longest time without progress of a write.
    pub write_stall: Duration,
    /// Bytes that one client may leave unacknowledged.
    pub send_buffer: usize,
    /// Most slots in the window.
    pub window_frames: usize,
    /// Most bytes in the window.
    pub window_bytes: usize,
    /// Streams that may read the log at the same time.
    pub replay_permits: usize,
    /// Entries that a replay reads from the log at a time.
    pub replay_page: usize,
    /// Threads that serve the streams; 0: as many as the process may use cores.
    pub loops: usize,
    /// Events that a stream may fall behind before it is closed.
    pub lag_limit: u64,
    /// Most bytes of a request's head.
    pub max_head: usize,
    /// Most bytes of a request's body.
    pub max_body: usize,
    /// Most bytes of an event's data and metadata together.
    pub max_payload: usize,
    /// Most events per second from one address; 0: no limit.
    pub publish_rate: u32,
    /// Time over which a drain spreads the end of open streams.
    pub drain_over: Duration,
    /// How streams end on the wire.
    pub drain_close: StreamEnd,
    /// How long a drain waits for streams that do not end.
    pub drain_grace: Duration,
    /// Secret with which nodes sign what they ask each other; `None`: the node answers only nodes on its own machine.
    pub cluster_secret: Option<Secret>,
    /// Send the secret itself to nodes that cannot check a signature.
    pub cluster_secret_in_clear: bool,
    /// What happens to the older streams of a client that opens a new one.
    pub takeover: TakeoverMode,
    /// Certificate authorities of the other nodes; `None`: those of the system.
    pub peer_ca: Option<RootCertStore>,
    /// Limits of the log and its mailboxes.
    pub log: LogLimits,
    /// Limits without a setting.
    pub limits: Limits,
    /// Whether the node is killed when its parent process ends.
    pub die_with_parent: bool,
    /// Format of log lines.
    pub log_format: LogFormat,
    /// Filter of log lines.
    pub log_level: String,
}

/// A configuration, with the sources of its values.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// Warnings, which do not keep the node from starting.
    pub warnings: Vec<String>,
    pub(super) chosen: Vec<Chosen>,
}

impl Loaded {
    pub(super) fn from_sources(sources: &Sources) -> Result<Self, InvalidConfig> {
        let resolved = sources.resolve();
        let mut reader = ConfigReader { chosen: resolved.chosen, problems: resolved.problems };
        let config = reader.config();
        reader.check_together(&config);
        let mut warnings = resolved.warnings;
        warnings.extend(reader.chosen.iter().filter_map(Chosen::exposure_warning));
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
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The parser of requests takes no smaller limit.
const HEAD_MIN: u64 = 8 * KIB;
/// The longest URL that the parser of requests takes, 65,534 bytes, holds so many topics with names of the longest kind.
const TOPICS_MAX: usize = 500;

struct ConfigReader {
    chosen: Vec<Chosen>,
    problems: Vec<ConfigProblem>,
}

impl ConfigReader {
    fn config(&mut self) -> Config {
        let id = self.optional("id", value::node_id).unwrap_or_else(default_id);
        let name = self.optional("name", label).unwrap_or_else(|| id.to_string());
        let some_connections = |text: &str| value::count(text, 0..=10_000_000);
        let max_connections = self.read("max-connections", |text| value::count(text, 1..=10_000_000));
        let per_address = self.optional("max-sockets-per-address", some_connections);
        Config {
            listen: self.read("listen", value::listen),
            access: self.access(),
            broker: self.broker(),
            durability: self.read("durability", value::choice),
            id,
            name,
            tls: self.tls(),
            operator_listen: self.optional("operator-listen", value::listen),
            advertise: self.optional("advertise", value::url),
            cors_origins: self.optional("cors-origins", value::origins).unwrap_or_default(),
            allowed_hosts: self.optional("allowed-host", value::hosts).unwrap_or_default(),
            max_connections,
            max_connections_per_user: self.read("max-connections-per-user", some_connections),
            max_connections_per_address: self.read("max-connections-per-address", some_connections),
            max_sockets_per_address: per_address
                .unwrap_or_else(|| (max_connections / 4).max(ADDRESS_SOCKETS_MIN)),
            trusted_proxy: self.optional("trusted-proxy", value::nets).unwrap_or_default(),
            accept_rate: self.read("accept-rate", |text| value::count(text, 0..=1_000_000)),
            reject: self.read("reject", value::choice),
            retry: self.read("retry", |text| value::duration(text, retry_range())),
            retry_jitter: self.read("retry-jitter", |text| value::duration(text, Duration::ZERO..=HOUR)),
            format: self.read("format", value::choice),
            max_topics: self.read("max-topics", |text| value::count(text, 1..=TOPICS_MAX)),
            heartbeat: self.read("heartbeat", |text| value::duration(text, 10 * MILLISECOND..=HOUR)),
            cursor_every: self
                .read("cursor-every", |text| value::duration(text, 10 * MILLISECOND..=24 * HOUR)),
            write_stall: self.read("write-stall", |text| value::duration(text, 10 * MILLISECOND..=HOUR)),
            send_buffer: self.read("send-buffer", |text| value::memory(text, 4 * KIB..=GIB / 16)),
            window_frames: self.read("window-frames", |text| value::count(text, 1..=100_000_000)),
            window_bytes: self.read("window-bytes", |text| value::memory(text, KIB..=1_024 * GIB)),
            replay_permits: self.read("replay-permits", |text| value::count(text, 1..=10_000)),
            replay_page: self.read("replay-page", |text| value::count(text, 1..=10_000)),
            loops: self.read("loops", |text| value::count(text, 0..=1_024)),
            lag_limit: self.read("lag-limit", |text| value::count(text, 1..=u64::MAX)),
            max_head: self.read("max-head", |text| value::memory(text, HEAD_MIN..=MIB)),
            max_body: self.read("max-body", |text| value::memory(text, KIB..=GIB)),
            max_payload: self.read("max-payload", |text| value::memory(text, 1..=GIB)),
            publish_rate: self.read("publish-rate", |text| value::count(text, 0..=1_000_000)),
            drain_over: self.read("drain-over", |text| value::duration(text, Duration::ZERO..=HOUR)),
            drain_close: self.read("drain-close", value::choice),
            drain_grace: self.read("drain-grace", |text| value::duration(text, Duration::ZERO..=HOUR)),
            cluster_secret: self.optional("cluster-secret", Secret::parse),
            cluster_secret_in_clear: self.read("cluster-secret-in-clear", value::switch),
            takeover: self.read("takeover", value::choice),
            peer_ca: self.optional("peer-ca", |path| tls::authorities(path)),
            log: self.log_limits(),
            limits: Limits::default(),
            die_with_parent: self.read("die-with-parent", value::switch),
            log_format: self.read("log-format", value::choice),
            log_level: self.read("log-level", value::filter),
        }
    }

    /// The log, with the password of its sentinels.
    fn broker(&mut self) -> BrokerUrl {
        let mut broker = self.read("broker", value::broker);
        let Some(password) = self.optional("sentinel-secret", password) else { return broker };
        if let BrokerUrl::Redis(url) = &mut broker
            && url.has_sentinels()
            && url.sentinel_password.replace(password).is_some()
        {
            self.refuse(
                "sentinel-secret",
                "--broker has another ?sentinel-password=; allowed is one of the two",
            );
        }
        broker
    }

    fn log_limits(&mut self) -> LogLimits {
        LogLimits {
            max_events: self.read("keep-events", |text| value::count(text, 1..=10_000_000_000)),
            max_bytes: self.read("keep-bytes", |text| value::size(text, KIB..=1_024 * GIB)),
            idempotency_max_ids: self.read("idempotency-ids", |text| value::count(text, 1..=10_000_000_000)),
            max_age: self.read("keep-age", |text| value::duration(text, SECOND..=100 * YEAR)),
            idempotency_window: self.read("idempotency-window", |text| value::duration(text, SECOND..=YEAR)),
            mailbox_max_messages: self.read("mailbox-messages", |text| value::count(text, 1..=1_000_000)),
            mailboxes_max_messages: self.read("mailbox-total", |text| value::count(text, 1..=10_000_000_000)),
            mailboxes_max_bytes: self
                .read("mailbox-total-bytes", |text| value::size(text, KIB..=1_024 * GIB)),
            mailbox_max_age: self.read("mailbox-age", |text| value::duration(text, SECOND..=100 * YEAR)),
            min_free_disk: self.read("min-free-disk", |text| value::size(text, 0..=1_024 * GIB)),
            append_queue: self.read("publish-queue", |text| value::count(text, 1..=1_000_000)),
        }
    }

    fn tls(&mut self) -> Option<TlsSettings> {
        let path = |text: &str| Ok::<_, InvalidValue>(PathBuf::from(text));
        let (certificate, key) = (self.optional("tls-certificate", path), self.optional("tls-key", path));
        let client_ca = self.optional("tls-client-ca", path);
        if client_ca.is_some() && certificate.is_none() {
            self.refuse("tls-client-ca", "it needs --tls-certificate: only HTTPS can ask for a certificate");
        }
        match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let loaded = TlsSettings::load(TlsFiles { certificate, key, client_ca });
                let refuse = |error| match error {
                    TlsError::Authorities(..) => self.refuse("tls-client-ca", &error.to_string()),
                    error => self.refuse("tls-certificate", &error.to_string()),
                };
                loaded.map_err(refuse).ok()
            }
            (Some(_), None) => {
                self.refuse("tls-certificate", "it needs --tls-key, the private key of the certificate");
                None
            }
            (None, Some(_)) => {
                self.refuse("tls-key", "it needs --tls-certificate");
                None
            }
            (None, None) => None,
        }
    }

    /// Checks settings that depend on each other.
    fn check_together(&mut self, config: &Config) {
        let addresses = [("listen", Some(config.listen)), ("operator-listen", config.operator_listen)];
        let open =
            addresses.into_iter().find(|(_, address)| address.is_some_and(|at| !at.ip().is_loopback()));
        if let Some((key, _)) = open
            && config.access.is_none()
            && !self.read("insecure", value::switch)
        {
            self.refuse(
                key,
                "without --token-keys, --token-secret or --api-keys no tokens are checked, so everyone who reaches the port could read and publish; allowed are loopback addresses such as 127.0.0.1:8080, one of those settings, and --insecure",
            );
        }
        if config.durability == Durability::Fsync && config.broker == BrokerUrl::Memory {
            self.refuse(
                "durability",
                "fsync is not allowed with --broker memory:, which writes nothing to a disk; allowed for --broker are file:DIR and every Redis URL",
            );
        }
        let is_shared = matches!(config.broker, BrokerUrl::Redis(_));
        let asks = config.tls.as_ref().is_some_and(TlsSettings::asks_for_certificates);
        if asks && is_shared && config.peer_ca.is_none() {
            self.refuse(
                "tls-client-ca",
                "with a Redis as --broker it needs --peer-ca: nodes show their certificate only to nodes whose authority they are told",
            );
        }
        if config.durability == Durability::Replicated && !is_shared {
            self.refuse(
                "durability",
                "replicated needs a Redis with a replica, and memory: and file: have none; allowed for --broker are redis://…, redis+sentinel://… and redis+cluster://…",
            );
        }
        let topics_bytes = config.max_topics * (NAME_MAX_BYTES + 1);
        if topics_bytes > config.max_head {
            self.refuse(
                "max-head",
                &format!(
                    "{} topics with names of {NAME_MAX_BYTES} bytes take {topics_bytes} bytes of it; raise it, or lower --max-topics",
                    config.max_topics
                ),
            );
        }
        if config.max_payload > config.max_body {
            self.refuse(
                "max-payload",
                &format!(
                    "it is more than --max-body ({} bytes); lower --max-payload or raise --max-body",
                    config.max_body
                ),
            );
        }
    }

    /// Who may do what, if any credential is named.
    fn access(&mut self) -> Option<AccessConfig> {
        let access = AccessConfig {
            keys: self.optional("token-keys", KeySource::parse),
            secret: self.optional("token-secret", access::token_secret),
            issuer: self.optional("token-issuer", label),
            audiences: self.optional("token-audience", access::names).unwrap_or_default(),
            leeway: self.read("token-leeway", |text| value::duration(text, Duration::ZERO..=300 * SECOND)),
            cookie: self.read("token-cookie", access::cookie_name),
            api_keys: self.optional("api-keys", access::api_keys_file),
        };
        let takes_tokens = access.keys.is_some() || access.secret.is_some();
        let is_given = |key: &&str| self.find(key).text.is_some();
        // An unreadable file must not open the node.
        let is_meant = ["token-keys", "token-secret", "api-keys"].iter().any(is_given);
        let unused = ["token-issuer", "token-audience"].into_iter().find(is_given);
        if let Some(unused) = unused.filter(|_| !takes_tokens) {
            self.refuse(unused, "without --token-keys or --token-secret no tokens are checked; allowed is it with one of them");
        }
        is_meant.then_some(access)
    }

    /// Parses a setting that always has a text. An invalid text is recorded and replaced by the default, so that all
    /// errors are found.
    fn read<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, InvalidValue>) -> T {
        self.optional(key, &parse).unwrap_or_else(|| {
            let Fallback::Text(text) = self.find(key).setting.default else {
                unreachable!("{key} has a fixed default");
            };
            parse(text).expect("every default in the table is valid")
        })
    }

    fn optional<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, InvalidValue>) -> Option<T> {
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

fn label(text: &str) -> Result<String, InvalidValue> {
    if text.trim().is_empty() || text.len() > NAME_MAX_BYTES || text.chars().any(char::is_control) {
        Err(format!("allowed are 1 to {NAME_MAX_BYTES} bytes without control characters"))
    } else {
        Ok(text.to_owned())
    }
}

/// The values of `retry:` that clients can get: the encoder moves any other value to the nearer end.
fn retry_range() -> RangeInclusive<Duration> {
    let [least, most] = [RetryMs::MIN, RetryMs::MAX].map(|ms| Duration::from_millis(ms.get().into()));
    least..=most
}

/// An id made from the host name, so that a restarted node keeps it; random if the host name is not a valid id.
fn default_id() -> NodeId {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    NodeId::parse(&format!("node-{host}")).ok().filter(|_| !host.is_empty()).unwrap_or_else(|| {
        let random = ulid::Ulid::generate().to_string().to_lowercase();
        NodeId::parse(&format!("node-{random}")).expect("letters and digits are a name")
    })
}

impl Loaded {
    /// The value of a setting, as `check-config` shows it; `None` if it is made at start and not known here.
    pub(super) fn value_of(&self, chosen: &Chosen) -> Option<String> {
        let made = match chosen.setting.key {
            "id" => Some(self.config.id.to_string()),
            "name" => Some(self.config.name.clone()),
            _ => None,
        };
        chosen.shown().or(made)
    }

    /// The source of a setting's value; `None` for an unknown key.
    #[must_use]
    pub fn source(&self, key: &str) -> Option<&ValueSource> {
        self.chosen.iter().find(|chosen| chosen.setting.key == key).map(|chosen| &chosen.source)
    }
}
