//! How events are published, and what an answer to one means: an open load, the statuses of a dialect, tokens, and servers
//! that take what they refuse.

use serde_json::Value;

use super::desk::{Desk, Ways};
use super::harness::{Lab, Ran, check_evidence};

const SCENARIO: &str = r#"
schema = 1
name = "desk"
seed = 7
duration = "2s"

[cluster]
attach = ["DESK"]

[dialect]
ready = "/ready"
stream = "/events?client={client}"
[dialect.publish]
path = "/publish"

[clients.desk]
clients = 4

[publishers.main]
rate = 40

[verify]
quiesce = { idle = "1s", timeout = "20s" }

[[faults]]
at = "1s"
type = "reconnect-storm"
"#;

/// A run of [`SCENARIO`] against a server, with these settings.
async fn judge(desk: &Desk, more: &[&str]) -> (Lab, Ran) {
    let lab = Lab::new(&SCENARIO.replace("DESK", &desk.base));
    let set: Vec<String> = more.iter().map(|setting| format!("--set={setting}")).collect();
    let ran = lab.run(&set.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(ran.report.is_object(), "no report\n{}\n{}", ran.stdout, ran.stderr);
    check_evidence(&lab, &ran).await;
    (lab, ran)
}

#[track_caller]
fn check(ran: &Ran, code: i32, failed: &[&str]) {
    assert_eq!(ran.code, Some(code), "{}\n{}", ran.stdout, ran.stderr);
    let names = ran.report["summary"]["failed"].as_array().unwrap();
    assert_eq!(names.iter().filter_map(Value::as_str).collect::<Vec<_>>(), failed, "{}", ran.stdout);
}

fn has_check(ran: &Ran, name: &str) -> bool {
    ran.report["verdict"]["checks"].as_array().unwrap().iter().any(|check| check["name"] == name)
}

fn count(ran: &Ran, name: &str) -> u64 {
    ran.report["summary"][name]
        .as_u64()
        .unwrap_or_else(|| panic!("{name} is not in {}", ran.report["summary"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn events_leave_when_they_are_due_and_a_server_may_turn_around_what_was_in_flight() {
    let ways = Ways { batch: 4, ..Ways::PLAIN };
    let desk = Desk::start(ways).await;
    let (_, ran) = judge(&desk, &[]).await;
    check(&ran, 0, &[]);
    assert!(desk.most_waiting() > 1, "the load was a closed loop");
    assert!(has_check(&ran, "publishes overlapped"), "{}", ran.stdout);
    // One after the other, where that is asked for.
    let desk = Desk::start(ways).await;
    let (_, ran) = judge(&desk, &["publishers.main.in_order=true", "publishers.main.rate=10"]).await;
    check(&ran, 0, &[]);
    assert_eq!(desk.most_waiting(), 1);
    assert!(!has_check(&ran, "publishes overlapped"), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_turns_around_what_it_acknowledged_before_is_convicted() {
    let desk = Desk::start(Ways { batch: 4, answers_early: true, ..Ways::PLAIN }).await;
    let (_, ran) = judge(&desk, &[]).await;
    check(&ran, 120, &["reordered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_answered_with_303_is_accepted_where_the_dialect_says_so() {
    let desk = Desk::start(Ways { status: 303, ..Ways::PLAIN }).await;
    let (_, ran) = judge(&desk, &[]).await;
    // Nobody knows what 303 means here: nothing is owed, and nobody is convicted.
    check(&ran, 121, &[]);
    assert!(ran.stdout.contains("303 See Other; if it accepts events so"), "{}", ran.stdout);
    let (_, ran) = judge(&desk, &["dialect.publish.accepts=[\"2xx\", 303]"]).await;
    check(&ran, 0, &[]);
    assert!(count(&ran, "events_expected") > 200, "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_refused_after_it_was_put_into_the_log_convicts_the_server() {
    for (status, keeps_refused, code, failed) in [
        (409, true, 120, &["refused yet delivered"][..]),
        // A 5xx promises nothing, and neither does a redirect.
        (503, true, 0, &[]),
        (302, true, 0, &[]),
        (409, false, 0, &[]),
    ] {
        let desk = Desk::start(Ways { refuses: Some((7, status)), keeps_refused, ..Ways::PLAIN }).await;
        let (_, ran) = judge(&desk, &[]).await;
        check(&ran, code, failed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_a_group_carries_its_token() {
    let desk = Desk::start(Ways { is_locked: true, ..Ways::PLAIN }).await;
    let tokens = ["clients.desk.token=c-sesame-{i}", "publishers.main.token=p-sesame-{i}"];
    let (lab, ran) = judge(&desk, &tokens).await;
    check(&ran, 0, &[]);
    assert!(count(&ran, "events_expected") > 200, "{}", ran.stdout);
    // And nothing of the run says what it is.
    for entry in std::fs::read_dir(lab.out()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"sesame"), "{path:?} holds a token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_is_not_set_is_named_where_nothing_was_accepted() {
    let desk = Desk::start(Ways { is_locked: true, ..Ways::PLAIN }).await;
    // It is asked whether it is ready with the same headers.
    let lab = Lab::new(&SCENARIO.replace("DESK", &desk.base).replace("ready = \"/ready\"\n", ""));
    let set = ["--set=clients.desk.token=c-sesame-{i}", "--set=publishers.main.token=${SSE_LAB_NOT_SET:-}"];
    let ran = lab.run(&set).await;
    check(&ran, 121, &[]);
    let why = "no publish of main was acknowledged: the server answered 401 Unauthorized; publishers.main.token has nothing \
               in the place of the variable SSE_LAB_NOT_SET, which is not set";
    assert!(
        ran.report["verdict"]["troubles"].to_string().contains(why),
        "{}",
        ran.report["verdict"]["troubles"]
    );
    assert!(ran.stdout.contains("SSE_LAB_NOT_SET"), "{}", ran.stdout);
    check_evidence(&lab, &ran).await;
}
