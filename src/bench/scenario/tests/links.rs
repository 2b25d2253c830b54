//! Links that pass the fault proxy, and faults of them: the values that are read, and the message of every problem.

use super::scenario::{check, valid};
use crate::bench::scenario::{FaultSpecKind, LinkEffect, LinkFault, LinkKind, Stream, Target, ToxicKind};

const PROXIED: &str =
    "[cluster]\nnodes = 3\nbroker = \"redis\"\nproxy = [\"client->node\", \"node->redis\"]\n";

fn link_fault(rest: &str) -> LinkFault {
    let scenario = valid(&format!("{PROXIED}[[faults]]\nat = \"1s\"\n{rest}"));
    let FaultSpecKind::Link(fault) = &scenario.faults[0].kind else { panic!("it is of a link") };
    fault.clone()
}

#[test]
fn every_fault_of_a_link_is_read_with_its_attributes() {
    let whole = link_fault(
        "type = \"latency\"\nlink = \"node->redis\"\nstream = \"both\"\ntoxicity = 0.5\nlatency = 200\n\
         jitter = 50\ntarget = [\"n2\"]\n",
    );
    let kind = ToxicKind::Latency { latency: 200, jitter: 50 };
    let effect = LinkEffect::Toxic { kind, stream: Stream::Both, toxicity: 0.5 };
    let target = Target::Named(vec!["n2".to_owned()]);
    assert_eq!(whole, LinkFault { link: LinkKind::NodeRedis, effect, target });
    let effect = |rest: &str| link_fault(&format!("link = \"client->node\"\n{rest}")).effect;
    assert_eq!(effect("type = \"down\"\n"), LinkEffect::Down);
    for (text, kind) in [
        ("type = \"bandwidth\"\nrate = 9\n", ToxicKind::Bandwidth { rate: 9 }),
        ("type = \"slow_close\"\ndelay = 9\n", ToxicKind::SlowClose { delay: 9 }),
        ("type = \"timeout\"\n", ToxicKind::Timeout { timeout: 0 }),
        ("type = \"reset_peer\"\ntimeout = 9\n", ToxicKind::ResetPeer { timeout: 9 }),
        (
            "type = \"slicer\"\naverage_size = 3\nsize_variation = 2\ndelay = 1\n",
            ToxicKind::Slicer { average_size: 3, size_variation: 2, delay: 1 },
        ),
        ("type = \"limit_data\"\nbytes = 9\n", ToxicKind::LimitData { bytes: 9 }),
        ("type = \"stall\"\n", ToxicKind::Stall),
        ("type = \"cut\"\ntime = 9\n", ToxicKind::Cut { time: 9 }),
        ("type = \"drop\"\n", ToxicKind::Drop),
        ("type = \"half-open\"\n", ToxicKind::HalfOpen),
    ] {
        let stream = kind.usual_stream();
        assert_eq!(effect(text), LinkEffect::Toxic { kind, stream, toxicity: 1.0 });
    }
}

#[test]
fn a_fault_of_a_link_that_cannot_be_is_refused_with_the_remedy() {
    let fault = |cluster: &str, rest: &str| format!("{cluster}[[faults]]\nat = \"1s\"\n{rest}");
    let stall = "type = \"stall\"\nlink = \"client->node\"\n";
    check(&fault("", stall), (9, 8), "faults.0.link", &["proxy = [\"client->node\"]"]);
    let only = PROXIED.replace(", \"node->redis\"", "");
    let redis = "type = \"stall\"\nlink = \"node->redis\"\n";
    check(&fault(&only, redis), (13, 8), "faults.0.link", &["[\"client->node\", \"node->redis\"]"]);
    check(&fault(PROXIED, "type = \"stall\"\n"), (10, 1), "faults.0.link", &["is missing"]);
    let unknown = "type = \"stall\"\nlink = \"n1->redis\"\n";
    check(&fault(PROXIED, unknown), (13, 8), "faults.0.link", &["client->node, node->redis"]);
    let latency = "type = \"latency\"\nlink = \"node->redis\"\n";
    check(&fault(PROXIED, latency), (10, 1), "faults.0.latency", &["is missing"]);
    let rate = format!("{latency}latency = 1\nrate = 1\n");
    check(
        &fault(PROXIED, &rate),
        (15, 8),
        "faults.0.rate",
        &["does not belong to type = \"latency\"", "jitter"],
    );
    let down = "type = \"down\"\nlink = \"node->redis\"\ntoxicity = 0.5\n";
    check(&fault(PROXIED, down), (14, 12), "faults.0.toxicity", &["does not belong to type = \"down\""]);
    let kill = "type = \"kill\"\nlatency = 5\n";
    check(&fault(PROXIED, kill), (13, 11), "faults.0.latency", &["a key of link faults"]);
    let twice = format!("{stall}toxicity = 2\n");
    check(&fault(PROXIED, &twice), (14, 12), "faults.0.toxicity", &["from 0 to 1"]);
    for (word, why) in
        [("netem", "kernel"), ("netns", "cluster.network"), ("partition", "stall"), ("toxic", "latency")]
    {
        check(&fault(PROXIED, &format!("type = \"{word}\"\n")), (12, 8), "faults.0.type", &[word, why]);
    }
}

#[test]
fn a_link_that_no_proxy_can_be_put_into_is_refused() {
    let proxy = |rest: &str, links: &str| format!("[cluster]\n{rest}proxy = [{links}]\n");
    let redis = "\"node->redis\"";
    check(&proxy("", redis), (7, 9), "cluster.proxy", &["needs a Redis"]);
    for (broker, why) in
        [("redis-sentinel", "Sentinels give nodes"), ("redis-cluster", "Redis Cluster gives")]
    {
        check(&proxy(&format!("broker = \"{broker}\"\n"), redis), (8, 9), "cluster.proxy", &[why]);
    }
    let external = |url: &str| format!("broker = \"redis\"\nredis = {{ external = \"{url}\" }}\n");
    check(&proxy(&external("rediss://h:1"), redis), (9, 9), "cluster.proxy", &["certificate"]);
    assert_eq!(valid(&proxy(&external("redis://h:1"), redis)).proxied, [LinkKind::NodeRedis]);
    let attach = |url: &str| format!("attach = [\"{url}\"]\n");
    check(&proxy(&attach("http://h:1"), redis), (8, 9), "cluster.proxy", &["attach"]);
    let client = "\"client->node\"";
    check(&proxy(&attach("https://h:1"), client), (8, 9), "cluster.proxy", &["https://h:1"]);
    assert_eq!(valid(&proxy(&attach("http://h:1"), client)).proxied, [LinkKind::ClientNode]);
    check(&proxy("", "\"n1->n2\""), (7, 9), "cluster.proxy", &["client->node"]);
}
