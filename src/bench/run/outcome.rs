//! The options and the outcome of a run, and why a run could not start. Read [`Outcome`] first.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::environment::{Environment, EnvironmentError};
use crate::bench::cluster::PORT_TAKEN;
use crate::bench::exit::{Exit, RunProblem};
use crate::bench::load::workers::WorkerPoolError;
use crate::bench::report::ReportFiles;
use crate::bench::scenario::{OutputFormat, ScenarioSource};
use crate::bench::verdict::diagnosis::Finding;
use crate::bench::verdict::history::History;
use crate::client::CertificateError;
use crate::runtime::error_chain;

/// How a run is executed, apart from its scenario.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Directory for logs and reports.
    pub dir: PathBuf,
    /// Formats of the report.
    pub formats: Vec<OutputFormat>,
    /// Whether the report as text has all metrics.
    pub full: bool,
    /// Whether progress is written to stderr.
    pub show_progress: bool,
    /// Whether the servers are handed to the caller instead of being stopped.
    pub keep_cluster: bool,
    /// The scenario file and the flags that changed it, for workers, which plan it again.
    pub origin: ScenarioSource,
    /// What to store beside the report.
    pub history: History,
    /// Address to serve metrics on during the run.
    pub prometheus: Option<SocketAddr>,
    /// Number of worker processes; `None`: the scenario's, else as many as the limit of open files requires.
    pub workers: Option<u16>,
}

/// A run with a verdict.
#[derive(Debug)]
pub struct Outcome {
    /// The report and its data.
    pub told: ReportFiles,
    /// The worst exit code of all findings.
    pub exit: Exit,
    /// Directory of the files.
    pub dir: PathBuf,
    /// The servers, if they were to be kept.
    pub kept: Option<Environment>,
}

/// Why a run could not start, or has no report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The machine lacks something that the run needs.
    #[error("the limit of {found}; raise it: {fix}")]
    Limits { found: String, fix: String },
    #[error(transparent)]
    Crew(#[from] WorkerPoolError),
    /// A process fault on nodes that the bench did not start.
    #[error("fault {fault:?} needs nodes that the bench starts, and cluster.attach names running ones")]
    ForeignProcess { fault: String },
    #[error(transparent)]
    Trust(#[from] CertificateError),
    /// A client group with a small receive buffer (`read`) on an https server.
    #[error(
        "clients.{group}.read works over http only, and {base} is https; remove read from this group, or use an http:// URL"
    )]
    SlowOverTls { group: String, base: String },
    /// A dialect without running servers.
    #[error("[dialect] needs running servers: name them with --target URL or cluster.attach")]
    DialectOfNobody,
    /// Two addresses with one name.
    #[error(
        "dialect.names gives {one} and {other} the same name, {name:?}: events for one would reach the other"
    )]
    SameName { one: String, other: String, name: String },
    /// A directory or file of the run.
    #[error("cannot write {path:?}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The address is in use, or does not belong to this machine.
    #[error("cannot listen on {address} for metrics (--prometheus, output.prometheus)")]
    Bind {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot create the HTTP client")]
    Http(#[source] crate::client::HttpOptionsError),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// Clients that could not connect in time.
    #[error("only {connected} of {wanted} clients were connected after {waited:?}{hint}")]
    Clients { connected: u64, wanted: u64, waited: Duration, hint: String },
    /// Clients whose connects got answers that waiting does not change.
    #[error("{refused} of {wanted} clients were refused for good: {reason}")]
    Refused { refused: u64, wanted: u64, reason: String },
    /// Any of these, with what the attempts of clients tell about the server.
    #[error("{error}{}", in_lines(.findings))]
    Diagnosed { error: Box<Self>, findings: Vec<Finding> },
    /// A node that ended while clients connected.
    #[error("before all clients were connected, {crash}")]
    Crashed { crash: String },
    /// ^C before the clock was started.
    #[error("interrupted before the clock was started")]
    Interrupted,
}

/// A line for each finding.
fn in_lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("\n  {finding}")).collect()
}

impl RunError {
    /// Why there is no run, and what the attempts of clients tell about the server.
    #[must_use]
    pub fn told(&self) -> (RunProblem, &[Finding]) {
        let (error, findings) = match self {
            Self::Diagnosed { error, findings } => (&**error, findings.as_slice()),
            other => (other, &[][..]),
        };
        (RunProblem { exit: error.exit(), message: error_chain(error) }, findings)
    }

    /// The exit code of this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Limits { .. }
            | Self::DialectOfNobody
            | Self::SameName { .. }
            | Self::ForeignProcess { .. }
            | Self::Trust(_)
            | Self::SlowOverTls { .. } => Exit::BadScenario,
            Self::Diagnosed { error, .. } => error.exit(),
            Self::Crashed { crash } if crash.contains(PORT_TAKEN) => Exit::AddressInUse,
            Self::Clients { .. } | Self::Refused { .. } | Self::Crashed { .. } | Self::Crew(_) => {
                Exit::SetupFailed
            }
            Self::Environment(error) if error_chain(error).contains(PORT_TAKEN) => Exit::AddressInUse,
            Self::Environment(error) => error.exit(),
            Self::Write { .. } | Self::Http(_) => Exit::Internal,
            Self::Bind { .. } => Exit::AddressInUse,
            Self::Interrupted => Exit::Interrupted,
        }
    }
}
