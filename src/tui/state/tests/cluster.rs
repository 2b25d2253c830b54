//! Readings over time: totals, series, followed nodes, changes.

use crate::tui::state::members::MAX_NODES;
use std::time::Duration;

use crate::protocol::NodeId;
use crate::tui::state::bench_run::RunNode;
use crate::tui::state::cluster::{ClusterState, MAX_CHANGES};
use crate::tui::state::message::{Answer, Effect, Failed, Polled};
use crate::tui::state::node_column::{NodeColumn, NodeOrder};
use crate::tui::state::reading::{FetchError, Peer, Reading, Serving};
use crate::tui::state::tests::fixture::{self, INTERVAL, at, reading, url};
use crate::tui::state::totals::Totals;
use crate::tui::text::sanitize::SafeText;

fn cluster(nodes: &[u16]) -> ClusterState {
    ClusterState::new(&nodes.iter().map(|number| url(*number)).collect::<Vec<_>>(), INTERVAL)
}

fn answer(cluster: &mut ClusterState, number: u16, seconds: f64, reading: Reading) -> Vec<Effect> {
    let outcome = Ok(Answer { rtt: Duration::from_millis(1), reading });
    cluster.take(Polled { url: url(number), at: at(seconds), outcome })
}

fn refuse(cluster: &mut ClusterState, number: u16, seconds: f64) -> Vec<Effect> {
    let outcome = Err(Failed { error: FetchError::Refused, tries: 1, retry_in: INTERVAL });
    cluster.take(Polled { url: url(number), at: at(seconds), outcome })
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

fn labels(cluster: &ClusterState) -> Vec<String> {
    cluster.nodes.iter().map(|node| format!("{} {}", node.label(), node.url.short())).collect()
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
    let mut cluster = cluster(&[1, 2]);
    for (number, micros, count) in [(1, 1_000, first), (2, 500_000, second)] {
        let mut metrics = fixture::metrics(&format!("node-{number}"), 1);
        metrics.delivery_latency = fixture::dump(std::iter::repeat_n(micros, count));
        answer(&mut cluster, number, 1.0, Reading::new(metrics, Err(FetchError::Refused)));
    }
    cluster.tick(at(1.1));
    let ms = |time: Option<Duration>| time.unwrap().as_millis();
    assert_eq!((ms(cluster.totals.p50), ms(cluster.totals.p99)), expected);
    assert_eq!(cluster.totals.connections, 30_080);
}

#[test]
fn only_fresh_figures_are_added_up() {
    let mut cluster = cluster(&[1, 2]);
    for number in [1, 2] {
        answer(&mut cluster, number, 1.0, reading(&format!("node-{number}"), 1.0));
    }
    refuse(&mut cluster, 2, 2.0);
    answer(&mut cluster, 1, 2.0, reading("node-1", 2.0));
    cluster.tick(at(2.1));
    assert_eq!((cluster.totals.fresh, cluster.totals.connections), (1, 15_040));
    assert_eq!(cluster.totals.sent.map(f64::round), Some(36_000.0));
    cluster.tick(at(60.0));
    assert_eq!(cluster.totals, Totals::default());
}

#[test]
fn different_logs_are_seen() {
    let mut cluster = cluster(&[1, 2]);
    let mut other = reading("node-2", 1.0);
    other.log.epoch = SafeText::new("zzzzzz");
    answer(&mut cluster, 1, 1.0, reading("node-1", 1.0));
    answer(&mut cluster, 2, 1.0, other);
    cluster.tick(at(1.1));
    assert_eq!(cluster.totals.epochs.len(), 2);
}

#[test]
fn one_step_an_interval_and_holes_where_nobody_looked() {
    let mut cluster = cluster(&[1]);
    answer(&mut cluster, 1, 0.1, reading("node-1", 0.1));
    for tick in 1..=10_u32 {
        cluster.tick(at(f64::from(tick) * 0.26));
    }
    let known =
        |cluster: &ClusterState| cluster.series.connections.last(99).map(|v| v.is_some()).collect::<Vec<_>>();
    assert_eq!(known(&cluster), [true, true, true]);
    answer(&mut cluster, 1, 6.9, reading("node-1", 6.9));
    cluster.tick(at(7.0));
    assert_eq!(known(&cluster), [true, true, true, false, false, false, false, true]);
    assert_eq!(cluster.nodes[0].trend.last(99).len(), 8);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn ticks_that_tremble_leave_no_holes(
        ticks in proptest::collection::vec(0.5..1.5_f64, 4..200),
        interval in 0.25..60.0_f64,
    ) {
        // The event loop ticks three times an interval or more often.
        let interval = Duration::from_secs_f64(interval);
        let mut cluster = ClusterState::new(&[url(1)], interval);
        let mut seconds = 0.0;
        for tick in ticks {
            seconds += tick * interval.as_secs_f64() / 3.0;
            answer(&mut cluster, 1, seconds, reading("node-1", seconds));
            cluster.tick(at(seconds));
        }
        let steps = seconds / interval.as_secs_f64();
        let history = cluster.series.connections.last(usize::MAX);
        proptest::prop_assert!((steps - 1.0..=steps + 1.0).contains(&(history.len() as f64)));
        proptest::prop_assert!(cluster.series.connections.last(usize::MAX).all(|value| value.is_some()));
    }
}

#[test]
fn nodes_of_the_roster_are_followed_once() {
    let mut cluster = cluster(&[1]);
    let found = answer(&mut cluster, 1, 1.0, knows(1, 1.0, &[(1, 1), (2, 2), (3, 3)]));
    assert_eq!(found, [Effect::Follow(url(2)), Effect::Follow(url(3))]);
    assert_eq!(answer(&mut cluster, 2, 1.2, knows(2, 1.2, &[(1, 1), (2, 2), (3, 3)])), []);
    assert_eq!(cluster.nodes.len(), 3);
}

#[test]
fn a_node_that_the_user_calls_otherwise_is_not_shown_twice() {
    // Asked at 11, which its roster calls 1.
    let mut cluster = cluster(&[11]);
    let found = answer(&mut cluster, 11, 1.0, knows(1, 1.0, &[(1, 1), (2, 2)]));
    assert_eq!(found, [Effect::Follow(url(2))]);
    // Two addresses of the user's, of which the roster's is not one, until the second answers.
    let mut cluster = ClusterState::new(&[url(11), url(12)], INTERVAL);
    let roster = [(1, 11), (2, 2)];
    assert_eq!(answer(&mut cluster, 11, 1.0, knows(1, 1.0, &roster)), [Effect::Follow(url(2))]);
    assert_eq!(answer(&mut cluster, 12, 1.1, knows(2, 1.1, &roster)), [], "the roster's may still answer");
    assert_eq!(answer(&mut cluster, 2, 1.2, knows(2, 1.2, &roster)), [Effect::Forget(url(12))]);
    assert_eq!(labels(&cluster), ["node-1 127.0.0.1:8091", "node-2 127.0.0.1:8082"]);
}

#[test]
fn an_address_of_the_roster_that_cannot_be_reached_gives_way() {
    let mut cluster = cluster(&[11, 12]);
    answer(&mut cluster, 11, 1.0, knows(1, 1.0, &[(1, 11), (2, 2)]));
    refuse(&mut cluster, 2, 1.1);
    assert_eq!(answer(&mut cluster, 12, 1.2, knows(2, 1.2, &[(2, 2)])), [Effect::Forget(url(2))]);
    assert_eq!(labels(&cluster), ["node-1 127.0.0.1:8091", "node-2 127.0.0.1:8092"]);
}

#[test]
fn a_balancer_gives_way_to_the_nodes_behind_it() {
    let roster = [(1, 1), (2, 2)];
    let mut cluster = cluster(&[99]);
    answer(&mut cluster, 99, 1.0, knows(1, 1.0, &roster));
    answer(&mut cluster, 2, 1.1, knows(2, 1.1, &roster));
    // The balancer's next answer comes from the other node.
    let effects = answer(&mut cluster, 99, 2.0, knows(2, 2.0, &roster));
    assert_eq!(effects, [Effect::Follow(url(1)), Effect::Forget(url(99))]);
    answer(&mut cluster, 1, 2.1, knows(1, 2.1, &roster));
    assert_eq!(labels(&cluster), ["node-2 127.0.0.1:8082", "node-1 127.0.0.1:8081"]);
}

#[test]
fn a_node_that_left_is_forgotten_after_a_while_unless_the_user_named_it() {
    let mut cluster = cluster(&[1, 3]);
    answer(&mut cluster, 1, 1.0, knows(1, 1.0, &[(1, 1), (2, 2), (3, 3)]));
    answer(&mut cluster, 2, 1.1, knows(2, 1.1, &[]));
    let mut effects = Vec::new();
    for second in 2..=70_u32 {
        let seconds = f64::from(second);
        effects.extend(answer(&mut cluster, 1, seconds, knows(1, seconds, &[(1, 1)])));
        effects.extend(refuse(&mut cluster, 2, seconds));
        effects.extend(refuse(&mut cluster, 3, seconds));
        effects.extend(cluster.tick(at(seconds + 0.1)));
    }
    assert_eq!(effects, [Effect::Forget(url(2))]);
    assert_eq!(cluster.nodes.len(), 2);
}

#[test]
fn a_roster_cannot_make_the_console_ask_without_a_limit() {
    let mut cluster = cluster(&[1]);
    let roster: Vec<_> = (2..500).map(|number| (number, number)).collect();
    answer(&mut cluster, 1, 1.0, knows(1, 1.0, &roster));
    assert_eq!(cluster.nodes.len(), MAX_NODES);
}

#[test]
fn changes_are_told_once_and_limited() {
    let mut cluster = cluster(&[1]);
    for second in 1..=1000_u32 {
        let seconds = f64::from(second);
        if second % 2 == 0 {
            refuse(&mut cluster, 1, seconds);
        } else {
            answer(&mut cluster, 1, seconds, reading("node-1", seconds));
        }
        cluster.tick(at(seconds + 0.1));
    }
    assert_eq!(cluster.changes_seen, 1000);
    assert_eq!(cluster.changes.len(), MAX_CHANGES);
    assert_eq!(cluster.changes[0].text, "DOWN: connection refused");
    assert_eq!(cluster.changes[1].text, "UP");
}

#[test]
fn the_nodes_of_a_run_are_looked_at_while_it_lasts() {
    let run_node = |number: u16| RunNode {
        name: SafeText::new(&format!("node-{number}")),
        url: SafeText::new(&url(number).to_string()),
    };
    let mut cluster = cluster(&[]);
    let asked = cluster.follow_run(&[run_node(1), run_node(2), RunNode::default()]);
    assert_eq!(asked, [Effect::FollowUntrusted(url(1)), Effect::FollowUntrusted(url(2))]);
    assert_eq!(cluster.nodes[0].label().as_str(), "node-1", "by its name from the beginning");
    // One that the roster knows as well, and one that only it knows.
    let asked = answer(&mut cluster, 1, 1.0, knows(1, 1.0, &[(2, 2), (3, 3)]));
    assert_eq!(asked, [Effect::FollowUntrusted(url(3))], "whom a stranger names is one");
    refuse(&mut cluster, 2, 1.5);
    assert_eq!(cluster.tick(at(2.0)), [], "a node that is down belongs to the run");
    cluster.leave_run();
    refuse(&mut cluster, 3, 2.5);
    assert_eq!(cluster.tick(at(3.0)), [Effect::Forget(url(2)), Effect::Forget(url(3))]);
    assert_eq!(cluster.nodes.len(), 1, "one that was kept alive is still looked at");
    // Another run in the same directory.
    assert_eq!(cluster.follow_run(&[run_node(4)]), [Effect::Forget(url(1)), Effect::FollowUntrusted(url(4))]);
}

#[test]
fn what_the_user_named_stays_when_a_run_ends() {
    let mut cluster = cluster(&[1]);
    refuse(&mut cluster, 1, 1.0);
    cluster.leave_run();
    assert_eq!((cluster.tick(at(2.0)), cluster.nodes.len()), (Vec::new(), 1));
}

#[test]
fn nodes_without_a_figure_come_last_in_both_directions() {
    let mut cluster = cluster(&[1, 2, 3, 10]);
    for number in [1, 2, 3, 10] {
        answer(&mut cluster, number, 1.0, reading(&format!("node-{number}"), 1.0));
    }
    answer(&mut cluster, 1, 10.0, reading("node-1", 10.0));
    let draining = Reading { serving: Serving::Draining, ..reading("node-2", 10.0) };
    answer(&mut cluster, 2, 10.0, draining);
    refuse(&mut cluster, 10, 10.0);
    cluster.tick(at(10.1));
    for (column, descending, order) in [
        (NodeColumn::Name, false, [1, 2, 3, 10]),
        (NodeColumn::Name, true, [10, 3, 2, 1]),
        (NodeColumn::Connections, true, [2, 1, 3, 10]),
        (NodeColumn::Connections, false, [1, 2, 3, 10]),
        (NodeColumn::State, false, [10, 3, 2, 1]),
    ] {
        let sorted = NodeOrder { column, descending }.sort(&cluster);
        let urls: Vec<_> = sorted.iter().map(|node| node.url.clone()).collect();
        assert_eq!(urls, order.map(url), "{column:?}");
    }
}
