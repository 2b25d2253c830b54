//! `[dialect]`: how servers are spoken to that are none of ours.

use crate::bench::dialect::{
    BodyForm, Confirm, Dialect, Ids, InvalidWording, Names, Pointer, Posting, Resume, Word, Wording,
};

use super::section::Section;
use super::{Cluster, Lb, LbKind, Mix, clients};

/// What a publish is made of.
const POSTED: [Word; 4] = [Word::Name, Word::Payload, Word::PayloadText, Word::Id];

/// Where `[dialect]` may stand: not with nodes of ours.
pub(super) fn check_place(root: &Section<'_>, cluster: Option<&Cluster>, lb: Option<&Lb>) {
    if matches!(cluster, Some(Cluster::Spawn(_))) {
        root.refuse("dialect", "belongs to servers that are there already: cluster.attach, or --target URL");
    }
    if lb.is_some_and(|lb| lb.kind != LbKind::Swarm) {
        root.refuse(
            "dialect",
            "and a balancer of the run (lb.kind) exclude each other: it knows the paths of sse-node only",
        );
    }
}

pub(super) fn dialect(section: Section<'_>) -> Option<Dialect> {
    let ready = section.parsed("ready", |text| path(text).map(str::to_owned));
    let stream = section.required(
        "stream",
        section.parsed("stream", |text| wording(path(text)?, &[Word::Addresses, Word::Client, Word::User])),
    );
    let address = section.parsed("address", |text| wording(text, &[Word::Name]));
    let names = section.section("names").map_or_else(|| Some(everybody()), names);
    let publish = section.required("publish", section.section("publish").and_then(publish));
    let confirms = [("open", Confirm::Open), ("event", Confirm::Event)];
    let ids = [("all", Ids::All), ("address", Ids::Address), ("nothing", Ids::Nothing)];
    let dialect = Dialect {
        ready,
        stream: stream?,
        address: address.unwrap_or_else(|| place(Word::Name)),
        separator: section.text("separator").unwrap_or(",").to_owned(),
        resume: section.parsed("resume", resume).unwrap_or(Resume::Header),
        confirm: section.choice("confirm", &confirms).unwrap_or(Confirm::Open),
        payload: section.parsed("payload", str::parse).unwrap_or_default(),
        own_events: section.texts("own_events").into_iter().map(str::to_owned).collect(),
        ids: section.choice("ids", &ids).unwrap_or(Ids::All),
        names: names?,
        publish: publish?,
    };
    section.finish();
    Some(dialect)
}

/// Kinds of addresses that a publisher draws and the server does not have.
pub(super) fn missing_kinds(dialect: &Dialect, mix: &Mix) -> Vec<&'static str> {
    let names = &dialect.names;
    let kinds = [
        ("broadcast", mix.broadcast, &names.all, "all"),
        ("topic", mix.topic, &names.topic, "topic"),
        ("user", mix.user, &names.user, "user"),
        ("client", mix.client, &names.client, "client"),
    ];
    let is_missing =
        |(_, weight, name, _): &(&str, f64, &Option<Wording>, &str)| *weight > 0.0 && name.is_none();
    kinds.into_iter().filter(is_missing).map(|(.., key)| key).collect()
}

fn publish(section: Section<'_>) -> Option<Posting> {
    let methods = [("POST", false), ("PUT", true)];
    let is_put = section.choice("method", &methods).unwrap_or(false);
    let path = section
        .required("path", section.parsed("path", |text| wording(path(text)?, &[Word::Name, Word::Id])));
    let body = section.parsed("body", |text| wording(text, &POSTED));
    let error = section.parsed("error", str::parse::<Pointer>);
    let mut headers: Vec<(String, Wording)> = Vec::new();
    for (name, value) in clients::headers(&section) {
        match Wording::parse(&value, &[Word::Name, Word::Id]) {
            Ok(value) => headers.push((name, value)),
            Err(error) => section.refuse("headers", format!("{name}: {error}")),
        }
    }
    let content_type = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let form = match content_type {
        Some((_, value)) => BodyForm::of(&value.fill(|_| String::new())),
        None => {
            headers.push(("content-type".to_owned(), fixed("application/json")));
            BodyForm::Json
        }
    };
    section.finish();
    Some(Posting {
        is_put,
        path: path?,
        headers,
        body: body.unwrap_or_else(|| place(Word::Payload)),
        form,
        error,
    })
}

fn names(section: Section<'_>) -> Option<Names> {
    let one = |key| section.parsed(key, |text| wording(text, &[Word::Name]));
    let all = section.parsed("all", |text| wording(text, &[]));
    let names = Names { all, topic: one("topic"), user: one("user"), client: one("client") };
    if names == Names::default() {
        section.refuse(
            "all",
            "is missing, and so are topic, user and client: a server has at least one of them",
        );
        section.finish();
        return None;
    }
    section.finish();
    Some(names)
}

/// A server that knows everybody only.
fn everybody() -> Names {
    Names { all: Some(fixed("all")), ..Names::default() }
}

fn fixed(text: &str) -> Wording {
    Wording::parse(text, &[]).unwrap_or_else(|_| unreachable!("it has no places"))
}

fn place(word: Word) -> Wording {
    Wording::parse(&format!("{{{}}}", word.name()), &[word]).unwrap_or_else(|_| unreachable!("it is allowed"))
}

fn wording(text: &str, allowed: &[Word]) -> Result<Wording, String> {
    Wording::parse(text, allowed).map_err(|error: InvalidWording| error.to_string())
}

fn path(text: &str) -> Result<&str, String> {
    if text.starts_with('/') { Ok(text) } else { Err(format!("{text:?} is not a path; it begins with '/'")) }
}

fn resume(text: &str) -> Result<Resume, String> {
    match text.split_once(':') {
        None if text == "header" => Ok(Resume::Header),
        None if text == "no" => Ok(Resume::No),
        Some(("query", name)) if !name.is_empty() => Ok(Resume::Query(name.to_owned())),
        _ => Err(format!("{text:?} is not known; allowed are header, query:NAME, no")),
    }
}
