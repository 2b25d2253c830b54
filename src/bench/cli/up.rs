//! `up`: starts a local cluster and keeps it until ^C.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::shared::{self, Changes};
use super::{output, proxy};
use crate::bench::cluster::Sign;
use crate::bench::door::guard;
use crate::bench::exit::Exit;
use crate::bench::faults::proxy::{ProxyCollection, api};
use crate::bench::run::default_dir;
use crate::bench::run::environment::{Environment, EnvironmentSpec};
use crate::bench::scenario::{
    self, BrokerKind, Cluster, Lb, LbKind, LinkKind, RedisSet, RedisShape, Scenario, SpawnCluster,
};
use crate::client::HttpOptions;
use crate::runtime::error_chain;
use crate::runtime::exit::Failure;

/// Number of nodes when neither a flag nor a scenario says it.
const NODES: usize = 3;
/// Seed of the fault proxies when no scenario says another.
const SEED: u64 = 1;
/// Connections that the load balancer is configured for when no load is planned.
const CONNECTIONS: u64 = 10_000;
/// Between SIGTERM and SIGKILL: what a node may take to drain.
const STOP_GRACE: Duration = Duration::from_secs(30);

/// Flags of `up`.
#[derive(Debug, Args)]
pub(super) struct UpArgs {
    /// Take the cluster and the load balancer from this scenario, and nothing else.
    #[arg(value_name = "SCENARIO.toml")]
    pub scenario: Option<PathBuf>,

    /// Number of nodes [default: the scenario's, else 3].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub nodes: Option<u16>,

    /// Log of the nodes: memory, file, redis, redis-sentinel or redis-cluster [default: the scenario's, else redis].
    #[arg(long, value_parser = broker)]
    pub broker: Option<BrokerKind>,

    /// Load balancer in front of the nodes [default: the scenario's, else none].
    #[arg(long, value_enum)]
    pub lb: Option<Balancing>,

    /// Directory for logs, data and configuration files [default: runs/up-<time>].
    #[arg(short, long, value_name = "DIR", env = "SSE_BENCH_OUT")]
    pub out: Option<PathBuf>,

    /// Links that pass the fault proxy, separated by commas: `client->node`, `node->redis` [default: the scenario's].
    #[arg(long, value_name = "LINK", value_delimiter = ',', value_parser = link)]
    pub proxy: Vec<LinkKind>,

    /// Address of toxiproxy's REST API, which controls the fault proxies. It is started only if a link passes a proxy.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8474")]
    pub proxy_api: String,

    /// Override a key of the scenario. May be repeated.
    #[arg(short, long = "set", value_name = "KEY.PATH=VALUE", requires = "scenario")]
    pub set: Vec<String>,
}

/// The load balancers that `up` can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Balancing {
    /// No load balancer.
    None,
    /// nginx, from PATH.
    Nginx,
    /// HAProxy, from PATH.
    Haproxy,
}

/// Starts the cluster, prints its URLs, and waits for ^C.
pub(super) async fn run(args: &UpArgs, interrupt: &CancellationToken) -> Result<u8, Failure> {
    let spec = spec(args)?;
    // Binds before anything is started, so that an address in use is reported at once.
    let api = if spec.proxied.is_empty() { None } else { Some(proxy::listen(&args.proxy_api).await?) };
    std::fs::create_dir_all(&spec.run_dir).map_err(|error| {
        Failure::new(
            Exit::Internal.code(),
            format!("cannot create the directory {}: {error}", spec.run_dir.display()),
        )
    })?;
    let http = HttpOptions::default().build();
    let http = http.map_err(|error| Failure::new(Exit::Internal.code(), error))?;
    let starting = interrupt.run_until_cancelled(Box::pin(Environment::start(&spec, &http))).await;
    let Some(started) = starting else { return Ok(Exit::Interrupted.code()) };
    let mut environment = started.map_err(|error| Failure::new(error.exit().code(), error))?;
    output::print(&describe(&environment, &spec, api.as_ref()))?;
    tracing::info!("running; ^C stops it");
    match api {
        Some(api) => serve(api, &environment, &spec, interrupt).await?,
        None => interrupt.cancelled().await,
    }
    let mut unclean = environment.broken_proxies();
    unclean.extend(environment.stop(STOP_GRACE).await);
    if unclean.is_empty() {
        return Ok(Exit::Pass.code());
    }
    Err(Failure::new(Exit::TeardownFailed.code(), unclean.join("\n")))
}

/// Serves the REST API over the fault proxies until the end.
async fn serve(
    api: TcpListener,
    environment: &Environment,
    spec: &EnvironmentSpec,
    interrupt: &CancellationToken,
) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::new(Exit::Internal.code(), error_chain(error));
    let mut proxies = ProxyCollection::new(spec.seed);
    for link in environment.links().all() {
        proxies.adopt(link.clone()).map_err(|error| failed(&error))?;
    }
    let guard = guard(api.local_addr().map_err(|error| failed(&error))?, Vec::new(), None);
    api::serve(api, guard, proxies, interrupt.clone()).await.map_err(|error| failed(&error))
}

fn spec(args: &UpArgs) -> Result<EnvironmentSpec, Failure> {
    let refused = |why: String| Failure::new(Exit::BadScenario.code(), why);
    let scenario = match &args.scenario {
        Some(path) => {
            let changes = Changes { set: args.set.clone(), ..Changes::default() };
            Some(shared::read(path, &changes).map_err(refused)?.1)
        }
        None => None,
    };
    let seed = scenario.as_ref().map_or(SEED, |scenario| scenario.seed);
    let Merged { cluster, lb, proxied } = merged(args, scenario).map_err(refused)?;
    let run_dir: PathBuf = args.out.clone().unwrap_or_else(|| default_dir("up", SystemTime::now()));
    Ok(EnvironmentSpec { cluster, sign: Sign::usual(), lb, connections: CONNECTIONS, run_dir, proxied, seed })
}

/// The environment to start.
#[derive(Debug)]
struct Merged {
    cluster: Cluster,
    lb: Lb,
    proxied: Vec<LinkKind>,
}

/// The scenario's cluster, or the default one, with the flags applied.
fn merged(args: &UpArgs, scenario: Option<Scenario>) -> Result<Merged, String> {
    let usual = || {
        let broker = BrokerKind::Redis(RedisSet::new(RedisShape::Single));
        let spawn = SpawnCluster { nodes: NODES, broker, ..SpawnCluster::one_in_memory() };
        (Cluster::Spawn(spawn), Lb::default(), Vec::new())
    };
    let (cluster, lb, proxied) =
        scenario.map_or_else(usual, |scenario| (scenario.cluster, scenario.lb, scenario.proxied));
    let Cluster::Spawn(mut spawn) = cluster else {
        return Err("cluster.attach names running nodes, so there is nothing to start".into());
    };
    // Only faults start spare nodes, and `up` has no faults.
    spawn.spares = 0;
    spawn.nodes = args.nodes.map_or(spawn.nodes, usize::from);
    if let Some(broker) = &args.broker {
        spawn.broker = broker.clone();
    }
    if let Some(why) = Some(&spawn.broker).filter(|_| spawn.has_namespaces).and_then(scenario::out_of_reach) {
        return Err(format!("the scenario's cluster.network = \"namespaces\" {why}"));
    }
    if spawn.nodes > 1 && !matches!(spawn.broker, BrokerKind::Redis(_)) {
        tracing::warn!(
            "each node keeps a log of its own: an event published on one node reaches only the clients of that node"
        );
    }
    let kind = args.lb.map_or(lb.kind, |lb| match lb {
        Balancing::None => LbKind::Swarm,
        Balancing::Nginx => LbKind::Nginx,
        Balancing::Haproxy => LbKind::Haproxy,
    });
    let proxied = if args.proxy.is_empty() { proxied } else { args.proxy.clone() };
    let cluster = Cluster::Spawn(spawn);
    for link in &proxied {
        if let Some(why) = scenario::cannot_pass_a_proxy(*link, &cluster) {
            return Err(format!("\"{link}\" {why}"));
        }
    }
    Ok(Merged { cluster, lb: Lb { kind, ..lb }, proxied })
}

/// One line for each server: its name and its URL. Proxies and their API look as in `sse-bench proxy`.
fn describe(environment: &Environment, spec: &EnvironmentSpec, api: Option<&TcpListener>) -> String {
    let mut lines = Vec::new();
    lines.extend(
        environment
            .load_balancer()
            .map(|load_balancer| (load_balancer.handle().id().to_owned(), load_balancer.base().to_owned())),
    );
    lines.extend(environment.members().iter().map(|member| (member.id.clone(), member.base.clone())));
    lines.extend(environment.servers().map(|servers| ("redis".to_owned(), servers.url())));
    let address = api.and_then(|api| api.local_addr().ok());
    lines.extend(address.map(|address| ("api".to_owned(), format!("http://{address}"))));
    lines.extend(environment.links().all().map(|link| ("proxy".to_owned(), proxy::describe(link))));
    lines.push(("files".to_owned(), spec.run_dir.display().to_string()));
    lines.iter().map(|(what, place)| format!("{what:<8} {place}\n")).collect()
}

fn link(text: &str) -> Result<LinkKind, String> {
    let found = LinkKind::WORDS.into_iter().find(|(word, _)| *word == text);
    found.map(|(_, link)| link).ok_or_else(|| "allowed are client->node and node->redis".to_owned())
}

fn broker(text: &str) -> Result<BrokerKind, String> {
    let allowed = "allowed are memory, file, redis, redis-sentinel and redis-cluster";
    scenario::broker_named(text).ok_or_else(|| allowed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: UpArgs = UpArgs {
        scenario: None,
        nodes: None,
        broker: None,
        lb: None,
        out: None,
        proxy: Vec::new(),
        proxy_api: String::new(),
        set: Vec::new(),
    };

    fn spawned(cluster: Cluster) -> SpawnCluster {
        let Cluster::Spawn(spawn) = cluster else { panic!("it is spawned") };
        spawn
    }

    #[test]
    fn three_nodes_on_a_redis_are_the_usual_cluster() {
        let Merged { cluster, lb, proxied } = merged(&NONE, None).unwrap();
        assert_eq!(proxied, []);
        assert_eq!((cluster.nodes(), lb), (3, Lb::default()));
        assert!(matches!(spawned(cluster).broker, BrokerKind::Redis(set) if set.shape == RedisShape::Single));
    }

    #[test]
    fn flags_go_before_the_scenario() {
        let text = "schema = 1\nname = \"t\"\nduration = \"1s\"\n[clients.c]\nclients = 1\n[cluster]\n\
                    broker = \"file\"\n[lb]\nkind = \"haproxy\"\npolicy = \"cookie\"\n";
        let scenario = || scenario::parse("t.toml", text, &[]).unwrap();
        let Merged { cluster, lb, .. } = merged(&NONE, Some(scenario())).unwrap();
        assert_eq!((spawned(cluster).broker, lb.kind), (BrokerKind::File, LbKind::Haproxy));
        let args =
            UpArgs { nodes: Some(2), broker: Some(BrokerKind::Memory), lb: Some(Balancing::Nginx), ..NONE };
        let Merged { cluster, lb: changed, .. } = merged(&args, Some(scenario())).unwrap();
        let spawn = spawned(cluster);
        assert_eq!((spawn.nodes, spawn.broker), (2, BrokerKind::Memory));
        assert_eq!((changed.kind, changed.policy), (LbKind::Nginx, lb.policy));
    }

    #[test]
    fn a_broker_that_nodes_in_namespaces_cannot_reach_is_refused() {
        let text = "schema = 1\nname = \"t\"\nduration = \"1s\"\n[clients.c]\nclients = 1\n[cluster]\n\
                    broker = \"redis\"\nnetwork = \"namespaces\"\n";
        let merged = |name: &str| {
            let args = UpArgs { broker: Some(broker(name).unwrap()), ..NONE };
            merged(&args, Some(scenario::parse("t.toml", text, &[]).unwrap()))
        };
        assert!(merged("memory").is_ok());
        for name in ["redis-sentinel", "redis-cluster"] {
            let error = merged(name).unwrap_err();
            assert!(error.contains("namespaces") && error.contains("loopback"), "{error}");
        }
    }

    #[test]
    fn a_link_that_the_flags_take_away_cannot_pass_a_proxy() {
        let args = UpArgs { proxy: vec![LinkKind::NodeRedis], ..NONE };
        assert_eq!(merged(&args, None).unwrap().proxied, [LinkKind::NodeRedis]);
        let error = merged(&UpArgs { broker: Some(BrokerKind::File), ..args }, None).unwrap_err();
        assert!(error.contains("node->redis") && error.contains("needs a Redis"), "{error}");
    }
}
