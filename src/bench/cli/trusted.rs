//! Flags for servers that speak `https`: whose certificates are accepted. Read [`Trusted`] first.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::bench::scenario::Tls;
use crate::bench::trust;
use crate::bench::verdict::Exit;
use crate::client::HttpOptions;
use crate::runtime::exit::Failure;

/// Whose certificates are accepted.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Trusted {
    /// Accepts certificates of these authorities (PEM), and of nobody else, where a server speaks https.
    #[arg(long, value_name = "FILE", env = "SSE_BENCH_CA")]
    pub ca: Option<PathBuf>,

    /// Accepts any certificate.
    #[arg(
        long,
        conflicts_with = "ca",
        env = "SSE_BENCH_INSECURE",
        value_parser = FalseyValueParser::new()
    )]
    pub insecure: bool,
}

impl Trusted {
    pub(super) fn tls(&self) -> Tls {
        Tls { ca: self.ca.clone(), insecure: self.insecure }
    }

    /// For connections to such servers.
    pub(super) fn http(&self) -> Result<HttpOptions, Failure> {
        let trust =
            trust::read(&self.tls()).map_err(|error| Failure::new(Exit::BadScenario.code(), error))?;
        Ok(HttpOptions { trust, ..HttpOptions::default() })
    }
}
