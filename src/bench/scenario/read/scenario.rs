//! Reads a whole scenario: the keys of the root, `[verify]`, `[thresholds]` and `[output]`; calls the readers of the
//! other sections. Read [`parse`] first.

use std::net::SocketAddr;
use std::time::Duration;

use super::expand::{self, Expanded, Variables};
use super::field_schema::{FieldSchemas, FieldType};
use super::problem::{Problem, Problems};
use super::raw::{self, Table, Value};
use super::section::{Section, Sink};
use super::values::identifier;
use super::{clients, cluster, dialect, fault_target, faults, hostile, nemesis, publishers, secrets};
use crate::bench::metrics::threshold::{Selector, Threshold};
use crate::bench::scenario::limits;
use crate::bench::scenario::{
    ClientGroup, Cluster, FaultSpec, Gaps, Guarantee, Lb, Nemesis, Order, Output, OutputFormat,
    PublisherSpec, Quiesce, Scenario, Tls, Verify,
};
use crate::runtime::did_you_mean;

/// Reads a scenario. `overrides` are values of `--set`, `key.path=value`, applied in order before all checks; elements
/// of lists are numbered from 0 (`faults.0.at=5s`).
///
/// # Errors
/// [`Problems`]: all of them, each with line, column, key, value and the allowed values.
pub fn parse(file: &str, text: &str, overrides: &[String]) -> Result<Scenario, Problems> {
    parse_with(file, text, overrides, &Variables::new())
}

/// As [`parse`], with environment variables.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_with(
    file: &str,
    text: &str,
    overrides: &[String],
    variables: &Variables,
) -> Result<Scenario, Problems> {
    let invalid = |mut problems: Vec<Problem>| {
        // Problems of `--set` have no place and come first.
        problems.sort_by_key(|problem| problem.at);
        Problems { file: file.to_owned(), problems }
    };
    let mut table = raw::read(text).map_err(invalid)?;
    let mut refused: Vec<_> = overrides.iter().filter_map(|text| raw::set(&mut table, text).err()).collect();
    let Expanded { problems, empty } = expand::expand(&mut table, variables);
    refused.extend(problems);
    let sink = Sink::new(refused);
    let scenario = scenario(&table, &sink);
    let (mut problems, _) = sink.into_parts();
    secrets::hide_in(&mut problems, &table);
    match scenario {
        Some(scenario) if problems.is_empty() => Ok(Scenario { empty_variables: empty, ..scenario }),
        _ => Err(invalid(problems)),
    }
}

/// All keys that the reader asks for while it reads these texts.
pub(crate) fn schemas_of(texts: &[&str]) -> FieldSchemas {
    texts.iter().fold(FieldSchemas::default(), |schemas, text| {
        let sink = Sink::recording(schemas);
        if let Ok(table) = raw::read(text) {
            let _scenario = scenario(&table, &sink);
        }
        sink.into_parts().1
    })
}

/// Reads every section, even if others are invalid. `None` implies at least one problem in the sink.
fn scenario(table: &Table, sink: &Sink) -> Option<Scenario> {
    let root = Section::root(table, sink);
    root.required("schema", root.integer("schema", 1..=1));
    let name = root.required("name", root.parsed("name", identifier));
    let description = root.text("description").unwrap_or_default().trim().to_owned();
    let seed = root.integer("seed", limits::SEED).unwrap_or(limits::SEED_DEFAULT);
    let duration = root.required("duration", root.duration("duration", limits::DURATION));
    // Later checks need a duration, even if the given one is invalid.
    let until = duration.unwrap_or(limits::LONGEST);
    let warmup = root.duration("warmup", Duration::ZERO..=until).unwrap_or_default();
    let one_node = || (Some(cluster::one_node()), Vec::new(), Tls::default());
    let (cluster, proxied, tls) = root.section("cluster").map_or_else(one_node, cluster::cluster);
    let lb = root.section("lb").map_or(Some(Lb::default()), cluster::lb);
    let dialect = root.section("dialect");
    if dialect.is_some() {
        dialect::check_servers(&root, cluster.as_ref(), lb.as_ref());
    }
    let has_dialect = dialect.is_some();
    let dialect = dialect.and_then(dialect::dialect);
    let workers = root.section("swarm").and_then(swarm);
    let nodes_by_name = cluster::NamedNodes::new(cluster.as_ref(), lb.as_ref());
    let clients = clients::groups(&root, until, &nodes_by_name);
    if let Some(dialect) = &dialect {
        dialect::check_groups(&root, dialect, &clients);
    }
    let publishers = publishers::publishers(&root, until, &clients, (&nodes_by_name, dialect.as_ref()));
    let hostile = hostile::groups(&root, until, (cluster.as_ref(), &nodes_by_name));
    let context =
        fault_target::TargetContext { cluster: cluster.as_ref(), groups: &clients, proxied: &proxied };
    let faults = faults::faults(&root, until, context);
    let nemesis = root.section("nemesis").map(|section| nemesis::nemesis(section, (warmup, until), context));
    let nemesis = nemesis.flatten();
    let cluster = cluster.map(|cluster| with_spares(cluster, &faults, nemesis.as_ref()));
    let default = verify_default(has_dialect);
    let verify = match root.section("verify") {
        Some(section) => verify(section, &publishers, (default, has_dialect)),
        None => Some((default, true)),
    };
    let thresholds = thresholds(&root, &tag_values(&clients, &publishers, &faults));
    let output = root.section("output").map_or_else(|| Some(Output::default()), output);
    root.reserve(&["links", "agents"]);
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
        hostile,
        publishers,
        faults,
        nemesis,
        verify: verify?.0,
        probes: verify?.1,
        thresholds,
        output: output?,
        empty_variables: Vec::new(),
    })
}

/// The cluster with room for the nodes that its faults start.
fn with_spares(mut cluster: Cluster, faults: &[FaultSpec], nemesis: Option<&Nemesis>) -> Cluster {
    let planned = faults.iter().map(|fault| &fault.kind);
    let drawn = nemesis.into_iter().flat_map(|nemesis| nemesis.faults.iter().map(|fault| &fault.kind));
    let kinds: Vec<_> = planned.chain(drawn).collect();
    if let Cluster::Spawn(spawn) = &mut cluster {
        spawn.spares = nemesis::spares(&kinds, spawn.nodes);
    }
    cluster
}

/// `[swarm]`: the number of worker processes.
fn swarm(section: Section<'_>) -> Option<u16> {
    let workers = section.integer("workers", limits::WORKERS).and_then(|workers| u16::try_from(workers).ok());
    section.finish();
    workers
}

/// Servers with a `[dialect]` have no log to read.
fn verify_default(has_dialect: bool) -> Verify {
    Verify {
        delivery: Guarantee::AtLeastOnce,
        order: Order::PerPublisherAddress,
        gaps: Gaps::Forbidden,
        quiesce: Quiesce {
            idle: limits::IDLE_DEFAULT,
            timeout: limits::QUIESCE_DEFAULT,
            audit_read: !has_dialect,
        },
        mailboxes_empty: false,
    }
}

fn verify(
    section: Section<'_>,
    publishers: &[PublisherSpec],
    (default, has_dialect): (Verify, bool),
) -> Option<(Verify, bool)> {
    let deliveries = [
        ("at-most-once", Guarantee::AtMostOnce),
        ("at-least-once", Guarantee::AtLeastOnce),
        ("exactly-once", Guarantee::ExactlyOnce),
    ];
    let orders = [("none", Order::None), ("per-publisher-address", Order::PerPublisherAddress)];
    let mailboxes = [("any", false), ("empty", true)];
    let gaps = [("allowed", Gaps::Allowed), ("forbidden", Gaps::Forbidden)];
    let gaps = section.choice("gaps", &gaps);
    if has_dialect && gaps.is_some() {
        let why = "is about GAP events, which only sse-node sends; with a [dialect] a missing event is lost";
        section.refuse("gaps", why);
    }
    let inner = section.section("quiesce");
    let quiesce = inner.map_or(default.quiesce, |inner| quiesce(inner, default.quiesce, has_dialect));
    let probes = section.boolean("probes").unwrap_or(true);
    let verify = Verify {
        delivery: section.choice("delivery", &deliveries).unwrap_or(default.delivery),
        order: section.choice("order", &orders).unwrap_or(default.order),
        gaps: gaps.unwrap_or(default.gaps),
        quiesce,
        mailboxes_empty: section.choice("mailboxes", &mailboxes).unwrap_or(default.mailboxes_empty),
    };
    let fills = |publisher: &PublisherSpec| publisher.qos > 0 && publisher.mix.user > 0.0;
    if verify.mailboxes_empty && !publishers.iter().any(fills) {
        let why = "\"empty\" needs a publisher that fills mailboxes: qos = 1 and mix.user above 0";
        section.refuse("mailboxes", why);
    }
    section.finish();
    Some((verify, probes))
}

fn quiesce(section: Section<'_>, default: Quiesce, has_dialect: bool) -> Quiesce {
    let quiesce = Quiesce {
        idle: section.duration("idle", limits::SOME_DURATION).unwrap_or(default.idle),
        timeout: section.duration("timeout", limits::SOME_DURATION).unwrap_or(default.timeout),
        audit_read: section.boolean("audit_read").unwrap_or(default.audit_read),
    };
    if quiesce.idle > quiesce.timeout {
        let (idle, timeout) = (quiesce.idle, quiesce.timeout);
        let format = humantime::format_duration;
        section.refuse(
            "idle",
            format!(
                "{} is not allowed; allowed are durations up to {} (verify.quiesce.timeout)",
                format(idle),
                format(timeout)
            ),
        );
    }
    if has_dialect && quiesce.audit_read {
        let why =
            "true needs GET /api/sse/history, which servers with a [dialect] do not have; allowed is false";
        section.refuse("audit_read", why);
    }
    section.reserve(&["heal"]);
    section.finish();
    quiesce
}

/// Allowed values of the tags of a threshold.
struct TagValues {
    groups: Vec<String>,
    publishers: Vec<String>,
    phases: Vec<String>,
}

fn tag_values(groups: &[ClientGroup], publishers: &[PublisherSpec], faults: &[FaultSpec]) -> TagValues {
    let fixed = ["warmup", "steady", "recovery", "drain", "fault"].map(str::to_owned);
    TagValues {
        groups: groups.iter().map(|group| group.name.clone()).collect(),
        publishers: publishers.iter().map(|publisher| publisher.name.clone()).collect(),
        phases: fixed.into_iter().chain(faults.iter().map(|fault| format!("fault:{}", fault.name))).collect(),
    }
}

/// Refuses tags with unknown values, which would never select a sample.
fn check_tags((root, section): (&Section<'_>, &Section<'_>), threshold: &Threshold, allowed: &TagValues) {
    let Selector { phase, group, publisher, path: _ } = &threshold.selector;
    for (tag, value, known) in [
        ("phase", phase, &allowed.phases),
        ("group", group, &allowed.groups),
        ("publisher", publisher, &allowed.publishers),
    ] {
        let Some(value) = value.as_ref().filter(|value| !known.contains(value)) else { continue };
        // The group, publisher or fault may be missing here because it is invalid, which is reported already.
        let is_reported = match tag {
            "phase" => value.starts_with("fault") && root.is_refused_below("faults"),
            "group" => root.is_refused_below("clients"),
            _ => root.is_refused_below("publishers"),
        };
        if is_reported {
            continue;
        }
        let guess = did_you_mean(value, known.iter().map(String::as_str));
        let known_values = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let why = format!("{tag}:{value} is not in this scenario; allowed are {known_values}{guess}");
        section.refuse(&threshold.key, why);
    }
}

fn thresholds(root: &Section<'_>, tag_values: &TagValues) -> Vec<Threshold> {
    let Some(section) = root.section("thresholds") else { return Vec::new() };
    let mut thresholds = Vec::new();
    for (key, value) in section.entries(&[FieldType::Texts]) {
        for expression in expressions(&section, key, value) {
            match Threshold::parse(key, expression) {
                Ok(threshold) => {
                    check_tags((root, &section), &threshold, tag_values);
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
            Value::Table(_) => "; there is no abortOnFail and no delayAbortEval: a run is judged as a whole",
            _ => "",
        };
        let shown = value.shown();
        let why = format!("{shown} is not allowed; allowed are expressions, as in [\"p(99)<50ms\"]{hint}");
        section.refuse(key, why);
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
