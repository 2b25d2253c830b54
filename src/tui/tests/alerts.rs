//! Alerts, from the answers of nodes.

use crate::tui::state::alerts::RECENT;
use crate::tui::state::cluster::ClusterState;
use crate::tui::state::message::Message;
use crate::tui::state::reading::FetchError;
use crate::tui::state::tests::fixture::{answered, at, failed, reading};
use crate::tui::text::sanitize::SafeText;
use crate::tui::update::apply::update;
use crate::tui::update::tests::fixture::{console, mixed};

fn texts(cluster: &ClusterState) -> Vec<String> {
    cluster.alerts.iter().map(|alert| format!("{} {}", alert.subject, alert.text)).collect()
}

#[test]
fn the_worst_comes_first() {
    assert_eq!(
        texts(&mixed().live),
        [
            "node-2 3 GAP events sent, 29s ago",
            "node-3 STALE: no answer for 6s",
            "node-10 DOWN: connection refused",
            "node-2 DRAINING"
        ]
    );
}

#[test]
fn all_is_well_where_nothing_is_wrong() {
    let mut model = console(&[1], (80, 24));
    update(&mut model, answered(1, 1.0, reading("node-1", 1.0)));
    update(&mut model, Message::Tick(at(1.1)));
    assert_eq!(texts(&model.live), Vec::<String>::new());
}

#[test]
fn everything_that_a_reading_tells_is_looked_at() {
    let mut model = console(&[1, 2], (80, 24));
    let mut wrong = reading("node-1", 1.0);
    wrong.lag = 4_000;
    wrong.is_roster_stale = true;
    wrong.duplicates = vec![SafeText::new("node-1")];
    wrong.log.epoch = SafeText::new("other");
    let server = wrong.log.server.as_mut().unwrap();
    (server.memory, server.memory_max, server.saves) = (95, 100, false);
    update(&mut model, answered(1, 1.0, wrong));
    update(&mut model, answered(2, 1.0, reading("node-2", 1.0)));
    update(&mut model, failed(2, 2.0, FetchError::Timeout(RECENT), 1));
    update(&mut model, Message::Tick(at(2.5)));
    let texts = texts(&model.live).join("\n");
    for part in
        ["2 different logs", "95B of 100B", "disk failed", "4,000 ms", "out of date", "have the id node-1"]
    {
        assert!(texts.contains(part), "{part}\n{texts}");
    }
}
