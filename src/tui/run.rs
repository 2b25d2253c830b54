//! A bench run as its `live.jsonl` tells it: what is planned, how every second went, how it ended. Docs/scenarios.md
//! describes the file. Pure: whoever reads it is `runner`. Read [`Run`] first.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::plain::Plain;
use super::theme::Role;

/// Seconds that are kept: two hours.
const KEPT: usize = 7_200;

/// What is known of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    /// Where it is read from.
    pub(crate) place: String,
    pub(crate) begin: Option<Begin>,
    /// Its nodes that are not looked at yet.
    pub(crate) places: Vec<Place>,
    /// Oldest first.
    pub(crate) seconds: VecDeque<Second>,
    pub(crate) end: Option<End>,
    /// Whether all that was there has been read, and somebody goes on writing.
    pub(crate) is_growing: bool,
    /// Why nothing more can be read.
    pub(crate) trouble: Option<Plain>,
}

/// What comes from the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum RunNews {
    Line(Box<Line>),
    /// Whether somebody goes on writing.
    Growing(bool),
    Trouble(Plain),
}

/// A line of the file. Lines and fields that a later version adds are not missed, and those that it leaves out are empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Line {
    Begin(Begin),
    Cluster(Cluster),
    Second(Second),
    End(End),
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Begin {
    pub(crate) schema: u32,
    pub(crate) scenario: Plain,
    pub(crate) description: Plain,
    pub(crate) seed: u64,
    pub(crate) started_at: Plain,
    pub(crate) duration_ms: u64,
    pub(crate) clients: u64,
    pub(crate) nodes: Vec<Plain>,
    pub(crate) faults: Vec<PlannedFault>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Place>,
}

/// Where a node of the run is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Place {
    pub(crate) name: Plain,
    pub(crate) url: Plain,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PlannedFault {
    pub(crate) name: Plain,
    pub(crate) title: Plain,
    pub(crate) planned_ms: f64,
    pub(crate) planned_heal_ms: Option<f64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Second {
    pub(crate) elapsed_ms: u64,
    pub(crate) phase: Plain,
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
    pub(crate) faults: Vec<Plain>,
    pub(crate) healed: Vec<Plain>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct End {
    pub(crate) verdict: Plain,
    pub(crate) exit_code: u8,
    pub(crate) summary: Option<Summary>,
    pub(crate) error: Option<Plain>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Summary {
    pub(crate) failed: Vec<Plain>,
    pub(crate) events_expected: u64,
    pub(crate) events_ok: u64,
    pub(crate) events_lost: u64,
    pub(crate) events_duplicated: u64,
    pub(crate) events_reordered: u64,
    pub(crate) events_unexpected: u64,
    pub(crate) delivery_latency_p50_ms: Option<f64>,
    pub(crate) delivery_latency_p99_ms: Option<f64>,
}

/// What became of a planned fault so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultState {
    Planned,
    Active,
    Healed,
}

impl Run {
    /// A run of which nothing is known yet.
    pub(crate) fn new(place: &str) -> Self {
        Self { place: place.to_owned(), ..Self::default() }
    }

    pub(crate) fn take(&mut self, news: RunNews) {
        match news {
            RunNews::Trouble(why) => self.trouble = Some(why),
            RunNews::Growing(is_growing) => self.is_growing = is_growing,
            RunNews::Line(line) => {
                self.trouble = None;
                match *line {
                    // The directory was used again: another run.
                    Line::Begin(begin) => {
                        let is_growing = self.is_growing;
                        *self = Self { begin: Some(begin), is_growing, ..Self::new(&self.place) };
                    }
                    Line::Cluster(cluster) => self.places = cluster.nodes,
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

    /// How much of the planned load is over, 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        if self.end.is_some() {
            return 1.0;
        }
        let planned = self.begin.as_ref().map_or(0, |begin| begin.duration_ms);
        let elapsed = self.latest().map_or(0, |second| second.elapsed_ms);
        if planned == 0 { 0.0 } else { (elapsed as f64 / planned as f64).clamp(0.0, 1.0) }
    }

    /// Planned time that is left.
    pub(crate) fn left(&self) -> Duration {
        let planned = self.begin.as_ref().map_or(0, |begin| begin.duration_ms);
        Duration::from_millis(planned.saturating_sub(self.latest().map_or(0, |second| second.elapsed_ms)))
    }

    /// The run in a few words.
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

    pub(crate) fn fault(&self, name: &Plain) -> FaultState {
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
    use crate::tui::fixture::run;

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
        let end = End { verdict: Plain::new("PASS"), ..End::default() };
        run.take(RunNews::Line(Box::new(Line::End(end))));
        assert_eq!((run.word().as_str(), run.role()), ("PASS", Role::Good));
        run.take(RunNews::Line(Box::new(Line::Begin(Begin::default()))));
        assert!(run.seconds.is_empty() && run.end.is_none(), "another run in the same directory");
    }
}
