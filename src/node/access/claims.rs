//! The claims of a token, and the scope that they give: ours (`sse`), those of Mercure 0.x and 1.0, and those of
//! Centrifugo. What is not understood is refused where it could mean more than it says. Read [`Claims::scope`] first.

use std::collections::BTreeMap;

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::pattern::{AddressPattern, Pattern};
use super::scope::{ReadScope, Scope, own_clients, publisher};
use crate::node::limits::TOKEN_PATTERNS_MAX;
use crate::protocol::{Topic, UserId};

/// The type of Mercure's entries in `authorization_details`.
const MERCURE_DETAIL: &str = "https://mercure.rocks/authorization-detail";
/// Dates beyond this are not dates: the year 10000, in seconds.
const LATEST: u64 = 253_402_300_800;

/// The claims that mean something here. Others are ignored.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Claims {
    #[serde(default, deserialize_with = "date")]
    pub(super) exp: Option<u64>,
    #[serde(default, deserialize_with = "date")]
    pub(super) nbf: Option<u64>,
    #[serde(default, deserialize_with = "date")]
    pub(super) iat: Option<u64>,
    pub(super) iss: Option<String>,
    pub(super) aud: Option<OneOrMany>,
    pub(super) sub: Option<String>,
    pub(super) jti: Option<String>,
    sse: Option<Ours>,
    /// Centrifugo: channels that a connection subscribes to without being asked.
    channels: Option<Vec<String>>,
    /// Centrifugo: the same, with options.
    subs: Option<BTreeMap<String, IgnoredAny>>,
    /// Centrifugo: the channel of a subscription token.
    channel: Option<String>,
    mercure: Option<Mercure>,
    #[serde(rename = "https://mercure.rocks/")]
    mercure_by_url: Option<Mercure>,
    authorization_details: Option<Vec<serde_json::Value>>,
}

/// A claim that is a text, or a list of texts.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

/// The claim `sse`. An unknown key is refused: a misspelt one would allow less than was meant.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ours {
    #[serde(default)]
    topics: Vec<String>,
    #[serde(default)]
    users: Vec<String>,
    clients: Option<Vec<String>>,
    #[serde(default)]
    publish: Vec<String>,
    #[serde(default)]
    operator: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Mercure {
    subscriber: Option<String>,
    #[serde(default)]
    subscribe: Vec<String>,
    #[serde(default)]
    publish: Vec<String>,
}

/// An entry of `authorization_details` by Mercure 1.0.
#[derive(Debug, Deserialize)]
struct Detail {
    actions: Vec<String>,
    topics: Vec<Matcher>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Matcher {
    #[serde(rename = "match")]
    text: String,
    #[serde(default = "exact")]
    match_type: String,
}

fn exact() -> String {
    "exact".to_owned()
}

/// A date in seconds since 1970. A fraction is cut off; a text, a negative number and one that is no date are refused.
fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    let whole = || {
        let number = number.as_f64().filter(|number| (0.0..=1e12).contains(number))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in the range")]
        Some(number as u64)
    };
    let seconds = number.as_u64().or_else(whole).filter(|seconds| *seconds <= LATEST);
    seconds
        .map(Some)
        .ok_or_else(|| D::Error::custom(format!("{number} is not a number of seconds since 1970")))
}

/// What the claims of other servers and ours have in common.
#[derive(Debug, Default)]
struct Found {
    topics: Vec<Pattern>,
    write: Vec<AddressPattern>,
    default_topics: Vec<Topic>,
}

impl Claims {
    /// What the owner of the token may do.
    ///
    /// # Errors
    /// A text that names the claim and what is wrong with it.
    pub(super) fn scope(&self) -> Result<Scope, String> {
        let ours = self.sse.clone().unwrap_or_default();
        let found = self.found(&ours)?;
        let user = self.user()?;
        let clients = match &ours.clients {
            Some(clients) => patterns("sse.clients", clients)?,
            None => user.as_ref().map(own_clients).unwrap_or_default(),
        };
        let users = patterns("sse.users", &ours.users)?;
        let count = found.topics.len() + found.write.len() + clients.len() + users.len();
        if count > TOKEN_PATTERNS_MAX {
            return Err(format!("it has {count} patterns; allowed are up to {TOKEN_PATTERNS_MAX}"));
        }
        let reads_nothing =
            user.is_none() && found.topics.is_empty() && users.is_empty() && clients.is_empty();
        let publisher = user.as_ref().map(publisher);
        // A token to publish with is none to read with; any other one reads at least what is for all.
        let read = if reads_nothing && !found.write.is_empty() {
            None
        } else if ours.operator {
            Some(ReadScope { user, default_topics: found.default_topics, ..ReadScope::everything() })
        } else {
            Some(ReadScope {
                user,
                users,
                clients,
                topics: found.topics,
                default_topics: found.default_topics,
            })
        };
        Ok(Scope {
            read: if ours.operator { read.or_else(|| Some(ReadScope::everything())) } else { read },
            write: found.write,
            operator: ours.operator,
            publisher,
            expires_at: self.exp,
            issued_at: self.iat,
            token_id: self.jti.as_deref().map(Into::into),
        })
    }

    fn user(&self) -> Result<Option<UserId>, String> {
        let mercure = self.mercure.iter().chain(&self.mercure_by_url);
        let subscriber = mercure.filter_map(|mercure| mercure.subscriber.as_ref()).next();
        match self.sub.as_ref().or(subscriber).filter(|user| !user.is_empty()) {
            Some(user) => UserId::parse(user).map(Some).map_err(|error| format!("sub: {error}")),
            None => Ok(None),
        }
    }

    fn found(&self, ours: &Ours) -> Result<Found, String> {
        let mut found = Found { topics: patterns("sse.topics", &ours.topics)?, ..Found::default() };
        for text in &ours.publish {
            let pattern = AddressPattern::parse(text).map_err(|error| format!("sse.publish: {error}"))?;
            found.write.push(pattern);
        }
        for mercure in self.mercure.iter().chain(&self.mercure_by_url) {
            found.topics.extend(patterns("mercure.subscribe", &mercure.subscribe)?);
            let publish = patterns("mercure.publish", &mercure.publish)?;
            found.write.extend(publish.into_iter().map(AddressPattern::Topic));
        }
        for detail in self.authorization_details.iter().flatten() {
            found.add_detail(detail).map_err(|error| format!("authorization_details: {error}"))?;
        }
        let channels = self.channels.iter().flatten();
        for channel in channels.chain(self.subs.iter().flat_map(BTreeMap::keys)).chain(&self.channel) {
            // A channel is a name, whatever characters it has.
            let topic = Topic::parse(channel).map_err(|error| format!("channels: {error}"))?;
            found.topics.push(Pattern::exact(channel));
            found.default_topics.push(topic);
        }
        found.default_topics.sort();
        found.default_topics.dedup();
        Ok(found)
    }
}

impl Found {
    /// One entry that is not understood refuses the token, unless it is of another type.
    fn add_detail(&mut self, detail: &serde_json::Value) -> Result<(), String> {
        if detail.get("type").and_then(serde_json::Value::as_str) != Some(MERCURE_DETAIL) {
            return Ok(());
        }
        let detail = Detail::deserialize(detail).map_err(|error| error.to_string())?;
        let mut topics = Vec::new();
        for Matcher { text, match_type } in &detail.topics {
            topics.push(match match_type.as_str() {
                "exact" if text == "*" => Pattern::any(),
                "exact" => Pattern::exact(text),
                "urlpattern" => Pattern::parse(text).map_err(|error| error.to_string())?,
                other => {
                    return Err(format!("match_type {other:?} is not known; allowed are exact, urlpattern"));
                }
            });
        }
        for action in &detail.actions {
            match action.as_str() {
                "subscribe" => self.topics.extend(topics.iter().cloned()),
                "publish" => self.write.extend(topics.iter().cloned().map(AddressPattern::Topic)),
                other => {
                    return Err(format!("the action {other:?} is not known; allowed are publish, subscribe"));
                }
            }
        }
        Ok(())
    }
}

fn patterns(claim: &str, texts: &[String]) -> Result<Vec<Pattern>, String> {
    texts.iter().map(|text| Pattern::parse(text).map_err(|error| format!("{claim}: {error}"))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::protocol::Address;

    fn scope(claims: Value) -> Result<Scope, String> {
        serde_json::from_value::<Claims>(claims).map_err(|error| error.to_string())?.scope()
    }

    /// What the claims allow to read and to write, of these addresses.
    #[track_caller]
    fn check(claims: Value, reads: &[&str], writes: &[&str]) {
        let scope = scope(claims).unwrap();
        for text in [
            "all",
            "user:alice",
            "user:bob",
            "client:alice",
            "client:bob",
            "topic:orders.eu",
            "topic:news",
            "topic:*",
            "node:n",
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(scope.may_read(&address), reads.contains(&text), "read {text}: {scope:?}");
            assert_eq!(scope.may_write(&address), writes.contains(&text), "write {text}: {scope:?}");
        }
    }

    #[test]
    fn a_bare_token_reads_what_is_for_all_and_for_its_user() {
        check(json!({}), &["all", "node:n"], &[]);
        check(json!({ "sub": "" }), &["all", "node:n"], &[]);
        check(json!({ "sub": "alice" }), &["all", "node:n", "user:alice", "client:alice"], &[]);
    }

    #[test]
    fn our_claims_name_what_is_read_and_written() {
        let topics = json!({ "sub": "alice", "sse": { "topics": ["orders.{region}"], "clients": [] } });
        check(topics, &["all", "node:n", "user:alice", "topic:orders.eu"], &[]);
        let service = json!({ "sse": { "users": ["b*"], "clients": ["bob"] } });
        check(service, &["all", "node:n", "user:bob", "client:bob"], &[]);
        check(
            json!({ "sse": { "publish": ["topic:*", "user:bob"] } }),
            &[],
            &["user:bob", "topic:orders.eu", "topic:news", "topic:*"],
        );
        let operator = scope(json!({ "sub": "root", "sse": { "operator": true } })).unwrap();
        assert!(operator.operator && operator.write.is_empty());
        assert!(operator.may_read(&"user:bob".parse().unwrap()));
        assert!(!scope(json!({ "operator": true, "role": "operator" })).unwrap().operator);
    }

    #[test]
    fn tokens_of_mercure_are_understood() {
        let topics = ["topic:orders.eu", "topic:news", "topic:*"];
        for claim in ["mercure", "https://mercure.rocks/"] {
            let claims =
                json!({ claim: { "subscriber": "alice", "subscribe": ["*"], "payload": { "a": 1 } } });
            check(
                claims,
                &["all", "node:n", "user:alice", "client:alice", topics[0], topics[1], topics[2]],
                &[],
            );
            check(json!({ claim: { "publish": ["*"] } }), &[], &topics);
            check(json!({ claim: { "publish": ["news", "https://a/{id}"] } }), &[], &["topic:news"]);
        }
        let detail = |actions: Value, topics: Value| {
            json!({ "sub": "alice", "sse": { "clients": [] }, "authorization_details": [
                { "type": "payment", "actions": ["pay"] },
                { "type": MERCURE_DETAIL, "actions": actions, "topics": topics, "payload": 1 },
            ] })
        };
        let own = ["all", "node:n", "user:alice"];
        check(
            detail(json!(["subscribe", "publish"]), json!([{ "match": "*" }])),
            &[&own[..], &topics].concat(),
            &topics,
        );
        let exact = detail(json!(["subscribe"]), json!([{ "match": "news", "match_type": "exact" }]));
        check(exact, &[&own[..], &["topic:news"]].concat(), &[]);
        let pattern =
            detail(json!(["publish"]), json!([{ "match": "orders.*", "match_type": "urlpattern" }]));
        check(pattern, &own, &["topic:orders.eu"]);
        for (bad, named) in [
            (detail(json!(["subscribe"]), json!([{ "match": "a", "match_type": "regexp" }])), "regexp"),
            (detail(json!(["subscribe"]), json!([{ "match": "(a)", "match_type": "urlpattern" }])), "(a)"),
            (detail(json!(["own"]), json!([{ "match": "a" }])), "own"),
            (detail(json!("subscribe"), json!([])), "authorization_details"),
        ] {
            let refusal = scope(bad).unwrap_err();
            assert!(refusal.contains(named), "{refusal}");
        }
    }

    #[test]
    fn channels_of_centrifugo_are_read_and_subscribed_without_being_asked() {
        let claims = json!({ "sub": "alice", "channels": ["news"], "subs": { "orders.eu": { "info": {} } }, "info": {} });
        let alice = scope(claims.clone()).unwrap();
        assert_eq!(alice.read.unwrap().default_topics.len(), 2);
        let own = ["all", "node:n", "user:alice", "client:alice"];
        check(claims, &[&own[..], &["topic:news", "topic:orders.eu"]].concat(), &[]);
        check(json!({ "sub": "alice", "channels": ["*"] }), &[&own[..], &["topic:*"]].concat(), &[]);
    }

    #[test]
    fn a_claim_that_is_not_understood_refuses_the_token_and_is_named() {
        for (claims, named) in [
            (json!({ "exp": "123" }), "123"),
            (json!({ "exp": 1e300 }), "seconds since 1970"),
            (json!({ "exp": -1 }), "-1"),
            (json!({ "nbf": [] }), "invalid type"),
            (json!({ "sub": "a/b" }), "sub"),
            (json!({ "sub": 7 }), "invalid type"),
            (json!({ "sse": { "topic": ["a"] } }), "topic"),
            (json!({ "sse": { "topics": ["a*b"] } }), "a*b"),
            (json!({ "sse": { "publish": ["orders"] } }), "orders"),
            (json!({ "sse": { "operator": "yes" } }), "invalid type"),
            (json!({ "mercure": { "subscribe": ["{+a}"] } }), "{+a}"),
            (json!({ "sse": { "topics": vec!["a"; 65] } }), "64"),
        ] {
            let refusal = scope(claims.clone()).unwrap_err();
            assert!(refusal.contains(named), "{claims}: {refusal}");
        }
        assert_eq!(scope(json!({ "exp": 12.9 })).unwrap().expires_at, Some(12));
    }
}
