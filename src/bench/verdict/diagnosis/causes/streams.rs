//! How streams end: after a silence, at an age, in the middle of an event. Read [`causes`] first.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::bench::metrics::format::readable;
use crate::bench::verdict::diagnosis::finding::{Cause, Explained};
use crate::bench::verdict::diagnosis::observations::{EndedBy, Observations, StreamEnd};
use crate::bench::verdict::ledger::AnomalyKind::{Lost, NeverPublished, Unseen};

/// A shorter silence or age is no limit of anybody, in milliseconds.
const LIMIT_MIN: u64 = 1_000;
/// Ends that show a limit.
const ENDS_MIN: usize = 3;
/// Share of the ends that must lie at the limit, in percent.
const SHARE: usize = 75;
/// Limits that proxies and servers have by default, in seconds: an end at one of these needs no second one.
const USUAL: [u64; 14] = [5, 10, 15, 20, 30, 45, 55, 60, 75, 90, 100, 120, 180, 300];

pub(in crate::bench::verdict::diagnosis) fn causes(seen: &Observations) -> Vec<Explained> {
    let limit = silence(seen).or_else(|| age(seen));
    [blank_line(seen), http10(seen), limit].into_iter().flatten().collect()
}

/// How far from a limit an end may lie: timers, and the way to the client.
fn tolerance(limit: u64) -> u64 {
    150 + limit / 20
}

/// The value around which most of the values lie, and how many do.
fn common(values: impl Iterator<Item = u64>) -> Option<(u64, usize)> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let middle = *values.get(values.len() / 2)?;
    let near = values.iter().filter(|value| value.abs_diff(middle) <= tolerance(middle)).count();
    let is_common = values.len() >= ENDS_MIN && near * 100 >= values.len() * SHARE;
    (is_common && middle >= LIMIT_MIN).then_some((middle, near))
}

/// Whether the ends show a limit, not one event that ended all streams at once.
fn is_a_limit(ends: &[StreamEnd], limit: u64) -> bool {
    let is_usual = USUAL.iter().any(|usual| limit.abs_diff(usual * 1_000) <= 150 + usual * 10);
    let instants: BTreeSet<u64> = ends.iter().map(|end| end.at / (limit / 4).max(250)).collect();
    is_usual || instants.len() > 2
}

fn by_the_server(seen: &Observations) -> Vec<StreamEnd> {
    seen.ends.iter().filter(|end| end.by != EndedBy::Client).copied().collect()
}

fn silence(seen: &Observations) -> Option<Explained> {
    let ends = by_the_server(seen);
    let (limit, near) = common(ends.iter().map(|end| end.silence))?;
    if !is_a_limit(&ends, limit) {
        return None;
    }
    let text = readable(Duration::from_millis(limit));
    let third = readable(Duration::from_millis(limit / 3));
    let heartbeats = match seen.events.comments {
        0 => "no comment was received as a heartbeat".to_owned(),
        count => format!("{count} comments were received, too few"),
    };
    Some(Explained::new(
        Cause::SilenceLimit,
        format!("Streams end after {text} of silence: a read timeout of a proxy or server between"),
        format!("{near} of {} streams that were ended had been silent for {text}; {heartbeats}", ends.len()),
        format!(
            "send a comment as a heartbeat every {third}, or raise the timeout (nginx: proxy_read_timeout)"
        ),
    ))
}

fn age(seen: &Observations) -> Option<Explained> {
    let ends = by_the_server(seen);
    let (limit, near) = common(ends.iter().map(|end| end.age))?;
    if !is_a_limit(&ends, limit) {
        return None;
    }
    let text = readable(Duration::from_millis(limit));
    Some(Explained::new(
        Cause::AgeLimit,
        format!("The server closes streams at exactly {text} of age, busy or not"),
        format!("{near} of {} streams that were ended were {text} old", ends.len()),
        "raise the limit of a request's duration (a timeout for whole responses is not meant for streams), and spread what \
         remains: all clients that connected together come back together",
    ))
}

/// A clean end in the middle of a line: the sender broke off, and the framing does not show it.
fn http10(seen: &Observations) -> Option<Explained> {
    let is_old = |text: &str| text.trim_start_matches("HTTP/").starts_with("1.0");
    let old = seen.heads.iter().find_map(|(head, count)| {
        let via = head.via.as_deref().filter(|via| is_old(via)).map(|via| format!("Via: {via}"));
        let version = is_old(&head.version).then(|| head.version.clone());
        Some((version.or(via)?, *count))
    });
    let evidence = match (&old, seen.cut_in_a_line) {
        (None, 0) => return None,
        (Some((what, count)), 0) => format!("{count} heads say {what}"),
        (Some((what, count)), cut) => {
            format!("{count} heads say {what}; {cut} streams ended properly in the middle of a line")
        }
        (None, cut) => format!("{cut} streams ended properly in the middle of a line"),
    };
    Some(Explained::new(
        Cause::Http10,
        "HTTP/1.0 is spoken between you and the server, so that an abort looks like an end",
        evidence,
        "speak HTTP/1.1 on all parts of the way (nginx: proxy_http_version 1.1 and an empty Connection header), so that a \
         response that breaks off is an error for the client",
    ))
}

fn blank_line(seen: &Observations) -> Option<Explained> {
    let evidence = match (seen.events.joined, seen.cut_in_a_block) {
        (0, 0) => return None,
        (0, cut) => format!("in {cut} streams the last event was never ended, so no client can see it"),
        (joined, _) => format!("{joined} events held the data of several publishes"),
    };
    let found = Explained::new(
        Cause::NoBlankLine,
        "Events lack the blank line that ends them: clients see them late, joined, or never",
        evidence,
        "end every event with an empty line: data: …, line end, line end",
    );
    Some(found.explains(&[NeverPublished, Lost, Unseen]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The causes that ends show: their times, ages and silences, in milliseconds.
    fn found(ends: &[(u64, u64, u64)]) -> Vec<(Cause, String)> {
        let end = |(at, age, silence): &(u64, u64, u64)| StreamEnd {
            at: *at,
            age: *age,
            silence: *silence,
            by: EndedBy::Server,
        };
        let seen = Observations { ends: ends.iter().map(end).collect(), ..Observations::default() };
        causes(&seen).into_iter().map(|found| (found.finding.cause, found.finding.what)).collect()
    }

    #[test]
    fn a_server_that_ended_once_has_no_limit() {
        let crash: Vec<_> = (0..20).map(|number| (9_300 + number, 9_300, 3_400)).collect();
        assert_eq!(found(&crash), []);
        let drain: Vec<_> = (0..20).map(|number| (number * 400, number * 400, 10)).collect();
        assert_eq!(found(&drain), [], "spread over time, at no age of their own");
        assert_eq!(found(&[(60_000, 60_000, 60_000), (61_000, 60_000, 60_000)]), [], "two say nothing");
    }

    #[test]
    fn a_usual_limit_needs_no_second_time_and_an_unusual_one_does() {
        let once: Vec<_> = (0..6).map(|number| (60_040 + number, 60_040, 60_030)).collect();
        let found_once = found(&once);
        assert_eq!(found_once[0].0, Cause::SilenceLimit);
        assert!(found_once[0].1.contains("60.0s"), "{found_once:?}");
        let aged: Vec<_> = (1..7).map(|number| (number * 7_300, 7_300, 15)).collect();
        assert_eq!(found(&aged)[0].0, Cause::AgeLimit);
    }
}
