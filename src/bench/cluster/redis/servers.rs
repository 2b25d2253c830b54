//! The servers of a run's Redis: who is master now, who its replicas are, what a command answers. Roles change during a
//! run, so they are asked for each time. Read [`Servers`] first.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::config::MASTER_NAME;
use redis::Value;

use super::command::{self, AskError};
use crate::bench::cluster::node::NodeHandle;
use crate::bench::scenario::{RedisSet, RedisShape};

/// Time limit of one command, since a paused server never answers.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// Key of the log, as long as the nodes' URL names no other prefix.
const LOG_KEY: &str = "{sse}:log";

/// A Redis server or Sentinel of the run.
#[derive(Debug, Clone)]
pub struct Server {
    /// Name: `redis-1`, `sentinel-1`, …
    pub name: String,
    /// Address on which it listens.
    pub address: SocketAddr,
    /// Its password, if it has one.
    pub password: Option<String>,
    /// Sends commands to the owner of its process.
    pub handle: NodeHandle,
}

/// All servers of a run. Clones share them.
#[derive(Debug, Clone)]
pub struct Servers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    set: RedisSet,
    data: Vec<Server>,
    sentinels: Vec<Server>,
}

/// Why a question to Redis has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RedisUnavailable {
    /// The command failed.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// No server is the master of the log.
    #[error("no Redis server is the master of the log: {why}")]
    NoPrimary { why: String },
    /// An unexpected reply.
    #[error("{name} sent an unexpected reply to {command}: {answer}")]
    Odd { name: String, command: &'static str, answer: String },
}

impl Server {
    /// Sends one command to this server.
    ///
    /// # Errors
    /// There is no reply, or the server refuses.
    pub async fn ask(&self, args: &[&str]) -> Result<Value, AskError> {
        command::ask(self.address, self.password.as_deref(), args, ASK_TIMEOUT).await
    }

    /// Sends one command whose reply is a text.
    ///
    /// # Errors
    /// There is no reply, the server refuses, or the reply is no text.
    pub async fn text(&self, args: &[&str], command: &'static str) -> Result<String, RedisUnavailable> {
        let reply = self.ask(args).await?;
        let odd = || RedisUnavailable::Odd { name: self.name.clone(), command, answer: format!("{reply:?}") };
        command::text(&reply).ok_or_else(odd)
    }

    /// A field of `INFO <section>`.
    ///
    /// # Errors
    /// There is no reply, or the field is missing.
    pub async fn info(&self, section: &str, field: &str) -> Result<String, RedisUnavailable> {
        let text = self.text(&["INFO", section], "INFO").await?;
        let found = field_of(&text, field).map(str::to_owned);
        found.ok_or_else(|| RedisUnavailable::Odd { name: self.name.clone(), command: "INFO", answer: text })
    }

    /// Role of the server: `master` or `slave`.
    ///
    /// # Errors
    /// There is no reply.
    pub async fn role(&self) -> Result<String, RedisUnavailable> {
        self.info("replication", "role").await
    }
}

/// The value behind `field:` in a reply of `INFO`.
pub(super) fn field_of<'a>(info: &'a str, field: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::trim)
}

impl Servers {
    pub(super) fn new(set: &RedisSet, data: Vec<Server>, sentinels: Vec<Server>) -> Self {
        Self(Arc::new(Inner { set: set.clone(), data, sentinels }))
    }

    /// The shape of the deployment, as the scenario says.
    #[must_use]
    pub fn set(&self) -> &RedisSet {
        &self.0.set
    }

    /// The servers with data.
    #[must_use]
    pub fn data(&self) -> &[Server] {
        &self.0.data
    }

    /// The Sentinels; none unless the shape has them.
    #[must_use]
    pub fn sentinels(&self) -> &[Server] {
        &self.0.sentinels
    }

    /// All servers, Sentinels included.
    pub fn all(&self) -> impl Iterator<Item = &Server> {
        self.data().iter().chain(self.sentinels())
    }

    /// Name of the stream that holds the log.
    #[must_use]
    pub fn log_key(&self) -> &'static str {
        LOG_KEY
    }

    /// Name of the master, as Sentinels know it.
    #[must_use]
    pub fn master_name(&self) -> &'static str {
        MASTER_NAME
    }

    /// The broker URL of the nodes.
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

    /// The master that holds the log.
    ///
    /// # Errors
    /// No server is, or no server says so.
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
                Ok(reply) => match self.server_at(command::items(&reply)) {
                    Some(server) => return Ok(server),
                    None => why = format!("{} says {reply:?}", sentinel.name),
                },
                Err(error) => why = error.to_string(),
            }
        }
        Err(RedisUnavailable::NoPrimary { why })
    }

    fn server_at(&self, address: &[Value]) -> Option<&Server> {
        let [ip, port] = address else { return None };
        let port = command::text(port)?.parse().ok()?;
        let address = SocketAddr::new(command::text(ip)?.parse().ok()?, port);
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

    /// The replicas of this server, as it reports them.
    ///
    /// # Errors
    /// It does not answer.
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
    /// Parses `<id> <ip:port@bus,host> <flags> <master> <ping> <pong> <epoch> <link> <slots>…`.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let (id, place, flags) = (fields.next()?, fields.next()?, fields.next()?);
        let has = |wanted: &str| flags.split(',').any(|flag| flag == wanted);
        let slot = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            // A slot that is being migrated is in brackets, and is still here.
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
