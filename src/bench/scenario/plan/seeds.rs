//! One seed for everything, and yet independent draws: each part of a plan has a seed of its own, made from the
//! scenario's and from its name. So one more publisher leaves all others as they were.

use crate::runtime::{fnv1a_seeded, splitmix64_finalize};

/// Makes seeds from a seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seeds(u64);

impl Seeds {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed of a named part.
    pub(crate) fn of(self, kind: &str, name: &str) -> u64 {
        let bytes = kind.bytes().chain([0xff]).chain(name.bytes());
        // FNV-1a over the name, then the finalizer of SplitMix64: names that differ in one letter must not give
        // seeds that differ in one bit.
        splitmix64_finalize(fnv1a_seeded(self.0, bytes))
    }
}
