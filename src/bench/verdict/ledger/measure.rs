//! What only all clients together can tell of a run that is over: how far apart an event reached them, and how much those
//! that came back were given again. Read [`measure`] first.

use std::collections::HashMap;
use std::time::Duration;

use super::SubscriberLedger;
use super::subscriber::IdSample;
use crate::bench::metrics::metric::Trend;
use crate::bench::metrics::recorder::Recorder;
use crate::bench::metrics::tags::{Source, Tags};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::Plan;

/// Adds to the measurements what these books tell. Of the events whose ids the clients remember: all of them in a run of
/// few deliveries, else a sample.
pub fn measure(plan: &Plan, books: &[SubscriberLedger], recorder: &mut Recorder) {
    for book in books {
        let Some(client) = plan.subscriber(book.id()) else { continue };
        for session in book.sessions().iter().filter(|session| session.resumed) {
            let tags = Tags {
                phase: plan.phases.at(session.confirmed),
                source: Source::Group(client.group),
                path: None,
            };
            recorder.record(Trend::ReplaySize, tags, Duration::from_micros(session.replayed));
        }
    }
    let mut spans: HashMap<IdSample, Span> = HashMap::new();
    for book in books {
        let anomalies = book.anomalies();
        for (witness, at) in anomalies.witnesses.iter().zip(&anomalies.witnessed) {
            if *at != RunTime::NEVER {
                spans.entry(*witness).and_modify(|span| span.add(*at)).or_insert(Span::new(*at));
            }
        }
    }
    for (witness, span) in spans.into_iter().filter(|(_, span)| span.clients > 1) {
        let source = Source::Publisher(witness.publisher);
        let tags = Tags { phase: plan.phases.at(span.first), source, path: None };
        recorder.record(Trend::FanoutSpread, tags, span.last.after(span.first));
    }
}

/// From the first to the last client that got an event.
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
