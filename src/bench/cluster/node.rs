//! One child node and the task that owns its process. Faults send the task a command through a [`NodeHandle`]: commands
//! to one node run one after the other, those to different nodes at the same time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::ports;
use super::process::{Ended, Launch, Process, ProcessError};
use super::ready::{NotReady, Readiness};

/// Commands that may wait for a node. Faults of one plan meet a node now and then, never in bursts.
const ORDERS_WAITING: usize = 64;

/// Pause before another start of a node whose port another process has.
const PORT_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// A command to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeCommand {
    /// Start it with its port and data, and wait until it is ready. While another process has the port, try again: those who
    /// know the node know its address.
    Start,
    /// The same, but fail at once where another process has the port: nobody knows the node yet, so it may get another one.
    StartFirst,
    /// Send SIGKILL, and wait until the process is gone.
    Kill,
    /// Send SIGTERM, and SIGKILL after this grace.
    Terminate(Duration),
    /// Send SIGSTOP: pause it.
    Pause,
    /// Send SIGCONT: resume it.
    Resume,
}

/// What became of a command to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandResult {
    /// It was carried out.
    Yes,
    /// Nothing to do: the node was in that state already.
    Already,
    /// It ended after SIGTERM.
    Ended(Ended),
    /// It started, and was ready after this time.
    Ready(Duration),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The process could not be started, signalled or awaited.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It started, and did not become ready.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// The task that owns the node has ended.
    #[error("the task of node {id} has ended")]
    Gone { id: String },
}

/// A command, and where its result goes.
type Given = (NodeCommand, oneshot::Sender<Result<CommandResult, NodeError>>);

/// Sends commands to a node. Clones address the same node.
#[derive(Debug, Clone)]
pub struct NodeHandle {
    id: Arc<str>,
    orders: mpsc::Sender<Given>,
    pid: Arc<AtomicU32>,
    crashes: Arc<Mutex<Vec<String>>>,
}

impl NodeHandle {
    /// A handle to a node that a test plays.
    #[cfg(test)]
    pub(crate) fn to_a_test(id: &str) -> (Self, mpsc::Receiver<Given>) {
        let (orders, received) = mpsc::channel(ORDERS_WAITING);
        (Self { id: Arc::from(id), orders, pid: Arc::default(), crashes: Arc::default() }, received)
    }

    /// Id of the node: `n1`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        // Relaxed: a number for the sampler.
        Some(self.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// Each unexpected end of the node, with the end of its log.
    #[must_use]
    pub fn crashes(&self) -> Vec<String> {
        // Poison means that a holder panicked; the list behind the lock is whole all the same.
        self.crashes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Carries out a command; returns when it is done. Every command has a deadline of its own.
    ///
    /// # Errors
    /// The process could not be started, signalled or awaited, or the task has ended.
    pub async fn send(&self, command: NodeCommand) -> Result<CommandResult, NodeError> {
        let (reply, answer) = oneshot::channel();
        let gone = || NodeError::Gone { id: self.id.to_string() };
        self.orders.send((command, reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// The owner of one node's process.
#[derive(Debug)]
pub struct NodeTask {
    launch: Launch,
    readiness: Readiness,
    process: Option<Process>,
    pid: Arc<AtomicU32>,
    crashes: Arc<Mutex<Vec<String>>>,
    orders: mpsc::Receiver<Given>,
}

impl NodeTask {
    /// Makes a node that is not started yet, and its handle.
    #[must_use]
    pub fn new(id: &str, launch: Launch, readiness: Readiness) -> (NodeHandle, Self) {
        let (sender, orders) = mpsc::channel(ORDERS_WAITING);
        let pid = Arc::new(AtomicU32::new(0));
        let crashes = Arc::default();
        let handle = NodeHandle {
            id: Arc::from(id),
            orders: sender,
            pid: Arc::clone(&pid),
            crashes: Arc::clone(&crashes),
        };
        (handle, Self { launch, readiness, process: None, pid, crashes, orders })
    }

    /// Handles commands until every handle is gone. The process is killed when this ends or is dropped.
    pub async fn run(mut self) {
        loop {
            let given = tokio::select! {
                given = self.orders.recv() => given,
                status = end_of(&mut self.process) => {
                    self.note_crash(&status);
                    continue;
                }
            };
            let Some((command, reply)) = given else { return };
            let result = self.carry_out(command).await;
            // The sender of the command may be gone; it is carried out all the same.
            let _nobody_waits = reply.send(result);
        }
    }

    fn note_crash(&mut self, status: &str) {
        self.take();
        let crash = format!(
            "{} ended by itself ({status}); it said:\n{}",
            self.launch.what,
            self.launch.last_words()
        );
        tracing::error!("{crash}");
        self.crashes.lock().unwrap_or_else(PoisonError::into_inner).push(crash);
    }

    async fn carry_out(&mut self, command: NodeCommand) -> Result<CommandResult, NodeError> {
        // The process may have ended a moment before the command arrived. It ended by itself all the same.
        if let Some(process) = &mut self.process
            && let Some(status) = process.exited()?
        {
            self.note_crash(&status.to_string());
        }
        match command {
            NodeCommand::Start => self.start_when_port_is_free().await,
            NodeCommand::StartFirst => self.start().await,
            NodeCommand::Kill => match self.take() {
                Some(mut process) => process.kill().await.map(|()| CommandResult::Yes).map_err(Into::into),
                None => Ok(CommandResult::Already),
            },
            NodeCommand::Terminate(grace) => match self.take() {
                Some(mut process) => Ok(CommandResult::Ended(process.terminate(grace).await?)),
                None => Ok(CommandResult::Already),
            },
            NodeCommand::Pause => match &mut self.process {
                Some(process) => process.pause().map(|()| CommandResult::Yes).map_err(Into::into),
                None => Ok(CommandResult::Already),
            },
            NodeCommand::Resume => match &mut self.process {
                Some(process) => process.resume().map(|()| CommandResult::Yes).map_err(Into::into),
                None => Ok(CommandResult::Already),
            },
        }
    }

    fn take(&mut self) -> Option<Process> {
        self.pid.store(0, Ordering::Relaxed);
        self.process.take()
    }

    /// Tries again for as long as a node may take to become ready.
    async fn start_when_port_is_free(&mut self) -> Result<CommandResult, NodeError> {
        let began = Instant::now();
        loop {
            match self.start().await {
                Err(NodeError::NotReady(NotReady::Ended { last_words, .. }))
                    if last_words.contains(ports::TAKEN) && began.elapsed() < self.readiness.timeout =>
                {
                    tracing::warn!(
                        "another process has the port of {}; it is started again",
                        self.launch.what
                    );
                    tokio::time::sleep(PORT_AGAIN_AFTER).await;
                }
                Ok(CommandResult::Ready(_)) => return Ok(CommandResult::Ready(began.elapsed())),
                other => return other,
            }
        }
    }

    async fn start(&mut self) -> Result<CommandResult, NodeError> {
        if self.process.is_some() {
            return Ok(CommandResult::Already);
        }
        let process = self.process.insert(self.launch.start()?);
        self.pid.store(process.pid(), Ordering::Relaxed);
        match self.readiness.wait(Some((&self.launch, process))).await {
            Ok(took) => Ok(CommandResult::Ready(took)),
            Err(not_ready) => {
                // Taken, so that a failed start is not also reported as a crash. If the process hangs, dropping it kills it.
                self.take();
                Err(not_ready.into())
            }
        }
    }
}

/// Waits for the unexpected end of a process; for ever, where there is none.
async fn end_of(process: &mut Option<Process>) -> String {
    match process {
        Some(process) => match process.ended().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        },
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::super::ready::{Probe, Sign};
    use super::*;

    #[tokio::test]
    async fn a_process_that_ends_a_moment_before_it_is_stopped_ended_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let launch = Launch {
            what: "node n1".to_owned(),
            program: "/bin/sh".into(),
            args: vec!["-c".to_owned(), "exit 3".to_owned()],
            log: dir.path().join("n1"),
        };
        let http = crate::client::HttpOptions::default().build().unwrap();
        let probe = Probe::Http { http, base: String::new(), sign: Sign::usual() };
        let readiness = Readiness { what: launch.what.clone(), probe, timeout: Duration::ZERO };
        let (handle, mut task) = NodeTask::new("n1", launch, readiness);
        let mut process = task.launch.start().unwrap();
        process.ended().await.unwrap();
        task.process = Some(process);
        let stopped = task.carry_out(NodeCommand::Terminate(Duration::from_secs(20))).await.unwrap();
        assert_eq!(stopped, CommandResult::Already);
        let crashes = handle.crashes();
        assert_eq!(crashes.len(), 1);
        assert!(crashes[0].contains("node n1 ended by itself (exit status: 3)"), "{crashes:?}");
    }
}
