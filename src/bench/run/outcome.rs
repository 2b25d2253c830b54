//! outcome

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::environment::{Environment, EnvironmentError};
use super::setup::PORT_TAKEN;
use crate::bench::exit::Exit;
use crate::bench::load::tls::TrustError;
use crate::bench::load::workers::WorkerPoolError;
use crate::bench::report::ReportFiles;
use crate::bench::scenario::{Origin, OutputFormat};
use crate::bench::verdict::history::History;
use crate::runtime::error_chain;

/// How to run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Where logs and reports go.
    pub dir: PathBuf,
    /// What the report is written as.
    pub formats: Vec<OutputFormat>,
    /// Whether there is a line of progress on stderr.
    pub show_progress: bool,
    /// Whether the servers are left to the caller instead of being stopped.
    pub keep_cluster: bool,
    /// Where the scenario came from, so that it can be planned again.
    pub origin: Origin,
    /// What is stored beside the report.
    pub history: History,
    /// Where it is asked for metrics while it goes on.
    pub prometheus: Option<SocketAddr>,
    /// How many processes the clients are spread over; else the scenario says, or the limit of open files.
    pub workers: Option<u16>,
}

/// A run that came to a verdict.
#[derive(Debug)]
pub struct Outcome {
    /// Everything that is told of it.
    pub told: ReportFiles,
    /// The worst of everything.
    pub exit: Exit,
    /// Where the files are.
    pub dir: PathBuf,
    /// The servers, if they were to be kept.
    pub kept: Option<Environment>,
}

/// Why a run could not begin, or left no report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The machine does not allow it.
    #[error("this machine allows {found}: {fix}")]
    Limits { found: String, fix: String },
    /// Workers that did not start.
    #[error(transparent)]
    Crew(#[from] WorkerPoolError),
    /// The scenario asks for what cannot be done to these nodes.
    #[error("fault {fault:?} breaks a process, and the nodes to attach to are not started by the bench")]
    ForeignProcess { fault: String },
    /// Certificates that nodes are checked with.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Small sockets speak no TLS.
    #[error("clients.{group}.read is for http: its small sockets speak no TLS, and {base} asks for it")]
    SlowOverTls { group: String, base: String },
    /// Nodes of ours speak their own way.
    #[error("[dialect] needs servers that are there already: give them with --target URL or cluster.attach")]
    DialectOfNobody,
    /// Two addresses that the servers cannot tell apart.
    #[error(
        "dialect.names gives {one} and {other} the same name, {name:?}: what is for one would reach the other"
    )]
    SameName { one: String, other: String, name: String },
    /// A directory or file of the run.
    #[error("cannot write {path:?}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Somebody listens there already, or the address is not this machine's.
    #[error("cannot listen on {address} for metrics (--prometheus, output.prometheus)")]
    Bind {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    /// No HTTP client.
    #[error("cannot set up HTTP")]
    Http(#[source] crate::client::HttpOptionsError),
    /// No cluster, or not all of it.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// Clients that did not get in.
    #[error("only {connected} of {wanted} clients were connected after {waited:?}{hint}")]
    Clients { connected: u64, wanted: u64, waited: Duration, hint: String },
    /// A node ended meanwhile.
    #[error("before all clients were connected, {crash}")]
    Crashed { crash: String },
    /// ^C before there was anything to report.
    #[error("interrupted before the clock was started")]
    Interrupted,
}

impl RunError {
    /// The exit that this leads to.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Limits { .. }
            | Self::DialectOfNobody
            | Self::SameName { .. }
            | Self::ForeignProcess { .. }
            | Self::Trust(_)
            | Self::SlowOverTls { .. } => Exit::BadScenario,
            Self::Crashed { crash } if crash.contains(PORT_TAKEN) => Exit::AddressInUse,
            Self::Clients { .. } | Self::Crashed { .. } | Self::Crew(_) => Exit::SetupFailed,
            Self::Environment(error) if error_chain(error).contains(PORT_TAKEN) => Exit::AddressInUse,
            Self::Environment(error) => error.exit(),
            Self::Write { .. } | Self::Http(_) => Exit::Internal,
            Self::Bind { .. } => Exit::AddressInUse,
            Self::Interrupted => Exit::Interrupted,
        }
    }
}
