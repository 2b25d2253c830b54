//! Why a client could not connect, and what to do about it. Pure. Read [`reason`] first.

use crate::client::ConnectError;
use crate::runtime::error_chain;

/// The error with its causes, and what the user can do where the answer is final.
pub(super) fn reason(error: &ConnectError) -> String {
    let reason = error_chain(error);
    match advice(error) {
        Some(advice) => format!("{reason}; {advice}"),
        None => reason,
    }
}

fn advice(error: &ConnectError) -> Option<&'static str> {
    if error.is_tls_failure() {
        return Some(
            "check that it speaks https, and set cluster.tls.ca or --ca to its authority, or use --insecure",
        );
    }
    match error {
        ConnectError::Status { status, .. } => match status.as_u16() {
            204 => Some("204 tells clients not to come back"),
            401 | 403 => Some("set what it asks for in the token or headers of the clients (--header)"),
            404 | 405 => Some("check that this is the path of a stream"),
            _ => None,
        },
        ConnectError::ContentType { .. } => {
            Some("check that this is the URL of a stream, and not of a login page")
        }
        ConnectError::Request { .. }
        | ConnectError::Refused { .. }
        | ConnectError::Broken { .. }
        | ConnectError::Timeout { .. }
        | ConnectError::Coding { .. } => None,
    }
}
