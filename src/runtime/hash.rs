//! Hashes that are the same in every process and every build, which the hasher of the standard library does not
//! promise. Not for untrusted keys. Read [`fnv1a`] first, and [`QuickMap`] for keys that are a few numbers.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map whose keys are a few small numbers, which nobody else chooses.
pub type QuickMap<K, V> = HashMap<K, V, BuildHasherDefault<Words>>;

/// Hashes numbers a word at a time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Words(u64);

impl Hasher for Words {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number.cast_unsigned() as u64);
    }

    fn finish(&self) -> u64 {
        splitmix64_finalize(self.0)
    }
}

/// The 64-bit FNV-1a hash.
#[must_use]
pub fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    fnv1a_seeded(0, bytes)
}

/// The 64-bit FNV-1a hash from another start: `seed` is combined with the offset basis.
#[must_use]
pub fn fnv1a_seeded(seed: u64, bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The finalizer of SplitMix64: every bit of the input changes about half of the bits of the output. FNV-1a alone
/// leaves inputs that differ in their last byte close to each other.
#[must_use]
pub fn splitmix64_finalize(value: u64) -> u64 {
    let mixed = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_gives_the_published_values() {
        // http://www.isthe.com/chongo/src/fnv/test_fnv.c
        assert_eq!(fnv1a(*b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(*b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(*b"foobar"), 0x8594_4171_f739_67e8);
        assert_ne!(fnv1a_seeded(1, *b"a"), fnv1a(*b"a"));
    }

    #[test]
    fn the_finalizer_gives_the_published_values_of_splitmix64() {
        // The first two numbers of the generator with the seed 1234567: its state grows by the golden ratio.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = 1_234_567_u64.wrapping_add(STEP);
        assert_eq!(splitmix64_finalize(state), 6_457_827_717_110_365_317);
        assert_eq!(splitmix64_finalize(state.wrapping_add(STEP)), 3_203_168_211_198_807_973);
    }
}
