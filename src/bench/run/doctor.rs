//! Whether this machine can carry a swarm: open files, ports, backlog, cores, memory, executables, and the fix for each
//! that is too small. [`Limits`] reads, [`assess`] judges.

use std::path::PathBuf;

use crate::bench::cluster;
use crate::bench::load::workers;
use crate::bench::scenario::plan::{Budget, Plan};

/// Open files of the bench besides its connections: runtime, logs, reports, polls.
const FILES_BESIDES: u64 = 64;
/// Open files of the bench for each worker: pipes, log, process handle.
const FILES_PER_WORKER: u64 = 5;
/// Open files of a node besides its connections.
const FILES_OF_A_NODE: u64 = 256;
/// Resident bytes of one client in this process: 20 KiB idle, 50 KiB under heavy load.
const BYTES_PER_CLIENT: u64 = 64 * 1024;
/// Reconnect storms fill the accept queue of a listener; below this length the kernel drops connections in a small one.
const SOMAXCONN_ENOUGH: u64 = 4_096;

/// What a swarm needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Clients connected at once.
    pub clients: u64,
    /// Publishes in flight at once.
    pub publishes: u64,
    /// Nodes that the clients are spread over.
    pub nodes: u64,
    /// Worker processes; 0: the clients run in this process.
    pub workers: u16,
    /// Whether each connection passes a fault proxy of this process.
    pub proxied: bool,
}

impl Need {
    /// The needs of a plan, with the given number of workers, or as many as required.
    #[must_use]
    pub fn of(plan: &Plan, budget: &Budget, limits: &Limits, workers: Option<u16>) -> Self {
        let publishes = plan.publishers.iter().map(|publisher| u64::from(publisher.max_in_flight)).sum();
        let proxied = plan.passes_a_proxy();
        let need = Self { clients: budget.clients, publishes, nodes: plan.endpoints(), workers: 0, proxied };
        need.spread(limits, workers)
    }

    /// The same need with the given number of workers, or as many as required.
    #[must_use]
    pub fn spread(self, limits: &Limits, asked: Option<u16>) -> Self {
        let workers = workers::workers_for(self.clients, self.beside(), limits.open_files, asked);
        Self { workers, ..self }
    }

    /// Open files of this process besides its clients: one a publish, and two for each connection through its proxy.
    fn beside(&self) -> u64 {
        let passing = if self.proxied { 2 * (self.clients + self.publishes) } else { 0 };
        self.publishes + self.nodes + FILES_BESIDES + passing
    }

    /// Open files of the process with the most connections: one a connection.
    #[must_use]
    pub fn open_files(&self) -> u64 {
        let beside = self.beside();
        match self.workers {
            0 => self.clients + beside,
            workers => {
                let parent = beside + u64::from(workers) * FILES_PER_WORKER;
                parent.max(workers::partition::open_files(self.clients, workers))
            }
        }
    }

    /// Connections of the node with the most, while all nodes run.
    fn on_a_node(&self) -> u64 {
        (self.clients + self.publishes).div_ceil(self.nodes.max(1))
    }
}

/// The limits of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open files allowed to this process, after the soft limit is raised.
    pub open_files: u64,
    /// First and last local port for outgoing connections.
    pub ports: (u16, u16),
    /// Existing TCP sockets, including those in TIME_WAIT.
    pub sockets: Option<u64>,
    /// `net.ipv4.tcp_tw_reuse`: 0 never, 1 always, 2 on loopback.
    pub tw_reuse: Option<u64>,
    /// `net.core.somaxconn`: the longest accept queue.
    pub somaxconn: Option<u64>,
    /// Cores that this process may use.
    pub cores: usize,
    /// The governor of the CPU frequency, where the system reports one.
    pub governor: Option<String>,
    /// Available memory, bytes.
    pub memory_available: Option<u64>,
    /// Swapped memory, bytes.
    pub swapped: Option<u64>,
    /// Path of the node's executable, or why there is none.
    pub node_binary: Result<PathBuf, String>,
}

impl Limits {
    /// Reads the limits, after raising the soft limit of open files to the hard one.
    #[must_use]
    pub fn read() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).ok();
        let number = |path: &str| text(path)?.trim().parse().ok();
        let meminfo = text("/proc/meminfo").unwrap_or_default();
        Self {
            open_files: crate::runtime::rlimit::raise_open_files(),
            ports: cluster::ports::outgoing_range(),
            sockets: text("/proc/net/sockstat").and_then(|text| sockets(&text)),
            tw_reuse: number("/proc/sys/net/ipv4/tcp_tw_reuse"),
            somaxconn: number("/proc/sys/net/core/somaxconn"),
            cores: crate::runtime::cores(),
            governor: text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
                .map(|text| text.trim().to_owned()),
            memory_available: meminfo_bytes(&meminfo, "MemAvailable:"),
            swapped: meminfo_bytes(&meminfo, "SwapTotal:")
                .zip(meminfo_bytes(&meminfo, "SwapFree:"))
                .map(|(total, free)| total.saturating_sub(free)),
            node_binary: cluster::node_binary().map_err(|error| error.to_string()),
        }
    }
}

fn meminfo_bytes(meminfo: &str, key: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Parses `TCP: inuse 12 orphan 0 tw 34 alloc 13 mem 2` into 12 and 34.
fn sockets(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP: "))?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let of = |name: &str| words.chunks_exact(2).find(|pair| pair[0] == name)?[1].parse::<u64>().ok();
    Some(of("inuse")? + of("tw")?)
}

/// One checked limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Name of the limit: `open files`.
    pub what: &'static str,
    /// The value found.
    pub found: String,
    /// How to fix it; `None` when it is enough.
    pub fix: Option<String>,
    /// Whether the run cannot work without the fix.
    pub is_fatal: bool,
}

/// Judges each limit.
#[must_use]
pub fn assess(limits: &Limits, need: Need) -> Vec<Finding> {
    vec![
        open_files(limits, need, OTHERWISE),
        files_of_a_node(limits, need),
        ports(limits, need),
        tw_reuse(limits),
        somaxconn(limits, need),
        enough_cores(limits),
        governor(limits),
        memory(limits, need),
        swap(limits),
        node_binary(limits),
    ]
}

/// Limits without which a run cannot work, checked before every run. `starts_nodes`: nodes run on this machine, under the same
/// limits.
#[must_use]
pub fn required(limits: &Limits, need: Need, starts_nodes: bool) -> Vec<Finding> {
    let mut findings = vec![open_files(limits, need, OTHERWISE), ports(limits, need)];
    if starts_nodes {
        findings.push(files_of_a_node(limits, need));
    }
    findings.retain(|finding| finding.is_fatal);
    findings
}

/// What a run can do instead of raising the limit of open files.
const OTHERWISE: &str = "more processes with `sse-bench run --workers`, or fewer clients";

/// Checks the open files of the process with the most connections. `otherwise`: what the command offers instead of a
/// higher limit.
#[must_use]
pub fn open_files(limits: &Limits, need: Need, otherwise: &str) -> Finding {
    let (has, needed) = (limits.open_files, need.open_files());
    let missing = has < needed;
    let has = limit(has);
    let who = match need.workers {
        0 => "the bench".to_owned(),
        workers => format!("each of {workers} workers"),
    };
    let fix = missing.then(|| {
        format!(
            "ulimit -n {needed} in this shell (as root: prlimit --pid $$ --nofile={needed}), or {otherwise}"
        )
    });
    Finding { what: "open files", found: format!("{has}, and {who} needs {needed}"), fix, is_fatal: missing }
}

fn limit(files: u64) -> String {
    if files == u64::MAX { "unlimited".to_owned() } else { files.to_string() }
}

/// Nodes that the bench starts inherit its limit.
fn files_of_a_node(limits: &Limits, need: Need) -> Finding {
    let needed = need.on_a_node() + FILES_OF_A_NODE;
    let missing = limits.open_files < needed;
    let fix = missing.then(|| {
        let nodes = (need.clients + need.publishes)
            .div_ceil(limits.open_files.saturating_sub(FILES_OF_A_NODE).max(1));
        format!("cluster.nodes = {nodes} or more, or as root: prlimit --pid $$ --nofile={needed}")
    });
    let has = limit(limits.open_files);
    let found = format!("{has}, and each of {} nodes needs {needed} if it runs here", need.nodes);
    Finding { what: "files of a node", found, fix, is_fatal: missing }
}

fn ports(limits: &Limits, need: Need) -> Finding {
    let (first, last) = limits.ports;
    // Each node is a destination of its own, so its connections can use every local port.
    let per_node = need.on_a_node();
    let has = u64::from(last - first) + 1;
    let used = limits.sockets.unwrap_or(0);
    let missing = has < per_node;
    let is_scarce = has.saturating_sub(used) < per_node;
    let fix = if missing {
        Some("sysctl -w net.ipv4.ip_local_port_range='16384 65535', or more nodes to connect to".to_owned())
    } else {
        is_scarce.then(|| {
            "wait until the connections of others are gone (ss -s), or \
             sysctl -w net.ipv4.ip_local_port_range='16384 65535'"
                .to_owned()
        })
    };
    let found = format!(
        "{has} ({first} to {last}), and each node needs {per_node}; {used} sockets are in use or in TIME-WAIT"
    );
    Finding { what: "outgoing ports", found, fix, is_fatal: missing }
}

/// Without port reuse, a reconnect storm finds its ports occupied for a minute by the connections before it.
fn tw_reuse(limits: &Limits) -> Finding {
    let found = match limits.tw_reuse {
        Some(0) => "never".to_owned(),
        Some(1) => "always".to_owned(),
        Some(2) => "on loopback".to_owned(),
        Some(other) => other.to_string(),
        None => "unknown".to_owned(),
    };
    let fix = (limits.tw_reuse == Some(0)).then(|| "sysctl -w net.ipv4.tcp_tw_reuse=2".to_owned());
    Finding { what: "reuse of ports", found, fix, is_fatal: false }
}

/// A CPU that is clocked low when an event arrives delays the first deliveries of a burst.
fn governor(limits: &Limits) -> Finding {
    let is_slow = limits.governor.as_deref() == Some("powersave");
    let fix = is_slow.then(|| "cpupower frequency-set -g performance".to_owned());
    let found = limits.governor.clone().unwrap_or_else(|| "no governor".to_owned());
    Finding { what: "clock of cores", found, fix, is_fatal: false }
}

/// A bench that is swapped out measures the disk.
fn swap(limits: &Limits) -> Finding {
    let found = match limits.swapped {
        Some(0) => "nothing is swapped out".to_owned(),
        Some(bytes) => format!("{} MiB are swapped out", bytes >> 20),
        None => "unknown".to_owned(),
    };
    let fix = limits.swapped.filter(|bytes| *bytes > 0).map(|_| "swapoff -a, or more memory".to_owned());
    Finding { what: "swap", found, fix, is_fatal: false }
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

fn enough_cores(limits: &Limits) -> Finding {
    let fix = (limits.cores < 2)
        .then(|| "a machine with at least 2 cores; with one core expect INVALID at high rates".to_owned());
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

/// The findings as text, one a line.
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
            sockets: Some(40),
            tw_reuse: Some(2),
            somaxconn: Some(4_096),
            cores: 2,
            governor: None,
            memory_available: Some(8 << 30),
            swapped: Some(0),
            node_binary: Ok("/usr/bin/sse-node".into()),
        }
    }

    const NEED: Need = Need { clients: 10_000, publishes: 256, nodes: 1, workers: 0, proxied: false };

    #[track_caller]
    fn check(limits: &Limits, need: Need, lacking: &[&str]) {
        let findings = assess(limits, need);
        let found: Vec<_> = findings.iter().filter(|f| f.fix.is_some()).map(|f| f.what).collect();
        assert_eq!(found, lacking, "{}", render(&findings));
    }

    #[test]
    fn each_limit_that_is_too_small_is_named() {
        check(&limits(), NEED, &[]);
        check(&Limits { open_files: 10_300, ..limits() }, NEED, &["open files", "files of a node"]);
        check(&Limits { sockets: Some(20_000), ..limits() }, NEED, &["outgoing ports"]);
        check(&Limits { tw_reuse: Some(0), ..limits() }, NEED, &["reuse of ports"]);
        check(&Limits { governor: Some("powersave".to_owned()), ..limits() }, NEED, &["clock of cores"]);
        check(&Limits { swapped: Some(1 << 30), ..limits() }, NEED, &["swap"]);
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
    fn workers_share_the_clients_and_nodes_do_not_share_theirs() {
        let many = Need { clients: 25_000, nodes: 3, ..NEED }.spread(&limits(), None);
        assert_eq!((many.workers, many.open_files()), (2, 12_564));
        check(&limits(), many, &[]);
        check(&limits(), Need { nodes: 1, ..many }, &["files of a node"]);
        check(&limits(), Need { workers: 0, ..many }, &["open files"]);
        assert_eq!(required(&limits(), Need { nodes: 1, ..many }, false), []);
        let finding = files_of_a_node(&limits(), Need { nodes: 1, ..many });
        assert!(finding.fix.unwrap().contains("cluster.nodes = 2"));
    }

    #[test]
    fn sockets_are_counted_as_linux_writes_them() {
        let text = "sockets: used 9\nTCP: inuse 12 orphan 0 tw 34 alloc 13 mem 2\nUDP: inuse 1 mem 0\n";
        assert_eq!(sockets(text), Some(46));
        assert_eq!(sockets(""), None);
    }

    #[test]
    fn the_fix_holds_the_number_that_is_needed() {
        let finding = open_files(&Limits { open_files: 1_024, ..limits() }, NEED, OTHERWISE);
        assert!(finding.is_fatal);
        assert!(finding.fix.unwrap().contains("ulimit -n 10321"), "{}", finding.found);
    }

    #[test]
    fn available_memory_is_read_as_linux_writes_it() {
        let meminfo = "MemTotal:       24 kB\nMemAvailable:   16 kB\n";
        assert_eq!(meminfo_bytes(meminfo, "MemAvailable:"), Some(16 * 1024));
        assert_eq!(meminfo_bytes("", "MemAvailable:"), None);
    }
}
