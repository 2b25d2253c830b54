//! The nodes of a run: child processes that the bench starts, breaks and stops, or running nodes that it can only send
//! requests to. Children never outlive the bench: their handles kill them on drop and on a panic, and the flag
//! `--die-with-parent` does when the bench itself is killed. Read [`Cluster`] first.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use tokio::task::JoinSet;

use super::netns::Namespaces;
use super::node::{CommandResult, NodeCommand, NodeError, NodeHandle, NodeTask};
use super::ports;
use super::process::Launch;
use super::ready::{NotReady, Probe, Readiness, Sign};
use crate::runtime::error_chain;

/// Variable that names the executable of a node.
pub const NODE_BIN_ENV: &str = "SSE_BENCH_NODE_BIN";
/// Number of tries with another port, when another process took the one that was free a moment ago.
const PORT_TRIES: usize = 3;

/// Which nodes to start.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    /// Number of nodes: `n1`, `n2`, …
    pub nodes: usize,
    /// Number of spare nodes, which only a fault starts.
    pub spares: usize,
    /// Broker of each node: `memory:`, `file:` (a directory of its own below the run's), or a broker URL.
    pub brokers: Vec<String>,
    /// Further flags of every node, as in `--max-connections`, `10000`.
    pub flags: Vec<String>,
    /// The nodes' network namespaces; `None`: they share this host's network.
    pub namespaces: Option<Namespaces>,
    /// Directory for logs and data.
    pub run_dir: PathBuf,
    /// Time limit until a node is ready.
    pub ready_timeout: Duration,
}

/// The nodes of a run.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    /// The tasks that own the processes. Dropping the set kills the processes.
    tasks: JoinSet<()>,
}

/// A node of the run, spare or not.
#[derive(Debug, Clone)]
pub struct Member {
    /// Name of the node: `n1`, …
    pub id: String,
    /// Base URL, as `http://127.0.0.1:12345`, without a slash at the end.
    pub base: String,
    /// How to check its health.
    pub readiness: Readiness,
    /// Sends commands to its process; `None` for a node that the bench did not start.
    pub handle: Option<NodeHandle>,
}

/// Why the nodes did not start.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The executable was not found.
    #[error("cannot find sse-node: neither {NODE_BIN_ENV} names it nor is it beside {beside:?}")]
    NoBinary { beside: PathBuf },
    /// The named executable does not exist.
    #[error("{NODE_BIN_ENV} names {path:?}, which is not a file")]
    BadBinary { path: PathBuf },
    /// A directory of the run.
    #[error("cannot create {path:?}")]
    Directory {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// No free port is left.
    #[error("no free port on 127.0.0.1")]
    Port(#[source] std::io::Error),
    /// A node could not be started, or did not become ready.
    #[error("node {id} could not be started")]
    Start {
        id: String,
        #[source]
        source: NodeError,
    },
    /// A running node (`cluster.attach`) is not ready.
    #[error("the running nodes of cluster.attach are not ready")]
    Attach(#[source] NotReady),
}

/// Path of the node's executable: the variable's, else the one beside this executable.
///
/// # Errors
/// It was not found.
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
    /// Starts the nodes, all at once, and waits until each is ready. Spare nodes are not started.
    ///
    /// # Errors
    /// The first node that did not start; those that did are killed.
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

    /// Another process may have bound the port between our check and the node's start: then the node gets another port.
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
            // Whoever took the port may be gone by now.
            if !is_taken(&self.members[index].base) && !error_chain(&last).contains(ports::TAKEN) {
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

    /// Uses running nodes, of any server with the HTTP interface. Waits until each is ready.
    ///
    /// # Errors
    /// A node is not ready in time.
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

    /// Stops all nodes at once: SIGTERM, and SIGKILL after `grace`.
    ///
    /// # Errors
    /// The nodes that did not stop; the others did.
    pub async fn stop(
        mut self,
        grace: Duration,
    ) -> Result<Vec<(String, CommandResult)>, Vec<(String, NodeError)>> {
        let orders = self.members.iter().filter_map(|member| member.handle.as_ref()).map(|handle| async {
            (handle.id().to_owned(), handle.send(NodeCommand::Terminate(grace)).await)
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
    /// Starts the node's process, if the bench owns it, and waits until it is ready.
    ///
    /// # Errors
    /// It could not be started, or did not become ready.
    pub async fn start(&self) -> Result<CommandResult, NodeError> {
        match &self.handle {
            Some(handle) => handle.send(NodeCommand::StartFirst).await,
            None => Ok(CommandResult::Already),
        }
    }
}

/// Whether another process listens on the address of this URL.
fn is_taken(base: &str) -> bool {
    let address = base.strip_prefix("http://").and_then(|text| text.parse::<SocketAddr>().ok());
    let bound = address.map(std::net::TcpListener::bind);
    matches!(bound, Some(Err(error)) if error.kind() == std::io::ErrorKind::AddrInUse)
}

/// The place of a node: its address, port and directory.
struct NodeSlot<'a> {
    spec: &'a ClusterSpec,
    broker: &'a str,
    program: &'a Path,
    http: &'a reqwest::Client,
    /// Number of the node, from 1.
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
