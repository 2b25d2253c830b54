//! Targets of `make fuzz`: what a request says, in its query, its head and its body.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Version, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::batch::events;
use super::forwarded::client_address;
use super::publish;
use super::query::{FromQuery, parse};
use super::rows::{ListQuery, Selection};
use super::stream_query::{StreamQuery, accepts_events, requested_cursor};
use crate::node::limits::BATCH_EVENTS_MAX;
use crate::protocol::api::{AckRequest, BatchEvent, ConnectionRow, DrainRequest, PublishRequest};
use crate::protocol::api::{RebalanceRequest, RevokeRequest};
use crate::protocol::encode::put_payload;
use crate::protocol::event::Skimmed;
use crate::protocol::guard::Guard;
use crate::protocol::host::HostRule;
use crate::protocol::{Cursor, Decoder, EncodedEvent, Epoch, Item, Limits, Position, Resume};

const NOW: u64 = 1_800_000_000_000;

/// A text as the query of a stream, and as that of a list of connections.
pub(crate) fn query(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match parse::<StreamQuery>(&text) {
        Err(why) => {
            let why = why.problem().1.detail;
            assert!(
                StreamQuery::NAMES.iter().any(|name| why.contains(name)) || why.contains("topic"),
                "{why}"
            );
        }
        Ok((query, ignored)) => {
            assert!(ignored <= text.matches('&').count() as u64 + 1);
            let again = parse::<StreamQuery>(&spelled(&query)).map(|(again, _)| format!("{again:?}"));
            assert_eq!(again.ok(), Some(format!("{query:?}")));
            is_the_newest(requested_cursor(&HeaderMap::new(), query.cursors.clone()), &query.cursors);
        }
    }
    if let Ok((query, _)) = parse::<ListQuery>(&text)
        && let Ok(selection) = Selection::of_user(&query)
    {
        two_nodes_list_what_one_does(&selection);
    }
}

fn spelled(query: &StreamQuery) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    let names = query.client_id.iter().map(|client| ("clientId", client.as_str()));
    let names = names.chain(query.user_id.iter().map(|user| ("userId", user.as_str())));
    let names = names.chain(query.topics.iter().map(|topic| ("topics", topic.as_str())));
    let names = names.chain(query.cursors.iter().map(|cursor| ("lastEventId", cursor.as_str())));
    let names = names.chain(query.heartbeat.iter().map(|text| ("heartbeat", text.as_str())));
    let names = names.chain(query.ack.iter().map(|text| ("ack", text.as_str())));
    text.extend_pairs(names.chain(query.format.iter().map(|text| ("format", text.as_str()))));
    text.finish()
}

fn is_the_newest(chosen: Option<String>, all: &[String]) {
    let place = |text: &String| match Resume::parse(text) {
        Resume::After(cursor) => Some(cursor.position),
        Resume::Earliest | Resume::Live | Resume::Malformed(_) => None,
    };
    assert_eq!(chosen.is_some(), all.iter().any(|text| !text.is_empty()));
    if let Some(chosen) = chosen {
        assert!(
            all.contains(&chosen) && place(&chosen) == all.iter().filter_map(place).max(),
            "{chosen} {all:?}"
        );
    }
}

/// Some streams, with names and numbers that filters tell apart.
fn rows() -> Vec<ConnectionRow> {
    static ROWS: OnceLock<Vec<ConnectionRow>> = OnceLock::new();
    let row = |number: u64| ConnectionRow {
        connection_id: format!("id{number}").try_into().expect("it is a name"),
        client_id: format!("c{}", number % 3).try_into().expect("it is a name"),
        user_id: number.is_multiple_of(2).then(|| format!("Grün{number}").try_into().expect("it is a name")),
        topics: vec![format!("room:{}", number % 4).try_into().expect("it is a name")],
        instance_id: format!("n{}", number % 2).try_into().expect("it is a name"),
        remote: format!("10.0.0.{number}"),
        connected_at: NOW - 1_000 * number,
        last_event_id: Cursor::new(Epoch::from_random(1), Position { ms: number, seq: 0 }).to_event_id(),
        sent: number * 10,
        bytes: number % 5,
        lag: number * 700,
        state: if number.is_multiple_of(3) { "slow" } else { "live" }.to_owned(),
    };
    ROWS.get_or_init(|| (0..9).map(row).collect()).clone()
}

/// The page of a cluster is the page of one node that has all streams.
fn two_nodes_list_what_one_does(selection: &Selection) {
    let page = |selection: &Selection, mut rows: Vec<ConnectionRow>| {
        selection.filter(&mut rows, NOW);
        selection.sort(&mut rows);
        selection.cut(rows)
    };
    let whole = page(selection, rows());
    assert!(whole.len() as u64 <= selection.limit && whole.len() <= rows().len());
    let (own, others): (Vec<_>, Vec<_>) =
        rows().into_iter().partition(|row| row.instance_id.as_str() == "n0");
    let mut asked = form_urlencoded::Serializer::new(String::new());
    let asked = asked.extend_pairs(selection.for_peers()).finish();
    let (asked, _) = parse::<ListQuery>(&asked).expect("a node asks what another one can read");
    let asked = Selection::of_node(&asked).expect("a node asks what another one can read");
    let mut both = page(&selection.through_end_of_page(), own);
    both.extend(page(&asked, others));
    selection.sort(&mut both);
    let ids = |rows: Vec<ConnectionRow>| rows.into_iter().map(|row| row.connection_id).collect::<Vec<_>>();
    assert_eq!(ids(selection.cut(both)), ids(whole));
}

/// The head of a request: who may pass, whose address it is, and where its stream begins.
pub(crate) fn head(bytes: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(_)) = parsed.parse(bytes) else { return };
    let mut request = Request::builder()
        .method(parsed.method.unwrap_or_default())
        .uri(parsed.path.unwrap_or_default())
        .version(if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 });
    for field in parsed.headers {
        request = request.header(field.name, field.value);
    }
    let Ok(request) = request.body(()) else { return };
    let guard = Guard {
        hosts: Some(["n.example", "*.w.example"].map(|rule| HostRule::parse(rule).expect("a rule")).into()),
        hosts_setting: Some("--allowed-host"),
        origins: vec!["https://app.example".to_owned()],
        origins_setting: None,
    };
    match guard.check(&request, true) {
        Ok(()) => may_pass(&request),
        Err(why) => {
            let why = why.to_string();
            assert!(why.contains("allowed") && why.len() < 4_096 && !why.contains(char::is_control), "{why}");
        }
    }
    let headers = request.headers();
    is_whose_address(headers);
    let accept = headers.get_all(header::ACCEPT).iter();
    let mut accept = accept.map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase());
    assert!(!accepts_events(headers) || accept.any(|value| value.contains("text/event-stream")));
    let spelled =
        |name| headers.get_all(name).iter().map(|text| String::from_utf8_lossy(text.as_bytes()).into());
    let all: Vec<String> = spelled("last-event-id").collect();
    if all.iter().any(|text| !text.is_empty()) {
        is_the_newest(requested_cursor(headers, vec!["earliest".to_owned()]), &all);
    }
}

/// A second opinion of a request that passes.
fn may_pass(request: &Request<()>) {
    let headers = request.headers();
    let hosts: Vec<_> = headers.get_all(header::HOST).iter().collect();
    let host = request.uri().authority().cloned().or_else(|| hosts.first()?.as_bytes().try_into().ok());
    assert!(hosts.len() <= 1);
    match host {
        None => assert_eq!(request.version(), Version::HTTP_10),
        Some(host) => {
            let name = host.host().trim_end_matches('.').to_ascii_lowercase();
            let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
            let is_local = name == "localhost" || name.ends_with(".localhost");
            let is_named = name == "n.example" || name.ends_with(".w.example");
            assert!(is_address || is_local || is_named, "{host}");
        }
    }
    let codings: Vec<_> = headers.get_all(header::TRANSFER_ENCODING).iter().collect();
    assert!(
        codings.iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) && codings.len() <= 1
    );
    let is_foreign = headers
        .get("sec-fetch-site")
        .is_some_and(|site| matches!(site.as_bytes(), b"cross-site" | b"same-site"));
    if is_foreign && request.method() == http::Method::POST && !headers.contains_key(header::AUTHORIZATION) {
        assert_eq!(
            headers.get(header::ORIGIN).map(|origin| origin.as_bytes()),
            Some(&b"https://app.example"[..])
        );
    }
}

/// Several fields mean what one with commas does (RFC 9110, 5.3), and only a proxy is believed.
fn is_whose_address(headers: &HeaderMap) {
    let trusted = ["10.0.0.0/8".parse().expect("a net")];
    let proxy = IpAddr::from([10, 0, 0, 1]);
    let found = client_address(proxy, headers, &trusted);
    let values = headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or_default());
    let joined = values.collect::<Vec<_>>().join(",");
    let one = HeaderMap::from_iter([(
        http::HeaderName::from_static("x-forwarded-for"),
        joined.parse().expect("it was a value before"),
    )]);
    assert_eq!(client_address(proxy, &one, &trusted), found, "{joined}");
    let stranger = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    assert_eq!(client_address(stranger, headers, &trusted), stranger);
}

/// Bytes as each body that a node takes, and as an envelope on its way to streams.
pub(crate) fn bodies(bytes: &[u8]) {
    if let Some(request) = body::<PublishRequest>(bytes) {
        let given = object(bytes);
        assert_eq!(given.get("data").map(|data| data.get()), Some(request.data.get()));
        assert!(
            String::from_utf8_lossy(bytes).contains(request.data.get()),
            "the payload is kept as it was written"
        );
    }
    body::<BatchEvent>(bytes);
    body::<AckRequest>(bytes);
    body::<DrainRequest>(bytes);
    body::<RebalanceRequest>(bytes);
    body::<RevokeRequest>(bytes);
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(found) = events(&bytes) {
        assert!((1..=BATCH_EVENTS_MAX).contains(&found.len()));
        if found.iter().all(|event| !event.contains(['\n', '\r'])) {
            let lines = Bytes::from(found.join("\n"));
            assert!(
                found[0].starts_with('[') || events(&lines).is_ok_and(|lines| lines == found),
                "{found:?}"
            );
        }
    }
    if let Ok(text) = std::str::from_utf8(&bytes) {
        envelope(text);
    }
}

/// A body that is taken is an object without a key that is not known, and means the same when it is written again.
fn body<T: Debug + Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let taken: T = match publish::parse(bytes) {
        Ok(taken) => taken,
        Err(why) => {
            assert!(!why.problem().1.detail.is_empty());
            return None;
        }
    };
    let text = serde_json::to_string(&taken).expect("it is JSON");
    let (given, known) = (object(bytes), object(text.as_bytes()));
    assert!(given.iter().all(|(key, value)| known.contains_key(key) || value.get() == "null"), "{given:?}");
    let again: T = publish::parse(text.as_bytes()).expect("what is written is read");
    assert_eq!(format!("{again:?}"), format!("{taken:?}"));
    Some(taken)
}

/// Not as values: those have no order of keys, no digits, and no number beyond `f64`.
fn object(bytes: &[u8]) -> BTreeMap<Cow<'_, str>, &RawValue> {
    serde_json::from_slice(bytes).expect("a body is an object")
}

/// An envelope is delivered whole, and its payload alone, whatever line ends they have.
fn envelope(text: &str) {
    let id = Cursor::new(Epoch::from_random(1), Position { ms: NOW, seq: 1 });
    let parts = Skimmed::of(text);
    let encoded = EncodedEvent::of(id, "MESSAGE", text, parts.as_ref());
    arrives(&encoded.bytes, text);
    assert_eq!(encoded.payload.is_some(), parts.is_some());
    if let (Some(lines), Some(parts)) = (encoded.payload, parts) {
        let mut alone = BytesMut::new();
        put_payload(id, None, &encoded.bytes[lines], &mut alone);
        arrives(&alone, parts.data.get());
    }
}

fn arrives(frame: &[u8], expected: &str) {
    let expected = expected.replace("\r\n", "\n").replace('\r', "\n");
    let mut arrived = Vec::new();
    let read = Decoder::new(Limits::default()).feed(frame, |item| {
        if let Item::Event { data, .. } = item {
            arrived.push(data.to_owned());
        }
    });
    assert_eq!((read, arrived), (Ok(()), vec![expected]));
}
