//! `[clients.<group>]`: how many, what they listen to, what they do when a stream ends.

use std::time::Duration;

use super::cluster::Served;
use super::section::Section;
use super::template::Template;
use super::values::{self, headers, stages};
use super::{limits, source_ips};
use crate::bench::scenario::plan::{Identity, pacer};
use crate::bench::scenario::{
    ClientGroup, DecoderKind, Executor, Reading, Reconnect, ReconnectPolicy, Session, Spread, Stage,
    Subscribe,
};
use crate::protocol::name::NAME_MAX_BYTES;

/// All groups that could be read.
pub(in crate::bench::scenario) fn groups(
    root: &Section<'_>,
    until: Duration,
    served: &Served,
) -> Vec<ClientGroup> {
    root.needs("clients");
    let sections = root.sections("clients");
    if sections.is_empty() {
        root.refuse("clients", "a scenario needs a group of clients, as in [clients.steady]");
    }
    if sections.len() > limits::ENTRIES_MAX {
        root.refuse("clients", format!("more than {} groups", limits::ENTRIES_MAX));
    }
    sections.into_iter().filter_map(|(name, section)| group((root, until), name, section, served)).collect()
}

fn group(
    (root, until): (&Section<'_>, Duration),
    name: &str,
    section: Section<'_>,
    served: &Served,
) -> Option<ClientGroup> {
    let valid_name = values::identifier(name).map_err(|error| root.refuse("clients", error)).ok();
    let executor = executor(&section, until);
    let subscribe = section.section("subscribe").map(subscribe).unwrap_or_default();
    let reconnect = section.section("reconnect").map_or_else(reconnect_default, reconnect);
    let decoders = [("strict", DecoderKind::Strict), ("eventsource-stream", DecoderKind::EventsourceStream)];
    let decoder = section.choice("decoder", &decoders).unwrap_or(DecoderKind::Strict);
    let joins = joins(&section, until, executor.as_ref());
    let nodes = values::nodes(&section, served);
    let idle_timeout = section.duration("idle_timeout", limits::SOME_DURATION);
    let mailbox = section.boolean("mailbox").unwrap_or(false);
    if mailbox && subscribe.user.is_none() && subscribe.client.is_none() {
        section.refuse("mailbox", "needs a user or a client id that is named in subscribe");
    }
    let session = section.section("session").and_then(|inner| session(inner, executor.as_ref()));
    let read = section.section("read").map(reading);
    if read.is_some() && !stays(executor.as_ref(), session) {
        let why =
            "is for clients that stay to the end: what one that leaves has not read yet cannot be judged";
        section.refuse("read", why);
    }
    let sources = section
        .texts("source_ips")
        .into_iter()
        .filter_map(|text| source_ips::parse(text).map_err(|error| section.refuse("source_ips", error)).ok());
    let sources: Vec<_> = sources.flatten().collect();
    if let Some(local) = sources.iter().find(|source| served.has_namespaces && source.is_loopback()) {
        let why = "reaches no node with cluster.network = \"namespaces\"";
        section.refuse("source_ips", format!("{local} {why}; allowed are addresses outside of 127.0.0.0/8"));
    }
    let headers = headers(&section);
    section.forbid(&["tls"], "stands in [cluster], since all speak to the same nodes");
    section.later(&["heartbeat"]);
    check_number(&section, executor.as_ref(), session, until);
    let group = valid_name.zip(executor).map(|(name, executor)| ClientGroup {
        name,
        executor,
        joins,
        subscribe,
        reconnect,
        decoder,
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

/// When they come; those of a ramp that starts at zero have their stages for it.
fn joins(section: &Section<'_>, until: Duration, executor: Option<&Executor>) -> Duration {
    let joins = section.duration("joins", Duration::ZERO..=until).unwrap_or_default();
    if section.has("joins")
        && matches!(executor, Some(Executor::Ramping { .. } | Executor::ArrivalRate { .. }))
    {
        section.refuse("joins", "belongs to executor = \"constant\"; a stage with target = 0 waits too");
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
    let kind =
        if section.has("executor") { section.choice("executor", &words) } else { Some(Kind::Constant) };
    let Some(kind) = kind else {
        section.give_up();
        return None;
    };
    match kind {
        Kind::Constant => {
            if section.has("stages") {
                section.refuse("stages", "belongs to executor = \"ramping\"");
            }
            let ramp = section.duration("ramp", limits::ANY_DURATION).unwrap_or_default();
            let clients = section.required("clients", section.integer32("clients", limits::CLIENTS));
            Some(Executor::Constant { clients: clients?, ramp })
        }
        Kind::Ramping => {
            for key in ["clients", "ramp"] {
                if section.has(key) {
                    section.refuse(key, "belongs to executor = \"constant\"");
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
                    section.refuse(key, "does not belong to executor = \"arrival-rate\"");
                }
            }
            values::pace(section, until).map(|pace| Executor::ArrivalRate { pace })
        }
    }
}

/// Whether all clients are there to the end once they have come.
fn stays(executor: Option<&Executor>, session: Option<Session>) -> bool {
    let falls = |stages: &[Stage]| stages.windows(2).any(|pair| pair[1].target < pair[0].target);
    let shrinks = matches!(executor, Some(Executor::Ramping { stages }) if falls(stages));
    session.is_none() && !shrinks
}

/// `session = { mean = "90s", dist = "exponential" }`.
fn session(section: Section<'_>, executor: Option<&Executor>) -> Option<Session> {
    let mean = section.required("mean", section.duration("mean", limits::SESSION));
    let spreads = [("constant", Spread::Constant), ("exponential", Spread::Exponential)];
    let spread = section.choice("dist", &spreads).unwrap_or(Spread::Exponential);
    let arrives = matches!(executor, Some(Executor::ArrivalRate { .. }));
    if arrives && section.has("churn") {
        section
            .refuse("churn", "does not belong to executor = \"arrival-rate\", where new clients come anyway");
    }
    let churn = section.boolean("churn").unwrap_or(true) && !arrives;
    section.finish();
    Some(Session { mean: mean?, spread, churn })
}

/// Each client that ever comes is a task and a book.
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
        section.refuse(key, format!("makes {all:.0} clients in all; allowed are {most} of a group"));
    }
}

/// `read = { bytes_per_sec = 2048, pause = { every = "10s", for = "4s" }, rcvbuf = 4096 }`.
fn reading(section: Section<'_>) -> Reading {
    let reading = Reading {
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
    reading
}

fn subscribe(section: Section<'_>) -> Subscribe {
    let parse = |key, text: &str| {
        let template = Template::parse(text).map_err(|error| error.to_string());
        let checked = template.and_then(|template| match template.longest() {
            longest if longest <= NAME_MAX_BYTES => Ok(template),
            longest => Err(format!("becomes up to {longest} bytes long; allowed are {NAME_MAX_BYTES}")),
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

/// Numbers hold nothing that a name may not hold and are no blanks, so what is a name for one client is one for all.
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
