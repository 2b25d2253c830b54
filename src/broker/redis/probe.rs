//! Proof that the log can be written and followed: a mark goes into the stream, and the follower sees it. It is no entry
//! of the log, no reader gets it, and it is taken out again, by the sweeper if not by whoever sent it. Read [`Probes::run`] first.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::entry::Raw;
use super::limits::{PROBE, PROOF};
use super::link::Ask;
use super::log::Shared;
use crate::broker::StoreError;

/// Name of a mark's only field.
const FIELD: &str = "probe";

/// Marks on their way, and the last proof.
#[derive(Debug, Default)]
pub(super) struct Probes {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: HashMap<String, oneshot::Sender<()>>,
    proven: Option<Instant>,
}

/// A mark that nobody waits for any more when this is dropped, for whatever reason.
struct Mark<'a> {
    probes: &'a Probes,
    name: String,
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.probes.lock().waiting.remove(&self.name);
    }
}

impl Probes {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Poison means that a holder panicked; the map behind the lock is whole all the same.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a mark through the log. Without a follower it is enough that the log took it.
    pub(super) async fn run(&self, shared: &Shared) -> Result<(), StoreError> {
        if self.lock().proven.is_some_and(|proven| proven.elapsed() < PROOF) {
            return Ok(());
        }
        let mark = Mark { probes: self, name: ulid::Ulid::generate().to_string() };
        let (arrive, arrived) = oneshot::channel();
        self.lock().waiting.insert(mark.name.clone(), arrive);
        let mut add = redis::cmd("XADD");
        add.arg(&shared.keys.log).arg("*").arg(FIELD).arg(&mark.name);
        let id: String = shared.line.ask_once("probe", Ask::Command(&add)).await?;
        let came_back =
            !shared.unread.is_watched() || matches!(tokio::time::timeout(PROBE, arrived).await, Ok(Ok(())));
        let mut remove = redis::cmd("XDEL");
        remove.arg(&shared.keys.log).arg(id);
        let _removed: u64 = shared.line.ask("remove a probe", Ask::Command(&remove)).await?;
        if !came_back {
            let cause = format!("a mark did not come back within {}", humantime::format_duration(PROBE));
            return Err(StoreError { operation: "probe", place: shared.finder.place(), cause });
        }
        self.lock().proven = Some(Instant::now());
        Ok(())
    }

    /// The follower came upon something that is no entry. Says whether it is a mark, of whatever node.
    pub(super) fn arrived(&self, raw: &Raw) -> bool {
        let [name, value] = &raw.1[..] else { return false };
        if name != FIELD.as_bytes() {
            return false;
        }
        if let Some(arrive) = self.lock().waiting.remove(&*String::from_utf8_lossy(value)) {
            // Whoever waited may have given up.
            let _given_up = arrive.send(());
        }
        true
    }
}
