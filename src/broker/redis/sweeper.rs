//! Removes old entries and old messages of mailboxes, also when nobody publishes. Every node does it, in bounded steps;
//! that costs a little more than one node would, and needs no agreement. Read [`run`] first.

use std::sync::Arc;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::connection::Ask;
use super::limits::{DROP_STEPS, SWEEP_BOXES, SWEEP_EVERY, SWEEP_STEPS};
use super::log::Shared;
use crate::broker::StoreError;
use crate::protocol::Address;
use crate::runtime::clock::{millis, unix_ms};

/// Sweeps until the token ends it.
pub(super) async fn run(shared: Arc<Shared>, token: CancellationToken) {
    let mut interval = tokio::time::interval(SWEEP_EVERY);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = token.cancelled() => return,
            _ = interval.tick() => {}
        }
        let swept = tokio::select! {
            () = token.cancelled() => return,
            swept = sweep(&shared) => swept,
        };
        if let Err(error) = swept {
            // Readers and writers report the error louder; the next sweep continues where this one ended.
            tracing::debug!(%error, "expired events could not be removed from the log");
        }
    }
}

async fn sweep(shared: &Shared) -> Result<(), StoreError> {
    let (keys, limits) = (&shared.keys, &shared.limits);
    for _ in 0..SWEEP_STEPS {
        let mut script = shared.scripts.sweep.key(&keys.log);
        script.key(&keys.meta).arg(millis(limits.max_age)).arg(limits.max_events).arg(limits.max_bytes);
        let more: u8 = shared.commands.ask("remove expired events", Ask::Script(&script)).await?;
        if more == 0 {
            break;
        }
    }
    let oldest = unix_ms().saturating_sub(millis(limits.mailbox_max_age));
    let mut range = redis::cmd("ZRANGEBYSCORE");
    range.arg(&keys.boxes).arg("-inf").arg(format!("({oldest}")).arg("LIMIT").arg(0).arg(SWEEP_BOXES);
    let owners: Vec<String> =
        shared.commands.ask("find expired mailbox messages", Ask::Command(&range)).await?;
    for owner in owners.iter().filter_map(|owner| owner.parse::<Address>().ok()) {
        let [list, state] = keys.mailbox(&owner);
        let mut script = shared.scripts.expire.key(&keys.meta);
        script.key(&keys.boxes).key(list).key(state);
        script.arg(owner.to_string()).arg(oldest).arg(limits.mailbox_max_age.as_secs().max(1));
        let _dropped: u64 =
            shared.commands.ask("remove expired mailbox messages", Ask::Script(&script)).await?;
    }
    bound_mailboxes(shared).await
}

/// Drops the oldest mail where all mailboxes together hold too much.
async fn bound_mailboxes(shared: &Shared) -> Result<(), StoreError> {
    let (keys, limits) = (&shared.keys, &shared.limits);
    for _ in 0..DROP_STEPS {
        let mut range = redis::cmd("ZRANGE");
        range.arg(&keys.boxes).arg(0).arg(SWEEP_BOXES - 1);
        let owners: Vec<String> = shared.commands.ask("find the oldest mail", Ask::Command(&range)).await?;
        let owners: Vec<Address> = owners.iter().filter_map(|owner| owner.parse().ok()).collect();
        let mut script = shared.scripts.drop.key(&keys.meta);
        script.key(&keys.boxes).arg(limits.mailboxes_max_messages).arg(limits.mailboxes_max_bytes);
        script.arg(limits.mailbox_max_age.as_secs().max(1));
        for owner in &owners {
            let [list, state] = keys.mailbox(owner);
            script.key(list).key(state).arg(owner.to_string());
        }
        let more: u8 = shared.commands.ask("bound the mailboxes", Ask::Script(&script)).await?;
        if more == 0 {
            return Ok(());
        }
    }
    Ok(())
}
