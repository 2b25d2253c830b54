//! What a fault did: how long it took to get over it, what had to be given again, what it took away.

use std::time::Duration;

use super::history::{History, at};
use crate::bench::metrics::metric::Trend;
use crate::bench::metrics::recorder::{Recorder, Value};
use crate::bench::verdict::ledger::measure;

/// Four events a second from 8 s on, to everybody; the kill is from 10 s to 15 s.
fn history() -> History {
    let mut history = History::new("delivery = \"at-least-once\"");
    history.kill();
    (32..60).for_each(|quarter| _ = history.deliver("all", quarter * 250, &[1]));
    history
}

#[test]
fn a_backlog_is_drained_when_the_last_replayed_event_came() {
    let mut history = history();
    (1..=8).for_each(|seq| _ = history.arrive_due(0, ("all", seq), 7_750 + seq * 250, 7_755 + seq * 250));
    history.reconnect(0, 10_100, 12_000, true);
    // What had been due before the stream was there again is the backlog; what follows is live.
    (9..=17).for_each(|seq| _ = history.arrive_due(0, ("all", seq), 7_750 + seq * 250, 12_500 + seq * 10));
    (18..=28)
        .for_each(|seq| _ = history.arrive_due(0, ("all", seq), 7_750 + seq * 250, 7_755 + seq * 250 + 600));
    history.end();
    let account = history.account();
    let fault = &account.faults[0];
    assert_eq!((fault.sessions_cut, fault.replayed, fault.lost), (1, 8, 0), "{account:#?}");
    assert_eq!(fault.detect, Some(Duration::from_millis(100)));
    assert_eq!(fault.reconnect_p95, Some(Duration::from_millis(1_900)));
    assert_eq!(fault.recovery_p95, Some(Duration::from_millis(2_490)));
    assert_eq!(fault.drain_p95, Some(Duration::from_millis(2_560)));
    assert!(fault.lost_examples.is_empty());
}

#[test]
fn what_was_lost_in_a_faults_window_is_shown_with_it() {
    let mut history = history();
    (1..=28).filter(|seq| *seq != 2 && !(10..=12).contains(seq)).for_each(|seq| {
        history.arrive(0, "all", seq, 7_800 + seq * 250);
    });
    history.end();
    let account = history.account();
    let fault = &account.faults[0];
    assert_eq!((account.lost, fault.lost), (4, 3), "one was lost before anything was broken");
    let [example] = fault.lost_examples.as_slice() else { panic!("{fault:#?}") };
    let seq = example.seq.unwrap();
    assert_eq!((seq.first, seq.last, example.at), (10, 12, Some(at(10_250))));
    assert_eq!((example.subscriber.as_deref(), example.fault.as_deref()), (Some("c-0"), Some("kill-1")));
}

#[test]
fn all_clients_together_tell_how_far_apart_an_event_came_and_how_much_was_given_again() {
    let mut history = History::new("delivery = \"at-least-once\"");
    (1..=3).for_each(|seq| _ = history.publish("all", seq * 1_000));
    for (client, late) in [(0, 5), (1, 25)] {
        history.arrive_due(client, ("all", 1), 1_000, 1_000 + late);
    }
    history.arrive_due(1, ("all", 2), 2_000, 2_001);
    history.reconnect(0, 1_500, 2_500, true);
    history.arrive_due(0, ("all", 2), 2_000, 2_600);
    history.arrive_due(0, ("all", 3), 3_000, 3_001);
    let mut recorder = Recorder::default();
    measure(&history.plan, &history.clients, &mut recorder);
    let spread = recorder.samples(Trend::FanoutSpread, |_| true);
    // A replay says nothing of how an event is fanned out; and the third one had a single reader.
    let Some(Value::Of(widest)) = spread.max() else { panic!("{spread:?}") };
    assert_eq!(spread.count(), 1);
    assert!(widest.abs_diff(Duration::from_millis(20)) < Duration::from_micros(40), "{widest:?}");
    let replays = recorder.samples(Trend::ReplaySize, |_| true);
    assert_eq!((replays.count(), replays.max()), (1, Some(Value::Of(Duration::from_micros(1)))));
}
