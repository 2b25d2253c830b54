//! Finds the server that holds the log and connects to it: PING, then ROLE, and only a master will do. Read
//! [`Finder::open`] first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisError, Value, cmd,
};

use super::connection::{Ask, Conn, ConnError};
use super::limits::{ASK, BACKOFF, CONNECT};
#[cfg(test)]
use super::tests::ablation::Ablation;
use super::url::{RedisUrl, Server, Topology};
use crate::broker::StoreError;
use crate::runtime::Backoff;

/// Finds the server that holds the log, and opens connections to it.
#[derive(Debug)]
pub(super) struct Finder {
    url: RedisUrl,
    /// A key of the log; its hash gives the slot.
    log: String,
    /// Members of a Redis Cluster beside those that the URL names, because all of those may be gone one day.
    known: Mutex<Vec<Server>>,
    /// Connections opened so far.
    opened: AtomicU64,
    #[cfg(test)]
    pub(super) ablation: Ablation,
}

impl Finder {
    pub(super) fn new(url: RedisUrl, log: String) -> Self {
        Self {
            url,
            log,
            known: Mutex::default(),
            opened: AtomicU64::default(),
            #[cfg(test)]
            ablation: Ablation::current(),
        }
    }

    /// The URL without its password.
    pub(super) fn place(&self) -> String {
        self.url.to_string()
    }

    /// Opens a connection to the present master. Everything has a deadline.
    pub(super) async fn open(&self) -> Result<Conn, StoreError> {
        let mut last = None;
        for server in self.candidates().await? {
            match self.handshake(&server).await {
                Ok(conn) => return Ok(conn),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| self.error("find the master", "no server is known to be the master")))
    }

    fn error(&self, operation: &'static str, cause: &str) -> StoreError {
        StoreError { operation, place: self.place(), cause: cause.to_owned() }
    }

    /// Where the log may be, the likeliest first.
    async fn candidates(&self) -> Result<Vec<Server>, StoreError> {
        match &self.url.topology {
            Topology::Standalone(server) => Ok(vec![server.clone()]),
            Topology::Sentinel { sentinels, master } => {
                let mut ask = cmd("SENTINEL");
                ask.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
                let mut found: Vec<(Server, usize)> = Vec::new();
                let mut last = self.error("find the master", "no sentinel knows the master");
                // All at once: one that hangs must not delay those that know.
                let answers =
                    sentinels.iter().map(|sentinel| self.ask::<Option<(String, u16)>>(sentinel, &ask, true));
                for answer in futures_util::future::join_all(answers).await {
                    match answer {
                        Ok(Some((host, port))) => {
                            let server = Server { host, port };
                            match found.iter_mut().find(|(known, _)| *known == server) {
                                Some((_, votes)) => *votes += 1,
                                None => found.push((server, 1)),
                            }
                        }
                        Ok(None) => {}
                        Err(error) => last = error,
                    }
                }
                // A sentinel that is cut off goes on to name the master that it knew.
                found.sort_by_key(|(_, votes)| std::cmp::Reverse(*votes));
                if found.is_empty() {
                    Err(last)
                } else {
                    Ok(found.into_iter().map(|(server, _)| server).collect())
                }
            }
            Topology::Cluster { seeds } => self.owner(seeds).await.map(|server| vec![server]),
        }
    }

    /// The owner of the log's slot in a Redis Cluster, from the first member that answers.
    async fn owner(&self, seeds: &[Server]) -> Result<Server, StoreError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut last =
            self.error("find the owner of the log's slot", "no member of the cluster knows the owner");
        let mut slot = cmd("CLUSTER");
        slot.arg("KEYSLOT").arg(&self.log);
        let mut slots = cmd("CLUSTER");
        slots.arg("SLOTS");
        for seed in seeds.iter().chain(known.iter().filter(|server| !seeds.contains(server))) {
            let slot = match self.ask::<u16>(seed, &slot, false).await {
                Ok(slot) => slot,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            let ranges = match self.ask::<Vec<Vec<Value>>>(seed, &slots, false).await {
                Ok(ranges) => ranges,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            let (owner, members) = owner_of(slot, &ranges, seed);
            if let Some(owner) = owner {
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = members;
                return Ok(owner);
            }
        }
        Err(last)
    }

    /// Asks a sentinel or a member of a cluster, not the master.
    async fn ask<T: FromRedisValue>(
        &self,
        server: &Server,
        command: &redis::Cmd,
        is_sentinel: bool,
    ) -> Result<T, StoreError> {
        let login = if is_sentinel { self.sentinel_login() } else { self.login() };
        let asked = async {
            let mut redis = self.connect(server, login).await?;
            command.query_async(&mut redis).await
        };
        let unanswered =
            |cause| StoreError { operation: "ask for the master", place: server.to_string(), cause };
        match tokio::time::timeout(ASK, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(unanswered(error.to_string())),
            Err(_) => Err(unanswered("no answer in time".to_owned())),
        }
    }

    fn login(&self) -> RedisConnectionInfo {
        let url = &self.url;
        login(url.user.as_ref(), url.password.as_ref()).set_db(i64::from(url.database))
    }

    /// Sentinels have no databases, and no users of the servers that they watch.
    fn sentinel_login(&self) -> RedisConnectionInfo {
        login(self.url.sentinel_user.as_ref(), self.url.sentinel_password.as_ref())
    }

    async fn connect(
        &self,
        server: &Server,
        login: RedisConnectionInfo,
    ) -> Result<MultiplexedConnection, RedisError> {
        let Server { host, port } = server.clone();
        let address = if self.url.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(5))
            .with_interval(Duration::from_secs(5))
            .with_retries(3);
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(keepalive)
            .set_user_timeout(Duration::from_secs(3));
        let info = address.into_connection_info()?.set_tcp_settings(tcp).set_redis_settings(login);
        // Every command has a deadline of its own here; the crate's would leave the connection half used.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(Some(CONNECT))
            .set_pipeline_buffer_size(1_024);
        Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Connects, and checks that the server is up and is a master.
    async fn handshake(&self, server: &Server) -> Result<Conn, StoreError> {
        let place: Arc<str> = Arc::from(server.to_string());
        let fail = |operation, cause: String| StoreError { operation, place: place.to_string(), cause };
        let connected = tokio::time::timeout(2 * CONNECT, self.connect(server, self.login())).await;
        let redis = match connected {
            Ok(Ok(redis)) => redis,
            Ok(Err(error)) => return Err(fail("connect to Redis", error.to_string())),
            Err(_) => return Err(fail("connect to Redis", "no answer in time".to_owned())),
        };
        let serial = self.opened.fetch_add(1, Ordering::Relaxed);
        let mut conn = Conn::new(redis, serial, Arc::clone(&place));
        // A server that is loading its data answers ROLE, but not PING.
        let ping = cmd("PING");
        let _pong: Value = conn
            .ask("ping Redis", Ask::Command(&ping), CONNECT)
            .await
            .map_err(ConnError::into_store_error)?;
        let role = cmd("ROLE");
        let role: Vec<Value> = conn
            .ask("ask Redis for its role", Ask::Command(&role), CONNECT)
            .await
            .map_err(ConnError::into_store_error)?;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => {}
            Some(Value::BulkString(role)) => {
                let role = String::from_utf8_lossy(role);
                return Err(fail("connect to Redis", format!("it is not a master; its role is {role}")));
            }
            other => return Err(fail("connect to Redis", format!("its role is not readable: {other:?}"))),
        }
        let info = cmd("INFO");
        let info: String = conn
            .ask("ask Redis for its state", Ask::Command(&info), CONNECT)
            .await
            .map_err(ConnError::into_store_error)?;
        let term = term(&info);
        #[cfg(test)]
        let term = self.ablation.term(term);
        conn.term = Arc::from(term);
        Ok(conn)
    }
}

fn login(user: Option<&String>, password: Option<&String>) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default().set_lib_name("sse-node", env!("CARGO_PKG_VERSION"));
    if let Some(user) = user {
        login = login.set_username(user);
    }
    if let Some(password) = password {
        login = login.set_password(password);
    }
    login
}

/// A process has one `run_id`; a master has another `master_replid` after every promotion. Together they identify one
/// term, also of a server that was replaced and comes back.
fn term(info: &str) -> String {
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    format!("{}-{}", field("run_id:"), field("master_replid:"))
}

/// From CLUSTER SLOTS: the master of a slot, and all masters.
pub(super) fn owner_of(slot: u16, ranges: &[Vec<Value>], seed: &Server) -> (Option<Server>, Vec<Server>) {
    let mut owner = None;
    let mut members = Vec::new();
    for range in ranges {
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &range[..] else { continue };
        let [host, Value::Int(port), rest @ ..] = &master[..] else { continue };
        let Some(host) = host_of(host, rest, seed) else { continue };
        let Ok(port) = u16::try_from(*port) else { continue };
        let server = Server { host, port };
        if (*first..=*last).contains(&i64::from(slot)) {
            owner = Some(server.clone());
        }
        members.push(server);
    }
    (owner, members)
}

/// The host of a member. NULL and an empty text stand for the host that was asked; `?` for a host without a name, whose
/// address stands in the metadata behind its id.
fn host_of(host: &Value, rest: &[Value], seed: &Server) -> Option<String> {
    let text = |value: &Value| match value {
        Value::BulkString(text) => Some(String::from_utf8_lossy(text).into_owned()),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    };
    if *host == Value::Nil {
        return Some(seed.host.clone());
    }
    match text(host)?.as_str() {
        "" => Some(seed.host.clone()),
        "?" => {
            let pairs = match rest.get(1) {
                Some(Value::Array(pairs)) => pairs.as_slice(),
                _ => &[],
            };
            let ip = pairs.chunks_exact(2).find(|pair| text(&pair[0]).as_deref() == Some("ip"));
            let ip = ip.and_then(|pair| text(&pair[1])).filter(|ip| !ip.is_empty());
            Some(ip.unwrap_or_else(|| seed.host.clone()))
        }
        host => Some(host.to_owned()),
    }
}

/// The waits between tries to connect.
pub(super) fn backoff() -> Backoff {
    Backoff::new(BACKOFF.0, BACKOFF.1).expect("the bounds are constants in order")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_term_is_the_process_and_its_rule() {
        let info = "# Server\r\nrun_id:abc\r\n# Replication\r\nrole:master\r\nmaster_replid:def\r\nmaster_replid2:ghi\r\n";
        assert_eq!(term(info), "abc-def");
    }

    #[test]
    fn the_owner_of_a_slot_is_found_and_an_empty_host_is_the_seeds() {
        let range = |first, last, host: &str, port| {
            let master = vec![Value::BulkString(host.as_bytes().to_vec()), Value::Int(port)];
            vec![Value::Int(first), Value::Int(last), Value::Array(master)]
        };
        let seed = Server { host: "seed".to_owned(), port: 1 };
        let ranges = [range(0, 99, "a", 7001), range(100, 199, "", 7002)];
        let (owner, members) = owner_of(150, &ranges, &seed);
        assert_eq!(owner, Some(Server { host: "seed".to_owned(), port: 7002 }));
        assert_eq!(members.len(), 2);
        assert_eq!(owner_of(200, &ranges, &seed).0, None);

        // As Redis 7 tells members whose names are not known.
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let host = |host: Value, metadata: &[&str]| {
            let metadata = Value::Array(metadata.iter().map(|word| text(word)).collect());
            let master = vec![host, Value::Int(7003), text("id"), metadata];
            let ranges = [vec![Value::Int(0), Value::Int(9), Value::Array(master)]];
            owner_of(5, &ranges, &seed).0.map(|server| server.host)
        };
        assert_eq!(host(Value::Nil, &["ip", "10.0.0.1"]).as_deref(), Some("seed"));
        assert_eq!(host(text("?"), &["ip", "10.0.0.1"]).as_deref(), Some("10.0.0.1"));
        assert_eq!(host(text("?"), &["availability-zone", "a"]).as_deref(), Some("seed"));
        assert_eq!(host(text("?"), &[]).as_deref(), Some("seed"));
        assert_eq!(host(Value::Int(1), &[]), None);
    }
}
