//! A real load balancer in front of the nodes: nginx or HAProxy, configured as in production. The run starts and stops
//! it. Read [`LoadBalancer`] first, then [`nginx`] for what the configuration must have.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use tokio::task::JoinSet;

use super::layout::{FILES_BESIDES, Layout};
use super::{haproxy, nginx};
use crate::bench::cluster::node::{NodeCommand, NodeError, NodeHandle, NodeTask};
use crate::bench::cluster::ports;
use crate::bench::cluster::process::Launch;
use crate::bench::cluster::program::{MissingProgram, Program};
use crate::bench::cluster::ready::{Probe, Readiness, Sign};
use crate::bench::scenario::{Lb, LbKind};
use crate::runtime::rlimit;

const NGINX: Program = Program { name: "nginx", package: "nginx-light" };
const HAPROXY: Program = Program { name: "haproxy", package: "haproxy" };
/// Time limit until it, and a node behind it, answers.
const READY_TIMEOUT: Duration = Duration::from_secs(15);
/// Time between SIGTERM and SIGKILL: it does not wait for its connections.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Number of tries with another port, when another process took the one that was free a moment ago.
const TRIES: usize = 3;
/// The fewest connections that a load balancer is configured for.
const CONNECTIONS_MIN: u64 = 1_024;

/// Which load balancer to start.
#[derive(Debug, Clone)]
pub struct LoadBalancerSpec {
    /// The kind and the policy.
    pub lb: Lb,
    /// Base URLs of the nodes, as `http://127.0.0.1:12345`.
    pub nodes: Vec<String>,
    /// Connections from clients and publishers at once.
    pub connections: u64,
    /// Directory for its configuration and logs.
    pub run_dir: PathBuf,
}

/// A running load balancer. Dropping it kills it.
#[derive(Debug)]
pub struct LoadBalancer {
    base: String,
    handle: NodeHandle,
    tasks: JoinSet<()>,
}

/// Why the load balancer did not start.
#[derive(Debug, thiserror::Error)]
pub enum LoadBalancerError {
    /// The program is not installed.
    #[error(transparent)]
    Missing(#[from] MissingProgram),
    /// Its directory or its configuration.
    #[error("cannot write {path:?}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The base URL of a node has a form that it cannot use.
    #[error("the load balancer cannot connect to {base:?}; allowed is http://HOST:PORT without a path")]
    Node { base: String },
    /// No free port is left.
    #[error("no free port on 127.0.0.1 for the load balancer")]
    Port(#[source] std::io::Error),
    /// It did not start.
    #[error("the load balancer could not be started")]
    Start(#[source] NodeError),
}

impl LoadBalancer {
    /// Starts it, and waits until a node answers through it.
    ///
    /// # Errors
    /// It did not start.
    pub async fn start(spec: &LoadBalancerSpec, http: &reqwest::Client) -> Result<Self, LoadBalancerError> {
        let mut tries = 1;
        loop {
            match Self::start_once(spec, http).await {
                // Another process may have bound the port between our check and its start.
                Err(LoadBalancerError::Start(_)) if tries < TRIES => tries += 1,
                result => return result,
            }
        }
    }

    async fn start_once(spec: &LoadBalancerSpec, http: &reqwest::Client) -> Result<Self, LoadBalancerError> {
        let mut rng: ChaCha8Rng = rand::make_rng();
        let listen = ports::free_address(&mut rng).map_err(LoadBalancerError::Port)?;
        let launch = launch(spec, listen).await?;
        let base = format!("http://{listen}");
        let probe = Probe::Http { http: http.clone(), base: base.clone(), sign: Sign::usual() };
        let name = launch.what.clone();
        let readiness = Readiness { what: name.clone(), probe, timeout: READY_TIMEOUT };
        let (handle, task) = NodeTask::new(&name, launch, readiness);
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run());
        handle.send(NodeCommand::StartFirst).await.map_err(LoadBalancerError::Start)?;
        Ok(Self { base, handle, tasks })
    }

    /// Base URL, as `http://127.0.0.1:12345`, without a slash at the end.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The handle of its process.
    #[must_use]
    pub fn handle(&self) -> &NodeHandle {
        &self.handle
    }

    /// Stops it.
    ///
    /// # Errors
    /// Why it did not stop, for people.
    pub async fn stop(mut self) -> Result<(), String> {
        let ended = self.handle.send(NodeCommand::Terminate(STOP_GRACE)).await;
        self.tasks.shutdown().await;
        ended.map(|_| ()).map_err(|error| format!("{}: {error}", self.handle.id()))
    }
}

/// Writes the configuration. Returns how to start the program with it.
async fn launch(spec: &LoadBalancerSpec, listen: SocketAddr) -> Result<Launch, LoadBalancerError> {
    let nodes: Vec<&str> = spec.nodes.iter().map(|base| host_of(base)).collect::<Result<_, _>>()?;
    let (program, name) = match spec.lb.kind {
        LbKind::Haproxy => (HAPROXY, "haproxy"),
        LbKind::Nginx | LbKind::Swarm => (NGINX, "nginx"),
    };
    let dir = spec.run_dir.join(name);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| LoadBalancerError::Write { path, source }
    };
    std::fs::create_dir_all(&dir).map_err(failed(&dir))?;
    let dir = std::path::absolute(&dir).map_err(failed(&dir))?;
    let possible = rlimit::raise_open_files().saturating_sub(FILES_BESIDES) / 2;
    let connections = spec.connections.max(CONNECTIONS_MIN).min(possible);
    let layout = Layout { listen, nodes: &nodes, policy: spec.lb.policy, connections, dir: &dir };
    let path = dir.join(format!("{name}.conf"));
    let (text, args) = match spec.lb.kind {
        LbKind::Haproxy => (haproxy::config(&layout), haproxy::arguments(&path)),
        LbKind::Nginx | LbKind::Swarm => {
            let temporary = nginx::temporary_paths(&program.find(name)?).await;
            (nginx::config(&layout, &temporary), nginx::arguments(&path))
        }
    };
    std::fs::write(&path, text).map_err(failed(&path))?;
    Ok(program.tethered(name, args, &spec.run_dir.join(name))?)
}

/// The `host:port` of a base URL.
fn host_of(base: &str) -> Result<&str, LoadBalancerError> {
    let host = base.strip_prefix("http://").filter(|host| !host.contains('/') && host.contains(':'));
    host.ok_or_else(|| LoadBalancerError::Node { base: base.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_balancer_can_reach_stands_behind_one() {
        assert_eq!(host_of("http://127.0.0.1:80").unwrap(), "127.0.0.1:80");
        for base in ["https://h:1", "http://h:1/below", "http://h"] {
            assert!(host_of(base).is_err(), "{base}");
        }
    }
}
