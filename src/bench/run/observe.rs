//! What is measured of the nodes during a run: their resources from `/proc`, and whether they answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::bench::cluster::redis::{Servers, commandstats};
use crate::bench::cluster::{Member, NodeHandle, Usage, usage};
use crate::bench::ids::NodeIndex;
use crate::bench::load::balancer::Balancer;
use crate::bench::load::clients::context::SwarmContext;
use crate::bench::verdict::history::facts::ProcessReport;

/// Period of reading `/proc`.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
/// Period of health checks.
const HEALTH_EVERY: Duration = Duration::from_millis(250);

/// The resources of one process, over all its restarts.
#[derive(Debug)]
struct Observer {
    usage: ProcessReport,
    pid: Option<u32>,
    /// CPU time of this process at the last sample, and of the processes before it.
    cpu_now: Duration,
    cpu_before: Duration,
    /// Resident memory and connections at the last sample up to the start of the clock.
    connected: (u64, u32),
}

impl Observer {
    fn new(id: &str) -> Self {
        let usage = ProcessReport { id: id.to_owned(), ..ProcessReport::default() };
        Self { usage, pid: None, cpu_now: Duration::ZERO, cpu_before: Duration::ZERO, connected: (0, 0) }
    }

    fn sample(&mut self, pid: u32, now: Usage, connections: u32) {
        if self.pid != Some(pid) {
            self.pid = Some(pid);
            self.cpu_before += self.cpu_now;
            self.usage.starts += 1;
        }
        self.cpu_now = now.cpu;
        let usage = &mut self.usage;
        if usage.rss_idle_bytes == 0 {
            usage.rss_idle_bytes = now.resident_bytes;
        }
        usage.rss_peak_bytes = usage.rss_peak_bytes.max(now.resident_bytes);
        usage.open_files_peak = usage.open_files_peak.max(now.open_files);
        usage.connections_peak = usage.connections_peak.max(connections);
    }

    /// From here on memory grows with what the server keeps of the load: its log, and what waits for slow readers.
    fn start(&mut self, now: Usage, connections: u32) {
        self.connected = (now.resident_bytes, connections);
    }

    fn finish(mut self) -> ProcessReport {
        // Three digits are what is measured, and a shorter number reads back as the same value.
        let seconds = (self.cpu_before + self.cpu_now).as_secs_f64();
        self.usage.cpu_seconds = (seconds * 1e3).round() / 1e3;
        let (resident, connections) = self.connected;
        let grown = resident.saturating_sub(self.usage.rss_idle_bytes);
        self.usage.rss_per_connection_bytes = grown.checked_div(u64::from(connections));
        self.usage
    }
}

/// The processes beside the nodes.
pub(super) struct Others {
    /// Load balancer and Redis.
    pub(super) servers: Vec<NodeHandle>,
    /// Names and process ids of the workers.
    pub(super) workers: Vec<(String, u32)>,
}

impl Others {
    /// An observer and a process for each, the workers last.
    fn meters(&self) -> Vec<Observer> {
        let servers = self.servers.iter().map(NodeHandle::id);
        servers.chain(self.workers.iter().map(|(name, _)| name.as_str())).map(Observer::new).collect()
    }

    /// For each of [`Self::meters`]: the process, and how many of the swarm's connections it has.
    fn processes(&self, connections: u32) -> impl Iterator<Item = (Option<u32>, u32)> {
        let share =
            u32::try_from(self.workers.len()).ok().and_then(|workers| connections.checked_div(workers));
        let workers = self.workers.iter().map(move |(_, pid)| (Some(*pid), share.unwrap_or(0)));
        self.servers.iter().map(|server| (server.pid(), 0)).chain(workers)
    }
}

/// Samples the nodes and this process until `stop` is cancelled. `started`: the clock starts, and all clients of the set-up
/// are connected.
pub(super) async fn sample(
    members: Vec<Member>,
    others: Others,
    balancer: Balancer,
    (started, stop): (CancellationToken, CancellationToken),
) -> Vec<ProcessReport> {
    let mut meters: Vec<Observer> = members.iter().map(|member| Observer::new(&member.id)).collect();
    let mut besides = others.meters();
    let mut own = Observer::new("bench");
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_set_up = false;
    loop {
        let starts = tokio::select! {
            () = stop.cancelled() => break,
            () = started.cancelled(), if !is_set_up => true,
            _ = ticks.tick() => false,
        };
        is_set_up |= starts;
        let open = balancer.open();
        for ((member, meter), connections) in members.iter().zip(&mut meters).zip(&open) {
            if let Some(pid) = member.handle.as_ref().and_then(|handle| handle.pid())
                && let Some(now) = usage::read(pid)
            {
                meter.sample(pid, now, *connections);
                if starts {
                    meter.start(now, *connections);
                }
            }
        }
        let all: u32 = open.iter().sum();
        for ((pid, connections), meter) in others.processes(all).zip(&mut besides) {
            if let Some((pid, now)) = pid.and_then(|pid| Some((pid, usage::read(pid)?))) {
                meter.sample(pid, now, connections);
                if starts {
                    meter.start(now, connections);
                }
            }
        }
        if let Some(now) = usage::of_this_process() {
            let connections = if others.workers.is_empty() { all } else { 0 };
            own.sample(std::process::id(), now, connections);
            if starts {
                own.start(now, connections);
            }
        }
    }
    let started = meters.into_iter().chain(besides).filter(|meter| meter.usage.starts > 0);
    started.chain([own]).map(Observer::finish).collect()
}

/// Counts the commands of Redis from the start of the clock to the end of the load.
pub(super) async fn count_commands(
    servers: Servers,
    context: Arc<SwarmContext>,
    stop: CancellationToken,
) -> BTreeMap<String, u64> {
    let mut meter = commandstats::CommandStatsSampler::default();
    if stop.run_until_cancelled(context.started.cancelled()).await.is_none() {
        return meter.finish();
    }
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        meter.look(&servers).await;
        // The last sample comes after the end, so that it includes the last events.
        if context.clock.now().since_start() >= context.plan.duration {
            break;
        }
    }
    meter.finish()
}

/// Tells the balancer which nodes answer, until `stop` is cancelled. A single node needs no check.
pub(super) async fn watch_health(members: Vec<Member>, balancer: Balancer, stop: CancellationToken) {
    if members.len() < 2 {
        return;
    }
    let mut ticks = tokio::time::interval(HEALTH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let looks = members.iter().map(|member| member.readiness.ask());
        for (index, is_up) in (0..).zip(futures_util::future::join_all(looks).await) {
            balancer.mark_node(NodeIndex(index), is_up.is_ok());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(resident_bytes: u64, cpu: u64) -> Usage {
        Usage { resident_bytes, cpu: Duration::from_secs(cpu), open_files: 10 }
    }

    #[test]
    fn a_restarted_node_is_one_account() {
        let mut meter = Observer::new("n1");
        meter.sample(7, used(1_000, 1), 0);
        meter.sample(7, used(9_000, 3), 80);
        meter.start(used(9_000, 3), 80);
        meter.sample(8, used(500, 1), 0);
        meter.sample(8, used(800_000, 2), 40);
        let usage = meter.finish();
        assert_eq!((usage.starts, usage.rss_idle_bytes, usage.rss_peak_bytes), (2, 1_000, 800_000));
        assert_eq!(
            usage.rss_per_connection_bytes,
            Some(100),
            "what came later is not the cost of connecting"
        );
        assert!((usage.cpu_seconds - 5.0).abs() < 1e-9, "{}", usage.cpu_seconds);
    }

    #[test]
    fn without_connections_nothing_is_divided() {
        assert_eq!(Observer::new("n1").finish().rss_per_connection_bytes, None);
    }
}
