//! What is known of a run beside ledgers and measurements: the content of `case.json`. Read [`StoredFacts`] first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{self, RULES};
use crate::bench::exit::RunProblem;
use crate::bench::ids::RunId;
use crate::bench::scenario::plan::Plan;
use crate::bench::scenario::{Problems, ScenarioSource};
use crate::bench::verdict::Sightings;
use crate::bench::verdict::ledger::FaultRecord;

/// What is known of a run beside ledgers and measurements. A field that is added later has a default, so that older
/// evidence can still be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredFacts {
    /// The scenario, and what the command line changed in it.
    pub origin: ScenarioSource,
    pub run: RunId,
    /// [`fingerprint`](super::fingerprint) of the executed plan.
    pub plan: u32,
    /// The [`RULES`](super::RULES) by which it was planned.
    #[serde(default)]
    pub rules: u16,
    /// When the run began, RFC 3339; `None`: not known.
    pub started_at: Option<String>,
    /// Each fault of the plan, as applied.
    pub faults: Vec<FaultRecord>,
    /// What went wrong with the run itself, rather than with the cluster.
    #[serde(rename = "troubles")]
    pub problems: Vec<RunProblem>,
    /// Whether the bench itself broke what lay between clients and nodes, so that nothing else that was found counts.
    #[serde(default)]
    pub is_void: bool,
    /// Whether every client was back and every sentinel acknowledged in time.
    pub quiescent: bool,
    /// Resources used by each process; empty in merged runs.
    pub processes: Vec<ProcessReport>,
    /// Number of Redis commands by name; `None`: the run started no Redis.
    pub commands: Option<BTreeMap<String, u64>>,
    /// `None`: no mailbox was read at the end.
    pub mailboxes: Option<MailboxReport>,
    /// The runs that were merged into this one; empty: it is one run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<Part>,
    /// The best latency that the bench can measure; `None`: not measured.
    #[serde(default)]
    pub harness: Option<HarnessBaseline>,
    /// When the clock of the run was started, in milliseconds since 1970; 0: not known.
    #[serde(default)]
    pub clock_started_unix_ms: u64,
    /// How long the load ran, in milliseconds: less than planned where the run was interrupted. `None`: as planned.
    #[serde(default)]
    pub ran_ms: Option<u64>,
    /// Publishers with the last reason why one of their publishes was not acknowledged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish_failures: Vec<(String, String)>,
    /// What clients noticed beside events.
    #[serde(default, skip_serializing_if = "Sightings::is_empty")]
    pub sightings: Sightings,
    /// Why the load generator was late; `None`: it was not, or there is no explanation.
    #[serde(default)]
    pub lateness: Option<String>,
    /// Fault proxies and load balancers whose queue of connects was full, each with how many it turned away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turned_away: Vec<(String, u64)>,
}

/// Why a stored run cannot be planned again.
#[derive(Debug, thiserror::Error)]
pub enum PlanMismatch {
    /// This version refuses its scenario.
    #[error("This version cannot read the scenario of the run: {0}")]
    Scenario(#[from] Problems),
    /// A later version planned it.
    #[error("it was planned by rules {found}; this sse-bench knows those up to {RULES}")]
    Later { found: u16 },
    /// This version makes another plan from its scenario.
    #[error("This version plans the scenario of the run differently; judge the run with that version")]
    Another,
}

impl StoredFacts {
    /// The same facts without the secrets of the scenario, as they are stored.
    ///
    /// # Errors
    /// The scenario cannot be read without them: a fault of this program.
    pub(super) fn without_secrets(&self) -> Result<Self, Problems> {
        let origin = self.origin.without_secrets();
        if origin == self.origin {
            return Ok(self.clone());
        }
        // Headers are a part of the fingerprint.
        let plan = Plan::new(&rules::as_meant(self.rules, origin.scenario()?), self.run);
        Ok(Self { origin, plan: rules::fingerprint_by(self.rules, &plan), ..self.clone() })
    }

    /// The executed plan, made again from the scenario.
    ///
    /// # Errors
    /// [`PlanMismatch`].
    pub fn plan(&self) -> Result<Arc<Plan>, PlanMismatch> {
        if self.rules > RULES {
            return Err(PlanMismatch::Later { found: self.rules });
        }
        let plan = Plan::new(&rules::as_meant(self.rules, self.origin.scenario()?), self.run);
        let is_same = rules::fingerprint_by(self.rules, &plan) == self.plan;
        if is_same { Ok(Arc::new(plan)) } else { Err(PlanMismatch::Another) }
    }
}

/// A run that went into a merged one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Id of the run: 16 hexadecimal digits.
    pub run: String,
    pub seed: u64,
    /// Exit code of the run.
    pub exit_code: u8,
    /// When the clock of the run was started, in milliseconds since 1970; 0: not known.
    #[serde(default)]
    pub clock_started_unix_ms: u64,
    /// How long the load ran, in milliseconds; `None`: not known.
    #[serde(default)]
    pub ran_ms: Option<u64>,
}

/// The time in which at least one of these runs was running. So the rate of consecutive runs is their mean, and the rate of
/// simultaneous runs (on several machines) is their sum. A run without a start time counts as consecutive; a run without a
/// length counts with the planned one.
pub(super) fn ran(parts: &[Part], planned: Duration) -> Duration {
    let length = |part: &Part| part.ran_ms.map_or(planned, Duration::from_millis);
    let (known, unknown): (Vec<&Part>, Vec<&Part>) =
        parts.iter().partition(|part| part.clock_started_unix_ms > 0);
    let span = |part: &&Part| {
        let began = Duration::from_millis(part.clock_started_unix_ms);
        (began, began + length(part))
    };
    let mut spans: Vec<(Duration, Duration)> = known.iter().map(span).collect();
    spans.sort_unstable();
    let mut counted = Duration::ZERO;
    let mut all: Duration = unknown.into_iter().map(length).sum();
    for (began, ended) in spans {
        all += ended.saturating_sub(began.max(counted));
        counted = counted.max(ended);
    }
    all
}

/// Latencies of an echo over the loopback through the bench's own client and decoder, without a server behind it: the
/// smallest latencies that this bench can measure.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HarnessBaseline {
    /// Number of measured echoes.
    pub echoes: u64,
    /// Median, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile, in milliseconds.
    pub p99_ms: f64,
    /// Largest latency, in milliseconds.
    pub max_ms: f64,
    /// Whether the echoes passed a fault proxy, as the clients of the run did.
    #[serde(default)]
    pub through_proxy: bool,
}

/// The mailboxes of users at the end of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailboxReport {
    /// Number of mailboxes that were read.
    pub read: u64,
    /// Messages that were still waiting in them.
    pub pending: u64,
}

/// Resources that a process used in a run. The processes of a node that was restarted are added up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessReport {
    /// `n1`, …; `bench` for the bench itself; `worker-1`, `redis-1`, ….
    pub id: String,
    /// Resident memory before the first client, in bytes.
    pub rss_idle_bytes: u64,
    /// Largest resident memory, in bytes.
    pub rss_peak_bytes: u64,
    /// Largest number of simultaneous connections of the virtual clients.
    pub connections_peak: u32,
    /// Growth of resident memory from idle to the start of the load, when all clients of the set-up were connected, per
    /// connection, in bytes; absent without connections at that time.
    pub rss_per_connection_bytes: Option<u64>,
    /// CPU time, set-up included.
    pub cpu_seconds: f64,
    /// Largest number of open files.
    pub open_files_peak: u64,
    /// How often the process was started.
    pub starts: u32,
}

impl ProcessReport {
    /// Whether it is a node (`n1`, `n2`, …), not the bench, Redis or a load balancer.
    pub(crate) fn is_node(&self) -> bool {
        self.id.strip_prefix('n').is_some_and(|number| number.parse::<u16>().is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLIER: &str = include_str!("../../../../tests/runs/format-4/case.json");

    #[test]
    fn a_run_is_planned_by_the_rules_of_its_version() {
        let mut facts: StoredFacts = serde_json::from_str(EARLIER).unwrap();
        assert_eq!(facts.rules, 0);
        let plan = facts.plan().unwrap();
        assert!(plan.publishers.iter().all(|publisher| publisher.in_order), "as it was then");
        facts.rules = RULES;
        assert!(matches!(facts.plan(), Err(PlanMismatch::Another)), "by other rules it is another plan");
        facts.rules = RULES + 1;
        assert!(matches!(facts.plan(), Err(PlanMismatch::Later { .. })));
    }

    #[test]
    fn facts_without_secrets_are_facts_of_the_same_run() {
        let facts: StoredFacts = serde_json::from_str(EARLIER).unwrap();
        assert!(facts.origin.text.contains("sesame"));
        let hidden = facts.without_secrets().unwrap();
        assert!(!format!("{hidden:?}").contains("sesame"), "{hidden:?}");
        assert_ne!(hidden.plan, facts.plan, "headers are a part of it");
        assert_eq!(hidden.plan().unwrap().subscribers, facts.plan().unwrap().subscribers);
    }
}
