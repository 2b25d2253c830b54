//! JSON of the paths that take tokens back.

use serde::{Deserialize, Serialize};

use crate::protocol::{EventId, UserId};

/// Body of `POST /admin/revoke`: takes tokens back before they end. At least one of `user` and `tokenId` is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("anyOf" = [{ "required": ["user"] }, { "required": ["tokenId"] }])))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevokeRequest {
    /// All tokens of this user (`sub`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// The token with this `jti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// Of the user's tokens only those issued (`iat`) up to this second since 1970. Default: now. Tokens without `iat`
    /// count as issued before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_before: Option<u64>,
    /// The second since 1970 up to which the nodes remember it: no earlier than the last of these tokens ends. Default: in
    /// seven days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// Answer of `POST /admin/revoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Revoked {
    /// Position in the log. A node that has read up to it refuses the tokens.
    pub id: EventId,
    /// See the request.
    pub issued_before: u64,
    /// See the request.
    pub until: u64,
}
