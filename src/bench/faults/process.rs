//! Faults of processes: kill, term, restart, pause. Each command goes to all its nodes at once.

use std::time::Duration;

use crate::bench::cluster::{CommandResult, Ended, NodeCommand, NodeHandle};
use crate::bench::ids::NodeIndex;
use crate::bench::scenario::ProcessAction;
use crate::runtime::error_chain;

/// The processes of the nodes.
#[derive(Debug, Clone)]
pub struct Processes {
    /// One entry a node; `None` for a node that the bench did not start.
    pub nodes: Vec<Option<NodeHandle>>,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
}

impl Processes {
    /// Applies a fault to some nodes.
    ///
    /// # Errors
    /// Why it failed, for the report.
    pub async fn apply(&self, action: ProcessAction, nodes: &[NodeIndex]) -> Result<(), String> {
        let command = match action {
            ProcessAction::Kill => NodeCommand::Kill,
            ProcessAction::Term | ProcessAction::Restart => NodeCommand::Terminate(self.grace),
            ProcessAction::Pause => NodeCommand::Pause,
        };
        self.send(command, nodes, Expect::SomethingDone).await
    }

    /// Heals a fault of some nodes.
    ///
    /// # Errors
    /// Why it failed, for the report.
    pub async fn heal(&self, action: ProcessAction, nodes: &[NodeIndex]) -> Result<(), String> {
        let command = match action {
            ProcessAction::Kill | ProcessAction::Term | ProcessAction::Restart => NodeCommand::Start,
            ProcessAction::Pause => NodeCommand::Resume,
        };
        self.send(command, nodes, Expect::Anything).await
    }

    /// Starts spare nodes, and waits until they are ready.
    ///
    /// # Errors
    /// Why it failed, for the report.
    pub async fn start(&self, nodes: &[NodeIndex]) -> Result<(), String> {
        self.send(NodeCommand::Start, nodes, Expect::SomethingDone).await
    }

    /// Stops nodes that leave the cluster. A node that does not run is not an error.
    ///
    /// # Errors
    /// Why it failed, for the report.
    pub async fn end(&self, nodes: &[NodeIndex]) -> Result<(), String> {
        self.send(NodeCommand::Terminate(self.grace), nodes, Expect::Anything).await
    }

    async fn send(&self, command: NodeCommand, nodes: &[NodeIndex], expect: Expect) -> Result<(), String> {
        let commands = nodes.iter().map(|node| self.send_one(command, *node, expect));
        let failures: Vec<String> =
            futures_util::future::join_all(commands).await.into_iter().filter_map(Result::err).collect();
        if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
    }

    async fn send_one(&self, command: NodeCommand, node: NodeIndex, expect: Expect) -> Result<(), String> {
        let handle = match self.nodes.get(usize::from(node.0)) {
            Some(Some(handle)) => handle,
            Some(None) => {
                return Err("the bench did not start this node, so process faults cannot reach it".into());
            }
            None => return Err(format!("there is no node number {}", node.0 + 1)),
        };
        match handle.send(command).await {
            Ok(CommandResult::Already) if expect == Expect::SomethingDone => {
                let (id, start) = (handle.id(), command == NodeCommand::Start);
                Err(if start {
                    format!("{id} was running already, so there was nothing to start")
                } else {
                    format!("{id} was not running, so there was nothing to break")
                })
            }
            Ok(CommandResult::Ended(Ended::Killed)) => Err(format!(
                "{} did not end within {:?} after SIGTERM and was killed",
                handle.id(),
                self.grace
            )),
            Ok(
                CommandResult::Already
                | CommandResult::Yes
                | CommandResult::Ended(Ended::ByItself(_))
                | CommandResult::Ready(_),
            ) => Ok(()),
            Err(error) => Err(error_chain(&error)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// A fault that meets a dead node measures nothing, so that is an error.
    SomethingDone,
    /// Healing a healthy node is not an error.
    Anything,
}
