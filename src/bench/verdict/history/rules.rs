//! The rules by which a stored run is planned again and recognised. They change from version to version, and a run is planned
//! by those of the version that ran it. Read [`RULES`] first.

use std::fmt::{self, Write as _};

use crate::bench::scenario::plan::Plan;
use crate::bench::scenario::{Order, Scenario};
pub use crate::bench::verdict::ledger::RULES;

/// Fields of the parts of a plan that no plan by rules 0 had. Each is the last field but for later ones.
const LATER: [&str; 1] = ["number"];

/// What a scenario meant under these rules.
pub(super) fn as_meant(rules: u16, mut scenario: Scenario) -> Scenario {
    if rules == 0 {
        // Where order was judged, publishes to one address waited for each other.
        for publisher in &mut scenario.publishers {
            publisher.in_order = scenario.verify.order == Order::PerPublisherAddress;
        }
    }
    scenario
}

/// A checksum of all parts of a plan that matter for the judgement, by the newest rules.
#[must_use]
pub fn fingerprint(plan: &Plan) -> u32 {
    fingerprint_by(RULES, plan)
}

/// As [`fingerprint`], by the rules of a stored run.
pub(super) fn fingerprint_by(rules: u16, plan: &Plan) -> u32 {
    let mut sum = Checksum(crc32fast::Hasher::new());
    // The debug text of each part shows all its fields.
    let written = if rules == 0 {
        sum.write_str(&without_later_fields(&text_of(plan).to_string()))
    } else {
        write!(sum, "{}", text_of(plan))
    };
    written.expect("a checksum accepts every text");
    sum.0.finalize()
}

struct Checksum(crc32fast::Hasher);

impl fmt::Write for Checksum {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

fn text_of(plan: &Plan) -> impl fmt::Display {
    fmt::from_fn(|f| {
        let marks = (&plan.phases, &plan.verify, plan.id_mask);
        write!(f, "{:?}{:?}{:?}", plan.seed, plan.duration, plan.groups)?;
        write!(f, "{:?}{:?}{:?}", plan.subscribers, plan.addresses, plan.publishers)?;
        write!(f, "{:?}{:?}{:?}", plan.faults, marks, plan.thresholds)
    })
}

/// A debug text without the fields of [`LATER`].
fn without_later_fields(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', ',']) {
        let (before, from) = rest.split_at(at);
        kept.push_str(before);
        let value =
            LATER.iter().find_map(|name| from.strip_prefix(", ")?.strip_prefix(name)?.strip_prefix(": "));
        rest = match value {
            Some(value) => &value[end_of_value(value)..],
            None => {
                let length = if from.starts_with('"') { end_of_text(from) } else { 1 };
                kept.push_str(&from[..length]);
                &from[length..]
            }
        };
    }
    kept + rest
}

/// Where a value ends: at the comma or brace behind it.
fn end_of_value(text: &str) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'"' => {
                at += end_of_text(&text[at..]);
                continue;
            }
            b'(' | b'[' | b'{' => depth += 1,
            b',' | b')' | b']' | b'}' if depth == 0 => return at - usize::from(text[..at].ends_with(' ')),
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// Where a text in quotes ends.
fn end_of_text(text: &str) -> usize {
    let mut is_escaped = false;
    let closing = text.bytes().skip(1).position(|byte| {
        let closes = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        closes
    });
    closing.map_or(text.len(), |at| at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    #[expect(dead_code, reason = "shown")]
    struct Part {
        name: &'static str,
        number: Option<(u32, &'static str)>,
    }

    #[test]
    fn later_fields_leave_no_trace_and_texts_are_left_alone() {
        let part = |name, number| Part { name, number };
        let parts =
            [part("a", None), part("b, number: 1 \\\"", Some((7, "x, } \" y"))), part("", Some((1, "")))];
        let expected = r#"[Part { name: "a" }, Part { name: "b, number: 1 \\\"" }, Part { name: "" }]"#;
        assert_eq!(without_later_fields(&format!("{parts:?}")), expected);
        assert_eq!(without_later_fields("P { name: 1, number: 2, more: 3 }"), "P { name: 1, more: 3 }");
        assert_eq!(without_later_fields("no fields, numbers: 1"), "no fields, numbers: 1");
    }
}
