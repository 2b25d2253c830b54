//! Reads `[hostile.<name>]`: clients that mean harm. Read [`groups`] first.

use std::time::Duration;

use super::cluster::NamedNodes;
use super::section::Section;
use super::values;
use crate::bench::scenario::limits;
use crate::bench::scenario::{Behavior, Cluster, HostileGroup};

/// All valid groups; problems of the others go to the sink.
pub(super) fn groups(
    root: &Section<'_>,
    until: Duration,
    (cluster, nodes_by_name): (Option<&Cluster>, &NamedNodes),
) -> Vec<HostileGroup> {
    let sections = root.sections("hostile");
    root.limit_entries("hostile", sections.len());
    let speaks_tls = match cluster {
        Some(Cluster::Attach(urls)) => urls.iter().any(|url| url.starts_with("https:")),
        Some(Cluster::Spawn(_)) | None => false,
    };
    if speaks_tls && !sections.is_empty() {
        root.refuse(
            "hostile",
            "cannot be used with https nodes in cluster.attach: these clients speak plain HTTP",
        );
    }
    sections
        .into_iter()
        .filter_map(|(name, section)| group(root, until, (name, section), nodes_by_name))
        .collect()
}

fn group(
    root: &Section<'_>,
    end: Duration,
    (name, section): (&str, Section<'_>),
    nodes_by_name: &NamedNodes,
) -> Option<HostileGroup> {
    let name = values::identifier(name).map_err(|error| root.refuse("hostile", error)).ok();
    let behaviors = Behavior::ALL.map(|behavior| (behavior.name(), behavior));
    let behavior = section.required("behavior", section.choice("behavior", &behaviors));
    let clients = section.required("clients", section.integer32("clients", limits::HOSTILE_CLIENTS));
    let at = section.duration("at", Duration::ZERO..=end).unwrap_or_default();
    let length = section.duration("for", *limits::SOME_DURATION.start()..=end.saturating_sub(at));
    let every = section.duration("every", limits::ANY_DURATION).unwrap_or(limits::HOSTILE_EVERY_DEFAULT);
    let path = section.parsed("path", path);
    let nodes = values::nodes(&section, nodes_by_name);
    section.finish();
    Some(HostileGroup {
        name: name?,
        behavior: behavior?,
        clients: clients?,
        at,
        until: length.map_or(end, |length| at + length),
        every,
        path: path.unwrap_or_else(|| behavior.map_or("/", Behavior::default_path).to_owned()),
        nodes,
    })
}

/// A path with its query, as it stands in the first line of a request.
fn path(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_path {
        return Ok(text.to_owned());
    }
    Err("allowed is a path that begins with '/', of printable ASCII characters without blanks".to_owned())
}
