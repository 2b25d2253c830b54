//! What `make fuzz` feeds with bytes, one function a target. Each stands in its room, asserts more than that nothing
//! panics, and takes any bytes. `cargo test` feeds them the corpus of `tests/fuzz` and what comes of it by small changes.
//! Read [`TARGETS`] first.

use std::sync::OnceLock;

use crate::bench::faults::proxy::http::fuzz::toxics;
use crate::bench::scenario::fuzz::scenario;
use crate::bench::verdict::history::fuzz::evidence;
use crate::broker::embedded::disk::fuzz::journal;
use crate::broker::redis::fuzz::replies;
use crate::node::access::fuzz::{pattern, token};
use crate::node::http::fuzz::{bodies, head, query};
use crate::protocol::fuzz::{cursor, decoder};

type Target = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: [(&str, Target); 12] = [
    ("bodies", bodies),
    ("cursor", cursor),
    ("decoder", decoder),
    ("evidence", evidence),
    ("head", head),
    ("journal", journal),
    ("pattern", pattern),
    ("query", query),
    ("replies", replies),
    ("scenario", scenario),
    ("token", token),
    ("toxics", toxics),
];

static CHOSEN: OnceLock<Target> = OnceLock::new();

/// Chooses the target of [`run`].
///
/// # Panics
/// There is no such target; the message names those that there are.
pub fn choose(name: &str) {
    let target = TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target);
    let known = TARGETS.map(|(name, _)| name).join(", ");
    let target = target.unwrap_or_else(|| panic!("{name:?} is no target; allowed are {known}"));
    CHOSEN.get_or_init(|| target);
}

/// Feeds the chosen target.
///
/// # Panics
/// The target does not hold what it promises, or none was chosen.
pub fn run(bytes: &[u8]) {
    CHOSEN.get().expect("a target was chosen")(bytes);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::Path;

    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    /// Changed inputs of each target.
    const CHANGED: usize = 300;

    fn corpus(target: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut inputs: Vec<_> = files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
        inputs.sort();
        inputs
    }

    fn feed(name: &str, target: Target, input: &[u8]) {
        if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
            panic!("the target {name} does not hold for {:?}", input.escape_ascii().to_string());
        }
    }

    /// Some bytes more, less, changed, or from another input.
    fn changed(mut input: Vec<u8>, other: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..=input.len());
            let piece = at..(at + rng.random_range(0..8)).min(input.len());
            match rng.random_range(0..5) {
                0 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
                1 if at < input.len() => input[at] = rng.random(),
                2 => drop(input.drain(piece)),
                3 => drop(input.splice(at..at, input[piece].to_vec())),
                _ => {
                    let from = rng.random_range(0..=other.len());
                    let to = (from + rng.random_range(0..16)).min(other.len());
                    drop(input.splice(at..at, other[from..to].iter().copied()));
                }
            }
        }
        input
    }

    #[test]
    fn every_target_holds_for_its_corpus() {
        for (name, target) in TARGETS {
            corpus(name).iter().for_each(|input| feed(name, target, input));
        }
    }

    #[test]
    fn every_target_holds_for_what_comes_of_its_corpus_by_small_changes() {
        for (name, target) in TARGETS {
            let mut rng = ChaCha8Rng::seed_from_u64(13);
            let inputs = corpus(name);
            for _ in 0..CHANGED {
                let [one, other] = [0; 2].map(|_| &inputs[rng.random_range(0..inputs.len())]);
                feed(name, target, &changed(one.clone(), other, &mut rng));
            }
        }
    }

    #[test]
    fn a_target_that_there_is_not_is_told_with_those_that_there_are() {
        let told = catch_unwind(|| choose("decode")).unwrap_err();
        assert!(told.downcast_ref::<String>().unwrap().contains("allowed are bodies, cursor, decoder"));
    }
}
