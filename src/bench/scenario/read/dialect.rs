//! Reads `[dialect]`: the wire format of servers other than `sse-node`. Read [`dialect`] first.

use super::section::Section;
use super::values;
use crate::bench::scenario::dialect::{
    BodyForm, Confirm, Dialect, IdOrder, Ids, InvalidTextTemplate, Names, Placeholder, Pointer,
    PublishTemplate, Resume, Statuses, TextTemplate,
};
use crate::bench::scenario::{ClientGroup, Cluster, Lb, LbKind, Mix};

/// Placeholders that the body of a publish may contain.
const PUBLISH_PLACEHOLDERS: [Placeholder; 5] = [
    Placeholder::Name,
    Placeholder::NameText,
    Placeholder::Payload,
    Placeholder::PayloadText,
    Placeholder::Id,
];

/// Refuses `[dialect]` beside nodes that the run starts. Without `[cluster]`, `--target` names the servers.
pub(super) fn check_servers(root: &Section<'_>, cluster: Option<&Cluster>, lb: Option<&Lb>) {
    if root.has("cluster") && matches!(cluster, Some(Cluster::Spawn(_))) {
        let why = "needs running servers: set cluster.attach, or omit [cluster] and pass --target URL";
        root.refuse("dialect", why);
    }
    if lb.is_some_and(|lb| lb.kind != LbKind::Swarm) {
        let why = "cannot be set together with lb.kind: a load balancer of the run knows only the paths of sse-node";
        root.refuse("dialect", why);
    }
}

pub(super) fn dialect(section: Section<'_>) -> Option<Dialect> {
    let ready = section.parsed("ready", |text| path(text).map(str::to_owned));
    let stream = section.required(
        "stream",
        section.parsed("stream", |text| {
            template(path(text)?, &[Placeholder::Addresses, Placeholder::Client, Placeholder::User])
        }),
    );
    let address = section.parsed("address", |text| {
        template_with(text, &[Placeholder::Name, Placeholder::NameText], "addresses")
    });
    let separator = section.text("separator").unwrap_or(",").to_owned();
    let resume = section.parsed("resume", resume).unwrap_or(Resume::Header);
    let confirms = [("open", Confirm::Open), ("event", Confirm::Event)];
    let confirm = section.choice("confirm", &confirms).unwrap_or(Confirm::Open);
    let payload = section.parsed("payload", str::parse).unwrap_or_default();
    let own_events = section.texts("own_events").into_iter().map(str::to_owned).collect();
    let events: Vec<String> = section.texts("events").into_iter().map(str::to_owned).collect();
    let ids = [("all", Ids::All), ("address", Ids::Address), ("nothing", Ids::Nothing)];
    let ids = section.choice("ids", &ids).unwrap_or(Ids::All);
    let orders = [("no", None), ("numbers", Some(IdOrder::Numbers)), ("text", Some(IdOrder::Texts))];
    let ids_rise = section.choice("ids_rise", &orders).flatten();
    if ids == Ids::Nothing && ids_rise.is_some() {
        section.refuse(
            "ids_rise",
            "needs dialect.ids \"all\" or \"address\": with \"nothing\" no ids are compared",
        );
    }
    let inner = section.section("names");
    let names = inner.map_or_else(|| Some(broadcast_only()), |inner| names(&section, inner));
    let publish = section.required("publish", section.section("publish").and_then(publish));
    if let (Some(names), Some(stream), Some(publish)) = (&names, &stream, &publish) {
        check_addressing(&section, names, stream, publish);
    }
    section.finish();
    Some(Dialect {
        ready,
        stream: stream?,
        address: address.unwrap_or_else(|| placeholder(Placeholder::Name)),
        separator,
        resume,
        confirm,
        payload,
        own_events,
        events: (!events.is_empty()).then_some(events),
        ids,
        ids_rise,
        names: names?,
        publish: publish?,
    })
}

/// With addresses other than `all`, stream and publish must name the address.
fn check_addressing(section: &Section<'_>, names: &Names, stream: &TextTemplate, publish: &PublishTemplate) {
    if names.topic.is_none() && names.user.is_none() && names.client.is_none() {
        return;
    }
    let addressing = [Placeholder::Addresses, Placeholder::Client, Placeholder::User];
    if !addressing.iter().any(|placeholder| stream.has(*placeholder)) {
        section.refuse(
            "stream",
            "needs {addresses}, {client} or {user}: dialect.names has keys other than all, so the stream must say which events are meant",
        );
    }
    let templates = publish.headers.iter().map(|(_, value)| value).chain([&publish.path, &publish.body]);
    if !templates
        .into_iter()
        .any(|template| template.has(Placeholder::Name) || template.has(Placeholder::NameText))
    {
        let why = "needs {name} or {name_text} in path, headers or body: dialect.names has keys other than all, so the publish must say which address is meant";
        section.refuse("publish", why);
    }
}

/// Refuses subscriptions of kinds that the servers do not have.
pub(super) fn check_groups(root: &Section<'_>, dialect: &Dialect, groups: &[ClientGroup]) {
    for group in groups {
        let key = |rest: &str| format!("{}.{rest}", group.name);
        if group.reading.format.is_some() {
            let why = "is a query of sse-node; what servers with a [dialect] are asked for stands in dialect.stream";
            root.refuse_below("clients", &key("format"), why);
        }
        if group.mailbox {
            root.refuse_below(
                "clients",
                &key("mailbox"),
                "needs mailboxes, which servers with a [dialect] do not have",
            );
        }
        if !group.subscribe.topics.is_empty() && dialect.names.topic.is_none() {
            root.refuse_below(
                "clients",
                &key("subscribe.topics"),
                "needs dialect.names.topic, which is missing",
            );
        }
        let has_user = dialect.names.user.is_some() || dialect.stream.has(Placeholder::User);
        if group.subscribe.user.is_some() && !has_user {
            let why = "needs dialect.names.user, or {user} in dialect.stream; both are missing";
            root.refuse_below("clients", &key("subscribe.user"), why);
        }
    }
}

/// Kinds of addresses that a mix draws and the servers do not have, each with its missing key of `dialect.names`.
pub(super) fn missing_kinds(dialect: &Dialect, mix: &Mix) -> Vec<(&'static str, &'static str)> {
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
    let path = section.required(
        "path",
        section.parsed("path", |text| template(path(text)?, &[Placeholder::Name, Placeholder::Id])),
    );
    let body = section.parsed("body", |text| {
        let body = template(text, &PUBLISH_PLACEHOLDERS)?;
        let has_payload = body.has(Placeholder::Payload) || body.has(Placeholder::PayloadText);
        if has_payload {
            Ok(body)
        } else {
            Err(format!(
                "{text:?} needs {{payload}} or {{payload_text}}: events are recognised by their payload"
            ))
        }
    });
    let accepts = section.statuses("accepts").unwrap_or_else(Statuses::successful);
    let error = section.parsed("error", str::parse::<Pointer>);
    let mut headers: Vec<(String, TextTemplate)> = Vec::new();
    for (name, value) in values::headers(&section) {
        match TextTemplate::parse(&value, &[Placeholder::Name, Placeholder::Id]) {
            Ok(value) => headers.push((name, value)),
            Err(error) => section.refuse("headers", format!("{name} (set by headers or token): {error}")),
        }
    }
    let content_type = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let form = content_type.map_or(BodyForm::Json, |(_, value)| BodyForm::of(&value.fill(|_| String::new())));
    section.finish();
    Some(PublishTemplate {
        is_put,
        path: path?,
        headers,
        body: body.unwrap_or_else(|| placeholder(Placeholder::Payload)),
        form,
        accepts,
        error,
    })
}

/// Kinds of addresses.
const KINDS: [&str; 4] = ["all", "topic", "user", "client"];

fn names(dialect: &Section<'_>, section: Section<'_>) -> Option<Names> {
    let one = |key| section.parsed(key, |text| template_with(text, &[Placeholder::Name], "names"));
    let all = section.parsed("all", |text| template(text, &[]));
    let names = Names { all, topic: one("topic"), user: one("user"), client: one("client") };
    if names == Names::default() && !KINDS.iter().any(|kind| section.has(kind)) {
        dialect.refuse("names", "is empty; set at least one of all, topic, user and client");
        section.finish();
        return None;
    }
    section.finish();
    Some(names)
}

/// Names of a server that knows the address `all` only.
fn broadcast_only() -> Names {
    Names { all: Some(fixed("all")), ..Names::default() }
}

fn fixed(text: &str) -> TextTemplate {
    TextTemplate::parse(text, &[]).unwrap_or_else(|_| unreachable!("it has no placeholders"))
}

fn placeholder(placeholder: Placeholder) -> TextTemplate {
    TextTemplate::parse(&format!("{{{}}}", placeholder.name()), &[placeholder])
        .unwrap_or_else(|_| unreachable!("it is allowed"))
}

fn template(text: &str, allowed: &[Placeholder]) -> Result<TextTemplate, String> {
    TextTemplate::parse(text, allowed).map_err(|error: InvalidTextTemplate| error.to_string())
}

/// A template that must contain one of `needed`: without it the result would be the same for all.
fn template_with(text: &str, needed: &[Placeholder], what: &str) -> Result<TextTemplate, String> {
    let read = template(text, needed)?;
    if needed.iter().any(|placeholder| read.has(*placeholder)) {
        return Ok(read);
    }
    Err(format!("{text:?} needs {{name}}: without it all {what} would be the same"))
}

fn path(text: &str) -> Result<&str, String> {
    if !text.starts_with('/') {
        return Err(format!("{text:?} is not a path; a path begins with '/'"));
    }
    // A fragment, the part behind '#', is never sent (RFC 3986, 3.5).
    let is_fine = |c: char| c != '#' && !c.is_control() && !c.is_whitespace();
    if text.chars().all(is_fine) {
        Ok(text)
    } else {
        Err(format!("{text:?} is not a path; '#', blanks and control characters are not allowed"))
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
