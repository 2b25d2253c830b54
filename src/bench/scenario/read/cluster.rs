//! Reads `[cluster]` and `[lb]`: nodes, their log, and the load balancer. Read [`cluster`] first.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::fault_links;
use super::field_schema::FieldType;
use super::raw::Value;
use super::section::Section;
use crate::bench::scenario::limits;
use crate::bench::scenario::{
    BrokerKind, Cluster, Lb, LbKind, LbPolicy, LinkKind, OnDown, Persistence, RedisSet, RedisShape,
    SpawnCluster, Tls,
};

/// The cluster of a scenario without `[cluster]`.
pub(super) fn one_node() -> Cluster {
    Cluster::Spawn(SpawnCluster::one_in_memory())
}

/// `[cluster]`: the nodes, the links that pass the fault proxy, and the accepted certificates.
pub(super) fn cluster(section: Section<'_>) -> (Option<Cluster>, Vec<LinkKind>, Tls) {
    section.reserve(&["cmd", "links"]);
    let cluster = if section.has("attach") { attach(&section) } else { spawn(&section) };
    let proxied = fault_links::proxied(&section, cluster.as_ref());
    let tls = section.section("tls").map(|inner| tls(&section, inner, cluster.as_ref())).unwrap_or_default();
    section.finish();
    (cluster, proxied, tls)
}

/// `cluster.tls`; only for attached nodes, since nodes that the run starts serve plain HTTP.
fn tls(cluster: &Section<'_>, section: Section<'_>, read: Option<&Cluster>) -> Tls {
    let is_https = |urls: &[String]| urls.iter().any(|url| url.starts_with("https://"));
    match read {
        Some(Cluster::Attach(urls)) if is_https(urls) => {}
        None => {}
        Some(Cluster::Attach(_) | Cluster::Spawn(_)) => {
            cluster.refuse("tls", "is allowed only with https URLs in cluster.attach");
        }
    }
    let ca = section.text("ca").map(PathBuf::from);
    let insecure = section.boolean("insecure").unwrap_or(false);
    if insecure && ca.is_some() {
        let why = "has no effect with insecure = true, which accepts any certificate; remove one of the two";
        section.refuse("ca", why);
    }
    section.finish();
    Tls { ca, insecure }
}

fn attach(section: &Section<'_>) -> Option<Cluster> {
    for key in ["nodes", "broker", "redis", "network", "max_connections", "flags", "ready_timeout"] {
        if section.has(key) {
            section.refuse(key, "cannot be set together with attach: the run does not start these nodes");
        }
    }
    let texts = section.texts("attach");
    let urls: Vec<String> = texts.iter().filter_map(|url| base_url(section, url)).collect();
    if texts.is_empty() {
        section
            .refuse("attach", "is empty; allowed is a list of base URLs, as in [\"http://127.0.0.1:8080\"]");
    }
    (!urls.is_empty() && urls.len() == texts.len()).then_some(Cluster::Attach(urls))
}

/// Whether a URL has a user name or password before its host. Works for invalid URLs too: their text must not appear in
/// messages either.
#[must_use]
pub fn has_credentials(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    // A path may contain an @.
    rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

/// The remedy for a URL with a user name or password, for messages.
pub const WHERE_CREDENTIALS_GO: &str =
    "in a scenario set headers (Authorization) or token in [clients.NAME] and [publishers.NAME]";

fn base_url(section: &Section<'_>, text: &str) -> Option<String> {
    let uri: Option<http::Uri> = text.parse().ok();
    // First, before a message contains the text.
    if has_credentials(text) {
        let why = "has a URL with a user name or password, which would appear in reports";
        section.refuse("attach", format!("{why}; {WHERE_CREDENTIALS_GO}"));
        return None;
    }
    let is_base = |uri: &http::Uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
    };
    if uri.is_some_and(|uri| is_base(&uri)) {
        return Some(text.trim_end_matches('/').to_owned());
    }
    let allowed = "allowed are http:// and https:// URLs without a query, as in \"http://127.0.0.1:8080\"";
    section.refuse("attach", format!("{text:?} is not a base URL; {allowed}"));
    None
}

fn spawn(section: &Section<'_>) -> Option<Cluster> {
    let nodes = section.integer("nodes", limits::NODES).unwrap_or(1);
    let broker = broker(section);
    if nodes > 1 && matches!(broker, Some(BrokerKind::Memory | BrokerKind::File)) {
        let why = "several nodes need a shared log";
        let allowed = "allowed is 1, or broker = \"redis\", \"redis-sentinel\" or \"redis-cluster\"";
        section.refuse("nodes", format!("{nodes} is not allowed: {why}; {allowed}"));
    }
    let networks = [("loopback", false), ("namespaces", true)];
    let has_namespaces = section.choice("network", &networks).unwrap_or(false);
    if let Some(why) = broker.as_ref().filter(|_| has_namespaces).and_then(out_of_reach) {
        section.refuse("network", format!("\"namespaces\" {why}"));
    }
    let max_connections = section.integer("max_connections", limits::MAX_CONNECTIONS);
    let ready_timeout = section.duration("ready_timeout", limits::READY_TIMEOUT);
    let flags = section.section("flags").map(|flags| node_flags(&flags)).unwrap_or_default();
    Some(Cluster::Spawn(SpawnCluster {
        nodes: usize::try_from(nodes).ok()?,
        spares: 0,
        broker: broker?,
        has_namespaces,
        max_connections,
        flags,
        ready_timeout: ready_timeout.unwrap_or(limits::READY_TIMEOUT_DEFAULT),
    }))
}

/// Why nodes in network namespaces could not reach their log; `None` if they can.
#[must_use]
pub fn out_of_reach(broker: &BrokerKind) -> Option<&'static str> {
    match broker {
        BrokerKind::Redis(set) if set.external.is_some() => Some(
            "cannot be combined with cluster.redis.external: namespaces reach only each other and the run",
        ),
        BrokerKind::Redis(set) if set.shape != RedisShape::Single => Some(
            "needs broker = \"redis\", \"memory\" or \"file\": Sentinels and Redis Clusters listen on the loopback",
        ),
        BrokerKind::Redis(_) | BrokerKind::Memory | BrokerKind::File => None,
    }
}

/// Brokers by their names in scenarios.
const BROKERS: [(&str, BrokerKind); 7] = [
    ("memory", BrokerKind::Memory),
    ("memory:", BrokerKind::Memory),
    ("file", BrokerKind::File),
    ("embedded", BrokerKind::File),
    ("redis", BrokerKind::Redis(RedisSet::new(RedisShape::Single))),
    ("redis-sentinel", BrokerKind::Redis(RedisSet::new(RedisShape::Sentinel))),
    ("redis-cluster", BrokerKind::Redis(RedisSet::new(RedisShape::Cluster))),
];

/// The broker of a name, with the default servers if it is Redis. `None`: unknown name.
#[must_use]
pub fn broker_named(name: &str) -> Option<BrokerKind> {
    BROKERS.into_iter().find(|(word, _)| *word == name).map(|(_, kind)| kind)
}

fn broker(section: &Section<'_>) -> Option<BrokerKind> {
    let kind = section.or_default("broker", section.choice("broker", &BROKERS), BrokerKind::Memory);
    let Some(options) = section.section("redis") else { return kind };
    match kind {
        Some(BrokerKind::Redis(set)) => redis(section, options, &set).map(BrokerKind::Redis),
        Some(kind) => {
            section.refuse(
                "redis",
                "is allowed only with broker = \"redis\", \"redis-sentinel\" or \"redis-cluster\"",
            );
            Some(kind)
        }
        None => None,
    }
}

fn redis(cluster: &Section<'_>, section: Section<'_>, default: &RedisSet) -> Option<RedisSet> {
    let persistences = [("aof", Persistence::Aof), ("rdb", Persistence::Rdb), ("none", Persistence::None)];
    let persistence = section.choice("persistence", &persistences);
    let least = match default.shape {
        // A master without replicas cannot fail over.
        RedisShape::Sentinel => 1,
        RedisShape::Single | RedisShape::Cluster => 0,
    };
    let replicas = section.integer32("replicas", least..=limits::REPLICAS);
    let min_replicas = section.integer32("min_replicas", 0..=limits::REPLICAS);
    let external = section.text("external");
    if let Some(url) = external {
        check_external(cluster, &section, url, default.shape);
    }
    let set = RedisSet {
        persistence: persistence.unwrap_or(default.persistence),
        replicas: replicas.unwrap_or(default.replicas),
        min_replicas: min_replicas.unwrap_or(default.min_replicas),
        external: external.map(str::to_owned),
        shape: default.shape,
    };
    if set.min_replicas > set.replicas {
        let (least, there) = (set.min_replicas, set.replicas);
        section.refuse("min_replicas", format!("{least} is more than the number of replicas, {there}"));
    }
    section.finish();
    Some(set)
}

/// A running Redis: the run can choose its URL only.
fn check_external(cluster: &Section<'_>, section: &Section<'_>, url: &str, shape: RedisShape) {
    for key in ["persistence", "replicas", "min_replicas"] {
        if section.has(key) {
            section.refuse(key, "cannot be set together with external: the run does not start this Redis");
        }
    }
    let schemes: &[&str] = match shape {
        RedisShape::Single => &["redis://", "rediss://"],
        RedisShape::Sentinel => &["redis+sentinel://"],
        RedisShape::Cluster => &["redis+cluster://"],
    };
    if !schemes.iter().any(|scheme| url.starts_with(scheme)) {
        let broker = cluster.text("broker").unwrap_or_default();
        let allowed = schemes.join(" or ");
        let why =
            format!("{url:?} is not allowed; broker = {broker:?} needs a URL that begins with {allowed}");
        section.refuse("external", why);
    }
}

/// Flags of the node that the run sets.
const OWN_FLAGS: [&str; 4] = ["listen", "broker", "id", "max-connections"];

/// Types of a flag's value.
const FLAG_TYPES: [FieldType; 3] =
    [FieldType::Text, FieldType::Number(f64::MIN, f64::MAX), FieldType::Boolean];

fn node_flags(section: &Section<'_>) -> BTreeMap<String, Option<String>> {
    let mut flags = BTreeMap::new();
    for (key, value) in section.entries(&FLAG_TYPES) {
        let name = key.replace('_', "-");
        let is_flag = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !name.starts_with('-');
        if !is_flag {
            let why = "is not a flag; allowed are letters, digits, '-' and '_', without leading dashes";
            section.refuse(key, why);
        } else if OWN_FLAGS.contains(&name.as_str()) {
            let why = match name.as_str() {
                "broker" => "is set by the run; set cluster.broker instead",
                "max-connections" => "is set by the run; set cluster.max_connections instead",
                _ => "is set by the run and cannot be changed",
            };
            section.refuse(key, why);
        }
        match value {
            Value::Text(text) => _ = flags.insert(name, Some(text.clone())),
            Value::Integer(number) => _ = flags.insert(name, Some(number.to_string())),
            Value::Float(number) => _ = flags.insert(name, Some(number.to_string())),
            Value::Bool(true) => _ = flags.insert(name, None),
            Value::Bool(false) => {}
            Value::Array(_) | Value::Table(_) | Value::Datetime(_) => {
                let shown = value.shown();
                let why = format!("{shown} is not allowed; allowed are strings, numbers, true and false");
                section.refuse(key, why);
            }
        }
    }
    flags
}

/// `[lb]`: load balancing over the nodes.
pub(super) fn lb(section: Section<'_>) -> Option<Lb> {
    section.reserve(&["health"]);
    let kinds = [("none", LbKind::Swarm), ("nginx", LbKind::Nginx), ("haproxy", LbKind::Haproxy)];
    let kind = section.or_default("kind", section.choice("kind", &kinds), LbKind::Swarm);
    let policies = [
        ("round-robin", LbPolicy::RoundRobin),
        ("least-conn", LbPolicy::LeastConn),
        ("random", LbPolicy::Random),
        ("ip-hash", LbPolicy::IpHash),
        ("cookie", LbPolicy::Cookie),
        ("consistent-hash", LbPolicy::ConsistentHash),
    ];
    let policy = section.or_default("policy", section.choice("policy", &policies), LbPolicy::RoundRobin);
    let words = [("reroute", OnDown::Reroute), ("refuse", OnDown::Refuse)];
    let on_down = section.choice("on_down", &words).unwrap_or(OnDown::Reroute);
    if on_down == OnDown::Refuse && kind.is_some_and(|kind| kind != LbKind::Swarm) {
        let why = "\"refuse\" needs kind = \"none\": a real load balancer always chooses another node";
        section.refuse("on_down", why);
    }
    section.finish();
    Some(Lb { kind: kind?, policy: policy?, on_down })
}

/// Nodes that `nodes` of clients and publishers can name.
pub(super) struct NamedNodes {
    /// `None`: the cluster could not be read.
    nodes: Option<usize>,
    /// Whether a load balancer chooses, so that `nodes` cannot.
    pub(super) has_balancer: bool,
    /// Whether nodes run in network namespaces, which packets from the loopback do not reach.
    pub(super) has_namespaces: bool,
}

impl NamedNodes {
    pub(super) fn new(cluster: Option<&Cluster>, lb: Option<&Lb>) -> Self {
        let has_balancer = lb.is_some_and(|lb| lb.kind != LbKind::Swarm);
        let has_namespaces =
            matches!(cluster, Some(Cluster::Spawn(spawn)) if spawn.has_namespaces) && !has_balancer;
        Self { nodes: cluster.map(Cluster::nodes), has_balancer, has_namespaces }
    }

    /// The index of a node: 0 for `n1`.
    pub(super) fn index(&self, name: &str) -> Result<u16, String> {
        let number = name.strip_prefix('n').and_then(|number| number.parse::<u16>().ok());
        let number = number.and_then(|number| number.checked_sub(1));
        let exists = |number: &u16| self.nodes.is_none_or(|nodes| usize::from(*number) < nodes);
        number.filter(exists).ok_or_else(|| {
            let last = self.nodes.map_or_else(|| "n64".to_owned(), |nodes| format!("n{nodes}"));
            format!("{name:?} is not a node of this cluster; allowed are n1 to {last}")
        })
    }
}
