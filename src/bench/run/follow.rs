//! Follows a run while it goes on: reads its counters once a second, and writes them to `live.jsonl` and to stderr.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::live::{self, Begin, Cluster, Counts, End, Line, LiveLog, LiveSampler, NodeUrl, Second};
use super::outcome::{Outcome, RunError};
use crate::bench::cluster::Member;
use crate::bench::faults::FaultBoard;
use crate::bench::load::clients::context::SwarmContext;
use crate::bench::load::progress::Snapshot;
use crate::bench::metrics::recorder::Recorder;
use crate::bench::metrics::series::Counted;
use crate::runtime::error_chain;

/// Period of reading the counters.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Number of seconds between two progress lines when stderr is not a terminal.
const LINE_EVERY: u32 = 10;
/// Columns assumed for a terminal that does not report its width.
const USUAL_COLUMNS: u16 = 80;

/// Writes the progress of a run.
#[derive(Debug, Clone)]
pub(super) struct Follower {
    /// The first line of `live.jsonl`.
    pub(super) begin: Begin,
    /// Receives every line.
    pub(super) live_log: LiveLog,
    /// Whether progress is also written to stderr.
    pub(super) shows_progress: bool,
    /// Which faults are at work.
    pub(super) faults: Arc<FaultBoard>,
}

impl Follower {
    /// Writes the URLs of the nodes to `live.jsonl`.
    pub(super) fn report_nodes<'a>(&self, members: impl Iterator<Item = &'a Member>) {
        let place = |member: &Member| NodeUrl { name: member.id.clone(), url: member.base.clone() };
        self.live_log.write(&Line::Cluster(Cluster { nodes: members.map(place).collect() }));
    }

    /// Reads the counters until `stop` is cancelled. Returns the counts of each second, for the report.
    pub(super) async fn follow(self, context: Arc<SwarmContext>, stop: CancellationToken) -> Recorder {
        let mut display = ProgressDisplay::new(self.shows_progress);
        let (mut sampler, mut recorder) = (LiveSampler::default(), Recorder::default());
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = (Instant::now(), context.progress.snapshot());
        let mut has_started = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                // From here on, ticks fall on whole seconds of the run.
                () = context.started.cancelled(), if !has_started => {
                    has_started = true;
                    ticks.reset();
                    before.1 = context.progress.snapshot();
                    continue;
                }
                _ = ticks.tick() => {}
            }
            let (now, counts) = (Instant::now(), Counts::of(&context));
            // Once the swarm ends, its connection counts say nothing about the nodes.
            if has_started && context.board.alive() > 0 {
                recorder.count_second(context.clock.now(), &counted(before.1, &counts));
            }
            let second = look(&context, &mut sampler, now - before.0, counts.clone(), &self.faults);
            before = (now, counts.snapshot);
            display.show(&self.begin, &second);
            self.live_log.write(&Line::Second(second));
        }
        display.clear();
        recorder
    }
}

impl Counts {
    fn of(context: &SwarmContext) -> Self {
        Self {
            snapshot: context.progress.snapshot(),
            latencies: context.progress.latencies(),
            connections: context.balancer.open(),
        }
    }
}

/// The counts since an earlier snapshot.
fn counted(before: Snapshot, now: &Counts) -> Counted {
    let snapshot = &now.snapshot;
    Counted {
        delivered: snapshot.delivered.saturating_sub(before.delivered),
        published: snapshot.publish_ok.saturating_sub(before.publish_ok),
        not_acknowledged: snapshot.publish_bad.saturating_sub(before.publish_bad),
        dropped: snapshot.publish_dropped.saturating_sub(before.publish_dropped),
        reconnects: snapshot.reconnects.saturating_sub(before.reconnects),
        connect_errors: snapshot.connect_errors.saturating_sub(before.connect_errors),
        gaps: snapshot.gaps.saturating_sub(before.gaps),
        connections: now.connections.clone(),
    }
}

fn look(
    context: &SwarmContext,
    sampler: &mut LiveSampler,
    since: Duration,
    counts: Counts,
    faults: &FaultBoard,
) -> Second {
    let elapsed = context.clock.now().since_start();
    let phases = &context.plan.phases;
    let phase = if elapsed.is_zero() { "set-up" } else { phases.name(phases.at(elapsed.into())) };
    sampler.beat(since, (phase, elapsed), counts, &faults.look())
}

/// The last line of `live.jsonl`, also for a run that left no report.
pub(super) fn end(result: &Result<Outcome, RunError>) -> Line {
    Line::End(match result {
        Ok(outcome) => End {
            verdict: outcome.exit.word().to_owned(),
            exit_code: outcome.exit.code(),
            summary: Some(outcome.told.report.summary.clone()),
            diagnosis: outcome.told.report.diagnosis.clone(),
            error: None,
        },
        Err(error) => End {
            verdict: error.exit().word().to_owned(),
            exit_code: error.exit().code(),
            summary: None,
            diagnosis: error.told().1.to_vec(),
            error: Some(error_chain(error)),
        },
    })
}

/// How progress is shown on stderr.
enum ProgressDisplay {
    /// A terminal: one line that is overwritten.
    Terminal,
    /// A file or a pipe: one line after every [`LINE_EVERY`] seconds.
    Lines { looks: u32 },
    /// Not at all.
    Dark,
}

impl ProgressDisplay {
    fn new(is_wanted: bool) -> Self {
        match (is_wanted, std::io::stderr().is_terminal()) {
            (false, _) => Self::Dark,
            (true, true) => Self::Terminal,
            (true, false) => Self::Lines { looks: 0 },
        }
    }

    fn show(&mut self, begin: &Begin, second: &Second) {
        match self {
            Self::Terminal => {
                let columns = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(0, |size| size.ws_col);
                let columns = if columns == 0 { USUAL_COLUMNS } else { columns };
                write(&format!("\r\x1b[2K{}", live::line(begin, second, usize::from(columns))));
            }
            Self::Lines { looks } => {
                *looks += 1;
                if looks.is_multiple_of(LINE_EVERY) {
                    write(&format!("{}\n", live::line(begin, second, usize::MAX)));
                }
            }
            Self::Dark => {}
        }
    }

    fn clear(&self) {
        if matches!(self, Self::Terminal) {
            write("\r\x1b[2K");
        }
    }
}

/// An error of the terminal does not end a run.
fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _unseen = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
