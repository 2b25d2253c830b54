//! Measurements that need the ledgers of all clients: the time between the first and the last arrival of an event, and the
//! number of events replayed to resumed sessions. Read [`measure`] first.

use std::collections::HashMap;
use std::time::Duration;

use super::subscriber::{IdSample, SubscriberLedger};
use crate::bench::metrics::metric::Trend;
use crate::bench::metrics::recorder::Recorder;
use crate::bench::metrics::tags::{Source, Tags};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::Plan;

/// Adds these measurements. The spread is that of the events whose ids the clients remember: all of them in a run of few
/// deliveries, else a sample.
pub fn measure(plan: &Plan, ledgers: &[SubscriberLedger], recorder: &mut Recorder) {
    for ledger in ledgers {
        let Some(client) = plan.subscriber(ledger.id()) else { continue };
        for session in ledger.sessions().iter().filter(|session| session.resumed) {
            let tags = Tags {
                phase: plan.phases.at(session.confirmed),
                source: Source::Group(client.group),
                path: None,
            };
            recorder.record(Trend::ReplaySize, tags, Duration::from_micros(session.replayed));
        }
    }
    let mut spans: HashMap<IdSample, Span> = HashMap::new();
    for ledger in ledgers {
        let anomalies = ledger.anomalies();
        for (sample, at) in anomalies.id_samples.iter().zip(&anomalies.sampled_at) {
            if *at != RunTime::NEVER {
                spans.entry(*sample).and_modify(|span| span.add(*at)).or_insert(Span::new(*at));
            }
        }
    }
    for (sample, span) in spans.into_iter().filter(|(_, span)| span.clients > 1) {
        let source = Source::Publisher(sample.publisher);
        let tags = Tags { phase: plan.phases.at(span.first), source, path: None };
        recorder.record(Trend::FanoutSpread, tags, span.last.after(span.first));
    }
}

/// First and last arrival of an event.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: RunTime,
    last: RunTime,
    clients: u32,
}

impl Span {
    fn new(at: RunTime) -> Self {
        Self { first: at, last: at, clients: 1 }
    }

    fn add(&mut self, at: RunTime) {
        self.first = self.first.min(at);
        self.last = self.last.max(at);
        self.clients += 1;
    }
}
