//! Queries of requests, decoded as WHATWG's URL standard says. A client that is answered 400 stays away for good, and its
//! proxy adds parameters of its own, so what a path does not know is ignored and counted. Read [`FromQuery`] first.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::AppState;
use super::error::ApiError;

/// What a path takes from its query.
pub(crate) trait FromQuery: Default {
    /// The names of its parameters.
    const NAMES: &'static [&'static str];

    /// Takes one of them, in the order of the query. What is empty counts as not given.
    fn take(&mut self, name: &str, value: &str) -> Result<(), ApiError>;
}

/// The parsed query of a request, or why it is not valid.
#[derive(Debug)]
pub(crate) struct Query<Q>(pub(crate) Q);

impl<Q: FromQuery> FromRequestParts<Arc<AppState>> for Query<Q> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<AppState>) -> Result<Self, ApiError> {
        let (query, ignored) = parse(parts.uri.query().unwrap_or_default())?;
        if ignored > 0 {
            app.context.metrics.parameters_ignored.fetch_add(ignored, Ordering::Relaxed);
        }
        Ok(Self(query))
    }
}

/// The query, and how many of its parameters are not known.
pub(crate) fn parse<Q: FromQuery>(text: &str) -> Result<(Q, u64), ApiError> {
    let mut query = Q::default();
    let mut ignored = 0;
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if !Q::NAMES.contains(&&*name) {
            ignored += 1;
        } else if !value.is_empty() {
            query.take(&name, &value)?;
        }
    }
    Ok((query, ignored))
}

/// Sets a parameter that has one value. Given twice, it must say the same: which of the two is meant, the one who checks
/// the request and the one who acts on it could see differently.
pub(crate) fn set<T>(field: &mut Option<T>, name: &str, value: &str) -> Result<(), ApiError>
where
    T: FromStr<Err: Display> + PartialEq,
{
    let parsed = value
        .parse()
        .map_err(|error| ApiError::Invalid(format!("{name}={value:?} is not valid: {error}")))?;
    if field.as_ref().is_some_and(|given| *given != parsed) {
        return Err(ApiError::Invalid(format!(
            "{name} is given twice, with different values; allowed is one"
        )));
    }
    *field = Some(parsed);
    Ok(())
}
