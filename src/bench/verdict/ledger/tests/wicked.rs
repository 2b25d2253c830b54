//! Histories of servers that did one thing wrong: each must be convicted, by name.

use super::history::{History, at};
use crate::bench::exit::Exit;
use crate::bench::ids::{NodeIndex, RunId};
use crate::bench::metrics::threshold::Threshold;
use crate::bench::stamp::Stamp;
use crate::bench::verdict::Status::{Fail, Note, Unknown};
use crate::bench::verdict::ledger::SubscriberLedger;
use crate::bench::verdict::ledger::account::{AnomalyKind, SeqRange};
use crate::bench::verdict::ledger::arrival::Ending;
use crate::bench::verdict::ledger::evidence::FaultRecord;
use crate::bench::verdict::ledger::publish::PublishOutcome;

/// Five broadcasts that arrived, so that there is something around the fault.
fn history(verify: &str) -> History {
    let mut history = History::new(verify);
    (1..=5).for_each(|second| _ = history.deliver("all", second * 1_000, &[0, 1]));
    history
}

#[test]
fn one_event_lost() {
    let mut history = history("");
    let lost = history.deliver("all", 6_000, &[1]);
    history.deliver("all", 7_000, &[0, 1]);
    history.end();
    history.check(&[("lost", Fail)]);
    assert_eq!(history.verdict().exit, Exit::VerificationFailed);
    let account = history.account();
    assert_eq!((account.expected, account.ok, account.lost), (14, 13, 1));
    let anomaly = &account.anomalies[0];
    assert_eq!((anomaly.kind, anomaly.count), (AnomalyKind::Lost, 1));
    let example = &anomaly.examples[0];
    assert_eq!(example.publisher.as_deref(), Some("main"));
    assert_eq!(example.address.as_deref(), Some("all"));
    assert_eq!(example.seq, Some(SeqRange { first: lost, last: lost }));
    assert_eq!(example.subscriber.as_deref(), Some("c-0"));
    assert_eq!(example.fault, None);
}

#[test]
fn mail_that_did_not_wait_is_lost() {
    let mut history = History::new("");
    history.plan.publishers[0].qos = 1;
    history.plan.groups[0].mailbox = true;
    history.clients[0] = SubscriberLedger::new(&history.plan, history.client_id(0));
    history.clients[0].forget_order_of_ids();
    history.deliver("user:u0", 1_000, &[]);
    history.clients[0].confirmed(at(5_000), false);
    history.end();
    history.check(&[("lost", Fail)]);
}

#[test]
fn the_last_event_lost_is_proven_by_the_sentinel() {
    let mut history = history("quiesce = { audit_read = false }");
    history.audit = None;
    let tail = history.publish("all", 6_000);
    history.arrive(1, "all", tail, 6_010);
    let published = history.publishes.addresses();
    assert_eq!(history.clients[0].sentinels_missing(&published), 1);
    history.end();
    assert_eq!(history.clients[0].sentinels_missing(&published), 0);
    history.check(&[("lost", Fail)]);
}

#[test]
fn the_first_event_that_is_owed_lost() {
    let mut history = History::new("");
    history.deliver("all", 0, &[1]);
    history.deliver("all", 1_000, &[0, 1]);
    history.end();
    history.check(&[("lost", Fail)]);
}

#[test]
fn an_audit_read_that_was_asked_for_and_not_made() {
    let mut history = history("");
    history.audit = None;
    history.end();
    history.check(&[("audit read", Unknown)]);
}

#[test]
fn the_only_event_of_a_series_lost() {
    let mut history = history("");
    history.deliver("user:u0", 6_000, &[]);
    history.end();
    history.check(&[("lost", Fail)]);
}

#[test]
fn events_lost_in_a_faults_window_are_counted_there() {
    let mut history = history("");
    history.kill();
    history.reconnect(0, 10_000, 12_000, true);
    history.deliver("all", 10_500, &[1]);
    history.deliver("all", 11_000, &[1]);
    history.deliver("all", 13_000, &[0, 1]);
    history.deliver("all", 40_000, &[1]);
    history.deliver("all", 41_000, &[0, 1]);
    history.end();
    history.check(&[("lost", Fail), ("replayed from the wrong place", Fail)]);
    let account = history.account();
    let lost = &account.anomalies[0];
    assert_eq!((lost.count, lost.by_fault.as_slice()), (3, &[("kill-1".to_owned(), 2)][..]));
    assert_eq!(lost.examples[0].seq, Some(SeqRange { first: 6, last: 7 }), "neighbours are one example");
    assert_eq!(lost.examples[0].fault.as_deref(), Some("kill-1"));
    assert_eq!(account.faults[0].lost, 2);
}

#[test]
fn an_event_lost_in_two_windows_belongs_to_the_fault_that_came_last() {
    let mut history = history("");
    history.kill();
    let (planned, applied, healed) = (at(12_000), Some(at(12_000)), Some(at(13_000)));
    let pause = FaultRecord { name: "pause-1".into(), planned, applied, healed, error: None };
    history.faults.push(pause);
    for second in [11, 12, 14] {
        history.deliver("all", second * 1_000 - 500, &[1]);
        history.deliver("all", second * 1_000, &[0, 1]);
    }
    history.end();
    history.check(&[("lost", Fail)]);
    let by_fault = &history.account().anomalies[0].by_fault;
    assert_eq!(by_fault, &[("kill-1".to_owned(), 1), ("pause-1".to_owned(), 2)]);
}

#[test]
fn an_event_lost_just_before_the_end() {
    let mut history = history("");
    history.deliver("all", 59_900, &[1]);
    history.end();
    history.check(&[("lost", Fail)]);
}

#[test]
fn a_gap_that_was_declared_has_its_own_name() {
    let mut history = history("");
    history.deliver("all", 6_000, &[1]);
    history.reconnect(0, 5_500, 7_000, true);
    history.clients[0].gap(at(7_001));
    history.deliver("all", 8_000, &[0, 1]);
    history.end();
    history.check(&[("gap declared", Fail)]);
}

#[test]
fn a_declared_gap_covers_no_hole_before_it_and_none_after_it() {
    let mut history = history("gaps = \"allowed\"");
    history.deliver("all", 6_000, &[1]);
    history.deliver("all", 7_000, &[0, 1]);
    history.deliver("all", 8_000, &[1]);
    history.clients[0].gap(at(8_500));
    history.deliver("all", 9_000, &[0, 1]);
    history.deliver("all", 10_000, &[1]);
    history.deliver("all", 11_000, &[0, 1]);
    history.end();
    history.check(&[("lost", Fail), ("gap declared", Note)]);
    let account = history.account();
    assert_eq!((account.lost, account.gap_declared), (2, 1));
}

#[test]
fn a_declared_gap_covers_no_hole_in_the_replay_that_follows_it() {
    let mut history = history("gaps = \"allowed\"");
    history.reconnect(0, 5_500, 10_000, true);
    let missed: Vec<u64> = (6..=9).map(|second| history.deliver("all", second * 1_000, &[1])).collect();
    history.clients[0].gap(at(10_001));
    history.arrive(0, "all", missed[1], 10_002);
    history.arrive(0, "all", missed[3], 10_003);
    history.end();
    history.check(&[("lost", Fail), ("gap declared", Note)]);
    let account = history.account();
    assert_eq!((account.lost, account.gap_declared), (1, 1));
}

#[test]
fn a_declared_gap_covers_nothing_that_was_published_after_it() {
    let mut history = history("gaps = \"allowed\"");
    history.clients[0].gap(at(5_500));
    history.deliver("all", 6_000, &[1]);
    history.deliver("all", 7_000, &[0, 1]);
    history.end();
    history.check(&[("lost", Fail), ("gap declared", Note)]);
}

#[test]
fn a_gap_is_told_also_where_nothing_that_was_owed_is_missing() {
    for (gaps, status) in [("forbidden", Fail), ("allowed", Note)] {
        let mut history = history(&format!("gaps = {gaps:?}"));
        history.clients[0].gap(at(5_500));
        history.clients[0].gap(at(5_600));
        history.end();
        history.check(&[("gap declared", status)]);
        let account = history.account();
        assert_eq!((account.gap_events, account.gap_clients, account.gap_declared), (2, 1, 0));
    }
}

#[test]
fn a_sentinel_that_a_gap_covers_is_declared_and_not_unknown() {
    for (gaps, status, exit) in [("forbidden", Fail, Exit::VerificationFailed), ("allowed", Note, Exit::Pass)]
    {
        let mut history = history(&format!("gaps = {gaps:?}"));
        history.sentinels(&[1]);
        history.clients[0].gap(at(59_500));
        history.clients.iter_mut().for_each(|client| client.finish(at(60_000), Ending::RunOver));
        history.check(&[("gap declared", status)]);
        let verdict = history.verdict();
        assert_eq!(verdict.exit, exit);
        let detail = &verdict.check("gap declared").unwrap().detail;
        assert!(detail.contains("1 GAP events at 1 clients") && detail.contains("1 sentinels"), "{detail}");
    }
}

#[test]
fn a_sentinel_that_no_gap_covers_leaves_the_end_unknown() {
    let mut history = history("gaps = \"allowed\"");
    history.clients[0].gap(at(57_000));
    history.sentinels(&[1]);
    history.clients.iter_mut().for_each(|client| client.finish(at(60_000), Ending::RunOver));
    history.check(&[("gap declared", Note), ("quiescence", Unknown)]);
    assert_eq!(history.account().without_sentinels, 1);
}

#[test]
fn a_duplicate_within_a_session() {
    let mut history = history("delivery = \"at-least-once\"");
    history.arrive(0, "all", 5, 5_050);
    history.end();
    history.check(&[("duplicated in session", Fail)]);
}

#[test]
fn a_duplicate_across_a_reconnect() {
    for (verify, status) in [("delivery = \"exactly-once\"", Fail), ("delivery = \"at-least-once\"", Note)] {
        let mut history = history(verify);
        history.reconnect(0, 5_500, 5_600, true);
        history.arrive(0, "all", 5, 5_700);
        history.end();
        history.check(&[("duplicated across reconnect", status)]);
    }
}

#[test]
fn two_events_swapped() {
    let mut history = history("");
    let (first, second) = (history.publish("all", 6_000), history.publish("all", 7_000));
    history.arrive(0, "all", second, 7_010);
    history.arrive(0, "all", first, 7_020);
    history.arrive(1, "all", first, 7_010);
    history.arrive(1, "all", second, 7_020);
    [first, second].iter().for_each(|seq| history.keep("all", *seq));
    history.end();
    history.check(&[("reordered", Fail)]);
    let account = history.account();
    assert_eq!((account.reordered, account.reordered_by_at_most), (1, 1));
    assert_eq!(account.anomalies[0].examples[0].note, "after 7");
}

#[test]
fn an_event_of_another_user() {
    let mut history = history("");
    let seq = history.deliver("user:u1", 6_000, &[1]);
    history.arrive(0, "user:u1", seq, 6_020);
    history.end();
    history.check(&[("isolation leak", Fail)]);
    assert_eq!(history.account().anomalies[0].examples[0].address.as_deref(), Some("user:u1"));
}

#[test]
fn a_sentinel_of_another_user_is_a_leak_too() {
    let mut history = history("");
    history.deliver("user:u1", 6_000, &[1]);
    history.end();
    let publisher = crate::bench::ids::PublisherId::SENTINEL;
    let sentinel = Stamp { publisher, ..history.stamp("user:u1", 1) };
    history.clients[0].arrive(at(59_500), None, sentinel);
    history.check(&[("isolation leak", Fail)]);
}

#[test]
fn an_event_that_nobody_published() {
    for seq in [0, 6, 4_000] {
        let mut history = history("");
        history.end();
        history.arrive(0, "all", seq, 59_500);
        let complaints = history.complaints();
        assert!(complaints.contains(&("never published".into(), Fail)), "{complaints:?}");
    }
}

#[test]
fn an_event_that_no_bench_published() {
    let mut history = history("");
    history.clients[0].foreign(at(6_000));
    history.end();
    history.check(&[("never published", Fail)]);
}

#[test]
fn a_refused_publish_that_appeared() {
    let mut history = history("");
    let refused = history.publish_as("all", 6_000, PublishOutcome::Refused);
    history.arrive(0, "all", refused, 6_010);
    history.end();
    history.check(&[("refused yet delivered", Fail)]);
}

#[test]
fn an_event_of_another_run() {
    let mut history = history("");
    let stamp = Stamp { run: RunId::from_random(2), ..history.stamp("all", 3) };
    history.clients[0].arrive(at(6_000), Some("y"), stamp);
    history.end();
    history.check(&[("of another run", Fail)]);
}

#[test]
fn an_unseen_tail_is_unknown_and_not_lost() {
    let mut history = history("quiesce = { audit_read = false }");
    history.audit = None;
    let tail = history.publish("all", 6_000);
    history.arrive(1, "all", tail, 6_010);
    history.sentinels(&[1]);
    history.clients.iter_mut().for_each(|client| client.finish(at(60_000), Ending::RunOver));
    history.quiescent = false;
    history.check(&[("unseen", Unknown), ("quiescence", Unknown)]);
    assert_eq!(history.verdict().exit, Exit::Unknown);
}

#[test]
fn the_audit_read_proves_that_an_unseen_tail_is_lost() {
    let mut history = history("");
    history.deliver("all", 6_000, &[1]);
    history.sentinels(&[1]);
    history.clients.iter_mut().for_each(|client| client.finish(at(60_000), Ending::RunOver));
    history.check(&[("lost", Fail), ("quiescence", Unknown)]);
}

#[test]
fn one_id_for_two_events_of_one_client() {
    let mut history = history("");
    let seq = history.publish("all", 6_000);
    history.keep("all", seq);
    history.arrive_with_id(0, ("all", seq), 6_010, "all-5");
    history.arrive(1, "all", seq, 6_010);
    history.end();
    history.check(&[("inconsistent id", Fail)]);
}

#[test]
fn one_id_twice_in_a_row_is_found_without_being_remembered() {
    let mut history = History::new("");
    history.plan.id_mask = u64::MAX;
    history.clients[0] = SubscriberLedger::new(&history.plan, history.client_id(0));
    history.clients[0].forget_order_of_ids();
    history.clients[0].confirmed(at(0), false);
    for ms in [1_000, 2_000] {
        let seq = history.deliver("all", ms, &[1]);
        history.arrive_with_id(0, ("all", seq), ms + 10, "the same");
    }
    history.end();
    history.check(&[("inconsistent id", Fail)]);
}

#[test]
fn one_id_for_two_events_of_two_clients() {
    let mut history = history("");
    let (first, second) = (history.publish("all", 6_000), history.publish("all", 7_000));
    for (client, ids) in [["a", "b"], ["b", "a"]].iter().enumerate() {
        history.arrive_with_id(client, ("all", first), 7_010, ids[0]);
        history.arrive_with_id(client, ("all", second), 7_020, ids[1]);
    }
    [first, second].iter().for_each(|seq| history.keep("all", *seq));
    history.end();
    history.check(&[("inconsistent id", Fail)]);
}

#[test]
fn one_event_with_two_ids_at_two_clients() {
    let mut history = history("");
    let seq = history.publish("all", 6_000);
    history.keep("all", seq);
    history.arrive_with_id(0, ("all", seq), 6_010, "all-6");
    history.arrive_with_id(1, ("all", seq), 6_010, "all-7");
    history.end();
    history.check(&[("inconsistent id", Fail)]);
}

#[test]
fn an_event_acknowledged_and_forgotten() {
    let mut history = history("");
    history.publish("all", 6_000);
    history.deliver("all", 7_000, &[0, 1]);
    history.end();
    history.check(&[("lost", Fail), ("acknowledged and forgotten", Fail)]);
    assert_eq!(history.account().forgotten, 1);
    assert_eq!(history.account().lost, 2);
}

#[test]
fn an_event_forgotten_that_nobody_was_owed() {
    let mut history = history("");
    history.clients.iter_mut().for_each(|client| client.finish(at(5_500), Ending::Left));
    history.publish("all", 8_000);
    history.sentinels(&[]);
    history.check(&[("acknowledged and forgotten", Fail)]);
}

#[test]
fn what_was_kept_from_a_client_that_left_later_is_lost() {
    let stories: [fn(&mut History); 3] = [
        |history| _ = history.deliver("all", 6_000, &[1]),
        |history| {
            history.reconnect(0, 6_000, 7_000, true);
            history.deliver("all", 6_500, &[1]);
        },
        |history| {
            history.deliver("all", 6_000, &[1]);
            history.clients[0].disconnected(at(8_000));
        },
    ];
    for story in stories {
        let mut history = history("");
        story(&mut history);
        history.end();
        history.clients[0].finish(at(9_000), Ending::Left);
        history.check(&[("lost", Fail)]);
    }
}

#[test]
fn what_the_log_trimmed_by_right_is_not_forgotten() {
    let mut history = History::new("");
    for second in 1..=5 {
        let seq = history.publish("all", second * 1_000);
        [0, 1].iter().for_each(|client| _ = history.arrive(*client, "all", seq, second * 1_000 + 10));
        if second > 3 {
            history.keep("all", seq);
        }
    }
    history.end();
    history.check(&[]);
}

#[test]
fn a_session_resumed_too_far_ahead() {
    let mut history = history("");
    history.reconnect(0, 5_500, 7_000, true);
    history.deliver("all", 6_000, &[1]);
    history.deliver("all", 6_500, &[1]);
    history.deliver("all", 8_000, &[0, 1]);
    history.end();
    history.check(&[("lost", Fail), ("replayed from the wrong place", Fail)]);
    let account = history.account();
    let misplaced = account.anomalies.iter().find(|it| it.kind == AnomalyKind::MisplacedResume).unwrap();
    assert_eq!(misplaced.examples[0].note, "it had events up to 5, and the stream went on with event 8");
}

#[test]
fn what_was_lost_after_a_resume_or_by_a_client_without_a_cursor_was_not_skipped() {
    for (lost, back, resumed) in [(7_000, 6_000, true), (6_000, 7_000, false)] {
        let mut history = history("");
        history.reconnect(0, 5_500, back, resumed);
        history.deliver("all", lost, &[1]);
        history.deliver("all", 8_000, &[0, 1]);
        history.end();
        history.check(&[("lost", Fail)]);
    }
}

#[test]
fn a_client_that_was_sent_away_for_good() {
    let mut history = history("");
    history.end();
    history.kill();
    history.clients[0].disconnected(at(10_100));
    history.clients[0].finish(at(10_200), Ending::GaveUp);
    history.deliver("all", 20_000, &[1]);
    history.check(&[("never recovered", Fail)]);
    let account = history.account();
    assert_eq!(account.faults[0].never_recovered, 1);
}

#[test]
fn a_client_that_never_got_back_in_is_owed_but_nothing_is_proven() {
    // Who is not waited for after an interrupt is not convicted of being away.
    let (away, unseen) = (("never recovered", Fail), ("unseen", Unknown));
    for (was_interrupted, expected) in [(false, vec![away, unseen]), (true, vec![unseen])] {
        let mut history = history("");
        history.sentinels(&[1]);
        history.clients[0].disconnected(at(5_500));
        history.deliver("all", 6_000, &[1]);
        history.clients[0].finish(at(60_000), Ending::Unreachable);
        history.clients[1].finish(at(60_000), Ending::RunOver);
        history.was_interrupted = was_interrupted;
        history.check(&expected);
    }
}

#[test]
fn at_most_once_still_owes_what_falls_within_a_session() {
    let mut history = history("delivery = \"at-most-once\"");
    history.deliver("all", 6_000, &[1]);
    history.deliver("all", 7_000, &[0, 1]);
    history.reconnect(0, 9_000, 9_500, false);
    history.end();
    history.check(&[("lost", Fail)]);
}

#[test]
fn a_run_that_owed_nothing_verified_nothing() {
    let mut history = History::new("");
    history.end();
    history.check(&[("deliveries owed", Unknown)]);
    assert_eq!(history.verdict().exit, Exit::Unknown);
}

#[test]
fn a_client_that_never_connected_is_owed_nothing() {
    let mut history = history("");
    history.clients[0] = SubscriberLedger::new(&history.plan, history.client_id(0));
    history.clients[0].forget_order_of_ids();
    history.end();
    history.check(&[]);
}

#[test]
fn more_inversions_than_can_be_kept_are_an_unknown_order_beside_the_proven_ones() {
    let mut history = History::new("quiesce = { audit_read = false }");
    history.audit = None;
    for ms in 1..=5_000 {
        history.publish("all", ms * 10);
    }
    // The newest first, and then all others.
    history.arrive(0, "all", 5_000, 55_000);
    (1..5_000).for_each(|seq| _ = history.arrive(0, "all", seq, 55_000 + seq));
    (1..=5_000).for_each(|seq| _ = history.arrive(1, "all", seq, 55_000 + seq));
    history.end();
    history.check(&[("reordered", Fail), ("order", Unknown)]);
    let account = history.account();
    assert_eq!((account.reordered, account.order_unjudged), (4_096, 4_999 - 4_096));
    assert_eq!(account.reordered_by_at_most, 4_999);
}

#[test]
fn a_server_that_locks_clients_out_does_not_hide_behind_those_who_leave() {
    let mut history = History::new("delivery = \"exactly-once\"");
    history.deliver("all", 1_000, &[0, 1]);
    history.kill();
    history.clients[0].disconnected(at(10_000));
    // Each second from the kill on, until long after everything was mended.
    (11..40).for_each(|second| {
        history.clients[0].record_failed_attempt(at(second * 1_000), at(second * 1_000 + 1));
    });
    history.end();
    history.clients[0].finish(at(40_000), Ending::Left);
    history.check(&[("never recovered", Fail)]);
    let account = history.account();
    assert_eq!((account.never_recovered, account.faults[0].never_recovered), (1, 1));
    let example =
        &account.anomalies.iter().find(|one| one.kind == AnomalyKind::NeverRecovered).unwrap().examples[0];
    assert!(example.note.contains("could not reconnect"), "{example:?}");
}

#[test]
fn who_never_got_in_was_locked_out_too() {
    let mut history = History::new("");
    history.clients[0] = SubscriberLedger::new(&history.plan, history.client_id(0));
    history.clients[0].forget_order_of_ids();
    history.deliver("all", 1_000, &[1]);
    (2..30).for_each(|second| {
        history.clients[0].record_failed_attempt(at(second * 1_000), at(second * 1_000 + 1));
    });
    history.end();
    history.clients[0].finish(at(30_000), Ending::Left);
    history.check(&[("never recovered", Fail)]);
}

#[test]
fn a_loss_before_the_fault_and_one_of_another_node_are_losses_of_those_who_leave_too() {
    let lost = |node: u16, published: u64| {
        let mut history = History::new("");
        history.kill();
        history.clients[0].served_by(NodeIndex(node));
        history.deliver("all", published, &[1]);
        history.deliver("all", published + 1, &[0, 1]);
        history.end();
        history.clients[0].finish(at(16_000), Ending::Left);
        history.account().lost
    };
    assert_eq!(lost(0, 8_000), 1, "sent before the fault");
    assert_eq!(lost(1, 12_000), 1, "its node was whole");
    assert_eq!(lost(0, 12_000), 0);
}

#[test]
fn clients_that_wanted_to_come_back_and_did_not_are_infinitely_late() {
    let mut history = history("delivery = \"at-most-once\"");
    for (key, expression) in [
        ("reconnect_time", "p(50)<3s"),
        ("recovery_time{phase:recovery}", "max<3s"),
        ("reconnect_time{phase:warmup}", "max<3s"),
    ] {
        history.plan.thresholds.push(Threshold::parse(key, expression).unwrap());
    }
    history.kill();
    history.clients[0].disconnected(at(10_100));
    history.clients[0].finish(at(60_000), Ending::Unreachable);
    history.clients[1].finish(at(60_000), Ending::RunOver);
    let measured: Vec<String> = history.verdict().thresholds.into_iter().map(|it| it.measured).collect();
    assert_eq!(measured, ["p(50)=lost", "max=lost", "no samples"]);
    let fault = &history.account().faults[0];
    assert_eq!((fault.sessions_cut, fault.not_back, fault.never_recovered), (1, 1, 1));
}

#[test]
fn who_stays_away_by_policy_is_told_and_no_time_of_his_counts() {
    let mut history = history("");
    history.plan.thresholds.push(Threshold::parse("reconnect_time", "max<3s").unwrap());
    history.kill();
    history.clients[0].disconnected(at(10_100));
    history.clients[0].finish(at(10_100), Ending::NoReconnect);
    history.clients[1].finish(at(60_000), Ending::RunOver);
    assert_eq!(history.verdict().thresholds[0].measured, "no samples");
    let fault = &history.account().faults[0];
    assert_eq!((fault.sessions_cut, fault.not_back, fault.never_recovered), (1, 1, 0));
}
