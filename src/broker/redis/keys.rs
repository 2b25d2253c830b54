//! Names of the keys. All share one hash tag, `{prefix}`, so that they are in one slot of a Redis Cluster. Read
//! [`Keys`] first.

use crate::protocol::Address;

/// The keys of one log.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    tag: String,
    /// The stream that is the log.
    pub(super) log: String,
    /// Numbers of the log and its histories.
    pub(super) meta: String,
    /// Owners of mailboxes that hold messages, by the age of the oldest one.
    pub(super) boxes: String,
    /// Incarnations by their last beat.
    pub(super) nodes: String,
    /// Records of the nodes, by incarnation.
    pub(super) records: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        let tag = format!("{{{prefix}}}");
        let key = |name: &str| format!("{tag}:{name}");
        Self {
            log: key("log"),
            meta: key("meta"),
            boxes: key("boxes"),
            nodes: key("nodes"),
            records: key("records"),
            tag,
        }
    }

    /// List and state of a mailbox.
    pub(super) fn mailbox(&self, owner: &Address) -> [String; 2] {
        [format!("{}:mb:{owner}", self.tag), format!("{}:mbs:{owner}", self.tag)]
    }

    /// The message ids seen in this bucket of time, the one before, and the one after (clocks of nodes differ).
    pub(super) fn seen(&self, bucket: u64) -> [String; 3] {
        [bucket, bucket.saturating_sub(1), bucket + 1].map(|bucket| format!("{}:seen:{bucket}", self.tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_share_one_hash_tag() {
        let keys = Keys::new("sse");
        let owner: Address = "user:{x}".parse().unwrap();
        let [list, state] = keys.mailbox(&owner);
        let seen = keys.seen(2_992_173);
        assert_eq!((keys.log.as_str(), list.as_str()), ("{sse}:log", "{sse}:mb:user:{x}"));
        assert_eq!(seen[0], "{sse}:seen:2992173");
        let others = [keys.meta, keys.boxes, keys.nodes, keys.records, state];
        for key in others.iter().chain(&seen) {
            assert!(key.starts_with("{sse}:"), "{key}");
        }
    }
}
