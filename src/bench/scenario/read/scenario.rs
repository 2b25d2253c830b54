//! The tree becomes a [`Scenario`]: head, verification, thresholds, output. Read [`parse`] first.

use std::net::SocketAddr;
use std::time::Duration;

use super::expand::{self, Variables};
use super::problem::{Problem, Problems};
use super::raw::{self, Table, Value};
use super::section::{Section, Sink};
use super::values::identifier;
use super::{clients, cluster, dialect, fault_target, faults, limits, nemesis, publishers};
use crate::bench::metrics::threshold::{Selector, Threshold};
use crate::bench::scenario::schema::field_schema::{Form, Forms};
use crate::bench::scenario::{
    ClientGroup, Cluster, FaultSpec, Gaps, Guarantee, Lb, Nemesis, Order, Output, OutputFormat,
    PublisherSpec, Quiesce, Scenario, Tls, Verify,
};
use crate::runtime::did_you_mean;

/// Reads a scenario. `overrides` are `key.path=value` as given to `--set`, applied in order before anything is
/// checked; elements of lists are numbered from 0 (`faults.0.at=5s`).
///
/// # Errors
/// [`Problems`]: all of them, with line and column, key, value and what is allowed.
pub fn parse(file: &str, text: &str, overrides: &[String]) -> Result<Scenario, Problems> {
    parse_with(file, text, overrides, &Variables::new())
}

/// The same with variables that stand for texts in it.
///
/// # Errors
/// As [`parse`].
pub(in crate::bench::scenario) fn parse_with(
    file: &str,
    text: &str,
    overrides: &[String],
    variables: &Variables,
) -> Result<Scenario, Problems> {
    let invalid = |mut problems: Vec<Problem>| {
        // What `--set` gave has no place and comes first.
        problems.sort_by_key(|problem| problem.at);
        Problems { file: file.to_owned(), problems }
    };
    let mut table = raw::read(text).map_err(invalid)?;
    let mut refused: Vec<_> = overrides.iter().filter_map(|text| raw::set(&mut table, text).err()).collect();
    refused.extend(expand::expand(&mut table, variables));
    let sink = Sink::new(refused);
    let scenario = scenario(&table, &sink);
    let (problems, _) = sink.into_parts();
    match scenario {
        Some(scenario) if problems.is_empty() => Ok(scenario),
        _ => Err(invalid(problems)),
    }
}

/// What the parser asks for while it reads these texts.
pub(in crate::bench::scenario) fn forms_of(texts: &[&str]) -> Forms {
    texts.iter().fold(Forms::default(), |forms, text| {
        let sink = Sink::with_forms(forms);
        if let Ok(table) = raw::read(text) {
            let _scenario = scenario(&table, &sink);
        }
        sink.into_parts().1
    })
}

/// Every section is read whatever is wrong with the others; `None` only together with a problem.
fn scenario(table: &Table, sink: &Sink) -> Option<Scenario> {
    let root = Section::root(table, sink);
    root.required("schema", root.integer("schema", 1..=1));
    let name = root.required("name", root.parsed("name", identifier));
    let description = root.text("description").unwrap_or_default().trim().to_owned();
    let seed = root.integer("seed", limits::SEED).unwrap_or(limits::SEED_DEFAULT);
    let duration = root.required("duration", root.duration("duration", limits::DURATION));
    // What follows is checked against a duration, even where the file has none that is valid.
    let until = duration.unwrap_or(limits::LONGEST);
    let warmup = root.duration("warmup", Duration::ZERO..=until).unwrap_or_default();
    let one_node = || (Some(cluster::one_node()), Vec::new(), Tls::default());
    let (cluster, proxied, tls) = root.section("cluster").map_or_else(one_node, cluster::cluster);
    let lb = root.section("lb").map_or(Some(Lb::default()), cluster::lb);
    let dialect = root.section("dialect");
    if dialect.is_some() {
        dialect::check_place(&root, cluster.as_ref(), lb.as_ref());
    }
    let is_foreign = dialect.is_some();
    let dialect = dialect.and_then(dialect::dialect);
    let workers = root.section("swarm").and_then(swarm);
    let served = cluster::Served::new(cluster.as_ref(), lb.as_ref());
    let clients = clients::groups(&root, until, &served);
    if let Some(dialect) = &dialect {
        dialect::check_groups(&root, dialect, &clients);
    }
    let publishers = publishers::publishers(&root, until, &clients, (&served, dialect.as_ref()));
    let around =
        fault_target::TargetContext { cluster: cluster.as_ref(), groups: &clients, proxied: &proxied };
    let faults = faults::faults(&root, until, around);
    let nemesis = root.section("nemesis").map(|section| nemesis::nemesis(section, (warmup, until), around));
    let nemesis = nemesis.flatten();
    let cluster = cluster.map(|cluster| with_spares(cluster, &faults, nemesis.as_ref()));
    let default = verify_default(is_foreign);
    let verify = match root.section("verify") {
        Some(section) => verify(section, &publishers, (default, is_foreign)),
        None => Some(default),
    };
    let thresholds = thresholds(&root, &names(&clients, &publishers, &faults));
    let output = root.section("output").map_or_else(|| Some(Output::default()), output);
    root.later(&["links", "agents"]);
    root.finish();
    Some(Scenario {
        name: name?,
        description,
        seed,
        duration: duration?,
        warmup,
        cluster: cluster?,
        dialect,
        proxied,
        tls,
        lb: lb?,
        workers,
        clients,
        publishers,
        faults,
        nemesis,
        verify: verify?,
        thresholds,
        output: output?,
    })
}

/// A cluster with as many places as its faults will ask for.
fn with_spares(mut cluster: Cluster, faults: &[FaultSpec], nemesis: Option<&Nemesis>) -> Cluster {
    let planned = faults.iter().map(|fault| &fault.kind);
    let drawn = nemesis.into_iter().flat_map(|nemesis| nemesis.faults.iter().map(|fault| &fault.kind));
    let kinds: Vec<_> = planned.chain(drawn).collect();
    if let Cluster::Spawn(spawn) = &mut cluster {
        spawn.spares = nemesis::spares(&kinds, spawn.nodes);
    }
    cluster
}

/// How many processes carry the clients.
fn swarm(section: Section<'_>) -> Option<u16> {
    let workers = section.integer("workers", limits::WORKERS).and_then(|workers| u16::try_from(workers).ok());
    section.finish();
    workers
}

/// Foreign servers have no log that could be read.
fn verify_default(is_foreign: bool) -> Verify {
    Verify {
        delivery: Guarantee::AtLeastOnce,
        order: Order::PerPublisherAddress,
        gaps: Gaps::Forbidden,
        quiesce: Quiesce {
            idle: limits::IDLE_DEFAULT,
            timeout: limits::QUIESCE_DEFAULT,
            audit_read: !is_foreign,
        },
        mailboxes_empty: false,
    }
}

fn verify(
    section: Section<'_>,
    publishers: &[PublisherSpec],
    (default, is_foreign): (Verify, bool),
) -> Option<Verify> {
    let deliveries = [
        ("at-most-once", Guarantee::AtMostOnce),
        ("at-least-once", Guarantee::AtLeastOnce),
        ("exactly-once", Guarantee::ExactlyOnce),
    ];
    let orders = [("none", Order::None), ("per-publisher-address", Order::PerPublisherAddress)];
    let mailboxes = [("any", false), ("empty", true)];
    let gaps = [("allowed", Gaps::Allowed), ("forbidden", Gaps::Forbidden)];
    let gaps = section.choice("gaps", &gaps);
    if is_foreign && gaps.is_some() {
        section.refuse(
            "gaps",
            "is about GAP, which only sse-node sends; with a [dialect] what is missing is lost",
        );
    }
    let inner = section.section("quiesce");
    let quiesce = inner.map_or(default.quiesce, |inner| quiesce(inner, default.quiesce, is_foreign));
    let verify = Verify {
        delivery: section.choice("delivery", &deliveries).unwrap_or(default.delivery),
        order: section.choice("order", &orders).unwrap_or(default.order),
        gaps: gaps.unwrap_or(default.gaps),
        quiesce,
        mailboxes_empty: section.choice("mailboxes", &mailboxes).unwrap_or(default.mailboxes_empty),
    };
    let fills = |publisher: &PublisherSpec| publisher.qos > 0 && publisher.mix.user > 0.0;
    if verify.mailboxes_empty && !publishers.iter().any(fills) {
        section.refuse("mailboxes", "no publisher puts anything into one: qos = 1 and mix.user above 0 do");
    }
    section.finish();
    Some(verify)
}

fn quiesce(section: Section<'_>, default: Quiesce, is_foreign: bool) -> Quiesce {
    let quiesce = Quiesce {
        idle: section.duration("idle", limits::SOME_DURATION).unwrap_or(default.idle),
        timeout: section.duration("timeout", limits::SOME_DURATION).unwrap_or(default.timeout),
        audit_read: section.boolean("audit_read").unwrap_or(default.audit_read),
    };
    if quiesce.idle > quiesce.timeout {
        let (idle, timeout) = (quiesce.idle, quiesce.timeout);
        let format = humantime::format_duration;
        section.refuse("idle", format!("{} is longer than the timeout, {}", format(idle), format(timeout)));
    }
    if is_foreign && quiesce.audit_read {
        section
            .refuse("audit_read", "needs GET /api/sse/history, which servers with a [dialect] do not have");
    }
    section.later(&["heal"]);
    section.finish();
    quiesce
}

/// What the tags of a threshold may name.
struct Names {
    groups: Vec<String>,
    publishers: Vec<String>,
    phases: Vec<String>,
}

fn names(groups: &[ClientGroup], publishers: &[PublisherSpec], faults: &[FaultSpec]) -> Names {
    let fixed = ["warmup", "steady", "recovery", "drain", "fault"].map(str::to_owned);
    Names {
        groups: groups.iter().map(|group| group.name.clone()).collect(),
        publishers: publishers.iter().map(|publisher| publisher.name.clone()).collect(),
        phases: fixed.into_iter().chain(faults.iter().map(|fault| format!("fault:{}", fault.name))).collect(),
    }
}

/// A tag that names nothing would select nothing, for ever.
fn check_tags((root, section): (&Section<'_>, &Section<'_>), threshold: &Threshold, names: &Names) {
    let Selector { phase, group, publisher, path: _ } = &threshold.selector;
    for (tag, value, known) in [
        ("phase", phase, &names.phases),
        ("group", group, &names.groups),
        ("publisher", publisher, &names.publishers),
    ] {
        let Some(value) = value.as_ref().filter(|value| !known.contains(value)) else { continue };
        // What could not be read has been told; that it is missing here follows from it.
        let is_told = match tag {
            "phase" => value.starts_with("fault") && root.is_refused_below("faults"),
            "group" => root.is_refused_below("clients"),
            _ => root.is_refused_below("publishers"),
        };
        if is_told {
            continue;
        }
        let guess = did_you_mean(value, known.iter().map(String::as_str));
        let allowed = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        section.refuse(
            &threshold.key,
            format!("{tag}:{value} is not in this scenario{guess}; allowed are {allowed}"),
        );
    }
}

fn thresholds(root: &Section<'_>, names: &Names) -> Vec<Threshold> {
    let Some(section) = root.section("thresholds") else { return Vec::new() };
    let mut thresholds = Vec::new();
    for (key, value) in section.entries(&[Form::Texts]) {
        for expression in expressions(&section, key, value) {
            match Threshold::parse(key, expression) {
                Ok(threshold) => {
                    check_tags((root, &section), &threshold, names);
                    thresholds.push(threshold);
                }
                Err(error) => section.refuse(key, error),
            }
        }
    }
    thresholds
}

fn expressions<'a>(section: &Section<'_>, key: &str, value: &'a Value) -> Vec<&'a str> {
    let refuse = |value: &Value| {
        let hint = match value {
            Value::Table(_) => "; there is no abortOnFail and no delayAbortEval, a run is judged as a whole",
            _ => "",
        };
        let shown = value.shown();
        section.refuse(key, format!("{shown} is not an expression, as in [\"p(99)<50ms\"]{hint}"));
    };
    match value {
        Value::Text(text) => vec![text],
        Value::Array(list) => {
            let text = |node: &'a raw::Node| match &node.value {
                Value::Text(text) => Some(text.as_str()),
                other => {
                    refuse(other);
                    None
                }
            };
            list.iter().filter_map(text).collect()
        }
        other => {
            refuse(other);
            Vec::new()
        }
    }
}

fn output(section: Section<'_>) -> Option<Output> {
    let formats = section.choices("formats", &OutputFormat::ALL.map(|format| (format.name(), format)));
    let prometheus = section.parsed("prometheus", |text| {
        let address = text.parse::<SocketAddr>();
        address.map_err(|_| {
            format!("{text:?} is not an address; allowed is ADDRESS:PORT, as in \"127.0.0.1:9464\"")
        })
    });
    let output = Output { formats, dir: section.text("dir").map(str::to_owned), prometheus };
    section.finish();
    Some(output)
}
