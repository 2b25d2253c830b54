//! Publishers whose events waited in a queue of the bench's own. Read [`check`] first.

use std::time::Duration;

use super::outcome::{Check, Judged, Status};
use crate::bench::metrics::format::readable;
use crate::bench::metrics::metric::Trend;
use crate::bench::metrics::tags::{Source, Tags};
use crate::bench::scenario::Order;
use crate::bench::scenario::plan::{Phases, PublisherPlan};

/// Less than this is lost among what a publish takes anyway.
const WORTH_TELLING: Duration = Duration::from_millis(50);

/// Publishers that stood in their own way while nothing was broken: what is owed in order is sent in order, one after the
/// other's answer, and `delivery_latency` counts that wait.
pub(crate) fn check(judged: &Judged<'_>) -> Option<Check> {
    if judged.plan.verify.order == Order::None {
        return None;
    }
    let queue = |publisher: &PublisherPlan| {
        let is_meant =
            |tags: &Tags| tags.source == Source::Publisher(publisher.id) && !Phases::is_disturbed(tags.phase);
        let of = |trend| judged.recorder.samples(trend, is_meant);
        let (delays, lags) = (of(Trend::PublishDispatchDelay), of(Trend::GeneratorLag));
        let bench = lags.of_delivered(95.0).unwrap_or_default();
        let delay = delays.of_delivered(95.0).filter(|delay| *delay >= bench + WORTH_TELLING)?;
        let longest = delays.of_delivered(100.0)?;
        Some(format!(
            "{} (95 % of them up to {}, at most {})",
            publisher.name,
            readable(delay),
            readable(longest)
        ))
    };
    let queues: Vec<String> = judged.plan.publishers.iter().filter_map(queue).collect();
    let detail = format!(
        "for earlier ones to the same address to be acknowledged (verify.order), of publisher {}; delivery_latency counts \
         that wait, delivery_latency_sent does not; see publish_dispatch_delay",
        queues.join(", ")
    );
    let check = Check { name: "publishes waited".to_owned(), status: Status::Note, detail };
    (!queues.is_empty()).then_some(check)
}
