//! Whether this user of Redis may call all commands that a log needs. Read [`missing`] first.

use redis::ScriptInvocation;

use super::keys::Keys;
use super::scripts::Scripts;

/// What the readiness of a node is worth: without it, a missing permission shows only when somebody publishes.
pub(super) fn missing<'a>(scripts: &'a Scripts, keys: &Keys) -> ScriptInvocation<'a> {
    let [stream, hash, list, set] = keys.scratch();
    let mut script = scripts.needs.key(stream);
    script.key(hash).key(list).key(set);
    script
}

/// What to tell about the answer of that script; `None`: nothing is missing.
pub(super) fn told(missing: &[String]) -> Option<String> {
    missing.first()?;
    let (names, acl) = (missing.join(", "), missing.join(" +"));
    Some(format!(
        "does not have, or does not allow this user, {names}; ACL SETUSER needs +{acl} (docs/redis.md has the whole line)"
    ))
}
