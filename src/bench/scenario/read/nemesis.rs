//! `[nemesis]`: faults that are drawn from the seed, and in which part of the run. What may be drawn is written as a
//! fault is, without a time of its own.

use std::time::Duration;

use super::fault_target::TargetContext;
use super::raw::Value;
use super::section::Section;
use super::{faults, limits};
use crate::bench::scenario::{FaultSpecKind, Nemesis, NemesisFault};

/// How the names of drawn faults begin.
pub(in crate::bench::scenario) const PREFIX: &str = "nemesis-";
/// Faults that one run may draw: each is a task and a phase.
const MOST: f64 = 1_000.0;
/// How long a fault lasts where nothing else is said.
const LASTS_DEFAULT: Duration = Duration::from_secs(3);
const EVERY_DEFAULT: Duration = Duration::from_secs(5);

pub(in crate::bench::scenario) fn nemesis(
    section: Section<'_>,
    (warmup, run): (Duration, Duration),
    around: TargetContext<'_>,
) -> Option<Nemesis> {
    let within = Duration::ZERO..=run;
    let from = section.duration("from", within.clone()).unwrap_or(warmup);
    let until = section.duration("until", within).unwrap_or(run);
    if from >= until {
        let format = humantime::format_duration;
        section.refuse("until", format!("{} is not after from, {}", format(until), format(from)));
    }
    let every = section.duration("every", limits::SOME_DURATION).unwrap_or(EVERY_DEFAULT);
    // What follows is checked against a window, even where there is none that is valid.
    let window = until.checked_sub(from).filter(|window| !window.is_zero()).unwrap_or(run);
    // The gap between two is never less than half of `every`.
    if window.as_secs_f64() / every.as_secs_f64() * 2.0 > MOST {
        let every = humantime::format_duration(every);
        section.refuse("every", format!("{every} makes more than {MOST} faults of this window"));
    }
    let sections = section.list("faults");
    if sections.is_empty() {
        section.refuse("faults", "is missing or empty; a list as in [{ type = \"kill\", for = \"2s\" }]");
    }
    let faults: Vec<NemesisFault> =
        sections.into_iter().filter_map(|inner| fault(inner, window, around)).collect();
    section.finish();
    Some(Nemesis { from, until, every, faults })
}

fn fault(section: Section<'_>, window: Duration, around: TargetContext<'_>) -> Option<NemesisFault> {
    section.forbid(&["at", "name"], "is drawn by the nemesis");
    let lasts = lasts(&section);
    if let Some((_, longest)) = lasts.filter(|(_, longest)| *longest > window) {
        let format = humantime::format_duration;
        let (longest, window) = (format(longest), format(window));
        section.refuse("for", format!("{longest} is longer than the nemesis has, {window}"));
    }
    let word = section.text("type").unwrap_or_default().to_owned();
    let kind = faults::kind(&section, around);
    faults::check_momentary(&section, kind.as_ref());
    section.finish();
    Some(NemesisFault { word, kind: kind?, lasts: lasts? })
}

/// `for = "2s"`, or the shortest and the longest.
fn lasts(section: &Section<'_>) -> Option<(Duration, Duration)> {
    match section.value("for") {
        None => Some((LASTS_DEFAULT, LASTS_DEFAULT)),
        Some(Value::Array(_)) => {
            let read = |text: &str| {
                let time = humantime::parse_duration(text).ok();
                time.filter(|time| limits::SOME_DURATION.contains(time))
            };
            let times: Vec<_> = section.texts("for").into_iter().map(read).collect();
            match times.as_slice() {
                [Some(shortest), Some(longest)] if shortest <= longest => Some((*shortest, *longest)),
                _ => {
                    let allowed =
                        "allowed is a duration, or the shortest and the longest, as in [\"1s\", \"5s\"]";
                    section.refuse("for", allowed);
                    None
                }
            }
        }
        Some(_) => section.duration("for", limits::SOME_DURATION).map(|time| (time, time)),
    }
}

/// How many nodes more than from the beginning on a fault asks for.
pub(in crate::bench::scenario) fn spares(kinds: &[&FaultSpecKind], nodes: usize) -> usize {
    let most = kinds.iter().filter_map(|kind| match kind {
        FaultSpecKind::Scale { to } => Some(usize::from(*to)),
        FaultSpecKind::Process { .. }
        | FaultSpecKind::RollingRestart { .. }
        | FaultSpecKind::Redis { .. }
        | FaultSpecKind::Link(_)
        | FaultSpecKind::Netns { .. }
        | FaultSpecKind::Clients { .. } => None,
    });
    most.max().unwrap_or(0).saturating_sub(nodes)
}
