//! Derives independent seeds from the seed of a scenario, by kind and name of each part: adding a publisher does not
//! change the draws of the others. Read [`Seeds::of`] first.

use crate::runtime::{fnv1a_seeded, splitmix64_finalize};

/// A seed that others are derived from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seeds(u64);

impl Seeds {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed of a part, by its kind and its name within the kind.
    pub(crate) fn of(self, kind: &str, name: &str) -> u64 {
        let bytes = kind.bytes().chain([0xff]).chain(name.bytes());
        // FNV-1a over the name, then the finalizer of SplitMix64: names that differ in one letter must not give
        // seeds that differ in one bit.
        splitmix64_finalize(fnv1a_seeded(self.0, bytes))
    }
}
