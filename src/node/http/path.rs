//! Extracts and validates the name in a path: `{clientId}`, `{userId}`, `{topic}` and the like.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use super::error::ApiError;

/// The variable segment of a path that has only one, parsed as `T`.
#[derive(Debug)]
pub(crate) struct Named<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Named<T>
where
    S: Send + Sync,
    T: FromStr,
    T::Err: std::fmt::Display,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await?;
        text.parse().map(Self).map_err(|error: T::Err| ApiError::Invalid(error.to_string()))
    }
}
