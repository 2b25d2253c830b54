//! What happens before the clock starts: limits checked, directory made, servers ready, clients connected.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::RunOptions;
use crate::bench::cluster::Sign;
use crate::bench::doctor::{self, Limits, Need};
use crate::bench::gateway;
use crate::bench::plan::{FaultAction, Joins, Plan};
use crate::bench::scenario::{self, LbKind};
use crate::bench::site::{Site, SiteError, SiteSpec};
use crate::bench::swarm::Ground;
use crate::bench::trust::TrustError;
use crate::bench::verdict::Exit;
use crate::bench::workers::CrewError;
use crate::bench::workers::crew::Losses;
use crate::client::whole_chain;

/// Clients must be connected within this, and a millisecond for each.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// What a server says that found its port taken: the port was free a moment ago, and somebody else was faster.
const PORT_TAKEN: &str = "Address already in use";
/// How often it looks whether they are.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Why a run could not begin, or left no report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The machine does not allow it.
    #[error("this machine allows {found}: {fix}")]
    Limits { found: String, fix: String },
    /// Workers that did not start.
    #[error(transparent)]
    Crew(#[from] CrewError),
    /// The scenario asks for what cannot be done to these nodes.
    #[error("fault {fault:?} breaks a process, and the nodes to attach to are not started by the bench")]
    ForeignProcess { fault: String },
    /// Certificates that nodes are checked with.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Small sockets speak no TLS.
    #[error("clients.{group}.read is for http: its small sockets speak no TLS, and {base} asks for it")]
    SlowOverTls { group: String, base: String },
    /// Nodes of ours speak their own way.
    #[error("[dialect] needs servers that are there already: give them with --target URL or cluster.attach")]
    DialectOfNobody,
    /// Two addresses that the servers cannot tell apart.
    #[error(
        "dialect.names gives {one} and {other} the same name, {name:?}: what is for one would reach the other"
    )]
    SameName { one: String, other: String, name: String },
    /// A directory or file of the run.
    #[error("cannot write {path:?}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Somebody listens there already, or the address is not this machine's.
    #[error("cannot listen on {address} for metrics (--prometheus, output.prometheus)")]
    Bind {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    /// No HTTP client.
    #[error("cannot set up HTTP")]
    Http(#[source] crate::client::HttpOptionsError),
    /// No cluster, or not all of it.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// Clients that did not get in.
    #[error("only {connected} of {wanted} clients were connected after {waited:?}{hint}")]
    Clients { connected: u64, wanted: u64, waited: Duration, hint: String },
    /// A node ended meanwhile.
    #[error("before all clients were connected, {crash}")]
    Crashed { crash: String },
    /// ^C before there was anything to report.
    #[error("interrupted before the clock was started")]
    Interrupted,
}

impl RunError {
    /// The exit that this leads to.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Limits { .. }
            | Self::DialectOfNobody
            | Self::SameName { .. }
            | Self::ForeignProcess { .. }
            | Self::Trust(_)
            | Self::SlowOverTls { .. } => Exit::BadScenario,
            Self::Crashed { crash } if crash.contains(PORT_TAKEN) => Exit::AddressInUse,
            Self::Clients { .. } | Self::Crashed { .. } | Self::Crew(_) => Exit::SetupFailed,
            Self::Site(error) if whole_chain(error).contains(PORT_TAKEN) => Exit::AddressInUse,
            Self::Site(error) => error.exit(),
            Self::Write { .. } | Self::Http(_) => Exit::Internal,
            Self::Bind { .. } => Exit::AddressInUse,
            Self::Interrupted => Exit::Interrupted,
        }
    }
}

/// Refuses a plan that this machine or these nodes cannot carry out. How many workers it takes; `workers` is what the
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
    if let Some(finding) = doctor::vital(limits, need, starts_nodes).into_iter().next() {
        let found = format!("{} {}", finding.what, finding.found);
        return Err(RunError::Limits { found, fix: finding.fix.unwrap_or_default() });
    }
    let through_balancer = gateway::open_files(budget.clients + publishes);
    if plan.lb.kind != LbKind::Swarm && through_balancer > limits.open_files {
        let found = format!("open files {}, {through_balancer} needed by the balancer", limits.open_files);
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
            | FaultAction::Unplug { .. }
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

/// Everything that the run needs, ready.
pub(super) async fn site(plan: &Plan, run_dir: PathBuf, http: &reqwest::Client) -> Result<Site, RunError> {
    let budget = plan.budget();
    let publishes: u64 = plan.publishers.iter().map(|publisher| u64::from(publisher.max_in_flight)).sum();
    let connections = budget.clients + publishes;
    let (cluster, proxied) = (plan.cluster.clone(), plan.proxied.clone());
    let sign = match &plan.dialect {
        None => Sign::usual(),
        Some(dialect) => dialect.ready.clone().map_or(Sign::Answer, Sign::Success),
    };
    let spec = SiteSpec { cluster, sign, lb: plan.lb, connections, run_dir, proxied, seed: plan.seed };
    Ok(Site::start(&spec, http).await?)
}

/// Waits until every client that joins before the start has a confirmed stream.
pub(super) async fn clients(
    ground: &Arc<Ground>,
    site: Option<&Site>,
    losses: &Losses,
) -> Result<(), RunError> {
    let joins_early = |joins: &Joins| *joins == Joins::BeforeStart;
    let subscribers = &ground.plan.subscribers;
    let wanted = subscribers.iter().filter(|subscriber| joins_early(&subscriber.joins)).count() as u64;
    let patience = CONNECT_TIMEOUT + Duration::from_millis(wanted);
    let began = Instant::now();
    loop {
        let snapshot = ground.progress.snapshot();
        if snapshot.connected >= wanted {
            return Ok(());
        }
        let crash = site.and_then(|site| site.crashes().pop()).or_else(|| losses.first());
        if let Some(crash) = crash {
            return Err(RunError::Crashed { crash });
        }
        if began.elapsed() >= patience {
            let hint = match (snapshot.connect_errors, snapshot.connected) {
                (0, 0) => "; they got no CONNECTION event: is it a node of this system?".to_owned(),
                (0, _) => "; the others were sent away: is --max-connections too low?".to_owned(),
                _ => match ground.progress.first_connect_error() {
                    Some(reason) => format!("; the others could not connect: {reason}"),
                    None => "; the others could not connect: see the nodes' logs".to_owned(),
                },
            };
            return Err(RunError::Clients { connected: snapshot.connected, wanted, waited: patience, hint });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cluster::ClusterError;

    #[test]
    fn a_machine_without_a_free_port_has_an_exit_of_its_own() {
        let none = std::io::Error::from(std::io::ErrorKind::AddrInUse);
        assert_eq!(RunError::from(SiteError::from(ClusterError::Port(none))).exit(), Exit::AddressInUse);
        assert_eq!(RunError::Interrupted.exit(), Exit::Interrupted);
        let crash =
            |said: &str| RunError::Crashed { crash: format!("node n1 ended by itself; it said:\n{said}") };
        let taken = "error: cannot listen on 127.0.0.1:1\n  caused by: Address already in use (os error 98)";
        assert_eq!(crash(taken).exit(), Exit::AddressInUse);
        assert_eq!(crash("error: no space left on device").exit(), Exit::SetupFailed);
    }
}
