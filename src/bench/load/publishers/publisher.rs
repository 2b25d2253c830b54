//! One publisher: sends what its plan has due, and records the outcomes. Read [`Publisher::run`] first.

use std::collections::{HashMap, VecDeque};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::context::PublishContext;
use super::request::{PreparedRequest, Retry, Sent, deliver};
use crate::bench::ids::{AddressId, PublisherId};
use crate::bench::load::lag::TIMER_STEP;
use crate::bench::metrics::metric::{Counter, Trend};
use crate::bench::metrics::recorder::Recorder;
use crate::bench::metrics::tags::{Source, Tags};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::{Due, PublisherPlan};
use crate::bench::stamp::Stamp;
use crate::bench::verdict::history::{HistoryWriter, Op, OpSender};
use crate::bench::verdict::ledger::{PublishLedger, PublishOutcome};
use crate::runtime::sleep_until_opt;

/// The results of a publisher.
#[derive(Debug)]
pub struct Published {
    pub ledger: PublishLedger,
    pub recorder: Recorder,
    /// Attempts beyond the first of an event.
    pub retries: u64,
    /// Why the last publish without acknowledgement was not acknowledged.
    pub last_failure: Option<String>,
}

/// A publisher of a plan.
#[derive(Debug)]
pub struct Publisher {
    plan: PublisherPlan,
    context: PublishContext,
    published: Published,
    /// Records every publish in the full history; `None`: there is none.
    ops: Option<OpSender>,
    queues: HashMap<AddressId, AddressQueue>,
    /// Publishes that are due and not answered, in flight or queued.
    outstanding: u32,
    in_flight: JoinSet<Sent>,
}

/// Publishes to one address wait for each other where the plan says so.
#[derive(Debug, Default)]
struct AddressQueue {
    is_busy: bool,
    waiting: VecDeque<Due>,
}

impl Publisher {
    /// A publisher that has sent nothing.
    #[must_use]
    pub fn new(plan: PublisherPlan, context: PublishContext) -> Self {
        let published = Published {
            ledger: PublishLedger::new(plan.id),
            recorder: Recorder::default(),
            retries: 0,
            last_failure: None,
        };
        let (queues, in_flight) = (HashMap::new(), JoinSet::new());
        Self { plan, context, published, ops: None, queues, outstanding: 0, in_flight }
    }

    /// Records every publish in the full history.
    #[must_use]
    pub fn recorded_by(self, writer: Option<&HistoryWriter>) -> Self {
        Self { ops: writer.map(HistoryWriter::op_sender), ..self }
    }

    fn write(&mut self, line: impl FnOnce() -> Op) {
        if let Some(ops) = &mut self.ops {
            ops.write(line());
        }
    }

    /// Publishes until the schedule ends or `stop` is cancelled, then waits for outstanding answers until `give_up` is
    /// cancelled. Publishes that are in flight by then are indeterminate.
    pub async fn run(mut self, stop: CancellationToken, give_up: CancellationToken) -> Published {
        let mut schedule = self.plan.schedule();
        let mut next = schedule.next();
        loop {
            if stop.is_cancelled() && next.is_some() {
                // Everything that was due before the stop is sent, however late this task is.
                self.send_all_due(&mut next, &mut schedule);
                next = None;
            }
            if next.is_none() && self.outstanding == 0 {
                break;
            }
            let due_at = next.map(|due| self.context.clock.instant_of(due.at));
            let wake = tokio::select! {
                Some(sent) = self.in_flight.join_next() => Wake::Answered(sent),
                () = sleep_until_opt(due_at) => Wake::Due,
                () = stop.cancelled(), if next.is_some() => Wake::Stopped,
                () = give_up.cancelled() => break,
            };
            match wake {
                Wake::Answered(Ok(sent)) => self.answered(sent),
                Wake::Answered(Err(panicked)) => std::panic::resume_unwind(panicked.into_panic()),
                Wake::Due => self.send_all_due(&mut next, &mut schedule),
                Wake::Stopped => {}
            }
            if let Some(ops) = &mut self.ops {
                ops.flush_if_full().await;
            }
        }
        self.in_flight.shutdown().await;
        // Publishes that are still queued were never sent.
        let queues = std::mem::take(&mut self.queues);
        queues.into_values().flat_map(|queue| queue.waiting).for_each(|due| self.drop_due(due));
        if let Some(ops) = &mut self.ops {
            ops.flush().await;
        }
        self.published
    }

    /// Sends everything that is due by now, so that a late wake-up delays only what was due before it.
    fn send_all_due(&mut self, next: &mut Option<Due>, schedule: &mut impl Iterator<Item = Due>) {
        let now = self.context.clock.now().since_start();
        while let Some(due) = next.take_if(|due| due.at <= now) {
            // The delay of the bench itself. Waiting from here on is caused by the cluster.
            let late = now.saturating_sub(due.at).saturating_sub(TIMER_STEP);
            let tags = tags(&self.context, self.plan.id, due.at.into());
            self.published.recorder.record_at(Trend::GeneratorLag, tags, due.at.into(), late);
            self.send_or_queue(due);
            *next = schedule.next();
        }
    }

    fn send_or_queue(&mut self, due: Due) {
        if self.outstanding >= self.plan.max_in_flight {
            self.drop_due(due);
            return;
        }
        self.outstanding += 1;
        if self.plan.in_order {
            let queue = self.queues.entry(due.address).or_default();
            if queue.is_busy {
                queue.waiting.push_back(due);
                return;
            }
            queue.is_busy = true;
        }
        self.send(due);
    }

    fn drop_due(&mut self, due: Due) {
        let (publisher, phase) = (self.plan.id, self.context.phases.at(due.at.into()));
        self.published.ledger.dropped(phase);
        self.write(|| Op::Dropped { publisher, phase });
        self.context.progress.publish_dropped();
    }

    fn send(&mut self, due: Due) {
        let now = self.context.clock.now();
        let due_at = RunTime::from(due.at);
        self.published.recorder.record(
            Trend::PublishDispatchDelay,
            tags(&self.context, self.plan.id, due_at),
            now.after(due_at),
        );
        let seq = self.published.ledger.begin(due.address, now);
        let (publisher, address) = (self.plan.id, due.address);
        self.write(|| Op::Publish { publisher, address, at: now });
        let stamp = Stamp {
            run: self.context.run,
            publisher: self.plan.id,
            address: due.address,
            seq,
            due: self.context.epoch.plus(due.at),
            sent: self.context.epoch.plus(now.since_start()),
        };
        let request = PreparedRequest::new(&self.context, stamp, due.bytes, self.plan.qos);
        let request = request.through(&self.plan.nodes).with_headers(&self.plan.headers);
        let rng_seed = self.plan.seed ^ seq;
        let retry = if self.plan.retry { Retry::usual() } else { Retry::Never };
        self.in_flight.spawn(deliver(request, self.context.clone(), retry, rng_seed));
    }

    fn answered(&mut self, sent: Sent) {
        self.outstanding -= 1;
        self.published.ledger.end(sent.address, sent.seq, sent.ended, sent.outcome);
        let (publisher, address) = (self.plan.id, sent.address);
        let (seq, at, outcome) = (sent.seq, sent.ended, sent.outcome);
        self.write(|| Op::Ended { publisher, address, seq, at, outcome });
        if sent.retries > 0 {
            self.published.retries += sent.retries;
            let tags = tags(&self.context, self.plan.id, sent.ended);
            self.published.recorder.count(Counter::PublishRetries, tags, sent.retries);
        }
        self.context.progress.published(sent.outcome);
        if sent.outcome == PublishOutcome::Acknowledged {
            let tags = tags(&self.context, self.plan.id, sent.ended);
            self.published.recorder.record_at(Trend::PublishTime, tags, sent.ended, sent.took);
        }
        if sent.failure.is_some() {
            self.published.last_failure = sent.failure;
        }
        if let Some(queue) = self.queues.get_mut(&sent.address) {
            match queue.waiting.pop_front() {
                Some(due) => self.send(due),
                None => queue.is_busy = false,
            }
        }
    }
}

enum Wake {
    Answered(Result<Sent, tokio::task::JoinError>),
    Due,
    Stopped,
}

fn tags(context: &PublishContext, publisher: PublisherId, at: RunTime) -> Tags {
    Tags { phase: context.phases.at(at), source: Source::Publisher(publisher), path: None }
}
