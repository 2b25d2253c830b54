//! The order of the rooms directly under `bench` and `tui`: imports lead downwards. Read [`BENCH`] first.

use super::{
    house::Violations,
    imports::{Module, Modules, owned},
    source::Source,
};

/// The rooms of `bench` from top to bottom, one floor a line. Production code imports only from lower floors; tests may
/// import from all.
const BENCH: [&[&str]; 9] = [
    &["cli"],
    &["run"],
    &["faults"],
    &["load", "report"],
    &["cluster", "verdict"],
    &["scenario"],
    &["stamp"],
    &["metrics"],
    &["ids", "exit", "door", "panic"],
];
/// The rooms of `tui`, in the same way.
const TUI: [&[&str]; 6] =
    [&["app"], &["snapshot", "terminal", "update"], &["view", "sources"], &["state"], &["config"], &["text"]];

pub(super) const WINGS: [(&str, &[&[&str]]); 2] = [("bench", &BENCH), ("tui", &TUI)];

/// All rooms that have a floor.
fn ordered() -> Vec<Module> {
    let rooms =
        WINGS.iter().flat_map(|(base, order)| order.concat().into_iter().map(move |room| [*base, room]));
    rooms.map(|room| owned(&room)).collect()
}

/// The floor of a room, from 0 at the bottom; `None` if the order does not name it.
pub(super) fn floor(order: &[&[&str]], room: &str) -> Option<usize> {
    order.iter().rev().position(|rooms| rooms.contains(&room))
}

pub(super) fn wings_import_only_from_below(sources: &[Source]) -> Violations {
    let modules = Modules::of(sources, &ordered());
    let mut violations = Vec::new();
    for (base, order) in WINGS {
        let base = owned(&[base]);
        let unknown = modules.children(&base).into_iter().filter(|room| floor(order, room).is_none());
        violations.extend(
            unknown.map(|room| format!("src/{}/{room}: give it a floor in tests/it/tidy/wings.rs", base[0])),
        );
        let stands_below = |lower: &str, upper: &str| {
            let floors = floor(order, upper).zip(floor(order, lower));
            floors.is_none_or(|(upper, lower)| lower < upper)
        };
        let within = modules.imports.iter().filter(|import| import.from.starts_with(&base));
        for import in within.filter(|import| import.to.starts_with(&base)) {
            let (path, name) = (&import.path, &import.name);
            match (import.from.get(1), import.to.get(1)) {
                (Some(from), Some(to)) if from != to && !stands_below(to, from) => {
                    violations
                        .push(format!("{path}: {from} may not import {name}, which is not on a lower floor"));
                }
                // Code could name any room through it.
                (Some(_), None) => {
                    violations.push(format!("{path}: it imports {name} as a whole; name the room"));
                }
                _ => {}
            }
        }
    }
    violations
}

/// The orders name only rooms that exist.
pub(super) fn orders_that_name_other_rooms(sources: &[Source]) -> Violations {
    let modules = Modules::of(sources, &[]);
    let missing = ordered().into_iter().filter(|room| !modules.all.contains(room));
    missing.map(|room| format!("tests/it/tidy/wings.rs: src/{} does not exist", room.join("/"))).collect()
}

#[cfg(test)]
mod planted {
    use super::{super::house::check, *};

    #[test]
    fn an_import_from_above_is_caught() {
        let rule = wings_import_only_from_below;
        for (path, text) in [
            ("src/bench/metrics/series.rs", "use crate::bench::report::Report;"),
            ("src/bench/metrics/series.rs", "fn f() { super::super::scenario::read() }"),
            (
                "src/bench/verdict/history/case.rs",
                "use crate::bench::{metrics::Tags, report::model::Report};",
            ),
            ("src/bench/scenario/mod.rs", "use super::verdict;"),
            ("src/bench/ids.rs", "use super::metrics::time::now;"),
            ("src/tui/state/model.rs", "use crate::tui::update::press;"),
            ("src/bench/metrics/series.rs", "use crate::bench; fn f() { bench::report::write() }"),
            ("src/bench/metrics/series.rs", "use super::super::*;"),
            ("src/tui/config/key.rs", "fn f() -> crate::tui::state::screen::Screen {}"),
        ] {
            check(rule, path, text, 1);
        }
        for (path, text) in [
            ("src/bench/run/execute.rs", "use crate::bench::{report::Report, faults, ids::RunId};"),
            ("src/bench/report/model.rs", "use crate::bench::verdict::history::Case;"),
            ("src/bench/metrics/series.rs", "//! See [`crate::bench::report`].\nuse super::tags::Tags;"),
            ("src/bench/metrics/series.rs", "#[cfg(test)]\nmod tests { use crate::bench::report::Report; }"),
            ("src/bench/mod.rs", "pub mod report;\npub use report::Report;"),
            ("src/tui/update/keys.rs", "use crate::tui::{state, text, view::areas};"),
        ] {
            check(rule, path, text, 0);
        }
    }

    #[test]
    fn an_import_on_the_same_floor_is_caught() {
        let rule = wings_import_only_from_below;
        check(rule, "src/bench/load/tls.rs", "use crate::bench::report::Report;", 1);
        check(rule, "src/bench/report/model.rs", "use super::super::load::Share;", 1);
        check(rule, "src/bench/cluster/node.rs", "use crate::bench::verdict::Status;", 1);
        check(rule, "src/bench/exit.rs", "use super::ids::RunId;", 1);
        check(rule, "src/tui/view/header.rs", "use crate::tui::sources::fetch;", 1);
    }

    #[test]
    fn an_import_by_another_name_is_caught() {
        let door =
            Source::new("src/bench/mod.rs", "pub mod report;\npub use report::model::Report as Told;\n");
        let other = Source::new("src/bench/metrics/series.rs", "use crate::bench::Told;");
        assert_eq!(wings_import_only_from_below(&[door, other]).len(), 1);
    }

    #[test]
    fn a_room_without_a_floor_is_caught_and_a_floor_without_a_room() {
        check(wings_import_only_from_below, "src/bench/attic.rs", "", 1);
        check(wings_import_only_from_below, "src/node/attic.rs", "", 0);
        let rooms = |order: &[&[&str]]| order.concat().len();
        check(orders_that_name_other_rooms, "src/bench/cli/mod.rs", "", rooms(&BENCH) - 1 + rooms(&TUI));
    }
}
