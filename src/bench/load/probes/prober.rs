//! The task that listens and probes, from the start of the clock until the run is quiet. Read [`Prober::start`] first.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::heard::Heard;
use super::voice::{self, Voice};
use crate::bench::load::clients::context::SwarmContext;
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::{Cluster, Guarantee};
use crate::bench::stamp::Stamp;
use crate::bench::verdict::ledger::{Probe, ProbeLedger};
use crate::client::Stream;

/// Time between two probes. One is under way at a time.
const EVERY: Duration = Duration::from_millis(500);
/// How many events a probe goes back, in turn: the edges, and a few pages.
const BACK: [usize; 6] = [0, 1, 7, 30, 2, 100];
/// Events that should follow those that the judge had heard when a probe began: they show the seam to the live stream.
const LIVE: usize = 2;
/// Longest wait for what the judge has heard already. A server that is slower is not judged by a probe.
const OWED_WITHIN: Duration = Duration::from_secs(10);
/// Longest wait for the events behind it.
const LIVE_WITHIN: Duration = Duration::from_secs(2);
/// Events that a probe reads at most.
const EVENTS_MAX: usize = 10_000;

/// Listens and probes while a run goes on.
#[derive(Debug)]
pub struct Prober {
    task: JoinSet<ProbeLedger>,
    stop: CancellationToken,
}

/// Where a probe begins.
struct Cursor {
    place: usize,
    id: String,
    stamp: Stamp,
    /// The last place that had been heard, and the event there.
    target: (usize, Stamp),
}

/// What a probe got.
struct Got {
    cursor: Cursor,
    began: RunTime,
    ended: RunTime,
    events: Vec<Stamp>,
    /// Whether it was there for long enough to get all that it was owed.
    is_whole: bool,
    /// Whether the server said that something is missing, or sent something that is damaged.
    is_unclear: bool,
}

impl Prober {
    /// Begins to listen. `None` where nothing can be resumed, or nothing is promised to who resumes.
    #[must_use]
    pub fn start(context: &Arc<SwarmContext>) -> Option<Self> {
        let plan = &context.plan;
        // Every place on a node is for a client.
        let is_full =
            matches!(&plan.cluster, Cluster::Spawn(spawn) if spawn.flags.contains_key("max-connections"));
        if !plan.probes || is_full || plan.verify.delivery == Guarantee::AtMostOnce {
            return None;
        }
        let voice = Voice::new(context)?;
        let (mut task, stop) = (JoinSet::new(), CancellationToken::new());
        task.spawn(listen(voice, stop.clone()));
        Some(Self { task, stop })
    }

    /// Makes the last probes, and ends. At once, and without a result, where the run was interrupted.
    pub async fn end(mut self, was_interrupted: bool) -> Option<ProbeLedger> {
        if was_interrupted {
            self.task.shutdown().await;
        }
        self.stop.cancel();
        match self.task.join_next().await? {
            Ok(ledger) => Some(ledger),
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
}

async fn listen(voice: Voice, stop: CancellationToken) -> ProbeLedger {
    let mut ledger = ProbeLedger::default();
    while !stop.is_cancelled() {
        if let Some(mut stream) = voice.open("").await {
            probe_beside(&voice, &mut stream, &stop, &mut ledger).await;
        }
        let _stopped = stop.run_until_cancelled(tokio::time::sleep(EVERY)).await;
    }
    ledger
}

/// Listens to one stream until it ends, and probes what it brings.
async fn probe_beside(
    voice: &Voice,
    stream: &mut Stream,
    stop: &CancellationToken,
    ledger: &mut ProbeLedger,
) {
    let mut heard = Heard::default();
    let mut back = BACK.into_iter().cycle();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut probe: Option<Pin<Box<dyn Future<Output = Got> + Send + '_>>> = None;
    loop {
        let is_idle = probe.is_none();
        let running = async {
            match probe.as_mut() {
                Some(probe) => probe.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = stream.ready() => {
                if ready.and_then(|()| take(voice, stream, &mut heard)).is_err() {
                    return;
                }
            }
            got = running => {
                probe = None;
                ledger.add(judged(&heard, got, voice));
            }
            _ = ticks.tick(), if is_idle => {
                let cursor = cursor(&heard, back.next().unwrap_or(0));
                probe = cursor.map(|cursor| -> Pin<Box<dyn Future<Output = Got> + Send + '_>> {
                    Box::pin(resume(voice, cursor, LIVE))
                });
            }
            () = stop.cancelled() => break,
        }
    }
    for back in BACK {
        let Some(cursor) = cursor(&heard, back) else { continue };
        let probe = judged(&heard, resume(voice, cursor, 0).await, voice);
        let is_good = probe.as_ref().is_some_and(|probe| probe.differences.is_empty());
        ledger.add(probe);
        // The others would tell the same, and each may take its time.
        if !is_good {
            break;
        }
    }
}

fn take(voice: &Voice, stream: &mut Stream, heard: &mut Heard) -> Result<(), crate::client::Ending> {
    voice.take(stream, |item| {
        if let voice::Heard::Event(id, stamp) = item {
            heard.add(id, stamp);
        }
    })
}

fn cursor(heard: &Heard, back: usize) -> Option<Cursor> {
    let (place, id, stamp) = heard.cursor(back)?;
    Some(Cursor { place, id, stamp, target: heard.last()? })
}

/// Opens a stream behind the cursor, and reads until what was heard has come, and `live` events more.
async fn resume(voice: &Voice, cursor: Cursor, live: usize) -> Got {
    let clock = &voice.context().clock;
    let (began, (target_place, target)) = (clock.now(), cursor.target);
    // Events since the target; `None`: it has not come. A stream behind the last event shows whether that comes again.
    let is_last = target_place == cursor.place;
    let mut since_target = is_last.then_some(0);
    let live = if is_last { live.max(1) } else { live };
    let mut got = Got { cursor, began, ended: began, events: Vec::new(), is_whole: false, is_unclear: false };
    let opened = Instant::now();
    if let Some(mut stream) = voice.open(&got.cursor.id).await {
        loop {
            if got.events.len() >= EVENTS_MAX || since_target.is_some_and(|count| count >= live) {
                got.is_whole = true;
                break;
            }
            let patience = if since_target.is_some() { LIVE_WITHIN } else { OWED_WITHIN };
            let ready = tokio::time::timeout_at(opened + patience, stream.ready()).await;
            let Ok(ready) = ready else {
                got.is_whole = true;
                break;
            };
            let (events, is_unclear) = (&mut got.events, &mut got.is_unclear);
            let taken = ready.and_then(|()| {
                voice.take(&mut stream, |item| match item {
                    voice::Heard::Event(_, stamp) => {
                        events.push(stamp);
                        since_target = since_target.map(|count| count + 1).or((stamp == target).then_some(0));
                    }
                    voice::Heard::Unclear => *is_unclear = true,
                })
            });
            if taken.is_err() {
                break;
            }
        }
    }
    got.ended = clock.now();
    got
}

/// How what came differs from what was heard.
fn judged(heard: &Heard, got: Got, voice: &Voice) -> Option<Probe> {
    let Got { cursor, began, ended, events, is_whole, is_unclear } = got;
    if is_unclear || (events.is_empty() && !is_whole) {
        return None;
    }
    let dialect = voice.context().plan.dialect.as_ref();
    let in_order = dialect.is_none_or(|dialect| dialect.ids_rise.is_some());
    let target = if is_whole { cursor.target.0 } else { cursor.place };
    let differences = heard.differences((cursor.place, target), &events, in_order);
    Some(Probe { began, ended, cursor: cursor.stamp, differences })
}
