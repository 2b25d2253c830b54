//! Valid and invalid scenario files: the values that are read, and the message of every problem.

use std::time::Duration;

use crate::bench::scenario::{
    Arrival, BrokerKind, ClientAction, ClientGroup, Cluster, Distribution, Executor, FaultSpecKind, Gaps,
    Guarantee, Lb, LbKind, LbPolicy, OnDown, Order, PayloadSize, Persistence, Problem, ProcessAction,
    ReadLimits, ReconnectPolicy, RedisAction, RedisSet, RedisShape, RedisTarget, Scenario, Session, Target,
    Template, parse,
};

/// Line numbers of the tests count from here.
pub(super) const HEAD: &str = "schema = 1\nname = \"t\"\nduration = \"60s\"\n[clients.c]\nclients = 5\n";

pub(super) fn read(text: &str, overrides: &[&str]) -> Result<Scenario, Vec<Problem>> {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    parse("t.toml", text, &overrides).map_err(|error| error.problems)
}

#[track_caller]
pub(super) fn valid(rest: &str) -> Scenario {
    read(&format!("{HEAD}{rest}"), &[]).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// Exactly this problem, with these words in its message.
#[track_caller]
pub(super) fn check(rest: &str, at: (usize, usize), key: &str, words: &[&str]) {
    let problems = read(&format!("{HEAD}{rest}"), &[]).expect_err("it must be refused");
    let [problem] = problems.as_slice() else { panic!("one problem, not {problems:#?}") };
    assert_eq!((problem.at, problem.key.as_str()), (Some(at), key), "{problem}");
    for word in words {
        assert!(problem.message.contains(word), "{word:?} is not in: {problem}");
    }
}

#[test]
fn a_small_scenario_has_sensible_defaults() {
    let scenario = valid("");
    assert_eq!(scenario.seed, 1);
    assert_eq!(scenario.lb, Lb::default());
    let Cluster::Spawn(cluster) = &scenario.cluster else { panic!("it is spawned") };
    assert_eq!((cluster.nodes, &cluster.broker), (1, &BrokerKind::Memory));
    let group = &scenario.clients[0];
    assert_eq!(group.executor, Executor::Constant { clients: 5, ramp: Duration::ZERO });
    assert_eq!(group.reconnect.policy, ReconnectPolicy::Tolerant);
    assert!(group.reconnect.last_event_id);
    assert_eq!(scenario.verify.delivery, Guarantee::AtLeastOnce);
    assert_eq!(scenario.verify.order, Order::PerPublisherAddress);
    assert_eq!(scenario.verify.gaps, Gaps::Forbidden);
    assert!(scenario.verify.quiesce.audit_read);
}

#[test]
fn the_scenarios_that_are_shipped_are_valid() {
    let quickstart = read(include_str!("../../../../scenarios/quickstart.toml"), &[]).unwrap();
    let Cluster::Spawn(cluster) = &quickstart.cluster else { panic!("it is spawned") };
    assert_eq!(cluster.broker, BrokerKind::File);
    let rates: f64 = quickstart.publishers.iter().map(|publisher| publisher.pace.from).sum();
    assert!((rates - 200.0).abs() < 1e-9);
    assert_eq!(
        quickstart.faults[0].kind,
        FaultSpecKind::Process { action: ProcessAction::Kill, target: Target::One }
    );
    let basic = read(include_str!("../../../../scenarios/basic.toml"), &[]).unwrap();
    assert_eq!(basic.verify.delivery, Guarantee::ExactlyOnce);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut names = Vec::new();
    for dir in [root.clone(), root.join("large"), root.join("mutants")] {
        for file in std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()) {
            let Some(name) = file.file_stem().filter(|_| file.extension().is_some()) else { continue };
            let scenario = read(&std::fs::read_to_string(&file).unwrap(), &[]);
            let scenario = scenario.unwrap_or_else(|problems| panic!("{file:?}: {problems:#?}"));
            assert_eq!(name.to_str(), Some(scenario.name.as_str()), "a scenario is named as its file");
            assert!(!scenario.description.is_empty(), "{file:?}");
            names.push(scenario.name);
        }
    }
    assert!(names.len() >= 9, "{names:?}");
}

#[test]
fn every_problem_is_reported_at_once_with_its_place() {
    let text = "\
schema = 2
name = \"no blanks\"
seed = -1
duration = 60
[cluster]
nodes = 3
broker = \"redis\"
[lb]
policy = \"ip-hash\"
[clients.c]
clients = 0
subscribe = { topics = [\"room-{j}\"], users = \"u\" }
[publishers.p]
rate = \"fast\"
mix = { topic = 1 }
[[faults]]
at = \"5s\"
type = \"redis-kill\"
[thresholds]
delivery_latency = [\"p99<1s\"]
";
    let error = parse("all-wrong.toml", text, &[]).unwrap_err().to_string();
    insta::assert_snapshot!(error, @r#"
    all-wrong.toml is not a valid scenario
      1:10: schema: 2 is not allowed; allowed is 1
      2:8: name: "no blanks" is not a name; allowed are 1 to 64 letters, digits, '-' and '_'
      3:8: seed: -1 is not allowed; allowed are whole numbers from 0 to 9223372036854775807
      4:12: duration: 60 is not allowed; allowed are durations from "1s" to "1day", as in "1m30s"
      11:11: clients.c.clients: 0 is not allowed; allowed are whole numbers from 1 to 1000000
      12:24: clients.c.subscribe.topics: "room-{j}": {j} is not a placeholder; allowed are {i}, {i%N} with N from 1, {random:N} and {zipf:N} with N from 1 to 100000
      12:38: clients.c.subscribe.users: is not a key here; allowed are client, topics, user; did you mean user?
      14:8: publishers.p.rate: "fast" is not allowed; allowed are numbers from 0 to 1000000
      20:20: thresholds.delivery_latency: "p99" is not an aggregation of delivery_latency; allowed are avg, min, med, max, p(N) and count; did you mean p(99)?
    "#);
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion() {
    check(
        "max_delya = 1\n",
        (6, 1),
        "clients.c.max_delya",
        &["is not a key here", "allowed are accept_encoding, "],
    );
    check("[verfy]\n", (6, 2), "verfy", &["did you mean verify?"]);
    check("[publishers.p]\nrat = 1\nrate = 1\n", (7, 1), "publishers.p.rat", &["did you mean rate?"]);
    check(
        "reconnect = { polcy = \"fetch\" }\n",
        (6, 15),
        "clients.c.reconnect.polcy",
        &["did you mean policy?"],
    );
}

#[test]
fn values_out_of_range_are_refused_with_the_range() {
    check("[publishers.p]\nrate = -1\n", (7, 8), "publishers.p.rate", &["-1", "from 0 to 1000000"]);
    check("[publishers.p]\nrate = 1\nqos = 2\n", (8, 7), "publishers.p.qos", &["2 is", "from 0 to 1"]);
    check("ramp = \"soon\"\n", (6, 8), "clients.c.ramp", &["\"soon\"", "\"1m30s\""]);
    check("ramp = 5\n", (6, 8), "clients.c.ramp", &["5 is", "\"1day\""]);
    check("decoder = \"lax\"\n", (6, 11), "clients.c.decoder", &["strict, eventsource-stream"]);
    check("[verify]\ngaps = true\n", (7, 8), "verify.gaps", &["true is not allowed; allowed is a string"]);
    check(
        "[verify]\nquiesce = { idle = \"9s\", timeout = \"5s\" }\n",
        (7, 20),
        "verify.quiesce.idle",
        &["9s", "5s"],
    );
    check("[output]\nformats = [\"pdf\"]\n", (7, 11), "output.formats", &["\"pdf\"", "text, json"]);
}

#[test]
fn what_is_missing_is_named_where_it_should_be() {
    check("[publishers.p]\narrival = \"poisson\"\n", (6, 13), "publishers.p.rate", &["is missing"]);
    check("[[faults]]\ntype = \"kill\"\n", (6, 1), "faults.0.at", &["is missing"]);
}

#[test]
fn keys_of_later_versions_are_refused_as_such() {
    check("heartbeat = \"5s\"\n", (6, 13), "clients.c.heartbeat", &["is not supported in this version"]);
}

#[test]
fn certificates_are_for_nodes_that_are_there_already_and_speak_https() {
    let why = "https URLs";
    check("[cluster]\ntls = { ca = \"c\" }\n", (7, 7), "cluster.tls", &[why]);
    let http = "[cluster]\nattach = [\"http://h:1\"]\ntls = { insecure = true }\n";
    check(http, (8, 7), "cluster.tls", &[why]);
    let both = "[cluster]\nattach = [\"https://h:1\"]\ntls = { ca = \"c\", insecure = true }\n";
    check(both, (8, 14), "cluster.tls.ca", &["insecure"]);
    check("tls = { ca = \"c\" }\n", (6, 7), "clients.c.tls", &["cluster.tls"]);
}

#[test]
fn a_password_in_a_url_is_refused_and_not_repeated() {
    for url in ["https://u:secret@h:1", "https://secret@h", "u:secret@h:1"] {
        let rest = format!("{HEAD}[cluster]\nattach = [\"http://h:1\", \"{url}\"]\n");
        let problems = read(&rest, &[]).unwrap_err();
        let [problem] = problems.as_slice() else { panic!("one problem, not {problems:#?}") };
        assert!(problem.message.contains("headers (Authorization)"), "{problem}");
        assert!(!problem.message.contains("secret"), "{problem}");
    }
    valid("[cluster]\nattach = [\"http://h:1/@me\"]\n");
}

#[test]
fn nodes_with_hosts_of_their_own_are_not_reached_from_the_loopback() {
    let group = "source_ips = \"127.0.1-8.1\"\n";
    let network = "[cluster]\nnetwork = \"namespaces\"\n";
    check(&format!("{group}{network}"), (6, 14), "clients.c.source_ips", &["127.0.1.1", "namespaces"]);
    valid(&format!("{group}{network}[lb]\nkind = \"nginx\"\n"));
}

#[test]
fn an_unknown_fault_is_reported_with_all_that_are_known() {
    check(
        "[[faults]]\nat = \"1s\"\ntype = \"stahl\"\n",
        (8, 8),
        "faults.0.type",
        &["did you mean", "stall", "reconnect-storm", "half-open"],
    );
}

const REDIS: &str = "[cluster]\nnodes = 3\nbroker = \"redis\"\n";
const SENTINEL: &str = "[cluster]\nnodes = 3\nbroker = \"redis-sentinel\"\n";

fn redis_of(scenario: &Scenario) -> &RedisSet {
    let Cluster::Spawn(cluster) = &scenario.cluster else { panic!("it is spawned") };
    let BrokerKind::Redis(set) = &cluster.broker else { panic!("it is Redis") };
    set
}

#[test]
fn several_nodes_share_a_redis_of_three_shapes() {
    check("[cluster]\nnodes = 3\n", (7, 9), "cluster.nodes", &["a shared log", "redis-cluster"]);
    let plain = valid(REDIS);
    assert_eq!(plain.cluster.nodes(), 3);
    assert_eq!(redis_of(&plain), &RedisSet::new(RedisShape::Single));
    let options = "[cluster.redis]\npersistence = \"none\"\nreplicas = 2\nmin_replicas = 1\n";
    let sentinel = valid(&format!("{SENTINEL}{options}"));
    let set = redis_of(&sentinel);
    assert_eq!((set.shape, set.persistence), (RedisShape::Sentinel, Persistence::None));
    assert_eq!((set.replicas, set.min_replicas), (2, 1));
    let cluster = valid("[cluster]\nbroker = \"redis-cluster\"\n");
    assert_eq!(redis_of(&cluster), &RedisSet { replicas: 1, ..RedisSet::new(RedisShape::Cluster) });
}

#[test]
fn a_redis_that_cannot_be_is_refused() {
    check("[cluster]\nbroker = \"redos\"\n", (7, 10), "cluster.broker", &["redis", "memory"]);
    let belongs = "is allowed only with broker = \"redis\"";
    check("[cluster]\nredis = { replicas = 1 }\n", (7, 9), "cluster.redis", &[belongs]);
    let options = |options: &str| format!("{SENTINEL}redis = {{ {options} }}\n");
    let key = |key: &str| format!("cluster.redis.{key}");
    check(&options("replicas = 0"), (9, 22), &key("replicas"), &["from 1 to 5"]);
    check(&options("min_replicas = 2"), (9, 26), &key("min_replicas"), &["2 is more than", "replicas, 1"]);
    check(&options("persistence = \"disk\""), (9, 25), &key("persistence"), &["aof, rdb, none"]);
    let external = "external = \"redis://h:1\"";
    check(&options(external), (9, 22), &key("external"), &["redis+sentinel://", "redis-sentinel"]);
    let both = format!("{REDIS}redis = {{ {external}, replicas = 1 }}\n");
    check(&both, (9, 48), &key("replicas"), &["together with external"]);
}

#[test]
fn faults_of_redis_have_their_own_keys() {
    let fault = |rest: &str| {
        let scenario = valid(&format!("{SENTINEL}[[faults]]\nat = \"5s\"\n{rest}"));
        scenario.faults.into_iter().next().unwrap().kind
    };
    let redis = |action| FaultSpecKind::Redis { action, target: RedisTarget::Primary };
    assert_eq!(fault("type = \"redis-kill\"\n"), redis(RedisAction::Kill));
    assert_eq!(fault("type = \"redis-trim\"\nkeep = 9\n"), redis(RedisAction::Trim { keep: 9 }));
    let skew = RedisAction::ClockSkew { by: Duration::from_secs(60) };
    assert_eq!(fault("type = \"clock-skew\"\nby = \"1m\"\n"), redis(skew));
    let cut = RedisAction::ReplicationCut { unread: true };
    assert_eq!(fault("type = \"replication-cut\"\nunread = true\n"), redis(cut));
    let pause = FaultSpecKind::Redis { action: RedisAction::Pause, target: RedisTarget::All };
    assert_eq!(fault("type = \"redis-pause\"\ntarget = \"all\"\n"), pause);
    assert_eq!(fault("type = \"rolling-restart\"\n"), FaultSpecKind::RollingRestart { target: Target::All });
}

#[test]
fn a_fault_of_redis_without_what_it_breaks_is_refused() {
    let fault = |cluster: &str, rest: &str| format!("{cluster}[[faults]]\nat = \"5s\"\ntype = {rest}\n");
    check(&fault("", "\"redis-kill\""), (8, 8), "faults.0.type", &["needs a Redis", "cluster.broker"]);
    check(&fault(REDIS, "\"redis-failover\""), (11, 8), "faults.0.type", &["redis-sentinel"]);
    check(&fault(REDIS, "\"replication-cut\""), (11, 8), "faults.0.type", &["cluster.redis.replicas is 0"]);
    let external = format!("{REDIS}redis = {{ external = \"redis://h:1\" }}\n");
    check(&fault(&external, "\"redis-flush\""), (12, 8), "faults.0.type", &["external"]);
    let replicas = "\"redis-pause\"\ntarget = \"replicas\"";
    check(&fault(REDIS, replicas), (12, 10), "faults.0.target", &["needs replicas"]);
    let over = "\"redis-flush\"\nfor = \"1s\"";
    check(&fault(REDIS, over), (12, 7), "faults.0.for", &["has no duration"]);
    check(
        &fault(REDIS, "\"kill\"\nkeep = 1"),
        (12, 8),
        "faults.0.keep",
        &["allowed only with", "redis-trim"],
    );
}

#[test]
fn faults_of_clients_and_of_the_number_of_nodes_have_their_own_keys() {
    let fault = |rest: &str| {
        let scenario = valid(&format!("{REDIS}[[faults]]\nat = \"5s\"\n{rest}"));
        (scenario.faults.into_iter().next().unwrap().kind, scenario.cluster.nodes_at_most())
    };
    assert_eq!(fault("type = \"scale\"\nto = 5\n"), (FaultSpecKind::Scale { to: 5 }, 5));
    assert_eq!(fault("type = \"scale\"\nto = 1\n"), (FaultSpecKind::Scale { to: 1 }, 3));
    let slow = ClientAction::SlowDown { bytes_per_sec: 9 };
    let slow = FaultSpecKind::Clients { action: slow, clients: Some(2), group: Some("c".to_owned()) };
    let text = "type = \"slow-down\"\nbytes_per_sec = 9\nclients = 2\ngroup = \"c\"\nfor = \"2s\"\n";
    assert_eq!(fault(text).0, slow);
    let refused = |cluster: &str, rest: &str, at, key: &str, words: &[&str]| {
        check(&format!("{cluster}[[faults]]\nat = \"5s\"\n{rest}\n"), at, &format!("faults.0.{key}"), words);
    };
    refused("", "type = \"scale\"\nto = 2", (8, 8), "type", &["needs a shared log"]);
    refused(REDIS, "type = \"scale\"", (9, 1), "to", &["is missing"]);
    refused(REDIS, "type = \"scale\"\nto = 3", (12, 6), "to", &["the number of nodes at the start"]);
    refused(REDIS, "type = \"scale\"\nto = 5\ntarget = \"all\"", (13, 10), "target", &["scale"]);
    refused("", "type = \"slow-down\"", (6, 1), "bytes_per_sec", &["is missing"]);
    refused("", "type = \"churn-burst\"\nfor = \"1s\"", (9, 7), "for", &["has no duration"]);
    refused("", "type = \"churn-burst\"\ngroup = \"d\"", (9, 9), "group", &["allowed are c"]);
    refused("", "type = \"kill\"\nclients = 1", (9, 11), "clients", &["\"slow-down\""]);
    refused("", "type = \"kill\"\ntarget = \"minority\"", (9, 10), "target", &["at least three nodes"]);
    refused(REDIS, "type = \"kill\"\ntarget = \"primary\"", (12, 10), "target", &["target of Redis faults"]);
}

#[test]
fn a_nemesis_says_what_it_may_do_and_when() {
    let scenario = valid("[nemesis]\nfaults = [{ type = \"kill\", for = \"2s\" }]\n");
    let nemesis = scenario.nemesis.unwrap();
    let second = Duration::from_secs;
    assert_eq!((nemesis.from, nemesis.until, nemesis.every), (second(0), second(60), second(5)));
    assert_eq!(
        (nemesis.faults[0].type_name.as_str(), nemesis.faults[0].lasts),
        ("kill", (second(2), second(2)))
    );
    check("[nemesis]\n", (6, 2), "nemesis.faults", &["missing or empty", "type = \"kill\""]);
    let with = |rest: &str| format!("[nemesis]\nfaults = [{{ type = \"kill\"{rest} }}]\n");
    check(&with(", at = \"5s\""), (7, 33), "nemesis.faults.0.at", &["the nemesis draws"]);
    check(&with(", for = [\"3s\", \"2s\"]"), (7, 34), "nemesis.faults.0.for", &["shortest and the longest"]);
    check(
        &with(", for = \"2m\""),
        (7, 34),
        "nemesis.faults.0.for",
        &["longer than the 1m from nemesis.from"],
    );
    check(&with(", keep = 5"), (7, 35), "nemesis.faults.0.keep", &["redis-trim"]);
    check(&(with("") + "until = \"0s\"\n"), (8, 9), "nemesis.until", &["(nemesis.from)"]);
    check(&(with("") + "every = \"1ms\"\n"), (8, 9), "nemesis.every", &["at most 1000 faults"]);
    let named = with("") + "[[faults]]\nat = \"1s\"\ntype = \"kill\"\nname = \"nemesis-1-kill\"\n";
    check(&named, (11, 8), "faults.0.name", &["reserved for faults of [nemesis]"]);
}

#[test]
fn every_policy_is_for_the_swarm_too_and_only_there_a_node_that_is_down_may_refuse() {
    let lb = valid("[lb]\npolicy = \"cookie\"\non_down = \"refuse\"\n").lb;
    assert_eq!((lb.kind, lb.policy, lb.on_down), (LbKind::Swarm, LbPolicy::Cookie, OnDown::Refuse));
    check("[lb]\nkind = \"envoy\"\n", (7, 8), "lb.kind", &["none, nginx, haproxy"]);
    check(
        "[lb]\nkind = \"nginx\"\non_down = \"refuse\"\n",
        (8, 11),
        "lb.on_down",
        &["always chooses another"],
    );
    let lb = valid("[lb]\nkind = \"nginx\"\npolicy = \"consistent-hash\"\n").lb;
    assert_eq!(lb, Lb { kind: LbKind::Nginx, policy: LbPolicy::ConsistentHash, ..Lb::default() });
}

/// A scenario whose only group is this.
fn group(rest: &str) -> Result<ClientGroup, Vec<Problem>> {
    let text = format!("schema = 1\nname = \"t\"\nduration = \"60s\"\n[clients.c]\n{rest}\n");
    read(&text, &[]).map(|scenario| scenario.clients.into_iter().next().unwrap())
}

#[track_caller]
fn check_group(rest: &str, key: &str, words: &str) {
    let problems = group(rest).expect_err("it must be refused");
    let [problem] = problems.as_slice() else { panic!("one problem, not {problems:#?}") };
    assert_eq!(problem.key, format!("clients.c.{key}"), "{problem}");
    assert!(problem.message.contains(words), "{problem}");
}

#[test]
fn clients_arrive_at_a_rate_and_stay_for_a_session() {
    let arriving = "executor = \"constant-arrival-rate\"\nrate = 5\narrival = \"poisson\"\n";
    let read = group(&format!("{arriving}session = {{ mean = \"4s\" }}")).unwrap();
    let Executor::ArrivalRate { pace } = &read.executor else { panic!("{read:?}") };
    assert_eq!((pace.arrival, pace.stages.len()), (Arrival::Poisson, 1));
    let second = Duration::from_secs;
    let session = |distribution, churn| Some(Session { mean: second(4), distribution, churn });
    assert_eq!(read.session, session(Distribution::Exponential, false));
    let constant = "clients = 5\nsession = { dist = \"constant\", mean = \"4s\" }";
    assert_eq!(group(constant).unwrap().session, session(Distribution::Constant, true));
    check_group(&format!("{arriving}clients = 5"), "clients", "is allowed only with executor");
    check_group(&format!("{arriving}joins = \"1s\""), "joins", "is allowed only with executor");
    check_group(
        &format!("{arriving}session = {{ mean = \"4s\", churn = true }}"),
        "session.churn",
        "rate of new clients",
    );
    check_group("clients = 5\nsession = {}", "session.mean", "is missing");
    check_group("clients = 500000\nsession = { mean = \"1s\" }", "session", "30500000 clients");
    check_group("executor = \"arrival-rate\"\nrate = 100000", "rate", "6000000 clients");
}

#[test]
fn slow_clients_say_how_slow_and_stay() {
    let read = "read = { bytes_per_sec = 2048, rcvbuf = 4096, pause = { every = \"10s\", for = \"4s\" } }";
    let slow = group(&format!("clients = 5\n{read}")).unwrap().read.unwrap();
    let pause = Some((Duration::from_secs(10), Duration::from_secs(4)));
    assert_eq!(slow, ReadLimits { bytes_per_sec: Some(2_048), pause, receive_buffer: Some(4_096) });
    check_group(&format!("clients = 5\nsession = {{ mean = \"4s\" }}\n{read}"), "read", "stay until the end");
    check_group("clients = 5\nread = { pause = { every = \"1s\" } }", "read.pause.for", "is missing");
    check_group("clients = 5\nread = { bytes_per_sec = 0 }", "read.bytes_per_sec", "from 1 to");
}

#[test]
fn clients_have_addresses_headers_and_tokens() {
    let read = group(
        "clients = 5\ntoken = \"t\"\nheaders = { \"X-A\" = \"b\" }\nsource_ips = [\"127.0.0.2\", \"127.0.1-2.1\"]",
    );
    let read = read.unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), Template::parse(value).unwrap());
    assert_eq!(read.headers, [pair("authorization", "Bearer t"), pair("X-A", "b")]);
    let sources: Vec<String> = read.sources.iter().map(ToString::to_string).collect();
    assert_eq!(sources, ["127.0.0.2", "127.0.1.1", "127.0.2.1"]);
    check_group("clients = 5\nheaders = { \"X A\" = \"b\" }", "headers", "not a header name");
    check_group("clients = 5\nheaders = { X-A = 5 }", "headers", "allowed is a string");
    check_group(
        "clients = 5\nheaders = { X-A = \"{j}\" }",
        "headers",
        "X-A (set by headers or token): {j} is not",
    );
    check_group("clients = 5\ntoken = \"t{i\"", "headers", "has no '}'");
    check_group("clients = 5\ntoken = \"a\\nb\"", "token", "has an invalid value");
    check_group("clients = 5\nsource_ips = \"localhost\"", "source_ips", "127.0.1-8.1");
}

#[test]
fn clients_and_publishers_may_use_some_nodes_only() {
    let text = format!(
        "nodes = [\"n2\", \"n3\"]\njoins = \"9s\"\n{REDIS}[publishers.p]\nrate = 1\nnodes = \"n1\"\n"
    );
    let scenario = valid(&text);
    assert_eq!(
        (scenario.clients[0].nodes.as_slice(), scenario.publishers[0].nodes.as_slice()),
        (&[1, 2][..], &[0][..])
    );
    assert_eq!(scenario.clients[0].joins, Duration::from_secs(9));
    check("nodes = [\"n2\"]\n", (6, 9), "clients.c.nodes", &["\"n2\" is not a node"]);
    check("nodes = [\"n0\"]\n", (6, 9), "clients.c.nodes", &["\"n0\" is not a node"]);
    check("nodes = [\"n1\"]\n[lb]\nkind = \"nginx\"\n", (6, 9), "clients.c.nodes", &["balancer"]);
    check("joins = \"2m\"\n", (6, 9), "clients.c.joins", &["\"1m\""]);
    let empty = "[verify]\nmailboxes = \"empty\"\n";
    check(empty, (7, 13), "verify.mailboxes", &["qos = 1"]);
    check("mailbox = true\n", (6, 11), "clients.c.mailbox", &["subscribe"]);
}

#[test]
fn faults_must_end_in_time_and_have_targets() {
    check(
        "[[faults]]\nat = \"55s\"\nfor = \"10s\"\ntype = \"kill\"\n",
        (8, 7),
        "faults.0.for",
        &["1m 5s", "1m"],
    );
    let target = |target: &str| format!("[[faults]]\nat = \"5s\"\ntype = \"kill\"\ntarget = {target}\n");
    check(&target("[\"n2\"]"), (9, 10), "faults.0.target", &["\"n2\" is not a node"]);
    check(&target("\"random(2)\""), (9, 10), "faults.0.target", &["N may be 1 to"]);
    check(&target("\"some\""), (9, 10), "faults.0.target", &["one, minority, majority, all, random(N)"]);
    check(
        "[cluster]\nattach = [\"http://h:1\"]\n[[faults]]\nat = \"5s\"\ntype = \"kill\"\n",
        (10, 8),
        "faults.0.type",
        &["attach"],
    );
    check(
        "[[faults]]\nat = \"5s\"\ntype = \"reconnect-storm\"\nfor = \"1s\"\n",
        (9, 7),
        "faults.0.for",
        &["has no duration"],
    );
    let twice = "[[faults]]\nname = \"x\"\nat = \"5s\"\ntype = \"kill\"\n".repeat(2);
    check(&twice, (11, 8), "faults.1.name", &["another fault"]);
}

#[test]
fn weights_need_subscribers() {
    let mix = |mix: &str| format!("[publishers.p]\nrate = 1\nmix = {mix}\n");
    check(&mix("{ topic = 1 }"), (8, 7), "publishers.p.mix", &["no client group subscribes"]);
    check(&mix("{ user = 1 }"), (8, 7), "publishers.p.mix", &["no client group subscribes"]);
    check(&mix("{ broadcast = 0 }"), (8, 7), "publishers.p.mix", &["above zero"]);
    check(
        &mix("{ channel = 1, broadcast = 1 }"),
        (8, 9),
        "publishers.p.mix.channel",
        &["allowed are broadcast"],
    );
}

#[test]
fn names_that_a_node_would_refuse_are_refused_here() {
    let subscribe = |text: &str| format!("subscribe = {text}\n");
    check(&subscribe("{ user = \"a,b\" }"), (6, 13), "clients.c.subscribe", &["user id", "','"]);
    check(&subscribe("{ topics = [\"r{dice:50}\"] }"), (6, 24), "clients.c.subscribe.topics", &["{i%N}"]);
    let long = format!("{{ client = \"{}{{i}}\" }}", "x".repeat(125));
    check(&subscribe(&long), (6, 24), "clients.c.subscribe.client", &["135 bytes", "128"]);
}

#[test]
fn flags_of_the_node_are_passed_on() {
    let scenario =
        valid("[cluster.flags]\nwindow-frames = 500\nheartbeat = \"5s\"\ninsecure = true\nquiet = false\n");
    let Cluster::Spawn(cluster) = scenario.cluster else { panic!("it is spawned") };
    let flags: Vec<_> = cluster.flags.iter().map(|(flag, value)| (flag.as_str(), value.as_deref())).collect();
    assert_eq!(flags, [("heartbeat", Some("5s")), ("insecure", None), ("window-frames", Some("500"))]);
    check("[cluster.flags]\nlisten = \":1\"\n", (7, 10), "cluster.flags.listen", &["is set by the run"]);
}

#[test]
fn payloads_and_rates_have_two_forms() {
    let scenario = valid(
        "[publishers.p]\nstages = [{ duration = \"10s\", target = 100 }]\nstart_rate = 5\npayload = { dist = \"lognormal\", median = 100, p99 = 900 }\n",
    );
    let publisher = &scenario.publishers[0];
    assert_eq!(publisher.payload, PayloadSize::LogNormal { median: 100, p99: 900 });
    assert!((publisher.pace.from - 5.0).abs() < 1e-9);
    check(
        "[publishers.p]\nstages = [{ duration = \"2m\", target = 1 }]\n",
        (7, 10),
        "publishers.p.stages",
        &["the run ends at"],
    );
    check("[publishers.p]\nrate = 1\nstages = []\n", (7, 8), "publishers.p.rate", &["together with stages"]);
}

#[test]
fn a_threshold_of_something_that_is_not_there_is_refused() {
    let key = |tags: &str| format!("thresholds.delivery_latency{{{tags}}}");
    let text = |tags: &str| format!("[thresholds]\n\"delivery_latency{{{tags}}}\" = \"max<1s\"\n");
    check(&text("group:d"), (7, 31), &key("group:d"), &["group:d is not in this scenario", "allowed are c"]);
    check(&text("publisher:p"), (7, 35), &key("publisher:p"), &["has no tag publisher"]);
    let of_publishers = "[thresholds]\n\"publish_time{publisher:p}\" = \"max<1s\"\n";
    check(of_publishers, (7, 31), "thresholds.publish_time{publisher:p}", &["allowed are none"]);
    check(&text("phase:stedy"), (7, 35), &key("phase:stedy"), &["did you mean steady?"]);
    check(&text("phase:fault:kill-1"), (7, 42), &key("phase:fault:kill-1"), &["warmup, steady"]);
    assert_eq!(valid(&text("phase:fault")).thresholds.len(), 1);
}

#[test]
fn text_that_is_not_toml_is_reported_with_its_place() {
    let problems = read("schema = 1\nname = \n", &[]).unwrap_err();
    assert_eq!(problems[0].at.map(|(line, _)| line), Some(2), "{problems:?}");
    assert!(problems[0].message.contains("not valid TOML"));
    assert_eq!(read("a = 1\na = 2\n", &[]).unwrap_err()[0].at, Some((2, 1)));
}

#[test]
fn overrides_come_before_every_check() {
    let text = format!("{HEAD}[[faults]]\nat = \"5s\"\ntype = \"kill\"\n");
    let scenario = read(
        &text,
        &[
            "seed=7",
            "duration=30s",
            "clients.c.clients = 9",
            "faults.0.at=\"7s\"",
            "clients.c.reconnect.policy=none",
        ],
    )
    .unwrap();
    assert_eq!((scenario.seed, scenario.duration), (7, Duration::from_secs(30)));
    assert_eq!(scenario.clients[0].executor, Executor::Constant { clients: 9, ramp: Duration::ZERO });
    assert_eq!(scenario.clients[0].reconnect.policy, ReconnectPolicy::None);
    assert_eq!(scenario.faults[0].at, Duration::from_secs(7));
    assert!(read(&text, &["faults=[]"]).unwrap().faults.is_empty());
}

#[track_caller]
fn check_override(text: &str, key: &str, words: &str) {
    let text = text.to_owned();
    let with_fault = format!("{HEAD}[[faults]]\nat = \"5s\"\ntype = \"kill\"\n");
    let problems = parse("t.toml", &with_fault, &[text]).expect_err("it must be refused").problems;
    let problem =
        problems.iter().find(|problem| problem.key == key).unwrap_or_else(|| panic!("{problems:?}"));
    assert_eq!(problem.at, None, "{problem}");
    assert!(problem.message.contains(words), "{problem}");
}

#[test]
fn a_bad_override_names_its_path() {
    check_override("seed", "seed", "key.path=value");
    check_override("=5", "", "part of the path is empty");
    check_override("clients..x=5", "clients..x", "part of the path is empty");
    check_override("seed.deeper=5", "seed", "a table is not allowed");
    check_override("name.deeper=5", "name.deeper", "nothing can be set inside");
    check_override("faults.3.at=5s", "faults.3.at", "numbered from 0");
    check_override("clients.c.clients=many", "clients.c.clients", "\"many\"");
    check_override(
        "clients.cc.clients=1",
        "clients.cc.clients",
        "no cc in clients; allowed are c; did you mean c?",
    );
    check_override("clients.c.clint=1", "clients.c.clint", "did you mean clients?");
}

proptest::proptest! {
    #[test]
    fn no_text_panics_the_reader(text: String, set: String) {
        let _outcome = parse("any.toml", &text, &[set]);
    }
}

#[test]
fn stages_of_clients_end_with_the_run() {
    let text = "schema = 1\nname = \"t\"\nduration = \"30s\"\n[clients.c]\nexecutor = \"ramping\"\n\
                stages = [{ duration = \"20s\", target = 5 }, { duration = \"20s\", target = 0 }]\n";
    let problems = read(text, &[]).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(
        problems[0].message.contains("the stages last 40s in total, but the run ends at 30s"),
        "{problems:#?}"
    );
}

#[test]
fn keys_of_k6_get_a_hint_to_the_equivalent() {
    let head = "schema = 1\nname = \"t\"\nduration = \"30s\"\n";
    let all = |rest: &str| {
        let problems = read(&format!("{head}{rest}"), &[]).unwrap_err();
        problems.iter().map(|problem| format!("{problem}\n")).collect::<String>()
    };
    let said = all("[clients.c]\nvus = 60\n");
    assert!(said.contains("clients: is missing; allowed is a whole number from 1 to 1000000"), "{said}");
    assert!(said.contains("vus: is not a key here; ") && said.contains("; did you mean clients?"), "{said}");
    let said =
        all("[scenarios.c]\nvus = 60\n[options.thresholds]\n[clients.c]\nclients = 1\nstartTime = \"1s\"\n");
    assert!(said.contains("groups of clients are [clients.NAME]") && said.contains("[thresholds]"), "{said}");
    assert!(said.contains("did you mean joins?"), "{said}");
    let said = all("[clients.c]\nclients = 1\nsession = \"3s\"\n");
    assert!(said.contains("allowed is a table, as in session = { mean = \"3s\" }"), "{said}");
    let said = all("[clients.c]\nclients = 1\n[publishers.p]\nrate = 5\ntimeUnit = \"1s\"\n");
    assert!(said.contains("rates are per second"), "{said}");
    assert!(!said.contains("time_unit") && !said.contains("type"), "what is refused is not allowed: {said}");
    let said =
        all("[clients.c]\nclients = 1\n[[faults]]\nat = \"5s\"\ntype = \"explode\"\ntarget = [\"n9\"]\n");
    assert!(said.contains("\"explode\" is not known"), "{said}");
    assert!(said.contains("\"n9\" is not a node of this cluster; allowed are n1"), "{said}");
}

#[test]
fn a_wrong_fault_is_reported_once_and_with_its_unit() {
    let rest = "[cluster]\nproxy = \"client->node\"\n[[faults]]\nname = \"slow\"\nat = \"5s\"\ntype = \"latency\"\n\
                link = \"client->node\"\nlatency = \"100ms\"\n[thresholds]\n\
                \"delivery_latency{phase:fault:slow}\" = [\"max<3s\"]\n";
    check(rest, (13, 11), "faults.0.latency", &["\"100ms\" is not a number", "milliseconds, as in 100"]);
}

#[test]
fn a_threshold_cannot_abort_a_run() {
    let rest = "[thresholds]\nreconnect_time = [{ threshold = \"max<3s\", abortOnFail = true }]\n";
    let problems = read(&format!("{HEAD}{rest}"), &[]).unwrap_err();
    assert!(problems[0].message.contains("there is no abortOnFail"), "{problems:#?}");
}
