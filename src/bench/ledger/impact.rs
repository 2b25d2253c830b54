//! What each fault did to the sessions, and how long it took to get over it.

use std::time::Duration;

use crate::bench::clock::RunTime;

use super::account::{AnomalyKind, FaultImpact};
use super::arrival::Ending;
use super::findings::Findings;
use super::subscriber::Session;
use super::{Evidence, SubscriberLedger};

/// One session that ended in a fault's window.
struct Cut {
    fault: usize,
    ended: RunTime,
    reconnected: Option<RunTime>,
    recovered: Option<RunTime>,
    is_for_good: bool,
}

/// The impact of every fault, in their order.
pub(super) fn impacts(evidence: &Evidence<'_>, findings: &Findings<'_>) -> Vec<FaultImpact> {
    let cuts: Vec<Cut> =
        evidence.subscribers.iter().flat_map(|subscriber| cuts(subscriber, findings)).collect();
    let faults = evidence.faults.iter().enumerate();
    faults
        .map(|(index, fault)| {
            let mine = || cuts.iter().filter(move |cut| cut.fault == index);
            let since_end = |time: fn(&Cut) -> Option<RunTime>| {
                p95(mine().filter_map(|cut| time(cut).map(|at| at.after(cut.ended))).collect())
            };
            FaultImpact {
                name: fault.name.clone(),
                sessions_cut: mine().count() as u64,
                detect: fault.applied.and_then(|applied| mine().map(|cut| cut.ended.after(applied)).min()),
                reconnect_p95: since_end(|cut| cut.reconnected),
                recovery_p95: since_end(|cut| cut.recovered),
                never_recovered: mine().filter(|cut| cut.is_for_good).count() as u64,
                lost: findings.in_window(AnomalyKind::Lost, index),
            }
        })
        .collect()
}

fn cuts(subscriber: &SubscriberLedger, findings: &Findings<'_>) -> Vec<Cut> {
    let sessions = subscriber.sessions();
    let gave_up = matches!(subscriber.ending(), Some((_, Ending::GaveUp | Ending::Unreachable)));
    let cut = |(number, session): (usize, &Session)| {
        let fault = findings.window(session.ended).filter(|_| session.ended != RunTime::NEVER)?;
        let later = &sessions[number + 1..];
        Some(Cut {
            fault,
            ended: session.ended,
            reconnected: later.first().map(|next| next.confirmed),
            recovered: later.iter().find_map(|next| next.first_new),
            is_for_good: later.is_empty() && gave_up,
        })
    };
    sessions.iter().enumerate().filter_map(cut).collect()
}

/// The value that 95 % do not exceed.
fn p95(mut values: Vec<Duration>) -> Option<Duration> {
    values.sort_unstable();
    let rank = (values.len() * 95).div_ceil(100);
    values.get(rank.checked_sub(1)?).copied()
}
