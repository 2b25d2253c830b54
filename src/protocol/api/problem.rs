//! The body of an error. Read [`Problem`] first.

use serde::{Deserialize, Serialize};

/// Problem details (RFC 9457), `application/problem+json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Problem {
    /// `about:blank`: the code says everything that a link could.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short text, the same for every problem of this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request, and what is allowed.
    pub detail: String,
    /// Stable and machine-readable, `snake_case`.
    pub code: String,
}
