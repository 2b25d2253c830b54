//! The audit read: the whole log through `GET /api/sse/history`, page by page from the oldest event. It tells an event that
//! the cluster lost from an event that one client missed.

use std::time::Duration;

use crate::bench::ids::RunId;
use crate::bench::verdict::ledger::AuditLedger;
use crate::protocol::api::History;

/// Events a page.
const PAGE: u32 = 500;
/// Time limit of one page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Limit of pages, so that a log that grows for ever cannot keep the run from ending: 5 million events.
const PAGES: u32 = 10_000;

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuditError {
    /// The node did not answer in time.
    #[error("the audit read got no answer from {url}")]
    Request {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    /// A status other than 200.
    #[error("the audit read got {status} from {url}")]
    Status { url: String, status: reqwest::StatusCode },
    /// Too many pages, or the same page again.
    #[error("the audit read does not come to an end: {url} leads to itself, or to more than {PAGES} pages")]
    Endless { url: String },
}

/// Reads the whole log of one node.
pub(super) async fn read_log(
    http: &reqwest::Client,
    base: &str,
    run: RunId,
) -> Result<AuditLedger, AuditError> {
    let mut ledger = AuditLedger::new(run);
    let mut after: Option<String> = Some("earliest".to_owned());
    let url = format!("{base}/api/sse/history");
    for _ in 0..PAGES {
        let Some(cursor) = after.take() else { return Ok(ledger) };
        let page = page(http, &url, &cursor).await?;
        if page.gap.is_some() {
            ledger.gap();
        }
        for event in &page.events {
            // An envelope that arrived as JSON stays JSON.
            if let Ok(data) = serde_json::to_string(&event.envelope) {
                let _sentinel = ledger.event(&data);
            }
        }
        after = page.next.map(|next| next.to_string());
        if after.as_deref() == Some(cursor.as_str()) {
            break;
        }
    }
    Err(AuditError::Endless { url })
}

async fn page(http: &reqwest::Client, url: &str, after: &str) -> Result<History, AuditError> {
    let failed = |source| AuditError::Request { url: url.to_owned(), source };
    let query = [("after", after.to_owned()), ("limit", PAGE.to_string())];
    let response = http.get(url).query(&query).timeout(PAGE_TIMEOUT).send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(AuditError::Status { url: url.to_owned(), status: response.status() });
    }
    response.json().await.map_err(failed)
}
