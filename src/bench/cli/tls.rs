//! Flags for `https` servers: which certificates are accepted. Read [`Trusted`] first.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};

use crate::bench::exit::Exit;
use crate::bench::load::tls;
use crate::bench::scenario::Tls;
use crate::client::HttpOptions;
use crate::runtime::exit::Failure;

/// Which certificates are accepted.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Trusted {
    /// Accept only certificates of the authorities in this PEM file.
    #[arg(long, value_name = "FILE", env = "SSE_BENCH_CA")]
    pub ca: Option<PathBuf>,

    /// Accept any TLS certificate. The flag --insecure of sse-node means something else.
    #[arg(long, env = "SSE_BENCH_INSECURE", value_parser = FalseyValueParser::new())]
    pub insecure: bool,
}

impl Trusted {
    /// Lets a flag win over the variable of the other flag. A variable with a false value does not count.
    ///
    /// # Errors
    /// Both flags are given, or both variables are set.
    pub(super) fn settle(&mut self, matches: &ArgMatches) -> Result<(), &'static str> {
        if self.ca.is_none() || !self.insecure {
            return Ok(());
        }
        let is_flag = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        match (is_flag("ca"), is_flag("insecure")) {
            (true, false) => self.insecure = false,
            (false, true) => self.ca = None,
            (true, true) => return Err("--insecure cannot be used with --ca; remove one of them"),
            (false, false) => {
                return Err("SSE_BENCH_INSECURE cannot be used with SSE_BENCH_CA; unset one of them");
            }
        }
        Ok(())
    }

    pub(super) fn tls(&self) -> Tls {
        Tls { ca: self.ca.clone(), insecure: self.insecure }
    }

    /// Options of the HTTP client for these servers.
    pub(super) fn http(&self) -> Result<HttpOptions, Failure> {
        let trust = tls::read(&self.tls()).map_err(|error| Failure::new(Exit::BadScenario.code(), error))?;
        Ok(HttpOptions { trust, ..HttpOptions::default() })
    }
}
