//! The one task that changes a log, but for appends to RAM. It takes all waiting commands as one batch, so that a
//! thousand publishes cost one write to the disk; it answers, then wakes the followers. When its token ends it, it first
//! carries out every command that was accepted.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use super::clock::Clock;
use super::store::{Committed, Store};
use super::tables::Tables;
use super::writing::Rules;
use crate::broker::{AppendError, Appended, NewEvent, StoreError};
use crate::protocol::{Address, Position};
use crate::runtime::Tasks;

/// Most commands in one batch: enough to make an fsync cheap, few enough that a batch of the largest events stays in
/// tens of megabytes.
const BATCH_MAX: usize = 1_024;
/// How often old entries, ids and mail are removed, and writes are synced to the disk.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// A batch that takes longer than this never ends: the database waits for a thread that has died.
const BATCH_PATIENCE: Duration = Duration::from_secs(60);

/// A change whose caller waits for the result.
#[derive(Debug)]
pub(super) enum Command {
    /// Into the log.
    Append { event: NewEvent, answer: oneshot::Sender<Result<Appended, AppendError>> },
    /// Out of a mailbox.
    Confirm { owner: Address, up_to: Position, answer: oneshot::Sender<Result<u64, StoreError>> },
    /// Something that changes nothing, but must be written.
    Probe { answer: oneshot::Sender<Result<(), StoreError>> },
}

/// An answer that waits until its batch is safe.
#[derive(Debug)]
pub(super) enum Reply {
    Append(oneshot::Sender<Result<Appended, AppendError>>, Result<Appended, AppendError>),
    Confirm(oneshot::Sender<Result<u64, StoreError>>, Result<u64, StoreError>),
    Probe(oneshot::Sender<Result<(), StoreError>>, Result<(), StoreError>),
}

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) store: Arc<Store>,
    pub(super) rules: Rules,
    pub(super) clock: Clock,
    pub(super) queue: mpsc::Receiver<Command>,
    pub(super) newest: watch::Sender<Position>,
}

enum Turn {
    Commands(usize),
    Sweep,
    Close,
}

impl Writer {
    /// Writes until the token of its tasks ends; a store that can no longer be written ends them.
    pub(super) async fn run(mut self, tasks: Tasks) {
        let token = tasks.token().clone();
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut closing = false;
        let mut waiting = Vec::new();
        loop {
            // Not biased: neither a flood of publishes nor the sweep may starve the other.
            let turn = tokio::select! {
                count = self.queue.recv_many(&mut waiting, BATCH_MAX) => Turn::Commands(count),
                _ = sweep.tick() => Turn::Sweep,
                () = token.cancelled(), if !closing => Turn::Close,
            };
            match turn {
                // The queue is empty and closed, by this task or because the log was dropped.
                Turn::Commands(0) => break,
                Turn::Commands(_) => self.commit(std::mem::take(&mut waiting)).await,
                Turn::Sweep => {
                    // Says so if the clock was set back.
                    self.clock.ahead();
                    self.sweep().await;
                    self.sync().await;
                }
                Turn::Close => {
                    closing = true;
                    self.queue.close();
                }
            }
            if let Some(error) = self.store.failure().filter(|_| !closing) {
                tasks.fail(error.to_string());
            }
        }
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "the log was not closed cleanly");
        }
    }

    async fn commit(&self, commands: Vec<Command>) {
        let batch = self.store.commit(&self.rules, commands, self.clock.now_ms());
        let Ok(Committed { replies, result }) = tokio::time::timeout(BATCH_PATIENCE, batch).await else {
            let why = format!("the store has not answered for {} seconds", BATCH_PATIENCE.as_secs());
            return self.store.fail(self.store.error("write events", &why));
        };
        if let Err(error) = &result {
            tracing::error!(%error, publishes = replies.len(), "the log could not be written");
        }
        for reply in replies {
            reply.send(result.as_ref().err());
        }
        if let Ok(newest) = result {
            advance(&self.newest, newest);
        }
    }

    async fn sweep(&self) {
        // A bounded number of rounds: the next tick goes on where this one ended.
        const ROUNDS: usize = 16;
        for _ in 0..ROUNDS {
            match self.store.sweep(&self.rules, self.clock.now_ms()).await {
                Ok(true) => tokio::task::yield_now().await,
                Ok(false) => return,
                Err(error) => {
                    return tracing::error!(%error, "expired events could not be removed from the log");
                }
            }
        }
    }

    async fn sync(&self) {
        if let Err(error) = self.store.sync().await {
            tracing::error!(%error, "the log could not be written to the disk (fsync)");
        }
    }
}

/// Tells the followers how far the log is. Of two writers the later one may tell first.
pub(super) fn advance(known: &watch::Sender<Position>, newest: Position) {
    known.send_if_modified(|known| std::mem::replace(known, newest.max(*known)) < newest);
}

/// Carries out commands on tables. With an error, nothing of the batch may be kept.
pub(super) fn perform(
    rules: &Rules,
    tables: &mut impl Tables,
    commands: Vec<Command>,
    now_ms: u64,
) -> (Vec<Reply>, Result<(), StoreError>) {
    let mut failed = None;
    let replies = commands.into_iter().map(|command| {
        let reply = command.perform(rules, tables, now_ms);
        failed = failed.take().or_else(|| reply.error());
        reply
    });
    let replies = replies.collect();
    let result = failed.map_or_else(|| rules.trim_to_size(tables).map(drop), Err);
    (replies, result)
}

/// Takes commands out of a batch, with the answer that nothing of them was written.
pub(super) fn refuse(
    commands: &mut Vec<Command>,
    which: impl Fn(&Command) -> bool,
    (kind, error): (fn(StoreError) -> AppendError, &StoreError),
) -> Vec<Reply> {
    let refused = commands.extract_if(.., |command| which(command));
    refused.map(|command| command.refuse(kind, error.clone())).collect()
}

impl Command {
    /// Whether it may only be carried out while the disk has room: all but what frees space.
    pub(super) fn needs_room(&self) -> bool {
        !matches!(self, Self::Confirm { .. })
    }

    fn perform(self, rules: &Rules, tables: &mut impl Tables, now_ms: u64) -> Reply {
        match self {
            Self::Append { event, answer } => {
                Reply::Append(answer, rules.append(tables, event, now_ms).map_err(AppendError::Store))
            }
            Self::Confirm { owner, up_to, answer } => {
                Reply::Confirm(answer, rules.confirm(tables, &owner, up_to, now_ms))
            }
            Self::Probe { answer } => Reply::Probe(answer, tables.prove()),
        }
    }

    fn refuse(self, kind: fn(StoreError) -> AppendError, error: StoreError) -> Reply {
        match self {
            Self::Append { answer, .. } => Reply::Append(answer, Err(kind(error))),
            Self::Confirm { answer, .. } => Reply::Confirm(answer, Err(error)),
            Self::Probe { answer } => Reply::Probe(answer, Err(error)),
        }
    }
}

impl Reply {
    fn error(&self) -> Option<StoreError> {
        match self {
            Self::Append(_, Err(AppendError::Store(error)))
            | Self::Confirm(_, Err(error))
            | Self::Probe(_, Err(error)) => Some(error.clone()),
            Self::Append(..) | Self::Confirm(..) | Self::Probe(..) => None,
        }
    }

    /// Answers; what was carried out gets the batch's error if it failed. The caller may be gone; its answer is then
    /// dropped.
    fn send(self, batch: Option<&StoreError>) {
        let batch = || batch.cloned().map_or(Ok(()), Err);
        match self {
            Self::Append(answer, result) => drop(
                answer.send(result.and_then(|value| batch().map(|()| value).map_err(AppendError::Store))),
            ),
            Self::Confirm(answer, result) => {
                drop(answer.send(result.and_then(|value| batch().map(|()| value))));
            }
            Self::Probe(answer, result) => drop(answer.send(result.and_then(|()| batch()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn followers_never_hear_of_an_older_position_after_a_newer_one() {
        let at = |ms| Position { ms, seq: 0 };
        let (known, mut follower) = watch::channel(at(1));
        advance(&known, at(3));
        assert_eq!(*follower.borrow_and_update(), at(3));
        advance(&known, at(2));
        assert!(!follower.has_changed().unwrap() && *known.borrow() == at(3));
    }
}
