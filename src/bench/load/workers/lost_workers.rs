//! Reports of workers that are lost or were late. Written by the tasks of the worker handles, read by the run. Read
//! [`LostWorkers::lost`] first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Workers that are lost or were late. Clones share the reports.
#[derive(Debug, Clone, Default)]
pub struct LostWorkers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    reports: Mutex<Reports>,
    is_any_lost: CancellationToken,
}

#[derive(Debug, Default)]
struct Reports {
    all: Vec<String>,
    /// The report of the first lost worker. Reports of late workers are only in `all`.
    first_loss: Option<String>,
}

impl LostWorkers {
    /// Reports something that makes the run invalid, and logs it.
    pub(super) fn note(&self, report: String) {
        tracing::error!("{report}");
        self.reports().all.push(report);
    }

    /// Reports a lost worker.
    pub(super) fn lose(&self, report: String) {
        self.reports().first_loss.get_or_insert_with(|| report.clone());
        self.note(report);
        self.0.is_any_lost.cancel();
    }

    fn reports(&self) -> MutexGuard<'_, Reports> {
        self.0.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All reports up to now, of lost workers and of late ones.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.reports().all.clone()
    }

    /// The report of the first lost worker, if there is one.
    #[must_use]
    pub fn first(&self) -> Option<String> {
        self.reports().first_loss.clone()
    }

    /// Returns when a worker is lost.
    pub async fn lost(&self) {
        self.0.is_any_lost.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_was_late_is_not_named_as_the_one_that_is_lost() {
        let lost_workers = LostWorkers::default();
        lost_workers.note("worker-1 was late".to_owned());
        assert_eq!(lost_workers.first(), None);
        lost_workers.lose("worker-2 was lost".to_owned());
        lost_workers.lose("worker-1 was lost".to_owned());
        assert_eq!(lost_workers.first().as_deref(), Some("worker-2 was lost"));
        assert_eq!(lost_workers.all().len(), 3);
    }
}
