//! The scenario that tests of faults start from: clients that come back quickly, and a publisher who notices every gap;
//! each test says what is different. What is judged is delivery, not speed: many tests share the machine.
//! Read [`Recipe`] first.

use super::harness::Lab;

/// One node whose log survives it, and which sends its clients back soon.
const CLUSTER: &str = "nodes = 1\nbroker = \"file\"";
const QUICK: &str = "flags = { retry = \"1s\", retry-jitter = \"200ms\", drain-over = \"200ms\" }";
/// The strictest promise.
const VERIFY: &str = "delivery = \"exactly-once\"\norder = \"per-publisher-address\"\ngaps = \"forbidden\"";

/// Clients that join later, beside those that are there from the beginning. Further lines belong to this group.
pub(super) const LATE: &str = r#"
[clients.late]
clients = 5
joins = "500ms"
subscribe = { topics = ["room-0"] }
"#;

/// A node is killed in the middle.
pub(super) const KILL: &str = r#"
[[faults]]
at = "1s"
for = "300ms"
type = "kill"
"#;

/// A scenario, and what is different in it.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    name: &'static str,
    duration: &'static str,
    cluster: String,
    clients: u32,
    rate: u32,
    verify: &'static str,
    lag: &'static str,
    more: String,
}

impl Recipe {
    pub(super) fn new(name: &'static str, duration: &'static str) -> Self {
        let (clients, rate, verify, lag) = (20, 100, VERIFY, "p(99)<60s");
        Self { name, duration, cluster: String::new(), clients, rate, verify, lag, more: String::new() }
            .nodes(CLUSTER)
    }

    /// Other nodes, as the lines of `[cluster]` say; they too send their clients back soon.
    pub(super) fn nodes(mut self, lines: &str) -> Self {
        self.cluster = format!("{lines}\n{QUICK}");
        self
    }

    /// A node that is there already.
    pub(super) fn attach(mut self, base: &str) -> Self {
        self.cluster = format!("attach = [{base:?}]");
        self
    }

    pub(super) fn clients(mut self, clients: u32) -> Self {
        self.clients = clients;
        self
    }

    /// Publishes at this rate, events a second.
    pub(super) fn rate(mut self, rate: u32) -> Self {
        self.rate = rate;
        self
    }

    /// Another promise, as the lines of `[verify]` say.
    pub(super) fn verify(mut self, lines: &'static str) -> Self {
        self.verify = lines;
        self
    }

    /// Another limit to how late the bench itself may be.
    pub(super) fn lag(mut self, limit: &'static str) -> Self {
        self.lag = limit;
        self
    }

    /// Appends further sections of TOML.
    pub(super) fn and(mut self, sections: &str) -> Self {
        self.more.push_str(sections);
        self.more.push('\n');
        self
    }

    pub(super) fn lab(&self) -> Lab {
        Lab::new(&self.text())
    }

    fn text(&self) -> String {
        let Self { name, duration, cluster, clients, rate, verify, lag, more } = self;
        format!(
            r#"
schema = 1
name = "{name}"
seed = 5
duration = "{duration}"

[cluster]
{cluster}

[clients.all]
clients = {clients}
subscribe = {{ topics = ["room-{{i%4}}"], user = "u{{i}}" }}
reconnect = {{ policy = "tolerant", max_delay = "2s" }}

[publishers.main]
rate = {rate}
mix = {{ broadcast = 1, topic = 2, user = 2 }}

[verify]
{verify}
quiesce = {{ idle = "3s", timeout = "60s" }}

[thresholds]
generator_lag = ["{lag}"]

{more}
"#
        )
    }
}
