//! Target of `make fuzz`: a journal, as it may stand on a disk.

use super::journal::{Journal, Zeros as _, scan};

/// A journal of any bytes; and, of the same bytes, a journal of whole batches that was damaged in one place.
pub(crate) fn journal(bytes: &[u8]) {
    is_accounted_for(bytes, &scan(bytes));
    let Some((&[batches, place, with], rest)) = bytes.split_first_chunk() else { return };
    let batches = usize::from(batches % 5) + 1;
    let (mut journal, mut numbers) = (Vec::new(), Vec::new());
    for values in rest.chunks(rest.len() / batches + 1).take(batches) {
        numbers.push(journal.len() + 5);
        journal.extend(batch(numbers.len() as u64 * 16, values));
    }
    let whole = scan(&journal);
    assert!(whole.holes.is_empty() && whole.torn == 0, "{whole:?}");
    journal.extend([0; 32]);
    assert_eq!(scan(&journal), whole, "reserved space is none of it");
    let Some(damaged) = (journal.len() - 32).checked_sub(1) else { return };
    let damaged = usize::from(place) * damaged / 255;
    journal[damaged] ^= with;
    let found = scan(&journal);
    is_accounted_for(&journal, &found);
    assert!(found.batches <= whole.batches && found.batches + 1 >= whole.batches, "{found:?} {whole:?}");
    let is_noticed = !found.holes.is_empty() || found.torn > 0;
    // Another number in the same order does no harm.
    let is_number = numbers.iter().any(|at| (*at..at + 8).contains(&damaged));
    let number = |at: &usize| {
        journal.get(*at..at + 8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight")))
    };
    let is_harmless = is_number && numbers.is_sorted_by(|one, next| number(one) < number(next));
    assert_eq!(is_noticed, with != 0 && !is_harmless, "byte {damaged} of {}: {found:?}", journal.len());
}

/// Holes are in order and within the journal, and what is left without them is whole.
fn is_accounted_for(bytes: &[u8], journal: &Journal) {
    let mut from = 0;
    let mut left = Vec::new();
    for hole in &journal.holes {
        assert!(from <= hole.at.start && hole.at.start < hole.at.end, "{journal:?}");
        left.extend_from_slice(bytes.get(from..hole.at.start).expect("it is within the journal"));
        from = hole.at.end;
    }
    left.extend_from_slice(bytes.get(from..).expect("it is within the journal").without_end_zeros());
    let mended = scan(&left);
    assert!(mended.holes.is_empty(), "{mended:?} of {journal:?}");
    assert_eq!((mended.batches, mended.torn), (journal.batches, journal.torn));
    assert!(journal.torn <= bytes.len());
}

/// A whole batch with a key of one byte for each eight bytes.
fn batch(number: u64, values: &[u8]) -> Vec<u8> {
    let items: Vec<&[u8]> = values.chunks(8).collect();
    let mut body = Vec::new();
    for item in &items {
        body.extend([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        body.extend([item.len(), item.len()].iter().flat_map(|length| [length.to_le_bytes()[0], 0, 0, 0]));
        body.push(b'k');
        body.extend_from_slice(item);
    }
    let mut batch = vec![1];
    batch.extend(items.len().to_le_bytes()[..4].iter().chain(&number.to_le_bytes()));
    batch.extend_from_slice(&body);
    batch.push(3);
    batch.extend(xxhash_rust::xxh3::xxh3_64(&body).to_le_bytes());
    batch.extend(b"FJL\x03");
    batch
}
