//! Before the clock starts: check limits, create the directory, start the servers, connect the clients.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use super::doctor::{self, Limits, Need};
use super::environment::{Environment, EnvironmentSpec};
use super::outcome::{RunError, RunOptions};
use crate::bench::cluster::{Sign, load_balancer};
use crate::bench::ids::{GroupId, RunId};
use crate::bench::load::clients::context::SwarmContext;
use crate::bench::load::workers::{LostWorkers, WorkerSpec};
use crate::bench::scenario::plan::{FaultAction, Joins, Plan};
use crate::bench::scenario::{self, LbKind};
use crate::bench::verdict::diagnosis;
use crate::bench::verdict::history::History;

/// Clients must connect within this, plus a millisecond for each client.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Period of checking whether all clients are connected.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Refuses a plan that this machine or these nodes cannot carry out. Returns the number of workers; `workers` is what the
/// scenario says.
pub(super) fn check(
    plan: &Plan,
    limits: &Limits,
    options: &RunOptions,
    workers: Option<u16>,
) -> Result<u16, RunError> {
    check_dialect(plan)?;
    let budget = plan.budget();
    let need = Need::of(plan, &budget, limits, options.workers.or(workers));
    let publishes: u64 = plan.publishers.iter().map(|publisher| u64::from(publisher.max_in_flight)).sum();
    let starts_nodes = matches!(plan.cluster, scenario::Cluster::Spawn(_)) && plan.lb.kind == LbKind::Swarm;
    if let Some(finding) = doctor::required(limits, need, starts_nodes).into_iter().next() {
        let found = format!("{} is {}", finding.what, finding.found);
        return Err(RunError::Limits { found, fix: finding.fix.unwrap_or_default() });
    }
    let through_balancer = load_balancer::open_files(budget.clients + publishes);
    if plan.lb.kind != LbKind::Swarm && through_balancer > limits.open_files {
        let found =
            format!("open files is {}, and the load balancer needs {through_balancer}", limits.open_files);
        let fix =
            format!("ulimit -n {through_balancer} in this shell, or fewer clients with --clients-scale");
        return Err(RunError::Limits { found, fix });
    }
    if let scenario::Cluster::Attach(bases) = &plan.cluster {
        let base = bases.iter().find(|base| base.starts_with("https://"));
        let group = plan.groups.iter().find(|group| group.read.is_some());
        if let (Some(base), Some(group)) = (base, group) {
            return Err(RunError::SlowOverTls { group: group.name.clone(), base: base.clone() });
        }
        let is_of_a_process = |action: &FaultAction| match action {
            FaultAction::Process { .. }
            | FaultAction::RollingRestart { .. }
            | FaultAction::Redis { .. }
            | FaultAction::Netns { .. }
            | FaultAction::Scale { .. } => true,
            FaultAction::Link { .. }
            | FaultAction::ReconnectStorm { .. }
            | FaultAction::ChurnBurst { .. }
            | FaultAction::SlowDown { .. } => false,
        };
        let process = plan.faults.iter().find(|fault| is_of_a_process(&fault.action));
        if let Some(fault) = process {
            return Err(RunError::ForeignProcess { fault: fault.name.clone() });
        }
    }
    Ok(need.workers)
}

fn check_dialect(plan: &Plan) -> Result<(), RunError> {
    let Some(dialect) = &plan.dialect else { return Ok(()) };
    if matches!(plan.cluster, scenario::Cluster::Spawn(_)) {
        return Err(RunError::DialectOfNobody);
    }
    let mut names = HashMap::new();
    for address in &plan.addresses {
        let Some(name) = dialect.name_of(address) else { continue };
        if let Some(other) = names.insert(name.clone(), address) {
            return Err(RunError::SameName { one: other.to_string(), other: address.to_string(), name });
        }
    }
    Ok(())
}

/// Headers of what the run asks in its own name: of the first publisher that has any, else of the first group of clients.
pub(super) fn own_headers(plan: &Plan) -> HeaderMap {
    let of_publisher = plan.publishers.iter().map(|publisher| publisher.headers.to_vec());
    let of_group = (0..).map(GroupId).zip(&plan.groups).filter_map(|(id, group)| {
        let first = plan.subscribers.iter().find(|client| client.group == id)?;
        Some(group.headers_of(first).map(|(name, value)| (name.to_owned(), value)).collect())
    });
    let headers = of_publisher.chain(of_group).find(|headers: &Vec<_>| !headers.is_empty());
    let valid = |(name, value): (String, String)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
    };
    headers.into_iter().flatten().filter_map(valid).collect()
}

/// Starts the servers.
pub(super) async fn environment(
    plan: &Plan,
    run_dir: PathBuf,
    http: &reqwest::Client,
) -> Result<Environment, RunError> {
    let budget = plan.budget();
    let publishes: u64 = plan.publishers.iter().map(|publisher| u64::from(publisher.max_in_flight)).sum();
    let connections = budget.clients + publishes;
    let (cluster, proxied) = (plan.cluster.clone(), plan.proxied.clone());
    let sign = match &plan.dialect {
        None => Sign::usual(),
        Some(dialect) => dialect.ready.clone().map_or(Sign::Answer, Sign::Success),
    };
    let spec = EnvironmentSpec { cluster, sign, lb: plan.lb, connections, run_dir, proxied, seed: plan.seed };
    Ok(Environment::start(&spec, http).await?)
}

/// Waits until every client that joins before the start has a confirmed stream, or never will have one.
pub(super) async fn clients(
    context: &Arc<SwarmContext>,
    environment: Option<&Environment>,
    lost_workers: &LostWorkers,
) -> Result<(), RunError> {
    let joins_early = |joins: &Joins| *joins == Joins::BeforeStart;
    let subscribers = &context.plan.subscribers;
    let wanted = subscribers.iter().filter(|subscriber| joins_early(&subscriber.joins)).count() as u64;
    let patience = CONNECT_TIMEOUT + Duration::from_millis(wanted);
    let began = Instant::now();
    loop {
        let snapshot = context.progress.snapshot();
        if snapshot.connected >= wanted {
            return Ok(());
        }
        if snapshot.unreadable > 0 && snapshot.connected + snapshot.unreadable >= wanted {
            // What they noticed decides the verdict.
            return Ok(());
        }
        if let Some(refused) = snapshot.refused(snapshot.connected, wanted) {
            let reason = context.progress.connect_failure().unwrap_or("for no known reason");
            let reason = format!("{reason}{}", why_empty(context));
            return Err(RunError::Refused { refused, wanted, reason });
        }
        let crash =
            environment.and_then(|environment| environment.crashes().pop()).or_else(|| lost_workers.first());
        if let Some(crash) = crash {
            return Err(RunError::Crashed { crash });
        }
        if began.elapsed() >= patience {
            let hint = match (snapshot.connect_errors, snapshot.connected) {
                (0, 0) => "; the server sent no CONNECTION event, so it may not be an sse-node".to_owned(),
                (0, _) => "; a node refused the others: cluster.max_connections (--max-connections of sse-node) may be too low".to_owned(),
                _ => match context.progress.connect_failure() {
                    Some(reason) => {
                        format!("; the others could not connect: {reason}{}", why_empty(context))
                    }
                    None => "; the others could not connect: see the nodes' logs".to_owned(),
                },
            };
            return Err(RunError::Clients { connected: snapshot.connected, wanted, waited: patience, hint });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The empty variables of the client groups, as the end of a sentence; empty: there are none.
fn why_empty(context: &SwarmContext) -> String {
    let groups = context.plan.groups.iter();
    let sections: Vec<String> = groups.map(|group| format!("clients.{}", group.name)).collect();
    let sections: Vec<&str> = sections.iter().map(String::as_str).collect();
    context.plan.why_empty(&sections)
}

/// The error with what the attempts tell about the server.
pub(super) fn diagnosed(context: &SwarmContext, error: RunError) -> RunError {
    let mut findings = Vec::new();
    context.observe(|seen| findings = diagnosis::of_setup(seen, &context.plan));
    if findings.is_empty() { error } else { RunError::Diagnosed { error: Box::new(error), findings } }
}

/// Returns once all clients are gone and some of them because their streams cannot be read: a load would reach nobody.
pub(super) async fn nobody_can_read(context: &SwarmContext) {
    while context.board.alive() > 0 || context.progress.snapshot().unreadable == 0 {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What workers are told.
pub(super) fn worker_spec(
    environment: &Environment,
    options: &RunOptions,
    run: RunId,
    workers: u16,
) -> WorkerSpec {
    WorkerSpec {
        origin: options.origin.clone(),
        run,
        // As clients reach them, possibly through a proxy.
        nodes: environment.endpoints().to_vec(),
        count: environment.members().len(),
        load_balancer: environment.load_balancer().map(|load_balancer| load_balancer.base().to_owned()),
        workers,
        dir: options.dir.clone(),
        has_history: options.history == History::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cluster::ClusterError;
    use crate::bench::exit::Exit;
    use crate::bench::run::environment::EnvironmentError;

    #[test]
    fn a_machine_without_a_free_port_has_an_exit_of_its_own() {
        let none = std::io::Error::from(std::io::ErrorKind::AddrInUse);
        assert_eq!(
            RunError::from(EnvironmentError::from(ClusterError::Port(none))).exit(),
            Exit::AddressInUse
        );
        assert_eq!(RunError::Interrupted.exit(), Exit::Interrupted);
        let crash =
            |said: &str| RunError::Crashed { crash: format!("node n1 ended by itself; it said:\n{said}") };
        let taken = "error: cannot listen on 127.0.0.1:1\n  caused by: Address already in use (os error 98)";
        assert_eq!(crash(taken).exit(), Exit::AddressInUse);
        assert_eq!(crash("error: no space left on device").exit(), Exit::SetupFailed);
    }
}
