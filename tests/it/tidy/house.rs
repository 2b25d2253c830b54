//! All rules, and the test that checks the whole tree. Read [`RULES`] first.

use std::path::PathBuf;

use super::{
    code::{every_task_has_an_owner, nothing_is_left_for_later},
    docs::a_doc_comment_says_something,
    files::{
        a_file_is_not_too_long, a_file_of_tests_says_so, a_file_says_what_it_is, binaries_are_short,
        modules_are_spelled_in_one_way, no_module_is_a_drawer, the_manifest_names_the_binaries,
    },
    rooms::{
        ROOMS, a_binary_is_the_door_of_one_room, nobody_knows_the_node_itself,
        one_room_names_the_redis_crate, rooms_know_only_whom_they_may, the_protocol_is_pure,
        window_and_feed_know_only_the_log,
    },
    source::Source,
    wings::{orders_that_name_other_rooms, wings_import_only_from_below},
};

/// Each begins with the path of its file.
pub(super) type Violations = Vec<String>;

type Rule = fn(&[Source]) -> Violations;

/// The module of each rule shows it violations that it must catch.
const RULES: [Rule; 16] = [
    rooms_know_only_whom_they_may,
    a_binary_is_the_door_of_one_room,
    nobody_knows_the_node_itself,
    window_and_feed_know_only_the_log,
    the_protocol_is_pure,
    one_room_names_the_redis_crate,
    a_file_says_what_it_is,
    a_file_is_not_too_long,
    nothing_is_left_for_later,
    no_module_is_a_drawer,
    every_task_has_an_owner,
    binaries_are_short,
    wings_import_only_from_below,
    modules_are_spelled_in_one_way,
    a_file_of_tests_says_so,
    a_doc_comment_says_something,
];

/// This checkout, or the one that `SSE_LAB_HOUSE_ROOT` names.
fn root() -> PathBuf {
    std::env::var_os("SSE_LAB_HOUSE_ROOT").unwrap_or(env!("CARGO_MANIFEST_DIR").into()).into()
}

/// All Rust code of the checkout.
pub(super) fn sources() -> Vec<Source> {
    Source::read_all(&root(), &["src", "tests", "benches"])
}

#[test]
fn the_house_is_in_order() {
    let sources = sources();
    for room in ROOMS {
        assert!(sources.iter().any(|source| source.room() == Some(room.0)), "{} was not found", room.0);
    }
    let mut violations: Violations = RULES.iter().flat_map(|rule| rule(&sources)).collect();
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    violations.extend(the_manifest_names_the_binaries(&manifest, &sources));
    violations.extend(orders_that_name_other_rooms(&sources));
    violations.sort();
    assert!(violations.is_empty(), "{}\n", violations.join("\n"));
}

/// Asserts the number of violations that a rule finds in one file.
#[track_caller]
pub(super) fn check(rule: Rule, path: &str, text: &str, expected: usize) {
    let violations = rule(&[Source::new(path, text)]);
    assert_eq!(violations.len(), expected, "{path}: {text}\n{violations:#?}");
}
