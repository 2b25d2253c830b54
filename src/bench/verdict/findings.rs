//! Checks and problems that follow from what clients noticed ([`Sightings`](super::Sightings)). Pure. Read [`voids`]
//! first.

use super::outcome::{Check, Status, VerdictInput};
use super::sightings::{Seen, Sighting};
use crate::bench::exit::{Exit, RunProblem};
use crate::bench::scenario::dialect::Pointer;
use crate::client::CrateFault;

/// What makes everything else that was found worthless: the bench could not take in, or not read, what came.
pub(super) fn voids(input: &VerdictInput<'_>) -> Vec<RunProblem> {
    let problem = |sighting: &Sighting| {
        let (count, group) = (sighting.count, group(input, sighting));
        let message = match &sighting.seen {
            Seen::TooLong(limit) => format!(
                "the bench's own limit was reached: {count} streams of clients.{group} had a line or an event of more than \
                 {limit} bytes. Set clients.{group}.max_event to a larger number"
            ),
            Seen::StampAt(pointer) if input.account.ok == 0 => format!(
                "the bench looked for events {}, and {count} messages to clients.{group} have them at {pointer}: set \
                 dialect.payload = {pointer:?}. The first one: {}",
                place(input),
                sighting.example
            ),
            Seen::StampAt(_) | Seen::Crate(_) | Seen::Greeting(_) | Seen::Unknown(_) | Seen::Altered => {
                return None;
            }
        };
        Some(RunProblem { exit: Exit::Invalid, message })
    };
    input.sightings.iter().filter_map(problem).collect()
}

/// Checks that are there only where something was noticed.
pub(super) fn checks(input: &VerdictInput<'_>) -> Vec<Check> {
    let check = |sighting: &Sighting| {
        let (count, group, example) = (sighting.count, group(input, sighting), &sighting.example);
        let (name, status, detail) = match &sighting.seen {
            Seen::Crate(fault) => {
                let crashes = *fault == CrateFault::ByteOrderMark;
                let (name, status) =
                    if crashes { ("client crash", Status::Fail) } else { ("client misreads", Status::Note) };
                let detail = format!(
                    "programs with the crate eventsource-stream 0.2 {} ({count} streams of {group})",
                    fault.sentence()
                );
                (name, status, detail)
            }
            Seen::StampAt(pointer) if input.account.ok > 0 => {
                let detail = format!("{count} messages to {group} have an event at {pointer}: {example}");
                ("payload elsewhere", Status::Note, detail)
            }
            Seen::Greeting(kind) => {
                let detail = format!(
                    "{count} streams of {group} began with a message of type {kind:?} that has no event of a run, such as a \
                     welcome: {example}; dialect.own_events = [{kind:?}] says that it is the server's own"
                );
                ("own message", Status::Note, detail)
            }
            Seen::Unknown(kind) => {
                let detail = format!(
                    "{count} messages of type {kind:?} to {group} have no event of a run anywhere; the first one: {example}; if \
                     they are the server's own, set dialect.own_events = [{kind:?}]"
                );
                ("unknown message", Status::Note, detail)
            }
            Seen::StampAt(_) | Seen::TooLong(_) | Seen::Altered => return None,
        };
        Some(Check { name: name.to_owned(), status, detail })
    };
    input.sightings.iter().filter_map(check).collect()
}

fn place(input: &VerdictInput<'_>) -> String {
    let payload =
        input.plan.dialect.as_ref().map(|dialect| &dialect.payload).filter(|payload| !payload.is_all());
    payload.map_or_else(|| "in the whole of data:".to_owned(), |payload: &Pointer| format!("at {payload}"))
}

fn group<'a>(input: &'a VerdictInput<'_>, sighting: &Sighting) -> &'a str {
    input.plan.groups.get(usize::from(sighting.group.0)).map_or("?", |group| &group.name)
}
