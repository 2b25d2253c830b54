//! The end mark of an ad hoc publisher: an extra event after its last one. Its metadata has the number of events, and which of
//! them were not acknowledged, so that a swarm in another process knows what it is owed. Read [`EndMark`] first.

use serde::{Deserialize, Serialize};

use crate::bench::ids::RunId;
use crate::bench::metrics::clock;
use crate::bench::verdict::ledger::{PublishOutcome, Runs};

/// Ranges that fit into the metadata of one event. More ranges become one indeterminate range.
const RANGES: usize = 500;

/// The events of one publisher.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EndMark {
    /// Number of the last event; the first is 1.
    pub last: u64,
    /// Whether each event was sent only after the answer to the one before, so that their order is defined.
    pub ordered: bool,
    /// Ranges of events that must not arrive, with both ends included.
    pub refused: Vec<(u64, u64)>,
    /// Ranges of events that may arrive or not, with both ends included.
    pub indeterminate: Vec<(u64, u64)>,
}

impl EndMark {
    /// From the outcomes of all publishes, in their order.
    pub fn new(outcomes: impl IntoIterator<Item = PublishOutcome>, ordered: bool) -> Self {
        let (mut refused, mut indeterminate) = (Runs::default(), Runs::default());
        let mut last = 0;
        for outcome in outcomes {
            last += 1;
            match outcome {
                PublishOutcome::Acknowledged => {}
                PublishOutcome::Refused => {
                    refused.insert(last);
                }
                PublishOutcome::Indeterminate => {
                    indeterminate.insert(last);
                }
            }
        }
        let mut mark = Self {
            last,
            ordered,
            refused: refused.iter().collect(),
            indeterminate: indeterminate.iter().collect(),
        };
        if mark.refused.len() + mark.indeterminate.len() > RANGES {
            let first =
                mark.refused.first().into_iter().chain(mark.indeterminate.first()).map(|range| range.0).min();
            mark.indeterminate = first.map(|first| (first, last)).into_iter().collect();
            mark.refused.clear();
        }
        mark
    }

    /// Decodes the `data:` of an event, an envelope with an end mark as metadata. `None` for any other event.
    #[must_use]
    pub fn from_envelope(data: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Envelope {
            metadata: EndMark,
        }
        serde_json::from_str::<Envelope>(data).ok().map(|envelope| envelope.metadata)
    }

    /// Whether the event with this number is owed.
    #[must_use]
    pub fn owes(&self, seq: u64) -> bool {
        (1..=self.last).contains(&seq)
            && !is_within(&self.refused, seq)
            && !is_within(&self.indeterminate, seq)
    }

    /// Whether the event with this number may arrive without being owed.
    #[must_use]
    pub fn allows(&self, seq: u64) -> bool {
        is_within(&self.indeterminate, seq)
    }

    /// Number of owed events.
    #[must_use]
    pub fn owed(&self) -> u64 {
        let size = |ranges: &[(u64, u64)]| ranges.iter().map(|(first, last)| last - first + 1).sum::<u64>();
        self.last - size(&self.refused) - size(&self.indeterminate)
    }
}

fn is_within(ranges: &[(u64, u64)], seq: u64) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&seq))
}

/// A run id for payloads whose times count from this machine's boot: the clock's identity, then random bits.
#[must_use]
pub fn run_on_this_clock(random: u32) -> RunId {
    RunId::from_random(u64::from(clock::clock_identity()) << 32 | u64::from(random))
}

/// Whether the times in the payloads of a run count from the same boot as those of this process.
#[must_use]
pub(super) fn shares_this_clock(run: RunId) -> bool {
    run.to_string().starts_with(&format!("{:08x}", clock::clock_identity()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use PublishOutcome::{Acknowledged, Indeterminate, Refused};

    #[test]
    fn refused_and_indeterminate_events_are_not_owed() {
        let mark = EndMark::new([Acknowledged, Refused, Refused, Indeterminate, Acknowledged], true);
        assert_eq!((mark.last, mark.owed()), (5, 2));
        let owed: Vec<u64> = (0..=6).filter(|seq| mark.owes(*seq)).collect();
        assert_eq!(owed, [1, 5]);
        let envelope = serde_json::json!({"id": "x", "metadata": mark}).to_string();
        assert_eq!(EndMark::from_envelope(&envelope), Some(mark));
        assert_eq!(EndMark::from_envelope(r#"{"metadata":null}"#), None);
    }

    #[test]
    fn more_ranges_than_an_event_can_hold_become_indeterminate() {
        let outcomes = (0..4_000).map(|n| if n % 2 == 0 { Acknowledged } else { Refused });
        let mark = EndMark::new(outcomes, true);
        assert_eq!((mark.refused.len(), &mark.indeterminate[..]), (0, &[(2, 4_000)][..]));
        assert_eq!(mark.owed(), 1);
    }

    #[test]
    fn a_run_id_names_its_clock() {
        assert!(shares_this_clock(run_on_this_clock(7)));
        assert!(!shares_this_clock(RunId::from_random(!(u64::from(clock::clock_identity()) << 32))));
    }
}
