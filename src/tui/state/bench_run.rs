//! A bench run, read from its `live.jsonl`: the plan, the figures of every second, the result. docs/evidence-format.md
//! describes the file; `sources::follow_run` reads it. Pure. Read [`Run`] first.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tui::config::theme::Role;
use crate::tui::text::sanitize::SafeText;

/// Seconds that are kept: two hours of a run.
const KEPT: usize = 7_200;

/// A run as far as it has been read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    /// The directory of the run, or `standard input`.
    pub(crate) place: String,
    pub(crate) begin: Option<Begin>,
    /// Nodes of the run that the console does not follow yet.
    pub(crate) unfollowed: Vec<RunNode>,
    /// One entry per second, the oldest first.
    pub(crate) seconds: VecDeque<Second>,
    pub(crate) end: Option<End>,
    /// Whether the file has been read to its end and still grows.
    pub(crate) is_growing: bool,
    /// The last error of reading, `None` after a line that was read.
    pub(crate) error: Option<SafeText>,
}

/// A message of the reader of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum RunUpdate {
    Line(Box<Line>),
    /// Whether the file still grows.
    Growing(bool),
    #[serde(rename = "Trouble")]
    Error(SafeText),
}

/// A line of the file. Unknown kinds and fields are ignored, missing fields are empty, so other versions can be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Line {
    Begin(Begin),
    Cluster(RunCluster),
    Second(Second),
    End(End),
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Begin {
    pub(crate) schema: u32,
    pub(crate) scenario: SafeText,
    pub(crate) description: SafeText,
    pub(crate) seed: u64,
    pub(crate) started_at: SafeText,
    pub(crate) duration_ms: u64,
    pub(crate) clients: u64,
    pub(crate) nodes: Vec<SafeText>,
    pub(crate) faults: Vec<PlannedFault>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RunCluster {
    pub(crate) nodes: Vec<RunNode>,
}

/// Name and URL of a node of the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RunNode {
    pub(crate) name: SafeText,
    pub(crate) url: SafeText,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PlannedFault {
    pub(crate) name: SafeText,
    pub(crate) title: SafeText,
    pub(crate) planned_ms: f64,
    pub(crate) planned_heal_ms: Option<f64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Second {
    pub(crate) elapsed_ms: u64,
    pub(crate) phase: SafeText,
    pub(crate) connected: u64,
    pub(crate) connections: Vec<u64>,
    pub(crate) delivered: u64,
    pub(crate) delivered_per_s: f64,
    pub(crate) published: u64,
    pub(crate) published_per_s: f64,
    pub(crate) not_acknowledged: u64,
    pub(crate) dropped: u64,
    pub(crate) reconnects: u64,
    pub(crate) connect_errors: u64,
    pub(crate) gaps: u64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) max_ms: Option<f64>,
    pub(crate) faults: Vec<SafeText>,
    pub(crate) healed: Vec<SafeText>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct End {
    pub(crate) verdict: SafeText,
    pub(crate) exit_code: u8,
    pub(crate) summary: Option<Summary>,
    pub(crate) diagnosis: Vec<Finding>,
    pub(crate) error: Option<SafeText>,
}

/// A cause that the bench found, with the figures that show it and what to change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Finding {
    pub(crate) what: SafeText,
    pub(crate) evidence: SafeText,
    pub(crate) remedy: SafeText,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Summary {
    pub(crate) failed: Vec<SafeText>,
    pub(crate) events_expected: u64,
    pub(crate) events_ok: u64,
    pub(crate) events_lost: u64,
    pub(crate) events_duplicated: u64,
    pub(crate) events_reordered: u64,
    pub(crate) events_unexpected: u64,
    pub(crate) delivery_latency_p50_ms: Option<f64>,
    pub(crate) delivery_latency_p99_ms: Option<f64>,
}

/// The present state of a planned fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultState {
    Planned,
    Active,
    Healed,
}

impl Run {
    /// A run of which no line has been read.
    pub(crate) fn new(place: &str) -> Self {
        Self { place: place.to_owned(), ..Self::default() }
    }

    pub(crate) fn take(&mut self, update: RunUpdate) {
        match update {
            RunUpdate::Error(why) => self.error = Some(why),
            RunUpdate::Growing(is_growing) => self.is_growing = is_growing,
            RunUpdate::Line(line) => {
                self.error = None;
                match *line {
                    // Another run in the same directory.
                    Line::Begin(begin) => {
                        let is_growing = self.is_growing;
                        *self = Self { begin: Some(begin), is_growing, ..Self::new(&self.place) };
                    }
                    Line::Cluster(cluster) => self.unfollowed = cluster.nodes,
                    Line::Second(second) => {
                        if self.seconds.len() == KEPT {
                            self.seconds.pop_front();
                        }
                        self.seconds.push_back(second);
                    }
                    Line::End(end) => self.end = Some(end),
                    Line::Other => {}
                }
            }
        }
    }

    pub(crate) fn latest(&self) -> Option<&Second> {
        self.seconds.back()
    }

    /// The elapsed share of the planned duration, 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        if self.end.is_some() {
            return 1.0;
        }
        let planned = self.begin.as_ref().map_or(0, |begin| begin.duration_ms);
        let elapsed = self.latest().map_or(0, |second| second.elapsed_ms);
        if planned == 0 { 0.0 } else { (elapsed as f64 / planned as f64).clamp(0.0, 1.0) }
    }

    /// The rest of the planned duration.
    pub(crate) fn left(&self) -> Duration {
        let planned = self.begin.as_ref().map_or(0, |begin| begin.duration_ms);
        Duration::from_millis(planned.saturating_sub(self.latest().map_or(0, |second| second.elapsed_ms)))
    }

    /// The run in the title: its verdict, or scenario and progress.
    pub(crate) fn word(&self) -> String {
        match (&self.end, &self.begin) {
            (Some(end), _) => end.verdict.as_str().to_owned(),
            (None, Some(begin)) => format!("{} {:.0}%", begin.scenario, self.share() * 100.0),
            (None, None) => "not begun".to_owned(),
        }
    }

    pub(crate) fn role(&self) -> Role {
        match &self.end {
            Some(end) if end.exit_code == 0 => Role::Good,
            Some(_) => Role::Bad,
            None => Role::Key,
        }
    }

    pub(crate) fn fault(&self, name: &SafeText) -> FaultState {
        let Some(second) = self.latest() else { return FaultState::Planned };
        if second.faults.contains(name) {
            FaultState::Active
        } else if second.healed.contains(name) {
            FaultState::Healed
        } else {
            FaultState::Planned
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::state::tests::fixture::run;

    #[test]
    fn a_line_of_another_version_is_read_as_far_as_it_is_known() {
        let text = r#"{"kind":"second","elapsed_ms":5,"phase":"ste\u001bady","new":[1],"faults":["kill-1"]}"#;
        let Line::Second(second) = serde_json::from_str(text).unwrap() else { panic!("it is a second") };
        assert_eq!((second.elapsed_ms, second.phase.as_str(), second.connected), (5, "ste\\u{1b}ady", 0));
        assert_eq!(serde_json::from_str::<Line>(r#"{"kind":"moon","phase":1}"#).unwrap(), Line::Other);
    }

    #[test]
    fn a_run_is_told_from_beginning_to_end() {
        let mut run = run();
        assert_eq!(run.word(), "fanout-failover 70%");
        assert_eq!(run.left(), Duration::from_secs(18));
        let states: Vec<_> =
            run.begin.as_ref().unwrap().faults.iter().map(|fault| run.fault(&fault.name)).collect();
        assert_eq!(states, [FaultState::Healed, FaultState::Active, FaultState::Planned]);
        let end = End { verdict: SafeText::new("PASS"), ..End::default() };
        run.take(RunUpdate::Line(Box::new(Line::End(end))));
        assert_eq!((run.word().as_str(), run.role()), ("PASS", Role::Good));
        run.take(RunUpdate::Line(Box::new(Line::Begin(Begin::default()))));
        assert!(run.seconds.is_empty() && run.end.is_none(), "another run in the same directory");
    }
}
