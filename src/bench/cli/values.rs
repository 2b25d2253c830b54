//! Parsers of flag values. An error says what is allowed.

use std::ffi::OsStr;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command};

use crate::bench::scenario;
use crate::protocol::Address;

pub(super) fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        Ok(_) | Err(_) => Err("allowed are numbers above zero".to_owned()),
    }
}

pub(super) fn run_duration(text: &str) -> Result<Duration, String> {
    let allowed = "allowed are durations from 1s to 24h, as in 1m30s";
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error}; {allowed}"))?;
    if (Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60)).contains(&duration) {
        Ok(duration)
    } else {
        Err(allowed.to_owned())
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; allowed are durations, as in 500ms, 90s or 1m30s"))
}

/// A base URL without a slash at its end, so that paths can be appended.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|error| format!("{error}; the form is http://HOST:PORT"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("allowed are http and https".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

pub(super) fn stream_url(text: &str) -> Result<String, String> {
    // `{i}` is not allowed in a URL, so a number stands in for it.
    let url = reqwest::Url::parse(&text.replace("{i}", "0"))
        .map_err(|error| format!("{error}; the form is http://HOST:PORT/PATH"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("allowed are http and https".to_owned());
    }
    let is_base = url.path() == "/" && url.query().is_none();
    Ok(if is_base { format!("{}/api/sse/stream", text.trim_end_matches('/')) } else { text.to_owned() })
}

/// Refuses a URL with user name or password, because URLs appear in reports. This check runs before any other, since
/// other errors repeat the value.
pub(super) fn no_credentials(
    read: fn(&str) -> Result<String, String>,
) -> impl TypedValueParser<Value = String> {
    NoCredentials(read)
}

#[derive(Debug, Clone)]
struct NoCredentials(fn(&str) -> Result<String, String>);

impl TypedValueParser for NoCredentials {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        if !value.to_str().is_some_and(scenario::has_credentials) {
            return self.0.parse_ref(command, arg, value);
        }
        let flag = arg.map(|arg| format!(" for '{arg}'")).unwrap_or_default();
        let why = format!("a URL{flag} must not hold a user name or password, because it appears in reports");
        let remedy = match command.get_name() {
            "swarm" => "use --header 'Authorization: …'",
            _ => scenario::WHERE_CREDENTIALS_GO,
        };
        let text = format!("{why}; {remedy}\n");
        Err(clap::Error::raw(ErrorKind::ValueValidation, text).with_cmd(command))
    }
}

pub(super) fn recipient(text: &str) -> Result<Address, String> {
    match text {
        "broadcast" => Ok(Address::All),
        _ => text.parse().map_err(|_| "allowed are broadcast, topic:T, user:U and client:C".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        let parse_as = |name: &'static str, url: &str| {
            let command =
                Command::new(name).arg(Arg::new("t").long("t").value_parser(no_credentials(base_url)));
            command.try_get_matches_from([name, "--t", url]).map(|_| ()).map_err(|error| error.to_string())
        };
        let parse = |url: &str| parse_as("run", url);
        for url in ["https://u:secret@h:1", "https://u:secret@h:99999", "ftp://secret@h"] {
            let said = parse(url).unwrap_err();
            assert!(said.contains("--t") && said.contains("headers (Authorization)"), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
        let said = parse_as("swarm", "https://u:secret@h:1").unwrap_err();
        assert!(said.contains("--header") && !said.contains("secret"), "{said}");
        assert_eq!(parse("https://h:1/@me"), Ok(()));
    }
}
