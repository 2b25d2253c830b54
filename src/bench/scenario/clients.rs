//! `[clients.<group>]`: how many, what they listen to, what they do when a stream ends.

use std::time::Duration;

use crate::bench::plan::Identity;
use crate::protocol::name::NAME_MAX_BYTES;

use super::cluster::Served;
use super::section::Section;
use super::{
    ClientGroup, DecoderKind, Executor, Reconnect, ReconnectPolicy, Stage, Subscribe, Template, limits, read,
};

/// All groups that could be read.
pub(super) fn groups(root: &Section<'_>, until: Duration, served: &Served) -> Vec<ClientGroup> {
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
    let valid_name = read::identifier(name).map_err(|error| root.refuse("clients", error)).ok();
    let executor = executor(&section);
    let subscribe = section.section("subscribe").map(subscribe).unwrap_or_default();
    let reconnect = section.section("reconnect").map_or_else(reconnect_default, reconnect);
    let decoders = [("strict", DecoderKind::Strict), ("eventsource-stream", DecoderKind::EventsourceStream)];
    let decoder = section.choice("decoder", &decoders).unwrap_or(DecoderKind::Strict);
    let joins = joins(&section, until, executor.as_ref());
    let nodes = read::nodes(&section, served);
    let idle_timeout = section.duration("idle_timeout", limits::SOME_DURATION);
    let mailbox = section.boolean("mailbox").unwrap_or(false);
    if mailbox && subscribe.user.is_none() && subscribe.client.is_none() {
        section.refuse("mailbox", "needs a user or a client id that is named in subscribe");
    }
    section.later(&["session", "read", "source_ips", "headers", "token", "tls", "heartbeat"]);
    let group = ClientGroup {
        name: valid_name?,
        executor: executor?,
        joins,
        subscribe,
        reconnect,
        decoder,
        idle_timeout: idle_timeout.unwrap_or(limits::IDLE_TIMEOUT_DEFAULT),
        nodes,
        mailbox,
    };
    check_names(&section, &group);
    section.finish();
    Some(group)
}

/// When they come; those of a ramp that starts at zero have their stages for it.
fn joins(section: &Section<'_>, until: Duration, executor: Option<&Executor>) -> Duration {
    let joins = section.duration("joins", Duration::ZERO..=until).unwrap_or_default();
    if section.has("joins") && matches!(executor, Some(Executor::Ramping { .. })) {
        section.refuse("joins", "belongs to executor = \"constant\"; a stage with target = 0 waits too");
    }
    joins
}

fn executor(section: &Section<'_>) -> Option<Executor> {
    #[derive(Clone, Copy)]
    enum Kind {
        Constant,
        Ramping,
    }
    let words = [
        ("constant", Kind::Constant),
        ("constant-vus", Kind::Constant),
        ("constant-clients", Kind::Constant),
        ("ramping", Kind::Ramping),
        ("ramping-vus", Kind::Ramping),
        ("ramping-clients", Kind::Ramping),
    ];
    let kind = match section.text("executor") {
        None => Some(Kind::Constant),
        Some(text @ ("arrival-rate" | "constant-arrival-rate" | "ramping-arrival-rate")) => {
            section.refuse(
                "executor",
                format!("{text:?} is not in this version; allowed are constant and ramping"),
            );
            None
        }
        Some(_) => section.choice("executor", &words),
    };
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
            let stages = stages(section, limits::CLIENTS_AT_ONCE);
            if stages.is_empty() {
                section.refuse("stages", "is missing; a list as in [{ duration = \"20s\", target = 2000 }]");
            }
            (!stages.is_empty()).then_some(Executor::Ramping { stages })
        }
    }
}

/// `stages = [{ duration, target }, …]`.
pub(super) fn stages(section: &Section<'_>, allowed: std::ops::RangeInclusive<f64>) -> Vec<Stage> {
    let stage = |stage: Section<'_>| {
        let duration = stage.required("duration", stage.duration("duration", limits::ANY_DURATION));
        let target = stage.required("target", stage.number("target", allowed.clone()));
        stage.finish();
        Some(Stage { duration: duration?, target: target? })
    };
    section.list("stages").into_iter().filter_map(stage).collect()
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
    if let Err(error) = Identity::of(group, 0) {
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
