//! Finds streams whose events are held back: events that were published at several moments arrive at one moment, again and
//! again. Constant memory for each stream, two comparisons for each event. Pure. Read [`Bursts::arrived`] first.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::metrics::time::RunTime;

/// Arrivals within this time are one: a server may write what it held back in several pieces.
const TOGETHER: Duration = Duration::from_millis(20);
/// A burst spans at least this time of publishing. Shorter waits are the batching of a busy server.
const SPAN_MIN: Duration = Duration::from_millis(250);
/// Bursts that make a stream bursty. A pause of a garbage collector is one, or two.
const BURSTS_MIN: u32 = 4;

/// The arrivals of one stream, as far as bursts show in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bursts {
    /// The arrivals that are under way: when they began, and the first and last moment of their publishing.
    began: RunTime,
    sent: (RunTime, RunTime),
    together: u32,
    events: u32,
    in_bursts: u32,
    bursts: u32,
    /// The longest wait in each burst, all of them added.
    waited: Duration,
    longest: Duration,
}

/// The bursts of all streams.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BurstTotals {
    /// Streams with enough events to tell.
    pub streams: u64,
    /// Of these, streams most of whose events came in bursts.
    pub bursty: u64,
    /// Bursts of the bursty streams.
    pub bursts: u64,
    /// Events in those bursts.
    pub events: u64,
    /// The longest wait in each of those bursts, all of them added, in milliseconds.
    pub waited_ms: u64,
    /// The longest wait of all, in milliseconds.
    pub longest_ms: u64,
}

impl Default for Bursts {
    fn default() -> Self {
        Self {
            began: RunTime::ZERO,
            sent: (RunTime::NEVER, RunTime::ZERO),
            together: 0,
            events: 0,
            in_bursts: 0,
            bursts: 0,
            waited: Duration::ZERO,
            longest: Duration::ZERO,
        }
    }
}

impl Bursts {
    /// Notes a live event: when it arrived, and when it was sent to the server.
    pub fn arrived(&mut self, at: RunTime, sent: RunTime) {
        if at > self.began.plus(TOGETHER) {
            self.close();
            self.began = at;
        }
        self.sent = (self.sent.0.min(sent), self.sent.1.max(sent));
        self.together += 1;
    }

    fn close(&mut self) {
        let (first, last) = self.sent;
        self.events = self.events.saturating_add(self.together);
        if self.together > 1 && last.after(first) >= SPAN_MIN {
            let waited = self.began.after(first);
            self.bursts += 1;
            self.in_bursts = self.in_bursts.saturating_add(self.together);
            self.waited += waited;
            self.longest = self.longest.max(waited);
        }
        self.together = 0;
        self.sent = (RunTime::NEVER, RunTime::ZERO);
    }

    /// The share of one stream in the totals, now that it is over.
    #[must_use]
    pub fn totals(mut self) -> BurstTotals {
        self.close();
        if self.events < 2 * BURSTS_MIN {
            return BurstTotals::default();
        }
        let is_bursty = self.bursts >= BURSTS_MIN && u64::from(self.in_bursts) * 2 >= u64::from(self.events);
        let millis = crate::runtime::clock::millis;
        match is_bursty {
            false => BurstTotals { streams: 1, ..BurstTotals::default() },
            true => BurstTotals {
                streams: 1,
                bursty: 1,
                bursts: self.bursts.into(),
                events: self.in_bursts.into(),
                waited_ms: millis(self.waited),
                longest_ms: millis(self.longest),
            },
        }
    }
}

impl BurstTotals {
    /// Adds the totals of other streams.
    pub fn merge(&mut self, other: &Self) {
        self.streams += other.streams;
        self.bursty += other.bursty;
        self.bursts += other.bursts;
        self.events += other.events;
        self.waited_ms += other.waited_ms;
        self.longest_ms = self.longest_ms.max(other.longest_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> RunTime {
        RunTime::from(Duration::from_millis(ms))
    }

    /// A stream of 20 seconds whose events are sent every so many milliseconds, and arrive as `held` says.
    fn stream(every: u64, held: impl Fn(u64) -> u64) -> BurstTotals {
        let mut bursts = Bursts::default();
        (0..20_000 / every)
            .map(|number| number * every)
            .for_each(|sent| bursts.arrived(ms(held(sent)), ms(sent)));
        bursts.totals()
    }

    #[test]
    fn events_that_wait_for_a_timer_are_bursts() {
        let held = stream(50, |sent| sent.next_multiple_of(1_500) + 3);
        assert_eq!((held.streams, held.bursty), (1, 1), "{held:?}");
        assert!((1_400..1_600).contains(&(held.waited_ms / held.bursts)), "{held:?}");
        // A compressor that waits until its buffer is full: as long as forty events take.
        let filled = stream(20, |sent| (sent / 20).next_multiple_of(40) * 20 + 1);
        assert_eq!(filled.bursty, 1, "{filled:?}");
        assert!((700..900).contains(&(filled.waited_ms / filled.bursts)), "{filled:?}");
    }

    #[test]
    fn a_server_that_is_only_late_or_batches_or_pauses_is_not_bursty() {
        let streams = |totals: BurstTotals| (totals.streams, totals.bursty);
        assert_eq!(streams(stream(50, |sent| sent + 900)), (1, 0), "late");
        assert_eq!(streams(stream(10, |sent| sent.next_multiple_of(200))), (1, 0), "batches");
        let pauses = |sent: u64| if sent % 5_000 < 600 { sent - sent % 5_000 + 600 } else { sent + 1 };
        assert_eq!(streams(stream(20, pauses)), (1, 0), "a pause of 600 ms every 5 s");
        assert_eq!(streams(stream(4_000, |sent| sent)), (0, 0), "too few events to tell");
    }
}
