//! Draws the faults of a nemesis from the seed: one after the other, never two at once.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use crate::bench::scenario::{FaultSpec, Nemesis, NemesisFault};

/// The drawn faults: each one is healed before the next one begins, and the last one by `until`.
pub(super) fn draw(nemesis: &Nemesis, seed: u64) -> Vec<FaultSpec> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut faults = Vec::new();
    let mut at = nemesis.from;
    loop {
        at += nemesis.every.mul_f64(rng.random_range(0.5..=1.5));
        let Some(NemesisFault { type_name, kind, lasts: (shortest, longest) }) =
            nemesis.faults.get(rng.random_range(0..nemesis.faults.len().max(1)))
        else {
            return faults;
        };
        // Drawn for momentary faults too, so that the kind of one fault does not change the times of the others.
        let lasts = *shortest + longest.saturating_sub(*shortest).mul_f64(rng.random::<f64>());
        let lasts = (!kind.is_momentary()).then_some(lasts);
        let end = at + lasts.unwrap_or_default();
        if end > nemesis.until {
            return faults;
        }
        let name = format!("nemesis-{}-{type_name}", faults.len() + 1);
        faults.push(FaultSpec { name, at, lasts, kind: kind.clone() });
        at = end;
    }
}
