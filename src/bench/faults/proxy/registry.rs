//! All proxies by name, with toxiproxy's operations: create, change, populate from a list, reset. Owns their tasks. Read
//! [`ProxyCollection`] first.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use super::listener::{ProxyError, ProxyHandle, ProxySpec, ProxyTask};

/// Limit of proxies in one collection.
const PROXIES_MAX: usize = 4_096;

/// The wanted state of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Name of the proxy.
    pub name: String,
    /// `host:port` to listen on; port 0 for any.
    pub listen: String,
    /// `host:port` of the upstream.
    pub upstream: String,
    /// Whether it listens.
    pub enabled: bool,
}

/// Why an operation failed. The texts are toxiproxy's where it has one.
#[derive(Debug, thiserror::Error)]
pub enum ProxyCollectionError {
    /// A proxy of this name exists.
    #[error("proxy already exists")]
    Exists,
    /// No proxy has this name.
    #[error("proxy not found")]
    NotFound,
    /// A list holds this name twice.
    #[error("duplicate proxy name {0:?}")]
    Duplicate(String),
    /// The collection is full.
    #[error("there are {PROXIES_MAX} proxies, and no more are allowed")]
    Full,
    /// The port cannot be bound.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

/// All proxies by name. Dropping this ends those that it owns.
#[derive(Debug)]
pub struct ProxyCollection {
    proxies: BTreeMap<String, ProxyHandle>,
    tasks: JoinSet<()>,
    seed: u64,
}

impl ProxyCollection {
    /// An empty collection. Everything random in its proxies comes from this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { proxies: BTreeMap::new(), tasks: JoinSet::new(), seed }
    }

    /// All proxies, by name.
    pub fn proxies(&self) -> impl Iterator<Item = &ProxyHandle> {
        self.proxies.values()
    }

    /// The proxy of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, name: &str) -> Result<&ProxyHandle, ProxyCollectionError> {
        self.proxies.get(name).ok_or(ProxyCollectionError::NotFound)
    }

    /// Creates a proxy.
    ///
    /// # Errors
    /// The name exists, or the port cannot be bound: then no proxy is created.
    pub async fn add(&mut self, wanted: &ProxyConfig) -> Result<ProxyHandle, ProxyCollectionError> {
        if self.proxies.contains_key(&wanted.name) {
            return Err(ProxyCollectionError::Exists);
        }
        if self.proxies.len() >= PROXIES_MAX {
            return Err(ProxyCollectionError::Full);
        }
        let proxy = self.start(wanted).await?;
        self.proxies.insert(wanted.name.clone(), proxy.clone());
        Ok(proxy)
    }

    /// Adds a proxy that another owner runs; it ends with its owner.
    ///
    /// # Errors
    /// The name exists.
    pub fn adopt(&mut self, proxy: ProxyHandle) -> Result<(), ProxyCollectionError> {
        let name = proxy.name().to_owned();
        if self.proxies.contains_key(&name) {
            return Err(ProxyCollectionError::Exists);
        }
        self.proxies.insert(name, proxy);
        Ok(())
    }

    async fn start(&mut self, wanted: &ProxyConfig) -> Result<ProxyHandle, ProxyCollectionError> {
        // Joins the tasks of deleted proxies.
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        let (proxy, task) = ProxyTask::new(ProxySpec {
            name: wanted.name.clone(),
            listen: wanted.listen.clone(),
            upstream: wanted.upstream.clone(),
            seed: self.seed,
        });
        self.tasks.spawn(task.run());
        if wanted.enabled {
            proxy.enable().await?;
        }
        Ok(proxy)
    }

    /// Changes a proxy. Its toxics stay. Its connections end where its address or upstream changes, or it is disabled.
    ///
    /// # Errors
    /// There is none of that name, or its port cannot be bound: then it stays disabled.
    pub async fn change(&mut self, wanted: &ProxyConfig) -> Result<ProxyHandle, ProxyCollectionError> {
        let proxy = self.get(&wanted.name)?.clone();
        let moves = proxy.listen() != wanted.listen || proxy.upstream() != wanted.upstream;
        if !moves {
            if wanted.enabled {
                proxy.enable().await?
            } else {
                proxy.disable().await?
            };
            return Ok(proxy);
        }
        proxy.disable().await?;
        let moved = self.start(&ProxyConfig { enabled: false, ..wanted.clone() }).await?;
        moved.set_toxics(|toxics| toxics.extend(proxy.toxics().iter().cloned()));
        self.proxies.insert(wanted.name.clone(), moved.clone());
        if wanted.enabled {
            moved.enable().await?;
        }
        Ok(moved)
    }

    /// Deletes a proxy.
    ///
    /// # Errors
    /// There is none of that name.
    pub async fn remove(&mut self, name: &str) -> Result<(), ProxyCollectionError> {
        let proxy = self.proxies.remove(name).ok_or(ProxyCollectionError::NotFound)?;
        proxy.disable().await?;
        Ok(())
    }

    /// Creates or changes the proxies of a list. Other proxies stay as they are.
    ///
    /// # Errors
    /// The list holds a name twice: then nothing changes. Or the first proxy that cannot listen; those before it stay.
    pub async fn populate(
        &mut self,
        list: &[ProxyConfig],
    ) -> (Vec<ProxyHandle>, Option<ProxyCollectionError>) {
        let mut names = std::collections::BTreeSet::new();
        if let Some(twice) = list.iter().find(|wanted| !names.insert(&wanted.name)) {
            return (Vec::new(), Some(ProxyCollectionError::Duplicate(twice.name.clone())));
        }
        let mut done = Vec::new();
        for wanted in list {
            let result = if self.proxies.contains_key(&wanted.name) {
                self.change(wanted).await
            } else {
                self.add(wanted).await
            };
            match result {
                Ok(proxy) => done.push(proxy),
                Err(error) => return (done, Some(error)),
            }
        }
        (done, None)
    }

    /// Enables all proxies and removes all toxics.
    ///
    /// # Errors
    /// The first proxy whose port cannot be bound.
    pub async fn reset(&mut self) -> Result<(), ProxyCollectionError> {
        for proxy in self.proxies.values() {
            proxy.enable().await?;
            proxy.set_toxics(Vec::clear);
        }
        Ok(())
    }
}
