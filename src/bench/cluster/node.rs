//! One child node and the task that owns its process. Whoever breaks or mends a node sends the task an [`Order`]
//! through a [`NodeHandle`]: orders to one node run one after the other, those to different nodes side by side.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::process::{Ended, Launch, Process, ProcessError};
use super::ready::{NotReady, Readiness};

/// Orders that may wait for a node. Faults of one plan address a node now and then, never in bursts.
const ORDERS_WAITING: usize = 64;

/// What can be done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Start it with the same port and data, and wait until it is ready.
    Start,
    /// SIGKILL.
    Kill,
    /// SIGTERM, and SIGKILL after this grace.
    Terminate(Duration),
    /// SIGSTOP.
    Pause,
    /// SIGCONT.
    Resume,
}

/// What an order led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// The order was carried out.
    Yes,
    /// Nothing was to do: it ran, stood or was gone already.
    Already,
    /// It ended after SIGTERM.
    Ended(Ended),
    /// It was started, and was ready after this time.
    Ready(Duration),
}

/// Why an order failed.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It started, and did not become ready.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// The task that owns the node has ended.
    #[error("node {id} is no longer there to take orders")]
    Gone { id: String },
}

/// An order, and where its result goes.
type Given = (Order, oneshot::Sender<Result<Done, NodeError>>);

/// Sends orders to a node. Clones address the same node.
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

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        // Relaxed: a number for the sampler, nothing is ordered by it.
        Some(self.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// Each time that the node ended without being told to, and its last words.
    #[must_use]
    pub fn crashes(&self) -> Vec<String> {
        // Poison means that a holder panicked; the list behind the lock is whole all the same.
        self.crashes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Carries out an order; returns when it is done. Every order has a deadline of its own.
    ///
    /// # Errors
    /// What went wrong with the process.
    pub async fn order(&self, order: Order) -> Result<Done, NodeError> {
        let (reply, answer) = oneshot::channel();
        let gone = || NodeError::Gone { id: self.id.to_string() };
        self.orders.send((order, reply)).await.map_err(|_| gone())?;
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
    /// A node that is not started yet, and the handle to it.
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

    /// Takes orders until every handle is gone. The process is killed when this ends or is dropped.
    pub async fn run(mut self) {
        loop {
            let given = tokio::select! {
                given = self.orders.recv() => given,
                status = end_of(&mut self.process) => {
                    self.note_crash(&status);
                    continue;
                }
            };
            let Some((order, reply)) = given else { return };
            let result = self.carry_out(order).await;
            // Whoever gave the order may have gone; the order is carried out all the same.
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

    async fn carry_out(&mut self, order: Order) -> Result<Done, NodeError> {
        match order {
            Order::Start => self.start().await,
            Order::Kill => match self.take() {
                Some(mut process) => process.kill().await.map(|()| Done::Yes).map_err(Into::into),
                None => Ok(Done::Already),
            },
            Order::Terminate(grace) => match self.take() {
                Some(mut process) => Ok(Done::Ended(process.terminate(grace).await?)),
                None => Ok(Done::Already),
            },
            Order::Pause => match &mut self.process {
                Some(process) => process.pause().map(|()| Done::Yes).map_err(Into::into),
                None => Ok(Done::Already),
            },
            Order::Resume => match &mut self.process {
                Some(process) => process.resume().map(|()| Done::Yes).map_err(Into::into),
                None => Ok(Done::Already),
            },
        }
    }

    fn take(&mut self) -> Option<Process> {
        self.pid.store(0, Ordering::Relaxed);
        self.process.take()
    }

    async fn start(&mut self) -> Result<Done, NodeError> {
        if let Some(process) = &mut self.process
            && process.exited()?.is_none()
        {
            return Ok(Done::Already);
        }
        let process = self.process.insert(self.launch.start()?);
        self.pid.store(process.pid(), Ordering::Relaxed);
        match self.readiness.wait(Some((&self.launch, process))).await {
            Ok(took) => Ok(Done::Ready(took)),
            Err(not_ready) => {
                // What was told as a failed start is not told as a crash again; what hangs is killed by the drop.
                self.take();
                Err(not_ready.into())
            }
        }
    }
}

/// Waits for the end of a process that nobody asked to end; for ever, where there is none.
async fn end_of(process: &mut Option<Process>) -> String {
    match process {
        Some(process) => match process.ended().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        },
        None => std::future::pending().await,
    }
}
