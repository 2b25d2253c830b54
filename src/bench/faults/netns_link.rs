//! Faults of hosts: a node's cable is pulled, and plugged in again.

use crate::bench::cluster::Namespaces;
use crate::bench::ids::NodeIndex;

/// The cables of a run's nodes, where these have hosts of their own.
#[derive(Debug, Default)]
pub struct NetnsLinks(Option<Namespaces>);

impl NetnsLinks {
    /// Those of these namespaces.
    #[must_use]
    pub fn new(namespaces: Option<Namespaces>) -> Self {
        Self(namespaces)
    }

    /// Pulls the cables of some nodes.
    ///
    /// # Errors
    /// Why not, for the report.
    pub async fn link_down(&self, nodes: &[NodeIndex]) -> Result<(), String> {
        let namespaces = self.0.as_ref().ok_or("the nodes have no hosts of their own")?;
        for node in nodes {
            namespaces.link_up(usize::from(node.0), false).await?;
        }
        Ok(())
    }

    /// Plugs them in, all of them whatever happens to one.
    ///
    /// # Errors
    /// Why not, for the report.
    pub async fn link_up(&self, nodes: &[NodeIndex]) -> Result<(), String> {
        let Some(namespaces) = &self.0 else { return Ok(()) };
        let mut failures = Vec::new();
        for node in nodes {
            failures.extend(namespaces.link_up(usize::from(node.0), true).await.err());
        }
        if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
    }
}
