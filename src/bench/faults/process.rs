//! Faults of processes: kill, term, restart, pause. Each order goes to all its nodes at once.

use std::time::Duration;

use crate::bench::cluster::{Done, Ended, NodeHandle, Order};
use crate::bench::ids::NodeIndex;
use crate::bench::scenario::ProcessAction;
use crate::runtime::error_chain;

/// The processes that faults reach, by node.
#[derive(Debug, Clone)]
pub struct Processes {
    /// `None` for a node that the bench did not start.
    pub nodes: Vec<Option<NodeHandle>>,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
}

impl Processes {
    /// Breaks the nodes.
    ///
    /// # Errors
    /// Why not, for the report.
    pub async fn apply(&self, action: ProcessAction, nodes: &[NodeIndex]) -> Result<(), String> {
        let order = match action {
            ProcessAction::Kill => Order::Kill,
            ProcessAction::Term | ProcessAction::Restart => Order::Terminate(self.grace),
            ProcessAction::Pause => Order::Pause,
        };
        self.order(order, nodes, Expect::SomethingDone).await
    }

    /// Mends the nodes.
    ///
    /// # Errors
    /// Why not, for the report.
    pub async fn heal(&self, action: ProcessAction, nodes: &[NodeIndex]) -> Result<(), String> {
        let order = match action {
            ProcessAction::Kill | ProcessAction::Term | ProcessAction::Restart => Order::Start,
            ProcessAction::Pause => Order::Resume,
        };
        self.order(order, nodes, Expect::Anything).await
    }

    /// Starts nodes that are to come into the cluster, and waits until they are ready.
    ///
    /// # Errors
    /// Why not, for the report.
    pub async fn start(&self, nodes: &[NodeIndex]) -> Result<(), String> {
        self.order(Order::Start, nodes, Expect::SomethingDone).await
    }

    /// Ends nodes that are to leave the cluster, if they are there.
    ///
    /// # Errors
    /// Why not, for the report.
    pub async fn end(&self, nodes: &[NodeIndex]) -> Result<(), String> {
        self.order(Order::Terminate(self.grace), nodes, Expect::Anything).await
    }

    async fn order(&self, order: Order, nodes: &[NodeIndex], expect: Expect) -> Result<(), String> {
        let commands = nodes.iter().map(|node| self.order_one(order, *node, expect));
        let failures: Vec<String> =
            futures_util::future::join_all(commands).await.into_iter().filter_map(Result::err).collect();
        if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
    }

    async fn order_one(&self, order: Order, node: NodeIndex, expect: Expect) -> Result<(), String> {
        let handle = match self.nodes.get(usize::from(node.0)) {
            Some(Some(handle)) => handle,
            Some(None) => {
                return Err("the bench did not start this node, so it cannot break its process".into());
            }
            None => return Err(format!("there is no node number {}", node.0 + 1)),
        };
        match handle.order(order).await {
            Ok(Done::Already) if expect == Expect::SomethingDone => {
                let (id, start) = (handle.id(), order == Order::Start);
                Err(if start {
                    format!("{id} was running already, so there was nothing to start")
                } else {
                    format!("{id} was not running, so there was nothing to break")
                })
            }
            Ok(Done::Ended(Ended::Killed)) => Err(format!(
                "{} did not end within {:?} after SIGTERM and was killed",
                handle.id(),
                self.grace
            )),
            Ok(Done::Already | Done::Yes | Done::Ended(Ended::ByItself(_)) | Done::Ready(_)) => Ok(()),
            Err(error) => Err(error_chain(&error)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// A fault that meets a dead node measures nothing.
    SomethingDone,
    /// Mending what is whole is fine.
    Anything,
}
