//! From an honest random history, one random change: the verdict must name it. Without a change it must pass.

use proptest::prelude::*;

use super::history::History;
use crate::bench::verdict::Status;
use crate::bench::verdict::ledger::arrival::Ending;

/// What a client sees, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    Event {
        address: usize,
        seq: u64,
    },
    /// The stream breaks and is resumed with a cursor; nothing is missed.
    Reconnect,
}

const ADDRESSES: [(&str, &[usize]); 6] = [
    ("all", &[0, 1]),
    ("topic:room", &[0, 1]),
    ("user:u0", &[0]),
    ("user:u1", &[1]),
    ("client:c-0", &[0]),
    ("client:c-1", &[1]),
];

/// What is done to an honest history.
#[derive(Debug, Clone, Copy)]
enum Mutation {
    None,
    Drop,
    Repeat,
    Swap,
    Leak,
}

/// One step of the run: a publish to an address, with reconnects of clients before it.
#[derive(Debug, Clone)]
struct Step {
    address: usize,
    reconnects: [bool; 2],
}

fn step() -> impl Strategy<Value = Step> {
    let often_not = || proptest::bool::weighted(0.1);
    (0..ADDRESSES.len(), often_not(), often_not())
        .prop_map(|(address, first, second)| Step { address, reconnects: [first, second] })
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        Just(Mutation::None),
        Just(Mutation::Drop),
        Just(Mutation::Repeat),
        Just(Mutation::Swap),
        Just(Mutation::Leak),
    ]
}

/// Publishes everything, a second apart so that all of it has an order, and returns what each client is to see.
fn publish(history: &mut History, steps: &[Step]) -> [Vec<Sight>; 2] {
    let mut sights = [Vec::new(), Vec::new()];
    for (ms, step) in (1_u64..).map(|i| i * 20).zip(steps) {
        for (client, sights) in sights.iter_mut().enumerate() {
            if step.reconnects[client] {
                sights.push(Sight::Reconnect);
            }
        }
        let (address, listeners) = ADDRESSES[step.address];
        let seq = history.publish(address, ms);
        history.keep(address, seq);
        listeners.iter().for_each(|client| sights[*client].push(Sight::Event { address: step.address, seq }));
    }
    sights
}

/// Changes what one client sees; returns the names of which one must be in the verdict, or nothing when this
/// history has no place for the change.
fn mutate(mutation: Mutation, sights: &mut [Vec<Sight>; 2], pick: usize) -> Option<&'static [&'static str]> {
    let client = pick % 2;
    let places = |fits: &dyn Fn(usize) -> bool| -> Option<usize> {
        let fitting: Vec<usize> = (0..sights[client].len()).filter(|at| fits(*at)).collect();
        fitting.get(pick / 2 % fitting.len().max(1)).copied()
    };
    let is_event = |at: usize| matches!(sights[client][at], Sight::Event { .. });
    match mutation {
        Mutation::None => Some(&[]),
        Mutation::Drop => {
            let at = places(&is_event)?;
            sights[client].remove(at);
            Some(&["lost"])
        }
        Mutation::Repeat => {
            let at = places(&is_event)?;
            let again = sights[client][at];
            sights[client].insert(at + 1, again);
            Some(&["duplicated in session"])
        }
        Mutation::Swap => {
            let series = |at: usize| match sights[client].get(at) {
                Some(Sight::Event { address, .. }) => Some(*address),
                Some(Sight::Reconnect) | None => None,
            };
            let at = places(&|at| series(at).is_some() && series(at) == series(at + 1))?;
            sights[client].swap(at, at + 1);
            Some(&["reordered"])
        }
        Mutation::Leak => {
            let other = sights[1 - client].iter().find(|sight| match sight {
                Sight::Event { address, .. } => !ADDRESSES[*address].1.contains(&client),
                Sight::Reconnect => false,
            });
            let leaked = *other?;
            sights[client].push(leaked);
            Some(&["isolation leak"])
        }
    }
}

fn play(history: &mut History, sights: &[Vec<Sight>; 2]) {
    for (client, sights) in sights.iter().enumerate() {
        // Everything is published by then, so any time will do.
        for (ms, sight) in (20_000_u64..).zip(sights) {
            match sight {
                Sight::Event { address, seq } => _ = history.arrive(client, ADDRESSES[*address].0, *seq, ms),
                Sight::Reconnect => history.reconnect(client, ms, ms, true),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn one_change_is_named_and_no_change_is_acquitted(
        steps in proptest::collection::vec(step(), 1..120),
        mutation in mutation(),
        pick: usize,
    ) {
        let mut history = History::new("delivery = \"exactly-once\"");
        let mut sights = publish(&mut history, &steps);
        let Some(expected) = mutate(mutation, &mut sights, pick) else { return Ok(()) };
        play(&mut history, &sights);
        history.end();
        history.clients.iter_mut().for_each(|client| client.finish(super::history::at(60_000), Ending::RunOver));
        let failed: Vec<String> =
            history.complaints().into_iter().filter(|(_, status)| *status != Status::Note).map(|(name, _)| name).collect();
        for name in expected {
            prop_assert!(failed.iter().any(|failed| failed == name), "{mutation:?}: {failed:?}");
        }
        // A dropped event may also have been the first one after a reconnect.
        let also = ["replayed from the wrong place"];
        let surplus: Vec<_> =
            failed.iter().filter(|name| !expected.contains(&name.as_str()) && !also.contains(&name.as_str())).collect();
        prop_assert!(surplus.is_empty(), "{mutation:?}: {failed:?}");
        if expected.is_empty() {
            prop_assert!(failed.is_empty(), "{failed:?}");
        }
    }
}
