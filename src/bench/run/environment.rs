//! The servers of a run: Redis, the nodes, the fault proxies and the load balancer. Each starts when the one before is ready;
//! they stop in reverse order. Read [`Environment::start`] first.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use crate::bench::cluster::load_balancer::{LoadBalancer, LoadBalancerError, LoadBalancerSpec};
use crate::bench::cluster::redis::{RedisDeployment, RedisStartError, Servers};
use crate::bench::cluster::{
    Cluster, ClusterError, ClusterSpec, CommandResult, Ended, Member, Namespaces, NetnsError, NodeHandle,
    Sign,
};
use crate::bench::exit::Exit;
use crate::bench::faults::Links;
use crate::bench::faults::proxies::{FaultProxies, FaultProxyError};
use crate::bench::scenario::{self, BrokerKind, Lb, LbKind, LinkKind, SpawnCluster};

/// Time limit until a running node (`cluster.attach`) reports ready.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(10);

/// Which servers to start.
#[derive(Debug, Clone)]
pub struct EnvironmentSpec {
    /// The nodes and their broker.
    pub cluster: scenario::Cluster,
    /// How a running node shows that it is ready.
    pub sign: Sign,
    /// The load balancer.
    pub lb: Lb,
    /// Connections that the load balancer must carry at once.
    pub connections: u64,
    /// Directory for logs, data and configuration files.
    pub run_dir: PathBuf,
    /// Links that pass the fault proxy.
    pub proxied: Vec<LinkKind>,
    /// Seed of everything random in the fault proxies.
    pub seed: u64,
}

/// Running servers. Dropping this kills those that the bench started.
#[derive(Debug)]
pub struct Environment {
    cluster: Cluster,
    /// Base URLs of the nodes, as clients or the load balancer reach them.
    endpoints: Vec<String>,
    proxies: FaultProxies,
    load_balancer: Option<LoadBalancer>,
    store: Option<RedisDeployment>,
    namespaces: Option<Namespaces>,
}

/// Why the servers did not start.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    #[error(transparent)]
    Redis(#[from] RedisStartError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    LoadBalancer(#[from] LoadBalancerError),
    #[error(transparent)]
    FaultProxies(#[from] FaultProxyError),
    #[error(transparent)]
    Netns(#[from] NetnsError),
}

impl EnvironmentError {
    /// The exit code of this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Cluster(ClusterError::Port(_))
            | Self::Redis(RedisStartError::Port(_))
            | Self::LoadBalancer(LoadBalancerError::Port(_))
            | Self::FaultProxies(FaultProxyError::Port { .. } | FaultProxyError::Proxy(_)) => {
                Exit::AddressInUse
            }
            Self::LoadBalancer(LoadBalancerError::Node { .. })
            | Self::FaultProxies(FaultProxyError::NodeUrl { .. })
            | Self::Netns(NetnsError::Refused(_) | NetnsError::Failed(_)) => Exit::BadScenario,
            Self::Cluster(
                ClusterError::NoBinary { .. }
                | ClusterError::BadBinary { .. }
                | ClusterError::Directory { .. }
                | ClusterError::Start { .. }
                | ClusterError::Attach(_),
            )
            | Self::Redis(
                RedisStartError::Missing(_)
                | RedisStartError::Write { .. }
                | RedisStartError::Start { .. }
                | RedisStartError::ClusterNotFormed(_),
            )
            | Self::Netns(NetnsError::Missing(_))
            | Self::LoadBalancer(
                LoadBalancerError::Missing(_) | LoadBalancerError::Write { .. } | LoadBalancerError::Start(_),
            ) => Exit::SetupFailed,
        }
    }
}

impl Environment {
    /// Starts all servers and waits until each is ready.
    ///
    /// # Errors
    /// The first server that does not start. Those that did start are killed.
    pub async fn start(spec: &EnvironmentSpec, http: &reqwest::Client) -> Result<Self, EnvironmentError> {
        let namespaces = namespaces(spec).await?;
        let host = namespaces.as_ref().map_or(Ipv4Addr::LOCALHOST, Namespaces::host);
        let mut proxies = FaultProxies::new(spec.seed, host);
        let (store, cluster) = match &spec.cluster {
            scenario::Cluster::Attach(bases) => {
                (None, Cluster::attach(bases, &spec.sign, ATTACH_TIMEOUT, http).await?)
            }
            scenario::Cluster::Spawn(spawn) => {
                let (store, broker) = store_of(spawn, host, spec).await?;
                let brokers = brokers(spawn, &broker, spec, &mut proxies).await?;
                (store, Cluster::start(&nodes_of(spawn, brokers, spec, namespaces.clone()), http).await?)
            }
        };
        let endpoints = endpoints(&cluster, spec, &mut proxies).await?;
        let load_balancer = match spec.lb.kind {
            LbKind::Swarm => None,
            LbKind::Nginx | LbKind::Haproxy => {
                let nodes = endpoints.clone();
                let run_dir = spec.run_dir.clone();
                let load_balancer =
                    LoadBalancerSpec { lb: spec.lb, nodes, connections: spec.connections, run_dir };
                Some(LoadBalancer::start(&load_balancer, http).await?)
            }
        };
        Ok(Self { cluster, endpoints, proxies, load_balancer, store, namespaces })
    }

    /// All nodes, spares included.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        self.cluster.members()
    }

    /// Base URLs of the nodes, in their order, as clients or the load balancer reach them: through the fault proxy where the
    /// link passes it.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// The nodes with the base URLs that clients use.
    #[must_use]
    pub fn client_endpoints(&self) -> Vec<Member> {
        let through = |(member, endpoint): (&Member, &String)| Member {
            base: endpoint.clone(),
            readiness: member.readiness.through(endpoint),
            ..member.clone()
        };
        self.members().iter().zip(&self.endpoints).map(through).collect()
    }

    /// The links that pass the fault proxy.
    #[must_use]
    pub fn links(&self) -> &Links {
        self.proxies.links()
    }

    /// The network namespaces of the nodes; `None` where the nodes share this host.
    #[must_use]
    pub fn namespaces(&self) -> Option<&Namespaces> {
        self.namespaces.as_ref()
    }

    /// The load balancer; `None` where the swarm itself chooses nodes.
    #[must_use]
    pub fn load_balancer(&self) -> Option<&LoadBalancer> {
        self.load_balancer.as_ref()
    }

    /// The listeners between clients and nodes that belong to the bench, each with its port.
    #[must_use]
    pub fn listeners(&self) -> Vec<(String, u16)> {
        let proxies =
            self.links().all().map(|proxy| (format!("fault proxy {}", proxy.name()), proxy.listen()));
        let balancer =
            self.load_balancer().map(|balancer| ("load balancer".to_owned(), balancer.base().to_owned()));
        let port = |(name, place): (String, String)| Some((name, place.rsplit_once(':')?.1.parse().ok()?));
        proxies.chain(balancer).filter_map(port).collect()
    }

    /// The Redis servers that the run started.
    #[must_use]
    pub fn servers(&self) -> Option<&Servers> {
        self.store.as_ref().map(RedisDeployment::servers)
    }

    /// The other server processes: load balancer and Redis.
    #[must_use]
    pub fn others(&self) -> Vec<NodeHandle> {
        let servers = self.servers().into_iter().flat_map(Servers::all).map(|server| server.handle.clone());
        self.load_balancer.iter().map(|load_balancer| load_balancer.handle().clone()).chain(servers).collect()
    }

    /// Processes that ended unexpectedly, each with the end of its log.
    #[must_use]
    pub fn crashes(&self) -> Vec<String> {
        crashes_of(&self.handles())
    }

    fn handles(&self) -> Vec<NodeHandle> {
        let nodes = self.members().iter().filter_map(|member| member.handle.clone());
        nodes.chain(self.others()).collect()
    }

    /// Fault proxies that panicked, each with its message. Only the bench is to blame for their connections.
    pub fn broken_proxies(&mut self) -> Vec<String> {
        self.proxies.crashes()
    }

    /// Stops everything, nodes first, since they would report a stopped Redis as an error. Returns what ended before it was
    /// asked to, and what did not stop in order.
    pub async fn stop(self, grace: Duration) -> Vec<String> {
        let mut unclean = Vec::new();
        let handles = self.handles();
        match self.cluster.stop(grace).await {
            Ok(done) => {
                let killed = done.iter().filter(|(_, done)| *done == CommandResult::Ended(Ended::Killed));
                unclean.extend(killed.map(|(id, _)| {
                    format!("node {id} did not end within {grace:?} after SIGTERM and was killed")
                }));
            }
            Err(failed) => unclean.extend(failed.iter().map(|(id, error)| format!("{id}: {error}"))),
        }
        if let Some(load_balancer) = self.load_balancer {
            unclean.extend(load_balancer.stop().await.err());
        }
        self.proxies.stop().await;
        if let Some(store) = self.store {
            unclean.extend(store.stop().await.err().unwrap_or_default());
        }
        if let Some(namespaces) = self.namespaces {
            unclean.extend(namespaces.close().await.err());
        }
        crashes_of(&handles).into_iter().chain(unclean).collect()
    }
}

fn crashes_of(handles: &[NodeHandle]) -> Vec<String> {
    handles.iter().flat_map(NodeHandle::crashes).collect()
}

/// Network namespaces for all nodes, spares included.
async fn namespaces(spec: &EnvironmentSpec) -> Result<Option<Namespaces>, NetnsError> {
    match &spec.cluster {
        scenario::Cluster::Spawn(spawn) if spawn.has_namespaces => {
            Namespaces::create(spawn.nodes + spawn.spares).await.map(Some)
        }
        scenario::Cluster::Spawn(_) | scenario::Cluster::Attach(_) => Ok(None),
    }
}

/// Starts the Redis, if the nodes share one that the run starts. Also returns the broker URL of the nodes.
async fn store_of(
    spawn: &SpawnCluster,
    host: Ipv4Addr,
    spec: &EnvironmentSpec,
) -> Result<(Option<RedisDeployment>, String), RedisStartError> {
    match &spawn.broker {
        BrokerKind::Memory => Ok((None, "memory:".to_owned())),
        BrokerKind::File => Ok((None, "file:".to_owned())),
        BrokerKind::Redis(set) => match &set.external {
            Some(url) => Ok((None, url.clone())),
            None => {
                let store = RedisDeployment::start(set, host, &spec.run_dir).await?;
                let url = store.servers().url();
                Ok((Some(store), url))
            }
        },
    }
}

/// The broker URL of each node. Where the link passes the fault proxy, each node has a URL of its own.
async fn brokers(
    spawn: &SpawnCluster,
    broker: &str,
    spec: &EnvironmentSpec,
    proxies: &mut FaultProxies,
) -> Result<Vec<String>, FaultProxyError> {
    let mut brokers = Vec::new();
    for number in 1..=spawn.nodes + spawn.spares {
        brokers.push(if spec.proxied.contains(&LinkKind::NodeRedis) {
            proxies.before_redis(number, broker).await?
        } else {
            broker.to_owned()
        });
    }
    Ok(brokers)
}

/// The node flags that the environment needs.
async fn endpoints(
    cluster: &Cluster,
    spec: &EnvironmentSpec,
    proxies: &mut FaultProxies,
) -> Result<Vec<String>, FaultProxyError> {
    let mut endpoints = Vec::new();
    for (number, member) in (1..).zip(cluster.members()) {
        endpoints.push(if spec.proxied.contains(&LinkKind::ClientNode) {
            proxies.before_node(number, &member.base).await?
        } else {
            member.base.clone()
        });
    }
    Ok(endpoints)
}

fn nodes_of(
    spawn: &SpawnCluster,
    brokers: Vec<String>,
    spec: &EnvironmentSpec,
    namespaces: Option<Namespaces>,
) -> ClusterSpec {
    ClusterSpec {
        nodes: spawn.nodes,
        spares: spawn.spares,
        brokers,
        namespaces,
        flags: flags(spawn),
        run_dir: spec.run_dir.clone(),
        ready_timeout: spawn.ready_timeout,
    }
}

fn flags(spawn: &SpawnCluster) -> Vec<String> {
    let mut flags = Vec::new();
    if let Some(limit) = spawn.max_connections {
        flags.extend(["--max-connections".to_owned(), limit.to_string()]);
    }
    for (name, value) in &spawn.flags {
        flags.push(format!("--{name}"));
        flags.extend(value.clone());
    }
    flags
}
