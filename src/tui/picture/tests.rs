//! Readings over time: what is added up, what is followed, what is told.

use super::members::MAX_NODES;
use super::*;
use crate::protocol::NodeId;
use crate::tui::fixture::{self, INTERVAL, at, reading, url};
use crate::tui::message::{Answer, Failed, Message};
use crate::tui::reading::{Peer, Reading, Trouble};
use crate::tui::run::Place;

fn picture(nodes: &[u16]) -> Picture {
    Picture::new(&nodes.iter().map(|number| url(*number)).collect::<Vec<_>>(), INTERVAL)
}

fn answer(picture: &mut Picture, number: u16, seconds: f64, reading: Reading) -> Vec<Effect> {
    let outcome = Ok(Answer { rtt: Duration::from_millis(1), reading });
    picture.take(Polled { url: url(number), at: at(seconds), outcome })
}

fn refuse(picture: &mut Picture, number: u16, seconds: f64) -> Vec<Effect> {
    let outcome = Err(Failed { trouble: Trouble::Refused, tries: 1, retry_in: INTERVAL });
    picture.take(Polled { url: url(number), at: at(seconds), outcome })
}

/// A reading of the node with this number, whose roster holds these nodes at these addresses.
fn knows(number: u16, seconds: f64, roster: &[(u16, u16)]) -> Reading {
    let mut reading = reading(&format!("node-{number}"), seconds);
    let peer = |(id, at): &(u16, u16)| Peer {
        id: NodeId::parse(&format!("node-{id}")).unwrap(),
        url: Some(url(*at)),
    };
    reading.roster = Ok(roster.iter().map(peer).collect());
    reading
}

fn labels(picture: &Picture) -> Vec<String> {
    picture.nodes.iter().map(|node| format!("{} {}", node.label(), node.url.short())).collect()
}

#[test]
fn the_clusters_percentile_is_of_all_deliveries_and_not_a_mean() {
    // Of 10,000 deliveries the 9,900th counts; the mean of the nodes' own p99 is 250 ms in both cases.
    check_percentiles((9_900, 100), (1, 1));
    check_percentiles((9_850, 150), (1, 500));
    check_percentiles((100, 9_900), (500, 500));
}

/// The first node delivers within 1 ms, the second within 500 ms.
#[track_caller]
fn check_percentiles((first, second): (usize, usize), expected: (u128, u128)) {
    let mut picture = picture(&[1, 2]);
    for (number, micros, count) in [(1, 1_000, first), (2, 500_000, second)] {
        let mut metrics = fixture::metrics(&format!("node-{number}"), 1);
        metrics.delivery_latency = fixture::dump(std::iter::repeat_n(micros, count));
        answer(&mut picture, number, 1.0, Reading::new(metrics, Err(Trouble::Refused)));
    }
    picture.tick(at(1.1));
    let ms = |time: Option<Duration>| time.unwrap().as_millis();
    assert_eq!((ms(picture.totals.p50), ms(picture.totals.p99)), expected);
    assert_eq!(picture.totals.connections, 30_080);
}

#[test]
fn only_fresh_figures_are_added_up() {
    let mut picture = picture(&[1, 2]);
    for number in [1, 2] {
        answer(&mut picture, number, 1.0, reading(&format!("node-{number}"), 1.0));
    }
    refuse(&mut picture, 2, 2.0);
    answer(&mut picture, 1, 2.0, reading("node-1", 2.0));
    picture.tick(at(2.1));
    assert_eq!((picture.totals.fresh, picture.totals.connections), (1, 15_040));
    assert_eq!(picture.totals.sent.map(f64::round), Some(36_000.0));
    picture.tick(at(60.0));
    assert_eq!(picture.totals, Totals::default());
}

#[test]
fn different_logs_are_seen() {
    let mut picture = picture(&[1, 2]);
    let mut other = reading("node-2", 1.0);
    other.log.epoch = Plain::new("zzzzzz");
    answer(&mut picture, 1, 1.0, reading("node-1", 1.0));
    answer(&mut picture, 2, 1.0, other);
    picture.tick(at(1.1));
    assert_eq!(picture.totals.epochs.len(), 2);
}

#[test]
fn one_step_an_interval_and_holes_where_nobody_looked() {
    let mut picture = picture(&[1]);
    answer(&mut picture, 1, 0.1, reading("node-1", 0.1));
    for tick in 1..=10_u32 {
        picture.tick(at(f64::from(tick) * 0.26));
    }
    let known =
        |picture: &Picture| picture.history.connections.last(99).map(|v| v.is_some()).collect::<Vec<_>>();
    assert_eq!(known(&picture), [true, true, true]);
    answer(&mut picture, 1, 6.9, reading("node-1", 6.9));
    picture.tick(at(7.0));
    assert_eq!(known(&picture), [true, true, true, false, false, false, false, true]);
    assert_eq!(picture.nodes[0].trend.last(99).len(), 8);
}

proptest::proptest! {
    #[test]
    fn ticks_that_tremble_leave_no_holes(
        ticks in proptest::collection::vec(0.5..1.5_f64, 4..200),
        interval in 0.25..60.0_f64,
    ) {
        // The event loop ticks three times an interval or more often.
        let interval = Duration::from_secs_f64(interval);
        let mut picture = Picture::new(&[url(1)], interval);
        let mut seconds = 0.0;
        for tick in ticks {
            seconds += tick * interval.as_secs_f64() / 3.0;
            answer(&mut picture, 1, seconds, reading("node-1", seconds));
            picture.tick(at(seconds));
        }
        let steps = seconds / interval.as_secs_f64();
        let history = picture.history.connections.last(usize::MAX);
        proptest::prop_assert!((steps - 1.0..=steps + 1.0).contains(&(history.len() as f64)));
        proptest::prop_assert!(picture.history.connections.last(usize::MAX).all(|value| value.is_some()));
    }
}

#[test]
fn nodes_of_the_roster_are_followed_once() {
    let mut picture = picture(&[1]);
    let found = answer(&mut picture, 1, 1.0, knows(1, 1.0, &[(1, 1), (2, 2), (3, 3)]));
    assert_eq!(found, [Effect::Follow(url(2)), Effect::Follow(url(3))]);
    assert_eq!(answer(&mut picture, 2, 1.2, knows(2, 1.2, &[(1, 1), (2, 2), (3, 3)])), []);
    assert_eq!(picture.nodes.len(), 3);
}

#[test]
fn a_node_that_the_user_calls_otherwise_is_not_shown_twice() {
    // Asked at 11, which its roster calls 1.
    let mut picture = picture(&[11]);
    let found = answer(&mut picture, 11, 1.0, knows(1, 1.0, &[(1, 1), (2, 2)]));
    assert_eq!(found, [Effect::Follow(url(2))]);
    // Two addresses of the user's, of which the roster's is not one, until the second answers.
    let mut picture = Picture::new(&[url(11), url(12)], INTERVAL);
    let roster = [(1, 11), (2, 2)];
    assert_eq!(answer(&mut picture, 11, 1.0, knows(1, 1.0, &roster)), [Effect::Follow(url(2))]);
    assert_eq!(answer(&mut picture, 12, 1.1, knows(2, 1.1, &roster)), [], "the roster's may still answer");
    assert_eq!(answer(&mut picture, 2, 1.2, knows(2, 1.2, &roster)), [Effect::Forget(url(12))]);
    assert_eq!(labels(&picture), ["node-1 127.0.0.1:8091", "node-2 127.0.0.1:8082"]);
}

#[test]
fn an_address_of_the_roster_that_cannot_be_reached_gives_way() {
    let mut picture = picture(&[11, 12]);
    answer(&mut picture, 11, 1.0, knows(1, 1.0, &[(1, 11), (2, 2)]));
    refuse(&mut picture, 2, 1.1);
    assert_eq!(answer(&mut picture, 12, 1.2, knows(2, 1.2, &[(2, 2)])), [Effect::Forget(url(2))]);
    assert_eq!(labels(&picture), ["node-1 127.0.0.1:8091", "node-2 127.0.0.1:8092"]);
}

#[test]
fn a_balancer_gives_way_to_the_nodes_behind_it() {
    let roster = [(1, 1), (2, 2)];
    let mut picture = picture(&[99]);
    answer(&mut picture, 99, 1.0, knows(1, 1.0, &roster));
    answer(&mut picture, 2, 1.1, knows(2, 1.1, &roster));
    // The balancer's next answer comes from the other node.
    let effects = answer(&mut picture, 99, 2.0, knows(2, 2.0, &roster));
    assert_eq!(effects, [Effect::Follow(url(1)), Effect::Forget(url(99))]);
    answer(&mut picture, 1, 2.1, knows(1, 2.1, &roster));
    assert_eq!(labels(&picture), ["node-2 127.0.0.1:8082", "node-1 127.0.0.1:8081"]);
}

#[test]
fn a_node_that_left_is_forgotten_after_a_while_unless_the_user_named_it() {
    let mut picture = picture(&[1, 3]);
    answer(&mut picture, 1, 1.0, knows(1, 1.0, &[(1, 1), (2, 2), (3, 3)]));
    answer(&mut picture, 2, 1.1, knows(2, 1.1, &[]));
    let mut effects = Vec::new();
    for second in 2..=70_u32 {
        let seconds = f64::from(second);
        effects.extend(answer(&mut picture, 1, seconds, knows(1, seconds, &[(1, 1)])));
        effects.extend(refuse(&mut picture, 2, seconds));
        effects.extend(refuse(&mut picture, 3, seconds));
        effects.extend(picture.tick(at(seconds + 0.1)));
    }
    assert_eq!(effects, [Effect::Forget(url(2))]);
    assert_eq!(picture.nodes.len(), 2);
}

#[test]
fn a_roster_cannot_make_the_console_ask_without_a_limit() {
    let mut picture = picture(&[1]);
    let roster: Vec<_> = (2..500).map(|number| (number, number)).collect();
    answer(&mut picture, 1, 1.0, knows(1, 1.0, &roster));
    assert_eq!(picture.nodes.len(), MAX_NODES);
}

#[test]
fn changes_are_told_once_and_limited() {
    let mut picture = picture(&[1]);
    for second in 1..=1000_u32 {
        let seconds = f64::from(second);
        if second % 2 == 0 {
            refuse(&mut picture, 1, seconds);
        } else {
            answer(&mut picture, 1, seconds, reading("node-1", seconds));
        }
        picture.tick(at(seconds + 0.1));
    }
    assert_eq!(picture.changes_seen, 1000);
    assert_eq!(picture.changes.len(), MAX_CHANGES);
    assert_eq!(picture.changes[0].text, "DOWN: connection refused");
    assert_eq!(picture.changes[1].text, "UP");
}

#[test]
fn a_message_of_the_past_does_not_turn_the_clock_back() {
    let mut model = fixture::console(&[1], (80, 24));
    crate::tui::update::update(&mut model, Message::Tick(at(10.0)));
    crate::tui::update::update(&mut model, fixture::answered(1, 9.0, reading("node-1", 9.0)));
    assert_eq!(model.live.now, at(10.0));
    assert!(model.live.nodes[0].latest.is_some());
}

#[test]
fn the_nodes_of_a_run_are_looked_at_while_it_lasts() {
    let place = |number: u16| Place {
        name: Plain::new(&format!("node-{number}")),
        url: Plain::new(&url(number).to_string()),
    };
    let mut picture = picture(&[]);
    let asked = picture.follow_run(&[place(1), place(2), Place::default()]);
    assert_eq!(asked, [Effect::FollowStranger(url(1)), Effect::FollowStranger(url(2))]);
    assert_eq!(picture.nodes[0].label().as_str(), "node-1", "by its name from the beginning");
    // One that the roster knows as well, and one that only it knows.
    let asked = answer(&mut picture, 1, 1.0, knows(1, 1.0, &[(2, 2), (3, 3)]));
    assert_eq!(asked, [Effect::FollowStranger(url(3))], "whom a stranger names is one");
    refuse(&mut picture, 2, 1.5);
    assert_eq!(picture.tick(at(2.0)), [], "a node that is down belongs to the run");
    picture.leave_run();
    refuse(&mut picture, 3, 2.5);
    assert_eq!(picture.tick(at(3.0)), [Effect::Forget(url(2)), Effect::Forget(url(3))]);
    assert_eq!(picture.nodes.len(), 1, "one that was kept alive is still looked at");
    // Another run in the same directory.
    assert_eq!(picture.follow_run(&[place(4)]), [Effect::Forget(url(1)), Effect::FollowStranger(url(4))]);
}

#[test]
fn what_the_user_named_stays_when_a_run_ends() {
    let mut picture = picture(&[1]);
    refuse(&mut picture, 1, 1.0);
    picture.leave_run();
    assert_eq!((picture.tick(at(2.0)), picture.nodes.len()), (Vec::new(), 1));
}
