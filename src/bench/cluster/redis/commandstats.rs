//! How many commands the masters of a run's Redis carried out, by name: `INFO commandstats`, read again and again,
//! since a restarted server counts from zero. Read [`CommandStatsSampler`] first.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::servers::{RedisUnavailable, Server, Servers, field_of};

/// Commands of Sentinels, replicas, members of a Redis Cluster and the bench itself, which no event causes.
const HOUSEKEEPING: [&str; 14] = [
    "acl",
    "client",
    "cluster",
    "command",
    "config",
    "hello",
    "info",
    "ping",
    "psync",
    "publish",
    "replconf",
    "slaveof",
    "subscribe",
    "sync",
];

type Calls = BTreeMap<String, u64>;

/// Counts from its first sample on.
#[derive(Debug, Default)]
pub struct CommandStatsSampler {
    seen: BTreeMap<SocketAddr, Calls>,
    total: Calls,
}

impl CommandStatsSampler {
    /// Reads all servers. One that does not answer is read again the next time.
    pub async fn look(&mut self, servers: &Servers) {
        let looks = servers.data().iter().map(|server| async { (server.address, calls(server).await) });
        for (address, calls) in futures_util::future::join_all(looks).await {
            match calls {
                Ok((is_master, calls)) => self.add(address, is_master, calls),
                Err(error) => tracing::trace!(%error, "commands of a server were not counted"),
            }
        }
    }

    /// A replica repeats the commands of its master, which do not count.
    fn add(&mut self, address: SocketAddr, is_master: bool, calls: Calls) {
        let before = self.seen.insert(address, calls.clone());
        let Some(before) = before.filter(|_| is_master) else { return };
        let had: u64 = before.values().sum();
        let was_restarted = calls.values().sum::<u64>() < had;
        for (name, count) in calls {
            let had = before.get(&name).copied().filter(|_| !was_restarted).unwrap_or(0);
            *self.total.entry(name).or_default() += count.saturating_sub(had);
        }
    }

    /// Number of commands by name, without those that never ran.
    #[must_use]
    pub fn finish(mut self) -> BTreeMap<String, u64> {
        self.total.retain(|_, count| *count > 0);
        self.total
    }
}

async fn calls(server: &Server) -> Result<(bool, Calls), RedisUnavailable> {
    let replication = server.text(&["INFO", "replication"], "INFO").await?;
    let stats = server.text(&["INFO", "commandstats"], "INFO").await?;
    Ok((field_of(&replication, "role") == Some("master"), parse(&stats)))
}

/// Parses lines such as `cmdstat_xadd:calls=5,usec=…` and `cmdstat_config|get:calls=1,…`.
fn parse(info: &str) -> Calls {
    let mut calls = Calls::new();
    for line in info.lines() {
        let Some((name, rest)) = line.strip_prefix("cmdstat_").and_then(|line| line.split_once(":calls="))
        else {
            continue;
        };
        let name = name.split('|').next().unwrap_or(name);
        let count = rest.split(',').next().and_then(|count| count.parse::<u64>().ok());
        if let Some(count) = count.filter(|_| !HOUSEKEEPING.contains(&name)) {
            *calls.entry(name.to_owned()).or_default() += count;
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls_of(pairs: &[(&str, u64)]) -> Calls {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn commands_are_counted_by_name_without_the_housekeeping() {
        let info = "# Commandstats\r\ncmdstat_xadd:calls=5,usec=9\r\ncmdstat_ping:calls=99,usec=1\r\n\
                    cmdstat_xinfo|stream:calls=2,usec=1\r\ncmdstat_xinfo|groups:calls=1,usec=1\r\n";
        assert_eq!(parse(info), calls_of(&[("xadd", 5), ("xinfo", 3)]));
    }

    #[test]
    fn a_restarted_server_goes_on_from_zero_and_a_replica_counts_for_nothing() {
        let (one, two): (SocketAddr, SocketAddr) = (([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into());
        let mut meter = CommandStatsSampler::default();
        meter.add(one, true, calls_of(&[("xadd", 100)]));
        meter.add(two, false, calls_of(&[("xadd", 100)]));
        meter.add(one, true, calls_of(&[("xadd", 110), ("xread", 1)]));
        meter.add(two, false, calls_of(&[("xadd", 110)]));
        meter.add(one, true, calls_of(&[("xadd", 3)]));
        // Promoted to master: its commands count from here on.
        meter.add(two, true, calls_of(&[("xadd", 117)]));
        assert_eq!(meter.finish(), calls_of(&[("xadd", 20), ("xread", 1)]));
    }
}
