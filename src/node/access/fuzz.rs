//! Targets of `make fuzz`: tokens, keys, and patterns of names.

use std::sync::OnceLock;

use super::keys::{HmacSecret, Keys};
use super::pattern::{AddressPattern, Pattern};
use super::revocations::REVOCATIONS;
use super::token::{TokenRules, sign};
use crate::node::limits::TOKEN_PATTERNS_MAX;
use crate::protocol::{Address, ClientId};

const NOW: u64 = 1_800_000_000;
const LEEWAY: u64 = 5;
const SECRET: &str = "a secret that no input of the fuzzer knows";

fn keys() -> &'static (HmacSecret, Keys) {
    static KEYS: OnceLock<(HmacSecret, Keys)> = OnceLock::new();
    KEYS.get_or_init(|| {
        let secret = HmacSecret::parse(SECRET).expect("it is long enough");
        let keys = Keys::default().with_secret(&secret).expect("it is a key");
        (secret, keys)
    })
}

/// A text as a token, as keys, and as the claims of a token that is signed rightly.
pub(crate) fn token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (secret, keys) = keys();
    let rules = TokenRules { issuer: None, audiences: Vec::new(), leeway: LEEWAY };
    assert!(rules.verify(&text, keys, NOW).is_err(), "nobody can sign without the secret");
    match Keys::parse(&text) {
        Ok(keys) => assert!(!keys.is_empty()),
        Err(why) => assert!(why.contains("allowed are") || why.contains("JWKS"), "{why}"),
    }
    let Ok(claims) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let Ok(token) = sign(&claims, secret) else { return };
    match rules.verify(&token, keys, NOW) {
        Err(why) => assert!(!why.to_string().contains(&token) && why.to_string().len() < 4_096, "{why}"),
        Ok(scope) => {
            let exp = claims["exp"].as_f64().expect("it is required");
            assert!(exp + LEEWAY as f64 > NOW as f64 && claims.is_object(), "{claims}");
            assert!(claims["nbf"].as_f64().is_none_or(|nbf| nbf < (NOW + LEEWAY + 1) as f64), "{claims}");
            assert_eq!(scope.operator, claims["sse"]["operator"] == true);
            assert!(scope.write.is_empty() || claims.to_string().contains("publish"), "{claims}");
            assert!(scope.write.len() <= TOKEN_PATTERNS_MAX);
            let reserved = Address::Client(ClientId::parse(REVOCATIONS).expect("it is a name"));
            assert!(!scope.may_read(&reserved) && !scope.may_write(&reserved));
            altered(&token, bytes, &rules, keys);
        }
    }
}

/// A token with another byte is none.
fn altered(token: &str, bytes: &[u8], rules: &TokenRules, keys: &Keys) {
    let mut altered = token.to_owned().into_bytes();
    let at = bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>() % altered.len();
    altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8_lossy(&altered);
    assert!(rules.verify(&altered, keys, NOW).is_err(), "{altered} beside {token}");
}

/// A pattern, and behind a line end a name: matched as by trying every length of a segment.
pub(crate) fn pattern(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (text, name) = text.split_once('\n').unwrap_or((&text, "a/b:c"));
    assert!(Pattern::exact(name).matches(name) && Pattern::any().matches(name));
    let parsed = Pattern::parse(text);
    if let Ok(pattern) = &parsed {
        assert_eq!(pattern.matches(name), means(text, true, name), "{text:?} {name:?}");
    }
    let addresses = AddressPattern::parse(text);
    for (kind, behind) in ["topic:", "user:", "client:", "node:"].map(|kind| (kind, text.strip_prefix(kind)))
    {
        let Some(behind) = behind else { continue };
        let of_names = Pattern::parse(behind);
        assert_eq!(addresses.is_ok(), of_names.is_ok(), "{text:?}");
        if let (Ok(addresses), Ok(of_names), Ok(address)) =
            (&addresses, of_names, format!("{kind}{name}").parse::<Address>())
        {
            let is_whole = !matches!(address, Address::NodeClient(..));
            assert!(!is_whole || addresses.matches(&address) == of_names.matches(name), "{text:?} {address}");
            assert!(!addresses.matches(&Address::All), "{text:?}");
        }
    }
    if let Ok(addresses) = &addresses {
        assert_eq!(addresses.matches(&Address::All), matches!(text, "*" | "all"), "{text:?}");
    }
}

/// What the pattern means, character by character; `begins`: a segment of a path may begin here.
fn means(pattern: &str, begins: bool, name: &str) -> bool {
    let rest = match pattern.chars().next() {
        None => return name.is_empty(),
        Some('*') => return true,
        Some('{') => pattern.split_once('}').map(|(_, rest)| rest),
        Some(':') if begins => Some(pattern.find('/').map_or("", |end| &pattern[end..])),
        Some(c) => {
            return name.strip_prefix(c).is_some_and(|name| means(&pattern[c.len_utf8()..], c == '/', name));
        }
    };
    let longest = name.find(['/', '.', ':']).unwrap_or(name.len());
    let ends = name.char_indices().map(|(at, c)| at + c.len_utf8()).filter(|end| *end <= longest);
    rest.is_some_and(|rest| ends.into_iter().any(|end| means(rest, false, &name[end..])))
}
