//! Ids that rise within each stream, and those that do not.

use super::history::{History, at};
use crate::bench::verdict::Status::Fail;
use crate::bench::verdict::ledger::SubscriberLedger;

/// Broadcasts whose ids are these positions of one history, or of two; both clients get them so.
fn history(ids: &[&str]) -> History {
    let mut history = History::new("");
    for client in 0..2 {
        history.clients[client] = SubscriberLedger::new(&history.plan, history.client_id(client));
        history.clients[client].confirmed(at(0), false);
    }
    for (id, ms) in ids.iter().zip((1_000..).step_by(1_000)) {
        if *id == "GAP" {
            history.clients.iter_mut().for_each(|client| client.gap(at(ms)));
            continue;
        }
        let seq = history.publish("all", ms);
        history.keep("all", seq);
        [0, 1].iter().for_each(|client| _ = history.arrive_with_id(*client, ("all", seq), ms + 10, id));
    }
    history
}

#[track_caller]
fn check(ids: &[&str], fallen: u64) {
    let mut history = history(ids);
    history.plan.verify.gaps = crate::bench::scenario::Gaps::Allowed;
    history.end();
    let account = history.account();
    assert_eq!(account.fallen_ids, fallen, "{ids:?}");
    let names: Vec<_> = history.complaints().into_iter().filter(|(_, status)| *status == Fail).collect();
    let is_told = names.contains(&("id goes back".to_owned(), Fail));
    assert_eq!((is_told, names.len()), (fallen > 0, usize::from(fallen > 0)), "{names:?}");
}

#[test]
fn ids_of_one_stream_rise() {
    check(&["a-1-0", "a-1-1", "a-2-0"], 0);
    check(&["a-1-0", "a-3-0", "a-2-0"], 2);
    check(&["a-1-0", "a-9-0", "a-2-0", "a-3-0"], 2);
    check(&["a-1-0", "what?", "a-2-0"], 2);
    // Another server rules; a gap is told.
    check(&["a-1-0", "b-1-0", "b-1-1"], 0);
    check(&["a-5-0", "GAP", "a-2-0"], 0);
}

#[test]
fn an_event_that_the_log_lost_and_has_again_has_an_id_in_each_history() {
    let mut history = history(&["a-1-0", "a-2-0"]);
    let seq = history.publish("all", 6_000);
    history.keep("all", seq);
    history.arrive_with_id(0, ("all", seq), 6_010, "a-3-0");
    history.arrive_with_id(1, ("all", seq), 6_010, "b-1-0");
    history.end();
    history.check(&[]);
}

#[test]
fn a_replay_begins_anew() {
    let mut history = history(&["a-1-0", "a-2-0"]);
    history.reconnect(0, 5_000, 6_000, true);
    assert_eq!(SubscriberLedger::anomalies(&history.clients[0]).fallen.count, 0);
    history.arrive_with_id(0, ("all", 2), 6_010, "a-2-0");
    assert_eq!(history.account().fallen_ids, 0);
    assert_eq!(history.account().duplicated_across_reconnect, 1);
}
