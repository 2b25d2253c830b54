//! API keys of publishers and operators: `ssk_ID.SECRET`, of which the file holds the hash alone. Read [`ApiKeys`] first.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::pattern::AddressPattern;
use super::scope::{ReadScope, Scope};
use crate::runtime::secrets::is_same;

/// What an API key begins with, so that scanners for secrets find one that was published.
const PREFIX: &str = "ssk_";
/// Bytes of a secret: too many to guess, so that a fast hash is enough.
const SECRET_BYTES: usize = 32;
/// Longest id of a key.
const ID_BYTES: usize = 64;

/// The keys of a file, by id. A line is `ID HASH ROLES [ADDRESSES]`: roles are `publish`, `read` and `operate`, with commas;
/// addresses limit what is published to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ApiKeys(BTreeMap<String, ApiKey>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct ApiKey {
    hash: [u8; 32],
    scope: Scope,
}

impl ApiKeys {
    /// Whether a credential is an API key, valid or not.
    pub(super) fn is_api_key(credential: &str) -> bool {
        credential.starts_with(PREFIX)
    }

    /// Reads the lines of a file. Empty lines and those that begin with `#` are comments.
    ///
    /// # Errors
    /// A text that names the line and what is allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut keys = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (id, key) = parse_line(line).map_err(|why| format!("line {number}: {why}"))?;
            if keys.insert(id.to_owned(), key).is_some() {
                return Err(format!(
                    "line {number}: the id {id:?} is there twice; allowed is one line an id"
                ));
            }
        }
        Ok(Self(keys))
    }

    /// Whether there is a key of this id.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// What the owner of this key may do; `None` if there is no such key. The time that it takes depends on the id, which
    /// is no secret, and on nothing else.
    pub(super) fn scope(&self, credential: &str) -> Option<Scope> {
        let (id, secret) = credential.strip_prefix(PREFIX)?.split_once('.')?;
        let key = self.0.get(id)?;
        let hash = digest(&SHA256, secret.as_bytes());
        is_same(&key.hash, hash.as_ref()).then(|| key.scope.clone())
    }
}

fn parse_line(line: &str) -> Result<(&str, ApiKey), String> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let ([id, hash, roles] | [id, hash, roles, _]) = fields[..] else {
        return Err(format!(
            "it has {} fields; allowed are ID HASH ROLES [ADDRESSES], as sse-node token --api-key prints them",
            fields.len()
        ));
    };
    check_id(id)?;
    let hash = parse_hash(hash)?;
    let scope = Scope { publisher: Some(id.into()), ..scope_of(roles, fields.get(3).copied())? };
    Ok((id, ApiKey { hash, scope }))
}

fn check_id(id: &str) -> Result<(), String> {
    let fits = id.len() <= ID_BYTES
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && !id.is_empty();
    if fits {
        Ok(())
    } else {
        Err(format!("the id {id:?} is not valid; allowed are 1 to {ID_BYTES} letters, digits, - and _"))
    }
}

fn parse_hash(text: &str) -> Result<[u8; 32], String> {
    // The text may be the key itself, by mistake, so it is not shown.
    let refused = || "the hash is not valid; allowed is sha256: with 64 hexadecimal digits".to_owned();
    let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64 && digits.is_ascii());
    let digits = digits.ok_or_else(refused)?;
    let mut hash = [0; 32];
    for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| refused())?;
    }
    Ok(hash)
}

/// The scope of roles, and of the addresses that may be written.
///
/// # Errors
/// A text that names the role or address.
fn scope_of(roles: &str, addresses: Option<&str>) -> Result<Scope, String> {
    let mut scope = Scope::default();
    let mut publishes = false;
    for role in roles.split(',') {
        match role {
            "publish" => publishes = true,
            "read" => scope.read = Some(ReadScope::everything()),
            "operate" => (scope.operator, scope.read) = (true, Some(ReadScope::everything())),
            other => {
                return Err(format!("the role {other:?} is not known; allowed are publish, read, operate"));
            }
        }
    }
    let addresses = addresses.map(|addresses| {
        addresses
            .split(',')
            .map(AddressPattern::parse)
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())
    });
    match (publishes, addresses.transpose()?) {
        (false, Some(_)) => Err("addresses belong to the role publish, which it does not have".to_owned()),
        (publishes, addresses) => {
            let everything = || if publishes { vec![AddressPattern::Everything] } else { Vec::new() };
            scope.write = addresses.unwrap_or_else(everything);
            Ok(scope)
        }
    }
}

/// A new API key: the key, to be shown once, and its line for the file.
///
/// # Errors
/// A text that names the id, role or address that is not valid, or says that the system gives no random bytes.
pub(crate) fn new_api_key(
    id: &str,
    roles: &str,
    addresses: Option<&str>,
) -> Result<(String, String), String> {
    check_id(id)?;
    scope_of(roles, addresses)?;
    let mut bytes = [0; SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gives no random bytes".to_owned())?;
    let secret = URL_SAFE_NO_PAD.encode(bytes);
    let hash = digest(&SHA256, secret.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let addresses = addresses.map(|addresses| format!(" {addresses}")).unwrap_or_default();
    Ok((format!("{PREFIX}{id}.{secret}"), format!("{id} sha256:{hash} {roles}{addresses}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_has_the_rights_of_its_line_and_no_other_key_has() {
        let (key, line) = new_api_key("orders", "publish", Some("topic:orders.*,all")).unwrap();
        let keys = ApiKeys::parse(&format!("# publishers\n\n{line}\n")).unwrap();
        let scope = keys.scope(&key).unwrap();
        let writes = |address: &str| scope.may_write(&address.parse().unwrap());
        assert_eq!((writes("topic:orders.eu"), writes("all"), writes("user:a")), (true, true, false));
        assert!(scope.read.is_none() && !scope.operator);
        assert!(!line.contains(key.split_once('.').unwrap().1), "the file holds the hash alone");
        let (other, _) = new_api_key("orders", "publish", None).unwrap();
        let cut = &key[..key.len() - 1];
        for wrong in [other.as_str(), cut, "ssk_orders.", "ssk_orders", "ssk_x.y", "orders.x", ""] {
            assert_eq!(keys.scope(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn roles_are_publish_read_and_operate() {
        let scope = |roles| {
            let (key, line) = new_api_key("k", roles, None).unwrap();
            ApiKeys::parse(&line).unwrap().scope(&key).unwrap()
        };
        let user = "user:a".parse().unwrap();
        let rights = |roles| {
            let scope = scope(roles);
            (scope.may_write(&user), scope.may_read(&user), scope.operator)
        };
        assert_eq!(rights("publish"), (true, false, false));
        assert_eq!(rights("read"), (false, true, false));
        assert_eq!(rights("operate"), (false, true, true));
        assert_eq!(rights("publish,operate"), (true, true, true));
    }

    #[test]
    fn a_line_that_is_not_valid_is_named_with_what_is_allowed_and_without_its_hash() {
        let hash = format!("sha256:{}", "0".repeat(64));
        for (line, named) in [
            ("orders".to_owned(), "1 fields"),
            (format!("or/ders {hash} publish"), "or/ders"),
            ("orders ssk_secret publish".to_owned(), "sha256:"),
            (format!("orders sha256:{} publish", "g".repeat(64)), "64 hexadecimal"),
            (format!("orders {hash} admin"), "publish, read, operate"),
            (format!("orders {hash} publish topic"), "topic:P"),
            (format!("orders {hash} read topic:a"), "role publish"),
            (format!("a {hash} read\na {hash} read"), "twice"),
            (format!("a {hash} publish all more"), "5 fields"),
        ] {
            let refusal = ApiKeys::parse(&line).unwrap_err();
            assert!(refusal.contains(named) && refusal.starts_with("line "), "{line}: {refusal}");
            assert!(!refusal.contains("ssk_secret"), "{refusal}");
        }
    }
}
