//! Follows a run while it goes on: once a second a look at its counters, told to `live.jsonl` and to a person.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{Outcome, RunError};
use crate::bench::live::{self, Begin, Counts, End, Journal, Line, Pulse, Second};
use crate::bench::swarm::Ground;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two lines where stderr is no terminal.
const LINE_EVERY: u32 = 10;
/// Columns of a terminal that does not say how many it has.
const USUAL_COLUMNS: u16 = 80;

/// Who is told.
#[derive(Debug, Clone)]
pub(super) struct Follower {
    /// What is run.
    pub(super) begin: Begin,
    /// For those outside.
    pub(super) journal: Journal,
    /// Whether a person on stderr is told too.
    pub(super) shows_progress: bool,
}

impl Follower {
    /// Looks until `stop` is cancelled.
    pub(super) async fn follow(self, ground: Arc<Ground>, stop: CancellationToken) {
        let mut stage = Stage::new(self.shows_progress);
        let mut pulse = Pulse::default();
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Instant::now();
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let now = Instant::now();
            let second = look(&ground, &mut pulse, now - before);
            before = now;
            stage.show(&self.begin, &second);
            self.journal.write(&Line::Second(second));
        }
        stage.clear();
    }
}

fn look(ground: &Ground, pulse: &mut Pulse, since: Duration) -> Second {
    let elapsed = ground.clock.now().since_start();
    let phases = &ground.plan.phases;
    let phase = if elapsed.is_zero() { "set-up" } else { phases.name(phases.at(elapsed.into())) };
    let counts = Counts {
        snapshot: ground.progress.snapshot(),
        latencies: ground.progress.latencies(),
        connections: ground.balancer.open(),
    };
    pulse.beat(since, (phase, elapsed), counts, &ground.faults.look())
}

/// The last line, also of a run that left no report.
pub(super) fn end(result: &Result<Outcome, RunError>) -> Line {
    Line::End(match result {
        Ok(outcome) => End {
            verdict: outcome.exit.word().to_owned(),
            exit_code: outcome.exit.code(),
            summary: Some(outcome.report.summary.clone()),
            error: None,
        },
        Err(error) => End {
            verdict: error.exit().word().to_owned(),
            exit_code: error.exit().code(),
            summary: None,
            error: Some(error_text(error)),
        },
    })
}

/// With all its causes.
fn error_text(error: &RunError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// Where a person looks.
enum Stage {
    /// One line that is written over and over.
    Terminal,
    /// A file or a pipe: a line now and then, after so many looks.
    Lines { looks: u32 },
    /// Nobody wants to know.
    Dark,
}

impl Stage {
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
                let columns = crossterm::terminal::size().map_or(USUAL_COLUMNS, |(columns, _)| columns);
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

/// A terminal that cannot be written to is no reason to end a run.
fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _unseen = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
