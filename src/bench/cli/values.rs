//! What the values of flags may be. A refusal says what is allowed.

use std::time::Duration;

use crate::protocol::Address;

pub(super) fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        Ok(_) | Err(_) => Err("allowed are numbers above zero".to_owned()),
    }
}

pub(super) fn run_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60)).contains(&duration) {
        Ok(duration)
    } else {
        Err("allowed are durations from 1s to 24h".to_owned())
    }
}

/// Without a slash at its end, so that paths can be added.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|error| format!("{error}; the form is http://HOST:PORT"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("allowed are http and https".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

pub(super) fn stream_url(text: &str) -> Result<String, String> {
    // `{i}` is not allowed in a URL; any number is, in its place.
    let url = reqwest::Url::parse(&text.replace("{i}", "0")).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("allowed are http and https".to_owned());
    }
    let is_base = url.path() == "/" && url.query().is_none();
    Ok(if is_base { format!("{}/api/sse/stream", text.trim_end_matches('/')) } else { text.to_owned() })
}

pub(super) fn recipient(text: &str) -> Result<Address, String> {
    match text {
        "broadcast" => Ok(Address::All),
        _ => text.parse().map_err(|_| "allowed are broadcast, topic:T, user:U and client:C".to_owned()),
    }
}
