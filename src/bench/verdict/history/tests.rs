//! What was stored is what was known: any history, byte for byte, or a refusal.

use std::time::Duration;

use proptest::prelude::*;

use super::fuzz::SCENARIO;
use super::section::{CLIENTS_PER_SECTION, Section};
use crate::bench::ids::{AddressId, NodeIndex, PhaseId, PublisherId, RunId};
use crate::bench::metrics::metric::{Counter, Trend};
use crate::bench::metrics::recorder::Recorder;
use crate::bench::metrics::tags::{Source, Tags};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario;
use crate::bench::scenario::plan::Plan;
use crate::bench::stamp::Stamp;
use crate::bench::verdict::ledger::{
    AuditLedger, Ending, Fields, PublishLedger, PublishOutcome, StoredClients, StoredClientsBefore,
    SubscriberLedger,
};

fn plan() -> Plan {
    let scenario = scenario::parse("stored.toml", SCENARIO, &[]).unwrap();
    Plan::new(&scenario, RunId::from_random(0x5e5e))
}

/// Something that a client is told.
#[derive(Debug, Clone)]
enum LedgerCall {
    Confirmed(bool, Option<u16>),
    Disconnected,
    AttemptFailed(u64),
    Gap,
    Event {
        publisher: u16,
        address: u32,
        seq: u64,
        id: u64,
        run: u64,
    },
    /// Of a type, with an altered payload.
    Altered {
        seq: Option<u64>,
        event: u64,
    },
    Foreign,
    Finished(Ending),
}

fn ledger_call() -> impl Strategy<Value = (u64, LedgerCall)> {
    let event = (0_u16..3, 0_u32..9, 1_u64..40, 0_u64..60, 0_u64..8);
    let event = event.prop_map(|(publisher, address, seq, id, run)| {
        let publisher = if publisher == 2 { PublisherId::SENTINEL.0 } else { publisher };
        LedgerCall::Event { publisher, address, seq, id, run: if run == 0 { 1 } else { 0x5e5e } }
    });
    let endings = prop_oneof![
        Just(Ending::RunOver),
        Just(Ending::Left),
        Just(Ending::NoReconnect),
        Just(Ending::GaveUp),
        Just(Ending::Unreachable),
    ];
    let what = prop_oneof![
        3 => (any::<bool>(), proptest::option::of(0_u16..4)).prop_map(|(resumed, node)| LedgerCall::Confirmed(resumed, node)),
        2 => Just(LedgerCall::Disconnected),
        2 => any::<u64>().prop_map(LedgerCall::AttemptFailed),
        1 => Just(LedgerCall::Gap),
        20 => event,
        3 => (proptest::option::of(1_u64..40), 0_u64..3).prop_map(|(seq, event)| LedgerCall::Altered { seq, event }),
        1 => Just(LedgerCall::Foreign),
        1 => endings.prop_map(LedgerCall::Finished),
    ];
    (any::<u64>(), what)
}

fn apply(ledger: &mut SubscriberLedger, at: u64, told: &LedgerCall) {
    let at = RunTime::from_nanos(at);
    match told {
        LedgerCall::Confirmed(resumed, node) => {
            ledger.confirmed(at, *resumed);
            ledger.requested(at.minus(Duration::from_nanos(3)));
            if let Some(node) = node {
                ledger.served_by(NodeIndex(*node));
            }
        }
        LedgerCall::Disconnected => ledger.disconnected(at),
        LedgerCall::AttemptFailed(began) => ledger.record_failed_attempt(RunTime::from_nanos(*began), at),
        LedgerCall::Gap => ledger.gap(at),
        LedgerCall::Event { publisher, address, seq, id, run } => {
            let stamp = Stamp {
                run: RunId::from_random(*run),
                publisher: PublisherId(*publisher),
                address: AddressId(*address),
                seq: *seq,
                due: at,
                sent: at,
            };
            ledger.arrive(at, Some(format!("id-{id}").as_str()), stamp);
        }
        LedgerCall::Altered { seq, event } => {
            let (run, publisher, address) = (RunId::from_random(0x5e5e), PublisherId(0), AddressId(0));
            let stamp = seq.map(|seq| Stamp { run, publisher, address, seq, due: at, sent: at });
            let event = format!("type-{event}");
            ledger.altered(at, Fields { id: None, event: Some(&event) }, stamp);
        }
        LedgerCall::Foreign => {
            ledger.foreign(at);
        }
        LedgerCall::Finished(ending) => ledger.finish(at, *ending),
    }
}

fn ledgers(plan: &Plan, stories: &[Vec<(u64, LedgerCall)>]) -> Vec<SubscriberLedger> {
    let mut ledgers: Vec<_> =
        plan.subscribers.iter().map(|client| SubscriberLedger::new(plan, client.id)).collect();
    for (ledger, story) in ledgers.iter_mut().zip(stories) {
        story.iter().for_each(|(at, told)| apply(ledger, *at, told));
    }
    ledgers
}

fn reread(plan: &Plan, block: &Section) -> Section {
    Section::from_bytes(plan, &block.to_bytes().unwrap()).unwrap()
}

proptest! {
    #[test]
    fn ledgers_of_clients_are_what_they_were(stories in proptest::collection::vec(proptest::collection::vec(ledger_call(), 0..80), 3)) {
        let plan = plan();
        let ledgers = ledgers(&plan, &stories);
        let Section::Clients(read) = reread(&plan, &Section::Clients(ledgers.clone())) else { panic!("another kind") };
        prop_assert_eq!(StoredClients::of(&read), StoredClients::of(&ledgers));
    }

    #[test]
    fn a_publishers_ledger_is_what_it_was(
        publishes in proptest::collection::vec((0_u32..3, any::<u64>(), any::<u64>(), 0_u8..4), 0..60),
        dropped in proptest::collection::vec(0_u16..5, 0..5),
    ) {
        let mut ledger = PublishLedger::new(PublisherId(7));
        for (address, started, ended, outcome) in publishes {
            let address = AddressId(address);
            let seq = ledger.begin(address, RunTime::from_nanos(started));
            let outcome = match outcome {
                0 => PublishOutcome::Refused,
                1 => PublishOutcome::Indeterminate,
                2 => continue,
                _ => PublishOutcome::Acknowledged,
            };
            ledger.end(address, seq, RunTime::from_nanos(ended), outcome);
        }
        dropped.into_iter().for_each(|phase| ledger.dropped(PhaseId(phase)));
        let plan = plan();
        let Section::Publishes(read) = reread(&plan, &Section::Publishes(ledger.clone())) else { panic!("another kind") };
        prop_assert_eq!(read, ledger);
    }

    #[test]
    fn an_audit_is_what_it_was(events in proptest::collection::vec((0_u16..3, 0_u32..4, 1_u64..50), 0..80), gaps in 0..3) {
        let plan = plan();
        let mut audit = AuditLedger::new(plan.run);
        for (publisher, address, seq) in events {
            let publisher = if publisher == 2 { PublisherId::SENTINEL } else { PublisherId(publisher) };
            let (address, due) = (AddressId(address), RunTime::ZERO);
            audit.arrive(Stamp { run: plan.run, publisher, address, seq, due, sent: due });
        }
        (0..gaps).for_each(|_| audit.gap());
        let Section::Audit(read) = reread(&plan, &Section::Audit(audit.clone())) else { panic!("another kind") };
        prop_assert_eq!(read, audit);
    }

    #[test]
    fn a_damaged_piece_is_refused(at in any::<proptest::sample::Index>(), bit in 0_u8..8, cut in any::<proptest::sample::Index>()) {
        let plan = plan();
        let bytes = Section::Clients(ledgers(&plan, &[some_story(), Vec::new(), some_story()])).to_bytes().unwrap();
        let mut flipped = bytes.clone();
        flipped[at.index(bytes.len())] ^= 1 << bit;
        prop_assert!(Section::from_bytes(&plan, &flipped).is_err());
        prop_assert!(Section::from_bytes(&plan, &bytes[..cut.index(bytes.len())]).is_err());
    }
}

fn some_story() -> Vec<(u64, LedgerCall)> {
    let event = |seq| LedgerCall::Event { publisher: 0, address: 0, seq, id: seq, run: 0x5e5e };
    let mut story = vec![(0, LedgerCall::Confirmed(false, Some(1)))];
    story.extend((1..30).map(|seq| (seq * 1_000_000, event(seq))));
    story.push((40_000_000, LedgerCall::Finished(Ending::RunOver)));
    story
}

fn measurements() -> Recorder {
    let mut recorder = Recorder::default();
    let tags = Tags { phase: PhaseId(1), source: Source::Bench, path: None };
    recorder.record(Trend::GeneratorLag, tags, Duration::from_millis(3));
    recorder.count(Counter::Cuts, tags, 9);
    recorder
}

#[test]
fn pieces_follow_each_other_in_one_stream() {
    let plan = plan();
    let mut bytes = Vec::new();
    Section::write_clients(&mut bytes, &ledgers(&plan, &[some_story()])).unwrap();
    Section::Measurements(measurements()).write(&mut bytes).unwrap();
    Section::End.write(&mut bytes).unwrap();
    let mut from = bytes.as_slice();
    assert!(
        matches!(Section::read(&plan, &mut from), Ok(Some(Section::Clients(ledgers))) if ledgers.len() == 3)
    );
    let Ok(Some(Section::Measurements(recorder))) = Section::read(&plan, &mut from) else {
        panic!("another kind")
    };
    assert_eq!(recorder, measurements());
    assert!(matches!(Section::read(&plan, &mut from), Ok(Some(Section::End))));
    assert!(matches!(Section::read(&plan, &mut from), Ok(None)));
}

#[test]
fn a_ledger_of_another_plan_is_refused() {
    let mut other = plan();
    let bytes = Section::Clients(ledgers(&other, &[some_story()])).to_bytes().unwrap();
    other.subscribers.truncate(2);
    let error = Section::from_bytes(&other, &bytes).unwrap_err().to_string();
    assert_eq!(error, "it has a ledger of client 2, but the plan has 2 clients");
    other.subscribers.clone_from(&plan().subscribers);
    other.subscribers[0].addresses = Box::new([AddressId(77)]);
    let error = Section::from_bytes(&other, &bytes).unwrap_err().to_string();
    assert_eq!(error, "the ledger of client 0 has addresses that the client does not have in the plan");
}

#[test]
fn ledgers_of_the_format_before_are_read_without_what_was_not_observed() {
    let plan = plan();
    let story: Vec<_> =
        some_story().into_iter().filter(|(_, call)| !matches!(call, LedgerCall::Altered { .. })).collect();
    let ledgers = ledgers(&plan, &[story]);
    let bytes = postcard::to_stdvec(&StoredClients::of(&ledgers)).unwrap();
    let (before, _observations) = postcard::take_from_bytes::<StoredClientsBefore>(&bytes).unwrap();
    let read = StoredClients::from(before).ledgers(&plan).unwrap();
    let without = |ledger: &SubscriberLedger| ledger.clone().without_observations();
    let without: Vec<_> = ledgers.iter().map(without).collect();
    assert_eq!(StoredClients::of(&read), StoredClients::of(&without));
}

/// The form on the disk changes only together with [`super::frame::FORMAT`]. Where this fails: raise it, and take the new sums.
#[test]
fn the_form_of_what_is_stored_is_the_one_of_its_format() {
    let plan = plan();
    let mut publishes = PublishLedger::new(PublisherId(0));
    for (at, outcome) in
        [(5, PublishOutcome::Acknowledged), (7, PublishOutcome::Refused), (9, PublishOutcome::Indeterminate)]
    {
        let seq = publishes.begin(AddressId(1), RunTime::from_nanos(at));
        publishes.end(AddressId(1), seq, RunTime::from_nanos(at + 100), outcome);
    }
    let client = postcard::to_stdvec(&StoredClients::of(&ledgers(&plan, &[some_story()])[..1])).unwrap();
    let publishes = postcard::to_stdvec(&publishes).unwrap();
    let measurements = postcard::to_stdvec(&measurements()).unwrap();
    let sums = [&client, &publishes, &measurements].map(|bytes| (bytes.len(), crc32fast::hash(bytes)));
    assert_eq!(
        (super::frame::FORMAT, sums),
        (5, [(580, 2_494_782_179), (15, 3_129_519_079), (75, 2_740_277_475)])
    );
}

/// Two thousand clients with ten addresses each, all healthy.
#[test]
fn thousands_of_clients_take_little_room() {
    let scenario = SCENARIO.replace("clients = 3", "clients = 2000").replace(
        r#"["room"]"#,
        r#"["t{i%1}", "a{i%50}", "b{i%50}", "c{i%50}", "d{i%50}", "e{i%50}", "f{i%50}"]"#,
    );
    let plan = Plan::new(&scenario::parse("many.toml", &scenario, &[]).unwrap(), RunId::from_random(1));
    let mut bytes = Vec::new();
    for slice in plan.subscribers.chunks(CLIENTS_PER_SECTION) {
        let ledger = |client: &scenario::plan::SubscriberPlan| {
            let mut ledger = SubscriberLedger::new(&plan, client.id);
            ledger.confirmed(RunTime::ZERO, false);
            for address in &client.addresses {
                for seq in 1..=20 {
                    let due = RunTime::from_nanos(seq * 1_000);
                    let stamp = Stamp {
                        run: plan.run,
                        publisher: PublisherId(0),
                        address: *address,
                        seq,
                        due,
                        sent: due,
                    };
                    ledger.arrive(due, Some(format!("k3f9qa-{}-{seq}", address.0).as_str()), stamp);
                }
            }
            ledger.finish(RunTime::from_nanos(1), Ending::RunOver);
            ledger
        };
        let ledgers: Vec<_> = slice.iter().map(ledger).collect();
        Section::write_clients(&mut bytes, &ledgers).unwrap();
    }
    assert_eq!(plan.subscribers[0].addresses.len(), 10);
    // Four hundred thousand remembered ids among them.
    assert!(bytes.len() < 1_200_000, "{} bytes", bytes.len());
}
