//! Publishes that were in flight together have no order: a server that puts them in either one is honest, and one that turns
//! around two of which the first was acknowledged before the second was sent is not.

use proptest::prelude::*;

use super::history::{History, at};
use crate::bench::exit::Exit;
use crate::bench::verdict::Status::{Fail, Note, Unknown};
use crate::bench::verdict::ledger::arrival::Ending;
use crate::bench::verdict::ledger::publish::PublishOutcome;

impl History {
    /// A broadcast from `from` to `until`, which the log keeps.
    fn broadcast(&mut self, from: u64, until: u64) -> u64 {
        let all = self.id("all");
        let seq = self.publishes.begin(all, at(from));
        self.publishes.end(all, seq, at(until), PublishOutcome::Acknowledged);
        self.keep("all", seq);
        seq
    }
}

/// Numbers 1 and 2 were in flight together; 3 was sent later.
fn history(verify: &str) -> History {
    let mut history = History::new(verify);
    for (from, until) in [(1_000, 1_500), (1_200, 1_400), (2_000, 2_005)] {
        history.broadcast(from, until);
    }
    history
}

/// What the first client sees in this order; the second one sees all.
fn see(history: &mut History, seqs: &[u64]) {
    for (ms, seq) in (3_000..).zip(seqs) {
        history.arrive(0, "all", *seq, ms);
    }
    (1..=3).for_each(|seq| _ = history.arrive(1, "all", seq, 3_000 + seq));
}

#[test]
fn two_that_were_in_flight_together_come_in_either_order() {
    let mut either = history("");
    see(&mut either, &[2, 1, 3]);
    either.end();
    either.check(&[]);
    assert_eq!(either.account().overlapping, 1);
    // 3 was sent after both were acknowledged.
    for order in [[3, 1, 2], [1, 3, 2], [2, 3, 1]] {
        let mut turned = history("");
        see(&mut turned, &order);
        turned.end();
        turned.check(&[("reordered", Fail)]);
    }
}

#[test]
fn a_later_one_that_came_proves_a_loss_only_where_it_was_sent_later() {
    for (came, expected) in [(vec![2], ("unseen", Unknown)), (vec![2, 3], ("lost", Fail))] {
        let mut history = history("quiesce = { audit_read = false }");
        history.audit = None;
        // Owed is what was published up to then.
        history.clients[0].finish(at(60_000), Ending::RunOver);
        for seq in &came {
            history.arrive(0, "all", *seq, 3_000 + seq);
        }
        let complaints = history.complaints();
        assert!(complaints.contains(&(expected.0.to_owned(), expected.1)), "{came:?}: {complaints:?}");
        assert_eq!(history.account().lost, u64::from(came.len() == 2), "{came:?}");
    }
}

#[test]
fn a_gap_may_cover_what_was_in_flight_with_the_events_around_it() {
    // 2 came, 1 stood behind it in the log and was trimmed.
    let mut behind = history("gaps = \"allowed\"");
    behind.arrive(0, "all", 2, 2_500);
    behind.clients[0].gap(at(2_600));
    behind.arrive(0, "all", 3, 3_000);
    (1..=3).for_each(|seq| _ = behind.arrive(1, "all", seq, 3_000));
    behind.end();
    behind.check(&[("gap declared", Note)]);
    assert_eq!(behind.account().gap_declared, 1);
    // 2 stood before 1 in the log, and only 1 was still there.
    let mut ahead = history("gaps = \"allowed\"");
    ahead.clients[0].gap(at(2_600));
    [1, 3].iter().for_each(|seq| _ = ahead.arrive(0, "all", *seq, 3_000));
    (1..=3).for_each(|seq| _ = ahead.arrive(1, "all", seq, 3_000));
    ahead.end();
    ahead.check(&[("gap declared", Note)]);
    // 3 was sent when both had been acknowledged: no gap before them covers it.
    let mut hole = history("gaps = \"allowed\"");
    hole.clients[0].gap(at(2_600));
    [2, 1].iter().for_each(|seq| _ = hole.arrive(0, "all", *seq, 3_000));
    (1..=3).for_each(|seq| _ = hole.arrive(1, "all", seq, 3_000));
    hole.end();
    hole.check(&[("lost", Fail), ("gap declared", Note)]);
}

#[test]
fn what_was_in_flight_with_the_first_event_of_a_session_was_not_skipped_by_it() {
    for (sent, expected) in [
        (1_300, vec![("lost", Fail)]),
        (1_900, vec![("lost", Fail), ("replayed from the wrong place", Fail)]),
    ] {
        let mut history = History::new("");
        history.deliver("all", 100, &[0, 1]);
        history.reconnect(0, 500, 2_500, true);
        // Numbers 2 and 3, of which only the second comes.
        history.broadcast(1_200, 1_400);
        history.broadcast(sent, 2_000);
        history.arrive(0, "all", 3, 2_600);
        [2, 3].iter().for_each(|seq| _ = history.arrive(1, "all", *seq, 2_000));
        history.end();
        history.check(&expected);
    }
}

/// A publish: sent so many milliseconds after the one before, answered after so many, and put into the log in between.
#[derive(Debug, Clone, Copy)]
struct Sent {
    wait: u64,
    takes: u64,
    share: u64,
}

fn sent() -> impl Strategy<Value = Sent> {
    (0..40_u64, 1..400_u64, 0..=100_u64).prop_map(|(wait, takes, share)| Sent { wait, takes, share })
}

/// Publishes all, and returns the order of the log, each event with when it was put there.
fn log(history: &mut History, sends: &[Sent]) -> Vec<(u64, u64)> {
    let (mut now, mut log) = (1_000, Vec::new());
    for send in sends {
        now += send.wait;
        let seq = history.broadcast(now, now + send.takes);
        log.push((now + send.takes * send.share / 100, seq));
    }
    log.sort_unstable();
    log
}

/// When a publish was sent, and when it was acknowledged.
fn times(sends: &[Sent], seq: u64) -> (u64, u64) {
    let until = usize::try_from(seq).unwrap();
    let from = 1_000 + sends[..until].iter().map(|send| send.wait).sum::<u64>();
    (from, from + sends[until - 1].takes)
}

proptest! {
    #[test]
    fn a_server_that_follows_its_log_is_honest_whatever_the_order_of_the_log_is(
        sends in prop::collection::vec(sent(), 1..60),
        away in (1_000..2_500_u64, 1..800_u64),
        trimmed in 0..10_usize,
    ) {
        let mut history = History::new("delivery = \"exactly-once\"\ngaps = \"allowed\"");
        let log = log(&mut history, &sends);
        let (left, back) = (away.0, away.0 + away.1);
        for (put, seq) in &log {
            history.arrive(1, "all", *seq, put + 1);
        }
        let before = log.iter().filter(|(put, _)| *put < left);
        before.for_each(|(put, seq)| _ = history.arrive(0, "all", *seq, put + 1));
        history.reconnect(0, left, back, true);
        let missed: Vec<_> = log.iter().filter(|(put, _)| (left..back).contains(put)).collect();
        let trimmed = trimmed.min(missed.len());
        if trimmed > 0 {
            history.clients[0].gap(at(back));
        }
        for (_, seq) in &missed[trimmed..] {
            history.arrive(0, "all", *seq, back + 1);
        }
        let after = log.iter().filter(|(put, _)| *put >= back);
        after.for_each(|(put, seq)| _ = history.arrive(0, "all", *seq, put + 1));
        history.end();
        prop_assert_eq!(history.verdict().exit, Exit::Pass, "{:?}", history.complaints());
        prop_assert_eq!(history.account().gap_declared, trimmed as u64);
    }

    #[test]
    fn two_that_have_an_order_and_are_swapped_are_convicted(
        sends in prop::collection::vec(sent(), 2..60),
        which in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let mut history = History::new("");
        let mut log = log(&mut history, &sends);
        let (a, b) = (which.0.index(log.len()), which.1.index(log.len()));
        let (first, second) = (log[a.min(b)], log[a.max(b)]);
        prop_assume!(times(&sends, first.1).1 <= times(&sends, second.1).0);
        log.swap(a, b);
        for (ms, (_, seq)) in (10_000..).zip(&log) {
            [0, 1].iter().for_each(|client| _ = history.arrive(*client, "all", *seq, ms));
        }
        history.end();
        let complaints = history.complaints();
        prop_assert!(complaints.contains(&("reordered".to_owned(), Fail)), "{:?}", complaints);
    }
}
