//! Who may do what: credentials become a [`Scope`], and a scope says what its owner may read and write. Knows no HTTP
//! beyond methods and paths. [`policy`] is the table of the paths; handlers ask the scope about the names in a request.
//! Read [`Access`] first.

mod api_keys;
mod claims;
mod door;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod keys;
mod pattern;
pub(crate) mod policy;
mod refresh;
mod revocations;
mod scope;
mod signatures;
mod token;

pub(crate) use api_keys::new_api_key;
pub(crate) use door::{Access, ApiKeyChanges, Refusal};
pub(crate) use keys::HmacSecret;
pub(crate) use pattern::{AddressPattern, Pattern};
pub(crate) use refresh::{KeySource, Refresher, read_api_keys};
pub(crate) use revocations::{REVOCATIONS, Revocations, TokenRef, revocation};
pub(crate) use scope::{Denied, Scope};
pub(crate) use token::{TokenRules, sign};
