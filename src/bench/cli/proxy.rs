//! `proxy`: the fault proxy alone, told what to do over toxiproxy's REST API, until ^C.

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::args::ProxyArgs;
use super::output;
use crate::bench::proxy::{Fleet, ProxyHandle, api};
use crate::bench::verdict::Exit;
use crate::runtime::exit::Failure;

/// Listens, prints where, waits, ends.
pub(super) async fn run(args: &ProxyArgs, interrupt: &CancellationToken) -> Result<u8, Failure> {
    let mut fleet = Fleet::new(args.seed);
    if let Some(path) = &args.config {
        let refused = |why: &dyn std::fmt::Display| {
            Failure::new(Exit::BadScenario.code(), format!("cannot take {}: {why}", path.display()))
        };
        let text = std::fs::read(path).map_err(|error| refused(&error))?;
        api::configure(&mut fleet, &text).await.map_err(|why| refused(&why))?;
    }
    let listener = listen(&args.listen).await?;
    let address = listener.local_addr().map_err(|error| Failure::new(Exit::Internal.code(), error))?;
    let mut lines = format!("api      http://{address}\n");
    for proxy in fleet.proxies().filter(|proxy| proxy.is_enabled()) {
        lines.push_str(&format!("proxy    {}\n", describe(proxy)));
    }
    output::print(&lines)?;
    tracing::info!(seed = args.seed, "up; ^C ends it");
    let served = api::serve(listener, fleet, interrupt.clone()).await;
    served.map_err(|error| Failure::new(Exit::Internal.code(), error))?;
    Ok(Exit::Pass.code())
}

/// A proxy, where it listens, and what is behind it.
pub(super) fn describe(proxy: &ProxyHandle) -> String {
    format!("{} {} -> {}", proxy.name(), proxy.listen(), proxy.upstream())
}

/// For the API.
pub(super) async fn listen(address: &str) -> Result<TcpListener, Failure> {
    let taken = |error| format!("cannot listen on {address}: {error}");
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| Failure::new(Exit::AddressInUse.code(), taken(error)))
}
