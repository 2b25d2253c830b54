//! Each event toxic in the proxy before an honest node: the verdict names what it did, at two rates or places in the
//! stream, and acquits the same node where the toxics meet nothing.

use tokio::task::JoinSet;

use super::harness::Ran;
use super::recipe::Recipe;

const NODES: &str = "nodes = 1\nbroker = \"file\"\nproxy = [\"client->node\"]";
/// Deliveries are judged here, not how long a slow machine takes.
const ARGS: [&str; 2] = ["-s", "verify.quiesce.idle=\"1s\""];
/// Runs at the same time.
const AT_ONCE: usize = 3;

/// A toxic, what makes it meet something in two ways, and the name of what it does in the verdict; an empty name: nothing
/// that a server owes.
type Row = (&'static str, [&'static str; 2], &'static str);

const TABLE: &[Row] = &[
    ("drop_event", ["rate = 0.02", "nth = 12"], "lost"),
    ("drop_event", ["which = \"first-after-reconnect\"", "rate = 0.2"], "lost"),
    ("duplicate_event", ["rate = 0.02", "nth = 3"], "duplicated in session"),
    ("reorder_events", ["rate = 0.1", "span = 5\nrate = 0.5"], "reordered"),
    ("inject_gap", ["rate = 0.02", "nth = 12"], "gap declared"),
    ("strip_last_event_id", ["rate = 1", "rate = 0.7"], "lost"),
    ("rewrite_last_event_id", ["back = 1", "back = 20"], "duplicated across reconnect"),
    (
        "answer_publish",
        ["status = 202\nrate = 0.1", "status = 200\nrate = 0.5"],
        "acknowledged and forgotten",
    ),
    (
        "answer_publish",
        ["status = 400\ndeliver = true\nrate = 0.1", "status = 409\ndeliver = true"],
        "refused yet delivered",
    ),
    ("split_everywhere", ["rate = 0.05", "rate = 1"], ""),
    ("hold_back", ["delay = 100", "delay = 700"], ""),
    ("delay_event", ["delay = 100\nrate = 0.1", "delay = 300\njitter = 100\nnth = 5"], ""),
    ("truncate_event", ["nth = 10", "nth = 12"], ""),
];

fn fault(name: &str, attributes: &str) -> String {
    format!("[[faults]]\nat = \"100ms\"\nlink = \"client->node\"\ntype = \"{name}\"\n{attributes}\n")
}

async fn judge(nodes: &str, faults: &str) -> Ran {
    let recipe = Recipe::new("toxics", "3s").nodes(nodes).clients(8).rate(60);
    let storm = "[[faults]]\nat = \"1500ms\"\ntype = \"reconnect-storm\"\n";
    recipe.and(storm).and(faults).lab().run(&ARGS).await
}

/// What is wrong with the verdict on a row.
fn wrong(ran: &Ran, name: &str) -> Option<String> {
    let failed = ran.report["summary"]["failed"].as_array()?;
    let is_right = match name {
        "" => ran.code == Some(0),
        _ => ran.code == Some(120) && failed.iter().any(|failed| failed == name),
    };
    (!is_right).then(|| format!("instead of {name:?}: {:?} {failed:?}\n{}", ran.code, ran.stdout))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_toxic_is_convicted_by_its_name() {
    let rows = TABLE.iter().flat_map(|(toxic, ways, name)| ways.iter().map(move |way| (*toxic, *way, *name)));
    let permits = std::sync::Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut runs = JoinSet::new();
    for (toxic, way, name) in rows {
        let permits = std::sync::Arc::clone(&permits);
        runs.spawn(async move {
            let _permit = permits.acquire().await.unwrap();
            let ran = judge(NODES, &fault(toxic, way)).await;
            wrong(&ran, name).map(|why| format!("{toxic} {way}: {why}\n{}", ran.stderr))
        });
    }
    let wrong: Vec<String> = runs.join_all().await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} rows\n{}", wrong.len(), wrong.join("\n\n"));
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
    let faults = fault("drop_event", "rate = 0.05") + "[lb]\nkind = \"nginx\"\n";
    let ran = judge(NODES, &faults).await;
    assert_eq!(wrong(&ran, "lost"), None, "{}", ran.stderr);
}
