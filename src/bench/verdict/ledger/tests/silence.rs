//! Streams that stay open and fall silent, and clients that leave near a fault.

use super::history::{History, at};
use crate::bench::verdict::Status::{Fail, Unknown};
use crate::bench::verdict::ledger::arrival::Ending;

/// Both clients get five broadcasts; then the stream of the first one is silent.
fn silent() -> History {
    let mut history = History::new("quiesce = { audit_read = false }");
    history.audit = None;
    (1..=5).for_each(|second| _ = history.deliver_unkept("all", second * 1_000, &[0, 1]));
    (6..=8).for_each(|second| _ = history.deliver_unkept("all", second * 1_000, &[1]));
    history.sentinels(&[1]);
    history
}

/// The first client connects again, and is answered with a stream.
fn recheck(history: &mut History) {
    let client = &mut history.clients[0];
    client.disconnected(at(40_000));
    client.rechecks(at(40_000));
    client.opened();
    client.confirmed(at(40_100), true);
}

fn end(history: &mut History) {
    history.clients.iter_mut().for_each(|client| client.finish(at(60_000), Ending::RunOver));
}

#[test]
fn what_comes_on_another_stream_was_held_back_by_a_stalled_one() {
    let mut history = silent();
    recheck(&mut history);
    (6..=8).for_each(|seq| _ = history.arrive(0, "all", seq, 40_200));
    history.sentinels(&[0]);
    end(&mut history);
    history.check(&[("stalled stream", Fail)]);
    let account = history.account();
    assert_eq!((account.stalled_streams, account.stalled_deliveries, account.ok), (1, 3, account.expected));
}

#[test]
fn a_client_that_cannot_ask_for_more_sees_that_the_server_still_sends() {
    let mut history = silent();
    recheck(&mut history);
    history.sentinels(&[0]);
    end(&mut history);
    history.check(&[("lost", Fail), ("stalled stream", Fail)]);
    assert_eq!(history.account().lost, 3);
}

#[test]
fn what_does_not_come_on_another_stream_either_is_lost() {
    let mut history = silent();
    recheck(&mut history);
    end(&mut history);
    history.check(&[("lost", Fail), ("quiescence", Unknown)]);
    // Without another stream, nothing is proven.
    let mut unanswered = silent();
    unanswered.clients[0].disconnected(at(40_000));
    unanswered.clients[0].rechecks(at(40_000));
    end(&mut unanswered);
    unanswered.check(&[("unseen", Unknown), ("quiescence", Unknown)]);
}

#[test]
fn a_stream_that_a_fault_may_hold_back_is_not_judged() {
    let mut history = silent();
    history.kill();
    history.faults[0].healed = Some(at(35_000));
    recheck(&mut history);
    (6..=8).for_each(|seq| _ = history.arrive(0, "all", seq, 40_200));
    history.sentinels(&[0]);
    end(&mut history);
    history.check(&[]);
}

/// Five broadcasts for both; then the first client gets these of six to nine, and leaves in the window of the fault.
fn leaver(gets: &[u64]) -> History {
    let mut history = History::new("");
    (1..=5).for_each(|second| _ = history.deliver("all", second * 1_000, &[0, 1]));
    history.kill();
    for seq in 6..=9 {
        let to: &[usize] = if gets.contains(&seq) { &[0, 1] } else { &[1] };
        history.deliver("all", 10_000 + (seq - 5) * 200, to);
    }
    history.end();
    history.clients[0].finish(at(11_500), Ending::Left);
    history
}

#[test]
fn who_leaves_near_a_fault_is_owed_what_came_before_something_that_arrived() {
    leaver(&[6, 7, 9]).check(&[("lost", Fail)]);
    assert_eq!(leaver(&[6, 7, 9]).account().lost, 1);
    // Nothing proves what was sent after the last that arrived.
    leaver(&[6, 7]).check(&[]);
    leaver(&[]).check(&[]);
    leaver(&[6, 7, 8, 9]).check(&[]);
}
