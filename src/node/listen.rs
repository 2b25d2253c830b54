//! The addresses that a node listens on: their sockets, and what answers there. Read [`Bound::bind`] first.

use std::net::SocketAddr;
use std::sync::Arc;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

use super::config::Config;
use super::http::guard::Door;
use super::http::listener::{Entry, Listener, ListenerLimits};
use super::http::{AppState, router};
use super::limits::{Limits, SPARE_FILES};
use super::metrics::Metrics;
use super::sockets::{SocketLimits, Sockets};
use crate::runtime::{Tasks, rlimit};

/// An address is in use, or not one of this machine.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    cause: std::io::Error,
}

/// The bound sockets of a node.
pub(super) struct Bound {
    socket: TcpListener,
    /// Where `socket` listens.
    pub(super) address: SocketAddr,
    operators: Option<TcpListener>,
}

impl Bound {
    /// Binds the addresses of a configuration.
    ///
    /// # Errors
    /// [`ListenError`] names the address.
    pub(super) fn bind(config: &Config) -> Result<Self, ListenError> {
        let bind = |address| bind(address, config.send_buffer, &config.limits);
        let socket = bind(config.listen)?;
        let address = socket.local_addr().map_err(|cause| ListenError { address: config.listen, cause })?;
        Ok(Self { socket, address, operators: config.operator_listen.map(bind).transpose()? })
    }

    /// Says in the log where the node listens.
    pub(super) fn log(&self, config: &Config) {
        let files = rlimit::open_files();
        let (wanted, sockets) = (config.limits.sockets(config.max_connections), sockets(config));
        if sockets < wanted {
            tracing::warn!(
                files,
                "--max-connections {} needs {wanted} sockets; the limit of open files leaves {sockets}, the rest is kept for the log and other nodes; raise it (ulimit -n, LimitNOFILE) or lower --max-connections",
                config.max_connections
            );
        }
        tracing::info!(
            node = %config.id,
            broker = %config.broker,
            durability = ?config.durability,
            max_connections = config.max_connections,
            open_files = files,
            "listening on {}",
            base_url(config, self.address)
        );
        if let Some(Ok(address)) = self.operators.as_ref().map(TcpListener::local_addr) {
            tracing::info!("the paths of operators are on {}", base_url(config, address));
        }
    }

    /// Starts to answer.
    pub(super) fn serve(self, app: &Arc<AppState>, metrics: &Arc<Metrics>, config: &Config, tasks: &Tasks) {
        let sockets = SocketLimits {
            open: sockets(config),
            per_address: config.max_sockets_per_address,
            trusted: config.trusted_proxy.clone(),
        };
        let sockets = Sockets::new(sockets, Arc::clone(metrics));
        let limits = ListenerLimits {
            head_bytes: config.max_head,
            head_timeout: config.limits.head_timeout,
            body_timeout: config.limits.body_timeout,
            answer_timeout: config.limits.answer_timeout,
            end: config.drain_close,
        };
        let door = Arc::new(Door::new(config, Arc::clone(metrics)));
        let router = router(Arc::clone(app), &config.cors_origins);
        if let Some(tls) = &config.tls {
            tasks.spawn("certificate", tls.clone().keep_current(tasks.token().clone()));
        }
        let listen = |socket, is_public| {
            let entry = Entry { tls: config.tls.clone(), is_public };
            let web = (router.clone(), Arc::clone(&door));
            let listener = Listener::new(socket, web, (limits, sockets.clone()), entry);
            tasks.spawn("listener", listener.run(tasks.clone()));
        };
        listen(self.socket, self.operators.is_some());
        if let Some(operators) = self.operators {
            listen(operators, false);
        }
    }
}

fn bind(address: SocketAddr, send_buffer: usize, limits: &Limits) -> Result<TcpListener, ListenError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A restarted node must not wait for sockets of its predecessor.
        socket.set_reuseaddr(true)?;
        // Each accepted socket inherits these.
        let options = SockRef::from(&socket);
        options.set_tcp_nodelay(true)?;
        options.set_tcp_user_timeout(Some(limits.peer_timeout))?;
        options.set_send_buffer_size(send_buffer)?;
        options.set_tcp_notsent_lowat(limits.unsent_bytes)?;
        socket.bind(address)?;
        // Reconnects may arrive faster than they are accepted; the system caps this at net.core.somaxconn.
        socket.listen(4096)
    };
    listen().map_err(|cause| ListenError { address, cause })
}

/// Where the node is reached on this machine.
pub(super) fn base_url(config: &Config, address: SocketAddr) -> String {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{address}")
}

/// Sockets that may be open at once: a log that cannot open a file fails, so sockets leave it some.
fn sockets(config: &Config) -> usize {
    let files = rlimit::open_files();
    let left = files - SPARE_FILES.min(files / 2);
    config.limits.sockets(config.max_connections).min(usize::try_from(left).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_accepted_socket_has_the_options_of_the_one_that_listens() {
        let limits = Limits::default();
        let listener = bind("127.0.0.1:0".parse().unwrap(), 20_000, &limits).unwrap();
        let address = listener.local_addr().unwrap();
        let (_client, accepted) =
            tokio::join!(tokio::net::TcpStream::connect(address), async { listener.accept().await });
        let (socket, _) = accepted.unwrap();
        let options = SockRef::from(&socket);
        // The system doubles it.
        assert_eq!(options.send_buffer_size().unwrap(), 40_000);
        assert_eq!(options.tcp_notsent_lowat().unwrap(), limits.unsent_bytes);
        assert_eq!(options.tcp_user_timeout().unwrap(), Some(limits.peer_timeout));
        assert!(options.tcp_nodelay().unwrap());
    }
}
