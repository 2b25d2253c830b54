//! Histories of servers that kept their word.

use super::history::{ACK, History, at};
use crate::bench::exit::Exit;
use crate::bench::ids::{NodeIndex, SubscriberId};
use crate::bench::metrics::tags::Path;
use crate::bench::scenario::ProcessAction;
use crate::bench::scenario::plan::{FaultAction, PlannedFault};
use crate::bench::stamp::Stamp;
use crate::bench::verdict::ledger::SubscriberLedger;
use crate::bench::verdict::ledger::arrival::{Arrival, Ending};
use crate::bench::verdict::ledger::evidence::FaultRecord;
use crate::bench::verdict::ledger::publish::PublishOutcome;

#[track_caller]
fn acquit(history: &History) {
    history.check(&[]);
    assert_eq!(history.verdict().exit, Exit::Pass);
}

#[test]
fn everybody_got_what_was_his() {
    let mut history = History::new("delivery = \"exactly-once\"");
    for ms in 1..=20 {
        history.deliver("all", ms * 100, &[0, 1]);
        history.deliver("topic:room", ms * 100 + 1, &[0, 1]);
        history.deliver("user:u0", ms * 100 + 2, &[0]);
        history.deliver("client:c-1", ms * 100 + 3, &[1]);
    }
    history.end();
    acquit(&history);
    let account = history.account();
    assert_eq!((account.expected, account.ok), (20 * 6, 20 * 6));
    assert_eq!(account.publishes.ok, 80);
    assert!(account.audited);
}

#[test]
fn a_reconnect_was_replayed_from_the_right_place() {
    let mut history = History::new("delivery = \"exactly-once\"");
    history.deliver("all", 9_000, &[0, 1]);
    history.kill();
    history.reconnect(0, 10_000, 12_000, true);
    let missed = history.deliver("all", 11_000, &[1]);
    let arrival = history.arrive(0, "all", missed, 12_010);
    assert!(
        matches!(arrival, Arrival::New { path: Path::Replay, recovered_after: Some(after), .. } if after == at(2_010).since_start())
    );
    history.deliver("all", 13_000, &[0, 1]);
    history.end();
    acquit(&history);
    let fault = &history.account().faults[0];
    assert_eq!(fault.sessions_cut, 1);
    assert_eq!(fault.detect, Some(at(0).since_start()));
    assert_eq!(fault.reconnect_p95, Some(at(2_000).since_start()));
    assert_eq!(fault.recovery_p95, Some(at(2_010).since_start()));
}

#[test]
fn a_session_counts_for_the_fault_that_met_its_node() {
    let mut history = History::new("delivery = \"exactly-once\"");
    history.kill();
    // Another node is killed while clients still get over the first: `kill-1` meets n1, the only node there is.
    history.plan.faults.push(PlannedFault {
        name: "kill-2".to_owned(),
        action: FaultAction::Process { action: ProcessAction::Kill, nodes: vec![NodeIndex(1)] },
        ..history.plan.faults[0].clone()
    });
    let (planned, applied, healed) = (at(12_000), Some(at(12_000)), Some(at(15_000)));
    history.faults.push(FaultRecord { name: "kill-2".into(), planned, applied, healed, error: None });
    history.clients[0].served_by(NodeIndex(0));
    history.clients[1].served_by(NodeIndex(1));
    history.reconnect(0, 12_500, 13_000, true);
    history.reconnect(1, 12_100, 13_500, true);
    // This one ended just before any fault, and is nobody's.
    history.reconnect(0, 9_900, 9_950, true);
    history.end();
    let faults = history.account().faults;
    let figures: Vec<_> = faults.iter().map(|fault| (fault.sessions_cut, fault.reconnect_p95)).collect();
    let after = |ms| Some(at(ms).since_start());
    assert_eq!(figures, [(1, after(500)), (1, after(1_400))]);
    assert_eq!(faults[1].detect, after(100));
}

#[test]
fn a_mailbox_is_owed_from_the_beginning_on_and_nothing_else_is() {
    let mut history = History::new("delivery = \"at-least-once\"");
    history.plan.publishers[0].qos = 1;
    history.plan.groups[0].mailbox = true;
    history.clients[0] = SubscriberLedger::new(&history.plan, SubscriberId(0));
    history.clients[0].forget_order_of_ids();
    let waiting = history.deliver("user:u0", 1_000, &[]);
    history.deliver("topic:room", 1_001, &[1]);
    history.clients[0].confirmed(at(5_000), false);
    history.arrive(0, "user:u0", waiting, 5_001);
    history.end();
    acquit(&history);
    // The room's event is owed to the one who was there.
    assert_eq!((history.account().expected, history.account().ok), (2, 2));
}

#[test]
fn at_least_once_may_repeat_across_a_reconnect() {
    let mut history = History::new("delivery = \"at-least-once\"");
    let first = history.deliver("all", 1_000, &[0, 1]);
    history.reconnect(0, 2_000, 3_000, true);
    history.arrive(0, "all", first, 3_010);
    history.end();
    assert_eq!(history.verdict().exit, Exit::Pass);
    assert_eq!(history.account().duplicated_across_reconnect, 1);
}

#[test]
fn what_was_published_before_the_subscription_is_optional() {
    let mut history = History::new("");
    history.clients[0] = SubscriberLedger::new(&history.plan, history.client_id(0));
    history.clients[0].forget_order_of_ids();
    history.deliver("all", 500, &[1]);
    history.clients[0].confirmed(at(1_000), false);
    history.deliver("all", 1_000, &[0, 1]);
    history.end();
    acquit(&history);
    assert_eq!(history.account().expected, 3);
}

#[test]
fn what_was_never_acknowledged_may_come_or_not() {
    let mut history = History::new("");
    history.deliver("all", 100, &[0, 1]);
    let appeared = history.publish_as("all", 200, PublishOutcome::Indeterminate);
    history.keep("all", appeared);
    history.arrive(0, "all", appeared, 210);
    history.arrive(1, "all", appeared, 210);
    history.publish_as("all", 300, PublishOutcome::Indeterminate);
    history.publish_as("all", 400, PublishOutcome::Refused);
    history.deliver("all", 500, &[0, 1]);
    history.end();
    acquit(&history);
    let account = history.account();
    assert_eq!((account.recovered, account.expected), (2, 4));
    assert_eq!((account.publishes.indeterminate, account.publishes.fail), (2, 1));
}

#[test]
fn publishes_in_flight_together_have_no_order() {
    let mut history = History::new("");
    let first = history.publish("all", 100);
    let second = history.publish("all", 100 + ACK - 1);
    for client in [0, 1] {
        history.arrive(client, "all", second, 150);
        history.arrive(client, "all", first, 151);
    }
    history.keep("all", first);
    history.keep("all", second);
    history.end();
    acquit(&history);
}

#[test]
fn at_most_once_owes_nothing_between_sessions() {
    let mut history = History::new("delivery = \"at-most-once\"");
    history.deliver("all", 1_000, &[0, 1]);
    history.reconnect(0, 3_000, 5_000, false);
    history.deliver("all", 4_000, &[1]);
    history.deliver("all", 6_000, &[0, 1]);
    history.end();
    acquit(&history);
    assert_eq!(history.account().missed_offline, 1);
}

#[test]
fn who_leaves_leaves_what_was_under_way() {
    let mut history = History::new("");
    history.deliver("all", 1_000, &[0, 1]);
    history.deliver("all", 3_900, &[1]);
    history.deliver("all", 4_100, &[1]);
    history.end();
    history.clients[0].finish(at(4_000), Ending::Left);
    acquit(&history);
}

#[test]
fn who_leaves_while_he_is_away_leaves_what_he_missed() {
    let mut history = History::new("");
    history.deliver("all", 1_000, &[0, 1]);
    history.clients[0].disconnected(at(3_000));
    history.deliver("all", 4_000, &[1]);
    history.deliver("all", 6_000, &[1]);
    history.end();
    history.clients[0].finish(at(9_000), Ending::Left);
    acquit(&history);
    assert_eq!(history.account().missed_offline, 2);
}

#[test]
fn who_leaves_right_after_he_came_back_may_have_missed_the_replay() {
    let mut history = History::new("");
    history.deliver("all", 1_000, &[0, 1]);
    history.reconnect(0, 3_000, 8_500, true);
    history.deliver("all", 4_000, &[1]);
    history.end();
    history.clients[0].finish(at(9_000), Ending::Left);
    acquit(&history);
}

#[test]
fn who_was_back_for_a_moment_and_left_while_away_may_have_missed_the_replay() {
    let mut history = History::new("");
    history.deliver("all", 1_000, &[0, 1]);
    history.reconnect(0, 3_000, 8_000, true);
    history.deliver("all", 4_000, &[1]);
    history.clients[0].disconnected(at(8_020));
    history.end();
    history.clients[0].finish(at(9_500), Ending::Left);
    acquit(&history);
}

#[test]
fn who_comes_for_a_moment_is_owed_nothing() {
    let mut history = History::new("");
    history.deliver("all", 1_000, &[0, 1]);
    history.deliver("all", 1_200, &[1]);
    history.end();
    history.clients[0].finish(at(1_900), Ending::Left);
    acquit(&history);
    assert_eq!(history.account().expected, 2, "what the other one was owed");
}

#[test]
fn a_declared_gap_is_forgiven_where_the_scenario_says_so() {
    let mut history = History::new("gaps = \"allowed\"");
    history.deliver("all", 1_000, &[0, 1]);
    history.deliver("all", 2_000, &[1]);
    history.reconnect(0, 1_500, 3_000, true);
    history.clients[0].gap(at(3_001));
    history.deliver("all", 4_000, &[0, 1]);
    history.end();
    assert_eq!(history.verdict().exit, Exit::Pass);
    let account = history.account();
    assert_eq!((account.gap_declared, account.lost, account.misplaced_resumes), (1, 0, 0));
}

#[test]
fn at_most_once_forgives_what_was_under_way_when_the_stream_broke() {
    let mut history = History::new("delivery = \"at-most-once\"");
    history.deliver("all", 1_000, &[0, 1]);
    history.deliver("all", 2_900, &[1]);
    history.reconnect(0, 3_000, 3_100, false);
    history.deliver("all", 4_000, &[0, 1]);
    history.end();
    acquit(&history);
    assert_eq!(history.account().missed_offline, 1);
}

#[test]
fn what_was_declared_missing_to_everybody_may_be_missing_in_the_log() {
    let mut history = History::new("gaps = \"allowed\"");
    history.deliver("all", 1_000, &[0, 1]);
    history.publish("all", 2_000);
    history.clients.iter_mut().for_each(|client| client.gap(at(3_000)));
    history.deliver("all", 4_000, &[0, 1]);
    history.end();
    assert_eq!(history.verdict().exit, Exit::Pass);
    let account = history.account();
    assert_eq!((account.gap_declared, account.forgotten), (2, 0));
}

/// The first client leaves at 20 s, in a fault that meets its node, of what it is given nothing since 10 s.
fn leaves_in_a_pause(history: &mut History) {
    history.deliver("all", 8_000, &[0, 1]);
    history.deliver("all", 12_000, &[1]);
    history.deliver("all", 17_000, &[1]);
    history.end();
    history.clients[0].finish(at(20_000), Ending::Left);
}

#[test]
fn who_leaves_while_its_node_stands_still_leaves_what_waited_there() {
    let mut history = History::new("");
    history.kill();
    history.faults[0].healed = Some(at(19_900));
    leaves_in_a_pause(&mut history);
    acquit(&history);
    assert_eq!(history.account().expected, 1 + 3, "the one who stayed is owed everything");
}

#[test]
fn who_leaves_between_two_connections_is_no_trouble() {
    let mut history = History::new("delivery = \"exactly-once\"");
    history.deliver("all", 1_000, &[0, 1]);
    history.clients[0].disconnected(at(3_000));
    history.clients[0].record_failed_attempt(at(4_000), at(4_001));
    history.clients[0].record_failed_attempt(at(6_000), at(6_001));
    history.end();
    history.clients[0].finish(at(9_000), Ending::Left);
    acquit(&history);
}

#[test]
fn who_is_turned_away_while_something_is_broken_and_leaves_is_no_trouble() {
    let mut history = History::new("delivery = \"exactly-once\"");
    history.deliver("all", 1_000, &[0, 1]);
    history.kill();
    history.clients[0].disconnected(at(10_000));
    (11..15).for_each(|second| {
        history.clients[0].record_failed_attempt(at(second * 1_000), at(second * 1_000 + 1));
    });
    history.end();
    history.clients[0].finish(at(15_000), Ending::Left);
    acquit(&history);
}

#[test]
fn what_was_sent_to_a_stream_that_was_there_is_live_however_late_it_was() {
    let mut history = History::new("");
    history.reconnect(0, 10_000, 12_000, true);
    let seq = history.publish("all", 12_500);
    let stamp = Stamp { due: at(11_000), sent: at(12_500), ..history.stamp("all", seq) };
    let arrival = history.clients[0].arrive(at(12_510), None, stamp);
    assert!(matches!(arrival, Arrival::New { path: Path::Live, .. }), "{arrival:?}");
}
