//! Waits until servers that have just started form a set: replicas have copied their masters, Sentinels know each other, a
//! Redis Cluster has its slots and its members. Read [`form_cluster`] first.

use std::time::Duration;

use tokio::time::Instant;

use super::command;
use super::config::{MASTER_NAME, MASTERS};
use super::servers::{Membership, RedisUnavailable, Server, Servers, field_of};
use crate::bench::scenario::RedisShape;

/// Time limit: Sentinels find each other every two seconds; a Redis Cluster gossips for a few.
const TIMEOUT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Number of hash slots of a Redis Cluster.
const SLOTS: usize = 16_384;

/// The servers did not form a set in time.
#[derive(Debug, thiserror::Error)]
#[error("the Redis servers did not find each other within {TIMEOUT:?}: {why}")]
pub struct ClusterNotFormed {
    why: String,
}

/// Waits until the set takes writes, and every server knows the others that it needs.
pub(super) async fn form_cluster(servers: &Servers) -> Result<(), ClusterNotFormed> {
    let deadline = Instant::now() + TIMEOUT;
    if servers.set().shape == RedisShape::Cluster {
        cluster_meet(servers, deadline).await?;
    }
    until(deadline, || is_whole(servers)).await
}

/// Checks again and again until nothing is missing.
async fn until<F>(deadline: Instant, look: impl Fn() -> F) -> Result<(), ClusterNotFormed>
where
    F: Future<Output = Result<(), String>>,
{
    loop {
        let Err(why) = look().await else { return Ok(()) };
        if Instant::now() >= deadline {
            return Err(ClusterNotFormed { why });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn is_whole(servers: &Servers) -> Result<(), String> {
    let mut copies = 0;
    for server in servers.data() {
        copies += usize::from(is_placed(servers, server).await.map_err(|error| error.to_string())?);
    }
    let masters = if servers.set().shape == RedisShape::Cluster { MASTERS } else { 1 };
    if servers.data().len() - copies != masters {
        let all = servers.data().len();
        return Err(format!("{copies} of {all} servers are replicas, not {}", all - masters));
    }
    for sentinel in servers.sentinels() {
        knows_all(servers, sentinel).await?;
    }
    Ok(())
}

/// Whether a server is a replica; an error while its replication is not yet up.
async fn is_placed(servers: &Servers, server: &Server) -> Result<bool, RedisUnavailable> {
    let odd = |command, answer| RedisUnavailable::Odd { name: server.name.clone(), command, answer };
    if servers.set().shape == RedisShape::Cluster {
        let info = server.text(&["CLUSTER", "INFO"], "CLUSTER INFO").await?;
        if field_of(&info, "cluster_state") != Some("ok") {
            return Err(odd("CLUSTER INFO", info));
        }
    }
    let info = server.text(&["INFO", "replication"], "INFO").await?;
    match field_of(&info, "role") {
        Some("master") => {
            let needed = servers.set().replicas.to_string();
            let has_all = field_of(&info, "connected_slaves") == Some(needed.as_str());
            // A connected replica counts only when it has answered; until then the master refuses writes.
            let good = field_of(&info, "min_slaves_good_slaves").and_then(|count| count.parse().ok());
            let takes_writes = good.unwrap_or(0) >= servers.set().min_replicas;
            if has_all && takes_writes { Ok(false) } else { Err(odd("INFO", info)) }
        }
        Some("slave") if field_of(&info, "master_link_status") == Some("up") => Ok(true),
        _ => Err(odd("INFO", info)),
    }
}

async fn knows_all(servers: &Servers, sentinel: &Server) -> Result<(), String> {
    let reply =
        sentinel.ask(&["SENTINEL", "MASTER", MASTER_NAME]).await.map_err(|error| error.to_string())?;
    let fields: Vec<String> = command::items(&reply).iter().filter_map(command::text).collect();
    let field = |name: &str| fields.iter().position(|field| field == name).and_then(|at| fields.get(at + 1));
    let replicas = servers.set().replicas.to_string();
    let others = (servers.sentinels().len() - 1).to_string();
    let expected =
        [("flags", "master"), ("num-slaves", replicas.as_str()), ("num-other-sentinels", others.as_str())];
    for (name, wanted) in expected {
        match field(name) {
            Some(found) if found == wanted => {}
            Some(found) => return Err(format!("{}: {name} is {found}, not {wanted}", sentinel.name)),
            None => return Err(format!("{}: {name} is missing", sentinel.name)),
        }
    }
    Ok(())
}

/// Gives the slots to the first servers, makes all servers known to each other, and makes the others replicas.
async fn cluster_meet(servers: &Servers, deadline: Instant) -> Result<(), ClusterNotFormed> {
    let scattered = |error: RedisUnavailable| ClusterNotFormed { why: error.to_string() };
    let (masters, replicas) = servers.data().split_at(MASTERS);
    for (number, master) in masters.iter().enumerate() {
        give_slots(master, number).await.map_err(scattered)?;
    }
    let first = &masters[0];
    for server in &servers.data()[1..] {
        let (ip, port) = (server.address.ip().to_string(), server.address.port().to_string());
        // The bus port is not 10,000 above the port, so it must be named.
        let bus = bus_port(server).await.map_err(scattered)?;
        first.text(&["CLUSTER", "MEET", &ip, &port, &bus], "CLUSTER MEET").await.map_err(scattered)?;
    }
    until(deadline, || all_know_all(servers)).await?;
    for (number, replica) in replicas.iter().enumerate() {
        let master = &masters[number % MASTERS];
        let id = master.text(&["CLUSTER", "MYID"], "CLUSTER MYID").await.map_err(scattered)?;
        replica.text(&["CLUSTER", "REPLICATE", &id], "CLUSTER REPLICATE").await.map_err(scattered)?;
    }
    Ok(())
}

async fn give_slots(master: &Server, number: usize) -> Result<(), RedisUnavailable> {
    // Each gets an epoch of its own, so that no conflict has to be resolved while they meet.
    let epoch = (number + 1).to_string();
    master.text(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch], "CLUSTER SET-CONFIG-EPOCH").await?;
    let first = (SLOTS * number / MASTERS).to_string();
    let last = (SLOTS * (number + 1) / MASTERS - 1).to_string();
    let command = ["CLUSTER", "ADDSLOTSRANGE", first.as_str(), last.as_str()];
    master.text(&command, "CLUSTER ADDSLOTSRANGE").await.map(|_| ())
}

async fn bus_port(server: &Server) -> Result<String, RedisUnavailable> {
    let reply = server.ask(&["CONFIG", "GET", "cluster-port"]).await?;
    let odd = || RedisUnavailable::Odd {
        name: server.name.clone(),
        command: "CONFIG GET cluster-port",
        answer: format!("{reply:?}"),
    };
    command::items(&reply).get(1).and_then(command::text).ok_or_else(odd)
}

async fn all_know_all(servers: &Servers) -> Result<(), String> {
    for server in servers.data() {
        let nodes = server.text(&["CLUSTER", "NODES"], "CLUSTER NODES").await;
        let nodes = nodes.map_err(|error| error.to_string())?;
        let members: Vec<Membership> = nodes.lines().filter_map(Membership::parse).collect();
        let is_known = |other: &Server| members.iter().any(|member| member.address == other.address);
        let known = servers.data().iter().filter(|other| is_known(other)).count();
        if known < servers.data().len() {
            return Err(format!("{} knows {known} of {} servers", server.name, servers.data().len()));
        }
        if nodes.lines().any(|line| line.contains("handshake")) {
            return Err(format!("{}: a handshake is not finished", server.name));
        }
    }
    Ok(())
}
