//! The fault proxies of a run: one in each link that the scenario names. They start and stop with the servers. The faults
//! that control them are in [`super::link`]. Read [`FaultProxies`] first.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use rand::rngs::ChaCha8Rng;
use tokio::task::{Id, JoinSet};

use super::link::Links;
use super::proxy::{ProxyError, ProxySpec, ProxyTask};
use crate::bench::cluster::ports;
use crate::bench::panic;
use crate::bench::scenario::LinkKind;
use crate::runtime::panic_message;
use crate::runtime::secrets::without_secrets;

/// Number of tries with another port, when another process took the one that was free a moment ago.
const TRIES: usize = 3;

/// Proxies and the tasks that own their ports. Dropping this ends them.
#[derive(Debug)]
pub struct FaultProxies {
    seed: u64,
    host: Ipv4Addr,
    links: Links,
    tasks: JoinSet<()>,
    /// Name of the proxy of each task.
    names: HashMap<Id, String>,
}

/// Why a link has no proxy.
#[derive(Debug, thiserror::Error)]
pub enum FaultProxyError {
    /// No free port is left.
    #[error("no free port on 127.0.0.1 for the proxy {name}")]
    Port {
        name: String,
        #[source]
        source: std::io::Error,
    },
    /// The proxy did not start.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The base URL of the node is not of a form that a proxy can stand in front of.
    #[error("the fault proxy cannot connect to {place:?}; allowed are {allowed}")]
    NodeUrl { place: String, allowed: &'static str },
}

impl FaultProxies {
    /// No proxies yet. They will listen on this address. Everything random in them comes from this seed.
    #[must_use]
    pub fn new(seed: u64, host: Ipv4Addr) -> Self {
        Self { seed, host, links: Links::default(), tasks: JoinSet::new(), names: HashMap::new() }
    }

    /// The links with their proxies.
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Puts a proxy in front of a node. Returns the base URL through it.
    ///
    /// # Errors
    /// The proxy did not start, or cannot stand in front of this URL.
    pub async fn before_node(&mut self, number: usize, base: &str) -> Result<String, FaultProxyError> {
        let host = base.strip_prefix("http://").filter(|host| !host.contains('/') && host.contains(':'));
        let allowed = "http://HOST:PORT without a path";
        let host = host.ok_or_else(|| FaultProxyError::NodeUrl { place: base.to_owned(), allowed })?;
        let listen = self.add(LinkKind::ClientNode, format!("client->n{number}"), host).await?;
        Ok(format!("http://{listen}"))
    }

    /// Puts a proxy between a node and its Redis. Returns the URL through it.
    ///
    /// # Errors
    /// The proxy did not start, or cannot stand in front of this URL.
    pub async fn before_redis(&mut self, number: usize, url: &str) -> Result<String, FaultProxyError> {
        let allowed = "redis://HOST:PORT";
        let place = || FaultProxyError::NodeUrl { place: without_secrets(url), allowed };
        let parts = RedisUrl::parse(url).ok_or_else(place)?;
        let listen = self.add(LinkKind::NodeRedis, format!("n{number}->redis"), &parts.server).await?;
        Ok(format!("redis://{}{listen}{}", parts.user, parts.rest))
    }

    async fn add(&mut self, link: LinkKind, name: String, upstream: &str) -> Result<String, FaultProxyError> {
        let mut rng: ChaCha8Rng = rand::make_rng();
        let mut tries = 1;
        loop {
            let port = ports::free_address_of(self.host, &mut rng);
            let listen =
                port.map_err(|source| FaultProxyError::Port { name: name.clone(), source })?.to_string();
            let upstream = upstream.to_owned();
            let spec = ProxySpec { name: name.clone(), listen: listen.clone(), upstream, seed: self.seed };
            let (proxy, task) = ProxyTask::new(spec);
            self.spawn(&name, task.run());
            match proxy.enable().await {
                Ok(_) => {
                    self.links.add(link, proxy);
                    return Ok(listen);
                }
                Err(_) if tries < TRIES => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn spawn(&mut self, name: &str, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(async move {
            tokio::select! {
                () = task => {}
                () = panic::panic_on_file(panic::PROXY) => {}
            }
        });
        self.names.insert(task.id(), name.to_owned());
    }

    /// Proxies that panicked since the last call, each with its message. The bench itself broke the connections through them, so
    /// nobody else is to blame.
    pub fn crashes(&mut self) -> Vec<String> {
        let mut crashes = Vec::new();
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            let Err(error) = ended.map(|(id, ())| self.names.remove(&id)) else { continue };
            let name = self.names.remove(&error.id()).unwrap_or_default();
            if let Ok(payload) = error.try_into_panic() {
                crashes.push(format!(
                    "the fault proxy {name} crashed: {}",
                    panic_message(&*payload).unwrap_or_default()
                ));
            }
        }
        crashes
    }

    /// Ends all proxies.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// A `redis://` URL in the parts that a proxy replaces and those that it keeps.
#[derive(Debug, PartialEq, Eq)]
struct RedisUrl {
    /// User and password with the `@`; may be empty.
    user: String,
    /// Address as `host:port`.
    server: String,
    /// Path and query; may be empty.
    rest: String,
}

impl RedisUrl {
    fn parse(url: &str) -> Option<Self> {
        const PORT: u16 = 6_379;
        let behind = url.strip_prefix("redis://")?;
        let (authority, rest) = behind.split_at(behind.find(['/', '?']).unwrap_or(behind.len()));
        let (user, host) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        let has_port = host.rfind(':').is_some_and(|colon| !host[colon..].contains(']'));
        let server = if has_port { host.to_owned() } else { format!("{host}:{PORT}") };
        (!host.is_empty()).then(|| Self { user: user.to_owned(), server, rest: rest.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, user: &str, server: &str, rest: &str) {
        let expected = RedisUrl { user: user.into(), server: server.into(), rest: rest.into() };
        assert_eq!(RedisUrl::parse(url), Some(expected), "{url}");
    }

    #[test]
    fn only_the_address_of_a_redis_changes() {
        check("redis://h:1", "", "h:1", "");
        check("redis://h", "", "h:6379", "");
        check("redis://u:p@h:1/2?prefix=x", "u:p@", "h:1", "/2?prefix=x");
        check("redis://:p%40@[::1]/0", ":p%40@", "[::1]:6379", "/0");
        check("redis://[::1]:7", "", "[::1]:7", "");
        for url in ["rediss://h:1", "redis+sentinel://h:1/m", "redis://", "h:1"] {
            assert_eq!(RedisUrl::parse(url), None, "{url}");
        }
    }

    #[tokio::test]
    async fn a_proxy_that_crashes_is_told_by_its_name_and_one_that_was_ended_is_not() {
        let mut wiring = FaultProxies::new(1, Ipv4Addr::LOCALHOST);
        wiring.before_node(1, "http://127.0.0.1:1").await.unwrap();
        wiring.spawn("client->n2", async { panic!("no lane {}", 7) });
        wiring.spawn("client->n3", async {});
        let crashed = async {
            loop {
                let crashes = wiring.crashes();
                if !crashes.is_empty() {
                    return crashes;
                }
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(crashed.await, ["the fault proxy client->n2 crashed: no lane 7"]);
        assert_eq!(wiring.crashes(), [""; 0]);
        wiring.stop().await;
    }

    #[tokio::test]
    async fn each_link_gets_a_place_of_its_own() {
        let mut wiring = FaultProxies::new(1, Ipv4Addr::LOCALHOST);
        let first = wiring.before_node(1, "http://127.0.0.1:1").await.unwrap();
        let second = wiring.before_redis(1, "redis://:p@127.0.0.1:1/3").await.unwrap();
        assert!(first.starts_with("http://127.0.0.1:"), "{first}");
        assert!(second.starts_with("redis://:p@127.0.0.1:") && second.ends_with("/3"), "{second}");
        let error = wiring.before_node(1, "https://h:1").await.unwrap_err();
        assert!(error.to_string().contains("https://h:1"), "{error}");
        wiring.stop().await;
    }
}
