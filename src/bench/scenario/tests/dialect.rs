//! `[dialect]`: the values that are read, and the message of every problem.

use super::scenario::{check, valid};
use crate::bench::scenario::Scenario;
use crate::bench::scenario::dialect::{BodyForm, Confirm, Ids, Resume, Statuses};

const ATTACHED: &str = "[cluster]\nattach = [\"http://127.0.0.1:1\"]\n";
const SMALL: &str = "[dialect]\nstream = \"/events\"\n[dialect.publish]\npath = \"/publish\"\n";

fn foreign(rest: &str) -> Scenario {
    valid(&format!("{ATTACHED}{rest}"))
}

/// Lines count from the `[dialect]`.
#[track_caller]
fn check_foreign(rest: &str, (line, column): (usize, usize), key: &str, words: &[&str]) {
    // Five lines of the head, two of the cluster.
    check(&format!("{ATTACHED}{rest}"), (7 + line, column), key, words);
}

#[test]
fn a_small_dialect_has_sensible_defaults() {
    let scenario = foreign(&format!("{SMALL}[publishers.p]\nrate = 1\n"));
    let dialect = scenario.dialect.unwrap();
    assert_eq!((dialect.resume, dialect.confirm, dialect.ids), (Resume::Header, Confirm::Open, Ids::All));
    assert!(dialect.ready.is_none() && dialect.payload.is_all() && !dialect.publish.is_put);
    assert_eq!(dialect.publish.form, BodyForm::Json);
    assert!(!scenario.verify.quiesce.audit_read, "there is no log to read");
    assert!(!scenario.publishers[0].retry, "a repeated publish would be a second event");
}

#[test]
fn a_publish_that_says_which_event_it_is_is_repeated() {
    let scenario =
        foreign(&format!("{SMALL}headers = {{ idempotency-key = \"{{id}}\" }}\n[publishers.p]\nrate = 1\n"));
    assert!(scenario.publishers[0].retry);
}

#[test]
fn the_statuses_that_accept_are_read() {
    let accepts =
        |value: &str| foreign(&format!("{SMALL}accepts = {value}\n")).dialect.unwrap().publish.accepts;
    let statuses = |texts: &[&str]| Statuses::parse(texts.iter().copied()).unwrap();
    assert_eq!(accepts("[200, 202, 303]"), statuses(&["200", "202", "303"]));
    assert_eq!(accepts("[\"2xx\", 303, \"304-307\"]"), statuses(&["2xx", "303", "304-307"]));
    assert_eq!(accepts("303"), statuses(&["303"]));
    assert_eq!(foreign(SMALL).dialect.unwrap().publish.accepts, Statuses::successful());
    for (value, words) in
        [("[]", "is empty"), ("[99]", "\"99\" is not a status"), ("[\"ok\"]", "classes as in \"2xx\"")]
    {
        check_foreign(&format!("{SMALL}accepts = {value}\n"), (5, 11), "dialect.publish.accepts", &[words]);
    }
}

#[test]
fn every_way_to_resume_is_read() {
    let resume = |text: &str| {
        let small = SMALL.replace("[dialect]\n", &format!("[dialect]\nresume = {text:?}\n"));
        foreign(&small).dialect.unwrap().resume
    };
    assert_eq!(resume("header"), Resume::Header);
    assert_eq!(resume("no"), Resume::No);
    assert_eq!(resume("query:lastEventId"), Resume::Query("lastEventId".to_owned()));
}

#[test]
fn a_dialect_is_for_servers_that_are_there_already() {
    let ours = format!("[cluster]\nnodes = 1\n{SMALL}");
    check(&ours, (8, 1), "dialect", &["cluster.attach", "--target"]);
    assert!(valid(SMALL).dialect.is_some(), "--target may say where they are");
    check_foreign(&format!("{SMALL}[lb]\nkind = \"nginx\"\n"), (1, 1), "dialect", &["lb.kind"]);
}

#[test]
fn invalid_values_are_reported() {
    let publish = "[dialect.publish]\npath = \"/publish\"\n";
    check_foreign(&format!("[dialect]\n{publish}"), (1, 2), "dialect.stream", &["missing"]);
    check_foreign("[dialect]\nstream = \"/events\"\n", (1, 2), "dialect.publish", &["missing"]);
    let with = |line: &str| format!("[dialect]\nstream = \"/e\"\n{line}\n{publish}");
    check_foreign(&with("ready = \"health\""), (3, 9), "dialect.ready", &["begins with '/'"]);
    check_foreign(&with("address = \"{topic}\""), (3, 11), "dialect.address", &["{topic}", "{name}"]);
    check_foreign(&with("address = \"topic\""), (3, 11), "dialect.address", &["would be the same"]);
    check_foreign(
        &with("names = { all = \"a-{name}\" }"),
        (3, 17),
        "dialect.names.all",
        &["allowed are none"],
    );
    check_foreign(&with("names = { topic = \"t\" }"), (3, 19), "dialect.names.topic", &["would be the same"]);
    check_foreign(&with("payload = \"pub\""), (3, 11), "dialect.payload", &["JSON pointer"]);
    check_foreign(&with("resume = \"cookie\""), (3, 10), "dialect.resume", &["header, query:NAME, no"]);
    check_foreign(&with("confirm = \"opne\""), (3, 11), "dialect.confirm", &["open, event"]);
    check_foreign(&with("names = {}"), (3, 9), "dialect.names", &["at least one"]);
    check_foreign(&with("stram = 1"), (3, 1), "dialect.stram", &["stream"]);
    check_foreign(&format!("{SMALL}body = \"{{client}}\"\n"), (5, 8), "dialect.publish.body", &["{payload}"]);
    check_foreign(
        &format!("{SMALL}body = \"{{id}}\"\n"),
        (5, 8),
        "dialect.publish.body",
        &["needs {payload}"],
    );
    check_foreign(&SMALL.replace("/events", "/events#x"), (2, 10), "dialect.stream", &["'#'"]);
    check_foreign(&format!("{SMALL}method = \"GET\"\n"), (5, 10), "dialect.publish.method", &["POST, PUT"]);
}

#[test]
fn publishers_need_what_the_server_has() {
    let draws = format!("{SMALL}[publishers.p]\nrate = 1\nmix = {{ client = 1 }}\n");
    check_foreign(&draws, (7, 7), "publishers.p.mix", &["dialect.names", "client"]);
    let mailbox = format!("{SMALL}[publishers.p]\nrate = 1\nqos = 1\n");
    check_foreign(&mailbox, (7, 7), "publishers.p.qos", &["mailboxes"]);
    let gaps = format!("{SMALL}[verify]\ngaps = \"allowed\"\n");
    check_foreign(&gaps, (6, 8), "verify.gaps", &["only sse-node"]);
    let audit = format!("{SMALL}[verify.quiesce]\naudit_read = true\n");
    check_foreign(&audit, (6, 14), "verify.quiesce.audit_read", &["/api/sse/history"]);
}

#[test]
fn with_several_kinds_of_addresses_stream_and_publish_name_the_address() {
    let names = "[dialect.names]\ntopic = \"t-{name}\"\n";
    let both = format!("{}{names}", SMALL.replace("/publish", "/publish/{name}"));
    check_foreign(&both, (2, 10), "dialect.stream", &["{addresses}"]);
    let both = format!("{}{names}", SMALL.replace("/events", "/events/{addresses}"));
    check_foreign(&both, (3, 1), "dialect.publish", &["{name}"]);
}

#[test]
fn subscriptions_need_addresses_that_the_server_has() {
    let group = |subscribe: &str| format!("[clients.d]\nclients = 1\n{subscribe}\n{SMALL}");
    let check_subscription = |subscribe: &str, key: &str, words: &[&str]| {
        let text = format!("{}{ATTACHED}{}", super::scenario::HEAD, group(subscribe));
        let problems = super::scenario::read(&text, &[]).expect_err("it must be refused");
        let problem =
            problems.iter().find(|problem| problem.key == key).unwrap_or_else(|| panic!("{problems:#?}"));
        assert!(words.iter().all(|word| problem.message.contains(word)), "{problem}");
    };
    check_subscription(
        "subscribe = { topics = [\"a\"] }",
        "clients.d.subscribe.topics",
        &["dialect.names.topic"],
    );
    check_subscription(
        "subscribe = { user = \"a\" }",
        "clients.d.subscribe.user",
        &["dialect.names.user", "{user}"],
    );
    check_subscription("subscribe = { user = \"a\" }\nmailbox = true", "clients.d.mailbox", &["mailboxes"]);
}
