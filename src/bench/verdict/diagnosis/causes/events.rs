//! What events themselves show: their ids, and when they arrive. Read [`causes`] first.

use std::time::Duration;

use crate::bench::exit::Exit;
use crate::bench::metrics::format::readable;
use crate::bench::scenario::Guarantee;
use crate::bench::scenario::dialect::{Ids, Resume};
use crate::bench::verdict::diagnosis::diagnose::Judgement;
use crate::bench::verdict::diagnosis::finding::{Cause, Explained};
use crate::bench::verdict::diagnosis::observations::Observations;
use crate::bench::verdict::ledger::AnomalyKind::{
    IdGoesBack, InconsistentId, Lost, MisplacedResume, StalledStream, Unseen,
};

/// Ids rise as a rule if they do so this often for each time that they do not; random ones do every other time.
const RULE: u64 = 9;

pub(in crate::bench::verdict::diagnosis) fn causes(
    judgement: &Judgement<'_>,
) -> impl Iterator<Item = Explained> + use<> {
    let held_back = compressed_for_good(judgement).or_else(|| held_back(judgement));
    [no_ids(judgement), no_cursor(judgement), ids(judgement), held_back].into_iter().flatten()
}

fn no_ids(judgement: &Judgement<'_>) -> Option<Explained> {
    let (seen, plan) = (judgement.observations, judgement.input.plan);
    let resumes = plan.dialect.as_ref().is_none_or(|dialect| dialect.resume != Resume::No);
    let is_promised = plan.verify.delivery != Guarantee::AtMostOnce;
    if seen.events.with_id > 0 || seen.events.without_id == 0 || !(resumes && is_promised) {
        return None;
    }
    let found = Explained::new(
        Cause::NoIds,
        "Events have no id:, so nothing can be resumed: what happens while a client is away is gone",
        format!(
            "none of {} events had an id; {} of {} reconnects sent no Last-Event-ID",
            seen.events.without_id, seen.without_cursor, seen.reconnects
        ),
        "send an id: with each event, the place of the event in a log, and replay what stands behind Last-Event-ID; or \
         promise at-most-once (verify.delivery) and let clients load their state again",
    );
    Some(if seen.reconnects > 0 { found.explains(&[Lost, Unseen, MisplacedResume]) } else { found })
}

fn no_cursor(judgement: &Judgement<'_>) -> Option<Explained> {
    let (seen, account) = (judgement.observations, judgement.input.account);
    let is_silent = seen.events.with_id > 0 && seen.reconnects > 0 && seen.without_cursor == seen.reconnects;
    if !is_silent || account.lost + account.unseen == 0 {
        return None;
    }
    let found = Explained::new(
        Cause::NoCursor,
        "Clients come back without Last-Event-ID, so the server cannot know what they have missed",
        format!(
            "none of {} reconnects sent one, though {} events had an id",
            seen.reconnects, seen.events.with_id
        ),
        "let clients send the last id that they received, as EventSource does (reconnect.last_event_id, dialect.resume)",
    );
    Some(found.explains(&[Lost, Unseen]))
}

fn ids(judgement: &Judgement<'_>) -> Option<Explained> {
    let (seen, plan) = (judgement.observations, judgement.input.plan);
    if plan.dialect.as_ref().is_some_and(|dialect| dialect.ids != Ids::All) {
        return None;
    }
    let goes_back = seen.events.falling > 0 && seen.events.rising >= RULE * seen.events.falling;
    let (what, evidence) = match (seen.events.repeated, goes_back) {
        (0, false) => return None,
        (0, true) => ("Ids go back", format!("{} times below the one before", seen.events.falling)),
        (_, false) => ("Ids repeat", format!("{} times the same as the one before", seen.events.repeated)),
        (_, true) => (
            "Ids repeat and go back",
            format!(
                "{} times the same as the one before, {} times below it",
                seen.events.repeated, seen.events.falling
            ),
        ),
    };
    let found = Explained::new(
        Cause::IdsGoBack,
        format!("{what} within a stream, so a client that reconnects names the wrong place"),
        format!("of {} events with an id, {evidence}", seen.events.with_id),
        "take the id from the place in one log, not from a clock or from a counter of each process",
    );
    Some(found.explains(&[InconsistentId, IdGoesBack]))
}

const FLUSH: &str = "leave text/event-stream out of the compression, or flush the compressor after each event (Express: res.flush() of \
     compression(), or its option filter)";

/// Compressed streams that bring nothing: the compressor waits for more than ever comes.
fn compressed_for_good(judgement: &Judgement<'_>) -> Option<Explained> {
    let (seen, account) = (judgement.observations, judgement.input.account);
    let is_missed = account.lost + account.unseen + account.stalled_deliveries > 0;
    if !is_missed || seen.compressed == 0 || seen.compressed_silent * 2 < seen.compressed {
        return None;
    }
    let encoding = encoding(seen)?;
    let found = Explained::new(
        Cause::Compressed,
        format!(
            "The stream is compressed ({encoding}), and the compressor holds all events back: it is not flushed"
        ),
        format!(
            "{} of {} streams with Content-Encoding: {encoding} brought no event; {} of {} owed deliveries arrived",
            seen.compressed_silent, seen.compressed, account.ok, account.expected
        ),
        FLUSH,
    );
    Some(found.explains(&[Lost, Unseen, StalledStream]))
}

/// The coding of the first compressed stream.
fn encoding(seen: &Observations) -> Option<&str> {
    let is_coded = |encoding: &&str| !encoding.eq_ignore_ascii_case("identity");
    seen.heads.iter().find_map(|(head, _)| head.content_encoding.as_deref().filter(is_coded))
}

fn held_back(judgement: &Judgement<'_>) -> Option<Explained> {
    let bursts = &judgement.observations.bursts;
    let is_ours = judgement.verdict.problems.iter().any(|problem| problem.exit == Exit::Invalid);
    if is_ours || bursts.bursty == 0 || bursts.bursty * 2 < bursts.streams {
        return None;
    }
    let usual = readable(Duration::from_millis(bursts.waited_ms / bursts.bursts.max(1)));
    let evidence = format!(
        "on {} of {} streams events came {} at a time, the first of each burst {usual} after it was sent (at most {})",
        bursts.bursty,
        bursts.streams,
        bursts.events / bursts.bursts.max(1),
        readable(Duration::from_millis(bursts.longest_ms))
    );
    Some(match encoding(judgement.observations) {
        Some(encoding) => Explained::new(
            Cause::Compressed,
            format!("The stream is compressed ({encoding}), and the compressor holds events back: {usual}"),
            evidence,
            FLUSH,
        ),
        None => Explained::new(
            Cause::HeldBack,
            format!("Events arrive in bursts, held back {usual}: something between buffers the stream"),
            evidence,
            "turn off buffering in every proxy (nginx: proxy_buffering off, or X-Accel-Buffering: no), and flush after each \
             event",
        ),
    })
}
