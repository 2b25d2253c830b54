//! Each event toxic in the proxy before an honest node: the verdict names what it did, at two rates and at two places in
//! the stream, and behind nginx, and acquits the same node where the toxics meet nothing.

use std::ops::Range;
use std::sync::Arc;

use sse_lab::bench::scenario::EventAction;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::harness::Ran;
use super::recipe::Recipe;

const NODES: &str = "nodes = 1\nbroker = \"file\"\nproxy = [\"client->node\"]";
const NGINX: &str = "[lb]\nkind = \"nginx\"\n";
/// Deliveries are judged here, not how long a slow machine takes.
const ARGS: [&str; 2] = ["-s", "verify.quiesce.idle=\"1s\""];
/// Runs at the same time.
const AT_ONCE: usize = 3;

/// A toxic, the name of what it does in the verdict (an empty one: nothing that a server owes), and what makes it meet
/// something: at two rates, and at two places where it has places.
type Row = (&'static str, &'static str, &'static [&'static str]);

const RATES_AND_PLACES: &[&str] =
    &["rate = 0.02", "rate = 0.2", "nth = 12", "which = \"first-after-reconnect\""];

const TABLE: &[Row] = &[
    ("drop_event", "lost", RATES_AND_PLACES),
    ("duplicate_event", "duplicated in session", RATES_AND_PLACES),
    (
        "reorder_events",
        "reordered",
        &[
            "rate = 0.1",
            "span = 5\nrate = 0.5",
            "span = 20\nnth = 9",
            "span = 20\nwhich = \"first-after-reconnect\"",
        ],
    ),
    ("corrupt_payload", "altered payload", RATES_AND_PLACES),
    ("change_id", "inconsistent id", RATES_AND_PLACES),
    (
        "change_id",
        "id goes back",
        &[
            "value = \"x\"\nrate = 0.02",
            "value = \"x\"\nrate = 0.2",
            "value = \"x\"\nnth = 12",
            "value = \"x\"\nwhich = \"first-after-reconnect\"",
        ],
    ),
    ("change_type", "wrong event type", RATES_AND_PLACES),
    (
        "truncate_event",
        "lost",
        &[
            "close = false\nbytes = 1\nrate = 0.02",
            "close = false\nrate = 0.2",
            "close = false\nbytes = 1\nnth = 12",
            "close = false\nwhich = \"first-after-reconnect\"",
        ],
    ),
    ("truncate_event", "", &["nth = 10", "rate = 0.02", "rate = 0.05", "nth = 12"]),
    ("mute", "stalled stream", RATES_AND_PLACES),
    ("inject_gap", "gap declared", RATES_AND_PLACES),
    ("strip_last_event_id", "lost", &["rate = 1", "rate = 0.7"]),
    ("rewrite_last_event_id", "duplicated across reconnect", &["back = 1", "back = 20\nrate = 0.7"]),
    (
        "answer_publish",
        "acknowledged and forgotten",
        &[
            "status = 202\nrate = 0.1",
            "status = 200\nrate = 0.5",
            "status = 202\npath = \"*/broadcast\"",
            "status = 202\npath = \"*/topics/*\"",
        ],
    ),
    (
        "answer_publish",
        "refused yet delivered",
        &[
            "deliver = true\nstatus = 400\nrate = 0.1",
            "deliver = true\nstatus = 409",
            "deliver = true\nstatus = 422\npath = \"*/broadcast\"",
            "deliver = true\nstatus = 403\npath = \"*/users/*\"",
        ],
    ),
    (
        "swallow_publish",
        "",
        &["rate = 0.1", "rate = 0.5", "path = \"*/broadcast\"", "deliver = true\npath = \"*/topics/*\""],
    ),
    ("split_everywhere", "", &["rate = 0.05", "rate = 1"]),
    ("hold_back", "", &["delay = 100", "delay = 700"]),
    (
        "delay_event",
        "",
        &[
            "delay = 100\nrate = 0.1",
            "delay = 100\nrate = 0.01",
            "delay = 300\njitter = 100\nnth = 5",
            "delay = 300\nwhich = \"first-after-reconnect\"",
        ],
    ),
];

fn fault(name: &str, attributes: &str) -> String {
    format!("[[faults]]\nat = \"100ms\"\nlink = \"client->node\"\ntype = \"{name}\"\n{attributes}\n")
}

async fn judge(nodes: &str, faults: &str) -> Ran {
    let recipe = Recipe::new("toxics", "3s").nodes(nodes).clients(8).rate(60);
    let storm = "[[faults]]\nat = \"1500ms\"\ntype = \"reconnect-storm\"\n";
    recipe.and(storm).and(faults).lab().run(&ARGS).await
}

/// What is wrong with the verdict on a row: another name, or a toxic that met nothing.
fn wrong(ran: &Ran, name: &str) -> Option<String> {
    let failed = ran.report["summary"]["failed"].as_array()?;
    let is_right = match name {
        "" => ran.code == Some(0),
        _ => ran.code == Some(120) && failed.iter().any(|failed| failed == name),
    };
    let met = ran.stderr.contains(" met=") && !ran.stderr.contains(" met=0");
    let why = || format!("instead of {name:?}: {:?} {failed:?}\n{}\n{}", ran.code, ran.stdout, ran.stderr);
    (!is_right || !met).then(why)
}

/// Judges these ways of each row.
async fn judge_all(ways: Range<usize>, more: &'static str) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut runs = JoinSet::new();
    for &(toxic, name, all) in TABLE {
        for way in all.iter().take(ways.end).skip(ways.start) {
            let permits = Arc::clone(&permits);
            runs.spawn(async move {
                let _permit = permits.acquire().await.unwrap();
                let ran = judge(NODES, &(fault(toxic, way) + more)).await;
                wrong(&ran, name).map(|why| format!("{toxic} {way}: {why}"))
            });
        }
    }
    let wrong: Vec<String> = runs.join_all().await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} rows\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn the_table_has_every_event_toxic() {
    let missing: Vec<&str> = EventAction::WORDS
        .map(|(name, _)| name)
        .into_iter()
        .filter(|name| TABLE.iter().all(|(toxic, ..)| toxic != name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_toxic_is_convicted_by_its_name() {
    judge_all(0..1, "").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make full"]
async fn every_event_toxic_is_convicted_at_every_rate_and_place() {
    judge_all(1..usize::MAX, "").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make full"]
async fn every_event_toxic_is_convicted_behind_nginx() {
    judge_all(0..1, NGINX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn toxics_that_meet_nothing_leave_an_honest_node_acquitted() {
    let idle =
        ["drop_event", "duplicate_event", "reorder_events", "corrupt_payload", "change_id", "change_type"];
    let more = [
        "truncate_event",
        "mute",
        "inject_gap",
        "split_everywhere",
        "strip_last_event_id",
        "swallow_publish",
    ];
    let mut faults: String = idle.iter().chain(&more).map(|name| fault(name, "rate = 0")).collect();
    faults += &fault("delay_event", "rate = 0\ndelay = 500");
    faults += &fault("rewrite_last_event_id", "rate = 0\nback = 3");
    faults += &fault("answer_publish", "rate = 0\nstatus = 202");
    let ran = judge(NODES, &faults).await;
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.report["summary"]["events_ok"].as_u64() > Some(100), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx_a_dropped_event_is_lost_too() {
    let faults = fault("drop_event", "rate = 0.05") + NGINX;
    let ran = judge(NODES, &faults).await;
    assert_eq!(wrong(&ran, "lost"), None);
}
