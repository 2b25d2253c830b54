//! The nodes of a run: child processes that this bench starts, breaks and ends, or nodes that are there already and
//! can only be talked to. Children never outlive the bench: their handles kill them on drop and on a panic, and the
//! flag `--die-with-parent` does when the bench itself is killed. Read [`Cluster`] first.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use tokio::task::JoinSet;

use super::netns::Namespaces;
use super::node::{Done, NodeError, NodeHandle, NodeTask, Order};
use super::ports;
use super::process::Launch;
use super::ready::{NotReady, Probe, Readiness, Sign};

/// Names the executable of a node.
pub const NODE_BIN_ENV: &str = "SSE_BENCH_NODE_BIN";
/// Another port is tried this often when somebody else took the one that was free a moment ago.
const PORT_TRIES: usize = 3;

/// What to start.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    /// How many nodes: `n1`, `n2`, …
    pub nodes: usize,
    /// How many more have a place, and are started only when somebody orders it.
    pub spares: usize,
    /// Of each of them: `memory:`, `file:` (its log in its own directory below the run's), or a broker URL as it takes it.
    pub brokers: Vec<String>,
    /// Further flags for every node, as a node takes them: `--max-connections`, `10000`.
    pub flags: Vec<String>,
    /// Their hosts, where they have some of their own.
    pub namespaces: Option<Namespaces>,
    /// Where logs and data go.
    pub run_dir: PathBuf,
    /// How long a node may take until it is ready.
    pub ready_timeout: Duration,
}

/// The nodes of a run.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    /// The tasks that own the processes. Dropping the set drops them, and so kills the processes.
    tasks: JoinSet<()>,
}

/// One node.
#[derive(Debug, Clone)]
pub struct Member {
    /// `n1`, …
    pub id: String,
    /// `http://127.0.0.1:12345`, without a slash at the end.
    pub base: String,
    /// For health checks.
    pub readiness: Readiness,
    /// Sends orders to the process, where the bench started it.
    pub handle: Option<NodeHandle>,
}

/// Why there is no cluster to measure.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No executable.
    #[error("cannot find sse-node: neither {NODE_BIN_ENV} names it nor is it beside {beside:?}")]
    NoBinary { beside: PathBuf },
    /// The named executable is not there.
    #[error("{NODE_BIN_ENV} names {path:?}, which is not a file")]
    BadBinary { path: PathBuf },
    /// A directory of the run.
    #[error("cannot create {path:?}")]
    Directory {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// No port.
    #[error("no free port on 127.0.0.1")]
    Port(#[source] std::io::Error),
    /// A node could not be started or did not become ready.
    #[error("node {id} could not be started")]
    Start {
        id: String,
        #[source]
        source: NodeError,
    },
    /// A node that should have been there is not.
    #[error("the cluster to attach to is not ready")]
    Attach(#[source] NotReady),
}

/// The executable of a node: what the environment names, else the one beside this executable.
///
/// # Errors
/// There is none.
pub fn node_binary() -> Result<PathBuf, ClusterError> {
    let named = std::env::var_os(NODE_BIN_ENV).map(PathBuf::from);
    let this = std::env::current_exe().unwrap_or_default();
    find_binary(named, &this)
}

fn find_binary(named: Option<PathBuf>, this: &Path) -> Result<PathBuf, ClusterError> {
    if let Some(path) = named {
        return if path.is_file() { Ok(path) } else { Err(ClusterError::BadBinary { path }) };
    }
    let beside = this.parent().unwrap_or(Path::new("."));
    let path = beside.join("sse-node");
    if path.is_file() { Ok(path) } else { Err(ClusterError::NoBinary { beside: beside.to_owned() }) }
}

impl Cluster {
    /// Starts the nodes, all at once, and waits until each is ready. The spare ones are not started.
    ///
    /// # Errors
    /// The first node that does not come up; those that did are killed.
    pub async fn start(spec: &ClusterSpec, http: &reqwest::Client) -> Result<Self, ClusterError> {
        let program = node_binary()?;
        let mut cluster = Self { members: Vec::new(), tasks: JoinSet::new() };
        for (number, broker) in (1..).zip(&spec.brokers) {
            let seat = NodeSlot { spec, broker, program: &program, http, number };
            let (member, task) = seat.prepare()?;
            cluster.tasks.spawn(task.run());
            cluster.members.push(member);
        }
        let starts = cluster.members[..spec.nodes].iter().map(Member::start);
        let results = futures_util::future::join_all(starts).await;
        for (index, result) in results.into_iter().enumerate() {
            if let Err(error) = result {
                cluster.start_elsewhere(index, (spec, http), error).await?;
            }
        }
        Ok(cluster)
    }

    /// Somebody may have bound the port between our look at it and the node's start: then it gets another one.
    async fn start_elsewhere(
        &mut self,
        index: usize,
        (spec, http): (&ClusterSpec, &reqwest::Client),
        first: NodeError,
    ) -> Result<(), ClusterError> {
        let id = self.members[index].id.clone();
        let program = node_binary()?;
        let mut last = first;
        for _ in 1..PORT_TRIES {
            if !is_taken(&self.members[index].base) {
                break;
            }
            let broker = &spec.brokers[index];
            let seat = NodeSlot { spec, broker, program: &program, http, number: index + 1 };
            let (member, task) = seat.prepare()?;
            self.tasks.spawn(task.run());
            self.members[index] = member;
            match self.members[index].start().await {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(ClusterError::Start { id, source: last })
    }

    /// Nodes that are there already, of any make that speaks the HTTP interface. Waits until each is ready.
    ///
    /// # Errors
    /// One is not ready in time.
    pub async fn attach(
        bases: &[String],
        sign: &Sign,
        timeout: Duration,
        http: &reqwest::Client,
    ) -> Result<Self, ClusterError> {
        let mut members = Vec::new();
        for (index, base) in bases.iter().enumerate() {
            let (id, base) = (format!("n{}", index + 1), base.trim_end_matches('/').to_owned());
            let what = format!("node {id}");
            let probe = Probe::Http { http: http.clone(), base: base.clone(), sign: sign.clone() };
            let readiness = Readiness { what, probe, timeout };
            readiness.wait(None).await.map_err(ClusterError::Attach)?;
            members.push(Member { id, base, readiness, handle: None });
        }
        Ok(Self { members, tasks: JoinSet::new() })
    }

    /// The nodes, in the order of their numbers.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Ends all nodes at once, each with SIGTERM and this grace.
    ///
    /// # Errors
    /// What could not be ended, by node; the others are.
    pub async fn stop(mut self, grace: Duration) -> Result<Vec<(String, Done)>, Vec<(String, NodeError)>> {
        let orders =
            self.members.iter().filter_map(|member| member.handle.as_ref()).map(|handle| async {
                (handle.id().to_owned(), handle.order(Order::Terminate(grace)).await)
            });
        let mut done = Vec::new();
        let mut failed = Vec::new();
        for (id, result) in futures_util::future::join_all(orders).await {
            match result {
                Ok(what) => done.push((id, what)),
                Err(error) => failed.push((id, error)),
            }
        }
        self.tasks.shutdown().await;
        if failed.is_empty() { Ok(done) } else { Err(failed) }
    }
}

impl Member {
    /// Starts the node's process, where it is ours, and waits until it is ready.
    ///
    /// # Errors
    /// It could not be started or did not become ready.
    pub async fn start(&self) -> Result<Done, NodeError> {
        match &self.handle {
            Some(handle) => handle.order(Order::Start).await,
            None => Ok(Done::Already),
        }
    }
}

/// Whether somebody else listens on the address of this URL.
fn is_taken(base: &str) -> bool {
    let address = base.strip_prefix("http://").and_then(|text| text.parse::<SocketAddr>().ok());
    let bound = address.map(std::net::TcpListener::bind);
    matches!(bound, Some(Err(error)) if error.kind() == std::io::ErrorKind::AddrInUse)
}

/// Where a node is to sit.
struct NodeSlot<'a> {
    spec: &'a ClusterSpec,
    broker: &'a str,
    program: &'a Path,
    http: &'a reqwest::Client,
    /// From 1 on.
    number: usize,
}

impl NodeSlot<'_> {
    fn prepare(&self) -> Result<(Member, NodeTask), ClusterError> {
        let mut rng: ChaCha8Rng = rand::make_rng();
        let mut address = ports::free_address(&mut rng).map_err(ClusterError::Port)?;
        let (index, id) = (self.number - 1, format!("n{}", self.number));
        let hosts = self.spec.namespaces.as_ref();
        if let Some(hosts) = hosts {
            // Nobody else is there, so whatever is free here is free there.
            address.set_ip(hosts.address(index).into());
        }
        let what = format!("node {id}");
        let base = format!("http://{address}");
        let own = (self.program.to_owned(), self.arguments(&id, address)?);
        let (program, args) = match hosts {
            Some(hosts) => hosts.enter(index, &own.0, own.1),
            None => own,
        };
        let launch = Launch { what: what.clone(), program, args, log: self.spec.run_dir.join(&id) };
        let timeout = self.spec.ready_timeout;
        let probe = Probe::Http { http: self.http.clone(), base: base.clone(), sign: Sign::usual() };
        let readiness = Readiness { what, probe, timeout };
        let (handle, task) = NodeTask::new(&id, launch, readiness.clone());
        Ok((Member { id, base, readiness, handle: Some(handle) }, task))
    }

    fn arguments(&self, id: &str, address: SocketAddr) -> Result<Vec<String>, ClusterError> {
        let broker = match self.broker {
            "file" | "file:" => {
                let path = self.spec.run_dir.join(format!("{id}-data"));
                std::fs::create_dir_all(&path)
                    .map_err(|source| ClusterError::Directory { path: path.clone(), source })?;
                // The node may change its working directory; the run's directory may be relative.
                let path = std::path::absolute(&path)
                    .map_err(|source| ClusterError::Directory { path: path.clone(), source })?;
                format!("file:{}", path.display())
            }
            other => other.to_owned(),
        };
        let mut arguments = vec!["serve".to_owned(), "--listen".to_owned(), address.to_string()];
        arguments.extend(["--id".to_owned(), id.to_owned(), "--broker".to_owned(), broker]);
        arguments.push("--die-with-parent".to_owned());
        if self.spec.namespaces.is_some() {
            // No address of the loopback, and yet nobody else is on that network.
            arguments.push("--insecure".to_owned());
        }
        arguments.extend(self.spec.flags.iter().cloned());
        Ok(arguments)
    }
}
