//! Proxies by name, as toxiproxy keeps them: made, changed, populated from a list, reset. Owns their tasks. Read
//! [`ProxyCollection`] first.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use super::listener::{ProxyError, ProxyHandle, ProxySpec, ProxyTask};

/// Proxies of one fleet.
const PROXIES_MAX: usize = 4_096;

/// What somebody wants a proxy to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Its name.
    pub name: String,
    /// `host:port` to listen on; port 0 for any.
    pub listen: String,
    /// `host:port` of the server behind it.
    pub upstream: String,
    /// Whether it listens.
    pub enabled: bool,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum ProxyCollectionError {
    /// A second one of a name.
    #[error("proxy already exists")]
    Exists,
    /// None of that name.
    #[error("proxy not found")]
    NotFound,
    /// Two of one name in a list.
    #[error("duplicate proxy name {0:?}")]
    Duplicate(String),
    /// Too many.
    #[error("there are {PROXIES_MAX} proxies already")]
    Full,
    /// Its port.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

/// Proxies by name. Dropping it ends them.
#[derive(Debug)]
pub struct ProxyCollection {
    proxies: BTreeMap<String, ProxyHandle>,
    tasks: JoinSet<()>,
    seed: u64,
}

impl ProxyCollection {
    /// None yet. Everything random in them will come from this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { proxies: BTreeMap::new(), tasks: JoinSet::new(), seed }
    }

    /// All of them, by name.
    pub fn proxies(&self) -> impl Iterator<Item = &ProxyHandle> {
        self.proxies.values()
    }

    /// The one of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, name: &str) -> Result<&ProxyHandle, ProxyCollectionError> {
        self.proxies.get(name).ok_or(ProxyCollectionError::NotFound)
    }

    /// A new one.
    ///
    /// # Errors
    /// There is one of that name, or its port cannot be had: then there is none.
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

    /// One that somebody else runs; it ends with them.
    ///
    /// # Errors
    /// There is one of that name.
    pub fn adopt(&mut self, proxy: ProxyHandle) -> Result<(), ProxyCollectionError> {
        let name = proxy.name().to_owned();
        if self.proxies.contains_key(&name) {
            return Err(ProxyCollectionError::Exists);
        }
        self.proxies.insert(name, proxy);
        Ok(())
    }

    async fn start(&mut self, wanted: &ProxyConfig) -> Result<ProxyHandle, ProxyCollectionError> {
        // Those that ended because nobody holds them any more.
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

    /// Makes one what is wanted. Its toxics stay; its connections do not where it moves or is disabled.
    ///
    /// # Errors
    /// There is none of that name, or its port cannot be had: then it is disabled.
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

    /// Ends one.
    ///
    /// # Errors
    /// There is none of that name.
    pub async fn remove(&mut self, name: &str) -> Result<(), ProxyCollectionError> {
        let proxy = self.proxies.remove(name).ok_or(ProxyCollectionError::NotFound)?;
        proxy.disable().await?;
        Ok(())
    }

    /// Makes those of a list: new ones are added, others changed if they differ. The rest stays as it is.
    ///
    /// # Errors
    /// Two of one name: then nothing was done. Or the first that could not be had, with those before it.
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

    /// Enables all of them and takes all toxics away.
    ///
    /// # Errors
    /// The first whose port cannot be had.
    pub async fn reset(&mut self) -> Result<(), ProxyCollectionError> {
        for proxy in self.proxies.values() {
            proxy.enable().await?;
            proxy.set_toxics(Vec::clear);
        }
        Ok(())
    }
}
