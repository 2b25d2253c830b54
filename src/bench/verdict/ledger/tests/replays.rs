//! A client is away for two seconds, in which twenty events are published. Its request is sent 100 ms before it knows that its
//! stream is open; in between the server reads its log, and the next ones are live.

use super::history::{History, at};
use crate::bench::verdict::ledger::Replays;

/// When the client is away, and when the server reads the log, in milliseconds.
const LEFT: u64 = 10_000;
const READ: u64 = 11_960;
const BACK: u64 = 12_100;

/// Events are sent every 100 ms, and every 40 ms while the stream is opened.
fn sent() -> Vec<u64> {
    let usual = (0..200).map(|number| number * 100 + 30);
    let mut all: Vec<u64> = usual.chain([11_970, 12_010, 12_050]).collect();
    all.sort_unstable();
    all
}

/// The replay of a server that sends some of the events that its log had: by their place in the replay, from 0, and how many
/// there are.
fn replay(comes: impl Fn(usize, usize) -> bool) -> Replays {
    let mut history = History::new("");
    let events: Vec<(u64, u64)> =
        sent().into_iter().map(|sent| (sent, history.publish("all", sent))).collect();
    let is_missed = |sent: u64| (LEFT..READ).contains(&sent);
    let missed = events.iter().filter(|(sent, _)| is_missed(*sent)).count();
    for (sent, seq) in events.iter().filter(|(sent, _)| *sent < LEFT) {
        history.arrive_due(0, ("all", *seq), *sent, sent + 10);
    }
    history.reconnect(0, LEFT, BACK, true);
    history.clients[0].requested(at(11_950));
    let mut place = 0;
    for (sent, seq) in events.iter().filter(|(sent, _)| *sent >= LEFT) {
        let is_live = !is_missed(*sent);
        if is_live || comes(place, missed) {
            history.arrive_due(0, ("all", *seq), *sent, BACK.max(sent + 10));
        }
        place += usize::from(!is_live);
    }
    history.end();
    Replays::of(&history.evidence())
}

/// What is counted of a replay: whole, nothing, front, back.
fn counts(replays: &Replays) -> [u64; 4] {
    assert_eq!((replays.resumed, replays.whole + replays.lossy), (1, 1));
    [replays.whole, replays.nothing, replays.front_one, replays.back_one]
}

fn limit(replays: &Replays) -> Option<(u64, u64, bool)> {
    replays.limit().map(|(cut, _)| (cut.least, cut.most, cut.is_newest))
}

#[test]
fn live_events_that_were_sent_while_the_stream_opened_do_not_hide_how_it_was_replayed() {
    assert_eq!(counts(&replay(|_, _| true)), [1, 0, 0, 0]);
    let nothing = replay(|_, _| false);
    assert_eq!((counts(&nothing), nothing.nothing_but), ([0, 1, 0, 0], Some(4)), "four were sent meanwhile");
    assert_eq!(counts(&replay(|place, _| place != 0)), [0, 0, 1, 0]);
    assert_eq!(counts(&replay(|place, missed| place + 1 != missed)), [0, 0, 0, 1]);
}

#[test]
fn a_replay_that_is_cut_off_has_its_number_and_a_hole_in_its_middle_has_none() {
    assert_eq!(limit(&replay(|place, _| place < 7)), Some((7, 7, false)), "the oldest");
    // Four events were sent between the request and the confirmation, and those may have been replayed.
    assert_eq!(limit(&replay(|place, missed| place + 7 >= missed)), Some((7, 11, true)), "the newest");
    for hole in [replay(|place, _| place != 9), replay(|place, _| !(5..9).contains(&place))] {
        assert_eq!((counts(&hole), limit(&hole)), ([0; 4], None));
    }
}
