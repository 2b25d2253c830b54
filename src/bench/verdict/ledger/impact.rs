//! The impact of each fault: the sessions that it cut, and how long their clients took to recover. Read [`impacts`] first.

use std::time::Duration;

use super::account::{AnomalyKind, FaultImpact};
use super::anomaly_log::AnomalyLog;
use super::evidence::{Evidence, FaultRecord, MARGIN};
use super::recovery::never_recovered;
use super::subscriber::{Session, SubscriberLedger};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::{FaultAction, Plan};
use crate::bench::scenario::{LinkEffect, ToxicKind};

/// A session that a fault cut.
struct Cut {
    fault: usize,
    ended: RunTime,
    reconnected: Option<RunTime>,
    recovered: Option<RunTime>,
    drained: Option<RunTime>,
    replayed: u64,
    is_last: bool,
    is_for_good: bool,
}

/// The impact of every fault, in the order of the evidence.
pub(super) fn impacts(evidence: &Evidence<'_>, findings: &AnomalyLog<'_>) -> Vec<FaultImpact> {
    let cuts: Vec<Cut> =
        evidence.subscribers.iter().flat_map(|subscriber| cuts(subscriber, evidence)).collect();
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
                not_back: mine().filter(|cut| cut.is_last).count() as u64,
                lost: findings.in_window(AnomalyKind::Lost, index),
                drain_p95: since_end(|cut| cut.drained),
                replayed: mine().map(|cut| cut.replayed).sum(),
                lost_examples: findings.first_in_window(AnomalyKind::Lost, index),
            }
        })
        .collect()
}

fn cuts(subscriber: &SubscriberLedger, evidence: &Evidence<'_>) -> Vec<Cut> {
    let sessions = subscriber.sessions();
    let gave_up = never_recovered(evidence, subscriber).is_some();
    let cut = |(number, session): (usize, &Session)| {
        let fault = responsible_fault(subscriber, session, evidence)?;
        let later = &sessions[number + 1..];
        Some(Cut {
            fault,
            ended: session.ended,
            reconnected: later.first().map(|next| next.confirmed),
            recovered: later.iter().find_map(|next| next.first_new),
            drained: later.first().and_then(|next| next.drained),
            replayed: later.first().map_or(0, |next| next.replayed),
            is_last: later.is_empty(),
            is_for_good: later.is_empty() && gave_up,
        })
    };
    sessions.iter().enumerate().filter_map(cut).collect()
}

/// The index of the fault that cut a session: of those active at its end that can affect it, the one that was applied last.
/// So where nodes are killed in turn, a session of the second node does not count for the kill of the first.
fn responsible_fault(
    subscriber: &SubscriberLedger,
    session: &Session,
    evidence: &Evidence<'_>,
) -> Option<usize> {
    if session.ended == RunTime::NEVER {
        return None;
    }
    let is_at_work = |fault: &FaultRecord| {
        fault.covers(session.ended) && fault.applied.is_some_and(|applied| applied <= session.ended)
    };
    let faults = evidence.faults.iter().enumerate();
    let candidates = faults
        .filter(|(_, fault)| is_at_work(fault) && can_affect(fault, subscriber, session, evidence.plan));
    candidates.max_by_key(|(index, fault)| (fault.applied, *index)).map(|(index, _)| index)
}

/// Whether a fault can affect a session: its node, or its client.
pub(super) fn can_affect(
    fault: &FaultRecord,
    subscriber: &SubscriberLedger,
    session: &Session,
    plan: &Plan,
) -> bool {
    let planned = plan.faults.iter().find(|planned| planned.name == fault.name);
    planned.is_none_or(|planned| match &planned.action {
        FaultAction::Process { nodes, .. }
        | FaultAction::RollingRestart { nodes, .. }
        | FaultAction::Scale { nodes, .. }
        | FaultAction::Link { nodes, .. }
        | FaultAction::Netns { nodes } => session.node.is_none_or(|node| nodes.contains(&node)),
        FaultAction::ReconnectStorm { subscribers } | FaultAction::SlowDown { subscribers, .. } => {
            subscribers.binary_search(&subscriber.id()).is_ok()
        }
        FaultAction::Redis { .. } => true,
        // Clients that leave for good are not cut, and clients that join have no session yet.
        FaultAction::ChurnBurst { .. } => false,
    })
}

/// Whether a fault can hold back events from a session for longer than [`MARGIN`]: not where bytes only come a little later
/// or in other pieces, and not what clients do themselves.
pub(super) fn can_stall(fault: &FaultRecord, plan: &Plan) -> bool {
    let planned = plan.faults.iter().find(|planned| planned.name == fault.name);
    planned.is_none_or(|planned| match &planned.action {
        FaultAction::Link { effect: LinkEffect::Toxic { kind, .. }, .. } => match kind {
            ToxicKind::Latency { latency, jitter } => Duration::from_millis(latency + jitter) >= MARGIN,
            ToxicKind::SlowClose { .. } | ToxicKind::Slicer { .. } => false,
            // It stands for a server that errs, and a server is excused nothing.
            ToxicKind::Event(_) => false,
            _ => true,
        },
        FaultAction::ReconnectStorm { .. }
        | FaultAction::SlowDown { .. }
        | FaultAction::ChurnBurst { .. } => false,
        FaultAction::Process { .. }
        | FaultAction::RollingRestart { .. }
        | FaultAction::Redis { .. }
        | FaultAction::Scale { .. }
        | FaultAction::Netns { .. }
        | FaultAction::Link { effect: LinkEffect::Down, .. } => true,
    })
}

/// The 95th percentile; `None` without values.
fn p95(mut values: Vec<Duration>) -> Option<Duration> {
    values.sort_unstable();
    let rank = (values.len() * 95).div_ceil(100);
    values.get(rank.checked_sub(1)?).copied()
}
