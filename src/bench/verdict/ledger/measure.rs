//! Measurements that need the ledgers of all clients: the time between the first and the last arrival of an event, and the
//! number of events replayed to resumed sessions. Read [`measure`] first.

use std::collections::HashMap;
use std::time::Duration;

use super::subscriber::{IdSample, IdTable, Span, SubscriberLedger};
use crate::bench::metrics::metric::Trend;
use crate::bench::metrics::recorder::Recorder;
use crate::bench::metrics::tags::{Source, Tags};
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
    let mut tables: Vec<&IdTable> = Vec::new();
    for ledger in ledgers {
        let table = ledger.anomalies().ids.table();
        // Neighbours are of different loops, which are few.
        if !tables.iter().rev().any(|known| known.is(table)) {
            tables.push(table);
        }
    }
    let mut spans: HashMap<IdSample, Span> = HashMap::new();
    for (sample, span) in tables.into_iter().flat_map(IdTable::spans) {
        spans.entry(sample).and_modify(|known| known.add(span)).or_insert(span);
    }
    for (sample, span) in spans.into_iter().filter(|(_, span)| span.is_shared) {
        let source = Source::Publisher(sample.publisher);
        let tags = Tags { phase: plan.phases.at(span.first), source, path: None };
        recorder.record(Trend::FanoutSpread, tags, span.last.after(span.first));
    }
}
