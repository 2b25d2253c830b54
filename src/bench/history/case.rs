//! Everything that a judgement is made from, with its owner: what a run hands over at its end, and what is read again from
//! its directory. Both are judged here, so they cannot be judged differently. Read [`Case`] first.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::merge::{self, Part};
use crate::bench::ledger::{
    self, Account, Anomaly, AuditLedger, Evidence, FaultRecord, PublishLedger, SubscriberLedger,
};
use crate::bench::payload::RunId;
use crate::bench::plan::Plan;
use crate::bench::recorder::Recorder;
use crate::bench::report::{Chronicle, HarnessFloor, MailboxReport, ProcessReport, Report};
use crate::bench::scenario::{Origin, Problems};
use crate::bench::verdict::{Exit, Judged, Trouble, Verdict};

/// A run that is over.
#[derive(Debug)]
pub struct Case {
    /// What was planned.
    pub plan: Arc<Plan>,
    /// Who wrote down what.
    pub books: Books,
    /// What was measured.
    pub recorder: Recorder,
    /// What else is known.
    pub facts: Facts,
    /// Where several runs were merged, their accounts in one: then there are no books.
    pub added: Option<Account>,
}

/// The books of a run.
#[derive(Debug, Default)]
pub struct Books {
    /// Of the publishers.
    pub publishes: Vec<PublishLedger>,
    /// Of the sentinels, if they were sent.
    pub sentinels: Option<PublishLedger>,
    /// Of the clients, in the order of their numbers.
    pub subscribers: Vec<SubscriberLedger>,
    /// Of the audit read, if there was one.
    pub audit: Option<AuditLedger>,
}

/// What is known of a run beside books and measurements. A field that is added later has a default: what was stored before
/// can still be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
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
    pub troubles: Vec<Trouble>,
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
    pub harness: Option<HarnessFloor>,
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

/// What became of a case.
#[derive(Debug)]
pub struct Judgement {
    /// What became of the deliveries.
    pub account: Account,
    /// Every kind of anomaly with all examples that were kept; the account has the first of them.
    pub anomalies: Vec<Anomaly>,
    /// What is told of it, the verdict among it.
    pub report: Report,
}

/// Why a stored run cannot be planned again.
#[derive(Debug, thiserror::Error)]
pub enum Unplanned {
    /// Its scenario is not valid any more.
    #[error("its scenario cannot be read by this sse-bench: {0}")]
    Scenario(#[from] Problems),
    /// Its scenario means something else today.
    #[error("this sse-bench makes another plan from its scenario than the one that was carried out")]
    Another,
}

impl Facts {
    /// The plan that was carried out.
    ///
    /// # Errors
    /// [`Unplanned`].
    pub fn plan(&self) -> Result<Arc<Plan>, Unplanned> {
        let plan = Plan::new(&self.origin.scenario()?, self.run);
        if fingerprint(&plan) == self.plan { Ok(Arc::new(plan)) } else { Err(Unplanned::Another) }
    }
}

impl Case {
    /// Judges it.
    #[must_use]
    pub fn judge(&self) -> Judgement {
        let judge = || ledger::judge_in_full(&self.evidence());
        let mut account = self.added.clone().unwrap_or_else(judge);
        let anomalies = account.anomalies.clone();
        account.shorten();
        let judged = Judged {
            plan: &self.plan,
            account: &account,
            recorder: &self.recorder,
            faults: &self.facts.faults,
            troubles: &self.facts.troubles,
            ran: self.ran(),
            quiescent: self.facts.quiescent,
        };
        // Sums may hide what one of the parts was, and what was interrupted in one is no excuse for another.
        let of_parts = self.facts.merged.iter().filter_map(|part| Exit::of_code(part.exit_code)).max();
        let mut verdict = Verdict::new(&judged).no_better_than(of_parts.unwrap_or(Exit::Pass));
        verdict.explain_lateness(self.facts.lateness.as_deref());
        let mut report = Report::new(&judged, verdict, self.facts.started_at.clone());
        // Merged runs have no processes of their own, and so no costs.
        if !self.facts.processes.is_empty() {
            report.add_usage(self.facts.processes.clone(), self.facts.commands.clone());
        }
        report.cluster.mailboxes = self.facts.mailboxes.clone();
        report.harness = self.facts.harness.clone();
        report.delivery.publish_failures = self.facts.publish_failures.clone();
        Judgement { account, anomalies, report }
    }

    /// How long it went on; of merged runs, the time in which at least one of them did.
    #[must_use]
    pub fn ran(&self) -> Duration {
        if self.facts.merged.is_empty() {
            self.facts.ran_ms.map_or(self.plan.duration, Duration::from_millis)
        } else {
            merge::ran(&self.facts.merged, self.plan.duration)
        }
    }

    /// What happened in which second.
    #[must_use]
    pub fn chronicle(&self) -> Chronicle {
        Chronicle::new(&self.plan, self.recorder.series(), self.facts.clock_started_unix_ms)
    }

    fn evidence(&self) -> Evidence<'_> {
        Evidence {
            plan: &self.plan,
            publishes: &self.books.publishes,
            sentinels: self.books.sentinels.as_ref(),
            subscribers: &self.books.subscribers,
            audit: self.books.audit.as_ref(),
            faults: &self.facts.faults,
            was_interrupted: self.facts.troubles.iter().any(|trouble| trouble.exit == Exit::Interrupted),
        }
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
