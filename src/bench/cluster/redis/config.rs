//! The configuration files of the Redis servers of a run.

use std::net::SocketAddr;
use std::path::Path;

use crate::bench::scenario::Persistence;

/// The fewest masters of a Redis Cluster that can fail over.
pub(super) const MASTERS: usize = 3;
/// Name of the master, as Sentinels know it.
pub(super) const MASTER_NAME: &str = "sse";
/// Sentinels that must agree before a failover; there are three.
const QUORUM: u32 = 2;
/// A master that does not answer for this long counts as down, in ms. As short as is stable, since detection is most of a
/// failover.
const DOWN_AFTER_MS: u32 = 1_000;
/// Pause before a failed failover is tried again, in ms.
const FAILOVER_TIMEOUT_MS: u32 = 4_000;
/// As [`DOWN_AFTER`] for a Redis Cluster, which needs longer to agree.
const NODE_TIMEOUT_MS: u32 = 2_000;
/// A replica that lags more than this many seconds does not count for `min-replicas-to-write`.
const MAX_LAG_SECONDS: u32 = 2;

/// A server with data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Data<'a> {
    pub(super) address: SocketAddr,
    /// The password that it requires, of its replicas too.
    pub(super) password: Option<&'a str>,
    pub(super) dir: &'a Path,
    pub(super) persistence: Persistence,
    pub(super) min_replicas: u32,
    /// Address of its master; `None` for a master.
    pub(super) copies: Option<SocketAddr>,
    /// Port of the cluster bus; `None` outside of a Redis Cluster.
    pub(super) bus_port: Option<u16>,
}

/// The text of `redis.conf`.
pub(super) fn data(server: &Data<'_>) -> String {
    let mut text = head(server.address, server.dir);
    let persistence = match server.persistence {
        Persistence::Aof => "save \"\"\nappendonly yes\nappendfsync everysec\n",
        Persistence::Rdb => "save 5 1\nappendonly no\n",
        Persistence::None => "save \"\"\nappendonly no\n",
    };
    text.push_str(persistence);
    // The node warns about a Redis without a memory limit. An evicted log would be a silent loss. A replica connects at once, not after the usual five seconds.
    text.push_str("maxmemory 2gb\nmaxmemory-policy noeviction\nrepl-diskless-sync-delay 0\n");
    text.push_str(&format!("replica-announce-ip {}\n", server.address.ip()));
    if let Some(password) = server.password {
        text.push_str(&format!("requirepass {password}\nmasterauth {password}\n"));
    }
    if server.min_replicas > 0 {
        let (count, lag) = (server.min_replicas, MAX_LAG_SECONDS);
        text.push_str(&format!("min-replicas-to-write {count}\nmin-replicas-max-lag {lag}\n"));
    }
    if let Some(master) = server.copies {
        text.push_str(&format!("replicaof {} {}\n", master.ip(), master.port()));
    }
    if let Some(bus_port) = server.bus_port {
        text.push_str(&format!(
            "cluster-enabled yes\ncluster-port {bus_port}\ncluster-node-timeout {NODE_TIMEOUT_MS}\n"
        ));
    }
    text
}

/// The text of `sentinel.conf`. A Sentinel rewrites the file itself.
pub(super) fn sentinel(address: SocketAddr, dir: &Path, master: SocketAddr) -> String {
    let (ip, port) = (master.ip(), master.port());
    head(address, dir)
        + &format!(
            "sentinel monitor {MASTER_NAME} {ip} {port} {QUORUM}\n\
             sentinel down-after-milliseconds {MASTER_NAME} {DOWN_AFTER_MS}\n\
             sentinel failover-timeout {MASTER_NAME} {FAILOVER_TIMEOUT_MS}\n\
             sentinel parallel-syncs {MASTER_NAME} 1\n"
        )
}

fn head(address: SocketAddr, dir: &Path) -> String {
    let dir = dir.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    format!("bind {}\nport {}\ndir \"{dir}\"\ndaemonize no\n", address.ip(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn plain(dir: &Path) -> Data<'_> {
        let persistence = Persistence::Aof;
        let (password, copies, bus_port) = (None, None, None);
        Data { address: address(7_000), password, dir, persistence, min_replicas: 0, copies, bus_port }
    }

    #[test]
    fn a_server_alone_syncs_every_second_and_evicts_nothing() {
        insta::assert_snapshot!(data(&plain(Path::new("/runs/a \"b\"/redis-1"))), @r#"
    bind 127.0.0.1
    port 7000
    dir "/runs/a \"b\"/redis-1"
    daemonize no
    save ""
    appendonly yes
    appendfsync everysec
    maxmemory 2gb
    maxmemory-policy noeviction
    repl-diskless-sync-delay 0
    replica-announce-ip 127.0.0.1
    "#);
    }

    #[test]
    fn a_replica_copies_its_master_and_a_member_of_a_cluster_has_a_bus() {
        let dir = Path::new("/r");
        let replica = Data { copies: Some(address(7_001)), persistence: Persistence::None, ..plain(dir) };
        assert!(data(&replica).contains("appendonly no\n"));
        assert!(data(&replica).contains("replicaof 127.0.0.1 7001\n"));
        let guarded = Data { password: Some("p"), ..replica };
        assert!(data(&guarded).contains("requirepass p\nmasterauth p\n"));
        let member = Data { bus_port: Some(17_000), min_replicas: 1, ..plain(dir) };
        let text = data(&member);
        assert!(text.contains("cluster-enabled yes\ncluster-port 17000\n"), "{text}");
        assert!(text.contains("min-replicas-to-write 1\n"), "{text}");
    }

    #[test]
    fn a_sentinel_watches_the_master() {
        insta::assert_snapshot!(sentinel(address(7_010), Path::new("/r"), address(7_000)), @r#"
    bind 127.0.0.1
    port 7010
    dir "/r"
    daemonize no
    sentinel monitor sse 127.0.0.1 7000 2
    sentinel down-after-milliseconds sse 1000
    sentinel failover-timeout sse 4000
    sentinel parallel-syncs sse 1
    "#);
    }
}
