//! Everything that a run is judged by: as it is at the end of the run, or as it was read from its directory. Both are
//! judged by the same function. Knows no report. Read [`StoredRun::judge`] first.

use std::sync::Arc;
use std::time::Duration;

use super::facts::{self, StoredFacts};
use crate::bench::exit::Exit;
use crate::bench::metrics::recorder::Recorder;
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::diagnosis::{Finding, Judgement, Observations, diagnose};
use crate::bench::verdict::ledger::{
    self, Account, Anomaly, AuditLedger, Evidence, ProbeLedger, PublishLedger, Replays, SubscriberLedger,
};
use crate::bench::verdict::{Verdict, VerdictInput};

/// A run that is over, with all its evidence.
#[derive(Debug)]
pub struct StoredRun {
    pub plan: Arc<Plan>,
    pub ledgers: Ledgers,
    pub recorder: Recorder,
    /// What clients saw beside the events.
    pub observations: Observations,
    pub facts: StoredFacts,
    /// The sum of the accounts, where several runs were merged: there are no ledgers then. `None`: one run.
    pub added: Option<Account>,
}

/// The ledgers of a run.
#[derive(Debug, Default)]
pub struct Ledgers {
    /// One of each publisher.
    pub publishes: Vec<PublishLedger>,
    /// `None`: no sentinel was sent.
    pub sentinels: Option<PublishLedger>,
    /// One of each client, in the order of their ids.
    pub subscribers: Vec<SubscriberLedger>,
    /// `None`: the log was not read again at the end.
    pub audit: Option<AuditLedger>,
    /// `None`: the judge resumed no streams itself.
    pub probes: Option<ProbeLedger>,
}

/// The result of judging a run.
#[derive(Debug)]
pub struct JudgedRun {
    /// With the first examples of each anomaly.
    pub account: Account,
    /// The anomalies of the account, with all examples that were kept.
    pub anomalies: Vec<Anomaly>,
    /// Pass or fail, and why.
    pub verdict: Verdict,
    /// The causes, as far as the evidence shows them.
    pub diagnosis: Vec<Finding>,
}

impl StoredRun {
    /// The account and the verdict. A pure function of the evidence.
    #[must_use]
    pub fn judge(&self) -> JudgedRun {
        let judge = || ledger::judge_in_full(&self.evidence());
        let mut account = self.added.clone().unwrap_or_else(judge);
        let anomalies = account.anomalies.clone();
        account.truncate_examples();
        // Sums may hide the failure of one part, and an interruption of one part does not excuse another.
        let of_parts = self.facts.merged.iter().filter_map(|part| Exit::of_code(part.exit_code)).max();
        let mut verdict =
            Verdict::new(&self.verdict_input(&account)).capped_at(of_parts.unwrap_or(Exit::Pass));
        verdict.explain_lag(self.facts.lateness.as_deref());
        verdict.note_turned_away(&self.facts.turned_away);
        if self.facts.is_void {
            verdict.exit = Exit::Invalid;
        }
        let replays = Replays::of(&self.evidence());
        let input = self.verdict_input(&account);
        let observations = &self.observations;
        let diagnosis = diagnose(&Judgement { input, verdict: &verdict, replays: &replays, observations });
        JudgedRun { account, anomalies, verdict, diagnosis }
    }

    /// The run and its account, as checks, thresholds and reports read them.
    #[must_use]
    pub fn verdict_input<'a>(&'a self, account: &'a Account) -> VerdictInput<'a> {
        VerdictInput {
            plan: &self.plan,
            account,
            recorder: &self.recorder,
            faults: &self.facts.faults,
            rules: self.facts.rules,
            problems: &self.facts.problems,
            sightings: &self.facts.sightings,
            ran: self.ran(),
            quiescent: self.facts.quiescent,
        }
    }

    /// How long the load ran; of merged runs, the time in which at least one of them did.
    #[must_use]
    pub fn ran(&self) -> Duration {
        if self.facts.merged.is_empty() {
            self.facts.ran_ms.map_or(self.plan.duration, Duration::from_millis)
        } else {
            facts::ran(&self.facts.merged, self.plan.duration)
        }
    }

    fn evidence(&self) -> Evidence<'_> {
        Evidence {
            plan: &self.plan,
            publishes: &self.ledgers.publishes,
            sentinels: self.ledgers.sentinels.as_ref(),
            subscribers: &self.ledgers.subscribers,
            audit: self.ledgers.audit.as_ref(),
            probes: self.ledgers.probes.as_ref(),
            faults: &self.facts.faults,
            rules: self.facts.rules,
            was_interrupted: self.facts.problems.iter().any(|problem| problem.exit == Exit::Interrupted),
        }
    }
}
