//! One proxy: a port, its upstream, and every connection between them. The task owns the connections; dropping it ends them
//! and frees the port. Read [`ProxyTask::run`] first.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::connection::{Lanes, Link, Traffic};
use super::http::Findings;
use super::toxic_stage::Outcome;
use crate::bench::scenario::Toxic;
use crate::bench::scenario::plan::Seeds;

/// How long an address in use is tried again, and how often.
const IN_USE_PATIENCE: Duration = Duration::from_millis(500);
const IN_USE_STEP: Duration = Duration::from_millis(10);
/// Time limit of connecting to the upstream.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed accept, most likely for lack of open files.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Connections of one proxy at once; further ones wait in the accept queue.
const CONNECTIONS_MAX: usize = 65_536;
/// Connects that the kernel completes before they are accepted. Its own limit, `net.core.somaxconn`, is 4,096. With the
/// 128 of [`TcpListener::bind`] a burst of clients has SYNs repeated a second later, and the server would get the blame.
const BACKLOG: i32 = 4_096;
/// Commands that wait for the one that is carried out.
const ORDERS_WAITING: usize = 16;

/// A command to a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProxyCommand {
    /// Starts listening on the proxy's address.
    Enable,
    /// Stops listening, and closes every connection.
    Disable,
}

/// Whether a command changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// The proxy was in that state already.
    Already,
    /// The state of the proxy changed.
    Yes,
}

/// Why a command to a proxy failed.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The port is in use, or cannot be bound.
    #[error("proxy {name} cannot listen on {listen}")]
    Listen {
        name: String,
        listen: String,
        #[source]
        source: std::io::Error,
    },
    /// The task of the proxy has ended.
    #[error("proxy {name} has ended")]
    Gone { name: String },
}

/// The configuration of a proxy.
#[derive(Debug, Clone)]
pub struct ProxySpec {
    /// Name of the proxy, for messages and metrics.
    pub name: String,
    /// `host:port` to listen on; port 0 for any.
    pub listen: String,
    /// `host:port` of the upstream.
    pub upstream: String,
    /// Seed of everything random in it, together with its name.
    pub seed: u64,
}

#[derive(Debug)]
struct Shared {
    name: String,
    upstream: String,
    toxics: watch::Sender<Arc<[Toxic]>>,
    /// The address on which it listens, or would listen.
    listen: watch::Receiver<String>,
    is_enabled: watch::Receiver<bool>,
    traffic: [Arc<Traffic>; 2],
    findings: Arc<Findings>,
    connections: Arc<AtomicU64>,
}

/// Controls a proxy. Clones control the same one.
#[derive(Debug, Clone)]
pub struct ProxyHandle {
    shared: Arc<Shared>,
    orders: mpsc::Sender<(ProxyCommand, oneshot::Sender<Result<Changed, ProxyError>>)>,
}

impl ProxyHandle {
    /// Name of the proxy.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// `host:port` on which it listens, or will listen again.
    #[must_use]
    pub fn listen(&self) -> String {
        self.shared.listen.borrow().clone()
    }

    /// `host:port` of the upstream.
    #[must_use]
    pub fn upstream(&self) -> &str {
        &self.shared.upstream
    }

    /// Whether it listens.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        *self.shared.is_enabled.borrow()
    }

    /// Bytes from clients to the upstream, and from the upstream to clients.
    #[must_use]
    pub fn traffic(&self) -> &[Arc<Traffic>; 2] {
        &self.shared.traffic
    }

    /// Number of open connections.
    #[must_use]
    pub fn connections(&self) -> u64 {
        // Relaxed: the number is only displayed.
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Whether its task still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.orders.is_closed()
    }

    /// Its toxics, in the order in which they were added.
    #[must_use]
    pub fn toxics(&self) -> Arc<[Toxic]> {
        Arc::clone(&self.shared.toxics.borrow())
    }

    /// What its event toxics came to, each since it was added.
    #[must_use]
    pub fn findings(&self) -> &Findings {
        &self.shared.findings
    }

    /// Changes its toxics. The change applies to existing connections too. What a removed toxic came to is forgotten.
    pub fn set_toxics(&self, change: impl FnOnce(&mut Vec<Toxic>)) {
        self.shared.toxics.send_modify(|toxics| {
            let mut changed = toxics.to_vec();
            change(&mut changed);
            let is_in = |name: &str, all: &[Toxic]| all.iter().any(|toxic| toxic.name == name);
            let names = toxics.iter().chain(&changed).map(|toxic| &toxic.name);
            let moved = names.filter(|name| is_in(name, toxics) != is_in(name, &changed));
            moved.for_each(|name| self.shared.findings.forget(name));
            *toxics = changed.into();
        });
    }

    /// Starts listening.
    ///
    /// # Errors
    /// The port cannot be bound.
    pub async fn enable(&self) -> Result<Changed, ProxyError> {
        self.send(ProxyCommand::Enable).await
    }

    /// Stops listening and closes every connection. Returns when that is done.
    ///
    /// # Errors
    /// The task has ended.
    pub async fn disable(&self) -> Result<Changed, ProxyError> {
        self.send(ProxyCommand::Disable).await
    }

    async fn send(&self, order: ProxyCommand) -> Result<Changed, ProxyError> {
        let (reply, answer) = oneshot::channel();
        let gone = || ProxyError::Gone { name: self.shared.name.clone() };
        self.orders.send((order, reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// The owner of a proxy's port and connections.
#[derive(Debug)]
pub struct ProxyTask {
    name: String,
    upstream: String,
    seeds: Seeds,
    toxics: watch::Receiver<Arc<[Toxic]>>,
    listen: watch::Sender<String>,
    is_enabled: watch::Sender<bool>,
    traffic: [Arc<Traffic>; 2],
    findings: Arc<Findings>,
    orders: mpsc::Receiver<(ProxyCommand, oneshot::Sender<Result<Changed, ProxyError>>)>,
    listener: Option<TcpListener>,
    links: JoinSet<()>,
    /// Ends all connections.
    stop: CancellationToken,
    connections: Arc<AtomicU64>,
    accepted: u64,
}

impl ProxyTask {
    /// Makes a proxy that does not listen yet, and its handle.
    #[must_use]
    pub fn new(spec: ProxySpec) -> (ProxyHandle, Self) {
        let (orders, received) = mpsc::channel(ORDERS_WAITING);
        let (toxics, seen_toxics) = watch::channel(Arc::from([]));
        let (listen, seen_listen) = watch::channel(spec.listen);
        let (is_enabled, seen_enabled) = watch::channel(false);
        let traffic: [Arc<Traffic>; 2] = Default::default();
        let findings: Arc<Findings> = Arc::default();
        let connections = Arc::new(AtomicU64::new(0));
        let shared = Shared {
            name: spec.name.clone(),
            upstream: spec.upstream.clone(),
            toxics,
            listen: seen_listen,
            is_enabled: seen_enabled,
            traffic: traffic.clone(),
            findings: Arc::clone(&findings),
            connections: Arc::clone(&connections),
        };
        let task = Self {
            seeds: Seeds::new(Seeds::new(spec.seed).of("proxy", &spec.name)),
            name: spec.name,
            upstream: spec.upstream,
            toxics: seen_toxics,
            listen,
            is_enabled,
            traffic,
            findings,
            orders: received,
            listener: None,
            links: JoinSet::new(),
            stop: CancellationToken::new(),
            connections,
            accepted: 0,
        };
        (ProxyHandle { shared: Arc::new(shared), orders }, task)
    }

    /// Handles commands and connections until every handle is gone.
    pub async fn run(mut self) {
        loop {
            let has_room = self.links.len() < CONNECTIONS_MAX;
            tokio::select! {
                order = self.orders.recv() => {
                    let Some((order, reply)) = order else { return };
                    let done = self.carry_out(order).await;
                    // The sender of the command may be gone; it is carried out all the same.
                    let _nobody_waits = reply.send(done);
                }
                accepted = accept(self.listener.as_ref()), if has_room => match accepted {
                    Ok(client) => self.connect(client),
                    Err(error) => {
                        tracing::warn!(proxy = self.name, %error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                    }
                },
                Some(ended) = self.links.join_next() => self.note_end(ended),
            }
        }
    }

    async fn carry_out(&mut self, order: ProxyCommand) -> Result<Changed, ProxyError> {
        match (order, self.listener.is_some()) {
            (ProxyCommand::Enable, true) | (ProxyCommand::Disable, false) => Ok(Changed::Already),
            (ProxyCommand::Enable, false) => self.enable().await.map(|()| Changed::Yes),
            (ProxyCommand::Disable, true) => {
                self.disable().await;
                Ok(Changed::Yes)
            }
        }
    }

    async fn enable(&mut self) -> Result<(), ProxyError> {
        let listen = self.listen.borrow().clone();
        let failed = |source| ProxyError::Listen { name: self.name.clone(), listen: listen.clone(), source };
        let listener = bound(&listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        self.listener = Some(listener);
        self.listen.send_replace(address.to_string());
        self.is_enabled.send_replace(true);
        Ok(())
    }

    async fn disable(&mut self) {
        self.listener = None;
        self.is_enabled.send_replace(false);
        std::mem::take(&mut self.stop).cancel();
        while let Some(ended) = self.links.join_next().await {
            self.note_end(ended);
        }
    }

    fn note_end(&self, ended: Result<(), tokio::task::JoinError>) {
        self.connections.store(self.links.len() as u64, Ordering::Relaxed);
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }

    fn connect(&mut self, client: TcpStream) {
        let seed = self.seeds.of("connection", &self.accepted.to_string());
        self.accepted += 1;
        let link = Connection {
            proxy: self.name.clone(),
            upstream: self.upstream.clone(),
            pipelines: Lanes::new(seed, self.toxics.clone(), &self.findings),
            traffic: self.traffic.clone(),
            stop: self.stop.clone(),
        };
        self.links.spawn(link.run(client));
        self.connections.store(self.links.len() as u64, Ordering::Relaxed);
    }
}

/// A child that is being started has a copy of every socket until it runs its own program, also of a listener that was
/// closed a moment ago; so an address in use is tried again for a while.
async fn bound(address: &str) -> std::io::Result<TcpListener> {
    let began = tokio::time::Instant::now();
    let listener = loop {
        match TcpListener::bind(address).await {
            Err(error)
                if error.kind() == std::io::ErrorKind::AddrInUse && began.elapsed() < IN_USE_PATIENCE =>
            {
                tokio::time::sleep(IN_USE_STEP).await;
            }
            bound => break bound?,
        }
    };
    // A second `listen` changes the length of the queue and nothing else.
    SockRef::from(&listener).listen(BACKLOG)?;
    Ok(listener)
}

async fn accept(listener: Option<&TcpListener>) -> std::io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(client, _): (TcpStream, SocketAddr)| client),
        None => std::future::pending().await,
    }
}

/// One accepted connection.
struct Connection {
    proxy: String,
    upstream: String,
    pipelines: Lanes,
    traffic: [Arc<Traffic>; 2],
    stop: CancellationToken,
}

impl Connection {
    async fn run(mut self, client: TcpStream) {
        let stop = self.stop.clone();
        if stop.run_until_cancelled(self.pipelines.passable()).await.is_none() {
            return;
        }
        let dial = tokio::time::timeout(DIAL_TIMEOUT, TcpStream::connect(&self.upstream));
        let server = match stop.run_until_cancelled(dial).await {
            Some(Ok(Ok(server))) => server,
            Some(Ok(Err(error))) => return self.give_up(&client, &error.to_string()),
            Some(Err(_)) => return self.give_up(&client, "it does not answer"),
            None => return,
        };
        // Slices must leave as they are, so the kernel must not join them.
        for stream in [&client, &server] {
            let _unknown_to_the_kernel = stream.set_nodelay(true);
        }
        let (outcome, client, server) =
            Link::new(self.pipelines, client, server, self.traffic).carry(&stop).await;
        if outcome == Outcome::Reset {
            reset_on_close(&client);
            reset_on_close(&server);
        }
    }

    /// Closes the connection as a refused one: the client sees what it would see without the proxy.
    fn give_up(&self, client: &TcpStream, why: &str) {
        tracing::debug!(proxy = self.proxy, upstream = self.upstream, why, "cannot connect");
        reset_on_close(client);
    }
}

/// Makes the socket send RST instead of FIN when it is closed.
fn reset_on_close(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "a connection is closed and not reset");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::bench::scenario::{Stream, ToxicKind};

    /// Time limit of a step in these tests.
    const PATIENCE: Duration = Duration::from_secs(60);

    struct Stand {
        server: TcpListener,
        proxy: ProxyHandle,
        tasks: JoinSet<()>,
    }

    impl Stand {
        async fn new() -> Self {
            let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let upstream = server.local_addr().unwrap().to_string();
            let spec = ProxySpec { name: "p".into(), listen: "127.71.0.2:0".into(), upstream, seed: 1 };
            let (proxy, task) = ProxyTask::new(spec);
            let mut tasks = JoinSet::new();
            tasks.spawn(task.run());
            assert_eq!(proxy.enable().await.unwrap(), Changed::Yes);
            Self { server, proxy, tasks }
        }

        /// Both ends of a connection through the proxy that has carried bytes.
        async fn pair(&self) -> (TcpStream, TcpStream) {
            let mut client = TcpStream::connect(self.proxy.listen()).await.unwrap();
            let (mut server, _) = self.server.accept().await.unwrap();
            client.write_all(b"?").await.unwrap();
            assert_eq!(server.read_u8().await.unwrap(), b'?');
            (client, server)
        }

        fn add(&self, kind: ToxicKind) {
            let toxic = Toxic { name: "t".into(), kind, stream: Stream::Both, toxicity: 1.0 };
            self.proxy.set_toxics(|toxics| toxics.push(toxic));
        }
    }

    /// How a connection ends, as its peer sees it.
    async fn end_of(stream: &mut TcpStream) -> std::io::Result<usize> {
        tokio::time::timeout(PATIENCE, stream.read(&mut [0; 64])).await.expect("it ends")
    }

    #[tokio::test]
    async fn a_silent_connection_is_reset_on_both_sides() {
        let stand = Stand::new().await;
        let (mut client, mut server) = stand.pair().await;
        stand.add(ToxicKind::ResetPeer { timeout: 0 });
        for peer in [&mut client, &mut server] {
            let error = end_of(peer).await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        assert_eq!(stand.proxy.traffic()[0].bytes(), (1, 1));
    }

    #[tokio::test]
    async fn a_cut_is_a_plain_end() {
        let stand = Stand::new().await;
        let (mut client, mut server) = stand.pair().await;
        stand.add(ToxicKind::Cut { time: 1 });
        for peer in [&mut client, &mut server] {
            assert_eq!(end_of(peer).await.unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn a_proxy_that_is_down_closes_and_refuses_and_comes_back_where_it_was() {
        let stand = Stand::new().await;
        let address = stand.proxy.listen();
        let (mut client, _server) = stand.pair().await;
        assert_eq!(stand.proxy.disable().await.unwrap(), Changed::Yes);
        assert_eq!(end_of(&mut client).await.unwrap(), 0);
        assert!(!stand.proxy.is_enabled() && stand.proxy.connections() == 0);
        let refused = TcpStream::connect(&address).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        assert_eq!(stand.proxy.disable().await.unwrap(), Changed::Already);
        stand.proxy.enable().await.unwrap();
        assert_eq!(stand.proxy.listen(), address);
        stand.pair().await;
    }

    #[tokio::test]
    async fn a_stalled_proxy_does_not_even_reach_the_server() {
        let stand = Stand::new().await;
        stand.add(ToxicKind::Stall);
        let mut client = TcpStream::connect(stand.proxy.listen()).await.unwrap();
        client.write_all(b"late").await.unwrap();
        let passed_by = stand.server.accept();
        let heard = tokio::select! {
            biased;
            _ = passed_by => true,
            () = tokio::task::yield_now() => false,
        };
        assert!(!heard, "not even a connection");
        stand.proxy.set_toxics(Vec::clear);
        let (mut server, _) = stand.server.accept().await.unwrap();
        let mut heard = [0; 4];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"late");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_a_connection_that_breaks() {
        let mut stand = Stand::new().await;
        drop(std::mem::replace(&mut stand.server, TcpListener::bind("127.0.0.1:0").await.unwrap()));
        let mut client = TcpStream::connect(stand.proxy.listen()).await.unwrap();
        let error = end_of(&mut client).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }

    /// Where a connect has no place in the queue its SYN is dropped, and the connect fails at the end of its time.
    #[tokio::test]
    async fn a_burst_of_connects_waits_for_nobody_to_accept() {
        let listener = bound("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connects: Vec<std::net::TcpStream> =
            (0..256).map(|_| std::net::TcpStream::connect_timeout(&address, PATIENCE).unwrap()).collect();
        assert_eq!(connects.len(), 256);
    }

    #[tokio::test]
    async fn a_listener_whose_copy_a_child_still_has_comes_back() {
        let first = bound("127.71.0.4:0").await.unwrap();
        let address = first.local_addr().unwrap().to_string();
        let first = first.into_std().unwrap();
        let copy = first.try_clone().unwrap();
        drop(first);
        // The second future is polled when the first has failed once.
        let (again, ()) = tokio::join!(bound(&address), async { drop(copy) });
        again.unwrap();
    }

    #[tokio::test]
    async fn what_a_dropped_proxy_held_is_gone_with_it() {
        let mut stand = Stand::new().await;
        let address = stand.proxy.listen();
        let (mut client, _server) = stand.pair().await;
        stand.tasks.shutdown().await;
        assert!(end_of(&mut client).await.is_ok_and(|bytes| bytes == 0));
        assert!(TcpStream::connect(&address).await.is_err());
        assert!(matches!(stand.proxy.enable().await, Err(ProxyError::Gone { .. })));
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_told() {
        let stand = Stand::new().await;
        let listen = stand.server.local_addr().unwrap().to_string();
        let spec = ProxySpec { name: "q".into(), listen: listen.clone(), upstream: listen.clone(), seed: 1 };
        let (proxy, task) = ProxyTask::new(spec);
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run());
        let error = proxy.enable().await.unwrap_err();
        assert!(error.to_string().contains(&listen), "{error}");
    }
}
