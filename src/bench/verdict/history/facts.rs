//! facts

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bench::exit::RunProblem;
use crate::bench::ids::RunId;
use crate::bench::scenario::plan::Plan;
use crate::bench::scenario::{Origin, Problems};
use crate::bench::verdict::ledger::FaultRecord;

/// What is known of a run beside books and measurements. A field that is added later has a default: what was stored before
/// can still be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredFacts {
    /// What was run.
    pub origin: Origin,
    /// Its identity.
    pub run: RunId,
    /// [`fingerprint`] of the plan that was carried out.
    pub plan: u32,
    /// When it began, RFC 3339.
    pub started_at: Option<String>,
    /// What was broken when.
    pub faults: Vec<FaultRecord>,
    /// What went wrong with the run itself.
    pub troubles: Vec<RunProblem>,
    /// Whether its end could be awaited.
    pub quiescent: bool,
    /// What the processes used.
    pub processes: Vec<ProcessReport>,
    /// Commands of Redis by name, where the run started one.
    pub commands: Option<BTreeMap<String, u64>>,
    /// Mailboxes that were looked into.
    pub mailboxes: Option<MailboxReport>,
    /// The runs that were merged into this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<Part>,
    /// What the bench could have measured at best.
    #[serde(default)]
    pub harness: Option<HarnessBaseline>,
    /// When the clock was started, in milliseconds since 1970.
    #[serde(default)]
    pub clock_started_unix_ms: u64,
    /// How long the load went on, in milliseconds: less than was planned where somebody ended it.
    #[serde(default)]
    pub ran_ms: Option<u64>,
    /// The last reason for which a publish was not acknowledged, by publisher.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish_failures: Vec<(String, String)>,
    /// Why the bench was late, if it was.
    #[serde(default)]
    pub lateness: Option<String>,
}

/// Why a stored run cannot be planned again.
#[derive(Debug, thiserror::Error)]
pub enum PlanMismatch {
    /// Its scenario is not valid any more.
    #[error("its scenario cannot be read by this sse-bench: {0}")]
    Scenario(#[from] Problems),
    /// Its scenario means something else today.
    #[error("this sse-bench makes another plan from its scenario than the one that was carried out")]
    Another,
}

impl StoredFacts {
    /// The plan that was carried out.
    ///
    /// # Errors
    /// [`PlanMismatch`].
    pub fn plan(&self) -> Result<Arc<Plan>, PlanMismatch> {
        let plan = Plan::new(&self.origin.scenario()?, self.run);
        if fingerprint(&plan) == self.plan { Ok(Arc::new(plan)) } else { Err(PlanMismatch::Another) }
    }
}

/// A number that is another one for a plan that would be judged differently.
#[must_use]
pub fn fingerprint(plan: &Plan) -> u32 {
    struct Sum(crc32fast::Hasher);
    impl fmt::Write for Sum {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.update(text.as_bytes());
            Ok(())
        }
    }
    let mut sum = Sum(crc32fast::Hasher::new());
    // The text of each part tells all of it, and a sum takes every text.
    let written = write!(
        sum,
        "{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}",
        plan.seed,
        plan.duration,
        plan.groups,
        plan.subscribers,
        plan.addresses,
        plan.publishers,
        plan.faults,
        (&plan.phases, &plan.verify, plan.id_mask),
        plan.thresholds,
    );
    written.expect("a sum takes every text");
    sum.0.finalize()
}

/// A run that went into a merged one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its identity.
    pub run: String,
    /// Its seed.
    pub seed: u64,
    /// What it came to.
    pub exit_code: u8,
    /// When its clock was started, in milliseconds since 1970; 0 where that is not known.
    #[serde(default)]
    pub clock_started_unix_ms: u64,
    /// How long its load went on, in milliseconds; absent where that is not known.
    #[serde(default)]
    pub ran_ms: Option<u64>,
}

/// The time in which at least one of these runs went on. So rates of runs one after the other are their mean, and rates of
/// runs at the same time (on several machines) are their sum. One of which nobody knows when it was counts as one after the
/// others; one of which nobody knows how long it went on, as long as was planned.
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

/// Latencies of an echo on the loopback through the bench's own client and decoder, with nothing behind it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HarnessBaseline {
    /// Echoes.
    pub echoes: u64,
    /// Median, in milliseconds.
    pub p50_ms: f64,
    /// 99 % are not above it.
    pub p99_ms: f64,
    /// Largest.
    pub max_ms: f64,
}

/// Mailboxes of users at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailboxReport {
    /// Those that were read.
    pub read: u64,
    /// Messages that still wait.
    pub pending: u64,
}

/// What a process used in a run. Those of one node that was restarted are added up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessReport {
    /// `n1`, …; `bench` for the bench itself.
    pub id: String,
    /// Resident memory before the first client, in bytes.
    pub rss_idle_bytes: u64,
    /// Most resident memory, in bytes.
    pub rss_peak_bytes: u64,
    /// Most connections of this swarm at once.
    pub connections_peak: u32,
    /// Growth of resident memory from idle to its peak, by connection.
    pub rss_per_connection_bytes: Option<u64>,
    /// CPU time of the run, set-up included.
    pub cpu_seconds: f64,
    /// Most open files.
    pub open_files_peak: u64,
    /// Times that the process was started.
    pub starts: u32,
}

impl ProcessReport {
    /// `n1`, `n2`, …: neither the bench nor what stands around the nodes.
    pub(crate) fn is_node(&self) -> bool {
        self.id.strip_prefix('n').is_some_and(|number| number.parse::<u16>().is_ok())
    }
}
