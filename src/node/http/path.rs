//! Names in paths: `{clientId}`, `{userId}`, `{topic}`, … checked where they come in.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use super::error::ApiError;

/// The only segment of a path that varies, as a checked name.
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
