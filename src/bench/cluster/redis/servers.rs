//! The servers of a run's Redis, looked at: who is master now, who copies it, what a command says. Roles change while
//! a run goes on, so nothing of them is remembered. Read [`Servers`] first.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::config::MASTER_NAME;
use super::resp::{self, AskError, Reply};
use crate::bench::cluster::node::NodeHandle;
use crate::bench::scenario::{RedisSet, RedisShape};

/// One command. A server that is stopped answers never.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// Keys of the nodes stand under this, as long as their URL names no other prefix.
const LOG_KEY: &str = "{sse}:log";

/// One server.
#[derive(Debug, Clone)]
pub struct Server {
    /// `redis-1`, `sentinel-1`, …
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it asks for before anything else.
    pub password: Option<String>,
    /// Sends orders to its process.
    pub handle: NodeHandle,
}

/// All servers. Clones speak of the same ones.
#[derive(Debug, Clone)]
pub struct Servers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    set: RedisSet,
    data: Vec<Server>,
    sentinels: Vec<Server>,
}

/// What could not be found out, or done.
#[derive(Debug, thiserror::Error)]
pub enum RedisUnavailable {
    /// No answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// Nobody says that he is.
    #[error("no Redis server is the master of the log: {why}")]
    NoPrimary { why: String },
    /// An answer that is none.
    #[error("{name} answers {command} with {answer}")]
    Odd { name: String, command: &'static str, answer: String },
}

impl Server {
    /// One command to this server.
    ///
    /// # Errors
    /// There is no answer, or it refuses.
    pub async fn ask(&self, args: &[&str]) -> Result<Reply, AskError> {
        resp::ask(self.address, self.password.as_deref(), args, ASK_TIMEOUT).await
    }

    /// One command that answers with a text.
    ///
    /// # Errors
    /// The same, or another answer.
    pub async fn text(&self, args: &[&str], command: &'static str) -> Result<String, RedisUnavailable> {
        let reply = self.ask(args).await?;
        let odd = || RedisUnavailable::Odd { name: self.name.clone(), command, answer: format!("{reply:?}") };
        reply.text().ok_or_else(odd)
    }

    /// A field of `INFO <section>`.
    ///
    /// # Errors
    /// There is no answer, or no such field in it.
    pub async fn info(&self, section: &str, field: &str) -> Result<String, RedisUnavailable> {
        let text = self.text(&["INFO", section], "INFO").await?;
        let found = field_of(&text, field).map(str::to_owned);
        found.ok_or_else(|| RedisUnavailable::Odd { name: self.name.clone(), command: "INFO", answer: text })
    }

    /// `master` or `slave`.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn role(&self) -> Result<String, RedisUnavailable> {
        self.info("replication", "role").await
    }
}

/// The value behind `field:` in what `INFO` answers.
pub(super) fn field_of<'a>(info: &'a str, field: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::trim)
}

impl Servers {
    pub(super) fn new(set: &RedisSet, data: Vec<Server>, sentinels: Vec<Server>) -> Self {
        Self(Arc::new(Inner { set: set.clone(), data, sentinels }))
    }

    /// What they were to be.
    #[must_use]
    pub fn set(&self) -> &RedisSet {
        &self.0.set
    }

    /// Those with data.
    #[must_use]
    pub fn data(&self) -> &[Server] {
        &self.0.data
    }

    /// Those that watch.
    #[must_use]
    pub fn sentinels(&self) -> &[Server] {
        &self.0.sentinels
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Server> {
        self.data().iter().chain(self.sentinels())
    }

    /// The stream that the nodes share.
    #[must_use]
    pub fn log_key(&self) -> &'static str {
        LOG_KEY
    }

    /// What Sentinels call the master.
    #[must_use]
    pub fn master_name(&self) -> &'static str {
        MASTER_NAME
    }

    /// As a node takes it.
    #[must_use]
    pub fn url(&self) -> String {
        let list = |servers: &[Server]| {
            servers.iter().map(|server| server.address.to_string()).collect::<Vec<_>>().join(",")
        };
        match self.set().shape {
            RedisShape::Single => {
                let Server { address, password, .. } = &self.data()[0];
                let user = password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
                format!("redis://{user}{address}")
            }
            RedisShape::Sentinel => format!("redis+sentinel://{}/{MASTER_NAME}", list(self.sentinels())),
            RedisShape::Cluster => format!("redis+cluster://{}", list(self.data())),
        }
    }

    /// The master that has the log.
    ///
    /// # Errors
    /// Nobody is, or nobody says.
    pub async fn primary(&self) -> Result<&Server, RedisUnavailable> {
        match self.set().shape {
            RedisShape::Single => Ok(&self.data()[0]),
            RedisShape::Sentinel => self.primary_by_sentinel().await,
            RedisShape::Cluster => self.primary_by_slot().await,
        }
    }

    async fn primary_by_sentinel(&self) -> Result<&Server, RedisUnavailable> {
        let mut why = String::from("no Sentinel answers");
        for sentinel in self.sentinels() {
            let command = ["SENTINEL", "get-master-addr-by-name", MASTER_NAME];
            match sentinel.ask(&command).await {
                Ok(reply) => match self.server_at(reply.items()) {
                    Some(server) => return Ok(server),
                    None => why = format!("{} says {reply:?}", sentinel.name),
                },
                Err(error) => why = error.to_string(),
            }
        }
        Err(RedisUnavailable::NoPrimary { why })
    }

    fn server_at(&self, address: &[Reply]) -> Option<&Server> {
        let [ip, port] = address else { return None };
        let port = port.text()?.parse().ok()?;
        let address = SocketAddr::new(ip.text()?.parse().ok()?, port);
        self.data().iter().find(|server| server.address == address)
    }

    async fn primary_by_slot(&self) -> Result<&Server, RedisUnavailable> {
        let mut why = String::from("no server answers");
        for server in self.data() {
            match self.owner_as_seen_by(server).await {
                Ok(Some(owner)) => return Ok(owner),
                Ok(None) => why = format!("{} knows no owner of the slot of {LOG_KEY}", server.name),
                Err(error) => why = error.to_string(),
            }
        }
        Err(RedisUnavailable::NoPrimary { why })
    }

    async fn owner_as_seen_by(&self, server: &Server) -> Result<Option<&Server>, RedisUnavailable> {
        let slot = server.text(&["CLUSTER", "KEYSLOT", LOG_KEY], "CLUSTER KEYSLOT").await?;
        let nodes = server.text(&["CLUSTER", "NODES"], "CLUSTER NODES").await?;
        let members = nodes.lines().filter_map(Membership::parse);
        let owner = members
            .filter(|member| member.is_master && !member.is_failing)
            .find(|member| slot.parse().is_ok_and(|slot| member.has_slot(slot)));
        Ok(owner.and_then(|owner| self.data().iter().find(|server| server.address == owner.address)))
    }

    /// Servers that copy this one, as it says itself.
    ///
    /// # Errors
    /// It says nothing.
    pub async fn replicas_of(&self, primary: &Server) -> Result<Vec<&Server>, RedisUnavailable> {
        let info = primary.text(&["INFO", "replication"], "INFO").await?;
        let ports: Vec<u16> = info
            .lines()
            .filter(|line| line.starts_with("slave") && line.contains("state=online"))
            .filter_map(|line| line.split_once("port=")?.1.split(',').next()?.parse().ok())
            .collect();
        Ok(self.data().iter().filter(|server| ports.contains(&server.address.port())).collect())
    }
}

/// A line of `CLUSTER NODES`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) id: String,
    pub(super) address: SocketAddr,
    pub(super) is_master: bool,
    pub(super) is_failing: bool,
    slots: Vec<(u16, u16)>,
}

impl Membership {
    /// `<id> <ip:port@bus,host> <flags> <master> <ping> <pong> <epoch> <link> <slots>…`
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let (id, place, flags) = (fields.next()?, fields.next()?, fields.next()?);
        let has = |wanted: &str| flags.split(',').any(|flag| flag == wanted);
        let slot = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            // A slot under way elsewhere stands in brackets, and is still here.
            first.parse().ok().zip(last.parse().ok())
        };
        Some(Self {
            id: id.to_owned(),
            address: place.split('@').next()?.parse().ok()?,
            is_master: has("master"),
            is_failing: has("fail") || has("fail?") || has("noaddr"),
            slots: fields.skip(5).filter_map(slot).collect(),
        })
    }

    fn has_slot(&self, slot: u16) -> bool {
        self.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_about_a_member_is_read_with_its_slots() {
        let line =
            "07c3 127.0.0.1:7001@17001,host myself,master - 0 1426 2 connected 0-5460 9000 [5461->-29]";
        let member = Membership::parse(line).unwrap();
        assert_eq!((member.id.as_str(), member.address.port()), ("07c3", 7_001));
        assert!(member.is_master && !member.is_failing);
        assert!(member.has_slot(0) && member.has_slot(5_460) && member.has_slot(9_000));
        assert!(!member.has_slot(5_461));
        let failing = Membership::parse("a 127.0.0.1:7@1 master,fail - 0 0 1 disconnected 0-9").unwrap();
        assert!(failing.is_failing);
        assert_eq!(Membership::parse("garbage"), None);
    }

    #[test]
    fn a_field_of_info_is_found_by_its_whole_name() {
        let info = "# Replication\r\nrole:master\r\nrole_x:slave\r\n";
        assert_eq!(field_of(info, "role"), Some("master"));
        assert_eq!(field_of(info, "rol"), None);
    }
}
