//! Connections to the server that holds the log: found, greeted, and dropped at the first sign of trouble. Never
//! re-sends anything by itself. Read [`Finder::open`] first, then [`Line`].

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
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::limits::{ASK, BACKOFF, CONNECT, CONNECTION_WAIT};
use super::url::{RedisUrl, Server, Topology};
use crate::broker::StoreError;
use crate::runtime::Backoff;

/// Why a command failed, and what that means for the connection.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Trouble {
    /// The connection cannot be trusted any more: a new one has to be opened, maybe to another server. Whether the
    /// command was carried out is not known.
    #[error(transparent)]
    Broken(StoreError),
    /// The server does not do it, and says why; nothing was written.
    #[error(transparent)]
    Refused(StoreError),
}

impl Trouble {
    /// What happened, whatever it means.
    pub(super) fn error(self) -> StoreError {
        match self {
            Self::Broken(error) | Self::Refused(error) => error,
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(_))
    }
}

/// Sorts an error of the crate. What is not known to leave the connection as it was breaks it.
pub(super) fn trouble(operation: &'static str, place: &str, error: &RedisError) -> Trouble {
    // A refusal of one command: the server still rules, and a new connection would hear the same.
    const HARMLESS: [&str; 10] = [
        "OOM",
        "NOREPLICAS",
        "TRYAGAIN",
        "MISCONF",
        "NOPERM",
        "ERR",
        "WRONGTYPE",
        "NOSCRIPT",
        "BUSY",
        "BUSYKEY",
    ];
    let cause = StoreError { operation, place: place.to_owned(), cause: error.to_string() };
    // Before Redis 7, what a script came upon stands in the text of an ERR.
    let is_deposed =
        ["READONLY", "MOVED", "LOADING", "MASTERDOWN"].iter().any(|word| cause.cause.contains(word));
    match error.code() {
        Some(code) if HARMLESS.contains(&code) && !is_deposed => Trouble::Refused(cause),
        _ => Trouble::Broken(cause),
    }
}

/// What can be asked of a server.
#[derive(Clone, Copy)]
pub(super) enum Ask<'a> {
    /// One command.
    Command(&'a redis::Cmd),
    /// Several, atomically if the pipeline is.
    Pipeline(&'a redis::Pipeline),
    /// A script, which is loaded where the server does not know it yet.
    Script(&'a redis::ScriptInvocation<'a>),
}

/// An open connection to a server that rules.
#[derive(Clone)]
pub(super) struct Conn {
    redis: MultiplexedConnection,
    /// Tells this connection from others of the process.
    serial: u64,
    /// The rule of this server as master: changes with every start and every promotion.
    pub(super) term: Arc<str>,
    /// Its address, for messages.
    pub(super) place: Arc<str>,
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn").field("place", &self.place).field("term", &self.term).finish_non_exhaustive()
    }
}

impl Conn {
    /// Asks, and waits at most this long for the answer.
    pub(super) async fn ask<T: FromRedisValue>(
        &mut self,
        operation: &'static str,
        ask: Ask<'_>,
        patience: Duration,
    ) -> Result<T, Trouble> {
        let redis = &mut self.redis;
        let answer = async {
            match ask {
                Ask::Command(command) => command.query_async(redis).await,
                Ask::Pipeline(pipeline) => pipeline.query_async(redis).await,
                Ask::Script(script) => script.invoke_async(redis).await,
            }
        };
        settle(operation, &self.place, tokio::time::timeout(patience, answer).await)
    }
}

fn settle<T>(
    operation: &'static str,
    place: &str,
    answer: Result<Result<T, RedisError>, tokio::time::error::Elapsed>,
) -> Result<T, Trouble> {
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(trouble(operation, place, &error)),
        Err(_) => Err(Trouble::Broken(StoreError {
            operation,
            place: place.to_owned(),
            cause: "no answer in time".to_owned(),
        })),
    }
}

/// Finds the server that holds the log, and opens connections to it.
#[derive(Debug)]
pub(super) struct Finder {
    url: RedisUrl,
    /// A key of the log, which tells its slot.
    log: String,
    /// Servers of a Redis Cluster beyond those that the URL names: its seeds may all be gone one day.
    known: Mutex<Vec<Server>>,
    /// Connections opened so far.
    opened: AtomicU64,
}

impl Finder {
    pub(super) fn new(url: RedisUrl, log: String) -> Self {
        Self { url, log, known: Mutex::default(), opened: AtomicU64::default() }
    }

    /// The URL without its password.
    pub(super) fn place(&self) -> String {
        self.url.to_string()
    }

    /// Opens a connection to the server that rules. Everything has a deadline.
    pub(super) async fn open(&self) -> Result<Conn, StoreError> {
        let mut last = None;
        for server in self.candidates().await? {
            match self.greet(&server).await {
                Ok(conn) => return Ok(conn),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| self.error("find the master", "nobody knows where it is")))
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
                let mut last = self.error("ask the sentinels", "none of them knows the master");
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
        let mut last = self.error("find the owner of the slot", "no member of the cluster knows it");
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

    /// Asks somebody who is not the master himself.
    async fn ask<T: FromRedisValue>(
        &self,
        server: &Server,
        command: &redis::Cmd,
        is_sentinel: bool,
    ) -> Result<T, StoreError> {
        let asked = async {
            // Sentinels have no databases, and no users of the servers that they watch.
            let mut redis = self.connect(server, !is_sentinel).await?;
            command.query_async(&mut redis).await
        };
        match tokio::time::timeout(ASK, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(asked_in_vain(server, &error)),
            Err(_) => Err(asked_in_vain(server, &"no answer in time")),
        }
    }

    async fn connect(&self, server: &Server, as_user: bool) -> Result<MultiplexedConnection, RedisError> {
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
        let mut login = RedisConnectionInfo::default().set_lib_name("sse-node", env!("CARGO_PKG_VERSION"));
        if as_user {
            login = login.set_db(i64::from(self.url.database));
            if let Some(user) = &self.url.user {
                login = login.set_username(user);
            }
            if let Some(password) = &self.url.password {
                login = login.set_password(password);
            }
        }
        let info = address.into_connection_info()?.set_tcp_settings(tcp).set_redis_settings(login);
        // Every command has a deadline of its own here; the crate's would leave the connection half used.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(Some(CONNECT))
            .set_pipeline_buffer_size(1_024);
        Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Connects, and makes sure that the server is up and rules.
    async fn greet(&self, server: &Server) -> Result<Conn, StoreError> {
        let place: Arc<str> = Arc::from(server.to_string());
        let fail = |operation, cause: String| StoreError { operation, place: place.to_string(), cause };
        let connected = tokio::time::timeout(2 * CONNECT, self.connect(server, true)).await;
        let redis = match connected {
            Ok(Ok(redis)) => redis,
            Ok(Err(error)) => return Err(fail("connect", error.to_string())),
            Err(_) => return Err(fail("connect", "no answer in time".to_owned())),
        };
        let serial = self.opened.fetch_add(1, Ordering::Relaxed);
        let mut conn = Conn { redis, serial, term: Arc::from(""), place: Arc::clone(&place) };
        // A server that is loading its data answers ROLE, and not PING.
        let ping = cmd("PING");
        let _pong: Value = conn.ask("greet", Ask::Command(&ping), CONNECT).await.map_err(Trouble::error)?;
        let role = cmd("ROLE");
        let role: Vec<Value> =
            conn.ask("ask for the role", Ask::Command(&role), CONNECT).await.map_err(Trouble::error)?;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => {}
            other => return Err(fail("connect", format!("it is no master, its role is {other:?}"))),
        }
        let info = cmd("INFO");
        let info: String =
            conn.ask("ask for the term", Ask::Command(&info), CONNECT).await.map_err(Trouble::error)?;
        conn.term = Arc::from(term(&info));
        Ok(conn)
    }
}

fn asked_in_vain(server: &Server, cause: &dyn std::fmt::Display) -> StoreError {
    StoreError { operation: "ask for the master", place: server.to_string(), cause: cause.to_string() }
}

/// A process has one `run_id`; a master has another `master_replid` after every promotion. Together they name the rule
/// of one server, also of one that was deposed and comes back.
fn term(info: &str) -> String {
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    format!("{}-{}", field("run_id:"), field("master_replid:"))
}

/// From CLUSTER SLOTS: the master of a slot, and all masters.
fn owner_of(slot: u16, ranges: &[Vec<Value>], seed: &Server) -> (Option<Server>, Vec<Server>) {
    let mut owner = None;
    let mut members = Vec::new();
    for range in ranges {
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &range[..] else { continue };
        let [Value::BulkString(host), Value::Int(port), ..] = &master[..] else { continue };
        let host = String::from_utf8_lossy(host).into_owned();
        // An empty host is that of whoever answered.
        let host = if host.is_empty() { seed.host.clone() } else { host };
        let Ok(port) = u16::try_from(*port) else { continue };
        let server = Server { host, port };
        if (*first..=*last).contains(&i64::from(slot)) {
            owner = Some(server.clone());
        }
        members.push(server);
    }
    (owner, members)
}

/// The waits between tries to connect.
pub(super) fn backoff() -> Backoff {
    Backoff::new(BACKOFF.0, BACKOFF.1).expect("the bounds are constants in order")
}

/// One connection for short commands, shared by all who ask: kept open by a task, opened again when it breaks. What is
/// asked here is asked twice where the connection turns out to be broken, so it must do no harm when it is carried out
/// twice.
#[derive(Debug)]
pub(super) struct Line {
    conn: watch::Receiver<Option<Conn>>,
    /// Serial of the newest connection that broke.
    broken: watch::Sender<Option<u64>>,
    place: String,
    response: Duration,
}

/// The task that keeps a [`Line`] open.
#[derive(Debug)]
pub(super) struct LineKeeper {
    finder: Arc<Finder>,
    conn: watch::Sender<Option<Conn>>,
    broken: watch::Receiver<Option<u64>>,
}

impl Line {
    /// A line over a connection that is open, and the task that keeps it so.
    pub(super) fn new(finder: &Arc<Finder>, conn: Conn, response: Duration) -> (Self, LineKeeper) {
        let (sender, receiver) = watch::channel(Some(conn));
        let (broken, breaks) = watch::channel(None);
        let keeper = LineKeeper { finder: Arc::clone(finder), conn: sender, broken: breaks };
        (Self { conn: receiver, broken, place: finder.place(), response }, keeper)
    }

    /// The connection, as soon as there is one other than the one that broke.
    async fn conn(&self, but: Option<u64>) -> Result<Conn, StoreError> {
        let mut conn = self.conn.clone();
        let usable = |conn: &Option<Conn>| conn.as_ref().is_some_and(|conn| Some(conn.serial) != but);
        let open = tokio::time::timeout(CONNECTION_WAIT, conn.wait_for(usable)).await;
        match open.map(|open| open.map(|conn| conn.clone())) {
            Ok(Ok(Some(conn))) => Ok(conn),
            Ok(_) | Err(_) => Err(StoreError {
                operation: "connect",
                place: self.place.clone(),
                cause: "there is no connection to the master".to_owned(),
            }),
        }
    }

    /// The term of the server that the next command most likely goes to.
    pub(super) async fn term(&self) -> Result<Arc<str>, StoreError> {
        Ok(self.conn(None).await?.term)
    }

    /// What the connection knows of the term is out of date: it is opened again.
    pub(super) fn renew(&self) {
        let serial = self.conn.borrow().as_ref().map(|conn| conn.serial);
        self.note_broken(serial);
    }

    /// Only ever a newer one: a late report of an old connection must not hide that of the present one.
    fn note_broken(&self, serial: Option<u64>) {
        self.broken.send_if_modified(|broken| {
            let is_newer = serial > *broken;
            *broken = serial.max(*broken);
            is_newer
        });
    }

    /// Asks once: for what must not be carried out twice.
    pub(super) async fn ask_once<T: FromRedisValue>(
        &self,
        operation: &'static str,
        ask: Ask<'_>,
    ) -> Result<T, StoreError> {
        let mut conn = self.conn(None).await?;
        let answer = conn.ask(operation, ask, self.response).await;
        if answer.as_ref().is_err_and(Trouble::is_broken) {
            self.note_broken(Some(conn.serial));
        }
        answer.map_err(Trouble::error)
    }

    /// Asks, and asks once more on a new connection where the first one turns out to be broken.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        operation: &'static str,
        ask: Ask<'_>,
    ) -> Result<T, StoreError> {
        let mut conn = self.conn(None).await?;
        let trouble = match conn.ask(operation, ask, self.response).await {
            Ok(answer) => return Ok(answer),
            Err(trouble) => trouble,
        };
        if !trouble.is_broken() {
            return Err(trouble.error());
        }
        self.note_broken(Some(conn.serial));
        let Ok(mut other) = self.conn(Some(conn.serial)).await else { return Err(trouble.error()) };
        let answer = other.ask(operation, ask, self.response).await;
        if answer.as_ref().is_err_and(Trouble::is_broken) {
            self.note_broken(Some(other.serial));
        }
        answer.map_err(Trouble::error)
    }
}

impl LineKeeper {
    /// Keeps the line open until the token ends it.
    pub(super) async fn run(mut self, token: CancellationToken) {
        let mut backoff = backoff();
        loop {
            let serial = self.conn.borrow().as_ref().map(|conn| conn.serial);
            tokio::select! {
                () = token.cancelled() => return,
                // An error means that nobody can ask any more.
                broken = self.broken.wait_for(|broken| *broken == serial) => if broken.is_err() { return },
            }
            self.conn.send_replace(None);
            while let Err(error) = self.open().await {
                tracing::debug!(%error, "no connection for commands");
                let wait = backoff.next_wait(&mut rand::rng());
                tokio::select! {
                    () = token.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
            backoff.reset();
        }
    }

    async fn open(&self) -> Result<(), StoreError> {
        let conn = self.finder.open().await?;
        self.conn.send_replace(Some(conn));
        Ok(())
    }
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
    }

    #[test]
    fn what_the_server_merely_refuses_leaves_the_connection_alone() {
        let error = |code: &'static str| redis::make_extension_error(code.to_owned(), None);
        for code in ["OOM", "NOREPLICAS", "MISCONF"] {
            assert!(!trouble("write", "h:1", &error(code)).is_broken(), "{code}");
        }
        for code in ["READONLY", "MOVED", "ASK", "LOADING", "UNBLOCKED", "MASTERDOWN", "CLUSTERDOWN", "NEW"] {
            assert!(trouble("write", "h:1", &error(code)).is_broken(), "{code}");
        }
        let io = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(trouble("write", "h:1", &io).is_broken());
    }
}
