//! The fault timeline of a run: one task a fault, which sleeps until its time, applies it, sleeps until its end, and heals it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::board::FaultBoard;
use super::link::Links;
use super::netns_link::NetnsLinks;
use super::process::Processes;
use super::proxy::http::Finding;
use super::redis::RedisFaults;
use crate::bench::ids::NodeIndex;
use crate::bench::load::balancer::Balancer;
use crate::bench::load::clients::Commands;
use crate::bench::metrics::clock::RunClock;
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::{FaultAction, PlannedFault};
use crate::bench::scenario::{LinkEffect, ProcessAction, ToxicKind};
use crate::bench::verdict::ledger::FaultRecord;

/// Time limit for applying or healing one fault, which may include a drain, or a node that reads its log.
const STEP_TIMEOUT: Duration = Duration::from_secs(120);

/// Applies and heals all kinds of faults.
#[derive(Debug)]
pub struct Injector {
    /// For process faults.
    pub processes: Processes,
    /// For faults of the Redis servers.
    pub redis: RedisFaults,
    /// For link faults.
    pub links: Links,
    /// For faults of network namespaces.
    pub netns_links: NetnsLinks,
    /// For reconnect storms.
    pub commands: Commands,
    /// Learns which nodes join and leave.
    pub balancer: Balancer,
}

/// Faults that are active or still to come.
#[derive(Debug)]
pub struct Timeline {
    /// In the order of their times; healing goes the other way.
    running: Vec<Running>,
    clock: RunClock,
}

#[derive(Debug)]
struct Running {
    planned: PlannedFault,
    enough: CancellationToken,
    task: JoinSet<FaultRecord>,
}

impl Timeline {
    /// Starts the timeline. The clock must be running.
    #[must_use]
    pub fn start(faults: &[PlannedFault], injector: Injector, clock: &RunClock) -> Self {
        Self::start_noting(faults, injector, clock, &Arc::default())
    }

    /// Starts the timeline, and keeps the states of the faults on a board.
    #[must_use]
    pub fn start_noting(
        faults: &[PlannedFault],
        injector: Injector,
        clock: &RunClock,
        board: &Arc<FaultBoard>,
    ) -> Self {
        let injector = Arc::new(injector);
        let mut faults = faults.to_vec();
        faults.sort_by_key(|fault| fault.at);
        let running = faults.into_iter().map(|planned| {
            let enough = CancellationToken::new();
            let mut task = JoinSet::new();
            let (injector, board) = (Arc::clone(&injector), Arc::clone(board));
            task.spawn(live(planned.clone(), injector, clock.clone(), enough.clone(), board));
            Running { planned, enough, task }
        });
        Self { running: running.collect(), clock: clock.clone() }
    }

    /// Heals every active fault, the newest first, and returns what happened. Faults that were not yet applied are not
    /// applied any more.
    pub async fn heal_all(self) -> Vec<FaultRecord> {
        let mut records = Vec::new();
        for mut fault in self.running.into_iter().rev() {
            fault.enough.cancel();
            let record = match fault.task.join_next().await {
                Some(Ok(record)) => record,
                Some(Err(panicked)) => std::panic::resume_unwind(panicked.into_panic()),
                None => failed(&fault.planned, "it left no record".to_owned()),
            };
            records.push(record);
        }
        records.sort_by_key(|record| record.planned);
        tracing::debug!(at = %self.clock.now(), "all faults are healed");
        records
    }
}

fn empty(fault: &PlannedFault) -> FaultRecord {
    let planned = RunTime::from(fault.at);
    FaultRecord { name: fault.name.clone(), planned, applied: None, healed: None, error: None }
}

fn failed(fault: &PlannedFault, error: String) -> FaultRecord {
    FaultRecord { error: Some(error), ..empty(fault) }
}

/// One fault from its start to its healing.
async fn live(
    fault: PlannedFault,
    injector: Arc<Injector>,
    clock: RunClock,
    enough: CancellationToken,
    board: Arc<FaultBoard>,
) -> FaultRecord {
    if until(&clock, Some(fault.at), &enough).await {
        return empty(&fault);
    }
    let mut record = FaultRecord { applied: Some(clock.now()), ..empty(&fault) };
    board.note(|states| states.applied(&fault.name));
    tracing::info!(fault = %fault.name, at = %clock.now(), "fault applied");
    if let Err(error) = injector.apply(&fault, &enough).await {
        record.error = Some(format!("could not be applied: {error}"));
    }
    // A fault that ends by itself counts as healed only at the end of its time.
    let is_over = matches!(fault.action, FaultAction::RollingRestart { .. });
    if !is_over {
        until(&clock, fault.heals_at, &enough).await;
    }
    let finding = injector.finding(&fault);
    let met = finding.as_ref().map(|finding| finding.met);
    record.error = record.error.or(finding.and_then(|finding| finding.unreadable));
    match in_time(injector.heal(&fault)).await {
        Ok(()) => record.healed = Some(clock.now()),
        Err(error) => {
            record.error.get_or_insert(format!("could not be healed: {error}"));
        }
    }
    board.note(|states| states.healed_now(&fault.name));
    match &record.error {
        None => tracing::info!(fault = %fault.name, at = %clock.now(), met, "fault healed"),
        Some(error) => tracing::warn!(fault = %fault.name, at = %clock.now(), error, "fault failed"),
    }
    record
}

/// Sleeps until this time of the run, or for ever. Returns whether it was asked to stop earlier.
async fn until(clock: &RunClock, time: Option<Duration>, enough: &CancellationToken) -> bool {
    let slept = async {
        match time {
            Some(time) => tokio::time::sleep_until(clock.instant_of(time)).await,
            None => std::future::pending().await,
        }
    };
    enough.run_until_cancelled(slept).await.is_none()
}

async fn in_time(step: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::time::timeout(STEP_TIMEOUT, step)
        .await
        .unwrap_or_else(|_| Err(format!("the step did not end within {STEP_TIMEOUT:?}")))
}

impl Injector {
    async fn apply(&self, fault: &PlannedFault, enough: &CancellationToken) -> Result<(), String> {
        match &fault.action {
            FaultAction::Process { action, nodes } => in_time(self.processes.apply(*action, nodes)).await,
            FaultAction::RollingRestart { nodes, every } => self.roll(nodes, *every, enough).await,
            FaultAction::Redis { action, target } => {
                in_time(self.redis.apply(fault.id, *action, *target)).await
            }
            FaultAction::Scale { nodes, is_up } => in_time(self.scale(nodes, *is_up)).await,
            FaultAction::Link { link, effect, nodes } => {
                in_time(self.links.apply(&fault.name, *link, effect, nodes)).await
            }
            FaultAction::Netns { nodes } => in_time(self.netns_links.link_down(nodes)).await,
            FaultAction::ReconnectStorm { subscribers } => {
                self.commands.cut(subscribers);
                Ok(())
            }
            // The clients do it by themselves when their plans say so.
            FaultAction::ChurnBurst { .. } | FaultAction::SlowDown { .. } => Ok(()),
        }
    }

    /// What a fault came to, if it is an event toxic.
    fn finding(&self, fault: &PlannedFault) -> Option<Finding> {
        let FaultAction::Link { link, nodes, effect } = &fault.action else { return None };
        let is_of_events = matches!(effect, LinkEffect::Toxic { kind: ToxicKind::Event(_), .. });
        is_of_events.then(|| self.links.finding(&fault.name, *link, nodes))
    }

    async fn heal(&self, fault: &PlannedFault) -> Result<(), String> {
        match &fault.action {
            FaultAction::Process { action, nodes } => self.processes.heal(*action, nodes).await,
            // A rolling restart that was interrupted may have left one node down.
            FaultAction::RollingRestart { nodes, .. } => {
                self.processes.heal(ProcessAction::Restart, nodes).await
            }
            FaultAction::Redis { action, .. } => self.redis.heal(fault.id, *action).await,
            FaultAction::Scale { nodes, is_up } => self.unscale(nodes, *is_up).await,
            FaultAction::Link { link, effect, nodes } => {
                self.links.heal(&fault.name, *link, effect, nodes).await
            }
            FaultAction::Netns { nodes } => self.netns_links.link_up(nodes).await,
            // The clients reconnect by themselves: that is the storm.
            FaultAction::ReconnectStorm { .. }
            | FaultAction::ChurnBurst { .. }
            | FaultAction::SlowDown { .. } => Ok(()),
        }
    }

    /// Clients choose a node only while it is ready, and no longer once it drains.
    async fn scale(&self, nodes: &[NodeIndex], is_up: bool) -> Result<(), String> {
        if is_up {
            self.processes.start(nodes).await?;
            self.balancer.enable(nodes);
            return Ok(());
        }
        self.balancer.disable(nodes);
        self.processes.apply(ProcessAction::Term, nodes).await
    }

    async fn unscale(&self, nodes: &[NodeIndex], was_up: bool) -> Result<(), String> {
        if was_up {
            self.balancer.disable(nodes);
            return self.processes.end(nodes).await;
        }
        self.processes.heal(ProcessAction::Term, nodes).await?;
        self.balancer.enable(nodes);
        Ok(())
    }

    /// Restarts node after node. The next one starts when this one is ready, and after `every` at the earliest.
    async fn roll(
        &self,
        nodes: &[NodeIndex],
        every: Duration,
        enough: &CancellationToken,
    ) -> Result<(), String> {
        for node in nodes {
            let next = tokio::time::Instant::now() + every;
            in_time(self.processes.apply(ProcessAction::Restart, &[*node])).await?;
            in_time(self.processes.heal(ProcessAction::Restart, &[*node])).await?;
            if enough.run_until_cancelled(tokio::time::sleep_until(next)).await.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::bench::cluster::{CommandResult, NodeCommand, NodeHandle};
    use crate::bench::ids::FaultId;
    use crate::bench::scenario::{LbPolicy, RedisAction, RedisTarget};

    type Heard = Arc<Mutex<Vec<String>>>;

    fn balancer() -> Balancer {
        Balancer::new(LbPolicy::RoundRobin, ["http://n1", "http://n2"].map(str::to_owned))
    }

    /// Nodes that write down what they are told and answer all the same.
    fn nodes(count: u16, answer: CommandResult) -> (Injector, Heard, JoinSet<()>) {
        let heard = Heard::default();
        let mut tasks = JoinSet::new();
        let mut handles = Vec::new();
        for number in 1..=count {
            let (handle, mut commands) = NodeHandle::to_a_test(&format!("n{number}"));
            let heard = Arc::clone(&heard);
            tasks.spawn(async move {
                while let Some((order, reply)) = commands.recv().await {
                    let word = match order {
                        NodeCommand::Start | NodeCommand::StartFirst => "start",
                        NodeCommand::Kill => "kill",
                        NodeCommand::Terminate(_) => "terminate",
                        NodeCommand::Pause => "pause",
                        NodeCommand::Resume => "resume",
                    };
                    heard.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{word} n{number}"));
                    reply.send(Ok(answer)).expect("somebody waits");
                }
            });
            handles.push(Some(handle));
        }
        let processes = Processes { nodes: handles, grace: Duration::from_secs(1) };
        (
            Injector {
                processes,
                redis: RedisFaults::new(None),
                links: Links::default(),
                netns_links: NetnsLinks::default(),
                commands: Commands::default(),
                balancer: balancer(),
            },
            heard,
            tasks,
        )
    }

    fn fault(id: u16, action: ProcessAction, node: u16, at: u64, heals_at: Option<u64>) -> PlannedFault {
        PlannedFault {
            id: FaultId(id),
            name: format!("f{id}"),
            at: Duration::from_secs(at),
            heals_at: heals_at.map(Duration::from_secs),
            action: FaultAction::Process { action, nodes: vec![NodeIndex(node)] },
        }
    }

    /// Runs the faults for so long, then heals; what the nodes heard, and the records.
    async fn play(
        faults: &[PlannedFault],
        seconds: u64,
        answer: CommandResult,
    ) -> (Vec<String>, Vec<FaultRecord>) {
        let (injector, heard, _tasks) = nodes(2, answer);
        let clock = RunClock::default();
        clock.start();
        let timeline = Timeline::start(faults, injector, &clock);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let records = timeline.heal_all().await;
        let heard = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (heard, records)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_still_broken_at_the_end_is_healed_the_newest_first() {
        let faults = [fault(0, ProcessAction::Pause, 0, 1, None), fault(1, ProcessAction::Kill, 1, 2, None)];
        let (heard, records) = play(&faults, 5, CommandResult::Yes).await;
        assert_eq!(heard, ["pause n1", "kill n2", "start n2", "resume n1"]);
        assert!(records.iter().all(|record| record.applied.is_some() && record.healed.is_some()));
        assert!(records.iter().all(|record| record.error.is_none()), "{records:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_with_an_end_is_healed_then_and_only_once() {
        let faults =
            [fault(0, ProcessAction::Term, 0, 1, Some(2)), fault(1, ProcessAction::Restart, 1, 3, Some(3))];
        let (heard, _) = play(&faults, 9, CommandResult::Yes).await;
        assert_eq!(heard, ["terminate n1", "start n1", "terminate n2", "start n2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_whose_time_never_came_is_not_applied() {
        let (heard, records) =
            play(&[fault(0, ProcessAction::Kill, 0, 60, None)], 1, CommandResult::Yes).await;
        assert!(heard.is_empty(), "{heard:?}");
        assert_eq!((records[0].applied, records[0].healed), (None, None));
        assert_eq!(records[0].error, None, "an interrupted run has no fault of its own");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_that_finds_nothing_to_break_is_an_error() {
        let (_, records) =
            play(&[fault(0, ProcessAction::Kill, 0, 1, None)], 2, CommandResult::Already).await;
        let error = records[0].error.clone().unwrap();
        assert!(error.contains("n1 was not running"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rolling_restart_takes_one_node_after_the_other_and_is_then_over() {
        let every = Duration::from_secs(4);
        let action = FaultAction::RollingRestart { nodes: vec![NodeIndex(0), NodeIndex(1)], every };
        let roll = PlannedFault { action, ..fault(0, ProcessAction::Restart, 0, 1, Some(60)) };
        let (heard, records) = play(&[roll], 30, CommandResult::Yes).await;
        let turn = ["terminate n1", "start n1", "terminate n2", "start n2"];
        // Healing a healthy node is not an error.
        assert_eq!(heard, [turn.as_slice(), &["start n1", "start n2"]].concat());
        let healed = records[0].healed.unwrap().since_start();
        assert!((Duration::from_secs(9)..Duration::from_secs(10)).contains(&healed), "{healed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rolling_restart_that_is_told_to_end_leaves_the_others_alone() {
        let every = Duration::from_secs(4);
        let action = FaultAction::RollingRestart { nodes: vec![NodeIndex(0), NodeIndex(1)], every };
        let roll = PlannedFault { action, ..fault(0, ProcessAction::Restart, 0, 1, None) };
        let (heard, records) = play(&[roll], 2, CommandResult::Yes).await;
        assert!(!heard.contains(&"terminate n2".to_owned()), "{heard:?}");
        assert!(records[0].error.is_none() && records[0].healed.is_some(), "{records:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_scale_down_drains_nodes_and_brings_them_back() {
        let action = FaultAction::Scale { nodes: vec![NodeIndex(1)], is_up: false };
        let scale = PlannedFault { action, ..fault(0, ProcessAction::Kill, 0, 1, Some(3)) };
        let (heard, records) = play(&[scale], 5, CommandResult::Yes).await;
        assert_eq!(heard, ["terminate n2", "start n2"]);
        assert!(records[0].error.is_none(), "{records:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_scale_up_starts_nodes_and_drains_them_in_the_end() {
        let action = FaultAction::Scale { nodes: vec![NodeIndex(0), NodeIndex(1)], is_up: true };
        let scale = PlannedFault { action, ..fault(0, ProcessAction::Kill, 0, 1, None) };
        let (heard, records) = play(std::slice::from_ref(&scale), 5, CommandResult::Yes).await;
        assert_eq!(heard, ["start n1", "start n2", "terminate n1", "terminate n2"]);
        assert!(records[0].error.is_none() && records[0].healed.is_some(), "{records:?}");
        let (_, records) = play(&[scale], 5, CommandResult::Already).await;
        assert!(records[0].error.as_ref().unwrap().contains("was running already"), "{records:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_of_a_redis_that_is_not_there_is_an_error() {
        let action = FaultAction::Redis { action: RedisAction::Kill, target: RedisTarget::Primary };
        let kill = PlannedFault { action, ..fault(0, ProcessAction::Kill, 0, 1, None) };
        let (_, records) = play(&[kill], 2, CommandResult::Yes).await;
        assert!(records[0].error.as_ref().unwrap().contains("did not start a Redis"), "{records:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_is_not_ours_cannot_be_broken() {
        let processes = Processes { nodes: vec![None], grace: Duration::from_secs(1) };
        let injector = Injector {
            processes,
            redis: RedisFaults::new(None),
            links: Links::default(),
            netns_links: NetnsLinks::default(),
            commands: Commands::default(),
            balancer: balancer(),
        };
        let clock = RunClock::default();
        clock.start();
        let timeline = Timeline::start(&[fault(0, ProcessAction::Pause, 0, 1, None)], injector, &clock);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let records = timeline.heal_all().await;
        assert!(records[0].error.as_ref().unwrap().contains("did not start"), "{records:?}");
    }
}
