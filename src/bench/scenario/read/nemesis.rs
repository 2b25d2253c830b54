//! Reads `[nemesis]`: faults that are drawn from the seed, and the window for them. Candidates are written as faults,
//! but without times. Read [`nemesis`] first.

use std::time::Duration;

use super::fault_target::TargetContext;
use super::faults;
use super::raw::Value;
use super::section::Section;
use crate::bench::scenario::limits;
use crate::bench::scenario::{FaultSpecKind, Nemesis, NemesisFault};

/// Limit of faults per run: each one is a task and a phase.
const FAULTS_MAX: u32 = 1_000;
/// Duration of a fault without `for`.
const LASTS_DEFAULT: Duration = Duration::from_secs(3);
const EVERY_DEFAULT: Duration = Duration::from_secs(5);

pub(super) fn nemesis(
    section: Section<'_>,
    (warmup, run): (Duration, Duration),
    context: TargetContext<'_>,
) -> Option<Nemesis> {
    let within = Duration::ZERO..=run;
    let from = section.duration("from", within.clone()).unwrap_or(warmup);
    let until = section.duration("until", within).unwrap_or(run);
    if from >= until {
        let format = humantime::format_duration;
        let why = format!(
            "{} is not allowed; allowed are times after {} (nemesis.from)",
            format(until),
            format(from)
        );
        section.refuse("until", why);
    }
    let every = section.duration("every", limits::SOME_DURATION).unwrap_or(EVERY_DEFAULT);
    // Later checks need a window, even if the given one is invalid.
    let window = until.checked_sub(from).filter(|window| !window.is_zero()).unwrap_or(run);
    // The gap between two faults is at least half of `every`.
    if window * 2 > every * FAULTS_MAX {
        let least = window * 2 / FAULTS_MAX;
        let [every, least] = [every, least].map(humantime::format_duration);
        let why = format!(
            "{every} is too short; allowed are durations from {least}, so that at most {FAULTS_MAX} faults are drawn"
        );
        section.refuse("every", why);
    }
    let sections = section.list("faults");
    if sections.is_empty() {
        section.refuse("faults", "is missing or empty; a list as in [{ type = \"kill\", for = \"2s\" }]");
    }
    let faults: Vec<NemesisFault> =
        sections.into_iter().filter_map(|inner| fault(inner, window, context)).collect();
    section.finish();
    Some(Nemesis { from, until, every, faults })
}

fn fault(section: Section<'_>, window: Duration, context: TargetContext<'_>) -> Option<NemesisFault> {
    section.forbid(&["at", "name"], "is not a key here: the nemesis draws times and names");
    let lasts = lasts(&section);
    if let Some((_, longest)) = lasts.filter(|(_, longest)| *longest > window) {
        let format = humantime::format_duration;
        let (longest, window) = (format(longest), format(window));
        section.refuse(
            "for",
            format!("{longest} is longer than the {window} from nemesis.from to nemesis.until"),
        );
    }
    let type_name = section.text("type").unwrap_or_default().to_owned();
    let kind = faults::kind(&section, context);
    faults::check_momentary(&section, kind.as_ref());
    section.finish();
    Some(NemesisFault { type_name, kind: kind?, lasts: lasts? })
}

/// `for = "2s"`, or the shortest and longest duration, `for = ["1s", "5s"]`.
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
                    let allowed = "is not valid; allowed is a duration, or the shortest and the longest, as in [\"1s\", \"5s\"]";
                    section.refuse("for", allowed);
                    None
                }
            }
        }
        Some(_) => section.duration("for", limits::SOME_DURATION).map(|time| (time, time)),
    }
}

/// Number of nodes beyond `nodes` that `scale` faults need.
pub(super) fn spares(kinds: &[&FaultSpecKind], nodes: usize) -> usize {
    let most = kinds.iter().filter_map(|kind| match kind {
        FaultSpecKind::Scale { to } => Some(usize::from(*to)),
        _ => None,
    });
    most.max().unwrap_or(0).saturating_sub(nodes)
}
