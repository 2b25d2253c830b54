//! The bench: clients, publishers and faults, and the judge of what was delivered. A scenario (file) becomes a plan
//! (timeline), a plan a run (execution), a run evidence, evidence a verdict and a report.
//!
//! The wings from top to bottom; each imports only from lines below its own, which `tests/it/tidy` checks:
//!
//! | wing | what lives there |
//! |---|---|
//! | [`cli`] | the commands |
//! | [`run`] | a run from plan to report |
//! | [`faults`] | faults and the fault proxy |
//! | [`load`], [`report`] | clients and publishers; reports in every format |
//! | [`cluster`], [`verdict`] | servers as child processes; ledgers, checks, stored evidence |
//! | [`scenario`] | the model, its reader and its plan |
//! | [`stamp`] | what every payload carries |
//! | [`metrics`] | names, clocks, histograms, threshold expressions |
//! | [`ids`], [`exit`], `door`, `panic` | ids of the parts of a plan; exit codes; what HTTP servers take; a panic on demand for tests |
//!
//! `scenario`, `verdict`, `stamp`, `metrics`, `ids` and `exit` are pure, apart from the run's clock (`metrics::clock`) and the
//! writer of evidence (`verdict::history`): no task, no socket; the caller passes what happened, with its time. Read [`scenario::Scenario`], [`scenario::plan::Plan`], [`verdict::ledger`] in this order.

pub mod cli;
pub mod cluster;
mod door;
pub mod exit;
pub mod faults;
pub mod ids;
pub mod load;
pub mod metrics;
mod panic;
pub mod report;
pub mod run;
pub mod scenario;
pub mod stamp;
pub mod verdict;
