//! Memory is bounded by what went wrong, not by what was delivered.

use super::history::at;
use crate::bench::ids::{PublisherId, RunId};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario;
use crate::bench::scenario::plan::Plan;
use crate::bench::stamp::Stamp;
use crate::bench::verdict::ledger::SubscriberLedger;

const SCENARIO: &str = r#"
schema = 1
name = "size"
duration = "60s"
[clients.c]
clients = 1
subscribe = { topics = ["t0", "t1", "t2", "t3", "t4", "t5", "t6"], user = "u" }
[publishers.main]
rate = 100000
mix = { broadcast = 1, topic = 1, user = 1, client = 1 }
"#;

fn ledger(events_of_each_address: u64) -> usize {
    let scenario = scenario::parse("size.toml", SCENARIO, &[]).unwrap();
    let plan = Plan::new(&scenario, RunId::from_random(1));
    let client = &plan.subscribers[0];
    assert_eq!(client.addresses.len(), 10);
    let mut ledger = SubscriberLedger::new(&plan, client.id);
    ledger.confirmed(at(0), false);
    for seq in 1..=events_of_each_address {
        for address in client.addresses.iter().copied() {
            let stamp = Stamp {
                run: plan.run,
                publisher: PublisherId(0),
                address,
                seq,
                due: RunTime::ZERO,
                sent: RunTime::ZERO,
            };
            // Ids are remembered for one client of many; what that takes has a limit of its own.
            ledger.arrive(at(seq), None, stamp);
        }
    }
    ledger.bytes()
}

#[test]
fn only_a_sample_of_the_ids_is_remembered_where_there_are_too_many() {
    let remembered = |id_mask: u64| {
        let scenario = scenario::parse("size.toml", SCENARIO, &[]).unwrap();
        let plan = Plan { id_mask, ..Plan::new(&scenario, RunId::from_random(1)) };
        let mut ledger = SubscriberLedger::new(&plan, plan.subscribers[0].id);
        ledger.confirmed(at(0), false);
        let address = plan.subscribers[0].addresses[0];
        for seq in 1..=10_000 {
            let stamp = Stamp {
                run: plan.run,
                publisher: PublisherId(0),
                address,
                seq,
                due: RunTime::ZERO,
                sent: RunTime::ZERO,
            };
            ledger.arrive(at(seq), Some(format!("k3f9qa-1795303903002-{seq}").as_str()), stamp);
        }
        ledger.anomalies().ids.len()
    };
    assert_eq!(remembered(0), 10_000);
    // One of 64, give or take five standard deviations.
    assert!((95..=220).contains(&remembered(63)), "{}", remembered(63));
}

#[test]
fn a_healthy_ledger_of_ten_addresses_is_as_small_after_a_million_events() {
    let small = ledger(100);
    assert_eq!(ledger(100_000), small, "it grows with what is delivered");
    // Ten thousand such clients fit into 30 MB.
    assert!(small < 3_000, "{small} bytes");
}
