//! Whether this machine can carry a swarm: open files, ports, backlog, cores, memory, executables; the fix for each
//! that it lacks. Reading and judging are apart: [`Limits`] is what was found, [`assess`] what it means.

use std::path::PathBuf;

use super::cluster;

/// Files of a bench besides its connections: runtime, logs, report, a few polls.
const FILES_BESIDES: u64 = 64;
/// Resident bytes of one virtual client in this process: 20 KiB when it is idle, 50 KiB in a flood of events.
const BYTES_PER_CLIENT: u64 = 64 * 1024;
/// A storm of reconnects fills the queue of a listener; below this the kernel drops connections in a small one.
const SOMAXCONN_ENOUGH: u64 = 4_096;

/// What a swarm needs of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Virtual clients at once.
    pub clients: u64,
    /// Publishes in flight at once.
    pub publishes: u64,
    /// Nodes that they are spread over.
    pub nodes: u64,
    /// Whether each connection passes a proxy of this process.
    pub proxied: bool,
}

impl Need {
    /// Open files of this process: one a connection, and two more where it passes a proxy.
    #[must_use]
    pub fn open_files(&self) -> u64 {
        let per_connection = if self.proxied { 3 } else { 1 };
        (self.clients + self.publishes) * per_connection + self.nodes + FILES_BESIDES
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open files that this process may have, after raising the soft limit.
    pub open_files: u64,
    /// First and last port for outgoing connections.
    pub ports: (u16, u16),
    /// Longest queue of connections that nobody accepted yet.
    pub somaxconn: Option<u64>,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory that can be had without swapping, bytes.
    pub memory_available: Option<u64>,
    /// The node's executable, or why there is none.
    pub node_binary: Result<PathBuf, String>,
}

impl Limits {
    /// Looks at this machine and raises the limit of open files to what is allowed.
    #[must_use]
    pub fn read() -> Self {
        let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse().ok();
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            open_files: crate::runtime::rlimit::raise_open_files(),
            ports: cluster::ports::outgoing_range(),
            somaxconn: number("/proc/sys/net/core/somaxconn"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_available: memory_available(&meminfo),
            node_binary: cluster::node_binary().map_err(|error| error.to_string()),
        }
    }
}

fn memory_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What: `open files`.
    pub what: &'static str,
    /// What was found.
    pub found: String,
    /// What to do about it; `None` when it is enough.
    pub fix: Option<String>,
    /// Whether the run cannot work without the fix. Else it may, with less.
    pub is_fatal: bool,
}

/// Says of each limit whether it is enough.
#[must_use]
pub fn assess(limits: &Limits, need: Need) -> Vec<Finding> {
    vec![
        open_files(limits, need),
        ports(limits, need),
        somaxconn(limits, need),
        cores(limits),
        memory(limits, need),
        node_binary(limits),
    ]
}

/// The one limit without which a run cannot work, checked before every run.
#[must_use]
pub fn open_files(limits: &Limits, need: Need) -> Finding {
    let (has, needed) = (limits.open_files, need.open_files());
    let missing = has < needed;
    let has = if has == u64::MAX { "unlimited".to_owned() } else { has.to_string() };
    let fix = missing.then(|| {
        format!(
            "ulimit -n {needed} in this shell (as root: prlimit --pid $$ --nofile={needed}), \
             or fewer clients with --clients-scale"
        )
    });
    Finding { what: "open files", found: format!("{has}, {needed} needed"), fix, is_fatal: missing }
}

fn ports(limits: &Limits, need: Need) -> Finding {
    let (first, last) = limits.ports;
    // Each node is a destination of its own, so its connections can use every port again.
    let per_node = (need.clients + need.publishes).div_ceil(need.nodes.max(1));
    let has = u64::from(last - first) + 1;
    let missing = has < per_node;
    let fix = missing.then(|| {
        "sysctl -w net.ipv4.ip_local_port_range='16384 65535', or more nodes to connect to".to_owned()
    });
    let found = format!("{has} ({first} to {last}), {per_node} needed for each node");
    Finding { what: "outgoing ports", found, fix, is_fatal: missing }
}

fn somaxconn(limits: &Limits, need: Need) -> Finding {
    let enough = SOMAXCONN_ENOUGH.min(need.clients);
    let (found, missing) = match limits.somaxconn {
        Some(has) => (has.to_string(), has < enough),
        None => ("unknown".to_owned(), false),
    };
    let fix = missing.then(|| format!("sysctl -w net.core.somaxconn={SOMAXCONN_ENOUGH}"));
    Finding { what: "listen backlog", found, fix, is_fatal: false }
}

fn cores(limits: &Limits) -> Finding {
    let fix = (limits.cores < 2)
        .then(|| "bench and node share one core: expect an INVALID verdict at high rates".to_owned());
    Finding { what: "cores", found: limits.cores.to_string(), fix, is_fatal: false }
}

fn memory(limits: &Limits, need: Need) -> Finding {
    let needed = need.clients * BYTES_PER_CLIENT;
    let (found, missing) = match limits.memory_available {
        Some(has) => (format!("{} MiB available, {} MiB needed", has >> 20, needed >> 20), has < needed),
        None => ("unknown".to_owned(), false),
    };
    let fix = missing.then(|| "fewer clients, or more memory".to_owned());
    Finding { what: "memory", found, fix, is_fatal: false }
}

fn node_binary(limits: &Limits) -> Finding {
    match &limits.node_binary {
        Ok(path) => {
            Finding { what: "sse-node", found: path.display().to_string(), fix: None, is_fatal: false }
        }
        Err(why) => {
            let fix = format!(
                "cargo build --bin sse-node, or {}=/path/to/sse-node; or attach to nodes that run",
                cluster::NODE_BIN_ENV
            );
            Finding { what: "sse-node", found: why.clone(), fix: Some(fix), is_fatal: false }
        }
    }
}

/// The findings for people, one a line.
#[must_use]
pub fn render(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match (&finding.fix, finding.is_fatal) {
            (None, _) => "ok  ",
            (Some(_), false) => "warn",
            (Some(_), true) => "FAIL",
        };
        text.push_str(&format!("{mark}  {:<15} {}\n", finding.what, finding.found));
        if let Some(fix) = &finding.fix {
            text.push_str(&format!("      {:<15} fix: {fix}\n", ""));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            open_files: 20_000,
            ports: (32_768, 60_999),
            somaxconn: Some(4_096),
            cores: 2,
            memory_available: Some(8 << 30),
            node_binary: Ok("/usr/bin/sse-node".into()),
        }
    }

    const NEED: Need = Need { clients: 10_000, publishes: 256, nodes: 1, proxied: false };

    #[track_caller]
    fn check(limits: &Limits, need: Need, lacking: &[&str]) {
        let findings = assess(limits, need);
        let found: Vec<_> = findings.iter().filter(|f| f.fix.is_some()).map(|f| f.what).collect();
        assert_eq!(found, lacking, "{}", render(&findings));
    }

    #[test]
    fn each_limit_that_is_too_small_is_named() {
        check(&limits(), NEED, &[]);
        check(&Limits { open_files: 10_300, ..limits() }, NEED, &["open files"]);
        check(&Limits { ports: (60_000, 60_999), ..limits() }, NEED, &["outgoing ports"]);
        check(&Limits { somaxconn: Some(128), ..limits() }, NEED, &["listen backlog"]);
        check(&Limits { cores: 1, ..limits() }, NEED, &["cores"]);
        check(&Limits { memory_available: Some(1 << 20), ..limits() }, NEED, &["memory"]);
        check(&Limits { node_binary: Err("none".to_owned()), ..limits() }, NEED, &["sse-node"]);
    }

    #[test]
    fn ports_count_for_each_node_apart() {
        let few = Limits { ports: (55_000, 60_999), ..limits() };
        check(&few, Need { nodes: 1, ..NEED }, &["outgoing ports"]);
        check(&few, Need { nodes: 2, ..NEED }, &[]);
    }

    #[test]
    fn the_fix_holds_the_number_that_is_needed() {
        let finding = open_files(&Limits { open_files: 1_024, ..limits() }, NEED);
        assert!(finding.is_fatal);
        assert!(finding.fix.unwrap().contains("ulimit -n 10321"), "{}", finding.found);
    }

    #[test]
    fn available_memory_is_read_as_linux_writes_it() {
        let meminfo = "MemTotal:       24 kB\nMemAvailable:   16 kB\n";
        assert_eq!(memory_available(meminfo), Some(16 * 1024));
        assert_eq!(memory_available(""), None);
    }
}
