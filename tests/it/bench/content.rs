//! What events say is checked: payloads byte by byte, and the types that they come with. Servers that alter one event in
//! many are convicted, at two rates; servers that write the same in other words are acquitted.

use serde_json::{Value, json};

use super::odd_server::{Delivery, OddServer, acquitted, convicted, diagnosed, failed, honest, written};

/// The payload with one byte of its padding changed.
fn with_other_padding(data: &str) -> String {
    let at = data.find("\"pad\":\"").unwrap() + 27;
    format!("{}!{}", &data[..at], &data[at + 1..])
}

/// The payload with another digit at the end of its number.
fn with_other_number(data: &str) -> String {
    let at = data.find("\"seq\":").unwrap() + 6;
    let digits = data[at..].find(',').unwrap();
    let number: u64 = data[at..at + digits].parse().unwrap();
    format!("{}{}{}", &data[..at], number ^ 1, &data[at + digits..])
}

fn altered_one_of(
    n: usize,
    event: &Delivery<'_>,
    alter: fn(&str) -> String,
    write: fn(usize, &str) -> String,
) -> String {
    let is_struck = event.is_one_of(n) && !event.data.contains("\"pub\":65535");
    if is_struck { write(event.id, &alter(event.data)) } else { write(event.id, event.data) }
}

fn in_one_line(id: usize, data: &str) -> String {
    written(id, "", data)
}

/// Many `data:` lines, where the data are still JSON.
fn in_many_lines(id: usize, data: &str) -> String {
    let value: Value = serde_json::from_str(data).unwrap();
    written(id, "", &serde_json::to_string_pretty(&value).unwrap())
}

/// Within the server's own JSON, as a text.
fn wrapped(id: usize, data: &str) -> String {
    written(id, "", &json!({"channel": "x", "pub": {"data": data, "offset": id}}).to_string())
}

type Write = fn(usize, &str) -> String;
const WRITES: [(Write, &[&str]); 3] =
    [(in_one_line, &[]), (in_many_lines, &[]), (wrapped, &["dialect.payload=/pub/data"])];

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_changed_in_the_padding_is_an_altered_payload_however_it_is_written() {
    for ((write, set), n) in WRITES.into_iter().zip([500, 30, 400]) {
        let server = OddServer::start(move |event| altered_one_of(n, event, with_other_padding, write)).await;
        let ran = server.judge(set).await;
        convicted(&ran, &["altered payload"], &format!("one of {n}"));
        diagnosed(
            &ran,
            "Payloads are changed on their way",
            &["at everybody-", "byte 21 of pad: expected", "seen"],
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_changed_in_the_stamp_is_an_altered_payload_and_the_event_is_lost() {
    let no_name = |data: &str| data.replace("\"due\"", "\"dve\"");
    let no_json = |data: &str| data.replacen('{', "[", 1);
    let alterations: [fn(&str) -> String; 3] = [with_other_number, no_name, no_json];
    for (alter, n) in alterations.into_iter().zip([400, 40, 300]) {
        let server = OddServer::start(move |event| altered_one_of(n, event, alter, in_one_line)).await;
        let ran = server.judge(&[]).await;
        // Where the event is the first after a reconnect, the replay lacks it.
        let mut names = failed(&ran);
        names.retain(|name| *name != "replayed from the wrong place");
        assert_eq!(
            (ran.code, names),
            (Some(120), vec!["lost", "altered payload"]),
            "one of {n}\n{}",
            ran.stdout
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_writes_the_json_anew_or_has_messages_of_its_own_is_acquitted() {
    for (write, set) in WRITES {
        let server = OddServer::start(move |event| {
            let aside = "event: replayed\ndata: [{\"run\":\"x\",\"seq\":1}]\n\n";
            let aside = if event.is_one_of(40) { aside } else { "" };
            format!("{aside}{}", write(event.id, event.data))
        });
        let own = ["dialect.own_events=[\"replayed\"]"];
        acquitted(&server.await.judge(&[set, &own].concat()).await, "written anew");
    }
}

/// Of the events of everybody, or of the rooms only.
fn type_of(event: &Delivery<'_>) -> String {
    if event.name == "all" { "update".to_owned() } else { event.name.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_in_many_that_comes_with_another_type_is_of_a_wrong_type() {
    let late = |event: &Delivery<'_>, kind: &str, n: usize, after: usize| {
        let kind = if event.count > after && event.is_one_of(n) { "other" } else { kind };
        written(event.id, kind, event.data)
    };
    let with_none = OddServer::start(move |event| late(event, "", 400, 0)).await;
    convicted(&with_none.judge(&[]).await, &["wrong event type"], "one of 400");
    let by_name = OddServer::start(move |event| late(event, &type_of(event), 25, 700)).await;
    let ran = by_name.judge(&[]).await;
    convicted(&ran, &["wrong event type"], "one of 25");
    diagnosed(&ran, "Events come with another event:", &["at everybody-", "as \"other\" instead of"]);
    // What the dialect says counts, however many come otherwise.
    let always = OddServer::start(honest).await;
    convicted(&always.judge(&["dialect.events=[\"update\"]"]).await, &["wrong event type"], "all of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_with_one_type_a_type_a_room_or_documented_types_are_acquitted() {
    let constant = OddServer::start(|event| written(event.id, "update", event.data)).await;
    acquitted(&constant.judge(&[]).await, "one type");
    let by_name = OddServer::start(|event| written(event.id, &type_of(event), event.data)).await;
    acquitted(&by_name.judge(&[]).await, "a type a room");
    let by_way = OddServer::start(|event| {
        let kind = if event.is_replay { "replay" } else { "" };
        written(event.id, kind, event.data)
    });
    let by_way = by_way.await;
    acquitted(&by_way.judge(&["dialect.events=[\"message\", \"replay\"]"]).await, "documented");
    assert!(failed(&by_way.judge(&[]).await).contains(&"wrong event type"), "not documented");
}
