//! The state of the server as INFO reports it, reduced to the fields that the console shows. Read [`parsed`] first.

use super::connection::Ask;
use super::log::Redis;
use crate::broker::StoreError;
use crate::protocol::api::LogServer;

impl Redis {
    /// Asks the server that keeps the log.
    pub(in crate::broker) async fn server(&self) -> Result<LogServer, StoreError> {
        let shared = &self.shared;
        let info: String =
            shared.commands.ask("ask Redis for its state", Ask::Command(&redis::cmd("INFO"))).await?;
        Ok(parsed(shared.finder.place(), &info))
    }
}

/// A field that the server leaves out becomes zero: Valkey, KeyDB and proxies do not report all fields of Redis.
pub(super) fn parsed(place: String, info: &str) -> LogServer {
    let field = |name: &str| {
        let of_line =
            |line: &str| line.split_once(':').filter(|(key, _)| *key == name).map(|(_, v)| v.to_owned());
        info.lines().find_map(of_line).unwrap_or_default().trim().to_owned()
    };
    let number = |name: &str| field(name).parse().unwrap_or_default();
    let is_ok = |name: &str| matches!(field(name).as_str(), "" | "ok");
    LogServer {
        place,
        version: field("redis_version"),
        uptime: number("uptime_in_seconds"),
        memory: number("used_memory"),
        memory_max: number("maxmemory"),
        clients: number("connected_clients"),
        commands_per_second: number("instantaneous_ops_per_sec"),
        replicas: number("connected_slaves"),
        saves: is_ok("rdb_last_bgsave_status") && is_ok("aof_last_write_status"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_understood() {
        let info = "# Server\r\nredis_version:7.2.4\r\nuptime_in_seconds:71\r\nconnected_clients:9\r\n\
                    used_memory:1048576\r\nused_memory_rss:1\r\nmaxmemory:0\r\ninstantaneous_ops_per_sec:412\r\n\
                    connected_slaves:2\r\nrdb_last_bgsave_status:ok\r\naof_last_write_status:err\r\n";
        let server = parsed("127.0.0.1:1".to_owned(), info);
        let expected = LogServer {
            place: "127.0.0.1:1".to_owned(),
            version: "7.2.4".to_owned(),
            uptime: 71,
            memory: 1_048_576,
            memory_max: 0,
            clients: 9,
            commands_per_second: 412,
            replicas: 2,
            saves: false,
        };
        assert_eq!(server, expected);
        assert!(parsed(String::new(), "").saves, "nothing was asked for, so nothing failed");
    }
}
