//! Payloads that are configured smaller than the stamp that each of them carries. They are sent as large as the stamp;
//! this is for warnings. Read [`Plan::undersized`] first.

use std::fmt;

use super::model::Plan;
use crate::bench::ids::AddressId;
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::PayloadSize;
use crate::bench::stamp::Stamp;

/// A publisher whose payloads are larger than configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undersized {
    /// Name of the publisher.
    pub publisher: String,
    /// Configured size in bytes.
    pub configured: u32,
    /// Size of a stamp in bytes, near the end of a run of some ten thousand events.
    pub stamp: usize,
}

impl fmt::Display for Undersized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { publisher, configured, stamp } = self;
        write!(
            f,
            "publisher {publisher} sends up to {stamp} bytes of data instead of {configured}: each event carries its run, \
             publisher, address, number and due time"
        )
    }
}

impl Plan {
    /// All publishers whose payload is smaller than a stamp. The median counts where sizes are drawn.
    #[must_use]
    pub fn undersized(&self) -> Vec<Undersized> {
        let end = RunTime::from(self.duration);
        let last = u32::try_from(self.addresses.len()).unwrap_or(u32::MAX).saturating_sub(1);
        let undersized = self.publishers.iter().filter_map(|publisher| {
            let configured = match publisher.payload {
                PayloadSize::Fixed(bytes) => bytes,
                PayloadSize::LogNormal { median, .. } => median,
            };
            let last_stamp = Stamp {
                run: self.run,
                publisher: publisher.id,
                address: AddressId(last),
                seq: u64::from(u16::MAX),
                due: end,
                sent: end,
            };
            let stamp = last_stamp.encode(0).get().len();
            let is_larger = usize::try_from(configured).is_ok_and(|configured| configured < stamp);
            is_larger.then(|| Undersized { publisher: publisher.name.clone(), configured, stamp })
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
    fn a_payload_smaller_than_its_stamp_is_reported_with_its_size() {
        let warnings = |payload: &str| {
            let text = format!(
                "schema = 1\nname = \"t\"\nduration = \"60s\"\n[clients.c]\nclients = 1\n[publishers.p]\nrate = 1\n\
                 payload = {payload}\n"
            );
            let plan = Plan::new(&scenario::parse("t.toml", &text, &[]).unwrap(), RunId::from_random(1));
            plan.undersized().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let [warning]: [String; 1] = warnings("50").try_into().unwrap();
        assert!(
            warning.starts_with("publisher p sends up to") && warning.contains("instead of 50"),
            "{warning}"
        );
        assert!(warnings("256").is_empty());
        assert_eq!(warnings("{ dist = \"lognormal\", median = 20, p99 = 400 }").len(), 1);
    }
}
