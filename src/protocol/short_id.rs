//! The short spelling of a position: `BKEKSw0UeDhGs4`, six digits of base 62 for the epoch, seven for the millisecond, and
//! those of the counter, none if it is 0. Not for comparing as texts. Read [`ShortId`] first.

use super::cursor::{Cursor, Epoch, Position};

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const EPOCH_DIGITS: usize = 6;
const MS_DIGITS: usize = 7;
const HEAD_DIGITS: usize = EPOCH_DIGITS + MS_DIGITS;
/// A counter of 64 bits has up to eleven digits.
const MAX_DIGITS: usize = HEAD_DIGITS + 11;

/// Added to epochs, so that an id begins with a letter: many systems number their events, and none of those numbers is an id
/// of this one.
const EPOCH_OFFSET: u64 = 10 * 62_u64.pow(5);
/// 2026-01-01 UTC. Seven digits reach from there to the year 2137.
const FIRST_MS: u64 = 1_767_225_600_000;
const LAST_MS: u64 = FIRST_MS + 62_u64.pow(7) - 1;

/// The digits of a short id.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShortId {
    digits: [u8; MAX_DIGITS],
    length: usize,
}

impl ShortId {
    /// `None`: the cursor has no short spelling. Its epoch is none of [`Epoch::from_random`], or it is of another century.
    pub(super) fn of(cursor: Cursor) -> Option<Self> {
        let Position { ms, seq } = cursor.position;
        if !cursor.epoch.is_usual() || !(FIRST_MS..=LAST_MS).contains(&ms) {
            return None;
        }
        let mut id = Self { digits: [b'0'; MAX_DIGITS], length: HEAD_DIGITS };
        put_number(&mut id.digits[..EPOCH_DIGITS], cursor.epoch.bits() + EPOCH_OFFSET);
        put_number(&mut id.digits[EPOCH_DIGITS..HEAD_DIGITS], ms - FIRST_MS);
        let counter_digits = seq.checked_ilog(62).map_or(0, |log| log as usize + 1);
        id.length += counter_digits;
        put_number(&mut id.digits[HEAD_DIGITS..id.length], seq);
        Some(id)
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[..self.length]).unwrap_or_default()
    }
}

/// Reads a short id. `None`: it is none, or not in its one canonical spelling.
pub(super) fn parse(text: &str) -> Option<Cursor> {
    let digits = text.as_bytes();
    if !(HEAD_DIGITS..=MAX_DIGITS).contains(&digits.len()) {
        return None;
    }
    let (head, counter) = digits.split_at(HEAD_DIGITS);
    let (epoch, ms) = head.split_at(EPOCH_DIGITS);
    let epoch = Epoch::from_bits(number(epoch)?.checked_sub(EPOCH_OFFSET)?);
    let position = Position { ms: FIRST_MS + number(ms)?, seq: number(counter)? };
    (epoch.is_usual() && counter.first() != Some(&b'0')).then(|| Cursor::new(epoch, position))
}

/// Writes a number that fits into these digits.
fn put_number(digits: &mut [u8], mut rest: u64) {
    for digit in digits.iter_mut().rev() {
        // `% 62` is below 62, so the cast and the index are exact.
        *digit = DIGITS[usize::try_from(rest % 62).unwrap_or(0)];
        rest /= 62;
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            b'a'..=b'z' => digit - b'a' + 36,
            _ => return None,
        };
        number.checked_mul(62)?.checked_add(value.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(epoch: &str, ms: u64, seq: u64) -> Cursor {
        Cursor::new(epoch.parse().unwrap(), Position { ms, seq })
    }

    #[test]
    fn ids_of_the_next_century_have_at_most_sixteen_bytes() {
        let december_2126 = 4_953_830_400_000;
        for (epoch, ms, seq) in
            [("100000", FIRST_MS, 0), ("zzzzzz", december_2126, 0), ("zzzzzz", december_2126, 238_327)]
        {
            let id = ShortId::of(cursor(epoch, ms, seq)).unwrap();
            assert!(id.as_str().len() <= 16 && id.as_str().len() >= 13, "{}", id.as_str());
        }
    }

    #[test]
    fn what_other_systems_number_is_no_id() {
        let ulid = "01JQZ3M5V8KX0W9R2T4Y6B7C8D";
        for text in
            ["1795303903002", "1795303903002123", "179530390300212345678", "65f1c0ffee65f1c0ffee65f1", ulid]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn one_position_has_one_short_spelling() {
        let known = ShortId::of(cursor("k3f9qa", 1_795_303_903_002, 4)).unwrap().as_str().to_owned();
        assert_eq!(parse(&known), Some(cursor("k3f9qa", 1_795_303_903_002, 4)));
        let (head, _) = known.split_at(HEAD_DIGITS);
        for other in [
            format!("{head}0"),
            format!("{head}04"),
            format!("0{}", &known[1..]),
            format!("{head}zzzzzzzzzzz"),
        ] {
            assert_eq!(parse(&other), None, "{other}");
        }
        for (epoch, ms) in
            [("a", FIRST_MS), ("1000000", FIRST_MS), ("k3f9qa", FIRST_MS - 1), ("k3f9qa", LAST_MS + 1)]
        {
            assert!(ShortId::of(cursor(epoch, ms, 0)).is_none(), "{epoch} {ms}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_short_id_is_read_as_the_position_that_it_was_made_of(bits: u64, ms in FIRST_MS..=LAST_MS, seq: u64) {
            let cursor = Cursor::new(Epoch::from_random(bits), Position { ms, seq });
            proptest::prop_assert_eq!(parse(ShortId::of(cursor).unwrap().as_str()), Some(cursor));
        }

        #[test]
        fn what_is_read_is_spelled_the_same_again(text in "[A-C][0-9A-Za-z]{12,23}") {
            if let Some(cursor) = parse(&text) {
                proptest::prop_assert_eq!(ShortId::of(cursor).unwrap().as_str().to_owned(), text);
            }
        }
    }
}
