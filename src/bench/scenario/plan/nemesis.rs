//! What a nemesis does in this run: one fault after the other, drawn from the seed alone.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use crate::bench::scenario::{FaultSpec, FaultSpecKind, Nemesis, NemesisFault};

/// The drawn schedule: each fault is healed before the next one begins, and the last one before `until`.
pub(super) fn draw(nemesis: &Nemesis, seed: u64) -> Vec<FaultSpec> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut faults = Vec::new();
    let mut at = nemesis.from;
    loop {
        at += nemesis.every.mul_f64(rng.random_range(0.5..=1.5));
        let Some(NemesisFault { word, kind, lasts: (shortest, longest) }) =
            nemesis.faults.get(rng.random_range(0..nemesis.faults.len().max(1)))
        else {
            return faults;
        };
        // Drawn whatever the kind, so that another kind in this place leaves the times of the others alone.
        let lasts = *shortest + longest.saturating_sub(*shortest).mul_f64(rng.random::<f64>());
        let lasts = (!is_momentary(kind)).then_some(lasts);
        let end = at + lasts.unwrap_or_default();
        if end > nemesis.until {
            return faults;
        }
        let name = format!("nemesis-{}-{word}", faults.len() + 1);
        faults.push(FaultSpec { name, at, lasts, kind: kind.clone() });
        at = end;
    }
}

fn is_momentary(kind: &FaultSpecKind) -> bool {
    match kind {
        FaultSpecKind::Redis { action, .. } => action.is_momentary(),
        FaultSpecKind::Clients { action, .. } => action.is_momentary(),
        FaultSpecKind::Process { .. }
        | FaultSpecKind::RollingRestart { .. }
        | FaultSpecKind::Scale { .. }
        | FaultSpecKind::Link(_)
        | FaultSpecKind::Netns { .. } => false,
    }
}
