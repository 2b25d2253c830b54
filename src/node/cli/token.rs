//! Makes tokens and API keys: a token for trying a node with, signed with its secret, and API keys with the lines of their
//! hashes. Read [`Token`] first.

use std::time::Duration;

use clap::ArgGroup;
use serde_json::{Value, json};

use super::failure::USAGE;
use crate::node::access::{AddressPattern, HmacSecret, Pattern, new_api_key, sign};
use crate::node::config::token_secret;
use crate::protocol::UserId;
use crate::runtime::clock::unix_ms;
use crate::runtime::exit::Failure;

/// Arguments of `sse-node token`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").required(true).args(["secret", "api_key"]))]
pub struct Token {
    /// Make a token (JWT) signed with this secret, the --token-secret of the node, or with that in @FILE
    #[arg(long, value_name = "TEXT|@FILE", value_parser = token_secret)]
    secret: Option<HmacSecret>,
    /// The user that the token is for (sub)
    #[arg(long, requires = "secret", value_parser = UserId::parse)]
    user: Option<UserId>,
    /// Topics that may be read: names, patterns like orders.*, or *
    #[arg(long, requires = "secret", value_delimiter = ',', value_name = "PATTERNS", value_parser = pattern)]
    topics: Vec<String>,
    /// Client ids that may be used [default: the user id, also with a colon and more behind it]
    #[arg(long, requires = "secret", value_delimiter = ',', value_name = "PATTERNS", value_parser = pattern)]
    clients: Option<Vec<String>>,
    /// Further users whose events may be read
    #[arg(long, requires = "secret", value_delimiter = ',', value_name = "PATTERNS", value_parser = pattern)]
    users: Vec<String>,
    /// Let the owner of the token see and manage the node, and read everything
    #[arg(long, requires = "secret")]
    operator: bool,
    /// How long the token is valid
    #[arg(long, requires = "secret", value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// Issuer of the token (iss)
    #[arg(long, requires = "secret", value_name = "TEXT")]
    issuer: Option<String>,
    /// Audience of the token (aud)
    #[arg(long, requires = "secret", value_name = "TEXT")]
    audience: Option<String>,
    /// Make an API key with this id: prints the key, which is shown only once, and its line for --api-keys
    #[arg(long, value_name = "ID", conflicts_with = "secret")]
    api_key: Option<String>,
    /// What the API key may do: publish, read, operate, separated by commas
    #[arg(long, value_name = "ROLES", default_value = "publish", conflicts_with = "secret")]
    roles: String,
    /// Addresses that may be published to: *, all, topic:P, user:P, client:P, node:P, separated by commas
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',', value_parser = address)]
    publish: Option<Vec<String>>,
}

fn pattern(text: &str) -> Result<String, String> {
    Pattern::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn address(text: &str) -> Result<String, String> {
    AddressPattern::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

impl Token {
    pub(super) fn run(self) -> Result<String, Failure> {
        if let Some(id) = &self.api_key {
            let addresses = self.publish.as_ref().map(|addresses| addresses.join(","));
            let made = new_api_key(id, &self.roles, addresses.as_deref());
            let (key, line) = made.map_err(|why| Failure::new(USAGE, why))?;
            return Ok(format!("{key}\n{line}\n"));
        }
        let Some(secret) = &self.secret else {
            return Err(Failure::new(USAGE, "--secret or --api-key is missing"));
        };
        let token = sign(&self.claims(unix_ms() / 1_000), secret).map_err(|error| Failure::new(1, error))?;
        Ok(format!("{token}\n"))
    }

    fn claims(&self, now: u64) -> Value {
        let mut ours = json!({ "topics": self.topics, "users": self.users, "publish": self.publish.clone().unwrap_or_default() });
        if let Some(clients) = &self.clients {
            ours["clients"] = json!(clients);
        }
        if self.operator {
            ours["operator"] = json!(true);
        }
        let mut claims = json!({
            "iat": now,
            "exp": now + self.ttl.as_secs(),
            "jti": ulid::Ulid::generate().to_string(),
            "sse": ours,
        });
        let texts = [
            ("sub", self.user.as_ref().map(UserId::as_str)),
            ("iss", self.issuer.as_deref()),
            ("aud", self.audience.as_deref()),
        ];
        for (claim, text) in texts {
            if let Some(text) = text {
                claims[claim] = json!(text);
            }
        }
        claims
    }
}
