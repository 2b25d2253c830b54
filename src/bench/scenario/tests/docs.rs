//! Compares the pages of the bench below `docs/` with the code: every key that the parser asks for, every metric, every
//! name in a verdict and every exit code stands in them, and their examples are scenarios.

use std::collections::BTreeSet;

use crate::bench::exit::Exit;
use crate::bench::ids::{PhaseId, RunId};
use crate::bench::metrics::metric::Metric;
use crate::bench::metrics::recorder::Recorder;
use crate::bench::scenario::parse;
use crate::bench::scenario::plan::Plan;
use crate::bench::scenario::read::faults::TYPES as FAULT_TYPES;
use crate::bench::scenario::schema::{examples, schema};
use crate::bench::verdict::ledger::{Account, RULES};
use crate::bench::verdict::{Sightings, Verdict, VerdictInput};

const REFERENCE: &str = include_str!("../../../../docs/scenario-reference.md");
const FAULTS: &str = include_str!("../../../../docs/faults.md");
/// All of them.
const PAGE: &str = concat!(
    include_str!("../../../../docs/bench-tutorial.md"),
    include_str!("../../../../docs/from-k6.md"),
    include_str!("../../../../docs/scenario-reference.md"),
    include_str!("../../../../docs/faults.md"),
    include_str!("../../../../docs/verdicts.md"),
);

/// Whether a line of a table begins with this.
fn has_row(cell: &str) -> bool {
    PAGE.lines().any(|line| line.starts_with(&format!("| {cell} |")))
}

#[track_caller]
fn assert_told<'a>(what: &str, names: impl IntoIterator<Item = &'a str>, is_told: impl Fn(&str) -> bool) {
    let missing: Vec<&str> = names.into_iter().filter(|name| !is_told(name)).collect();
    assert!(missing.is_empty(), "{what} that are not in docs/: {missing:?}");
}

#[test]
fn every_key_is_in_the_documentation_and_nothing_else_is() {
    for text in examples::VALID {
        parse("docs.toml", text, &[]).unwrap();
    }
    let schemas = schema::schemas();
    let fields = schemas.tables.values().flat_map(|table| table.keys.values());
    let keys: BTreeSet<String> = fields.map(|field| schema::documented(&field.path)).collect();
    assert!(keys.len() > 50 && keys.contains("publishers.P.payload.median"), "{keys:?}");
    assert_told("keys", keys.iter().map(String::as_str), |key| has_row(&format!("`{key}`")));
    let lines = REFERENCE.lines().chain(FAULTS.lines());
    let rows = lines.filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let types: Vec<&str> = FAULT_TYPES.iter().map(|(word, _)| *word).collect();
    assert_told("types of faults", types.iter().copied(), |word| has_row(&format!("`{word}`")));
    let brokers = ["redis", "redis-sentinel", "redis-cluster"];
    let unknown = rows
        .map(|(key, _)| key)
        .filter(|key| !keys.contains(*key) && !types.contains(key) && !brokers.contains(key));
    let unknown: Vec<&str> = unknown.collect();
    assert!(unknown.is_empty(), "keys that only the documentation knows: {unknown:?}");
}

#[test]
fn every_metric_is_in_the_documentation() {
    assert_told("metrics", Metric::all().map(Metric::name), |name| {
        let tables = PAGE.lines().filter(|line| line.starts_with("| `"));
        tables.filter_map(|line| line.split('|').nth(1)).any(|cell| cell.contains(&format!("`{name}`")))
    });
}

#[test]
fn every_exit_code_is_in_the_documentation_the_worst_first() {
    let row = |exit: Exit| format!("\n| {} | {} |", exit.code(), exit.word());
    let places: Vec<Option<usize>> = Exit::ALL.iter().map(|exit| PAGE.find(&row(*exit))).collect();
    assert!(places.iter().all(Option::is_some), "{:?} {places:?}", Exit::ALL.map(row));
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn every_name_in_a_verdict_is_in_the_documentation() {
    let scenario = parse("docs.toml", examples::VALID[0], &[]).unwrap();
    let plan = Plan::new(&scenario, RunId::from_random(1));
    let mut account = Account { order_unjudged: 1, overlapping: 1, ..Account::default() };
    account.publishes.dropped = 1;
    account.dropped_by.insert(PhaseId(0), 1);
    let input = VerdictInput {
        plan: &plan,
        account: &account,
        recorder: &Recorder::default(),
        faults: &[],
        rules: RULES,
        problems: &[],
        sightings: &Sightings::default(),
        ran: plan.duration,
        quiescent: false,
    };
    let mut verdict = Verdict::new(&input);
    verdict.note_turned_away(&[("fault proxy client->n1".to_owned(), 3)]);
    let checks = verdict.checks;
    assert_eq!(checks.len(), 25, "{checks:?}");
    assert_told("names", checks.iter().map(|check| check.name.as_str()), |name| {
        has_row(&format!("`{name}`"))
    });
}

#[test]
fn the_examples_are_scenarios() {
    let blocks = PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let (whole, parts): (Vec<&str>, Vec<&str>) = blocks.partition(|block| block.starts_with("schema"));
    assert!(whole.len() >= 2 && !parts.is_empty(), "{} {}", whole.len(), parts.len());
    // A part goes where the whole has nothing of it yet.
    let head = whole[0].split("[thresholds]").next().unwrap();
    let in_place = parts.iter().map(|part| head.to_owned() + part);
    for text in whole.iter().map(|whole| (*whole).to_owned()).chain(in_place) {
        parse("docs.toml", &text, &[]).unwrap();
    }
}
