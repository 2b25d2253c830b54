//! wording

use std::time::Duration;

use crate::bench::metrics::format::readable;
use crate::bench::verdict::ledger::Example;
use crate::bench::verdict::outcome::Status;

/// A status in one word.
#[must_use]
pub(super) fn word(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Note => "note",
        Status::Unknown => "unknown",
        Status::Fail => "fail",
    }
}

/// For texts and attributes of XML and HTML. Control characters, which XML has no place for, become `�`.
#[must_use]
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// `main → topic:room-7 #88123..88135 at steady-412 (and 40 more), in kill-1`
pub(super) fn sentence(example: &Example) -> String {
    let mut text = String::new();
    if let Some((publisher, address)) = example.publisher.as_ref().zip(example.address.as_ref()) {
        text = format!("{publisher} → {address}");
    }
    if let Some(seq) = example.seq {
        let numbers = if seq.first == seq.last {
            seq.first.to_string()
        } else {
            format!("{}..{}", seq.first, seq.last)
        };
        text = format!("{text} #{numbers}");
    }
    if let Some(subscriber) = &example.subscriber {
        text = format!("{text} at {subscriber}");
    }
    if !example.note.is_empty() {
        text = format!("{text} ({})", example.note);
    }
    if let Some(fault) = &example.fault {
        text = format!("{text}, in {fault}");
    }
    text.trim_start().to_owned()
}

pub(super) fn plural(count: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// `1 204 331`
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

pub(super) fn time(ms: Option<f64>) -> String {
    ms.map_or_else(|| "–".to_owned(), |ms| readable(Duration::from_secs_f64(ms / 1e3)))
}
