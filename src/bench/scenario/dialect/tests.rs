//! Mercure, Centrifugo and a plain endpoint, as their documentation says.

use super::dialect::{BodyForm, Confirm, Dialect, Ids, Message, Names, PublishTemplate, Resume};
use super::pointer::Pointer;
use super::statuses::Statuses;
use super::template::{Placeholder, TextTemplate};
use crate::bench::ids::{AddressId, PublisherId, RunId};
use crate::bench::metrics::time::RunTime;
use crate::bench::stamp::Stamp;
use crate::protocol::Address;

fn template(text: &str, allowed: &[Placeholder]) -> TextTemplate {
    TextTemplate::parse(text, allowed).unwrap()
}

fn plain() -> Dialect {
    Dialect {
        ready: None,
        stream: template("/events", &[]),
        address: template("{name}", &[Placeholder::Name]),
        separator: ",".to_owned(),
        resume: Resume::Header,
        confirm: Confirm::Open,
        payload: Pointer::default(),
        own_events: vec!["ping".to_owned()],
        events: None,
        ids: Ids::All,
        ids_rise: None,
        names: Names { all: Some(template("all", &[])), ..Names::default() },
        publish: PublishTemplate {
            is_put: false,
            path: template("/send", &[]),
            headers: vec![("content-type".to_owned(), template("application/json", &[]))],
            body: template("{payload}", &[Placeholder::Payload]),
            form: BodyForm::Json,
            accepts: Statuses::successful(),
            error: None,
        },
    }
}

fn mercure() -> Dialect {
    Dialect {
        stream: template("/.well-known/mercure?{addresses}", &[Placeholder::Addresses]),
        address: template("topic={name}", &[Placeholder::Name]),
        separator: "&".to_owned(),
        names: Names {
            all: Some(template("everybody", &[])),
            topic: Some(template("rooms/{name}", &[Placeholder::Name])),
            ..Names::default()
        },
        publish: PublishTemplate {
            path: template("/.well-known/mercure", &[]),
            headers: vec![("authorization".to_owned(), template("Bearer x", &[]))],
            body: template(
                "topic={name}&data={payload}&id={id}",
                &[Placeholder::Name, Placeholder::Payload, Placeholder::Id],
            ),
            form: BodyForm::Form,
            ..plain().publish
        },
        ..plain()
    }
}

fn centrifugo() -> Dialect {
    Dialect {
        stream: template(r#"/uni_sse?cf_connect={"subs":{{addresses}}}"#, &[Placeholder::Addresses]),
        address: template(r#""{name_text}":{}"#, &[Placeholder::NameText]),
        payload: "/pub/data".parse().unwrap(),
        publish: PublishTemplate {
            body: template(
                r#"{"channel":"{name}","data":{payload}}"#,
                &[Placeholder::Name, Placeholder::Payload],
            ),
            error: Some("/error".parse().unwrap()),
            ..plain().publish
        },
        names: mercure().names,
        ..plain()
    }
}

fn addresses() -> [Address; 3] {
    ["all", "topic:a b", "client:c1"].map(|text| text.parse().unwrap())
}

fn stamp() -> Stamp {
    Stamp {
        run: RunId::from_random(7),
        publisher: PublisherId(1),
        address: AddressId(2),
        seq: 3,
        due: RunTime::from_nanos(4),
        sent: RunTime::from_nanos(5),
    }
}

#[test]
fn a_client_asks_for_the_addresses_that_the_server_has() {
    let path = |dialect: &Dialect| dialect.stream_path(("c1", None), addresses().iter());
    assert_eq!(path(&plain()), "/events");
    assert_eq!(path(&mercure()), "/.well-known/mercure?topic=everybody&topic=rooms%2Fa%20b");
    assert_eq!(path(&centrifugo()), r#"/uni_sse?cf_connect={"subs":{"everybody":{},"rooms%2Fa%20b":{}}}"#);
}

#[test]
fn a_name_cannot_break_the_json_around_it() {
    let address: Address = "topic:a\"b".parse().unwrap();
    let path = centrifugo().stream_path(("c1", None), [address].iter());
    assert_eq!(path, r#"/uni_sse?cf_connect={"subs":{"rooms%2Fa%5C%22b":{}}}"#);
}

#[test]
fn a_request_is_escaped_by_the_format_of_its_body() {
    let [all, topic, client] = addresses();
    let request = mercure().publish_request(&topic, r#"{"a":"b"}"#, "7-1").unwrap();
    assert_eq!(request.path, "/.well-known/mercure");
    assert_eq!(request.body, "topic=rooms%2Fa%20b&data=%7B%22a%22%3A%22b%22%7D&id=7-1");
    assert_eq!(request.headers, [("authorization".to_owned(), "Bearer x".to_owned())]);
    let request = centrifugo().publish_request(&topic, r#"{"a":"b"}"#, "7-1").unwrap();
    assert_eq!(request.body, r#"{"channel":"rooms/a b","data":{"a":"b"}}"#);
    assert_eq!(plain().publish_request(&all, "1", "x").unwrap().body, "1");
    assert_eq!(plain().publish_request(&client, "1", "x"), None, "it has no clients");
}

#[test]
fn a_payload_can_be_sent_as_a_text() {
    let mut dialect = centrifugo();
    dialect.publish.body = template(r#"{"text":"{payload_text}"}"#, &[Placeholder::PayloadText]);
    let request = dialect.publish_request(&Address::All, r#"{"a":"b"}"#, "x").unwrap();
    assert_eq!(request.body, r#"{"text":"{\"a\":\"b\"}"}"#);
}

#[test]
fn the_stamp_is_found_where_the_payload_stands_as_json_or_as_a_text() {
    let payload = stamp().encode(0);
    let (bare, quoted) = (payload.get(), serde_json::to_string(payload.get()).unwrap());
    assert_eq!(plain().read("message", bare), Message::Event(stamp()));
    assert_eq!(plain().read("message", &quoted), Message::Event(stamp()));
    let wrapped = |data: &str| format!(r#"{{"channel":"all","pub":{{"data":{data},"offset":1}}}}"#);
    assert_eq!(centrifugo().read("message", &wrapped(bare)), Message::Event(stamp()));
    assert_eq!(centrifugo().read("message", &wrapped(&quoted)), Message::Event(stamp()));
}

#[test]
fn what_the_server_says_of_itself_is_no_event() {
    assert_eq!(plain().read("ping", "anything"), Message::Own);
    assert_eq!(plain().read("message", "hello"), Message::Foreign);
    assert_eq!(plain().read("message", "{}"), Message::Foreign);
    assert_eq!(centrifugo().read("message", "{}"), Message::Own);
    assert_eq!(centrifugo().read("message", r#"{"connect":{"client":"x"}}"#), Message::Own);
    assert_eq!(centrifugo().read("message", r#"{"pub":{"data":"hello"}}"#), Message::Foreign);
    assert_eq!(centrifugo().read("message", "hello"), Message::Own);
}

#[test]
fn a_payload_that_was_altered_is_told_from_what_is_none() {
    let payload = stamp().encode(200);
    let altered = payload.get().replace("abc", "abd");
    let known = Message::Altered(Some(stamp()));
    let quoted = |payload: &str| serde_json::to_string(payload).unwrap();
    let wrapped = |data: &str| format!(r#"{{"channel":"all","pub":{{"data":{data},"offset":1}}}}"#);
    for text in [altered.clone(), quoted(&altered)] {
        assert_eq!(plain().read("message", &text), known);
        assert_eq!(centrifugo().read("message", &wrapped(&text)), known);
    }
    let unknown = Message::Altered(None);
    let cut = &payload.get()[..payload.get().len() - 1];
    for text in [cut.to_owned(), quoted(cut), payload.get().replace("seq", "seQ")] {
        assert_eq!(plain().read("message", &text), unknown);
        assert_eq!(centrifugo().read("message", &wrapped(&text)), unknown);
    }
    // Honest: the server wrote the JSON anew, in many lines; or the payload stands in another place.
    let value: serde_json::Value = serde_json::from_str(payload.get()).unwrap();
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    assert_eq!(plain().read("message", &pretty), Message::Event(stamp()));
    assert_eq!(centrifugo().read("message", &wrapped(&pretty)), Message::Event(stamp()));
    assert_eq!(centrifugo().read("message", &format!(r#"{{"history":[{}]}}"#, payload.get())), Message::Own);
    let foreign = Message::Foreign;
    assert_eq!(plain().read("message", &wrapped(payload.get())), foreign, "the path is wrong");
}

#[test]
fn an_error_in_an_answer_of_200_is_one() {
    let error = |answer: &str| centrifugo().error_in(answer);
    assert_eq!(error(r#"{"result":{}}"#), None);
    for none in ["null", "false", "0", "\"\""] {
        assert_eq!(error(&format!(r#"{{"error":{none}}}"#)), None);
    }
    assert_eq!(error("accepted"), None);
    assert_eq!(error(r#"{"error":{"code":102}}"#).as_deref(), Some(r#"{"code":102}"#));
    assert_eq!(plain().error_in(r#"{"error":1}"#), None, "nobody said that it would stand there");
}

#[test]
fn an_id_can_be_unique_among_the_events_of_an_address_only() {
    let mut dialect = plain();
    assert_eq!(dialect.id_of(Some("1"), &stamp()).as_deref(), Some("1"));
    dialect.ids = Ids::Address;
    assert_eq!(dialect.id_of(Some("1"), &stamp()).as_deref(), Some("2/1"));
    dialect.ids = Ids::Nothing;
    assert_eq!(dialect.id_of(Some("1"), &stamp()), None);
}

#[test]
fn only_a_publish_that_says_which_event_it_is_can_be_repeated() {
    assert!(mercure().has_idempotency_key());
    assert!(!centrifugo().has_idempotency_key());
}
