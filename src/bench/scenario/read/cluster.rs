//! `[cluster]` and `[lb]`: which nodes, on which log, behind which balancer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::raw::Value;
use super::section::Section;
use super::{fault_links, limits};
use crate::bench::scenario::schema::field_schema::Form;
use crate::bench::scenario::{
    BrokerKind, Cluster, Lb, LbKind, LbPolicy, LinkKind, OnDown, Persistence, RedisSet, RedisShape,
    SpawnCluster, Tls,
};

/// What a scenario without `[cluster]` runs on.
pub(in crate::bench::scenario) fn one_node() -> Cluster {
    Cluster::Spawn(SpawnCluster::one_in_memory())
}

/// The nodes, which links pass the fault proxy, and whose certificates are accepted.
pub(in crate::bench::scenario) fn cluster(section: Section<'_>) -> (Option<Cluster>, Vec<LinkKind>, Tls) {
    section.later(&["cmd", "links"]);
    let cluster = if section.has("attach") { attach(&section) } else { spawn(&section) };
    let proxied = fault_links::proxied(&section, cluster.as_ref());
    let tls = section.section("tls").map(|inner| tls(&section, inner, cluster.as_ref())).unwrap_or_default();
    section.finish();
    (cluster, proxied, tls)
}

/// `cluster.tls`: nodes that the run starts speak http.
fn tls(cluster: &Section<'_>, section: Section<'_>, read: Option<&Cluster>) -> Tls {
    let is_https = |urls: &[String]| urls.iter().any(|url| url.starts_with("https://"));
    match read {
        Some(Cluster::Attach(urls)) if is_https(urls) => {}
        None => {}
        Some(Cluster::Attach(_) | Cluster::Spawn(_)) => {
            cluster.refuse("tls", "belongs to nodes that are there already and speak https (attach)");
        }
    }
    let ca = section.text("ca").map(PathBuf::from);
    let insecure = section.boolean("insecure").unwrap_or(false);
    if insecure && ca.is_some() {
        section.refuse("ca", "is not looked at with insecure = true, which accepts any certificate");
    }
    section.finish();
    Tls { ca, insecure }
}

fn attach(section: &Section<'_>) -> Option<Cluster> {
    for key in ["nodes", "broker", "redis", "network", "max_connections", "flags", "ready_timeout"] {
        if section.has(key) {
            section.refuse(key, "cannot be set for nodes that are there already (attach)");
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

/// Whether a URL has a name or password before its host. Reads what is no URL as well: that must not be repeated either.
#[must_use]
pub fn has_credentials(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    // A path may have an @ in it.
    rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

/// What is to be done instead of a URL with a name or password.
pub const WHERE_CREDENTIALS_GO: &str =
    "set headers (Authorization) or token in [clients.G] and [publishers.P] of a scenario";

fn base_url(section: &Section<'_>, text: &str) -> Option<String> {
    let uri: Option<http::Uri> = text.parse().ok();
    // Before anything repeats the text.
    if has_credentials(text) {
        let why = "has a name or password in a URL, which would end up in reports";
        section.refuse("attach", format!("{why}; {WHERE_CREDENTIALS_GO}"));
        return None;
    }
    let is_base = |uri: &http::Uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
    };
    if uri.is_some_and(|uri| is_base(&uri)) {
        return Some(text.trim_end_matches('/').to_owned());
    }
    section.refuse("attach", format!("{text:?} is not a base URL, as in \"http://127.0.0.1:8080\""));
    None
}

fn spawn(section: &Section<'_>) -> Option<Cluster> {
    let nodes = section.integer("nodes", limits::NODES).unwrap_or(1);
    let broker = broker(section);
    if nodes > 1 && matches!(broker, Some(BrokerKind::Memory | BrokerKind::File)) {
        let why = "several nodes need a log that they share";
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

/// Why nodes with hosts of their own would not find their log.
#[must_use]
pub fn out_of_reach(broker: &BrokerKind) -> Option<&'static str> {
    match broker {
        BrokerKind::Redis(set) if set.external.is_some() => {
            Some("cannot reach cluster.redis.external: those hosts know nobody but each other and the run")
        }
        BrokerKind::Redis(set) if set.shape != RedisShape::Single => Some(
            "is for broker = \"redis\", \"memory\" or \"file\": Sentinels and Redis Clusters stay on the loopback",
        ),
        BrokerKind::Redis(_) | BrokerKind::Memory | BrokerKind::File => None,
    }
}

/// Names of brokers, as the scenario has them.
const BROKERS: [(&str, BrokerKind); 7] = [
    ("memory", BrokerKind::Memory),
    ("memory:", BrokerKind::Memory),
    ("file", BrokerKind::File),
    ("embedded", BrokerKind::File),
    ("redis", BrokerKind::Redis(RedisSet::new(RedisShape::Single))),
    ("redis-sentinel", BrokerKind::Redis(RedisSet::new(RedisShape::Sentinel))),
    ("redis-cluster", BrokerKind::Redis(RedisSet::new(RedisShape::Cluster))),
];

/// The log of this name, with the usual servers where it is Redis.
#[must_use]
pub fn broker_named(name: &str) -> Option<BrokerKind> {
    BROKERS.into_iter().find(|(word, _)| *word == name).map(|(_, kind)| kind)
}

fn broker(section: &Section<'_>) -> Option<BrokerKind> {
    let kind =
        if section.has("broker") { section.choice("broker", &BROKERS) } else { Some(BrokerKind::Memory) };
    let Some(options) = section.section("redis") else { return kind };
    match kind {
        Some(BrokerKind::Redis(set)) => redis(section, options, &set).map(BrokerKind::Redis),
        Some(kind) => {
            section.refuse("redis", "belongs to broker = \"redis\", \"redis-sentinel\" or \"redis-cluster\"");
            Some(kind)
        }
        None => None,
    }
}

fn redis(cluster: &Section<'_>, section: Section<'_>, default: &RedisSet) -> Option<RedisSet> {
    let persistences = [("aof", Persistence::Aof), ("rdb", Persistence::Rdb), ("none", Persistence::None)];
    let persistence = section.choice("persistence", &persistences);
    let least = match default.shape {
        // A set with a master alone has nobody to fail over to.
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
        section.refuse("min_replicas", format!("{least} is more than there are replicas, {there}"));
    }
    section.finish();
    Some(set)
}

/// A Redis that is there already: its URL is what a node takes, and nothing else can be said of it.
fn check_external(cluster: &Section<'_>, section: &Section<'_>, url: &str, shape: RedisShape) {
    for key in ["persistence", "replicas", "min_replicas"] {
        if section.has(key) {
            section.refuse(key, "cannot be set for a Redis that is there already (external)");
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
        section.refuse(
            "external",
            format!("{url:?} does not begin with {allowed}, as broker = {broker:?} asks"),
        );
    }
}

/// Flags of the node that the run decides itself.
const OWN_FLAGS: [&str; 4] = ["listen", "broker", "id", "max-connections"];

/// Forms of a flag's value.
const FLAG_FORMS: [Form; 3] = [Form::Text, Form::Number(f64::MIN, f64::MAX), Form::Boolean];

fn node_flags(section: &Section<'_>) -> BTreeMap<String, Option<String>> {
    let mut flags = BTreeMap::new();
    for (key, value) in section.entries(&FLAG_FORMS) {
        let name = key.replace('_', "-");
        let is_flag = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !name.starts_with('-');
        if !is_flag {
            section.refuse(
                key,
                "is not a flag; allowed are letters, digits and '-', without the leading dashes",
            );
        } else if OWN_FLAGS.contains(&name.as_str()) {
            section.refuse(key, "is set by the run itself (max_connections stands in [cluster])");
        }
        match value {
            Value::Text(text) => _ = flags.insert(name, Some(text.clone())),
            Value::Integer(number) => _ = flags.insert(name, Some(number.to_string())),
            Value::Float(number) => _ = flags.insert(name, Some(number.to_string())),
            Value::Bool(true) => _ = flags.insert(name, None),
            Value::Bool(false) => {}
            Value::Array(_) | Value::Table(_) | Value::Datetime(_) => {
                let shown = value.shown();
                section.refuse(
                    key,
                    format!("{shown} cannot be given to a flag; allowed are texts, numbers, true and false"),
                );
            }
        }
    }
    flags
}

/// `[lb]`: who chooses a node, and how.
pub(in crate::bench::scenario) fn lb(section: Section<'_>) -> Option<Lb> {
    section.later(&["health"]);
    let kinds = [("none", LbKind::Swarm), ("nginx", LbKind::Nginx), ("haproxy", LbKind::Haproxy)];
    let kind = if section.has("kind") { section.choice("kind", &kinds) } else { Some(LbKind::Swarm) };
    let policies = [
        ("round-robin", LbPolicy::RoundRobin),
        ("least-conn", LbPolicy::LeastConn),
        ("random", LbPolicy::Random),
        ("ip-hash", LbPolicy::IpHash),
        ("cookie", LbPolicy::Cookie),
        ("consistent-hash", LbPolicy::ConsistentHash),
    ];
    let policy =
        if section.has("policy") { section.choice("policy", &policies) } else { Some(LbPolicy::RoundRobin) };
    let words = [("reroute", OnDown::Reroute), ("refuse", OnDown::Refuse)];
    let on_down = section.choice("on_down", &words).unwrap_or(OnDown::Reroute);
    if on_down == OnDown::Refuse && kind.is_some_and(|kind| kind != LbKind::Swarm) {
        section.refuse("on_down", "\"refuse\" is not for a real balancer, which always finds another node");
    }
    section.finish();
    Some(Lb { kind: kind?, policy: policy?, on_down })
}

/// Which nodes clients and publishers can be sent to by name.
pub(in crate::bench::scenario) struct Served {
    /// `None`: the cluster could not be read.
    nodes: Option<usize>,
    /// Whether a balancer chooses, and nobody else can.
    pub(in crate::bench::scenario) is_by_balancer: bool,
    /// Whether nodes have hosts of their own, which no packet from the loopback reaches.
    pub(in crate::bench::scenario) has_namespaces: bool,
}

impl Served {
    pub(in crate::bench::scenario) fn new(cluster: Option<&Cluster>, lb: Option<&Lb>) -> Self {
        let is_by_balancer = lb.is_some_and(|lb| lb.kind != LbKind::Swarm);
        let has_namespaces =
            matches!(cluster, Some(Cluster::Spawn(spawn)) if spawn.has_namespaces) && !is_by_balancer;
        Self { nodes: cluster.map(Cluster::nodes), is_by_balancer, has_namespaces }
    }

    /// The number of `n1` is 0.
    pub(in crate::bench::scenario) fn number(&self, name: &str) -> Result<u16, String> {
        let number = name.strip_prefix('n').and_then(|number| number.parse::<u16>().ok());
        let number = number.and_then(|number| number.checked_sub(1));
        let is_there = |number: &u16| self.nodes.is_none_or(|nodes| usize::from(*number) < nodes);
        number.filter(is_there).ok_or_else(|| format!("{name:?} is not a node of this cluster"))
    }
}
