//! What events say: payloads and types.

use super::history::{History, at};
use crate::bench::scenario;
use crate::bench::scenario::dialect::Dialect;
use crate::bench::verdict::Status::Fail;
use crate::bench::verdict::ledger::{AnomalyKind, Arrival, Example, Fields};
use crate::protocol::Format;

const DIALECT: &str = r#"
schema = 1
name = "other"
duration = "1s"
[dialect]
stream = "/events?{addresses}"
names = { all = "all", topic = "{name}", user = "{name}", client = "{name}" }
publish = { path = "/publish/{name}" }
[clients.c]
clients = 1
[publishers.p]
rate = 1
"#;

fn dialect(events: &[&str]) -> Dialect {
    let scenario = scenario::parse("other.toml", DIALECT, &[]).unwrap();
    let events = (!events.is_empty()).then(|| events.iter().map(|event| (*event).to_owned()).collect());
    Dialect { events, ..Dialect::clone(&scenario.dialect.unwrap()) }
}

/// Events of an address that arrive at both clients, with these types.
fn arrive(history: &mut History, address: &str, types: &[[&str; 2]]) {
    for (types, ms) in types.iter().zip((1_000..).step_by(100)) {
        let seq = history.publish(address, ms);
        history.keep(address, seq);
        for (client, event) in types.iter().enumerate() {
            let fields = Fields { id: None, event: Some(event) };
            let stamp = history.stamp(address, seq);
            history.clients[client].arrive(at(ms + 10), fields, stamp);
        }
    }
    history.end();
}

fn history(events: Option<&[&str]>) -> History {
    let mut history = History::new("");
    history.plan.dialect = events.map(|events| dialect(events).into());
    history
}

/// Both clients get these types; how many deliveries were of a wrong one.
#[track_caller]
fn check(events: Option<&[&str]>, types: &[[&str; 2]], wrong: u64) {
    let mut history = history(events);
    arrive(&mut history, "all", types);
    let names: &[_] = if wrong > 0 { &[("wrong event type", Fail)] } else { &[] };
    history.check(names);
    assert_eq!(history.account().wrong_types, wrong);
}

#[test]
fn a_node_of_this_system_has_one_type_for_each_kind_of_address() {
    check(None, &[["MESSAGE", "MESSAGE"], ["MESSAGE", "MESSAGE"]], 0);
    check(None, &[["MESSAGE", "OTHER"], ["MESSAGE", "MESSAGE"]], 1);
    check(None, &[["message", "message"]], 2);
    let mut honest = history(None);
    let seq = honest.publish("user:u0", 500);
    honest.keep("user:u0", seq);
    let stamp = honest.stamp("user:u0", seq);
    honest.clients[0].arrive(at(510), Fields { id: None, event: Some("DIRECT") }, stamp);
    arrive(&mut honest, "all", &[["MESSAGE", "MESSAGE"]]);
    honest.check(&[]);
}

#[test]
fn where_clients_ask_for_the_data_alone_no_type_is_expected() {
    for (type_, wrong) in [("message", 0), ("MESSAGE", 2)] {
        let mut history = history(None);
        history.plan.readings[0].format = Format::Data;
        arrive(&mut history, "all", &[[type_, type_]]);
        assert_eq!(history.account().wrong_types, wrong, "{type_}");
    }
}

#[test]
fn another_server_has_the_types_that_its_dialect_says() {
    check(Some(&["a", "b"]), &[["a", "b"], ["b", "a"]], 0);
    check(Some(&["a", "b"]), &[["a", "b"], ["b", "c"]], 1);
    check(Some(&["*"]), &[["a", "b"], ["c", "d"]], 0);
}

#[test]
fn or_the_type_that_most_deliveries_had() {
    check(Some(&[]), &[["a", "a"], ["a", "a"]], 0);
    check(Some(&[]), &[["a", "a"], ["a", "b"]], 1);
    // The first event of a client has the wrong one, or all that it got.
    check(Some(&[]), &[["b", "a"], ["a", "a"]], 1);
    check(Some(&[]), &[["a", "b"], ["a", "b"], ["a", "a"]], 2);
    check(Some(&[]), &[["a", "b"], ["b", "a"]], 0);
}

#[test]
fn more_types_than_a_client_keeps_are_not_judged() {
    let names: Vec<String> = (0..200).map(|number| format!("type-{number}")).collect();
    let types: Vec<[&str; 2]> = names.iter().map(|name| [name.as_str(), name.as_str()]).collect();
    check(Some(&[]), &types, 0);
    let history = {
        let mut history = history(Some(&["type-0"]));
        arrive(&mut history, "all", &types);
        history
    };
    history.check(&[("wrong event type", Fail)]);
    assert!(history.clients[0].bytes() < 30_000, "{}", history.clients[0].bytes());
}

#[test]
fn an_altered_payload_of_a_known_event_has_arrived() {
    let mut history = history(None);
    let seq = history.publish("all", 1_000);
    history.keep("all", seq);
    let stamp = history.stamp("all", seq);
    for client in [0, 1] {
        let arrival = history.clients[client].altered(at(1_010), Fields::default(), Some(stamp));
        assert!(matches!(arrival, Arrival::New { .. }), "{arrival:?}");
    }
    history.end();
    history.check(&[("altered payload", Fail)]);
    let account = history.account();
    assert_eq!((account.altered, account.ok, account.expected), (2, 2, 2));
}

#[test]
fn an_altered_payload_of_nobody_knows_which_event_is_missing() {
    let mut history = history(None);
    let seq = history.publish("all", 1_000);
    history.keep("all", seq);
    history.arrive(1, "all", seq, 1_010);
    assert_eq!(history.clients[0].altered(at(1_010), Fields::default(), None), Arrival::Altered);
    history.end();
    history.check(&[("lost", Fail), ("altered payload", Fail)]);
    let account = history.account();
    let is_unknown = |example: &Example| example.seq.is_none() && example.subscriber.is_some();
    let altered = account.anomalies.iter().find(|anomaly| anomaly.kind == AnomalyKind::AlteredPayload);
    assert!(altered.is_some_and(|altered| altered.examples.iter().all(is_unknown)), "{account:#?}");
}
