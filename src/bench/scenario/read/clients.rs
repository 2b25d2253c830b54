//! Reads `[clients.<group>]`: number of clients over time, subscriptions, reconnects. Read [`groups`] first.

use std::time::Duration;

use super::cluster::NamedNodes;
use super::section::Section;
use super::source_ips;
use super::values::{self, stages};
use crate::bench::scenario::limits;
use crate::bench::scenario::plan::{Identity, pacer};
use crate::bench::scenario::{
    ClientGroup, DecoderKind, Distribution, Executor, ReadLimits, Reading, Reconnect, ReconnectPolicy,
    Session, Stage, Subscribe, Template, TransportKind,
};
use crate::client::{BROWSERS_ACCEPT, Coding};
use crate::protocol::Format;
use crate::protocol::name::NAME_MAX_BYTES;

/// All valid groups; problems of the others go to the sink.
pub(super) fn groups(root: &Section<'_>, until: Duration, nodes_by_name: &NamedNodes) -> Vec<ClientGroup> {
    root.mark_required("clients");
    let sections = root.sections("clients");
    if sections.is_empty() {
        let why = "is missing or empty; a scenario needs a group of clients, as in [clients.steady]";
        root.refuse("clients", why);
    }
    root.limit_entries("clients", sections.len());
    sections
        .into_iter()
        .filter_map(|(name, section)| group((root, until), name, section, nodes_by_name))
        .collect()
}

fn group(
    (root, until): (&Section<'_>, Duration),
    name: &str,
    section: Section<'_>,
    nodes_by_name: &NamedNodes,
) -> Option<ClientGroup> {
    let valid_name = values::identifier(name).map_err(|error| root.refuse("clients", error)).ok();
    let executor = executor(&section, until);
    let subscribe = section.section("subscribe").map(subscribe).unwrap_or_default();
    let reconnect = section.section("reconnect").map_or_else(reconnect_default, reconnect);
    let decoders = [("strict", DecoderKind::Strict), ("eventsource-stream", DecoderKind::EventsourceStream)];
    let decoder = section.choice("decoder", &decoders).unwrap_or(DecoderKind::Strict);
    let formats = [Format::Envelope, Format::Data].map(|format| (format.as_str(), format));
    let transports = [TransportKind::Loops, TransportKind::Reqwest].map(|kind| (kind.name(), kind));
    let accept_encoding = section.parsed("accept_encoding", Coding::accept);
    let reading = Reading {
        accept_encoding: accept_encoding.unwrap_or_else(|| BROWSERS_ACCEPT.to_owned()),
        max_event: section.integer("max_event", limits::MAX_EVENT),
        format: section.choice("format", &formats),
        transport: section.choice("transport", &transports).unwrap_or_default(),
    };
    let joins = joins(&section, until, executor.as_ref());
    let nodes = values::nodes(&section, nodes_by_name);
    let idle_timeout = section.duration("idle_timeout", limits::SOME_DURATION);
    let mailbox = section.boolean("mailbox").unwrap_or(false);
    if mailbox && subscribe.user.is_none() && subscribe.client.is_none() {
        section.refuse("mailbox", "needs subscribe.user or subscribe.client: a mailbox belongs to an id");
    }
    let session = section.section("session").and_then(|inner| session(inner, executor.as_ref()));
    let read = section.section("read").map(read_limits);
    if read.is_some() && !all_stay(executor.as_ref(), session) {
        let why = "is allowed only for clients that stay until the end, because events that a client leaves unread cannot be judged";
        section.refuse("read", why);
    }
    let sources = section
        .texts("source_ips")
        .into_iter()
        .filter_map(|text| source_ips::parse(text).map_err(|error| section.refuse("source_ips", error)).ok());
    let sources: Vec<_> = sources.flatten().collect();
    if let Some(local) = sources.iter().find(|source| nodes_by_name.has_namespaces && source.is_loopback()) {
        let why = "cannot reach nodes with cluster.network = \"namespaces\"";
        section.refuse("source_ips", format!("{local} {why}; allowed are addresses outside 127.0.0.0/8"));
    }
    let headers = values::header_templates(&section);
    section.forbid(
        &["tls"],
        "is not a key of a group; set cluster.tls, which holds for all clients and publishers",
    );
    section.reserve(&["heartbeat"]);
    check_number(&section, executor.as_ref(), session, until);
    let group = valid_name.zip(executor).map(|(name, executor)| ClientGroup {
        name,
        executor,
        joins,
        subscribe,
        reconnect,
        decoder,
        reading,
        idle_timeout: idle_timeout.unwrap_or(limits::IDLE_TIMEOUT_DEFAULT),
        nodes,
        mailbox,
        session,
        read,
        sources,
        headers,
    });
    if let Some(group) = &group {
        check_names(&section, group);
    }
    section.finish();
    group
}

/// `joins`; only for `constant`, since stages can begin with a wait.
fn joins(section: &Section<'_>, until: Duration, executor: Option<&Executor>) -> Duration {
    let joins = section.duration("joins", Duration::ZERO..=until).unwrap_or_default();
    if section.has("joins")
        && matches!(executor, Some(Executor::Ramping { .. } | Executor::ArrivalRate { .. }))
    {
        section.refuse(
            "joins",
            "is allowed only with executor = \"constant\"; to wait, begin with a stage of target = 0",
        );
    }
    joins
}

fn executor(section: &Section<'_>, until: Duration) -> Option<Executor> {
    #[derive(Clone, Copy)]
    enum Kind {
        Constant,
        Ramping,
        ArrivalRate,
    }
    let words = [
        ("constant", Kind::Constant),
        ("constant-vus", Kind::Constant),
        ("constant-clients", Kind::Constant),
        ("ramping", Kind::Ramping),
        ("ramping-vus", Kind::Ramping),
        ("ramping-clients", Kind::Ramping),
        ("arrival-rate", Kind::ArrivalRate),
        ("constant-arrival-rate", Kind::ArrivalRate),
        ("ramping-arrival-rate", Kind::ArrivalRate),
    ];
    let Some(kind) = section.or_default("executor", section.choice("executor", &words), Kind::Constant)
    else {
        section.skip_unknown_keys();
        return None;
    };
    match kind {
        Kind::Constant => {
            if section.has("stages") {
                let why = "is allowed only with executor = \"ramping\" or \"arrival-rate\"; this group has executor = \"constant\"";
                section.refuse("stages", why);
            }
            let ramp = section.duration("ramp", limits::ANY_DURATION).unwrap_or_default();
            let clients = section.required("clients", section.integer32("clients", limits::CLIENTS));
            Some(Executor::Constant { clients: clients?, ramp })
        }
        Kind::Ramping => {
            for key in ["clients", "ramp"] {
                if section.has(key) {
                    let why =
                        "is allowed only with executor = \"constant\"; this group has executor = \"ramping\"";
                    section.refuse(key, why);
                }
            }
            let stages = stages(section, limits::CLIENTS_AT_ONCE, until);
            if stages.is_empty() {
                section.refuse("stages", "is missing; a list as in [{ duration = \"20s\", target = 2000 }]");
            }
            (!stages.is_empty()).then_some(Executor::Ramping { stages })
        }
        Kind::ArrivalRate => {
            for key in ["clients", "ramp"] {
                if section.has(key) {
                    let why = "is allowed only with executor = \"constant\"; this group has executor = \"arrival-rate\"";
                    section.refuse(key, why);
                }
            }
            values::pace(section, until).map(|pace| Executor::ArrivalRate { pace })
        }
    }
}

/// Whether no client leaves before the end.
fn all_stay(executor: Option<&Executor>, session: Option<Session>) -> bool {
    let falls = |stages: &[Stage]| stages.windows(2).any(|pair| pair[1].target < pair[0].target);
    let shrinks = matches!(executor, Some(Executor::Ramping { stages }) if falls(stages));
    session.is_none() && !shrinks
}

/// Reads `session = { mean = "90s", dist = "exponential" }`.
fn session(section: Section<'_>, executor: Option<&Executor>) -> Option<Session> {
    let mean = section.required("mean", section.duration("mean", limits::SESSION));
    let distributions = [("constant", Distribution::Constant), ("exponential", Distribution::Exponential)];
    let distribution = section.choice("dist", &distributions).unwrap_or(Distribution::Exponential);
    let arrives = matches!(executor, Some(Executor::ArrivalRate { .. }));
    if arrives && section.has("churn") {
        let why =
            "is not allowed with executor = \"arrival-rate\", which sets the rate of new clients itself";
        section.refuse("churn", why);
    }
    let churn = section.boolean("churn").unwrap_or(true) && !arrives;
    section.finish();
    Some(Session { mean: mean?, distribution, churn })
}

/// Limits the number of clients over the whole run: each one is a task and a ledger.
fn check_number(
    section: &Section<'_>,
    executor: Option<&Executor>,
    session: Option<Session>,
    until: Duration,
) {
    let (key, first) = match executor {
        Some(Executor::Constant { clients, .. }) => ("session", f64::from(*clients)),
        Some(Executor::Ramping { stages }) => {
            ("session", stages.iter().map(|stage| stage.target).fold(0.0, f64::max))
        }
        Some(Executor::ArrivalRate { pace }) => ("rate", pacer::expected_events(pace)),
        None => return,
    };
    let lives = session
        .filter(|session| session.churn)
        .map_or(0.0, |session| until.as_secs_f64() / session.mean.as_secs_f64());
    let all = first * (1.0 + lives);
    if all > f64::from(*limits::CLIENTS.end()) {
        let most = limits::CLIENTS.end();
        let why = format!("leads to {all:.0} clients over the run; allowed are up to {most} per group");
        section.refuse(key, why);
    }
}

/// Reads `read = { bytes_per_sec = 2048, pause = { every = "10s", for = "4s" }, rcvbuf = 4096 }`.
fn read_limits(section: Section<'_>) -> ReadLimits {
    let read = ReadLimits {
        bytes_per_sec: section.integer32("bytes_per_sec", limits::READ_SPEED),
        pause: section.section("pause").and_then(|pause| {
            let every = pause.required("every", pause.duration("every", limits::SOME_DURATION));
            let lasts = pause.required("for", pause.duration("for", limits::SOME_DURATION));
            pause.finish();
            Some((every?, lasts?))
        }),
        receive_buffer: section.integer32("rcvbuf", limits::RECEIVE_BUFFER),
    };
    section.finish();
    read
}

fn subscribe(section: Section<'_>) -> Subscribe {
    let parse = |key, text: &str| {
        let template = Template::parse(text).map_err(|error| error.to_string());
        let checked = template.and_then(|template| match template.longest() {
            longest if longest <= NAME_MAX_BYTES => Ok(template),
            longest => {
                Err(format!("the names have up to {longest} bytes; allowed are up to {NAME_MAX_BYTES} bytes"))
            }
        });
        checked.map_err(|error| section.refuse(key, format!("{text:?}: {error}"))).ok()
    };
    let subscribe = Subscribe {
        topics: section.texts("topics").into_iter().filter_map(|text| parse("topics", text)).collect(),
        user: section.text("user").and_then(|text| parse("user", text)),
        client: section.text("client").and_then(|text| parse("client", text)),
    };
    section.finish();
    subscribe
}

/// Digits are valid in names, so names that are valid for one client are valid for all.
fn check_names(section: &Section<'_>, group: &ClientGroup) {
    if let Err(error) = Identity::of(group, 0, 0) {
        section.refuse("subscribe", error);
    }
}

fn reconnect_default() -> Reconnect {
    Reconnect {
        policy: ReconnectPolicy::Tolerant,
        last_event_id: true,
        jitter: limits::JITTER_DEFAULT,
        max_delay: limits::MAX_DELAY_DEFAULT,
    }
}

fn reconnect(section: Section<'_>) -> Reconnect {
    let default = reconnect_default();
    let policies = [
        ("browser", ReconnectPolicy::Browser),
        ("eventsource", ReconnectPolicy::Browser),
        ("fetch", ReconnectPolicy::Fetch),
        ("tolerant", ReconnectPolicy::Tolerant),
        ("none", ReconnectPolicy::None),
    ];
    let reconnect = Reconnect {
        policy: section.choice("policy", &policies).unwrap_or(default.policy),
        last_event_id: section.boolean("last_event_id").unwrap_or(default.last_event_id),
        jitter: section.number("jitter", limits::JITTER).unwrap_or(default.jitter),
        max_delay: section.duration("max_delay", limits::SOME_DURATION).unwrap_or(default.max_delay),
    };
    section.finish();
    reconnect
}
