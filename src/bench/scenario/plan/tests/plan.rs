//! One seed, one plan: what a plan draws, and that nothing else moves it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::bench::ids::{NodeIndex, RunId};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario;
use crate::bench::scenario::plan::{FaultAction, FaultEdge, Joins, Plan, PublisherPlan};
use crate::protocol::Address;

const QUICKSTART: &str = include_str!("../../../../../scenarios/quickstart.toml");
/// A broadcast, and messages for one.
const SMALL: &str = r#"
schema = 1
name = "small"
seed = 1
duration = "5s"
[cluster]
nodes = 1
broker = "memory"
[clients.several]
clients = 6
subscribe = { topics = ["room-{i%2}"], user = "u{i}", client = "c{i}" }
[publishers.announcer]
rate = 5
mix = { broadcast = 1 }
[publishers.postman]
rate = 20
mix = { client = 2, user = 1, topic = 1 }
[verify]
delivery = "exactly-once"
"#;

fn plan_with(text: &str, overrides: &[&str], run: u64) -> Plan {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    let scenario = scenario::parse("test.toml", text, &overrides).unwrap_or_else(|error| panic!("{error}"));
    Plan::new(&scenario, RunId::from_random(run))
}

fn plan(text: &str) -> Plan {
    plan_with(text, &[], 1)
}

fn events(plan: &Plan) -> Vec<scenario::plan::publishers::Due> {
    plan.publishers.iter().flat_map(PublisherPlan::schedule).collect()
}

fn second(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn one_seed_is_one_plan_whatever_the_run() {
    let (one, two) = (plan_with(QUICKSTART, &[], 1), plan_with(QUICKSTART, &[], 2));
    assert_eq!(Plan { run: two.run, ..one.clone() }, two);
    assert_eq!(events(&one), events(&two));
    let other = plan_with(QUICKSTART, &["seed=43"], 1);
    assert_ne!(events(&one), events(&other));
}

#[test]
fn one_more_publisher_leaves_the_others_as_they_were() {
    let one = plan(QUICKSTART);
    let more = plan_with(QUICKSTART, &["publishers.another={ rate = 5 }"], 1);
    let schedule = |plan: &Plan, name: &str| {
        let publisher = plan.publishers.iter().find(|publisher| publisher.name == name).unwrap();
        publisher.schedule().collect::<Vec<_>>()
    };
    assert_eq!(more.publishers.len(), 3);
    assert_eq!(schedule(&one, "mail"), schedule(&more, "mail"));
    assert_eq!(schedule(&one, "news"), schedule(&more, "news"));
}

#[test]
fn clients_are_named_and_addressed_as_the_templates_say() {
    let plan = plan(SMALL);
    assert_eq!(plan.subscribers.len(), 6);
    let client = &plan.subscribers[3];
    assert_eq!(client.client.as_str(), "c3");
    assert_eq!(client.joins, Joins::BeforeStart);
    let addresses: BTreeSet<String> =
        client.addresses.iter().map(|id| plan.address(*id).unwrap().to_string()).collect();
    assert_eq!(addresses, ["all", "client:c3", "topic:room-1", "user:u3"].map(str::to_owned).into());
    assert!(client.addresses.is_sorted());
    // One for all, two rooms, six users and six clients.
    assert_eq!(plan.addresses.len(), 15);
}

#[test]
fn publishers_keep_their_mix_and_their_sizes() {
    let plan = plan(QUICKSTART);
    let mail = plan.publishers.iter().find(|publisher| publisher.name == "mail").unwrap();
    let events: Vec<_> = mail.schedule().collect();
    assert!((3_300..3_900).contains(&events.len()), "{}", events.len());
    assert!(events.windows(2).all(|pair| pair[0].at <= pair[1].at));
    assert!(events.iter().all(|due| due.at < plan.duration));
    let to_clients =
        events.iter().filter(|due| matches!(plan.address(due.address), Some(Address::Client(_)))).count();
    let share = to_clients * 100 / events.len();
    assert!((62..72).contains(&share), "two thirds, not {share} %");
    let mut sizes: Vec<u32> = events.iter().map(|due| due.bytes).collect();
    sizes.sort_unstable();
    let (median, p99) = (sizes[sizes.len() / 2], sizes[sizes.len() * 99 / 100]);
    assert!((180..220).contains(&median), "{median}");
    assert!((1_400..2_800).contains(&p99), "{p99}");
}

#[test]
fn the_budget_counts_what_will_be_delivered() {
    let plan = plan(SMALL);
    let budget = plan.budget();
    let mut deliveries = 0;
    for due in events(&plan) {
        deliveries +=
            plan.subscribers.iter().filter(|client| client.addresses.contains(&due.address)).count() as u64;
    }
    assert_eq!(budget.deliveries, deliveries);
    assert_eq!(budget.clients, 6);
    assert_eq!(budget.events, events(&plan).len() as u64);
    assert!((120..=130).contains(&budget.events), "{}", budget.events);
    // Six clients, two publishers with 256 requests each at the most, and the process itself.
    assert_eq!(budget.open_files, 6 + 512 + 4 + 64);
    assert_eq!(plan.id_mask, 0);
}

#[test]
fn clients_that_come_and_go_are_counted_while_they_are_there() {
    let ramp = "clients.several.executor=\"ramping\"";
    let stages = "clients.several.stages=[{duration=\"2s\",target=6},{duration=\"1s\",target=6},{duration=\"2s\",target=0}]";
    let text = SMALL.replace("clients = 6\n", "");
    let plan = plan_with(&text, &[ramp, stages], 1);
    let budget = plan.budget();
    assert_eq!((plan.subscribers.len(), budget.clients), (6, 6));
    assert!(plan.subscribers.iter().all(|client| client.leaves.is_some()));
    let broadcast =
        plan_with(&text, &[ramp, stages, "publishers.postman.rate=0", "publishers.announcer.rate=1000"], 1);
    // 1,000 events a second for five seconds; the crowd's area is 6 + 6 + 6 client seconds, less the steps.
    let budget = broadcast.budget();
    assert_eq!(budget.events, 5_000);
    assert!((14_500..18_500).contains(&budget.deliveries), "{}", budget.deliveries);
}

#[test]
fn ids_are_sampled_when_there_are_too_many_to_remember() {
    let plan = plan_with(QUICKSTART, &["publishers.news.rate=20000"], 1);
    // 20,000/s to 500 for 20 s are 200 million; two million are remembered, so 1 of 128.
    assert_eq!(plan.id_mask, 127);
}

const FAULTS: &str = r#"
schema = 1
name = "faults"
duration = "60s"
warmup = "5s"
[cluster]
attach = ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"]
[clients.c]
clients = 10
[[faults]]
at = "30s"
type = "reconnect-storm"
clients = 4
[[faults]]
at = "10s"
type = "reconnect-storm"
"#;

#[test]
fn faults_stand_in_order_of_time_and_meet_as_many_as_asked() {
    let plan = plan(FAULTS);
    let met: Vec<_> = plan
        .faults
        .iter()
        .map(|fault| match &fault.action {
            FaultAction::ReconnectStorm { subscribers } => (fault.name.as_str(), subscribers.len()),
            other => panic!("nothing else was to be hurt: {other:?}"),
        })
        .collect();
    assert_eq!(met, [("reconnect-storm-2", 10), ("reconnect-storm-1", 4)]);
    assert_eq!(plan.timeline().len(), 2, "what is over at once needs no heal");
}

#[test]
fn a_process_fault_is_applied_and_healed() {
    let plan = plan(QUICKSTART);
    let [fault] = plan.faults.as_slice() else { panic!("one fault") };
    assert_eq!(fault.title(), "kill-1 (kill n1)");
    assert!(matches!(&fault.action, FaultAction::Process { nodes, .. } if nodes == &[NodeIndex(0)]));
    let steps: Vec<_> = plan.timeline().iter().map(|step| (step.at, step.edge)).collect();
    assert_eq!(steps, [(second(8), FaultEdge::Apply), (second(10), FaultEdge::Heal)]);
}

#[test]
fn a_fault_without_an_end_is_healed_by_the_run() {
    let text = QUICKSTART.replace("for    = \"2s\"\n", "");
    let plan = plan(&text);
    assert_eq!(plan.faults[0].heals_at, None);
    assert_eq!(plan.timeline().len(), 1);
    let name = |at| plan.phases.name(plan.phases.at(RunTime::from(second(at))));
    assert_eq!([name(7), name(8), name(19), name(20)], ["steady", "fault:kill-1", "fault:kill-1", "drain"]);
}

#[test]
fn phases_follow_the_timeline() {
    let plan = plan(FAULTS);
    let name = |ms| plan.phases.name(plan.phases.at(RunTime::from(Duration::from_millis(ms))));
    let seen =
        [0, 4_999, 5_000, 10_000, 10_999, 11_000, 20_999, 21_000, 30_500, 59_999, 60_000, 90_000].map(name);
    let storm = "fault:reconnect-storm-2";
    let later = "fault:reconnect-storm-1";
    assert_eq!(
        seen,
        [
            "warmup", "warmup", "steady", storm, storm, "recovery", "recovery", "steady", later, "steady",
            "drain", "drain"
        ]
    );
}

#[test]
fn where_faults_overlap_the_last_one_names_the_phase() {
    let storm = "[[faults]]\nat = \"9s\"\ntype = \"reconnect-storm\"\n\n[verify]";
    let plan = plan(&QUICKSTART.replace("[verify]", storm));
    let name = |ms| plan.phases.name(plan.phases.at(RunTime::from(Duration::from_millis(ms))));
    let seen = [8_500, 9_500, 10_500].map(name);
    assert_eq!(seen, ["fault:kill-1", "fault:reconnect-storm-1", "recovery"]);
    let plan = self::plan(&QUICKSTART.replace("[verify]", &storm.replace("9s", "8500ms")));
    let name = |ms| plan.phases.name(plan.phases.at(RunTime::from(Duration::from_millis(ms))));
    assert_eq!([8_400, 9_000, 9_800].map(name), ["fault:kill-1", "fault:reconnect-storm-1", "fault:kill-1"]);
}

const SHARED: &str = r#"
schema = 1
name = "shared"
duration = "60s"
[cluster]
nodes = 3
broker = "redis-sentinel"
[clients.c]
clients = 4
joins = "10s"
ramp = "4s"
mailbox = true
subscribe = { user = "u{i}", topics = ["room"] }
[publishers.p]
rate = 1
mix = { user = 1, topic = 1 }
qos = 1
nodes = ["n2"]
[[faults]]
at = "5s"
for = "30s"
type = "rolling-restart"
[[faults]]
at = "40s"
type = "redis-failover"
[[faults]]
at = "50s"
type = "redis-kill"
target = "replicas"
"#;

#[test]
fn a_rolling_restart_gives_each_node_its_share_of_the_time() {
    let plan = plan(SHARED);
    let FaultAction::RollingRestart { nodes, every } = &plan.faults[0].action else { panic!("it rolls") };
    assert_eq!((nodes.len(), *every), (3, second(10)));
    let titles: Vec<String> = plan.faults.iter().map(scenario::plan::PlannedFault::title).collect();
    assert_eq!(
        titles,
        [
            "rolling-restart-1 (rolling-restart n1 n2 n3)",
            "redis-failover-1 (redis-failover)",
            "redis-kill-1 (redis-kill replicas)"
        ]
    );
    assert_eq!(plan.faults[1].heals_at, Some(second(40)), "it is over at once");
    assert_eq!(plan.faults[2].heals_at, None);
}

#[test]
fn who_comes_late_is_owed_what_waits_in_the_mailbox() {
    let plan = plan(SHARED);
    let joins: Vec<Joins> = plan.subscribers.iter().map(|client| client.joins).collect();
    assert_eq!(joins, [10, 11, 12, 13].map(|at| Joins::At(second(at))));
    assert_eq!(*plan.publishers[0].nodes, [NodeIndex(1)]);
    let to_users = events(&plan)
        .iter()
        .filter(|due| matches!(plan.address(due.address), Some(Address::User(_))))
        .count() as u64;
    let rooms = plan.budget().deliveries - to_users;
    assert!(rooms < 4 * (plan.budget().events - to_users), "nobody hears of the room before he comes");
}

/// A plan of 60 s with one group.
fn with_group(group: &str) -> Plan {
    plan(&format!("schema = 1\nname = \"g\"\nduration = \"60s\"\n[clients.c]\n{group}\n"))
}

fn at(joins: Joins) -> Duration {
    match joins {
        Joins::BeforeStart => Duration::ZERO,
        Joins::At(at) => at,
    }
}

#[test]
fn who_leaves_is_replaced_so_that_there_are_always_as_many() {
    for dist in ["constant", "exponential"] {
        let plan = with_group(&format!("clients = 40\nsession = {{ mean = \"6s\", dist = \"{dist}\" }}"));
        // Each seat changes every six seconds on average.
        assert!((380..500).contains(&plan.subscribers.len()), "{dist} {}", plan.subscribers.len());
        for tenths in 0..600 {
            let time = Duration::from_millis(tenths * 100 + 50);
            let is_there = |client: &&scenario::plan::SubscriberPlan| {
                at(client.joins) <= time && client.leaves.is_none_or(|leaves| leaves > time)
            };
            assert_eq!(plan.subscribers.iter().filter(is_there).count(), 40, "{dist} {time:?}");
        }
        let firsts = plan.subscribers.iter().filter(|client| client.joins == Joins::BeforeStart);
        assert!(
            firsts.filter(|client| client.leaves < Some(second(1))).count() < 20,
            "{dist}: not all at once"
        );
        assert_eq!(plan.subscribers.iter().filter(|client| client.leaves.is_none()).count(), 40);
        assert!(plan.subscribers.iter().all(|client| client.leaves.is_none_or(|at| at < second(60))));
        assert_eq!(plan.budget().clients, 40);
    }
}

#[test]
fn without_churn_a_crowd_melts_away() {
    let plan = with_group("clients = 400\nramp = \"1s\"\nsession = { mean = \"20s\", churn = false }");
    assert_eq!(plan.subscribers.len(), 400);
    let stayed = plan.subscribers.iter().filter(|client| client.leaves.is_none()).count();
    // e^-3 of 400 are 20.
    assert!((8..36).contains(&stayed), "{stayed}");
}

#[test]
fn clients_arrive_at_their_rate_however_many_are_there() {
    let group = "executor = \"arrival-rate\"\nrate = 20\narrival = \"poisson\"\nsession = { mean = \"2s\", dist = \"constant\" }";
    let plan = with_group(group);
    assert!((1_050..1_350).contains(&plan.subscribers.len()), "{}", plan.subscribers.len());
    assert!(plan.subscribers.is_sorted_by_key(|client| at(client.joins)));
    let stay =
        |client: &scenario::plan::SubscriberPlan| client.leaves.map(|leaves| leaves - at(client.joins));
    assert!(plan.subscribers.iter().all(|client| stay(client).is_none_or(|stay| stay == second(2))));
    assert!((25..80).contains(&plan.budget().clients), "{}", plan.budget().clients);
}

#[test]
fn rooms_are_drawn_and_addresses_are_taken_in_turn() {
    let group = "clients = 300\nsubscribe = { topics = [\"a-{zipf:9}\", \"b-{random:9}\"] }\nsource_ips = [\"127.0.0.2-127.0.0.4\"]";
    let plan = with_group(group);
    let first = |plan: &Plan| -> Vec<String> {
        plan.subscribers.iter().map(|client| client.topics[0].to_string()).collect()
    };
    let topics = first(&plan);
    assert_eq!(topics, first(&with_group(group)));
    let popular = topics.iter().filter(|topic| topic.as_str() == "a-0").count();
    assert!((75..140).contains(&popular), "35 % of 300, not {popular}");
    let sources: Vec<String> =
        plan.subscribers[..4].iter().map(|client| client.source.unwrap().to_string()).collect();
    assert_eq!(sources, ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.2"]);
}

#[test]
fn headers_are_filled_in_for_each_client_and_publisher() {
    let text = SMALL_HEADERS;
    let plan = Plan::new(&scenario::parse("h.toml", text, &[]).unwrap(), RunId::from_random(1));
    let of = |client: usize| -> Vec<String> {
        let client = &plan.subscribers[client];
        plan.groups[usize::from(client.group.0)].headers_of(client).map(|(_, value)| value).collect()
    };
    assert_eq!(of(0), ["Bearer t-0", "{\"u\":0}"]);
    assert_eq!(of(2), ["Bearer t-2", "{\"u\":2}"]);
    assert_eq!(of(3), Vec::<String>::new(), "the first of another group");
    let of = |publisher: usize| plan.publishers[publisher].headers[0].1.clone();
    assert_eq!((of(0), of(1)), ("Bearer p-0".to_owned(), "Bearer p-1".to_owned()));
    let drawn = |seed: u64| {
        let text = text.replace("{i%3}", "{random:1000}");
        let text = text.replace("schema = 1", &format!("schema = 1\nseed = {seed}"));
        let plan = Plan::new(&scenario::parse("h.toml", &text, &[]).unwrap(), RunId::from_random(1));
        let client = &plan.subscribers[1];
        plan.groups[0].headers_of(client).map(|(_, value)| value).collect::<Vec<_>>()
    };
    assert_eq!(drawn(2), drawn(2));
    assert_ne!(drawn(2), drawn(3));
}

const SMALL_HEADERS: &str = r#"
schema = 1
name = "headers"
duration = "9s"
[clients.a]
clients = 3
token = "t-{i}"
headers = { X-User = '{"u":{i%3}}' }
[clients.b]
clients = 1
[publishers.p]
rate = 1
token = "p-{i}"
[publishers.q]
rate = 1
token = "p-{i}"
"#;
