//! Faults of the Redis that the nodes share: its processes, data, replication and clock. The servers that a fault meets are
//! looked up when it is applied; healing meets the same servers, whatever their roles are by then.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::bench::cluster::redis::command;
use crate::bench::cluster::redis::{RedisUnavailable, Server, Servers};
use crate::bench::cluster::{CommandResult, Ended, NodeCommand};
use crate::bench::ids::FaultId;
use crate::bench::scenario::{RedisAction, RedisShape, RedisTarget};
use crate::runtime::error_chain;

/// Time between SIGTERM and SIGKILL, in which a Redis syncs its files.
const GRACE: Duration = Duration::from_secs(10);
/// Time limit of a failover, until another server is master, and of a cut, until no replica is connected.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);
/// A replica of a Redis Cluster that has not taken over within five seconds stops trying.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(6);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The commands that a replica needs to copy and that a node needs to read the log.
const COPYING: [&str; 2] = ["psync", "sync"];
const READING: [&str; 1] = ["xread"];

/// Applies and heals faults of Redis.
#[derive(Debug)]
pub struct RedisFaults {
    /// `None`: the run started no Redis.
    servers: Option<Servers>,
    /// The servers that each fault met.
    hit: Mutex<HashMap<FaultId, Vec<Server>>>,
}

impl RedisFaults {
    /// For the servers of a run.
    #[must_use]
    pub fn new(servers: Option<Servers>) -> Self {
        Self { servers, hit: Mutex::default() }
    }

    /// Applies a fault.
    ///
    /// # Errors
    /// Why it failed, for the report.
    pub async fn apply(&self, id: FaultId, action: RedisAction, target: RedisTarget) -> Result<(), String> {
        let servers = self.servers.as_ref().ok_or("the bench did not start a Redis")?;
        if action == RedisAction::Failover {
            return fail_over(servers).await;
        }
        let target_server =
            target_server(servers, action, target).await.map_err(|error| error_chain(&error))?;
        if target_server.is_empty() {
            return Err(format!("no server matches the target {target}"));
        }
        // Remembered before anything is broken, since a half applied fault must be healed too.
        self.hit.lock().unwrap_or_else(PoisonError::into_inner).insert(id, target_server.clone());
        on_all(&target_server, |server| apply_one(servers, server, action)).await
    }

    /// Heals a fault.
    ///
    /// # Errors
    /// Why it failed, for the report.
    pub async fn heal(&self, id: FaultId, action: RedisAction) -> Result<(), String> {
        let target_server = self.hit.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let target_server = target_server.unwrap_or_default();
        on_all(&target_server, |server| heal_one(server, action)).await
    }
}

async fn on_all<'a, F>(target_server: &'a [Server], step: impl Fn(&'a Server) -> F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    let steps = target_server.iter().map(step);
    let failures: Vec<String> =
        futures_util::future::join_all(steps).await.into_iter().filter_map(Result::err).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

async fn target_server(
    servers: &Servers,
    action: RedisAction,
    target: RedisTarget,
) -> Result<Vec<Server>, RedisUnavailable> {
    // A flush of one master of several would leave half of the data.
    let masters_too = action == RedisAction::Flush && servers.set().shape == RedisShape::Cluster;
    if masters_too {
        let mut masters = Vec::new();
        for server in servers.data() {
            if server.role().await? == "master" {
                masters.push(server.clone());
            }
        }
        return Ok(masters);
    }
    if target == RedisTarget::All {
        return Ok(servers.data().to_vec());
    }
    let primary = servers.primary().await?;
    match target {
        RedisTarget::Primary => Ok(vec![primary.clone()]),
        RedisTarget::Replicas | RedisTarget::All => {
            Ok(servers.replicas_of(primary).await?.into_iter().cloned().collect())
        }
    }
}

async fn apply_one(servers: &Servers, server: &Server, action: RedisAction) -> Result<(), String> {
    match action {
        RedisAction::Kill => order(server, NodeCommand::Kill, Expect::SomethingDone).await,
        RedisAction::Restart => order(server, NodeCommand::Terminate(GRACE), Expect::SomethingDone).await,
        RedisAction::Pause => order(server, NodeCommand::Pause, Expect::SomethingDone).await,
        RedisAction::Flush => command(server, &["FLUSHALL"]).await.map(|_| ()),
        RedisAction::Trim { keep } => trim(server, servers.log_key(), keep).await,
        RedisAction::ReplicationCut { unread } => cut(server, unread).await,
        RedisAction::ClockSkew { by } => skew(server, servers.log_key(), by).await,
        // It meets no data server, but those that decide who is master.
        RedisAction::Failover => Ok(()),
    }
}

async fn heal_one(server: &Server, action: RedisAction) -> Result<(), String> {
    match action {
        RedisAction::Kill | RedisAction::Restart => order(server, NodeCommand::Start, Expect::Anything).await,
        RedisAction::Pause => order(server, NodeCommand::Resume, Expect::Anything).await,
        RedisAction::ReplicationCut { unread } => heal_rights(server, unread).await,
        RedisAction::Failover
        | RedisAction::Flush
        | RedisAction::Trim { .. }
        | RedisAction::ClockSkew { .. } => Ok(()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// A fault that meets a dead server measures nothing, so that is an error.
    SomethingDone,
    /// Healing a healthy server is not an error.
    Anything,
}

async fn order(server: &Server, order: NodeCommand, expect: Expect) -> Result<(), String> {
    match server.handle.send(order).await {
        Ok(CommandResult::Already) if expect == Expect::SomethingDone => {
            Err(format!("{} was not running, so there was nothing to break", server.name))
        }
        Ok(CommandResult::Ended(Ended::Killed)) => {
            Err(format!("{} did not end within {GRACE:?} after SIGTERM and was killed", server.name))
        }
        Ok(
            CommandResult::Already
            | CommandResult::Yes
            | CommandResult::Ended(Ended::ByItself(_))
            | CommandResult::Ready(_),
        ) => Ok(()),
        Err(error) => Err(error_chain(&error)),
    }
}

async fn command(server: &Server, args: &[&str]) -> Result<String, String> {
    let reply = server.ask(args).await.map_err(|error| error_chain(&error))?;
    Ok(command::text(&reply).unwrap_or_default())
}

async fn trim(server: &Server, key: &str, keep: u32) -> Result<(), String> {
    let removed = command(server, &["XTRIM", key, "MAXLEN", "=", &keep.to_string()]).await?;
    if removed == "0" {
        return Err(format!("the log has no more than {keep} events, so there was nothing to trim"));
    }
    Ok(())
}

/// Forbids replicas to copy, and closes their connections. Stopping a replica would be no cut, since bytes in flight to
/// it wait in its socket.
async fn cut(server: &Server, unread: bool) -> Result<(), String> {
    set_rights(server, '-', unread).await?;
    command(server, &["CLIENT", "KILL", "TYPE", "replica"]).await?;
    let deadline = Instant::now() + CHANGE_TIMEOUT;
    loop {
        let connected = server.info("replication", "connected_slaves").await;
        if connected.as_deref().is_ok_and(|count| count == "0") {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(format!(
                "replicas are still connected to {} {CHANGE_TIMEOUT:?} after the cut",
                server.name
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Allows replicas to copy again. A server that was killed meanwhile has forgotten the ban; a paused one is waited for
/// until it answers.
async fn heal_rights(server: &Server, unread: bool) -> Result<(), String> {
    let deadline = Instant::now() + CHANGE_TIMEOUT;
    loop {
        let Err(error) = set_rights(server, '+', unread).await else { return Ok(()) };
        if server.handle.pid().is_none() {
            tracing::debug!(server = server.name, "the server is not running: its rights end with it");
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(error);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn set_rights(server: &Server, sign: char, unread: bool) -> Result<(), String> {
    let commands = COPYING.iter().chain(READING.iter().filter(|_| unread));
    let rights: Vec<String> = commands.map(|command| format!("{sign}{command}")).collect();
    let mut args = vec!["ACL", "SETUSER", "default"];
    args.extend(rights.iter().map(String::as_str));
    command(server, &args).await.map(|_| ())
}

/// Moves the log's newest id into the future: every later id of the server is above it, as if its clock had been
/// ahead.
async fn skew(server: &Server, key: &str, by: Duration) -> Result<(), String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
    let id = format!("{}-0", (now + by).as_millis());
    command(server, &["XSETID", key, &id]).await.map(|_| ())
}

/// Asks Sentinels or a replica for a failover until they accept, and waits until another server is master.
async fn fail_over(servers: &Servers) -> Result<(), String> {
    let before = servers.primary().await.map_err(|error| error_chain(&error))?;
    let deadline = Instant::now() + CHANGE_TIMEOUT;
    let mut refusal = Ok(());
    let mut ask_again = Instant::now();
    loop {
        if Instant::now() >= ask_again {
            refusal = match servers.set().shape {
                RedisShape::Sentinel => ask_sentinel(servers).await,
                RedisShape::Cluster => ask_replica(servers, before).await,
                RedisShape::Single => return Err(
                    "a single Redis has no failover; set cluster.broker = \"redis-sentinel\" or \"redis-cluster\""
                        .to_owned(),
                ),
            };
            // They refuse right after another failover, or while a replica is not yet there; and they may give up a
            // failover that they accepted.
            ask_again = Instant::now() + if refusal.is_ok() { GIVEN_UP_AFTER } else { ASK_AGAIN_AFTER };
        }
        let primary = servers.primary().await;
        if let Ok(now) = &primary
            && now.address != before.address
            && now.role().await.is_ok_and(|role| role == "master")
        {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let why = refusal.err().map(|why| format!(": {why}")).unwrap_or_default();
            return Err(format!("{} is still master after {CHANGE_TIMEOUT:?}{why}", before.name));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn ask_sentinel(servers: &Servers) -> Result<(), String> {
    let sentinel = servers.sentinels().first().ok_or("there is no Sentinel")?;
    command(sentinel, &["SENTINEL", "FAILOVER", servers.master_name()]).await.map(|_| ())
}

async fn ask_replica(servers: &Servers, primary: &Server) -> Result<(), String> {
    let replicas = servers.replicas_of(primary).await.map_err(|error| error_chain(&error))?;
    let replica = replicas.first().ok_or_else(|| format!("{} has no replica", primary.name))?;
    command(replica, &["CLUSTER", "FAILOVER"]).await.map(|_| ())
}
