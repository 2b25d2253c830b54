//! Faults of network namespaces: the link of a node goes down, and up again.

use crate::bench::cluster::Namespaces;
use crate::bench::ids::NodeIndex;

/// The links of the nodes' network namespaces.
#[derive(Debug, Default)]
pub struct NetnsLinks(Option<Namespaces>);

impl NetnsLinks {
    /// For these namespaces; `None`: the nodes share this host's network.
    #[must_use]
    pub fn new(namespaces: Option<Namespaces>) -> Self {
        Self(namespaces)
    }

    /// Takes the links of some nodes down.
    ///
    /// # Errors
    /// Why it failed, for the report.
    pub async fn link_down(&self, nodes: &[NodeIndex]) -> Result<(), String> {
        let namespaces = self
            .0
            .as_ref()
            .ok_or("the nodes have no network namespaces; set cluster.network = \"namespaces\"")?;
        for node in nodes {
            namespaces.link_up(usize::from(node.0), false).await?;
        }
        Ok(())
    }

    /// Takes the links up again, all of them even if one fails.
    ///
    /// # Errors
    /// Why it failed, for the report.
    pub async fn link_up(&self, nodes: &[NodeIndex]) -> Result<(), String> {
        let Some(namespaces) = &self.0 else { return Ok(()) };
        let mut failures = Vec::new();
        for node in nodes {
            failures.extend(namespaces.link_up(usize::from(node.0), true).await.err());
        }
        if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
    }
}
