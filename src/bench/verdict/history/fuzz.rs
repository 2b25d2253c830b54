//! Target of `make fuzz`: the evidence of a run, as `sse-bench check` reads it.

use std::io::Write as _;
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::frame;
use super::op::Op;
use super::rebuild::RebuiltLedgers;
use super::section::Section;
use crate::bench::ids::RunId;
use crate::bench::scenario;
use crate::bench::scenario::plan::Plan;

pub(super) const SCENARIO: &str = r#"
schema = 1
name = "stored"
duration = "60s"
[clients.c]
clients = 3
subscribe = { topics = ["room"], user = "u{i}" }
[publishers.main]
rate = 10
mix = { broadcast = 1, topic = 1, user = 1 }
"#;

fn plan() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| {
        let scenario = scenario::parse("stored.toml", SCENARIO, &[]).expect("it is valid");
        Plan::new(&scenario, RunId::from_random(1))
    })
}

/// The first byte says as what the rest is read: lines of a history, a frame, or the content of a frame of that kind.
pub(crate) fn evidence(bytes: &[u8]) {
    match bytes.split_first() {
        None => {}
        Some((0, lines)) => history(lines),
        Some((255, frame)) => {
            section(frame);
        }
        Some((kind, content)) => {
            let format = if kind.is_multiple_of(2) { frame::FORMAT } else { frame::OLDEST_FORMAT };
            let whole = framed(format, kind / 2, content);
            section(&whole);
            // Whatever is changed in a frame, it is refused.
            let mut damaged = whole;
            let at = content.iter().map(|byte| usize::from(*byte)).sum::<usize>() % damaged.len();
            damaged[at] ^= kind | 1;
            // The format and what stands behind the length say nothing of the content.
            assert!((4..6).contains(&at) || !section(&damaged), "{at}");
        }
    }
}

fn framed(format: u16, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut packer = DeflateEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(content).expect("memory takes it");
    let body = packer.finish().expect("memory takes it");
    [frame::header(format, kind, &body).expect("it is short"), body].concat()
}

/// A section that is read is written as itself. Whether it was read.
fn section(bytes: &[u8]) -> bool {
    let Ok(read) = Section::from_bytes(plan(), bytes) else { return false };
    let written = read.to_bytes().expect("memory takes it");
    let again = Section::from_bytes(plan(), &written).expect("what is written is read");
    assert_eq!(again.to_bytes().expect("memory takes it"), written);
    true
}

/// Operations are read as they were written, and those of this plan make ledgers.
fn history(lines: &[u8]) {
    let mut rebuilt = RebuiltLedgers::new(plan(), super::RULES);
    for line in String::from_utf8_lossy(lines).lines() {
        let Ok(op) = serde_json::from_str::<Op>(line) else { continue };
        let again = serde_json::to_string(&op).and_then(|text| serde_json::from_str::<Op>(&text));
        assert_eq!(again.ok().as_ref(), Some(&op));
        if rebuilt.apply(op).is_none() {
            return;
        }
    }
}
