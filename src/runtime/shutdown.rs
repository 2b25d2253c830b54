//! The owner of tasks, and the reasons to end. Every task of a process is spawned on a [`Tasks`] and awaited by its
//! holder. A task that panics ends the process loudly: the token is cancelled, the panic is remembered.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::panic::panic_message;

/// A group of tasks with one token. Clones share the group.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    token: CancellationToken,
    failure: Arc<Mutex<Option<String>>>,
}

impl Tasks {
    /// An empty group.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the group is asked to end.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Runs a task of this group. `name` appears in the message if it panics.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(self.clone().watched(name, task));
    }

    /// As [`Self::spawn`], in another runtime.
    pub fn spawn_on<F>(&self, runtime: &Handle, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn_on(self.clone().watched(name, task), runtime);
    }

    async fn watched<F: Future<Output = ()>>(self, name: &'static str, task: F) {
        if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
            let message = panic_message(panic.as_ref()).unwrap_or("no message");
            self.fail(format!("task {name} panicked: {message}"));
        }
    }

    /// Ends the group because of an error that must not pass silently. The first reason is kept.
    pub fn fail(&self, reason: String) {
        tracing::error!("{reason}");
        // Poison means that a holder panicked; the text behind the lock is whole all the same.
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.token.cancel();
    }

    /// Why the group failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tasks that have not ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether all have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Waits until every task has ended, at most this long.
    ///
    /// # Errors
    /// The number of tasks that were still running.
    pub async fn join(&self, grace: Duration) -> Result<(), usize> {
        self.tracker.close();
        match tokio::time::timeout(grace, self.tracker.wait()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.tracker.len()),
        }
    }
}

/// SIGINT and SIGTERM, and on request SIGHUP, as one stream of requests to end.
#[derive(Debug)]
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: Option<tokio::signal::unix::Signal>,
}

impl Signals {
    /// Starts to listen; from here on neither signal ends the process by itself.
    ///
    /// # Errors
    /// The system refused a handler.
    pub fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hang_up: None })
    }

    /// As [`Self::listen`], and a closed terminal (SIGHUP) is a request to end as well, unless the parent process set
    /// it to be ignored (`nohup`).
    ///
    /// # Errors
    /// The system refused a handler.
    pub fn listen_to_the_terminal() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        // Must be read before the handler replaces the setting.
        let is_ignored =
            std::fs::read_to_string("/proc/self/status").is_ok_and(|text| ignores_hang_up(&text));
        let hang_up = if is_ignored { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { hang_up, ..Self::listen()? })
    }

    /// The next request to end, as the name of its signal. Cancel-safe. SIGHUP counts once: a shell and the kernel both
    /// send it for the same terminal.
    pub async fn next(&mut self) -> &'static str {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = hang_up => {
                // The handler stays, so another SIGHUP has no effect.
                self.hang_up = None;
                "SIGHUP"
            }
        }
    }
}

/// Whether a process of this `/proc/<id>/status` ignores SIGHUP, the first of the signals.
fn ignores_hang_up(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_task_ends_the_group_and_is_remembered() {
        let tasks = Tasks::new();
        tasks.spawn("demo", async { panic!("on purpose") });
        tasks.token().cancelled().await;
        assert_eq!(tasks.join(Duration::from_secs(5)).await, Ok(()));
        let failure = tasks.failure().unwrap();
        assert!(failure.contains("demo") && failure.contains("on purpose"), "{failure}");
    }

    #[test]
    fn nohup_is_seen_in_the_status_of_a_process() {
        assert!(ignores_hang_up("Name:\tb\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hang_up("Name:\tb\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000000001\n"));
        assert!(!ignores_hang_up(""));
    }

    #[tokio::test(start_paused = true)]
    async fn join_says_how_many_are_left() {
        let tasks = Tasks::new();
        tasks.spawn("stuck", std::future::pending());
        tasks.spawn("done", async {});
        assert_eq!(tasks.join(Duration::from_secs(1)).await, Err(1));
    }
}
