//! A scenario file with its overrides (`--set`, other flags, environment variables), before it is read. It determines
//! the scenario exactly: a stored run can be planned again, and a worker process plans the same. Read
//! [`ScenarioSource`] first.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::expand::Variables;
use super::problem::Problems;
use super::scenario::parse_with;
use crate::bench::scenario::{Cluster, Executor, FaultSpecKind, Scenario, Stage, Tls};

/// Text and overrides of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ScenarioSource {
    /// Path of the file, for problems and relative paths.
    pub file: String,
    /// Content of the file.
    pub text: String,
    /// Values of `--set`, in order: `key.path=value`.
    #[serde(default)]
    pub set: Vec<String>,
    /// Environment variables that the text refers to.
    #[serde(default)]
    pub variables: Variables,
    /// Replaces the seed. Not checked against its range: each further round adds one to the seed of the file.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Replaces the duration; all times keep their share of it.
    #[serde(default)]
    pub duration: Option<Duration>,
    /// Factor for the number of clients, at least one per group.
    #[serde(default)]
    pub clients_scale: Option<f64>,
    /// Factor for the rate of each publisher.
    #[serde(default)]
    pub rate_scale: Option<f64>,
    /// Run without faults.
    #[serde(default)]
    pub no_faults: bool,
    /// Base URLs of running nodes; empty: as in the scenario.
    #[serde(default)]
    pub target: Vec<String>,
    /// Accepted certificates; default: as in the scenario.
    #[serde(default)]
    pub tls: Tls,
}

impl ScenarioSource {
    /// Reads the text and applies the overrides.
    ///
    /// # Errors
    /// All problems of text and overrides.
    pub fn scenario(&self) -> Result<Scenario, Problems> {
        let mut scenario = parse_with(&self.file, &self.text, &self.set, &self.variables)?;
        if let Some(seed) = self.seed {
            scenario.seed = seed;
        }
        if let Some(duration) = self.duration {
            scenario = scenario.scaled_to(duration);
        }
        if let Some(factor) = self.clients_scale {
            for group in &mut scenario.clients {
                group.executor = scale_clients(&group.executor, factor);
            }
            let planned = scenario.faults.iter_mut().map(|fault| &mut fault.kind);
            let drawn = scenario.nemesis.iter_mut().flat_map(|nemesis| &mut nemesis.faults);
            for kind in planned.chain(drawn.map(|fault| &mut fault.kind)) {
                // A fault keeps its share of the clients.
                if let FaultSpecKind::Clients { clients: Some(clients), .. } = kind {
                    *clients = scale_count(*clients, factor);
                }
            }
        }
        if let Some(factor) = self.rate_scale {
            for publisher in &mut scenario.publishers {
                publisher.pace.from *= factor;
                scale_stages(&mut publisher.pace.stages, factor);
            }
        }
        if self.no_faults {
            scenario.faults.clear();
            scenario.nemesis = None;
        }
        if !self.target.is_empty() {
            scenario.cluster = Cluster::Attach(self.target.clone());
        }
        if self.tls != Tls::default() {
            scenario.tls = self.tls.clone();
        } else if let Some(ca) = &mut scenario.tls.ca {
            // Relative to the scenario file, not to the working directory.
            let beside = Path::new(&self.file).parent().unwrap_or(Path::new(""));
            *ca = beside.join(&ca);
        }
        Ok(scenario)
    }
}

fn scale_clients(executor: &Executor, factor: f64) -> Executor {
    match executor {
        Executor::Constant { clients, ramp } => {
            Executor::Constant { clients: scale_count(*clients, factor), ramp: *ramp }
        }
        Executor::Ramping { stages } => {
            let mut stages = stages.clone();
            scale_stages(&mut stages, factor);
            Executor::Ramping { stages }
        }
        Executor::ArrivalRate { pace } => {
            let mut pace = pace.clone();
            pace.from *= factor;
            scale_stages(&mut pace.stages, factor);
            Executor::ArrivalRate { pace }
        }
    }
}

/// At least one. The cast is exact: the value is rounded and within the range of a u32.
fn scale_count(count: u32, factor: f64) -> u32 {
    let scaled = (f64::from(count) * factor).round().clamp(1.0, f64::from(u32::MAX));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped above")]
    let count = scaled as u32;
    count
}

fn scale_stages(stages: &mut [Stage], factor: f64) {
    for stage in stages {
        stage.target *= factor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scenario::read::scenario::parse;
    const TEXT: &str = "schema = 1\nname = \"o\"\nseed = 3\nduration = \"9s\"\n[clients.c]\nclients = 10\n\
                        [publishers.p]\nrate = 4\n[[faults]]\nat = \"1s\"\ntype = \"kill\"\n";

    #[test]
    fn a_scenario_follows_from_its_text_and_what_was_changed() {
        let source = ScenarioSource {
            file: "o.toml".to_owned(),
            text: TEXT.to_owned(),
            set: vec!["clients.c.clients=${COUNT}".to_owned()],
            variables: [("COUNT".to_owned(), "20".to_owned())].into(),
            seed: Some(u64::MAX),
            duration: Some(Duration::from_secs(20)),
            clients_scale: Some(0.5),
            rate_scale: Some(0.1),
            no_faults: true,
            target: vec!["http://a:1".to_owned()],
            tls: Tls { ca: Some("ca.pem".into()), insecure: false },
        };
        let stored = serde_json::to_string(&source).unwrap();
        let read: ScenarioSource = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, source);
        let scenario = read.scenario().unwrap();
        assert_eq!((scenario.seed, scenario.duration), (u64::MAX, Duration::from_secs(20)));
        assert_eq!(scenario.clients[0].executor, Executor::Constant { clients: 10, ramp: Duration::ZERO });
        assert!((scenario.publishers[0].pace.from - 0.4).abs() < 1e-12);
        assert!(scenario.faults.is_empty());
        assert_eq!(scenario.cluster, Cluster::Attach(vec!["http://a:1".to_owned()]));
        assert_eq!(scenario.tls, source.tls);
    }

    #[test]
    fn certificates_are_looked_for_beside_the_scenario_unless_a_flag_names_them() {
        let text = "schema = 1\nname = \"o\"\nduration = \"9s\"\n[clients.c]\nclients = 1\n\
                    [cluster]\nattach = [\"https://a:1\"]\ntls = { ca = \"ca.pem\" }\n";
        let source = ScenarioSource {
            file: "dir/o.toml".to_owned(),
            text: text.to_owned(),
            ..ScenarioSource::default()
        };
        assert_eq!(source.scenario().unwrap().tls.ca, Some("dir/ca.pem".into()));
        let tls = Tls { ca: Some("other.pem".into()), insecure: false };
        let source = ScenarioSource { tls: tls.clone(), ..source };
        assert_eq!(source.scenario().unwrap().tls, tls);
    }

    #[test]
    fn without_changes_it_is_what_the_file_says() {
        let source = ScenarioSource { text: TEXT.to_owned(), ..ScenarioSource::default() };
        assert_eq!(source.scenario().unwrap(), parse("", TEXT, &[]).unwrap());
    }

    #[track_caller]
    fn check_clients(clients: u32, factor: f64, expected: u32) {
        let scaled = scale_clients(&Executor::Constant { clients, ramp: Duration::ZERO }, factor);
        assert_eq!(scaled, Executor::Constant { clients: expected, ramp: Duration::ZERO });
    }

    #[test]
    fn clients_scale_to_at_least_one() {
        check_clients(1_000, 0.1, 100);
        check_clients(10, 0.01, 1);
        check_clients(3, 2.5, 8);
    }
}
