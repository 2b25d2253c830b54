//! The token, and the nodes that get it. A node that only a bench run named, directly or through a roster, does not
//! get it, because a `live.jsonl` may come from anywhere. Read [`Credentials::header_for`] first.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::HeaderValue;

use crate::tui::text::url::NodeUrl;

/// A token, and the nodes that must not get it. Clones share the set of untrusted nodes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    header: Option<HeaderValue>,
    /// Nodes that the user named.
    given: Arc<[NodeUrl]>,
    untrusted: Arc<Mutex<HashSet<NodeUrl>>>,
}

impl Credentials {
    pub(crate) fn new(header: Option<HeaderValue>, given: &[NodeUrl]) -> Self {
        Self { header, given: given.into(), untrusted: Arc::default() }
    }

    /// The `authorization` header for this node; `None` when it must not get the token.
    pub(crate) fn header_for(&self, node: &NodeUrl) -> Option<HeaderValue> {
        let header = self.header.as_ref()?;
        let is_untrusted = || self.untrusted.lock().unwrap_or_else(PoisonError::into_inner).contains(node);
        (self.given.contains(node) || !is_untrusted()).then(|| header.clone())
    }

    /// Adds a node to the untrusted ones, or removes it when a trusted node names it.
    pub(crate) fn note(&self, node: &NodeUrl, is_untrusted: bool) {
        let mut untrusted = self.untrusted.lock().unwrap_or_else(PoisonError::into_inner);
        if is_untrusted {
            untrusted.insert(node.clone());
        } else {
            untrusted.remove(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(number: u16) -> NodeUrl {
        format!("http://127.0.0.1:{number}").parse().unwrap()
    }

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
