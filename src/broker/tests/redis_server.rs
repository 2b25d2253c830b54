//! Real servers for tests: started on free ports, stopped by process id, never left behind, also when the test process
//! is killed. Needs Debian's redis-server, redis-sentinel and redis-tools. Read [`Server`] first.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::broker::BrokerUrl;

/// Longer than any server takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the server of a log is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum Topology {
    Standalone,
    Sentinel,
    Cluster,
}

/// A URL of a new, empty log on a server that all tests of this process share.
pub(in crate::broker) fn url(topology: Topology) -> BrokerUrl {
    static STANDALONE: OnceLock<Server> = OnceLock::new();
    static SENTINEL: OnceLock<Sentinels> = OnceLock::new();
    static CLUSTER: OnceLock<Server> = OnceLock::new();
    let prefix = format!("t{:016x}", rand::random::<u64>());
    let url = match topology {
        Topology::Standalone => {
            format!("redis://{}", STANDALONE.get_or_init(|| Server::start(&[])).address())
        }
        Topology::Sentinel => SENTINEL.get_or_init(|| Sentinels::start(1, &[])).url(),
        Topology::Cluster => {
            let server = CLUSTER.get_or_init(|| cluster_of_one(&[]));
            format!("redis+cluster://{}", server.address())
        }
    };
    format!("{url}?prefix={prefix}").parse().unwrap()
}

/// A Redis Cluster of one member.
pub(in crate::broker) fn cluster_of_one(args: &[&str]) -> Server {
    let bus = free_port().to_string();
    let own = ["--cluster-enabled", "yes", "--cluster-port", &bus];
    let server = Server::start(&[&own, args].concat());
    server.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    eventually("a cluster", || server.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    server
}

/// Waits until something is known: members of a cluster may have to agree on it first.
#[track_caller]
fn known<T>(what: &str, ask: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(known) = ask() {
            return known;
        }
        assert!(began.elapsed() < PATIENCE, "{what} was not known within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

/// Waits until something is so.
#[track_caller]
pub(in crate::broker) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what} did not come in {PATIENCE:?}");
        std::thread::yield_now();
    }
}

/// Below the range from which the kernel takes the ports of clients: a port there may be taken by one at any time.
fn free_port() -> u16 {
    loop {
        let port = rand::random_range(10_000..32_000);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// A server, or a sentinel, with a directory of its own.
#[derive(Debug)]
pub(in crate::broker) struct Server {
    /// Its parent: kills it when this process is gone, however that came about.
    keeper: Child,
    pid: i32,
    port: u16,
    dir: tempfile::TempDir,
    program: &'static str,
    args: Vec<String>,
}

impl Server {
    /// Starts a server that keeps nothing on disk, unless the arguments say otherwise.
    pub(in crate::broker) fn start(args: &[&str]) -> Self {
        let port = free_port();
        let given = [
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--repl-diskless-sync-delay",
            "0",
        ]
        .iter()
        .chain(args)
        .map(|arg| (*arg).to_owned())
        .collect();
        Self::spawn("redis-server", port, given, tempfile::tempdir().unwrap())
    }

    fn spawn(program: &'static str, port: u16, args: Vec<String>, dir: tempfile::TempDir) -> Self {
        let (keeper, pid) = launch(program, &args, dir.path());
        let server = Self { keeper, pid, port, dir, program, args };
        server.wait_until_up();
        server
    }

    fn wait_until_up(&self) {
        let is_up = |answer: String| answer.contains("PONG") || answer.contains("NOAUTH");
        eventually("a server", || is_up(self.cli(&["PING"])));
    }

    pub(in crate::broker) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(in crate::broker) fn port(&self) -> u16 {
        self.port
    }

    /// The answer of the server to a command.
    pub(in crate::broker) fn cli(&self, command: &[&str]) -> String {
        let output =
            Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(command).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid).unwrap(), signal).unwrap();
    }

    /// Kills it with SIGKILL and waits for its end.
    pub(in crate::broker) fn kill(&mut self) {
        self.signal(Signal::KILL);
        // The keeper ends with it.
        self.keeper.wait().unwrap();
    }

    /// Stops it with SIGSTOP; connections stay open.
    pub(in crate::broker) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Continues it with SIGCONT, after [`Server::pause`].
    pub(in crate::broker) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Starts it again where it was, after [`Server::kill`], with more arguments.
    pub(in crate::broker) fn restart_with(&mut self, args: &[&str]) {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self.restart();
    }

    /// Starts it again where it was, after [`Server::kill`].
    pub(in crate::broker) fn restart(&mut self) {
        (self.keeper, self.pid) = launch(self.program, &self.args, self.dir.path());
        self.wait_until_up();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Dead already, or the keeper kills it: its input ends here.
        drop(self.keeper.stdin.take());
        let _gone = self.keeper.wait();
    }
}

/// A shell that starts the server, says its process id, and kills it when its own input ends: with this process.
fn launch(program: &str, args: &[String], dir: &std::path::Path) -> (Child, i32) {
    const KEEPER: &str = r#"
        program=$1; shift
        "$program" "$@" >log 2>&1 &
        server=$!
        echo $server
        (read -r _; kill -9 $server) <&3 &
        wait $server
        kill -9 $! 2>/dev/null
    "#;
    let mut keeper = Command::new("sh");
    // A background command's input is empty; a copy of ours is not.
    keeper.args(["-c", &format!("exec 3<&0; {KEEPER}"), "sh", program]).args(args).current_dir(dir);
    let mut keeper =
        keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(keeper.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let pid = line.trim().parse().expect("the keeper says the process id of its server");
    (keeper, pid)
}

/// A master with replicas, and three sentinels that watch it.
#[derive(Debug)]
pub(in crate::broker) struct Sentinels {
    /// The first one is the master at start.
    pub(in crate::broker) servers: Vec<Server>,
    sentinels: Vec<Server>,
}

impl Sentinels {
    pub(in crate::broker) fn start(replicas: usize, args: &[&str]) -> Self {
        let own = ["--replica-announce-ip", "127.0.0.1"];
        let args: Vec<_> = own.iter().chain(args).copied().collect();
        let mut servers = vec![Server::start(&args)];
        let master = format!("127.0.0.1 {}", servers[0].port);
        for _ in 0..replicas {
            let args: Vec<_> = args.iter().copied().chain(["--replicaof", &master]).collect();
            servers.push(Server::start(&args));
        }
        let sentinels: Vec<_> = (0..3).map(|_| sentinel(servers[0].port, "")).collect();
        let all = Self { servers, sentinels };
        eventually("sentinels that know each other", || {
            all.sentinels.iter().all(|sentinel| {
                let info = sentinel.cli(&["INFO", "sentinel"]);
                info.contains("status=ok") && info.contains(&format!("slaves={replicas},sentinels=3"))
            })
        });
        all
    }

    pub(in crate::broker) fn url(&self) -> String {
        let sentinels: Vec<_> = self.sentinels.iter().map(Server::address).collect();
        format!("redis+sentinel://{}/mymaster", sentinels.join(","))
    }

    /// Port of the master as the sentinels see it.
    pub(in crate::broker) fn master_port(&self) -> u16 {
        let told = self.sentinels[0].cli(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"]);
        told.lines().nth(1).and_then(|port| port.parse().ok()).unwrap_or(0)
    }
}

/// A sentinel that watches this master, with more lines of its configuration.
pub(in crate::broker) fn sentinel(master: u16, more: &str) -> Server {
    let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
    let config = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {master} 2\n\
         sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 4000\n\
         sentinel parallel-syncs mymaster 1\n{more}"
    );
    std::fs::write(dir.path().join("s.conf"), config).unwrap();
    Server::spawn("redis-sentinel", port, vec!["s.conf".to_owned()], dir)
}

/// A Redis Cluster: three masters, each with a replica.
#[derive(Debug)]
pub(in crate::broker) struct Members {
    pub(in crate::broker) servers: Vec<Server>,
}

impl Members {
    pub(in crate::broker) fn start() -> Self {
        let servers: Vec<_> = (0..6)
            .map(|_| {
                let bus = free_port().to_string();
                let own =
                    ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", &bus];
                Server::start(&own)
            })
            .collect();
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]).args(servers.iter().map(Server::address));
        let output = create.args(["--cluster-replicas", "1", "--cluster-yes"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let all = Self { servers };
        eventually("a cluster", || {
            let is_ok = |server: &Server| server.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
            let in_step =
                |server: &Server| !server.cli(&["INFO", "replication"]).contains("master_link_status:down");
            all.servers.iter().all(|server| is_ok(server) && in_step(server))
        });
        all
    }

    pub(in crate::broker) fn url(&self) -> String {
        let seeds: Vec<_> = self.servers.iter().map(Server::address).collect();
        format!("redis+cluster://{}", seeds.join(","))
    }

    /// Lines of CLUSTER NODES as this member sees them.
    fn nodes(&self, member: usize) -> Vec<Vec<String>> {
        let told = self.servers[member].cli(&["CLUSTER", "NODES"]);
        told.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
    }

    fn index_at(&self, address: &str) -> usize {
        let port: u16 = address.split(['@', ':']).nth(1).unwrap().parse().unwrap();
        self.servers.iter().position(|server| server.port == port).unwrap()
    }

    fn log_slot(&self, member: usize) -> u16 {
        self.servers[member].cli(&["CLUSTER", "KEYSLOT", "{sse}:log"]).trim().parse().unwrap()
    }

    /// Which server owns the slot of the log.
    pub(in crate::broker) fn owner(&self) -> usize {
        known("an owner", || self.owner_as_told_by(0))
    }

    /// Whether this server owns the slot of the log, also while members disagree about it.
    pub(in crate::broker) fn is_owner(&self, member: usize) -> bool {
        self.owner_as_told_by(0) == Some(member)
    }

    /// As seen by a member other than this one.
    pub(in crate::broker) fn owner_seen_by_others(&self, but: usize) -> Option<usize> {
        self.owner_as_told_by(usize::from(but == 0))
    }

    fn owner_as_told_by(&self, member: usize) -> Option<usize> {
        let slot = self.log_slot(member);
        let covers = |range: &String| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse::<u16>().is_ok_and(|first| first <= slot)
                && last.parse::<u16>().is_ok_and(|last| slot <= last)
        };
        let nodes = self.nodes(member);
        let owner = nodes.iter().find(|node| {
            node[2].contains("master") && !node[2].contains("fail") && node[8..].iter().any(covers)
        })?;
        Some(self.index_at(&owner[1]))
    }

    fn id(&self, member: usize) -> String {
        self.servers[member].cli(&["CLUSTER", "MYID"]).trim().to_owned()
    }

    pub(in crate::broker) fn replica_of(&self, member: usize) -> usize {
        let id = self.id(member);
        known("a replica", || {
            let nodes = self.nodes(member);
            nodes.iter().find(|node| node[3] == id).map(|node| self.index_at(&node[1]))
        })
    }

    pub(in crate::broker) fn other_master(&self, member: usize) -> usize {
        let nodes = self.nodes(member);
        // One that owns slots: a replica may still be listed as the master without slots that it was at first.
        let masters = nodes.iter().filter(|node| node[2].contains("master") && node.len() > 8);
        masters.map(|node| self.index_at(&node[1])).find(|other| *other != member).unwrap()
    }

    /// Moves the slot of the log, key by key, as `redis-cli --cluster reshard` does.
    pub(in crate::broker) fn move_log_slot(&self, from: usize, to: usize) {
        let (slot, from_id, to_id) = (self.log_slot(from).to_string(), self.id(from), self.id(to));
        let (source, target) = (&self.servers[from], &self.servers[to]);
        let refusals = std::cell::Cell::new(0);
        assert!(target.cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).contains("OK"));
        assert!(source.cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).contains("OK"));
        eventually("an empty slot", || {
            let keys = source.cli(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
            let keys: Vec<_> = keys.lines().filter(|key| !key.is_empty()).collect();
            if keys.is_empty() {
                return true;
            }
            let port = target.port.to_string();
            // A move that ran out of time may have left a copy behind.
            let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "REPLACE", "KEYS"];
            migrate.extend(&keys);
            let answer = source.cli(&migrate);
            refusals.set(refusals.get() + u32::from(!answer.contains("OK")));
            assert!(refusals.get() < 200, "keys {keys:?} cannot be moved: {answer}");
            false
        });
        for server in [target, source] {
            server.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
        }
        eventually("one opinion about the owner", || {
            let mut members = 0..self.servers.len();
            members.all(|member| self.owner_as_told_by(member) == Some(to))
        });
    }
}
