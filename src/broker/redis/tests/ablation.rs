//! Ablation: a log in Redis without one or all of its protections, to show what each of them saves. Exists in test
//! builds only. Read [`Ablation`] first.

use std::time::Duration;

use crate::broker::{NewEvent, Origins};

tokio::task_local! {
    static ABLATION: Ablation;
}

/// Protections that are left out of the logs that are opened in [`Ablation::scope`].
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::broker::redis) struct Ablation {
    /// Histories are not closed when another server becomes master.
    pub(super) no_terms: bool,
    /// Events that the log lost are not appended again.
    pub(super) no_repair: bool,
    /// Acknowledged events that nobody has read are not published again.
    pub(super) no_read_back: bool,
    /// How long an answer may take; `None`: as in production.
    pub(super) response: Option<Duration>,
}

impl Ablation {
    /// No protection of acknowledged events at all.
    pub(super) const PLAIN_LOG: Self =
        Self { no_terms: true, no_repair: true, no_read_back: true, response: None };

    /// Runs a future; every log that it opens lacks these protections.
    pub(super) async fn scope<T>(self, opening: impl Future<Output = T>) -> T {
        ABLATION.scope(self, opening).await
    }

    /// Of the scope that this is called in; outside of any, all protections are there.
    pub(in crate::broker::redis) fn current() -> Self {
        ABLATION.try_with(|ablation| *ablation).unwrap_or_default()
    }

    pub(in crate::broker::redis) fn response(self, response: Duration) -> Duration {
        self.response.unwrap_or(response)
    }

    /// The term that a connection believes to be in.
    pub(in crate::broker::redis) fn term(self, term: String) -> String {
        if self.no_terms { String::new() } else { term }
    }

    pub(in crate::broker::redis) fn announces_repair(self) -> bool {
        !self.no_repair
    }

    /// What is left of the lost events that are to be appended again.
    pub(in crate::broker::redis) fn repaired(
        self,
        lost: Vec<(NewEvent, Origins)>,
    ) -> Vec<(NewEvent, Origins)> {
        if self.no_repair { Vec::new() } else { lost }
    }

    /// What is left of the lost events that are to be published again.
    pub(in crate::broker::redis) fn read_back(
        self,
        lost: Vec<(NewEvent, Origins)>,
    ) -> Vec<(NewEvent, Origins)> {
        if self.no_read_back { Vec::new() } else { lost }
    }
}
