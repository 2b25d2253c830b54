//! One seed for everything, and yet independent draws: each part of a plan has a seed of its own, made from the
//! scenario's and from its name. So one more publisher leaves all others as they were.

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
        let hashed = bytes.fold(self.0 ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mixed = (hashed ^ (hashed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
