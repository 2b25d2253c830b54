//! A run from plan to report. Read [`run`] first: its lines are the steps of a run, in their order.

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::clients::Clients;
use super::conclude::{conclude, conclude_without_a_run};
use super::doctor::Limits;
use super::environment::Environment;
use super::follow::{self, Follower};
use super::live::{self, Begin, Line, LiveLog};
use super::outcome::{Outcome, RunError, RunOptions};
use super::quiesce::{self, Quiescence, collect, quiesce, senders};
use super::scrape::Scrape;
use super::unaccepted::unaccepted;
use super::watch::{Seen, Watchers};
use super::{audit, baseline, files, mailboxes, setup};
use crate::bench::cluster::Member;
use crate::bench::exit::{Exit, RunProblem};
use crate::bench::faults::{FaultBoard, Injector, NetnsLinks, Processes, RedisFaults, Timeline};
use crate::bench::ids::{AddressId, NodeIndex, RunId};
use crate::bench::load::balancer::Balancer;
use crate::bench::load::clients::context::SwarmContext;
use crate::bench::load::clients::{self, Commands, Transports};
use crate::bench::load::hostile::HostileClients;
use crate::bench::load::probes::Prober;
use crate::bench::load::publishers::{PublishContext, Published, Publisher};
use crate::bench::load::tls;
use crate::bench::load::workers::LostWorkers;
use crate::bench::metrics::clock::RunClock;
use crate::bench::metrics::recorder::Recorder;
use crate::bench::panic;
use crate::bench::scenario::plan::Plan;
use crate::bench::scenario::{LinkKind, Scenario};
use crate::bench::verdict::history::facts::HarnessBaseline;
use crate::bench::verdict::history::{
    self, Entry, History, HistoryWriter, Ledgers, StoredFacts, StoredRun, WriterTask,
};
use crate::bench::verdict::ledger::{AuditLedger, FaultRecord, ProbeLedger};
use crate::client::HttpOptions;
use crate::protocol::Address;
use crate::runtime::cores;

/// Time between SIGTERM and SIGKILL, in which a node drains.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// Time limit for the clients to close their sockets.
const SWARM_GRACE: Duration = Duration::from_secs(20);
/// Idle connections that publishers keep open, by node.
const PUBLISH_CONNECTIONS: usize = 256;

/// Runs a scenario. Cancelling `interrupt` asks for an orderly end: heal, drain, report. Dropping the future ends
/// everything at once, the nodes included.
///
/// # Errors
/// Why the run could not start. Files that cannot be written are reported in the outcome.
pub async fn run(
    scenario: &Scenario,
    options: &RunOptions,
    limits: &Limits,
    interrupt: &CancellationToken,
) -> Result<Outcome, RunError> {
    let started_at = SystemTime::now();
    let plan = Arc::new(Plan::new(scenario, RunId::from_random(rand::random())));
    // First: whatever ends this run early, no file of an earlier run may be taken for its result.
    files::forget(&options.dir).map_err(|(path, source)| RunError::Write { path, source })?;
    let workers = setup::check(&plan, limits, options, scenario.workers)?;
    plan.overlaps().iter().for_each(|overlap| tracing::warn!("{overlap}"));
    let http = HttpOptions { trust: tls::read(&scenario.tls)?, ..HttpOptions::default() };
    let planned = Planned { plan: Arc::clone(&plan), workers, http };
    create_dir(&options.dir)?;
    let started = humantime::format_rfc3339_millis(started_at).to_string();
    let begin = Begin::new(&plan, started.clone());
    let live_log = LiveLog::create(&options.dir)
        .map_err(|source| RunError::Write { path: options.dir.join(live::FILE), source })?;
    live_log.write(&Line::Begin(begin.clone()));
    let follower = Follower {
        begin,
        live_log: live_log.clone(),
        shows_progress: options.show_progress,
        faults: Arc::default(),
    };
    let result = carry_out(planned, options, follower, started_at, interrupt).await;
    if let Err(error) = &result {
        conclude_without_a_run(&plan, options, error, &started);
    }
    live_log.write(&follow::end(&result));
    result
}

/// A plan and how to run it.
struct Planned {
    plan: Arc<Plan>,
    workers: u16,
    /// Options of every connection to a node.
    http: HttpOptions,
}

/// Runs a plan, from the start of the servers to the written report.
async fn carry_out(
    planned: Planned,
    options: &RunOptions,
    follower: Follower,
    started_at: SystemTime,
    interrupt: &CancellationToken,
) -> Result<Outcome, RunError> {
    let writing = match options.history {
        History::All => Some(
            HistoryWriter::start(&options.dir, history::HISTORY)
                .map_err(|source| RunError::Write { path: options.dir.join(history::HISTORY), source })?,
        ),
        History::Off | History::Anomalies => None,
    };
    let writer = writing.as_ref().map(WriterTask::writer).cloned();
    let mut state = until(interrupt, RunState::set(planned, options, follower, writer)).await??;
    let failed = state.clients.as_ref().map(Clients::failed).ok_or(RunError::Interrupted)?;
    let (load, silence) = tokio::select! {
        done = state.run_until_quiescent(interrupt) => done?,
        // Some clients are gone: whatever the run would find is wrong.
        why = failed => resume_unwind(Box::new(why)),
    };
    let probes = match state.prober.take() {
        Some(prober) => prober.end(load.was_interrupted).await,
        None => None,
    };
    let mut ended = std::mem::take(&mut state.clients).ok_or(RunError::Interrupted)?.end(SWARM_GRACE).await;
    let audit = state.audit().await;
    let mailboxes = state.mailboxes(&load).await;
    let watched = state.watchers.end().await;
    let teardown = state.tear_down(options.keep_cluster).await;
    let baseline = state.baseline.take();
    let (mut history, mut unwritten) =
        (std::mem::take(&mut ended.histories), std::mem::take(&mut ended.unwritten));
    if let Some(writing) = writing {
        let (entry, troubles) = writing.end().await;
        history.extend(entry);
        unwritten.extend(troubles);
    }
    let evidence = RunResults {
        load,
        silence,
        ended,
        audit,
        probes,
        mailboxes,
        watched,
        teardown,
        baseline,
        history,
        unwritten,
    };
    let plan = Arc::clone(&state.context.plan);
    Ok(evidence.judge(plan, options, started_at).await)
}

fn create_dir(path: &Path) -> Result<(), RunError> {
    std::fs::create_dir_all(path).map_err(|source| RunError::Write { path: path.to_owned(), source })
}

async fn until<T>(interrupt: &CancellationToken, step: impl Future<Output = T>) -> Result<T, RunError> {
    interrupt.run_until_cancelled(step).await.ok_or(RunError::Interrupted)
}

/// Everything that is alive during a run.
struct RunState {
    /// Which faults are at work.
    faults: Arc<FaultBoard>,
    context: Arc<SwarmContext>,
    publishing: PublishContext,
    /// For the run's own questions: readiness, the log, mailboxes.
    asking: reqwest::Client,
    commands: Commands,
    clients: Option<Clients>,
    /// Runs while the clock does.
    prober: Option<Prober>,
    lost_workers: LostWorkers,
    watchers: Watchers,
    environment: Option<Environment>,
    members: Vec<Member>,
    /// The lowest latency that this bench can measure.
    baseline: Option<HarnessBaseline>,
}

/// The results of load and faults.
struct LoadResult {
    published: Vec<Published>,
    /// What the hostile clients counted.
    hostile: Recorder,
    faults: Vec<FaultRecord>,
    was_interrupted: bool,
    /// Unix time of the start of the clock.
    began_unix_ms: u64,
    /// How long publishers published, as planned or shorter.
    ran: Duration,
}

impl RunState {
    async fn set(
        Planned { plan, workers, http }: Planned,
        options: &RunOptions,
        follower: Follower,
        writer: Option<HistoryWriter>,
    ) -> Result<Self, RunError> {
        let scrape = match options.prometheus {
            Some(address) => Some(Scrape::bind(address).await?),
            None => None,
        };
        // Streams use a client without a connection pool: a pool could hand a publisher's connection to a stream.
        let for_streams = Transports::new(&plan, &http).map_err(RunError::Http)?;
        let for_publishing =
            HttpOptions { idle_connections: PUBLISH_CONNECTIONS, follows_redirects: false, ..http.clone() };
        let asking = HttpOptions { headers: setup::own_headers(&plan), ..for_publishing.clone() };
        let asking = asking.build().map_err(RunError::Http)?;
        let for_publishing = for_publishing.build().map_err(RunError::Http)?;
        // Measured before the servers start, on an idle machine.
        let usual = http.build().map_err(RunError::Http)?;
        let baseline =
            baseline::measure(&usual, &for_publishing, plan.proxied.contains(&LinkKind::ClientNode)).await;
        // Boxed, because the future that starts processes is large.
        let environment = Box::pin(setup::environment(&plan, options.dir.clone(), &asking)).await?;
        let members = environment.members().to_vec();
        follower.report_nodes(members.iter().take(plan.cluster.nodes()));
        let balancer = match environment.load_balancer() {
            Some(load_balancer) => Balancer::through(load_balancer.base().to_owned(), members.len()),
            None => Balancer::of(plan.lb, environment.endpoints().iter().cloned()),
        };
        // Spare nodes are not in the cluster until a fault starts them.
        let numbers = plan.cluster.nodes()..members.len();
        let spares: Vec<NodeIndex> = numbers.filter_map(|i| u16::try_from(i).ok()).map(NodeIndex).collect();
        balancer.disable(&spares);
        let mut context =
            SwarmContext::new(Arc::clone(&plan), for_streams, balancer.clone(), RunClock::default());
        context.writer = writer;
        let context = Arc::new(context);
        let publishing = PublishContext::of_run(for_publishing, balancer, &context);
        let commands = Commands::default();
        let spec = setup::worker_spec(&environment, options, plan.run, workers);
        let clients = Clients::start(&context, &commands, &spec).await?;
        let lost_workers = clients.lost_workers();
        let faults = Arc::clone(&follower.faults);
        let mut watchers =
            Watchers::start(&context, &publishing, &environment, clients.processes(), follower);
        if let Some(scrape) = scrape {
            watchers.answer(scrape, Arc::clone(&context), Arc::clone(&faults));
        }
        let (clients, environment) = (Some(clients), Some(environment));
        Ok(Self {
            faults,
            context,
            publishing,
            asking,
            commands,
            clients,
            prober: None,
            lost_workers,
            watchers,
            environment,
            members,
            baseline,
        })
    }

    /// Connects the clients, runs load and faults, and waits until all is quiet.
    async fn run_until_quiescent(
        &mut self,
        interrupt: &CancellationToken,
    ) -> Result<(LoadResult, Quiescence), RunError> {
        until(interrupt, setup::clients(&self.context, self.environment.as_ref(), &self.lost_workers))
            .await?
            .map_err(|error| setup::diagnosed(&self.context, error))?;
        let load = self.load(interrupt).await;
        let silence = self.wait_until_quiescent(&load).await;
        Ok((load, silence))
    }

    /// Starts the clock, runs load and faults until the time is up, heals, and waits for the last answers.
    async fn load(&mut self, interrupt: &CancellationToken) -> LoadResult {
        let plan = Arc::clone(&self.context.plan);
        let clock = self.context.clock.clone();
        if let Some(clients) = &self.clients {
            clients.start_clock(&self.context);
        }
        self.prober = Prober::start(&self.context);
        let began_unix_ms = crate::runtime::clock::unix_ms();
        let nodes = self.members.iter().map(|member| member.handle.clone()).collect();
        let processes = Processes { nodes, grace: STOP_GRACE };
        let redis = RedisFaults::new(self.environment.as_ref().and_then(Environment::servers).cloned());
        let links =
            self.environment.as_ref().map(|environment| environment.links().clone()).unwrap_or_default();
        let netns_links =
            NetnsLinks::new(self.environment.as_ref().and_then(Environment::namespaces).cloned());
        let (commands, balancer) = (self.commands.clone(), self.publishing.balancer.clone());
        let injector = Injector { processes, redis, links, netns_links, commands, balancer };
        let timeline = Timeline::start_noting(&plan.faults, injector, &clock, &self.faults);
        let hostile = HostileClients::start(&plan, &self.publishing.balancer, &clock);
        let (stop, give_up) = (CancellationToken::new(), CancellationToken::new());
        let mut publishers = JoinSet::new();
        for publisher in &plan.publishers {
            let publisher = Publisher::new(publisher.clone(), self.publishing.clone());
            let publisher = publisher.recorded_by(self.context.writer.as_ref());
            publishers.spawn(publisher.run(stop.clone(), give_up.clone()));
        }
        let time_is_up = tokio::time::sleep_until(clock.instant_of(plan.duration));
        let was_interrupted = tokio::select! {
            () = time_is_up => false,
            // A run without all its workers is INVALID, so it ends at once.
            () = self.lost_workers.lost() => false,
            () = setup::nobody_can_read(&self.context) => false,
            () = interrupt.cancelled() => true,
            () = panic::panic_on_file(panic::RUN) => false,
        };
        stop.cancel();
        let hostile = hostile.end().await;
        let ran = clock.now().since_start().min(plan.duration);
        let faults = timeline.heal_all().await;
        let patience = quiesce::limits(&plan, was_interrupted).timeout;
        let published = collect(publishers, patience, &give_up).await;
        LoadResult { published, hostile, faults, was_interrupted, began_unix_ms, ran }
    }

    async fn wait_until_quiescent(&self, load: &LoadResult) -> Quiescence {
        let senders = senders(&self.context.plan, &load.published);
        quiesce(&self.context, &self.publishing, &self.commands, &senders, load.was_interrupted).await
    }

    /// Reads the log from the first node that answers.
    async fn audit(&self) -> Result<Option<AuditLedger>, String> {
        if !self.context.plan.verify.quiesce.audit_read {
            return Ok(None);
        }
        let mut reasons = Vec::new();
        for member in &self.members {
            match audit::read_log(&self.asking, &member.base, self.publishing.run).await {
                Ok(ledger) => return Ok(Some(ledger)),
                Err(error) => reasons.push(error.to_string()),
            }
        }
        Err(reasons.join("; "))
    }

    /// Reads the mailboxes that were published to, if the scenario says that they must be empty.
    async fn mailboxes(&self, load: &LoadResult) -> Option<mailboxes::Emptiness> {
        let plan = &self.context.plan;
        if !plan.verify.mailboxes_empty {
            return None;
        }
        let keeps = |published: &&Published| {
            let publisher = published.ledger.publisher();
            plan.publishers.iter().any(|plan| plan.id == publisher && plan.qos > 0)
        };
        let addresses: BTreeSet<AddressId> =
            load.published.iter().filter(keeps).flat_map(|published| published.ledger.addresses()).collect();
        let users = addresses.iter().filter_map(|address| match plan.address(*address) {
            Some(Address::User(user)) => Some(user.clone()),
            Some(_) | None => None,
        });
        let bases = self.members.iter().map(|member| member.base.clone()).collect();
        Some(mailboxes::look(&self.asking, bases, users.collect()).await)
    }

    /// Stops the servers, or hands them to the caller.
    async fn tear_down(&mut self, keep: bool) -> Teardown {
        let mut teardown = Teardown::default();
        let Some(mut environment) = self.environment.take() else { return teardown };
        teardown.broken_proxies = environment.broken_proxies();
        if keep {
            teardown.unclean = environment.crashes();
            teardown.kept = Some(environment);
        } else {
            teardown.unclean = environment.stop(STOP_GRACE).await;
        }
        teardown
    }
}

/// How the servers stopped.
#[derive(Default)]
struct Teardown {
    /// Processes that ended unexpectedly, or did not stop in order.
    unclean: Vec<String>,
    /// Fault proxies that panicked.
    broken_proxies: Vec<String>,
    kept: Option<Environment>,
}

/// Everything that the verdict needs.
struct RunResults {
    load: LoadResult,
    silence: Quiescence,
    ended: clients::Ended,
    audit: Result<Option<AuditLedger>, String>,
    probes: Option<ProbeLedger>,
    mailboxes: Option<mailboxes::Emptiness>,
    watched: Seen,
    teardown: Teardown,
    baseline: Option<HarnessBaseline>,
    /// The history of every arrival, if it was asked for and could be written.
    history: Vec<Entry>,
    unwritten: Vec<RunProblem>,
}

impl RunResults {
    async fn judge(self, plan: Arc<Plan>, options: &RunOptions, started_at: SystemTime) -> Outcome {
        let mut troubles = self.troubles(plan.verify.quiesce.timeout);
        troubles.extend(self.unwritten);
        let (mut recorder, observations) = (self.ended.recorder, self.ended.observations);
        recorder.merge(self.watched.recorder);
        recorder.merge(self.load.hostile);
        let (mut publishes, mut publish_failures) = (Vec::new(), Vec::new());
        for published in self.load.published {
            let name = plan.publishers.iter().find(|publisher| publisher.id == published.ledger.publisher());
            let name = name.map_or_else(String::new, |publisher| publisher.name.clone());
            troubles.extend(unaccepted(&plan, &name, &published));
            if let Some(reason) = published.last_failure {
                tracing::warn!("the last publish of {name} that failed: {reason}");
                publish_failures.push((name, reason));
            }
            recorder.merge(published.recorder);
            publishes.push(published.ledger);
        }
        let ledgers = Ledgers {
            publishes,
            sentinels: Some(self.silence.sentinels),
            subscribers: self.ended.ledgers,
            audit: self.audit.ok().flatten(),
            probes: self.probes,
        };
        let facts = StoredFacts {
            origin: options.origin.clone(),
            run: plan.run,
            plan: history::fingerprint(&plan),
            rules: history::RULES,
            started_at: Some(humantime::format_rfc3339_millis(started_at).to_string()),
            faults: self.load.faults,
            problems: troubles,
            is_void: !self.teardown.broken_proxies.is_empty(),
            quiescent: self.silence.missing.is_empty(),
            processes: self.watched.usage,
            commands: self.watched.commands,
            mailboxes: self.mailboxes.map(|mailboxes| mailboxes.report),
            merged: Vec::new(),
            harness: self.baseline,
            clock_started_unix_ms: self.load.began_unix_ms,
            ran_ms: Some(crate::runtime::clock::millis(self.load.ran)),
            publish_failures,
            sightings: self.ended.sightings,
            lateness: Some(self.watched.saturation.explanation(cores())),
            turned_away: self.watched.turned_away,
        };
        let case = StoredRun { plan, ledgers, recorder, observations, facts, added: None };
        let told = conclude(case, options, self.history).await;
        let exit = told.report.verdict.exit;
        Outcome { told, exit, dir: options.dir.clone(), kept: self.teardown.kept }
    }

    /// Problems of the run itself, each with the exit code that it leads to.
    fn troubles(&self, quiesce_timeout: Duration) -> Vec<RunProblem> {
        let mut troubles = Vec::new();
        let mut add = |exit, message: String| troubles.push(RunProblem { exit, message });
        if self.load.was_interrupted {
            add(Exit::Interrupted, "interrupted before the planned end".to_owned());
        }
        for missing in &self.silence.missing {
            let limit = humantime::format_duration(quiesce_timeout);
            let what = "not all deliveries were confirmed within verify.quiesce.timeout";
            add(Exit::Unknown, format!("{what} ({limit}): {missing}"));
        }
        if let late @ 1.. = self.ended.not_stopped {
            add(Exit::Internal, format!("results are missing of clients that did not stop in time: {late}"));
        }
        if let Err(reason) = &self.audit {
            add(Exit::Unknown, format!("the audit read failed on every node: {reason}"));
        }
        if let Some(mailboxes) = &self.mailboxes {
            if mailboxes.report.pending > 0 {
                add(Exit::VerificationFailed, mailboxes.problem_message());
            }
            if let Some(reason) = &mailboxes.unread {
                add(Exit::Unknown, format!("not all mailboxes could be read: {reason}"));
            }
        }
        for loss in self.ended.lost_workers.iter().chain(&self.teardown.broken_proxies) {
            add(Exit::Invalid, loss.clone());
        }
        if let Some(problem_message) = self.watched.saturation.problem_message(cores()) {
            add(Exit::Invalid, problem_message);
        }
        for crash in &self.teardown.unclean {
            add(Exit::TeardownFailed, crash.clone());
        }
        troubles
    }
}
