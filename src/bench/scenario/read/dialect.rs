//! `[dialect]`: how servers are spoken to that are none of ours.

use super::section::Section;
use super::values;
use crate::bench::scenario::dialect::{
    BodyForm, Confirm, Dialect, Ids, InvalidTextTemplate, Names, Pointer, PublishTemplate, Resume,
    TextTemplate, Word,
};
use crate::bench::scenario::{ClientGroup, Cluster, Lb, LbKind, Mix};

/// What a publish is made of.
const POSTED: [Word; 5] = [Word::Name, Word::NameText, Word::Payload, Word::PayloadText, Word::Id];

/// Where `[dialect]` may stand: not with nodes of ours. Without `[cluster]`, `--target` has to say where they are.
pub(in crate::bench::scenario) fn check_place(
    root: &Section<'_>,
    cluster: Option<&Cluster>,
    lb: Option<&Lb>,
) {
    if root.has("cluster") && matches!(cluster, Some(Cluster::Spawn(_))) {
        root.refuse(
            "dialect",
            "belongs to servers that are there already: cluster.attach, or no [cluster] and --target URL",
        );
    }
    if lb.is_some_and(|lb| lb.kind != LbKind::Swarm) {
        root.refuse(
            "dialect",
            "and a balancer of the run (lb.kind) exclude each other: it knows the paths of sse-node only",
        );
    }
}

pub(in crate::bench::scenario) fn dialect(section: Section<'_>) -> Option<Dialect> {
    let ready = section.parsed("ready", |text| path(text).map(str::to_owned));
    let stream = section.required(
        "stream",
        section.parsed("stream", |text| wording(path(text)?, &[Word::Addresses, Word::Client, Word::User])),
    );
    let address = section.parsed("address", |text| one_of(text, &[Word::Name, Word::NameText], "an address"));
    let separator = section.text("separator").unwrap_or(",").to_owned();
    let resume = section.parsed("resume", resume).unwrap_or(Resume::Header);
    let confirms = [("open", Confirm::Open), ("event", Confirm::Event)];
    let confirm = section.choice("confirm", &confirms).unwrap_or(Confirm::Open);
    let payload = section.parsed("payload", str::parse).unwrap_or_default();
    let own_events = section.texts("own_events").into_iter().map(str::to_owned).collect();
    let ids = [("all", Ids::All), ("address", Ids::Address), ("nothing", Ids::Nothing)];
    let ids = section.choice("ids", &ids).unwrap_or(Ids::All);
    let names = section.section("names").map_or_else(|| Some(all_groups()), names);
    let publish = section.required("publish", section.section("publish").and_then(publish));
    if let (Some(names), Some(stream), Some(publish)) = (&names, &stream, &publish) {
        check_several(&section, names, stream, publish);
    }
    section.finish();
    Some(Dialect {
        ready,
        stream: stream?,
        address: address.unwrap_or_else(|| place(Word::Name)),
        separator,
        resume,
        confirm,
        payload,
        own_events,
        ids,
        names: names?,
        publish: publish?,
    })
}

/// Where there is more than everybody, stream and publish must say whom they mean.
fn check_several(section: &Section<'_>, names: &Names, stream: &TextTemplate, publish: &PublishTemplate) {
    if names.topic.is_none() && names.user.is_none() && names.client.is_none() {
        return;
    }
    let who = [Word::Addresses, Word::Client, Word::User];
    if !who.iter().any(|word| stream.has(*word)) {
        section.refuse("stream", "needs {addresses}, {client} or {user}: dialect.names has more than all");
    }
    let said = publish.headers.iter().map(|(_, value)| value).chain([&publish.path, &publish.body]);
    if !said.into_iter().any(|wording| wording.has(Word::Name) || wording.has(Word::NameText)) {
        section.refuse("publish", "needs {name} in path, headers or body: dialect.names has more than all");
    }
}

/// What clients listen to and the server does not have.
pub(in crate::bench::scenario) fn check_groups(
    root: &Section<'_>,
    dialect: &Dialect,
    groups: &[ClientGroup],
) {
    for group in groups {
        let key = |rest: &str| format!("{}.{rest}", group.name);
        if group.mailbox {
            root.refuse_below(
                "clients",
                &key("mailbox"),
                "is for mailboxes, which servers with a [dialect] do not have",
            );
        }
        if !group.subscribe.topics.is_empty() && dialect.names.topic.is_none() {
            root.refuse_below(
                "clients",
                &key("subscribe.topics"),
                "asks for what dialect.names has no topic for",
            );
        }
        let user_is_said = dialect.names.user.is_some() || dialect.stream.has(Word::User);
        if group.subscribe.user.is_some() && !user_is_said {
            let why = "asks for what dialect.names has no user for, and dialect.stream no {user}";
            root.refuse_below("clients", &key("subscribe.user"), why);
        }
    }
}

/// Kinds of addresses that a publisher draws and the server does not have.
pub(in crate::bench::scenario) fn missing_kinds(
    dialect: &Dialect,
    mix: &Mix,
) -> Vec<(&'static str, &'static str)> {
    let names = &dialect.names;
    let kinds = [
        ("broadcast", mix.broadcast, &names.all, "all"),
        ("topic", mix.topic, &names.topic, "topic"),
        ("user", mix.user, &names.user, "user"),
        ("client", mix.client, &names.client, "client"),
    ];
    let missing = kinds.into_iter().filter(|(_, weight, name, _)| *weight > 0.0 && name.is_none());
    missing.map(|(kind, .., key)| (kind, key)).collect()
}

fn publish(section: Section<'_>) -> Option<PublishTemplate> {
    let methods = [("POST", false), ("PUT", true)];
    let is_put = section.choice("method", &methods).unwrap_or(false);
    let path = section
        .required("path", section.parsed("path", |text| wording(path(text)?, &[Word::Name, Word::Id])));
    let body = section.parsed("body", |text| {
        let body = wording(text, &POSTED)?;
        let has_payload = body.has(Word::Payload) || body.has(Word::PayloadText);
        if has_payload {
            Ok(body)
        } else {
            Err("needs {payload} or {payload_text}: nothing else is judged".to_owned())
        }
    });
    let error = section.parsed("error", str::parse::<Pointer>);
    let mut headers: Vec<(String, TextTemplate)> = Vec::new();
    for (name, value) in values::headers(&section) {
        match TextTemplate::parse(&value, &[Word::Name, Word::Id]) {
            Ok(value) => headers.push((name, value)),
            Err(error) => section.refuse("headers", format!("{name} (or token): {error}")),
        }
    }
    let content_type = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let form = content_type.map_or(BodyForm::Json, |(_, value)| BodyForm::of(&value.fill(|_| String::new())));
    section.finish();
    Some(PublishTemplate {
        is_put,
        path: path?,
        headers,
        body: body.unwrap_or_else(|| place(Word::Payload)),
        form,
        error,
    })
}

/// Kinds of addresses.
const KINDS: [&str; 4] = ["all", "topic", "user", "client"];

fn names(section: Section<'_>) -> Option<Names> {
    let one = |key| section.parsed(key, |text| one_of(text, &[Word::Name], "a name"));
    let all = section.parsed("all", |text| wording(text, &[]));
    let names = Names { all, topic: one("topic"), user: one("user"), client: one("client") };
    if names == Names::default() && !KINDS.iter().any(|kind| section.has(kind)) {
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
fn all_groups() -> Names {
    Names { all: Some(fixed("all")), ..Names::default() }
}

fn fixed(text: &str) -> TextTemplate {
    TextTemplate::parse(text, &[]).unwrap_or_else(|_| unreachable!("it has no places"))
}

fn place(word: Word) -> TextTemplate {
    TextTemplate::parse(&format!("{{{}}}", word.name()), &[word])
        .unwrap_or_else(|_| unreachable!("it is allowed"))
}

fn wording(text: &str, allowed: &[Word]) -> Result<TextTemplate, String> {
    TextTemplate::parse(text, allowed).map_err(|error: InvalidTextTemplate| error.to_string())
}

/// One that would be the same for all without a place.
fn one_of(text: &str, needed: &[Word], what: &str) -> Result<TextTemplate, String> {
    let read = wording(text, needed)?;
    if needed.iter().any(|word| read.has(*word)) {
        return Ok(read);
    }
    Err(format!("{text:?} has no {{name}}, so that {what} would be the same for all"))
}

fn path(text: &str) -> Result<&str, String> {
    if !text.starts_with('/') {
        return Err(format!("{text:?} is not a path; it begins with '/'"));
    }
    // What stands behind a '#' is never sent (RFC 3986, 3.5).
    let is_fine = |c: char| c != '#' && !c.is_control() && !c.is_whitespace();
    if text.chars().all(is_fine) {
        Ok(text)
    } else {
        Err(format!("{text:?} holds '#', a blank or a control character"))
    }
}

fn resume(text: &str) -> Result<Resume, String> {
    match text.split_once(':') {
        None if text == "header" => Ok(Resume::Header),
        None if text == "no" => Ok(Resume::No),
        Some(("query", name)) if !name.is_empty() => Ok(Resume::Query(name.to_owned())),
        _ => Err(format!("{text:?} is not known; allowed are header, query:NAME, no")),
    }
}
