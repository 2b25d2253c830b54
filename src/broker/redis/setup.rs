//! Checks whether a Redis is fit to keep a log. A server that cannot work is refused; settings that may lose data cause
//! a warning. Read [`check`] first.

use std::collections::HashMap;

use redis::{ScriptInvocation, cmd};

use super::connection::{Ask, Conn, ConnError};
use super::limits::RESPONSE;
use super::permissions;
use crate::broker::{Durability, LogLimits, OpenError};

/// Oldest version with the stream commands and scripts that are used here.
const OLDEST: (u32, u32) = (6, 2);
/// WAITAOF exists from this version on.
const WAITAOF: (u32, u32) = (7, 2);

/// INFO and CONFIG of a server.
#[derive(Debug, Default)]
struct Report {
    info: HashMap<String, String>,
    config: HashMap<String, String>,
}

/// Refuses a server that cannot keep its promise of durability, and warns of settings that lose data.
pub(super) async fn check(
    conn: &mut Conn,
    durability: Durability,
    limits: &LogLimits,
) -> Result<(), OpenError> {
    let store = |error: ConnError| OpenError::Store(error.into_store_error());
    let info: String =
        conn.ask("ask Redis for its state", Ask::Command(&cmd("INFO")), RESPONSE).await.map_err(store)?;
    let mut config = cmd("CONFIG");
    config.arg("GET").arg("*");
    // A hosted server may forbid CONFIG; then only those settings are known that INFO tells, too.
    let config: HashMap<String, String> =
        match conn.ask("ask Redis for its settings", Ask::Command(&config), RESPONSE).await {
            Ok(config) => config,
            Err(ConnError::Refused(error)) => {
                tracing::info!(%error, "the settings of Redis cannot be read");
                HashMap::new()
            }
            Err(error) => return Err(store(error)),
        };
    let report = Report::new(&info, config);
    if let Some(why) = report.unfit(durability) {
        return Err(OpenError::Unfit { place: conn.place.to_string(), why });
    }
    for warning in report.warnings(durability).into_iter().chain(report.room(limits.max_bytes)) {
        tracing::warn!(redis = %conn.place, "{warning}");
    }
    Ok(())
}

/// Refuses a server that does not allow what a log needs.
pub(super) async fn check_permissions(
    conn: &mut Conn,
    needs: &ScriptInvocation<'_>,
) -> Result<(), OpenError> {
    let missing: Vec<String> = conn
        .ask("try the commands of the log", Ask::Script(needs), RESPONSE)
        .await
        .map_err(|error| OpenError::Store(error.into_store_error()))?;
    match permissions::told(&missing) {
        Some(why) => Err(OpenError::Unfit { place: conn.place.to_string(), why }),
        None => Ok(()),
    }
}

impl Report {
    fn new(info: &str, config: HashMap<String, String>) -> Self {
        let pairs = info.lines().filter_map(|line| line.trim().split_once(':'));
        Self { info: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(), config }
    }

    /// A setting, as CONFIG tells it, or else INFO.
    fn setting(&self, name: &str) -> Option<&str> {
        let info = |name: &str| self.info.get(name).map(String::as_str);
        let told = || match name {
            "maxmemory" => info("maxmemory"),
            "maxmemory-policy" => info("maxmemory_policy"),
            "appendonly" => info("aof_enabled").map(|is_on| if is_on == "0" { "no" } else { "yes" }),
            _ => None,
        };
        self.config.get(name).map(String::as_str).or_else(told)
    }

    /// A warning where the memory cannot hold the log that the node may keep.
    fn room(&self, keep_bytes: u64) -> Option<String> {
        let memory: u64 = self.setting("maxmemory")?.parse().ok().filter(|bytes| *bytes > 0)?;
        let (keep, need) = (keep_bytes >> 20, keep_bytes.saturating_add(keep_bytes / 2) >> 20);
        (memory >> 20 < need).then(|| {
            format!(
                "maxmemory is {} MiB, and a log of --keep-bytes {keep} MiB may need {need} MiB: when it is full, publishes get 503 broker_full; raise maxmemory, or lower --keep-bytes or --keep-events",
                memory >> 20
            )
        })
    }

    fn version(&self) -> (u32, u32) {
        let text = self.info.get("redis_version").map(String::as_str).unwrap_or_default();
        let mut numbers = text.split('.').map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    fn replicas(&self) -> u32 {
        self.info.get("connected_slaves").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    fn unfit(&self, durability: Durability) -> Option<String> {
        let (major, minor) = self.version();
        if (major, minor) < OLDEST {
            let (need, least) = OLDEST;
            return Some(format!("is Redis {major}.{minor}; {need}.{least} or newer is needed"));
        }
        match durability {
            Durability::Fsync if (major, minor) < WAITAOF => Some(format!(
                "is Redis {major}.{minor}, and --durability fsync needs WAITAOF, which comes with 7.2; allowed for --durability are accepted and replicated"
            )),
            Durability::Fsync if self.setting("appendonly") == Some("no") => Some(
                "has appendonly no, so nothing reaches its disk; --durability fsync needs appendonly yes"
                    .to_owned(),
            ),
            Durability::Accepted | Durability::Replicated | Durability::Fsync => None,
        }
    }

    fn warnings(&self, durability: Durability) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.setting("appendonly") == Some("no") {
            warnings.push(
                "appendonly is no: a restart of Redis loses all events that no running node holds in memory; set appendonly yes".to_owned(),
            );
        }
        if let Some(policy) = self.setting("maxmemory-policy")
            && policy != "noeviction"
            && self.setting("maxmemory") != Some("0")
        {
            warnings.push(format!(
                "maxmemory-policy is {policy}: Redis may delete the log; set noeviction, so that publishes are refused instead"
            ));
        }
        if self.setting("maxmemory") == Some("0") {
            warnings.push("maxmemory is not set: the system may kill Redis when memory runs out; set maxmemory, and maxmemory-policy noeviction".to_owned());
        }
        let replicas = self.replicas();
        if durability == Durability::Replicated && replicas == 0 {
            warnings.push(
                "no replica is connected, and --durability replicated needs one: every publish will fail"
                    .to_owned(),
            );
        } else if durability == Durability::Replicated && replicas == 1 {
            warnings.push("only one replica is connected. If it disconnects, every publish fails (--durability replicated)".to_owned());
        } else if replicas > 1 && self.setting("min-replicas-to-write") == Some("0") {
            warnings.push(
                "min-replicas-to-write is 0: a master without its replicas acknowledges events that the next failover loses; set min-replicas-to-write 1".to_owned(),
            );
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(version: &str, replicas: u32, config: &[(&str, &str)]) -> Report {
        let info = format!(
            "# Server\r\nredis_version:{version}\r\n# Replication\r\nconnected_slaves:{replicas}\r\n"
        );
        Report::new(
            &info,
            config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        )
    }

    const SAFE: [(&str, &str); 4] = [
        ("appendonly", "yes"),
        ("maxmemory-policy", "noeviction"),
        ("maxmemory", "100"),
        ("min-replicas-to-write", "1"),
    ];

    #[test]
    fn what_cannot_work_is_refused_and_says_what_can() {
        let old = report("5.0.7", 0, &SAFE).unfit(Durability::Accepted).unwrap();
        assert!(old.contains("5.0") && old.contains("6.2"), "{old}");
        let fsync = report("7.0.15", 0, &SAFE).unfit(Durability::Fsync).unwrap();
        assert!(fsync.contains("WAITAOF") && fsync.contains("accepted and replicated"), "{fsync}");
        assert!(report("7.2.0", 0, &[("appendonly", "no")]).unfit(Durability::Fsync).is_some());
        for durability in [Durability::Accepted, Durability::Replicated] {
            assert_eq!(report("7.0.15", 0, &SAFE).unfit(durability), None);
        }
        assert_eq!(report("7.2.0", 0, &SAFE).unfit(Durability::Fsync), None);
    }

    #[test]
    fn a_memory_that_is_too_small_for_the_log_is_warned_of_also_without_config() {
        let room = |config: &[(&str, &str)], keep| report("7.0.15", 0, config).room(keep);
        let small = room(&[("maxmemory", "104857600")], 80 << 20).unwrap();
        assert!(
            small.contains("100 MiB") && small.contains("80 MiB") && small.contains("120 MiB"),
            "{small}"
        );
        assert_eq!(room(&[("maxmemory", "125829120")], 80 << 20), None);
        assert_eq!(room(&[("maxmemory", "0")], 80 << 20), None);
        assert_eq!(room(&[], 80 << 20), None);
        let info =
            "redis_version:7.0.15\r\nmaxmemory:1048576\r\nmaxmemory_policy:allkeys-lru\r\naof_enabled:0\r\n";
        let hosted = Report::new(info, HashMap::new());
        let warned = hosted.warnings(Durability::Accepted).join("\n");
        assert!(warned.contains("appendonly") && warned.contains("allkeys-lru"), "{warned}");
        assert!(hosted.room(1 << 30).is_some());
    }

    #[test]
    fn a_server_that_is_set_up_to_lose_data_is_warned_of() {
        let warned = |replicas, config: &[(&str, &str)], durability| {
            report("7.0.15", replicas, config).warnings(durability).join("\n")
        };
        assert_eq!(warned(2, &SAFE, Durability::Accepted), "");
        assert!(warned(0, &[("appendonly", "no")], Durability::Accepted).contains("appendonly"));
        let evicting = [("maxmemory-policy", "allkeys-lru"), ("maxmemory", "100")];
        assert!(warned(0, &evicting, Durability::Accepted).contains("allkeys-lru"));
        assert!(warned(0, &[("maxmemory", "0")], Durability::Accepted).contains("maxmemory is not set"));
        assert!(warned(0, &SAFE, Durability::Replicated).contains("no replica"));
        assert!(warned(1, &SAFE, Durability::Replicated).contains("only one replica"));
        assert!(warned(2, &[("min-replicas-to-write", "0")], Durability::Accepted).contains("min-replicas"));
        assert_eq!(warned(0, &[], Durability::Accepted), "", "what is not known is not warned of");
    }
}
