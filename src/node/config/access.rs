//! The settings of tokens and API keys. Read [`AccessConfig`] first.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::secret::text_or_file;
use super::settings::InvalidValue;
use super::value::parts;
use crate::node::access::{HmacSecret, KeySource, read_api_keys};

/// What credentials a node takes. The help of each flag says what it does.
#[derive(Debug, Clone)]
pub struct AccessConfig {
    pub(crate) keys: Option<KeySource>,
    pub(crate) secret: Option<HmacSecret>,
    pub(crate) issuer: Option<String>,
    pub(crate) audiences: Vec<String>,
    pub(crate) leeway: Duration,
    pub(crate) cookie: String,
    /// The file, which could be read at start.
    pub(crate) api_keys: Option<PathBuf>,
}

/// A secret, or `@FILE`.
pub(crate) fn token_secret(text: &str) -> Result<HmacSecret, InvalidValue> {
    HmacSecret::parse(&text_or_file(text)?)
}

/// Names separated by commas, at least one.
pub(super) fn names(text: &str) -> Result<Vec<String>, InvalidValue> {
    let names: Vec<_> = parts(text).map(str::to_owned).collect();
    if names.is_empty() {
        Err("it is empty; allowed are names separated by commas".to_owned())
    } else {
        Ok(names)
    }
}

/// The name of a cookie, a token of RFC 9110.
pub(super) fn cookie_name(text: &str) -> Result<String, InvalidValue> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !text.is_empty() && text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("allowed are letters, digits and !#$%&'*+-.^_`|~".to_owned())
    }
}

/// A file of API keys that can be read.
pub(super) fn api_keys_file(text: &str) -> Result<PathBuf, InvalidValue> {
    read_api_keys(Path::new(text)).map(|_| text.into())
}
