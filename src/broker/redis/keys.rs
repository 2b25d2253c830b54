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

    /// A stream, a hash, a list and a sorted set to try commands on.
    pub(super) fn scratch(&self) -> [String; 4] {
        ["stream", "hash", "list", "set"].map(|kind| format!("{}:scratch:{kind}", self.tag))
    }

    /// The message ids seen in this bucket of time, the one before, and the one after (clocks of nodes differ).
    pub(super) fn seen(&self, bucket: u64) -> [String; 3] {
        [bucket, bucket.saturating_sub(1), bucket + 1].map(|bucket| format!("{}:seen:{bucket}", self.tag))
    }
}

/// The message ids of a stretch of time, twice as long as an id must be known: only in its first half do ids of the
/// bucket before it count, so that half of all appends look into one bucket alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) number: u64,
    /// Whether ids of the bucket before count still.
    pub(super) needs_earlier: bool,
    /// How long it must be kept after its first id.
    pub(super) kept_ms: u64,
}

impl Bucket {
    /// The bucket of a moment, where ids must be known for `window_ms`. Clocks of nodes may differ by a tenth of that.
    pub(super) fn at(now_ms: u64, window_ms: u64) -> Self {
        let window_ms = window_ms.max(1);
        let (length, counts) = (window_ms.saturating_mul(2), window_ms.saturating_add(window_ms / 10));
        Self {
            number: now_ms / length,
            needs_earlier: now_ms % length <= counts,
            kept_ms: length.saturating_add(counts),
        }
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

    #[test]
    fn an_id_is_found_for_as_long_as_it_must_be_known() {
        const WINDOW: u64 = 100;
        for (told, skew) in (0..400).flat_map(|told| [0, 5, 10].map(|skew| (told, skew))) {
            let put = Bucket::at(told, WINDOW);
            // Another node, whose clock is ahead, at the end of the window.
            let asked = Bucket::at(told + WINDOW + skew, WINDOW);
            let looks = asked.number == put.number || asked.needs_earlier && asked.number - 1 == put.number;
            assert!(looks, "{told} {skew}");
            assert!(put.number * 2 * WINDOW + put.kept_ms >= told + WINDOW + skew, "{told} {skew}");
        }
    }

    #[test]
    fn about_half_of_all_moments_need_one_bucket() {
        let both = (0..2_000).filter(|now| Bucket::at(*now, 1_000).needs_earlier).count();
        assert_eq!(both, 1_101);
    }
}
