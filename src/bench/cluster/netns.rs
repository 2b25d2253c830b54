//! Network namespaces for the nodes of a run, connected to one bridge, so that the link of a node can go down. A link that is
//! down loses packets without any FIN or RST, and TCP repeats them. Needs root and `ip` (iproute2).
//! [`Namespaces::close`] removes everything, a drop removes what is left then, and the next run removes what a killed bench
//! left.
//! Read [`Namespaces::create`] first.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::program::{MissingProgram, Program};

const IP: Program = Program { name: "ip", package: "iproute2" };
/// Time limit of one command: a system call or two.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A drop waits no longer for its command than this, and polls at this period.
const DROP_TIMEOUT: Duration = Duration::from_secs(2);
const DROP_POLL: Duration = Duration::from_millis(5);
/// Prefix of the names of bridges and namespaces.
const PREFIX: &str = "sse";
/// Host number of the first node in its network.
const FIRST_HOST: u8 = 11;
/// Number of networks that are tried, where others are in use.
const NETWORKS: u32 = 64;

/// The namespaces of a run. Clones share them; dropping the last one removes what is not closed.
#[derive(Debug, Clone)]
pub struct Namespaces(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ip: PathBuf,
    /// Name of the bridge, and prefix of the other names: within the 15 bytes of an interface name.
    tag: String,
    /// The first three bytes of all addresses.
    network: [u8; 3],
    count: usize,
    is_closed: AtomicBool,
}

/// Why there are no namespaces.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// The program `ip` is not installed.
    #[error(transparent)]
    Missing(#[from] MissingProgram),
    /// The kernel, or the user's rights, do not allow it.
    #[error(
        "cannot create the network namespaces (cluster.network = \"namespaces\"): {0}. This needs root, and a kernel with namespaces, veth and bridges"
    )]
    Refused(String),
    /// A command failed or hung, or all networks are in use.
    #[error("cannot create the network namespaces (cluster.network = \"namespaces\"): {0}")]
    Failed(String),
}

impl NetnsError {
    /// The error of a command that failed with these words.
    fn of(why: String) -> Self {
        // The last one is what `ip` says of a kernel without veth or bridges.
        let is_refused = ["not permitted", "ermission denied", "not supported", "Unknown device type"]
            .iter()
            .any(|words| why.contains(words));
        if is_refused { Self::Refused(why) } else { Self::Failed(why) }
    }
}

impl Namespaces {
    /// Creates a bridge, and `count` namespaces that are connected to it.
    ///
    /// # Errors
    /// [`NetnsError`]; what was created is removed.
    pub async fn create(count: usize) -> Result<Self, NetnsError> {
        let ip = IP.find("cluster.network = \"namespaces\"")?;
        let tag = tag();
        sweep(&ip, &tag).await;
        let network = free_network(&ip).await?;
        let namespaces = Self(Arc::new(Inner { ip, tag, network, count, is_closed: AtomicBool::new(false) }));
        let inner = &namespaces.0;
        let (bridge, host) = (inner.tag.as_str(), format!("{}/24", namespaces.host()));
        inner.run(&["link", "add", bridge, "type", "bridge"]).await?;
        inner.run(&["addr", "add", &host, "dev", bridge]).await?;
        inner.run(&["link", "set", bridge, "up"]).await?;
        for index in 0..count {
            namespaces.add(index).await?;
        }
        Ok(namespaces)
    }

    async fn add(&self, index: usize) -> Result<(), NetnsError> {
        let inner = &self.0;
        let (name, cable) = (inner.namespace(index), inner.cable(index));
        let address = format!("{}/24", self.address(index));
        inner.run(&["netns", "add", &name]).await?;
        inner.run(&["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &name]).await?;
        inner.run(&["link", "set", &cable, "master", &inner.tag, "up"]).await?;
        inner.run(&["-n", &name, "addr", "add", &address, "dev", "eth0"]).await?;
        inner.run(&["-n", &name, "link", "set", "eth0", "up"]).await?;
        inner.run(&["-n", &name, "link", "set", "lo", "up"]).await
    }

    /// The address at which nodes reach servers outside of their namespaces.
    #[must_use]
    pub fn host(&self) -> Ipv4Addr {
        self.place(1)
    }

    /// The address of a node; the first has number 0.
    #[must_use]
    pub fn address(&self, index: usize) -> Ipv4Addr {
        // A cluster has at most 64 nodes.
        self.place(u8::try_from(index).unwrap_or(u8::MAX).saturating_add(FIRST_HOST))
    }

    fn place(&self, last: u8) -> Ipv4Addr {
        let [first, second, third] = self.0.network;
        Ipv4Addr::new(first, second, third, last)
    }

    /// How to start a program in a node's namespace: `ip` execs it, so that the process id stays.
    #[must_use]
    pub fn enter(&self, index: usize, program: &Path, args: Vec<String>) -> (PathBuf, Vec<String>) {
        let mut all = vec!["netns".to_owned(), "exec".to_owned(), self.0.namespace(index)];
        all.push(program.display().to_string());
        all.extend(args);
        (self.0.ip.clone(), all)
    }

    /// Removes everything. Nothing may run in the namespaces any more.
    ///
    /// # Errors
    /// What could not be removed, for the report.
    pub async fn close(&self) -> Result<(), String> {
        let inner = &self.0;
        let mut command = Command::new(&inner.ip);
        command.args(BATCH).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let closing = async {
            let mut child = command.kill_on_drop(true).spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(inner.farewell().as_bytes()).await?;
            }
            child.wait_with_output().await
        };
        let said =
            |why: String| format!("cannot remove the namespaces {}-n… and their bridge: {why}", inner.tag);
        let output = tokio::time::timeout(TIMEOUT, closing).await;
        let output = output.map_err(|_| said(format!("ip did not end within {TIMEOUT:?}")))?;
        let output = output.map_err(|error| said(error.to_string()))?;
        if !output.status.success() {
            return Err(said(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        inner.is_closed.store(true, Ordering::Release);
        Ok(())
    }

    /// Takes the link of a node down, or up.
    ///
    /// # Errors
    /// Why it failed, for the report.
    pub async fn link_up(&self, index: usize, is_in: bool) -> Result<(), String> {
        let state = if is_in { "up" } else { "down" };
        ask(&self.0.ip, &["link", "set", &self.0.cable(index), state]).await.map(drop)
    }
}

impl Inner {
    fn namespace(&self, index: usize) -> String {
        format!("{}-n{}", self.tag, index + 1)
    }

    fn cable(&self, index: usize) -> String {
        format!("{}-{}", self.tag, index + 1)
    }

    async fn run(&self, args: &[&str]) -> Result<(), NetnsError> {
        ask(&self.ip, args).await.map(drop).map_err(NetnsError::of)
    }
}

/// `ip` in batch mode: one command a line; it goes on after one that fails.
const BATCH: [&str; 3] = ["-force", "-batch", "-"];

/// Removes what was not closed. Blocks for some milliseconds, since a drop cannot await; the next run removes a namespace
/// that stays.
impl Drop for Inner {
    fn drop(&mut self) {
        if *self.is_closed.get_mut() {
            return;
        }
        if let Err(error) = self.drop_all() {
            tracing::debug!(%error, tag = self.tag, "the namespaces were removed already, or could not be removed");
        }
    }
}

impl Inner {
    /// The commands that remove everything.
    fn farewell(&self) -> String {
        let mut text: String =
            (0..self.count).map(|index| format!("netns del {}\n", self.namespace(index))).collect();
        text.push_str(&format!("link del {}\n", self.tag));
        text
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a drop cannot await, and this one seldom has anything to do"
    )]
    fn drop_all(&self) -> std::io::Result<()> {
        let mut command = std::process::Command::new(&self.ip);
        command.args(BATCH).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        // A pipe holds far more than this text, so writing does not block. It is closed at once.
        child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(self.farewell().as_bytes()))?;
        let began = Instant::now();
        while child.try_wait()?.is_none() {
            if began.elapsed() > DROP_TIMEOUT {
                child.kill()?;
                child.wait()?;
                return Err(std::io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(DROP_POLL);
        }
        Ok(())
    }
}

/// Runs `ip` with these commands.
async fn ask(ip: &Path, args: &[&str]) -> Result<String, String> {
    let said = |why: String| format!("ip {}: {why}", args.join(" "));
    let mut command = Command::new(ip);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(TIMEOUT, command.output()).await;
    let output = output.map_err(|_| said(format!("no end within {TIMEOUT:?}")))?;
    let output = output.map_err(|error| said(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(said(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// A name: `sse`, the process id, and a letter. Two runs of one process have different letters.
fn tag() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let letter = char::from(b'a' + u8::try_from(COUNT.fetch_add(1, Ordering::Relaxed) % 26).unwrap_or(0));
    format!("{PREFIX}{}{letter}", std::process::id())
}

/// The process id in the name of a bridge or namespace, if a bench made it.
fn maker(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(PREFIX)?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let is_ours = rest[digits..].starts_with(|c: char| c.is_ascii_lowercase());
    rest[..digits].parse().ok().filter(|_| is_ours)
}

/// Whether a killed bench left it: its process is gone, or its number is now this process's own.
fn is_left(name: &str, tag: &str) -> bool {
    let is_own = name.strip_prefix(tag).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    is_own || maker(name).is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists())
}

/// Removes what killed benches left. Nothing of this `tag` exists yet.
async fn sweep(ip: &Path, tag: &str) {
    let left = |name: &str| is_left(name, tag);
    let namespaces = ask(ip, &["netns", "list"]).await.unwrap_or_default();
    let bridges = ask(ip, &["-o", "link", "show", "type", "bridge"]).await.unwrap_or_default();
    let namespaces = namespaces.lines().filter_map(|line| line.split_whitespace().next());
    // `7: sse123a: <BROADCAST,…`
    let bridges = bridges.lines().filter_map(|line| line.split(": ").nth(1));
    let namespaces = namespaces.filter(|name| left(name)).map(|name| ["netns", "del", name]);
    for args in namespaces.chain(bridges.filter(|name| left(name)).map(|name| ["link", "del", name])) {
        if let Err(error) = ask(ip, &args).await {
            tracing::warn!(%error, "cannot remove the namespaces or bridges of an earlier run");
        }
    }
}

/// A private network that is not in use here.
async fn free_network(ip: &Path) -> Result<[u8; 3], NetnsError> {
    let taken = ask(ip, &["-o", "-4", "addr", "show"]).await.map_err(NetnsError::of)?;
    let candidate = |step: u32| {
        let number = std::process::id().wrapping_add(step.wrapping_mul(97)) % (64 * 256);
        let [_, _, second, third] = number.to_be_bytes();
        [10, 128 + second, third]
    };
    let is_free = |network: &[u8; 3]| {
        let [first, second, third] = network;
        !taken.contains(&format!(" {first}.{second}.{third}."))
    };
    let found = (0..NETWORKS).map(candidate).find(is_free);
    found.ok_or_else(|| {
        NetnsError::Failed(format!(
            "no free network: {NETWORKS} /24 networks in 10.128.0.0/10 were tried, and all are in use"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_bench_made_is_taken_for_its_own() {
        assert_eq!(maker("sse123a"), Some(123));
        assert_eq!(maker("sse123a-n1"), Some(123));
        for name in ["sse", "sse123", "ssea", "eth0", "docker0", "sse-lab", "sse12-3"] {
            assert_eq!(maker(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_there_under_a_tag_before_it_is_used_was_left_behind() {
        let (tag, other) = (tag(), tag());
        assert!(is_left(&tag, &tag) && is_left(&format!("{tag}-n1"), &tag));
        assert!(!is_left(&other, &tag) && !is_left(&format!("{other}-n1"), &tag) && !is_left("eth0", &tag));
    }

    #[test]
    fn names_fit_into_an_interface_and_are_never_the_same() {
        let longest = format!("{PREFIX}4194304z-64");
        assert!(longest.len() <= 15, "{longest}");
        assert_ne!(tag(), tag());
        assert_eq!(maker(&tag()), Some(std::process::id()));
    }
}
