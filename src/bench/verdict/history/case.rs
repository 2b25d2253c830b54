//! Everything that a judgement is made from, with its owner: what a run hands over at its end, and what is read again from
//! its directory. Both are judged here, so they cannot be judged differently. Read [`StoredRun`] first.

use std::sync::Arc;
use std::time::Duration;

use super::facts::{self, StoredFacts};
use crate::bench::exit::Exit;
use crate::bench::metrics::recorder::Recorder;
use crate::bench::report::{Report, TimeSeries};
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::ledger::{
    self, Account, Anomaly, AuditLedger, Evidence, PublishLedger, SubscriberLedger,
};
use crate::bench::verdict::outcome::Judged;
use crate::bench::verdict::verdict::Verdict;

/// A run that is over.
#[derive(Debug)]
pub struct StoredRun {
    /// What was planned.
    pub plan: Arc<Plan>,
    /// Who wrote down what.
    pub books: Ledgers,
    /// What was measured.
    pub recorder: Recorder,
    /// What else is known.
    pub facts: StoredFacts,
    /// Where several runs were merged, their accounts in one: then there are no books.
    pub added: Option<Account>,
}

/// The books of a run.
#[derive(Debug, Default)]
pub struct Ledgers {
    /// Of the publishers.
    pub publishes: Vec<PublishLedger>,
    /// Of the sentinels, if they were sent.
    pub sentinels: Option<PublishLedger>,
    /// Of the clients, in the order of their numbers.
    pub subscribers: Vec<SubscriberLedger>,
    /// Of the audit read, if there was one.
    pub audit: Option<AuditLedger>,
}

/// What became of a case.
#[derive(Debug)]
pub struct JudgedRun {
    /// What became of the deliveries.
    pub account: Account,
    /// Every kind of anomaly with all examples that were kept; the account has the first of them.
    pub anomalies: Vec<Anomaly>,
    /// What is told of it, the verdict among it.
    pub report: Report,
}

impl StoredRun {
    /// Judges it.
    #[must_use]
    pub fn judge(&self) -> JudgedRun {
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
        JudgedRun { account, anomalies, report }
    }

    /// How long it went on; of merged runs, the time in which at least one of them did.
    #[must_use]
    pub fn ran(&self) -> Duration {
        if self.facts.merged.is_empty() {
            self.facts.ran_ms.map_or(self.plan.duration, Duration::from_millis)
        } else {
            facts::ran(&self.facts.merged, self.plan.duration)
        }
    }

    /// What happened in which second.
    #[must_use]
    pub fn chronicle(&self) -> TimeSeries {
        TimeSeries::new(&self.plan, self.recorder.series(), self.facts.clock_started_unix_ms)
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
