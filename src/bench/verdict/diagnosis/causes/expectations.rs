//! Expectations that failed and that no special cause explains: what failed, where to look. Read [`checks`] first.

use std::collections::BTreeSet;

use crate::bench::exit::{Exit, RunProblem};
use crate::bench::verdict::diagnosis::diagnose::Judgement;
use crate::bench::verdict::diagnosis::finding::{Cause, Explained};
use crate::bench::verdict::ledger::{Anomaly, AnomalyKind};
use crate::bench::verdict::{Check, Seen, Status, ThresholdResult};

/// Of each anomaly: what it says of the server, and where to look.
const ANOMALIES: [(AnomalyKind, &str, &str); 18] = [
    (
        AnomalyKind::Leak,
        "Events reach clients that did not ask for them",
        "look at how a stream is matched with addresses: a shared list of clients, a wildcard, or a name that is cut off",
    ),
    (
        AnomalyKind::Lost,
        "Acknowledged events never reach streams that they are owed to",
        "look for queues that drop when they are full, and for streams that are subscribed only after their head is sent",
    ),
    (
        AnomalyKind::Forgotten,
        "The server acknowledges events that it does not keep",
        "answer a publish only after the log has the event, also on the replica that may take over",
    ),
    (
        AnomalyKind::MisplacedResume,
        "A stream that comes back with Last-Event-ID goes on behind events that its client has not had",
        "begin the replay right after the id that the client sent, and send what the log no longer has as a GAP",
    ),
    (
        AnomalyKind::GapDeclared,
        "The log is shorter than the time for which clients are away: the server says so with GAP",
        "keep more events or keep them for longer; where gaps are part of the promise, say verify.gaps = \"allowed\"",
    ),
    (
        AnomalyKind::DuplicatedInSession,
        "One stream gets an event twice",
        "subscribe each stream once, and drop from the live stream what the replay has sent already",
    ),
    (
        AnomalyKind::DuplicatedAcrossReconnect,
        "Events come again after a reconnect",
        "replay only what stands behind the id in Last-Event-ID; where repeats are allowed, promise at-least-once",
    ),
    (
        AnomalyKind::Reordered,
        "Events of one publisher and address overtake each other",
        "send through one queue for each address: a pool of workers, or a task for each event, loses the order",
    ),
    (
        AnomalyKind::NeverPublished,
        "Events arrive that nobody published in this run",
        "name the server's own messages in dialect.own_events, and the place of the payload in dialect.payload",
    ),
    (
        AnomalyKind::RefusedAppeared,
        "A publish is refused, and its event is delivered all the same",
        "check everything before the event is stored; answer 5xx, not 4xx, once it may have been",
    ),
    (
        AnomalyKind::OtherRun,
        "Events of an earlier run arrive: the log still has them",
        "start with an empty log, or read from its end where a client has no Last-Event-ID",
    ),
    (
        AnomalyKind::AlteredPayload,
        "Payloads are changed on their way: what arrives is not what was published",
        "look for what parses and writes the JSON anew, cuts long texts, escapes HTML, or shares one buffer between streams; a \
         proxy that rewrites bodies (nginx: sub_filter) does it too",
    ),
    (
        AnomalyKind::WrongEventType,
        "Events come with another event: than they were published with, and a page that listens for that type never hears them",
        "write event: from the published event wherever a stream is written, also in the replay; where several types are meant, \
         name them in dialect.events",
    ),
    (
        AnomalyKind::IdGoesBack,
        "The id: of an event does not follow the one before it, so a client that reconnects names the wrong place",
        "take the id from the place in one log, not from a clock or from a counter of each process; ids that have no order on \
         purpose are told with dialect.ids_rise = false",
    ),
    (
        AnomalyKind::StalledStream,
        "Streams stay open and send nothing more, though the server has the events: a client sees no error and waits for ever",
        "look for a subscription that ends while its connection stays (an error in its task that nobody sees, a broker that \
         reconnected, a list that forgot the stream), and end the stream then, so that the client comes back",
    ),
    (
        AnomalyKind::InconsistentId,
        "One id stands for two events, so a cursor has no clear place",
        "give each event one id, and the same id on every stream; dialect.ids says how far ids are unique",
    ),
    (
        AnomalyKind::NeverRecovered,
        "Clients do not get back in",
        "look at how the server answered the last attempts: a browser gives up for good after any status but 200",
    ),
    (
        AnomalyKind::Unseen,
        "Owed events did not arrive until the end, and nothing proves that they are lost",
        "look at the streams that stayed open and silent; a longer verify.quiesce.timeout shows whether they are only late",
    ),
];

/// A finding for each check that did not pass, except those that another finding explains.
pub(in crate::bench::verdict::diagnosis) fn checks(
    judgement: &Judgement<'_>,
    explained: &BTreeSet<AnomalyKind>,
) -> Vec<Explained> {
    let failed = judgement.verdict.checks.iter().filter(|check| check.status == Status::Fail);
    let anomalies = &judgement.input.account.anomalies;
    let anomaly = |check: &Check| anomalies.iter().find(|anomaly| anomaly.kind.name() == check.name);
    let is_new = |check: &&Check| anomaly(check).is_none_or(|anomaly| !explained.contains(&anomaly.kind));
    let mut found: Vec<_> =
        failed.filter(is_new).map(|check| of_check(check, anomaly(check), judgement)).collect();
    found.extend(undecided(judgement, explained));
    found
}

fn of_check(check: &Check, anomaly: Option<&Anomaly>, judgement: &Judgement<'_>) -> Explained {
    let words = ANOMALIES.iter().find(|(kind, _, _)| kind.name() == check.name);
    let (what, remedy) = words.map_or_else(
        || (format!("The check {:?} failed", check.name), ""),
        |(_, what, remedy)| ((*what).to_owned(), *remedy),
    );
    let windows = anomaly.map(windows).unwrap_or_default();
    let example = anomaly.and_then(|anomaly| anomaly.examples.first());
    let example = example.map(|example| format!("; first {example}")).unwrap_or_default();
    let altered = anomaly.filter(|anomaly| anomaly.kind == AnomalyKind::AlteredPayload);
    let altered =
        altered.and_then(|_| judgement.input.sightings.iter().find(|one| one.seen == Seen::Altered));
    let altered = altered.map(|one| format!("; one of them: {}", one.example)).unwrap_or_default();
    let evidence = format!("{}{windows}{example}{altered}", check.detail);
    Explained::new(Cause::Delivery, what, evidence, remedy)
}

/// Whether the faults of the run explain where it happened.
fn windows(anomaly: &Anomaly) -> String {
    let within: u64 = anomaly.by_fault.iter().map(|(_, count)| count).sum();
    let names: Vec<&str> = anomaly.by_fault.iter().map(|(name, _)| name.as_str()).collect();
    match within {
        0 => String::new(),
        all if all >= anomaly.count => format!("; all of them in the window of {}", names.join(", ")),
        some => format!("; {some} of them in the window of {}", names.join(", ")),
    }
}

/// One finding for all that could not be decided.
fn undecided(judgement: &Judgement<'_>, explained: &BTreeSet<AnomalyKind>) -> Option<Explained> {
    let is_open = |check: &&Check| check.status == Status::Unknown;
    let open: Vec<&Check> = judgement.verdict.checks.iter().filter(is_open).collect();
    let first = open.first()?;
    let words_of = |name: &str| ANOMALIES.iter().find(|(kind, _, _)| kind.name() == name);
    let is_missed = [AnomalyKind::Lost, AnomalyKind::Unseen].iter().any(|kind| explained.contains(kind));
    // What holds events back holds the sentinels back, too.
    let is_explained = |check: &&Check| match words_of(&check.name) {
        Some((kind, _, _)) => explained.contains(kind),
        None => check.name == "quiescence" && is_missed,
    };
    if open.iter().all(is_explained) {
        return None;
    }
    let words = words_of(&first.name);
    let (what, remedy) = words.map_or(
        (
            "The run does not show whether everything arrived",
            "look at the first client in question; verify.quiesce says how long the run waits for the end to be quiet",
        ),
        |(_, what, remedy)| (*what, *remedy),
    );
    let evidence: Vec<String> =
        open.iter().map(|check| format!("{}: {}", check.name, check.detail)).collect();
    Some(Explained::new(Cause::Undecided, what, evidence.join("; "), remedy))
}

/// One finding for the thresholds on the server, and one for those that could not be decided.
pub(in crate::bench::verdict::diagnosis) fn thresholds(judgement: &Judgement<'_>) -> Vec<Explained> {
    let results = judgement.verdict.thresholds.iter().filter(|result| !result.judges_generator);
    let of = |status: Status| -> Vec<&ThresholdResult> {
        results.clone().filter(|result| result.status == status).collect()
    };
    let mut found = Vec::new();
    let failed = of(Status::Fail);
    if !failed.is_empty() {
        let is_lost = failed.iter().any(|result| result.measured.ends_with("lost"));
        let remedy = if is_lost {
            "an event that never arrives is infinitely late: mend the losses first"
        } else {
            "report.html shows in which second it rose, and which fault was at work; --full prints each phase and group"
        };
        let what = match failed.len() {
            1 => "A threshold does not hold".to_owned(),
            count => format!("{count} thresholds do not hold"),
        };
        found.push(Explained::new(Cause::Threshold, what, listed(&failed), remedy));
    }
    let is_late = |result: &&ThresholdResult| result.judges_generator && result.status == Status::Fail;
    let late: Vec<&ThresholdResult> = judgement.verdict.thresholds.iter().filter(is_late).collect();
    // With an explanation, the lag is among the problems of the run.
    let is_explained = judgement.verdict.problems.iter().any(|problem| problem.exit == Exit::Invalid);
    if !late.is_empty() && !is_explained {
        let (cause, what, remedy) = words(Exit::Invalid);
        found.push(Explained::new(cause, what, listed(&late), remedy));
    }
    let open = of(Status::Unknown);
    if !open.is_empty() {
        let what = "Thresholds have no samples, so they are neither held nor broken";
        let remedy =
            "check the tags of the metric, or remove the threshold where the scenario does not lead to it";
        found.push(Explained::new(Cause::Undecided, what, listed(&open), remedy));
    }
    found
}

fn listed(results: &[&ThresholdResult]) -> String {
    const SHOWN: usize = 3;
    let one =
        |result: &&ThresholdResult| format!("{} {}: {}", result.key, result.expression, result.measured);
    let more = results.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}{more}", results.iter().take(SHOWN).map(one).collect::<Vec<_>>().join("; "))
}

/// Problems of the run itself, those of one kind together.
pub(in crate::bench::verdict::diagnosis) fn problems(problems: &[RunProblem]) -> Vec<Explained> {
    let mut kinds: Vec<(Cause, &str, &str)> = problems.iter().map(|problem| words(problem.exit)).collect();
    kinds.sort_by_key(|(cause, _, _)| *cause);
    kinds.dedup();
    let found = |kind: (Cause, &str, &str)| {
        let alike = problems.iter().filter(|problem| words(problem.exit) == kind);
        let messages: Vec<&str> = alike.map(|problem| problem.message.as_str()).collect();
        Explained::new(kind.0, kind.1, messages.join("; "), kind.2)
    };
    kinds.into_iter().map(found).collect()
}

fn words(exit: Exit) -> (Cause, &'static str, &'static str) {
    match exit {
        Exit::Invalid => (
            Cause::Bench,
            "The bench was the limit or lost a part of itself, so the run says little about the server",
            "run it again on an idle machine, with fewer clients, a lower rate, or more --workers",
        ),
        Exit::VerificationFailed => (Cause::Delivery, "What must hold at the end does not hold", ""),
        Exit::ThresholdsFailed => (Cause::Threshold, "A threshold does not hold", ""),
        Exit::Unknown => (
            Cause::Undecided,
            "The end of the run was not quiet, so what is missing may only be late",
            "raise verify.quiesce.timeout, or look at the clients that did not come back",
        ),
        Exit::Interrupted => (
            Cause::Undecided,
            "The run was ended before its time",
            "let it run to its end: what it found until then stands above",
        ),
        Exit::SetupFailed | Exit::AddressInUse => (
            Cause::Cluster,
            "The run could not start: not all servers and clients were ready",
            "read the logs of the processes in the directory of the run; of a server that runs already, its own log",
        ),
        Exit::FaultFailed | Exit::TeardownFailed => (
            Cause::Cluster,
            "A server or a fault did not do what the plan says",
            "read the log of that process in the directory of the run",
        ),
        Exit::Internal | Exit::BadScenario | Exit::Usage | Exit::Pass => {
            (Cause::Bench, "The bench could not do its own work", "")
        }
    }
}
