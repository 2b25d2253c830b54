//! The table of the paths: what a caller's scope must have for each. Which names in a request it allows is checked by the
//! handlers. Read [`TABLE`] first.

use http::Method;

use super::scope::Scope;

/// What a path needs of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing, not even a credential.
    Nothing,
    /// It may read.
    Read,
    /// It may write.
    Publish,
    /// It may read or write.
    Either,
    /// It is an operator's.
    Operate,
}

/// Every method of every path below which there is something to protect, and the open ones. `HEAD` counts as `GET`.
const TABLE: &[(&str, &str, Need)] = &[
    ("GET", "/", Need::Nothing),
    ("GET", "/sse.js", Need::Nothing),
    ("GET", "/openapi.json", Need::Nothing),
    ("GET", "/health", Need::Nothing),
    ("GET", "/health/live", Need::Nothing),
    ("GET", "/health/ready", Need::Nothing),
    ("GET", "/actuator/health", Need::Nothing),
    ("GET", "/api/sse/stream", Need::Read),
    ("GET", "/api/sse/history", Need::Read),
    ("GET", "/api/sse/users/{user}/pending", Need::Read),
    ("POST", "/api/sse/ack", Need::Read),
    ("GET", "/api/sse/users/{user}", Need::Either),
    ("GET", "/api/sse/clients/{client}", Need::Either),
    ("GET", "/api/sse/events/{id}", Need::Either),
    ("POST", "/api/sse/broadcast", Need::Publish),
    ("POST", "/api/sse/broadcast/{client}", Need::Publish),
    ("POST", "/api/sse/broadcast/server/{node}", Need::Publish),
    ("POST", "/api/sse/broadcast/server/{node}/client/{client}", Need::Publish),
    ("POST", "/api/sse/users/{user}", Need::Publish),
    ("POST", "/api/sse/topics/{topic}", Need::Publish),
    ("POST", "/api/sse/batch", Need::Publish),
    ("GET", "/api/sse/connections", Need::Operate),
    ("GET", "/api/sse/connections/{id}", Need::Operate),
    ("DELETE", "/api/sse/connections/{id}", Need::Operate),
    ("GET", "/api/sse/servers", Need::Operate),
    ("GET", "/api/sse/metrics", Need::Operate),
    ("GET", "/metrics", Need::Operate),
    ("GET", "/admin/drain", Need::Operate),
    ("POST", "/admin/drain", Need::Operate),
    ("DELETE", "/admin/drain", Need::Operate),
    ("POST", "/admin/revoke", Need::Operate),
    ("GET", "/admin/rebalance", Need::Operate),
    ("POST", "/admin/rebalance", Need::Operate),
    ("DELETE", "/admin/rebalance", Need::Operate),
];

/// What a method of a path of the router needs. A path that the table does not name needs an operator.
///
/// # Errors
/// The path has no such method.
pub(crate) fn need(method: &Method, path: &str) -> Result<Need, NoSuchMethod> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let mut of_path = TABLE.iter().filter(|(_, known, _)| *known == path).peekable();
    if of_path.peek().is_none() {
        return Ok(Need::Operate);
    }
    of_path.find(|(known, ..)| method == *known).map(|(.., need)| *need).ok_or(NoSuchMethod)
}

/// The table has the path, with other methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoSuchMethod;

impl Need {
    /// Whether the scope has what is needed.
    pub(crate) fn is_met(self, scope: &Scope) -> bool {
        let (reads, writes) = (scope.read.is_some(), !scope.write.is_empty());
        match self {
            Self::Nothing => true,
            Self::Read => reads,
            Self::Publish => writes,
            Self::Either => reads || writes,
            Self::Operate => scope.operator,
        }
    }

    /// What a credential lacks, for the error.
    pub(crate) fn lacking(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Read => "this credential does not allow to read",
            Self::Publish => "this credential does not allow to publish",
            Self::Either => "this credential allows neither to read nor to publish",
            Self::Operate => "this path is for operators",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_table_does_not_name_is_for_operators_or_no_method() {
        assert_eq!(need(&Method::HEAD, "/api/sse/stream"), Ok(Need::Read));
        assert_eq!(need(&Method::GET, "/somewhere"), Ok(Need::Operate));
        assert_eq!(need(&Method::PUT, "/api/sse/stream"), Err(NoSuchMethod));
        assert!(!Need::Operate.is_met(&Scope::default()) && !Need::Either.is_met(&Scope::default()));
    }
}
