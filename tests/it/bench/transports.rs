//! What reads the sockets makes no difference to what is judged: the same scenario by loops and by `reqwest`.

use serde_json::{Value, json};

use super::harness::{Lab, Ran, check_evidence};
use super::recipe::{KILL, LATE, Recipe};

/// Clients that read slowly, and that are programs with another decoder.
const GROUPS: &str = r#"
[clients.slow]
clients = 3
subscribe = { topics = ["room-1"] }
read = { bytes_per_sec = 20_000, rcvbuf = 4_096 }

[clients.crate]
clients = 3
decoder = "eventsource-stream"
subscribe = { topics = ["room-2"] }
"#;

const FAULTS: &str = r#"
[[faults]]
at = "2500ms"
for = "500ms"
type = "slow-down"
clients = 5
bytes_per_sec = 2_000

[[faults]]
at = "3500ms"
type = "reconnect-storm"
clients = 10
"#;

fn lab() -> Lab {
    let recipe = Recipe::new("transports", "5s").verify("delivery = \"exactly-once\"");
    recipe.and(GROUPS).and(LATE).and("session = { mean = \"2s\" }").and(KILL).and(FAULTS).lab()
}

/// What the clients saw, without what depends on moments.
fn essence(ran: &Ran) -> (Option<i32>, Vec<&Value>, Vec<(&str, &Value)>) {
    let keys = ["failed", "events_lost", "events_duplicated", "events_reordered", "events_unexpected"];
    let figures = keys.iter().map(|key| &ran.report["summary"][key]).collect();
    let checks = ran.report["verdict"]["checks"].as_array().unwrap().iter();
    let checks = checks.map(|check| (check["name"].as_str().unwrap(), &check["status"]));
    (ran.code, figures, checks.filter(|(_, status)| *status != "note").collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verdict_is_the_same_whatever_reads_the_sockets() {
    let (loops, reqwest) = (lab(), lab());
    let by_loops = loops.run(&["--history", "all"]).await;
    let groups = ["all", "slow", "late", "crate"].map(|group| format!("clients.{group}.transport=reqwest"));
    let set: Vec<&str> = groups.iter().flat_map(|key| ["-s", key]).collect();
    let by_reqwest = reqwest.run(&set).await;
    assert_eq!(by_loops.code, Some(0), "{}\n{}", by_loops.stdout, by_loops.stderr);
    assert_eq!(essence(&by_reqwest), essence(&by_loops), "{}\n{}", by_reqwest.stdout, by_reqwest.stderr);
    for ran in [&by_loops, &by_reqwest] {
        let summary = &ran.report["summary"];
        assert_eq!(summary["events_expected"], summary["events_ok"], "{}", ran.stdout);
        let cut = |fault: usize| ran.report["faults"][fault]["sessions_cut"].as_u64();
        assert!(cut(0) > Some(10) && cut(2) > Some(0), "{}", ran.stdout);
    }
    assert_eq!(by_loops.report["run"]["transports"], json!(["loops"]));
    assert_eq!(by_reqwest.report["run"]["transports"], json!(["reqwest"]));
    check_evidence(&loops, &by_loops).await;
}
