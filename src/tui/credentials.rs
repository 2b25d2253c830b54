//! What stands behind `authorization:`, and which nodes are told it. A node that only a bench run named, or that such a
//! node named, is not: a `live.jsonl` may come from anywhere. Read [`Credentials::header_for`] first.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::HeaderValue;

use super::url::NodeUrl;

/// A token and whom it is for. Clones know the same strangers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    header: Option<HeaderValue>,
    /// Those that the user named himself.
    given: Arc<[NodeUrl]>,
    strangers: Arc<Mutex<HashSet<NodeUrl>>>,
}

impl Credentials {
    pub(crate) fn new(header: Option<HeaderValue>, given: &[NodeUrl]) -> Self {
        Self { header, given: given.into(), strangers: Arc::default() }
    }

    /// What to tell this node.
    pub(crate) fn header_for(&self, node: &NodeUrl) -> Option<HeaderValue> {
        let header = self.header.as_ref()?;
        let is_stranger = || self.strangers.lock().unwrap_or_else(PoisonError::into_inner).contains(node);
        (self.given.contains(node) || !is_stranger()).then(|| header.clone())
    }

    /// Says whether somebody named this node whom the token is for.
    pub(crate) fn note(&self, node: &NodeUrl, is_stranger: bool) {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if is_stranger {
            strangers.insert(node.clone());
        } else {
            strangers.remove(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::url;

    #[test]
    fn a_stranger_is_told_nothing_unless_the_user_named_it() {
        let header = HeaderValue::from_static("Bearer x");
        let credentials = Credentials::new(Some(header.clone()), &[url(1)]);
        for number in 1..=3 {
            credentials.note(&url(number), number < 3);
        }
        let told = [1, 2, 3].map(|number| credentials.clone().header_for(&url(number)));
        assert_eq!(told, [Some(header.clone()), None, Some(header)]);
        credentials.note(&url(2), false);
        assert!(credentials.header_for(&url(2)).is_some(), "a node of a cluster that is trusted names it");
        assert_eq!(Credentials::default().header_for(&url(1)), None);
    }
}
