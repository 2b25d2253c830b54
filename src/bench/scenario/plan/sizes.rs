//! Payloads that were asked for smaller than the stamp that each of them carries: they are sent as large as the stamp, and
//! whoever shows the plan says so. Read [`Plan::undersized`] first.

use std::fmt;

use super::model::Plan;
use crate::bench::ids::AddressId;
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::PayloadSize;
use crate::bench::stamp::Stamp;

/// A publisher whose payloads are larger than it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undersized {
    /// Its name.
    pub publisher: String,
    /// Bytes that were asked for.
    pub asked: u32,
    /// Bytes that a stamp takes near the end of a run of some ten thousand events.
    pub real: usize,
}

impl fmt::Display for Undersized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { publisher, asked, real } = self;
        write!(
            f,
            "publisher {publisher} sends up to {real} bytes of data and not {asked}: each event says whose it is, which \
             one, and when it was due"
        )
    }
}

impl Plan {
    /// All publishers whose payload is smaller than a stamp, where it is of one size. Of sizes that are drawn, the median
    /// counts.
    #[must_use]
    pub fn undersized(&self) -> Vec<Undersized> {
        let end = RunTime::from(self.duration);
        let last = u32::try_from(self.addresses.len()).unwrap_or(u32::MAX).saturating_sub(1);
        let undersized = self.publishers.iter().filter_map(|publisher| {
            let asked = match publisher.payload {
                PayloadSize::Fixed(bytes) => bytes,
                PayloadSize::LogNormal { median, .. } => median,
            };
            let stamp = Stamp {
                run: self.run,
                publisher: publisher.id,
                address: AddressId(last),
                seq: u64::from(u16::MAX),
                due: end,
                sent: end,
            };
            let real = stamp.encode(0).get().len();
            let is_larger = usize::try_from(asked).is_ok_and(|asked| asked < real);
            is_larger.then(|| Undersized { publisher: publisher.name.clone(), asked, real })
        });
        undersized.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::ids::RunId;
    use crate::bench::scenario;

    #[test]
    fn a_payload_smaller_than_its_stamp_is_told_with_its_size() {
        let told = |payload: &str| {
            let text = format!(
                "schema = 1\nname = \"t\"\nduration = \"60s\"\n[clients.c]\nclients = 1\n[publishers.p]\nrate = 1\n\
                 payload = {payload}\n"
            );
            let plan = Plan::new(&scenario::parse("t.toml", &text, &[]).unwrap(), RunId::from_random(1));
            plan.undersized().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let [warning]: [String; 1] = told("50").try_into().unwrap();
        assert!(warning.starts_with("publisher p sends up to") && warning.contains("not 50"), "{warning}");
        assert!(told("256").is_empty());
        assert_eq!(told("{ dist = \"lognormal\", median = 20, p99 = 400 }").len(), 1);
    }
}
