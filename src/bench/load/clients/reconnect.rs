//! What a scenario says of coming back, in the words of the client.

use crate::bench::scenario;
use crate::client::{Policy, Reconnect, ReconnectOptions};

/// Whom a client behaves like when its stream ends.
pub(super) fn reconnect_of(plan: scenario::Reconnect) -> Reconnect {
    let policy = match plan.policy {
        scenario::ReconnectPolicy::Browser => Policy::Browser,
        scenario::ReconnectPolicy::Fetch => Policy::Fetch,
        scenario::ReconnectPolicy::Tolerant => Policy::Tolerant,
        scenario::ReconnectPolicy::None => Policy::None,
    };
    let options = ReconnectOptions {
        max_delay: plan.max_delay,
        jitter: plan.jitter,
        send_last_event_id: plan.last_event_id,
        ..ReconnectOptions::default()
    };
    Reconnect::new(policy, options)
}
