//! Starts and stops the Redis servers of a run. They never outlive the bench, even if it is killed. Read
//! [`RedisDeployment`] first, then [`Servers`].

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rand::RngExt as _;
use rand::rngs::ChaCha8Rng;
use tokio::task::JoinSet;

use super::bootstrap::{self, ClusterNotFormed};
use super::command;
use super::config::{self, MASTERS};
use super::servers::{Server, Servers};
use crate::bench::cluster::node::{NodeCommand, NodeError, NodeTask};
use crate::bench::cluster::ports;
use crate::bench::cluster::program::{MissingProgram, Program};
use crate::bench::cluster::ready::{Ping, Probe, Readiness};
use crate::bench::scenario::{RedisSet, RedisShape};
use crate::runtime::error_chain;

/// The program of all servers, Sentinels included.
const REDIS: Program = Program { name: "redis-server", package: "redis-server" };
/// Time limit: an empty server starts in milliseconds; one that was killed reads its log again.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between SIGTERM and SIGKILL.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// Number of tries with other ports, when another process took one that was free a moment ago.
const TRIES: usize = 3;
const SENTINELS: usize = 3;

/// The servers of a run, and the tasks that own their processes. Dropping this kills the processes.
#[derive(Debug)]
pub struct RedisDeployment {
    servers: Servers,
    tasks: JoinSet<()>,
}

/// Why Redis did not start.
#[derive(Debug, thiserror::Error)]
pub enum RedisStartError {
    /// The program is not installed.
    #[error(transparent)]
    Missing(#[from] MissingProgram),
    /// A directory or file of a server.
    #[error("cannot write {path:?}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// No free port is left.
    #[error("no free port on 127.0.0.1 for Redis")]
    Port(#[source] std::io::Error),
    /// A server did not start.
    #[error("{name} could not be started")]
    Start {
        name: String,
        #[source]
        source: NodeError,
    },
    /// The servers did not form a set.
    #[error(transparent)]
    ClusterNotFormed(#[from] ClusterNotFormed),
}

impl RedisDeployment {
    /// Starts the servers of a set on an address of this machine, with files below `run_dir`. Waits until they form a set and
    /// take writes.
    ///
    /// # Errors
    /// A server did not start; those that did are killed.
    pub async fn start(set: &RedisSet, host: Ipv4Addr, run_dir: &Path) -> Result<Self, RedisStartError> {
        let mut tries = 1;
        loop {
            match Self::start_once(set, host, run_dir).await {
                // Another process may have bound a port between our check and the server's start.
                Err(RedisStartError::Start { .. }) if tries < TRIES => tries += 1,
                result => return result,
            }
        }
    }

    async fn start_once(set: &RedisSet, host: Ipv4Addr, run_dir: &Path) -> Result<Self, RedisStartError> {
        let password = password_at(host);
        let mut seats = RedisSlots { set, host, password, run_dir, tasks: JoinSet::new() };
        let servers = seats.servers()?;
        let store = Self { servers, tasks: seats.tasks };
        let starts = store.servers.all().map(|server| async {
            let started = server.handle.send(NodeCommand::StartFirst).await;
            started.map_err(|source| RedisStartError::Start { name: server.name.clone(), source })
        });
        for started in futures_util::future::join_all(starts).await {
            started?;
        }
        bootstrap::form_cluster(&store.servers).await?;
        Ok(store)
    }

    /// The servers, for questions and faults.
    #[must_use]
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Stops all servers at once.
    ///
    /// # Errors
    /// The servers that did not stop, for people; the others did.
    pub async fn stop(mut self) -> Result<(), Vec<String>> {
        let orders = self.servers.all().map(|server| async {
            let ended = server.handle.send(NodeCommand::Terminate(STOP_GRACE)).await;
            ended.map_err(|error| format!("{}: {error}", server.name))
        });
        let results = futures_util::future::join_all(orders).await;
        let failed: Vec<String> = results.into_iter().filter_map(Result::err).collect();
        self.tasks.shutdown().await;
        if failed.is_empty() { Ok(()) } else { Err(failed) }
    }
}

/// Chooses addresses and files for the servers of a set.
struct RedisSlots<'a> {
    set: &'a RedisSet,
    host: Ipv4Addr,
    password: Option<String>,
    run_dir: &'a Path,
    tasks: JoinSet<()>,
}

impl RedisSlots<'_> {
    fn servers(&mut self) -> Result<Servers, RedisStartError> {
        let masters = match self.set.shape {
            RedisShape::Single | RedisShape::Sentinel => 1,
            RedisShape::Cluster => MASTERS,
        };
        let replicas = masters * usize::try_from(self.set.replicas).unwrap_or(usize::MAX);
        let mut data = Vec::new();
        for number in 1..=masters + replicas {
            // Replicas of a Redis Cluster learn their masters later.
            let first = data.first().map(|first: &Server| first.address);
            let copies = first.filter(|_| self.set.shape != RedisShape::Cluster);
            data.push(self.data(&format!("redis-{number}"), copies)?);
        }
        let mut sentinels = Vec::new();
        if self.set.shape == RedisShape::Sentinel {
            for number in 1..=SENTINELS {
                sentinels.push(self.sentinel(&format!("sentinel-{number}"), data[0].address)?);
            }
        }
        Ok(Servers::new(self.set, data, sentinels))
    }

    fn data(&mut self, name: &str, copies: Option<SocketAddr>) -> Result<Server, RedisStartError> {
        let (address, dir) = (free(self.host)?, self.dir(name)?);
        let bus_port = match self.set.shape {
            RedisShape::Cluster => Some(free(self.host)?.port()),
            RedisShape::Single | RedisShape::Sentinel => None,
        };
        let (persistence, min_replicas) = (self.set.persistence, self.set.min_replicas);
        let password = self.password.as_deref();
        let server =
            config::Data { address, password, dir: &dir, persistence, min_replicas, copies, bus_port };
        self.server(name, address, &dir, (&config::data(&server), &[]))
    }

    fn sentinel(&mut self, name: &str, master: SocketAddr) -> Result<Server, RedisStartError> {
        let (address, dir) = (free(self.host)?, self.dir(name)?);
        self.server(name, address, &dir, (&config::sentinel(address, &dir, master), &["--sentinel"]))
    }

    /// The directory of a server, absolute because the server changes into it, and emptied, because a server would read the
    /// files of an earlier try.
    fn dir(&self, name: &str) -> Result<PathBuf, RedisStartError> {
        let dir = self.run_dir.join(name);
        let failed = |source| RedisStartError::Write { path: dir.clone(), source };
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        std::fs::create_dir_all(&dir).map_err(failed)?;
        std::path::absolute(&dir).map_err(failed)
    }

    fn server(
        &mut self,
        name: &str,
        address: SocketAddr,
        dir: &Path,
        (text, flags): (&str, &[&str]),
    ) -> Result<Server, RedisStartError> {
        let path = dir.join("server.conf");
        std::fs::write(&path, text)
            .map_err(|source| RedisStartError::Write { path: path.clone(), source })?;
        let mut args = vec![path.display().to_string()];
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let launch = REDIS.tethered(name, args, &self.run_dir.join(name))?;
        let (what, password) = (name.to_owned(), self.password.clone());
        let probe = Probe::Ping(Arc::new(RedisPing { address, password: password.clone() }));
        let readiness = Readiness { what, probe, timeout: READY_TIMEOUT };
        let (handle, task) = NodeTask::new(name, launch, readiness);
        self.tasks.spawn(task.run());
        Ok(Server { name: name.to_owned(), address, password, handle })
    }
}

/// `PING`, which a Redis refuses while it loads its data; with the password, if it has one.
#[derive(Debug)]
struct RedisPing {
    address: SocketAddr,
    password: Option<String>,
}

impl Ping for RedisPing {
    fn place(&self) -> String {
        self.address.to_string()
    }

    fn ask(&self, limit: Duration) -> BoxFuture<'_, Result<(), String>> {
        let answer = command::ask(self.address, self.password.as_deref(), &["PING"], limit);
        answer.map(|answer| answer.map(|_| ()).map_err(|error| error_chain(&error))).boxed()
    }
}

/// A password for servers that listen on an address other than loopback: Linux accepts packets for all its addresses on
/// every interface, so other machines could reach them.
fn password_at(host: Ipv4Addr) -> Option<String> {
    let mut rng: ChaCha8Rng = rand::make_rng();
    (!host.is_loopback()).then(|| format!("{:032x}", rng.random::<u128>()))
}

fn free(host: Ipv4Addr) -> Result<SocketAddr, RedisStartError> {
    let mut rng: ChaCha8Rng = rand::make_rng();
    ports::free_address_of(host, &mut rng).map_err(RedisStartError::Port)
}
