//! Proof that the log can be written and followed: a probe goes into the stream, and the follower sees it. It is not an
//! event, no reader gets it, and its sender removes it again, or else the sweeper. Read [`Probes::run`] first.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::connection::Ask;
use super::entry::{Raw, position};
use super::limits::{PROBE, PROOF};
use super::log::Shared;
use super::permissions;
use crate::broker::StoreError;

/// Scripts count milliseconds exactly up to here: for the next 285,000 years.
const LAST_MS: u64 = 1 << 53;
/// Name of the only field of a probe.
const FIELD: &str = "probe";

/// Probes on their way, and the time of the last success.
#[derive(Debug, Default)]
pub(super) struct Probes {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: HashMap<String, oneshot::Sender<()>>,
    proven: Option<Instant>,
}

/// A probe that is being waited for; dropping this ends the wait.
struct PendingProbe<'a> {
    probes: &'a Probes,
    name: String,
}

impl Drop for PendingProbe<'_> {
    fn drop(&mut self) {
        self.probes.lock().waiting.remove(&self.name);
    }
}

impl Probes {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Poison means that a holder panicked; the map behind the lock is whole all the same.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a probe through the log. Without a follower it is enough that the log took it.
    pub(super) async fn run(&self, shared: &Shared) -> Result<(), StoreError> {
        if self.lock().proven.is_some_and(|proven| proven.elapsed() < PROOF) {
            return Ok(());
        }
        let needs = permissions::missing(&shared.scripts, &shared.keys);
        let missing: Vec<String> =
            shared.commands.ask("try the commands of the log", Ask::Script(&needs)).await?;
        if let Some(why) = permissions::told(&missing) {
            return Err(shared.error("publish", &format!("the server {why}")));
        }
        let probe = PendingProbe { probes: self, name: ulid::Ulid::generate().to_string() };
        let (arrive, arrived) = oneshot::channel();
        self.lock().waiting.insert(probe.name.clone(), arrive);
        let mut add = redis::cmd("XADD");
        add.arg(&shared.keys.log).arg("*").arg(FIELD).arg(&probe.name);
        let id: String = shared.commands.ask_once("send a probe through the log", Ask::Command(&add)).await?;
        let may_follow = position(&id).is_some_and(|at| at.ms <= LAST_MS);
        let came_back = !may_follow
            || !shared.in_flight.is_watched()
            || matches!(tokio::time::timeout(PROBE, arrived).await, Ok(Ok(())));
        let mut remove = redis::cmd("XDEL");
        remove.arg(&shared.keys.log).arg(&id);
        let _removed: u64 = shared.commands.ask("remove a probe", Ask::Command(&remove)).await?;
        if !may_follow {
            let why = "no event can follow; remove it (XDEL), and set the end back (XSETID)";
            let log = &shared.keys.log;
            return Err(shared.error("publish", &format!("another program wrote to the end of {log}: {why}")));
        }
        if !came_back {
            let cause = format!("it did not come back within {}", humantime::format_duration(PROBE));
            return Err(StoreError {
                operation: "send a probe through the log",
                place: shared.finder.place(),
                cause,
            });
        }
        self.lock().proven = Some(Instant::now());
        Ok(())
    }

    /// Called by the follower for an entry that is not an event. Returns whether it is a probe, of any node.
    pub(super) fn arrived(&self, raw: &Raw) -> bool {
        let [name, value] = &raw.1[..] else { return false };
        if name != FIELD.as_bytes() {
            return false;
        }
        if let Some(arrive) = self.lock().waiting.remove(&*String::from_utf8_lossy(value)) {
            // The waiting call may have given up.
            let _given_up = arrive.send(());
        }
        true
    }
}
