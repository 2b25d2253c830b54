//! Reports of known runs, as people and programs read them.

use std::time::Duration;

use crate::bench::exit::{Exit, RunProblem};
use crate::bench::ids::{AddressId, PublisherId, RunId};
use crate::bench::metrics::metric::{Counter, Trend};
use crate::bench::metrics::recorder::Recorder;
use crate::bench::metrics::tags::{Path, Source, Tags};
use crate::bench::metrics::time::RunTime;
use crate::bench::report::model::{FaultReport, Report};
use crate::bench::report::text;
use crate::bench::scenario;
use crate::bench::scenario::plan::Plan;
use crate::bench::stamp::Stamp;
use crate::bench::verdict::diagnosis::{Cause, Finding, Judgement, Observations, diagnose};
use crate::bench::verdict::ledger::{
    Ending, Evidence, FaultRecord, PublishLedger, PublishOutcome, RULES, Replays, SubscriberLedger, judge,
};
use crate::bench::verdict::{Sightings, Status, Verdict, VerdictInput};

const SCENARIO: &str = r#"
schema = 1
name = "kill-under-load"
duration = "60s"
[clients.steady]
clients = 3
[publishers.main]
rate = 10
[[faults]]
at = "20s"
for = "5s"
type = "kill"
[verify]
quiesce = { timeout = "30s", audit_read = false }
[thresholds]
"delivery_latency{phase:steady}" = ["p(99)<50ms", "max<2s"]
"delivery_latency{phase:fault}" = ["p(99)<5s"]
recovery_time = ["p(95)<1s"]
events_lost = ["count==0", "rate<1%"]
"#;

pub(super) fn second(count: u64) -> RunTime {
    RunTime::from(Duration::from_secs(count))
}

/// What a run leaves behind.
pub(super) struct Run {
    pub(super) plan: Plan,
    publishes: PublishLedger,
    clients: Vec<SubscriberLedger>,
    pub(super) recorder: Recorder,
    faults: Vec<FaultRecord>,
    problems: Vec<RunProblem>,
}

impl Run {
    /// An event a second to three clients. The first one is cut by the kill and never gets what was sent while it
    /// was away, nor, when `is_bad`, is highest one repetition.
    pub(super) fn new(is_bad: bool) -> Self {
        let scenario = scenario::parse("test.toml", SCENARIO, &[]).unwrap();
        let plan = Plan::new(&scenario, RunId::from_random(0xf00d));
        let clients = plan.subscribers.iter().map(|client| SubscriberLedger::new(&plan, client.id)).collect();
        let (planned, applied, healed) = (second(20), Some(second(20)), Some(second(25)));
        let faults = vec![FaultRecord { name: "kill-1".into(), planned, applied, healed, error: None }];
        let publishes = PublishLedger::new(PublisherId(0));
        let mut run =
            Self { plan, publishes, clients, recorder: Recorder::default(), faults, problems: Vec::new() };
        run.clients.iter_mut().for_each(|client| client.confirmed(second(0), false));
        for at in 0..60 {
            if at == 20 {
                run.clients[0].disconnected(second(20));
            }
            if at == 23 {
                run.clients[0].confirmed(second(23), true);
            }
            run.second(at, is_bad);
        }
        for client in &mut run.clients {
            client.finish(second(70), Ending::RunOver);
        }
        run
    }

    fn second(&mut self, at: u64, is_bad: bool) {
        let address = AddressId(0);
        let due = second(at);
        let seq = self.publishes.begin(address, due);
        self.publishes.end(address, seq, due, PublishOutcome::Acknowledged);
        let stamp = Stamp { run: self.plan.run, publisher: PublisherId(0), address, seq, due, sent: due };
        for client in 0..3 {
            let is_away = client == 0 && (20..23).contains(&at);
            if is_away && is_bad {
                continue;
            }
            let late = if is_away { Duration::from_secs(24 - at) } else { Duration::from_millis(4 + at % 7) };
            let path = if is_away { Path::Replay } else { Path::Live };
            self.clients[client].arrive(due.plus(late), None, stamp);
            self.record(Trend::DeliveryLatency, due, Some(path), late);
        }
        if at == 40 && is_bad {
            self.clients[1].arrive(due.plus(Duration::from_millis(100)), None, stamp);
        }
    }

    fn record(&mut self, trend: Trend, at: RunTime, path: Option<Path>, value: Duration) {
        let source = Source::Group(crate::bench::ids::GroupId(0));
        let tags = Tags { phase: self.plan.phases.at(at), source, path };
        self.recorder.record_at(trend, tags, at, value);
        self.recorder.count(Counter::BytesIn, tags, 400);
    }

    pub(super) fn report(&self) -> Report {
        self.report_after(self.plan.duration)
    }

    /// The same of a run that went on for another time than was planned.
    fn report_after(&self, ran: Duration) -> Report {
        let evidence = Evidence {
            plan: &self.plan,
            publishes: std::slice::from_ref(&self.publishes),
            sentinels: None,
            subscribers: &self.clients,
            audit: None,
            faults: &self.faults,
            probes: None,
            rules: RULES,
            was_interrupted: false,
        };
        let account = judge(&evidence);
        let judged = VerdictInput {
            plan: &self.plan,
            account: &account,
            recorder: &self.recorder,
            faults: &self.faults,
            problems: &self.problems,
            sightings: &Sightings::default(),
            rules: RULES,
            ran,
            quiescent: true,
        };
        let verdict = Verdict::new(&judged);
        let (replays, observations) = (Replays::of(&evidence), Observations::default());
        let judgement =
            Judgement { input: judged, verdict: &verdict, replays: &replays, observations: &observations };
        let diagnosis = diagnose(&judgement);
        let report = Report::new(&judged, verdict, Some("2026-01-01T00:00:00Z".into()));
        Report { diagnosis, ..report }
    }
}

#[test]
fn a_failed_run_is_told_verdict_first() {
    insta::assert_snapshot!(text::render(&Run::new(true).report(), text::Colour::Off));
}

#[test]
fn a_report_fits_on_a_screen_whatever_happened_and_is_whole_in_full() {
    let mut report = Run::new(true).report();
    let fault = report.faults[0].clone();
    report
        .faults
        .extend((2..40).map(|number| FaultReport { title: format!("kill-{number}"), ..fault.clone() }));
    let lost = |worker| RunProblem {
        exit: Exit::Invalid,
        message: format!("worker-{worker} was lost at 12.0s: it was ended by signal 9"),
    };
    report.add_problems((1..30).map(lost));
    let brief = text::render(&report, text::Colour::Off);
    assert!(brief.lines().count() <= 30, "{brief}");
    assert!(
        brief.contains("more lines on faults") && brief.contains("with all details (--full shows all)"),
        "{brief}"
    );
    assert!(brief.trim_end().lines().last().unwrap().starts_with("  FAIL  exit code 120: lost"), "{brief}");
    let full = text::render_full(&report, text::Colour::Off);
    for words in ["kill-39", "worker-29", "METRICS", "none: isolation leak", "#21..23 at steady-0, in kill-1"]
    {
        assert!(full.contains(words), "{words:?} is not in\n{full}");
    }
}

#[test]
fn the_causes_of_all_findings_come_before_the_details_of_any() {
    let finding = |words: usize| Finding {
        cause: Cause::Delivery,
        what: format!("cause {words}"),
        evidence: "figure ".repeat(words),
        remedy: "change ".repeat(words),
    };
    let diagnosis = |findings: &[usize]| {
        let report =
            Report { diagnosis: findings.iter().copied().map(finding).collect(), ..Run::new(false).report() };
        let text = text::render(&report, text::Colour::Off);
        let section =
            text.split("█ DIAGNOSIS").nth(1).unwrap_or_default().split("\n\n").next().unwrap_or_default();
        section.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    // Forty figures take three lines, forty changes too.
    let shown = diagnosis(&[40, 41, 42, 43]);
    assert_eq!(shown.len(), 10, "{shown:#?}");
    assert_eq!(shown[0], "4 of 4 findings, 0 with all details (--full shows all)");
    for (number, cause) in [(1, "cause 40"), (2, "cause 41"), (3, "cause 42"), (4, "cause 43")] {
        assert!(shown.contains(&format!("{number}. {cause}")), "{shown:#?}");
    }
    assert_eq!(
        diagnosis(&[1, 2]),
        ["", "1. cause 1", "figure", "→ change", "2. cause 2", "figure figure", "→ change change"]
    );
    let many = diagnosis(&[1; 12]);
    assert_eq!(
        (many.len(), many[0].as_str()),
        (10, "9 of 12 findings, 0 with all details (--full shows all)")
    );
}

#[test]
fn a_good_run_is_told_in_the_same_shape() {
    let mut run = Run::new(false);
    run.record(Trend::RecoveryTime, second(23), None, Duration::from_millis(700));
    let report = run.report();
    assert_eq!(report.verdict.exit, Exit::Pass);
    insta::assert_snapshot!(text::render(&report, text::Colour::Off));
}

#[test]
fn the_summary_names_what_went_wrong_with_the_run_itself_and_not_what_nobody_knows() {
    let mut run = Run::new(false);
    let waits = "2 messages wait in 1 mailboxes".to_owned();
    run.problems.push(RunProblem { exit: Exit::VerificationFailed, message: waits.clone() });
    run.problems.push(RunProblem { exit: Exit::Unknown, message: "the end was not quiet".into() });
    let mut report = run.report();
    assert_eq!(report.summary.failed, std::slice::from_ref(&waits));
    let full = "cannot write report.txt".to_owned();
    report.add_problems([RunProblem { exit: Exit::Internal, message: full.clone() }]);
    assert_eq!(report.summary.failed, [waits.clone(), full]);
    assert_eq!(text::render(&report, text::Colour::Off).matches(&waits).count(), 1);
}

#[test]
fn the_summary_for_ci_is_small_and_stable() {
    let report = Run::new(true).report();
    insta::assert_snapshot!(serde_json::to_string_pretty(&report.summary).unwrap());
}

#[test]
fn json_holds_everything_and_reads_back() {
    let report = Run::new(true).report();
    let json = report.to_json();
    assert!(json.ends_with("}\n"));
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn colour_adds_nothing_but_colour() {
    let report = Run::new(true).report();
    let plain = text::render(&report, text::Colour::Off);
    let mut stripped = text::render(&report, text::Colour::On);
    for code in ["[1m", "[2m", "[31m", "[32m", "[33m", "[0m"] {
        stripped = stripped.replace(&format!("\u{1b}{code}"), "");
    }
    assert!(!plain.contains('\u{1b}'));
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&stripped), words(&plain));
}

#[track_caller]
fn status(report: &Report, key: &str, expression: &str) -> (Status, String) {
    let results = &report.verdict.thresholds;
    let result = results.iter().find(|result| result.key == key && result.expression == expression).unwrap();
    (result.status, result.measured.clone())
}

#[test]
fn a_lost_event_is_infinitely_late_for_a_threshold() {
    let report = Run::new(true).report();
    // Of 15 deliveries of the fault's phase three never came.
    assert_eq!(
        status(&report, "delivery_latency{phase:fault}", "p(99)<5s"),
        (Status::Fail, "p(99)=lost".into())
    );
    assert_eq!(status(&report, "delivery_latency{phase:steady}", "max<2s").0, Status::Pass);
    assert_eq!(status(&report, "events_lost", "count==0"), (Status::Fail, "count=3".into()));
    assert_eq!(status(&report, "events_lost", "rate<1%"), (Status::Fail, "rate=0.0167".into()));
}

#[test]
fn a_threshold_without_samples_is_unknown() {
    let report = Run::new(false).report();
    assert_eq!(status(&report, "recovery_time", "p(95)<1s"), (Status::Unknown, "no samples".into()));
    assert_eq!(report.verdict.exit, Exit::Unknown);
}

#[test]
fn the_warm_up_is_recorded_and_not_judged() {
    let mut run = Run::new(false);
    let scenario = SCENARIO.replace("duration = \"60s\"\n", "duration = \"60s\"\nwarmup = \"5s\"\n");
    let scenario = scenario::parse("test.toml", &scenario, &[]).unwrap();
    run.plan = Plan::new(&scenario, run.plan.run);
    run.record(Trend::RecoveryTime, second(2), None, Duration::from_secs(40));
    assert_eq!(status(&run.report(), "recovery_time", "p(95)<1s"), (Status::Unknown, "no samples".into()));
    run.record(Trend::RecoveryTime, second(15), None, Duration::from_millis(20));
    let report = run.report();
    assert_eq!(status(&report, "recovery_time", "p(95)<1s").0, Status::Pass);
    assert!(report.metrics.iter().any(|metric| metric.key == "recovery_time{phase:warmup}"));
}

#[test]
fn a_late_generator_invalidates_the_run_and_a_failed_verification_is_worse() {
    let late = |is_bad: bool| {
        let mut run = Run::new(is_bad);
        let tags = Tags { phase: run.plan.phases.at(second(15)), source: Source::Bench, path: None };
        (0..100).for_each(|_| run.recorder.record(Trend::GeneratorLag, tags, Duration::from_millis(300)));
        run.report()
    };
    assert_eq!(late(false).verdict.exit, Exit::Invalid);
    assert_eq!(late(true).verdict.exit, Exit::VerificationFailed);
    assert_eq!(status(&late(false), "generator_lag", "p(99)<100ms"), (Status::Fail, "p(99)=300ms".into()));
}

/// How late the bench was, by whom: so many samples, the share of them that were late by 300 ms.
fn lagging(sources: &[(Source, u64, u64)]) -> (Status, String) {
    let mut run = Run::new(false);
    for (source, count, late) in sources {
        let tags = Tags { phase: run.plan.phases.at(second(15)), source: *source, path: None };
        for number in 0..*count {
            let lag = Duration::from_millis(if number < *late { 300 } else { 0 });
            run.recorder.record(Trend::GeneratorLag, tags, lag);
        }
    }
    status(&run.report(), "generator_lag", "p(99)<100ms")
}

#[test]
fn a_process_that_stood_still_is_not_hidden_by_those_that_did_not() {
    let publisher = Source::Publisher(PublisherId(0));
    let healthy = [(Source::Bench, 6_000, 0), (publisher, 300_000, 0), (Source::Worker(0), 6_000, 0)];
    assert_eq!(lagging(&healthy), (Status::Pass, "p(99)=0s".into()));
    let stalled = |source| lagging(&[healthy.as_slice(), &[(source, 6_000, 300)]].concat());
    assert_eq!(stalled(Source::Worker(1)), (Status::Fail, "p(99)=300ms in worker-2".into()));
    let late = [(Source::Bench, 6_000, 0), (publisher, 200, 40)];
    assert_eq!(lagging(&late), (Status::Fail, "p(99)=300ms of publisher main".into()));
}

#[test]
fn a_short_stall_is_not_the_last_percent_of_a_short_run() {
    let of = |count, late| lagging(&[(Source::Bench, count, late)]).0;
    assert_eq!([of(100, 10), of(100, 11), of(900, 10), of(900, 11)], {
        use Status::{Fail, Pass};
        [Pass, Fail, Pass, Fail]
    });
    // From a thousand on, a percent is a percent.
    assert_eq!((of(2_000, 20), of(2_000, 21)), (Status::Pass, Status::Fail));
    let few = lagging(&[(Source::Bench, 1_000, 0), (Source::Publisher(PublisherId(0)), 10, 10)]);
    assert_eq!(few.0, Status::Pass, "ten publishes say nothing");
}

#[test]
fn a_rate_is_per_second_of_the_time_that_went_by() {
    let mut run = Run::new(false);
    let scenario = SCENARIO.replace("events_lost = [", "bytes_in = [\"rate<=1200\"]\nevents_lost = [");
    run.plan = Plan::new(&scenario::parse("test.toml", &scenario, &[]).unwrap(), run.plan.run);
    let rate = |ran: Duration| status(&run.report_after(ran), "bytes_in", "rate<=1200");
    let total = 3.0 * 60.0 * 400.0;
    assert_eq!(rate(Duration::from_secs(60)), (Status::Pass, format!("rate={:.4}", total / 60.0)));
    assert_eq!(rate(Duration::from_secs(30)), (Status::Fail, format!("rate={:.4}", total / 30.0)));
    assert_eq!(rate(Duration::ZERO), (Status::Fail, format!("rate={:.4}", total * 1e3)));
}

#[test]
fn a_fault_that_did_not_happen_is_never_a_pass() {
    let mut run = Run::new(false);
    run.record(Trend::RecoveryTime, second(23), None, Duration::from_millis(700));
    run.faults[0].applied = None;
    assert_eq!(run.report().verdict.exit, Exit::FaultFailed);
    run.problems.push(RunProblem { exit: Exit::Interrupted, message: "interrupted".into() });
    assert_eq!(run.report().verdict.exit, Exit::Interrupted, "there was no time for it");
    run.faults[0].error = Some("no such process".into());
    assert_eq!(run.report().verdict.exit, Exit::FaultFailed);
}

/// A good run, of which so many publishes were never sent, due then.
fn dropping(thresholds: &str, drops: &[(u64, u64)]) -> Report {
    let mut run = Run::new(false);
    let scenario = SCENARIO.replace("recovery_time = [\"p(95)<1s\"]", thresholds);
    let scenario = scenario::parse("test.toml", &scenario, &[]).unwrap();
    run.plan = Plan::new(&scenario, run.plan.run);
    for (at, count) in drops {
        let phase = run.plan.phases.at(second(*at));
        (0..*count).for_each(|_| run.publishes.dropped(phase));
    }
    run.report()
}

#[test]
fn publishes_that_were_never_sent_invalidate_the_run_unless_something_was_broken() {
    let calm = dropping("", &[(10, 3), (22, 7)]);
    assert_eq!(calm.verdict.exit, Exit::Invalid);
    let text = text::render(&calm, text::Colour::Off);
    assert!(text.contains("3 of 70 publishes were dropped outside fault windows"), "{text}");
    assert!(text.contains("3 in steady, 7 in fault:kill-1"), "{text}");
    for at in [22, 27] {
        let broken = dropping("", &[(at, 7)]);
        assert_eq!(broken.verdict.exit, Exit::Pass);
        assert_eq!(broken.verdict.check("publishes dropped").map(|check| check.status), Some(Status::Note));
    }
    assert_eq!(dropping("", &[]).verdict.check("publishes dropped"), None);
}

#[test]
fn a_threshold_of_its_own_says_how_many_publishes_a_run_may_drop() {
    let own = "publish_dropped = [\"rate<5%\"]";
    assert_eq!(dropping(own, &[(10, 3)]).verdict.exit, Exit::Pass);
    assert_eq!(dropping(own, &[(10, 30)]).verdict.exit, Exit::ThresholdsFailed);
}

#[test]
fn what_an_interrupted_run_did_not_find_out_does_not_hide_that_it_was_interrupted() {
    let interrupted = |is_bad: bool| {
        let mut run = Run::new(is_bad);
        run.problems.push(RunProblem { exit: Exit::Interrupted, message: "interrupted".into() });
        run.report()
    };
    assert_eq!(status(&interrupted(false), "recovery_time", "p(95)<1s").0, Status::Unknown);
    assert_eq!(interrupted(false).verdict.exit, Exit::Interrupted);
    assert_eq!(interrupted(true).verdict.exit, Exit::VerificationFailed, "a finding stays one");
}

#[test]
fn a_publisher_that_waited_for_itself_is_told() {
    let mut run = Run::new(false);
    run.plan.publishers[0].in_order = true;
    let mut sent_after = |second_of_run: u64, delay: Duration| {
        let tags = Tags {
            phase: run.plan.phases.at(second(second_of_run)),
            source: Source::Publisher(PublisherId(0)),
            path: None,
        };
        run.recorder.record(Trend::PublishDispatchDelay, tags, delay);
        run.recorder.record(Trend::GeneratorLag, tags, Duration::from_millis(1));
    };
    (0..10).for_each(|at| sent_after(at, Duration::from_millis(2)));
    sent_after(21, Duration::from_secs(4));
    let checked = |run: &Run| run.report().verdict.check("publishes waited").map(|check| check.status);
    assert_eq!(checked(&run), None, "while a node is down, a wait is the node's");
    let tags =
        Tags { phase: run.plan.phases.at(second(50)), source: Source::Publisher(PublisherId(0)), path: None };
    (0..10)
        .for_each(|_| run.recorder.record(Trend::PublishDispatchDelay, tags, Duration::from_millis(2_500)));
    assert_eq!(checked(&run), Some(Status::Note));
    let detail = run.report().verdict.check("publishes waited").map(|check| check.detail.clone()).unwrap();
    assert!(detail.contains("main: 95 % up to 2.50s, all up to 2.50s"), "{detail}");
    run.plan.publishers[0].in_order = false;
    assert_eq!(checked(&run), None, "the bench did not hold any back");
}

#[test]
fn why_publishes_were_refused_and_that_a_heal_was_late_is_told() {
    let mut run = Run::new(false);
    run.faults[0].healed = Some(second(33));
    let mut report = run.report();
    report.delivery.publish_failures = vec![("main".to_owned(), "404 Not Found".to_owned())];
    let text = text::render(&report, text::Colour::Off);
    assert!(text.contains("the last publish of main that failed: 404 Not Found"), "{text}");
    assert!(text.contains("kill-1: the heal was 8.00s late\n"), "{text}");
    report.faults[0].title = "kill-1 (term n1)".to_owned();
    let text = text::render(&report, text::Colour::Off);
    assert!(text.contains("late: a node drains before it stops"), "{text}");
}
