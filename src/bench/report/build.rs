//! Makes a [`Report`] of a run that was judged. Decides nothing. Read [`Report::of`] first.

use std::time::Duration;

use super::model::{Delivery, FaultReport, MetricReport, Report, RunFacts, SCHEMA_VERSION, Summary};
use super::usage::{ClusterReport, CounterReport};
use crate::bench::exit::RunProblem;
use crate::bench::metrics::metric::{Counter, Trend};
use crate::bench::metrics::recorder::{Samples, Value};
use crate::bench::metrics::tags::Path;
use crate::bench::metrics::threshold::Selector;
use crate::bench::scenario::Guarantee;
use crate::bench::scenario::plan::{Plan, PlannedFault};
use crate::bench::verdict::diagnosis::{self, Finding};
use crate::bench::verdict::history::{JudgedRun, StoredRun};
use crate::bench::verdict::ledger::{Account, FaultImpact, FaultRecord, RULES};
use crate::bench::verdict::thresholds;
use crate::bench::verdict::{Verdict, VerdictInput};

impl Report {
    /// The report of a run that was judged.
    #[must_use]
    pub fn of(run: &StoredRun, judged: &JudgedRun) -> Self {
        let (facts, account) = (&run.facts, &judged.account);
        let mut report =
            Self::new(&run.verdict_input(account), judged.verdict.clone(), facts.started_at.clone());
        report.diagnosis.clone_from(&judged.diagnosis);
        report.delivery.publish_failures.clone_from(&facts.publish_failures);
        report.harness.clone_from(&facts.harness);
        report.processes.clone_from(&facts.processes);
        report.cluster = ClusterReport::new(
            &facts.processes,
            facts.commands.clone(),
            facts.mailboxes.clone(),
            account.ok + account.recovered,
            account.publishes.ok,
        );
        report
    }

    /// The report of a run as far as it was judged: without its diagnosis, what the processes used, and how well the bench
    /// can measure.
    #[must_use]
    pub fn new(input: &VerdictInput<'_>, verdict: Verdict, started_at: Option<String>) -> Self {
        let counters = Counter::ALL.iter().map(|counter| CounterReport {
            key: counter.name().to_owned(),
            count: input.recorder.total(*counter, |_| true),
        });
        Self {
            schema: SCHEMA_VERSION,
            summary: summary(input, &verdict),
            run: facts(input.plan, started_at),
            diagnosis: Vec::new(),
            delivery: delivery(input.account),
            faults: faults(input),
            metrics: metrics(input),
            counters: counters.filter(|counter| counter.count > 0).collect(),
            harness: None,
            processes: Vec::new(),
            cluster: ClusterReport::default(),
            verdict,
        }
    }

    /// The report of a run that could not start: why, and what the attempts of clients tell about the server.
    #[must_use]
    pub fn without_a_run(plan: &Plan, problem: RunProblem, findings: &[Finding], started_at: String) -> Self {
        let (account, recorder, sightings) = Default::default();
        let input = VerdictInput {
            plan,
            account: &account,
            recorder: &recorder,
            faults: &[],
            rules: RULES,
            problems: &[],
            sightings: &sightings,
            ran: Duration::ZERO,
            quiescent: false,
        };
        let diagnosis = [findings, &diagnosis::of_problems(std::slice::from_ref(&problem))].concat();
        let exit = problem.exit;
        let verdict = Verdict { exit, checks: Vec::new(), thresholds: Vec::new(), problems: vec![problem] };
        Self { diagnosis, ..Self::new(&input, verdict, Some(started_at)) }
    }

    /// Adds problems that came up after the judgement. The verdict can only become worse.
    pub fn add_problems(&mut self, problems: impl IntoIterator<Item = RunProblem>) {
        let problems: Vec<RunProblem> = problems.into_iter().collect();
        self.diagnosis.extend(diagnosis::of_problems(&problems));
        self.verdict.add_problems(problems);
        self.summary.failed = self.verdict.failed().collect();
        self.summary.verdict = self.verdict.exit.word().to_owned();
        self.summary.exit_code = self.verdict.exit.code();
    }

    /// The report as JSON with a newline at its end.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("texts, numbers and lists always make JSON");
        json.push('\n');
        json
    }
}

fn summary(input: &VerdictInput<'_>, verdict: &Verdict) -> Summary {
    let account = input.account;
    let latency = thresholds::samples(input, Trend::DeliveryLatency, &Selector::default());
    let of_expected = match latency.of_expected(99.0) {
        Some(Value::Of(value)) => Some(millis(value)),
        Some(Value::Lost) | None => None,
    };
    Summary {
        scenario: input.plan.name.clone(),
        verdict: verdict.exit.word().to_owned(),
        exit_code: verdict.exit.code(),
        failed: verdict.failed().collect(),
        events_expected: account.expected,
        events_ok: account.ok,
        events_lost: account.lost,
        events_duplicated: account.duplicated_in_session + account.duplicated_across_reconnect,
        events_reordered: account.reordered,
        events_unexpected: account.unexpected.total(),
        delivery_latency_p50_ms: latency.of_delivered(50.0).map(millis),
        delivery_latency_p99_ms: latency.of_delivered(99.0).map(millis),
        delivery_latency_p99_of_expected_ms: of_expected,
    }
}

fn facts(plan: &Plan, started_at: Option<String>) -> RunFacts {
    let guarantee = match plan.verify.delivery {
        Guarantee::AtMostOnce => "at-most-once",
        Guarantee::AtLeastOnce => "at-least-once",
        Guarantee::ExactlyOnce => "exactly-once",
    };
    let mut transports: Vec<_> =
        plan.readings.iter().map(|reading| reading.transport.name().to_owned()).collect();
    transports.sort_unstable();
    transports.dedup();
    RunFacts {
        id: plan.run.to_string(),
        description: plan.description.clone(),
        seed: plan.seed,
        nodes: plan.nodes.len() as u64,
        clients: plan.subscribers.len() as u64,
        transports,
        duration_ms: u64::try_from(plan.duration.as_millis()).unwrap_or(u64::MAX),
        guarantee: guarantee.to_owned(),
        started_at,
    }
}

fn delivery(account: &Account) -> Delivery {
    Delivery {
        expected: account.expected,
        ok: account.ok,
        recovered: account.recovered,
        lost: account.lost,
        unseen: account.unseen,
        gap_declared: account.gap_declared,
        gap_events: account.gap_events,
        gap_clients: account.gap_clients,
        gap_sentinels: account.gap_sentinels,
        missed_offline: account.missed_offline,
        duplicated_in_session: account.duplicated_in_session,
        duplicated_across_reconnect: account.duplicated_across_reconnect,
        reordered: account.reordered,
        unexpected: account.unexpected,
        audited: account.audited,
        publishes: account.publishes,
        publish_failures: Vec::new(),
        anomalies: account.anomalies.clone(),
    }
}

fn faults(input: &VerdictInput<'_>) -> Vec<FaultReport> {
    let planned = |record: &FaultRecord| input.plan.faults.iter().find(|fault| fault.name == record.name);
    let report = |(record, impact): (&FaultRecord, &FaultImpact)| FaultReport {
        name: record.name.clone(),
        title: planned(record).map_or_else(|| record.name.clone(), PlannedFault::title),
        planned_heal_ms: planned(record).and_then(|fault| fault.heals_at).map(millis),
        planned_ms: millis(record.planned.since_start()),
        applied_ms: record.applied.map(|at| millis(at.since_start())),
        healed_ms: record.healed.map(|at| millis(at.since_start())),
        error: record.error.clone(),
        sessions_cut: impact.sessions_cut,
        detect_ms: impact.detect.map(millis),
        reconnect_p95_ms: impact.reconnect_p95.map(millis),
        recovery_p95_ms: impact.recovery_p95.map(millis),
        never_recovered: impact.never_recovered,
        not_back: impact.not_back,
        lost: impact.lost,
        drain_p95_ms: impact.drain_p95.map(millis),
        replayed: impact.replayed,
        lost_examples: impact.lost_examples.clone(),
    };
    input.faults.iter().zip(&input.account.faults).map(report).collect()
}

/// Every metric that was measured: as a whole without the warm-up, then by phase, by group and by path where there
/// is more than one.
fn metrics(input: &VerdictInput<'_>) -> Vec<MetricReport> {
    let mut reports = Vec::new();
    for trend in Trend::ALL {
        let tags = input.recorder.tags_of(*trend);
        let mut selectors = vec![(String::new(), Selector::default())];
        let mut phases: Vec<_> = tags.iter().map(|tags| tags.phase).collect();
        phases.dedup();
        if phases.len() > 1 {
            let names = phases.iter().map(|phase| input.plan.phases.name(*phase).to_owned());
            selectors.extend(names.map(|name| {
                (format!("{{phase:{name}}}"), Selector { phase: Some(name), ..Selector::default() })
            }));
        }
        if input.plan.groups.len() > 1 && *trend != Trend::GeneratorLag {
            let names = input.plan.groups.iter().map(|group| group.name.clone());
            selectors.extend(names.map(|name| {
                (format!("{{group:{name}}}"), Selector { group: Some(name), ..Selector::default() })
            }));
        }
        if tags.iter().any(|tags| tags.path == Some(Path::Replay)) {
            selectors.extend([("live", Path::Live), ("replay", Path::Replay)].map(|(name, path)| {
                (format!("{{path:{name}}}"), Selector { path: Some(path), ..Selector::default() })
            }));
        }
        let rows = selectors
            .into_iter()
            .map(|(tags, selector)| metric(*trend, &tags, &thresholds::samples(input, *trend, &selector)));
        reports.extend(
            rows.filter(|row| row.count > 0 || (row.missing > 0 && *trend == Trend::DeliveryLatency)),
        );
    }
    reports
}

fn metric(trend: Trend, tags: &str, samples: &Samples) -> MetricReport {
    let millis = |value: Duration| millis(if trend.is_of_numbers() { value * 1_000 } else { value });
    let percentile = |percent| samples.of_delivered(percent).map(millis);
    let of_expected = samples.of_expected(99.0);
    MetricReport {
        key: format!("{}{tags}", trend.name()),
        count: samples.count(),
        missing: samples.missing(),
        min: samples.min().map(millis),
        avg: samples.mean().map(millis),
        med: percentile(50.0),
        p90: percentile(90.0),
        p99: percentile(99.0),
        p999: percentile(99.9),
        max: percentile(100.0),
        p99_of_expected: match of_expected {
            Some(Value::Of(value)) => Some(millis(value)),
            Some(Value::Lost) | None => None,
        },
        p99_of_expected_is_lost: of_expected == Some(Value::Lost),
    }
}

/// Milliseconds with three digits behind the point: no more is measured.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
