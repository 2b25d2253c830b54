//! The judge is judged: small servers with one fault each are run by the real `sse-bench`, which must catch every one
//! of them, call it by its name, and let the honest one pass.

use serde_json::Value;

use super::harness::{Lab, Ran, check_evidence};
use super::small_node::{Defect, SmallNode};

/// Two users, a topic, everybody; events often enough that some are under way whenever a client is; everybody loses
/// the connection once. The pace lets a reconnecting client miss a hundred events.
const SCENARIO: &str = r#"
schema = 1
name = "broken"
seed = 7
duration = "3s"

[cluster]
attach = ["NODE"]

[clients.all]
executor = "constant"
clients = 6
subscribe = { topics = ["room-{i%2}"], user = "u{i}" }
reconnect = { policy = "browser", last_event_id = true }

[publishers.main]
rate = 200
arrival = "poisson"
max_in_flight = 256
mix = { broadcast = 1, topic = 1, user = 1 }
payload = 200

[[faults]]
at = "1500ms"
type = "reconnect-storm"

[verify]
delivery = "exactly-once"
order = "per-publisher-address"
quiesce = { idle = "2s", timeout = "15s", audit_read = true }
"#;

async fn judge(defect: Defect) -> Ran {
    let node = SmallNode::start(defect).await;
    let lab = Lab::new(&SCENARIO.replace("NODE", &node.base));
    let ran = lab.run(&[]).await;
    assert!(ran.report.is_object(), "no report\n{}\n{}", ran.stdout, ran.stderr);
    check_evidence(&lab, &ran).await;
    ran
}

/// The defect is caught (120) and named: in the summary for CI, and in the text for people.
#[track_caller]
fn check_caught(ran: &Ran, name: &str) {
    let Ran { code, stdout, report, .. } = ran;
    assert_eq!(*code, Some(120), "{stdout}");
    let failed: Vec<&str> =
        report["summary"]["failed"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(failed.contains(&name), "{name:?} is not among {failed:?}\n{stdout}");
    assert!(stdout.contains(name), "{name:?} is not in\n{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_server_passes() {
    let ran = judge(Defect::None).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    let summary = &ran.report["summary"];
    assert_eq!(summary["failed"], Value::Array(Vec::new()));
    assert!(summary["events_expected"].as_u64().unwrap() > 500, "{summary}");
    assert_eq!(summary["events_expected"], summary["events_ok"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_event_is_lost() {
    check_caught(&judge(Defect::DropsOne).await, "lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_delivered_twice_is_a_duplicate_in_its_session() {
    check_caught(&judge(Defect::DeliversTwice).await, "duplicated in session");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_with_another_byte_is_an_altered_payload() {
    check_caught(&judge(Defect::AltersOne).await, "altered payload");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_as_another_is_of_a_wrong_type() {
    check_caught(&judge(Defect::RenamesOne).await, "wrong event type");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_swapped_events_are_reordered() {
    check_caught(&judge(Defect::SwapsTwo).await, "reordered");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_somebody_else_is_an_isolation_leak() {
    check_caught(&judge(Defect::LeaksAnotherUsers).await, "isolation leak");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_begins_too_early_is_a_duplicate_across_the_reconnect() {
    check_caught(&judge(Defect::ReplaysTooMuch).await, "duplicated across reconnect");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_event_that_nobody_has_is_forgotten() {
    check_caught(&judge(Defect::AcknowledgesAndForgets).await, "acknowledged and forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_jump_after_a_reconnect_is_lost_and_a_replay_from_the_wrong_place() {
    let ran = judge(Defect::JumpsSilently).await;
    check_caught(&ran, "lost");
    check_caught(&ran, "replayed from the wrong place");
}

/// Everybody has left by its plan before the end, and wanted to get back in for seconds.
const LEAVERS: &str = r#"
schema = 1
name = "leavers"
seed = 7
duration = "11s"

[cluster]
attach = ["NODE"]

[clients.all]
executor = "ramping"
stages = [{ duration = "200ms", target = 6 }, { duration = "9s", target = 6 }, { duration = "500ms", target = 0 }]
reconnect = { policy = "tolerant", max_delay = "1s" }

[publishers.main]
rate = 50
mix = { broadcast = 1 }

[verify]
quiesce = { idle = "2s", timeout = "15s" }

[thresholds]
generator_lag = ["p(99)<60s"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_locks_everybody_out_does_not_hide_behind_those_who_leave() {
    for (defect, code) in [(Defect::None, 0), (Defect::LocksOut, 120)] {
        let node = SmallNode::start(defect).await;
        let lab = Lab::new(&LEAVERS.replace("NODE", &node.base));
        let ran = lab.run(&["--history", "all"]).await;
        assert_eq!(ran.code, Some(code), "{}\n{}", ran.stdout, ran.stderr);
        if defect == Defect::LocksOut {
            check_caught(&ran, "never recovered");
            assert_eq!(ran.report["summary"]["events_lost"], 0, "{}", ran.stdout);
        }
        check_evidence(&lab, &ran).await;
    }
}
