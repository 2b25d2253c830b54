//! The one task that changes a log, but for appends to RAM. It takes all waiting commands as one batch, so that a
//! thousand publishes cost one write to the disk; it answers, then wakes the followers. When its token ends it, it first
//! carries out every command that was accepted.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::store::{Committed, Store};
use super::tables::Tables;
use super::writing::Rules;
use crate::broker::{Appended, NewEvent, StoreError};
use crate::protocol::{Address, Position};

/// Most commands in one batch: enough to make an fsync cheap, few enough that a batch of the largest events stays in
/// tens of megabytes.
const BATCH_MAX: usize = 1_024;
/// How often old entries, ids and mail are removed, and writes are synced to the disk.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A change whose caller waits for the result.
#[derive(Debug)]
pub(super) enum Command {
    /// Into the log.
    Append { event: NewEvent, answer: oneshot::Sender<Result<Appended, StoreError>> },
    /// Out of a mailbox.
    Confirm { owner: Address, up_to: Position, answer: oneshot::Sender<Result<u64, StoreError>> },
}

/// An answer that waits until its batch is safe.
#[derive(Debug)]
pub(super) enum Reply {
    Append(oneshot::Sender<Result<Appended, StoreError>>, Result<Appended, StoreError>),
    Confirm(oneshot::Sender<Result<u64, StoreError>>, Result<u64, StoreError>),
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
    pub(super) async fn run(mut self, token: CancellationToken) {
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
                    self.sweep().await;
                    self.sync().await;
                }
                Turn::Close => {
                    closing = true;
                    self.queue.close();
                }
            }
        }
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "the log was not closed cleanly");
        }
    }

    async fn commit(&self, commands: Vec<Command>) {
        let Committed { replies, result } =
            self.store.commit(&self.rules, commands, self.clock.now_ms()).await;
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
        if failed.is_none() {
            failed = reply.error().cloned();
        }
        reply
    });
    let replies = replies.collect();
    let result = failed.map_or_else(|| rules.trim_to_size(tables).map(drop), Err);
    (replies, result)
}

impl Command {
    fn perform(self, rules: &Rules, tables: &mut impl Tables, now_ms: u64) -> Reply {
        match self {
            Self::Append { event, answer } => Reply::Append(answer, rules.append(tables, event, now_ms)),
            Self::Confirm { owner, up_to, answer } => {
                Reply::Confirm(answer, rules.confirm(tables, &owner, up_to, now_ms))
            }
        }
    }
}

impl Reply {
    fn error(&self) -> Option<&StoreError> {
        match self {
            Self::Append(_, result) => result.as_ref().err(),
            Self::Confirm(_, result) => result.as_ref().err(),
        }
    }

    /// Answers, with the batch's error if it failed. The caller may be gone; its answer is then dropped.
    fn send(self, batch: Option<&StoreError>) {
        fn settle<T>(result: Result<T, StoreError>, batch: Option<&StoreError>) -> Result<T, StoreError> {
            batch.map_or(result, |error| Err(error.clone()))
        }
        match self {
            Self::Append(answer, result) => drop(answer.send(settle(result, batch))),
            Self::Confirm(answer, result) => drop(answer.send(settle(result, batch))),
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
