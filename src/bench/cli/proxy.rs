//! `proxy`: the fault proxy alone, controlled over toxiproxy's REST API, until ^C.

use std::path::PathBuf;

use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::output;
use crate::bench::door::guard;
use crate::bench::exit::Exit;
use crate::bench::faults::proxy::{ProxyCollection, ProxyHandle, api};
use crate::protocol::host::HostRule;
use crate::runtime::exit::Failure;

/// Flags of `proxy`.
#[derive(Debug, Args)]
pub(super) struct ProxyArgs {
    /// Address of the REST API.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8474")]
    pub listen: String,

    /// A name by which clients call the REST API (the `Host` of a request), or *. May be repeated. Localhost and IP addresses
    /// are always allowed; without this flag an API on loopback allows only these, so that no web page reaches it, and one
    /// elsewhere allows all.
    #[arg(long, value_name = "HOST", value_parser = HostRule::parse)]
    pub allowed_host: Vec<HostRule>,

    /// Seed of everything random: jitter, slice sizes, and which connections a toxicity below 1 spares.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// JSON file with the proxies to start: a list of objects with name, listen, upstream and enabled.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Listens, prints its addresses, and waits for ^C.
pub(super) async fn run(args: &ProxyArgs, interrupt: &CancellationToken) -> Result<u8, Failure> {
    let mut proxies = ProxyCollection::new(args.seed);
    if let Some(path) = &args.config {
        let refused = |why: &dyn std::fmt::Display| {
            Failure::new(Exit::BadScenario.code(), format!("--config {}: {why}", path.display()))
        };
        let text = std::fs::read(path).map_err(|error| refused(&error))?;
        api::configure(&mut proxies, &text).await.map_err(|why| refused(&why))?;
    }
    let listener = listen(&args.listen).await?;
    let address = listener.local_addr().map_err(|error| Failure::new(Exit::Internal.code(), error))?;
    let mut lines = format!("api      http://{address}\n");
    for proxy in proxies.proxies().filter(|proxy| proxy.is_enabled()) {
        lines.push_str(&format!("proxy    {}\n", describe(proxy)));
    }
    output::print(&lines)?;
    tracing::info!(seed = args.seed, "running; ^C stops it");
    let guard = guard(address, args.allowed_host.clone(), Some("--allowed-host"));
    let served = api::serve(listener, guard, proxies, interrupt.clone()).await;
    served.map_err(|error| Failure::new(Exit::Internal.code(), error))?;
    Ok(Exit::Pass.code())
}

/// A proxy as text: its name, its address and its upstream.
pub(super) fn describe(proxy: &ProxyHandle) -> String {
    format!("{} {} -> {}", proxy.name(), proxy.listen(), proxy.upstream())
}

/// Binds the address of the REST API.
pub(super) async fn listen(address: &str) -> Result<TcpListener, Failure> {
    let taken = |error| format!("cannot listen on {address}: {error}");
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| Failure::new(Exit::AddressInUse.code(), taken(error)))
}
