//! Example scenarios with every section and every type of value, so that reading them asks for every key. Add new
//! sections here, and keys that are read only beside another one; tests name missing keys. Read [`examples`] first.

use crate::bench::scenario::read::faults::TYPES;

const SPAWN: &str = r#"
schema = 1
name = "spawn"
duration = "10s"
[cluster]
broker = "redis-sentinel"
flags = { keep-events = 5 }
[cluster.redis]
[swarm]
workers = 2
[lb]
kind = "none"
policy = "random"
[clients.G]
clients = 1
subscribe = {}
reconnect = {}
session = { mean = "1s" }
headers = { A = "b" }
[publishers.P]
rate = 1
headers = { A = "b" }
mix = { broadcast = 1 }
payload = { dist = "lognormal", median = 200, p99 = 300 }
[hostile.H]
behavior = "flood"
clients = 1
[nemesis]
faults = [{ type = "kill" }]
[verify]
quiesce = {}
[thresholds]
[output]
"#;

const ATTACH: &str = r#"
schema = 1
name = "attach"
duration = "10s"
[cluster]
attach = ["https://127.0.0.1:1"]
tls = { ca = "ca.pem" }
[clients.G]
executor = "ramping"
stages = [{ duration = "1s", target = 1 }]
[publishers.P]
payload = 200
start_rate = 1
stages = [{ duration = "1s", target = 1 }]
"#;

const ARRIVING: &str = r#"
schema = 1
name = "arriving"
duration = "10s"
[clients.G]
executor = "arrival-rate"
rate = 1
read = { pause = { every = "1s", for = "1s" } }
"#;

const RISING: &str = r#"
schema = 1
name = "rising"
duration = "10s"
[clients.G]
executor = "arrival-rate"
start_rate = 1
stages = [{ duration = "1s", target = 1 }]
"#;

const FOREIGN: &str = r#"
schema = 1
name = "foreign"
duration = "10s"
[cluster]
attach = ["http://127.0.0.1:1"]
[dialect]
stream = "/events?{addresses}"
[dialect.names]
all = "all"
[dialect.publish]
path = "/publish"
headers = { A = "b" }
[clients.G]
clients = 1
[publishers.P]
rate = 1
"#;

/// All examples, the first one with a fault of each type. Not all of these faults are possible in its cluster.
pub(crate) fn examples() -> Vec<String> {
    let targets = ["\"all\"", "[\"n1\"]"];
    let fault = |(type_name, _): &(&str, _)| {
        let of = |target| {
            format!(
                "[[faults]]\nat = \"1s\"\nname = \"{type_name}-x\"\ntype = {type_name:?}\ntarget = {target}\n"
            )
        };
        let drawn =
            |lasts| format!("[[nemesis.faults]]\ntype = {type_name:?}\ntarget = [\"n1\"]\nfor = {lasts}\n");
        targets.map(of).concat() + &["\"1s\"", "[\"1s\", \"2s\"]"].map(drawn).concat()
    };
    let faults: String = TYPES.iter().map(fault).collect();
    let spawn = SPAWN.replace("[nemesis]\nfaults = [{ type = \"kill\" }]", "[nemesis]");
    vec![
        format!("{spawn}{faults}"),
        ATTACH.to_owned(),
        ARRIVING.to_owned(),
        RISING.to_owned(),
        FOREIGN.to_owned(),
    ]
}

/// Examples that are valid scenarios.
#[cfg(test)]
pub(crate) const VALID: [&str; 5] = [SPAWN, ATTACH, ARRIVING, RISING, FOREIGN];
