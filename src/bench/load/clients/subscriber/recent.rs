//! The payloads that this thread has checked last. A loop reads the same bytes for thousands of clients: they are parsed and
//! their checksum is taken once, and for each client after that they are compared byte by byte, which proves as much. Read
//! [`decode`] first.

use std::cell::RefCell;

use crate::bench::stamp::{Stamp, Unreadable};

/// Payloads that are kept: as many events as are read at the same time, more or less.
const KEPT: usize = 4;
/// Larger payloads are not kept.
const BYTES_MAX: usize = 16 * 1024;

thread_local!(static RECENT: RefCell<Recent> = RefCell::default());

/// Whole payloads with their stamps. Others are checked each time: they are rare, or say what is wrong with them.
#[derive(Debug, Default)]
struct Recent {
    whole: Vec<Whole>,
    /// The place of the oldest.
    oldest: usize,
}

#[derive(Debug)]
struct Whole {
    data: String,
    in_envelope: bool,
    stamp: Stamp,
}

/// As [`Stamp::decode`] or, where the payload is in no envelope, as [`Stamp::decode_bare`].
pub(super) fn decode(data: &str, in_envelope: bool) -> Result<Stamp, Unreadable> {
    RECENT.with_borrow_mut(|recent| recent.decode(data, in_envelope))
}

impl Recent {
    fn decode(&mut self, data: &str, in_envelope: bool) -> Result<Stamp, Unreadable> {
        let known = self.whole.iter().find(|whole| whole.in_envelope == in_envelope && whole.data == data);
        if let Some(known) = known {
            return Ok(known.stamp);
        }
        let stamp = if in_envelope { Stamp::decode(data) } else { Stamp::decode_bare(data) }?;
        if data.len() <= BYTES_MAX {
            self.keep(data, in_envelope, stamp);
        }
        Ok(stamp)
    }

    fn keep(&mut self, data: &str, in_envelope: bool, stamp: Stamp) {
        match self.whole.get_mut(self.oldest) {
            Some(place) => {
                data.clone_into(&mut place.data);
                (place.in_envelope, place.stamp) = (in_envelope, stamp);
            }
            None => self.whole.push(Whole { data: data.to_owned(), in_envelope, stamp }),
        }
        self.oldest = (self.oldest + 1) % KEPT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::ids::{AddressId, PublisherId, RunId};
    use crate::bench::metrics::time::RunTime;

    fn stamp(seq: u64) -> Stamp {
        let (run, publisher, address) = (RunId::from_random(7), PublisherId(1), AddressId(2));
        Stamp { run, publisher, address, seq, due: RunTime::from_nanos(5), sent: RunTime::from_nanos(6) }
    }

    #[test]
    fn what_was_whole_a_moment_ago_is_checked_again_where_a_byte_differs() {
        let payload = stamp(1).encode(200);
        let whole = payload.get();
        assert_eq!(decode(whole, false), Ok(stamp(1)));
        assert_eq!(decode(whole, false), Ok(stamp(1)));
        for (from, to) in [("0123", "0124"), ("\"seq\":1", "\"seq\":2"), ("\"sum\":\"", "\"sum\":\"0")] {
            let altered = whole.replacen(from, to, 1);
            assert_ne!(altered, whole);
            assert!(matches!(decode(&altered, false), Err(Unreadable::Altered(_))), "{altered}");
        }
        assert_eq!(decode(whole, true), Stamp::decode(whole), "it is no envelope");
    }

    #[test]
    fn some_payloads_are_kept_and_each_has_its_own_stamp() {
        let payloads: Vec<_> = (0..20).map(|seq| stamp(seq).encode(120)).collect();
        let mut recent = Recent::default();
        for (seq, payload) in (0..20).chain(0..20).zip(payloads.iter().chain(&payloads)) {
            assert_eq!(recent.decode(payload.get(), false), Ok(stamp(seq)));
        }
        assert_eq!(recent.whole.len(), KEPT);
        let long = stamp(1).encode(u32::try_from(BYTES_MAX).unwrap() + 1);
        assert_eq!(recent.decode(long.get(), false), Ok(stamp(1)));
        assert!(recent.whole.iter().all(|whole| whole.data.len() <= BYTES_MAX));
    }
}
