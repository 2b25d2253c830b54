//! Faults that change the number of nodes or clients, and faults that a nemesis draws.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::bench::ids::{NodeIndex, RunId};
use crate::bench::scenario::plan::{FaultAction, Joins, Plan, PlannedFault, SlowTime};
use crate::bench::scenario::{self, Scenario};

const HEAD: &str = r#"
schema = 1
name = "faults"
seed = 5
duration = "60s"
warmup = "4s"
[cluster]
nodes = 5
broker = "redis"
[clients.a]
clients = 10
subscribe = { topics = ["room-{i%3}"], user = "a{i}" }
[clients.b]
executor = "ramping"
stages = [{ duration = "10s", target = 10 }, { duration = "20s", target = 10 }, { duration = "10s", target = 0 }]
"#;

fn scenario_of(faults: &str) -> Scenario {
    let text = format!("{HEAD}{faults}");
    scenario::parse("test.toml", &text, &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn plan(faults: &str) -> Plan {
    Plan::new(&scenario_of(faults), RunId::from_random(1))
}

fn second(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn nodes_met(target: &str) -> usize {
    let plan = plan(&format!("[[faults]]\nat = \"5s\"\ntype = \"pause\"\ntarget = \"{target}\"\n"));
    let FaultAction::Process { nodes, .. } = &plan.faults[0].action else { panic!("a process") };
    nodes.len()
}

#[test]
fn a_minority_leaves_more_than_half_and_a_majority_does_not() {
    assert_eq!(["minority", "majority", "one", "all", "random(4)"].map(nodes_met), [2, 3, 1, 5, 4]);
}

#[test]
fn scaling_names_the_nodes_that_come_and_go_and_keeps_places_for_them() {
    let plan = plan(
        "[[faults]]\nat = \"5s\"\nfor = \"9s\"\ntype = \"scale\"\nto = 7\n\
         [[faults]]\nat = \"20s\"\ntype = \"scale\"\nto = 2\n",
    );
    let titles: Vec<String> = plan.faults.iter().map(PlannedFault::title).collect();
    assert_eq!(titles, ["scale-1 (scale up n6 n7)", "scale-2 (scale down n3 n4 n5)"]);
    assert_eq!((plan.nodes.len(), plan.cluster.nodes(), plan.cluster.nodes_at_most()), (7, 5, 7));
    assert_eq!((plan.faults[0].heals_at, plan.faults[1].heals_at), (Some(second(14)), None));
    // Two nodes are left for all of them.
    assert_eq!(plan.budget().ports_per_node, plan.budget().clients.div_ceil(2));
}

#[test]
fn a_churn_burst_lets_some_go_for_good_and_as_many_new_ones_come() {
    let plan = plan(
        "[[faults]]\nat = \"15s\"\ntype = \"churn-burst\"\nclients = 4\ngroup = \"a\"\n\
         [[faults]]\nat = \"20s\"\ntype = \"churn-burst\"\n",
    );
    let burst = |fault: usize| match &plan.faults[fault].action {
        FaultAction::ChurnBurst { leaving, joining } => (leaving.clone(), joining.clone()),
        other => panic!("{other:?}"),
    };
    let (first_left, first_came) = burst(0);
    assert_eq!((first_left.len(), first_came.len()), (4, 4));
    let client = |id| plan.subscriber(id).unwrap();
    assert!(first_left.iter().all(|id| client(*id).leaves == Some(second(15))));
    assert!(first_came.iter().all(|id| client(*id).joins == Joins::At(second(15))));
    let names: Vec<&str> = first_came.iter().map(|id| client(*id).client.as_str()).collect();
    assert_eq!(names, ["a-10", "a-11", "a-12", "a-13"], "new ones, with numbers of their own");
    // All clients leave: the six that stayed, the four that joined, and the ten of the other group.
    let (second_left, second_came) = burst(1);
    assert_eq!(second_left.len(), 20);
    assert!(second_left.is_sorted() && first_left.iter().all(|id| !second_left.contains(id)));
    assert!(first_came.iter().all(|id| second_left.contains(id)));
    // A new client leaves when the one that it replaces would have left.
    assert_eq!(second_came.iter().filter(|id| client(**id).leaves.is_some()).count(), 10);
    let names: BTreeSet<&str> = plan.subscribers.iter().map(|client| client.client.as_str()).collect();
    assert_eq!(names.len(), plan.subscribers.len());
    assert_eq!(plan.budget().clients, 20);
}

#[test]
fn a_slow_down_meets_those_who_stay_for_its_time() {
    let plan = plan("[[faults]]\nat = \"15s\"\nfor = \"9s\"\ntype = \"slow-down\"\nbytes_per_sec = 500\n");
    let FaultAction::SlowDown { subscribers, .. } = &plan.faults[0].action else { panic!("slow") };
    assert_eq!(subscribers.len(), 10, "the others leave");
    let slow = SlowTime { from: second(15), until: Some(second(24)), bytes_per_sec: 500 };
    assert_eq!(plan.slow_downs(subscribers[3]), [slow]);
    assert!(plan.slow_downs(plan.subscribers[15].id).is_empty());
}

const NEMESIS: &str = "[nemesis]\nuntil = \"50s\"\nevery = \"4s\"\n\
     faults = [{ type = \"kill\", for = [\"1s\", \"3s\"], target = \"minority\" }, { type = \"reconnect-storm\" }, \
     { type = \"scale\", to = 6, for = \"2s\" }]\n";

#[test]
fn a_nemesis_draws_one_schedule_from_one_seed_and_breaks_one_thing_at_a_time() {
    let scenario = scenario_of(NEMESIS);
    let draw = |seed| Plan::new(&Scenario { seed, ..scenario.clone() }, RunId::from_random(seed)).faults;
    let faults = draw(5);
    assert_eq!(faults, draw(5));
    assert_ne!(faults, draw(6));
    assert!((7..=20).contains(&faults.len()), "{}", faults.len());
    let words: BTreeSet<&str> = faults.iter().map(|fault| fault.name.rsplit('-').next().unwrap()).collect();
    assert_eq!(words, ["kill", "scale", "storm"].into(), "each had its turn");
    for pair in faults.windows(2) {
        let healed = pair[0].heals_at.unwrap();
        let gap = pair[1].at - healed;
        assert!((second(2)..=second(6)).contains(&gap), "{gap:?}");
    }
    assert!(faults[0].at >= second(6), "not in the warm-up");
    assert!(faults.iter().all(|fault| fault.heals_at.unwrap() <= second(50)));
    let is_two = |fault: &PlannedFault| match &fault.action {
        FaultAction::Process { nodes, .. } => nodes.len() == 2,
        FaultAction::Scale { nodes, is_up } => *is_up && *nodes == [NodeIndex(5)],
        _ => true,
    };
    assert!(faults.iter().all(is_two));
    assert!(faults[0].name.starts_with("nemesis-1-"), "{}", faults[0].name);
}

#[test]
fn in_a_shorter_run_everything_keeps_its_share_of_the_time() {
    let fault = "[[faults]]\nat = \"15s\"\nfor = \"45s\"\ntype = \"slow-down\"\nbytes_per_sec = 500\n\
         [publishers.p]\nrate = 10\n";
    let scenario = scenario_of(&format!("{fault}{NEMESIS}")).scaled_to(second(12));
    let plan = Plan::new(&scenario, RunId::from_random(1));
    let slow = plan.faults.iter().find(|fault| fault.name == "slow-down-1").unwrap();
    assert_eq!((plan.duration, slow.at, slow.heals_at), (second(12), second(3), Some(second(12))));
    assert_eq!(scenario.warmup, Duration::from_millis(800));
    assert!(plan.faults.iter().all(|fault| fault.heals_at.unwrap() <= plan.duration));
    assert!(plan.faults.len() >= 8, "the nemesis draws as many as in the long run");
    let of_b = plan.subscribers.iter().filter_map(|client| client.leaves).max();
    assert_eq!(of_b, Some(second(8)));
    let last = plan.publishers[0].schedule().last().unwrap();
    assert!(last.at > second(11) && last.at <= second(12), "{:?}", last.at);
}
