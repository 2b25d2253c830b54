//! Columns of the table of nodes: their cells, their order, and which of them are left out first on a narrow screen.
//! Pure. Read [`NodeColumn`] first.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::str::Chars;

use crate::tui::state::cluster::ClusterState;
use crate::tui::state::node::{Health, Latest, Node};
use crate::tui::text::format;

/// A column of the table of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeColumn {
    Name,
    Address,
    State,
    Connections,
    Published,
    Sent,
    P50,
    P99,
    Lag,
    Rtt,
    Cpu,
    Rss,
    Age,
    Gaps,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeOrder {
    pub(crate) column: NodeColumn,
    pub(crate) descending: bool,
}

impl NodeColumn {
    /// From left to right.
    pub(crate) const ALL: [Self; 14] = [
        Self::Name,
        Self::Address,
        Self::State,
        Self::Connections,
        Self::Published,
        Self::Sent,
        Self::P50,
        Self::P99,
        Self::Lag,
        Self::Rtt,
        Self::Cpu,
        Self::Rss,
        Self::Age,
        Self::Gaps,
    ];

    /// In the order in which a narrow screen keeps them.
    pub(crate) const BY_IMPORTANCE: [Self; 14] = [
        Self::Name,
        Self::State,
        Self::Sent,
        Self::P99,
        Self::Connections,
        Self::Lag,
        Self::Cpu,
        Self::Rss,
        Self::Rtt,
        Self::Published,
        Self::Address,
        Self::P50,
        Self::Age,
        Self::Gaps,
    ];

    pub(crate) fn header(self) -> &'static str {
        match self {
            Self::Name => "NODE",
            Self::Address => "ADDR",
            Self::State => "STATE",
            Self::Connections => "CONNS",
            Self::Published => "IN/s",
            Self::Sent => "OUT/s",
            Self::P50 => "p50ms",
            Self::P99 => "p99ms",
            Self::Lag => "LAG",
            Self::Rtt => "RTTms",
            Self::Cpu => "CPU",
            Self::Rss => "RSS",
            Self::Age => "AGE",
            Self::Gaps => "GAPS",
        }
    }

    /// Smallest width in cells, header and sort mark included: a column that changes its width with every figure is
    /// hard to read.
    pub(crate) fn min_width(self) -> usize {
        match self {
            Self::Name => 6,
            Self::Address => 14,
            Self::State => 8,
            Self::Connections => 7,
            Self::Published | Self::Sent | Self::P50 | Self::P99 | Self::Rtt | Self::Age | Self::Gaps => 6,
            Self::Lag | Self::Cpu => 4,
            Self::Rss => 5,
        }
    }

    /// The column with this header, in any case.
    pub(crate) fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.header().eq_ignore_ascii_case(text))
    }

    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Name | Self::Address | Self::State)
    }

    /// The cell of a node that has fresh figures; empty for columns of text.
    pub(crate) fn figure(self, latest: &Latest) -> String {
        let reading = &latest.reading;
        let quantile = |quantile| reading.latency.quantile(quantile).map_or_else(dash, format::millis);
        match self {
            Self::Name | Self::Address | Self::State => String::new(),
            Self::Connections => format::count(reading.connections),
            Self::Published => latest.rates.map_or_else(dash, |rates| format::rate(rates.published)),
            Self::Sent => latest.rates.map_or_else(dash, |rates| format::rate(rates.sent)),
            Self::P50 => quantile(0.5),
            Self::P99 => quantile(0.99),
            Self::Lag => format::count(reading.lag),
            Self::Rtt => format::millis(latest.rtt),
            Self::Cpu => latest.rates.map_or_else(dash, |rates| format::percent(rates.cpu)),
            Self::Rss => format::bytes(reading.rss),
            Self::Age => format::age(reading.uptime),
            Self::Gaps => format::count(reading.gaps_total()),
        }
    }

    /// The value that nodes are sorted by; `None` sorts last in both directions.
    fn value(self, node: &Node, cluster: &ClusterState) -> Option<f64> {
        let latest = node.figures(cluster.now, cluster.interval)?;
        let reading = &latest.reading;
        let quantile = |quantile| reading.latency.quantile(quantile).map(|time| time.as_secs_f64());
        match self {
            Self::Name | Self::Address | Self::State => None,
            Self::Connections => Some(reading.connections as f64),
            Self::Published => latest.rates.map(|rates| rates.published),
            Self::Sent => latest.rates.map(|rates| rates.sent),
            Self::P50 => quantile(0.5),
            Self::P99 => quantile(0.99),
            Self::Lag => Some(reading.lag as f64),
            Self::Rtt => Some(latest.rtt.as_secs_f64()),
            Self::Cpu => latest.rates.map(|rates| rates.cpu),
            Self::Rss => Some(reading.rss as f64),
            Self::Age => Some(reading.uptime.as_secs_f64()),
            Self::Gaps => Some(reading.gaps_total() as f64),
        }
    }
}

/// The cell of the state column: the word, and the time without an answer.
pub(crate) fn state(health: &Health) -> String {
    match health {
        Health::Late(age) | Health::Stale(age) => format!("{} {}", health.word(), format::age(*age)),
        Health::Connecting | Health::Answering(_) | Health::Down(_) => health.word(),
    }
}

fn dash() -> String {
    "-".to_owned()
}

impl Default for NodeOrder {
    fn default() -> Self {
        Self { column: NodeColumn::Name, descending: false }
    }
}

impl NodeOrder {
    /// Sorts by the column to the right, or by the first one. Figures start with the largest.
    pub(crate) fn next(self) -> Self {
        let index =
            NodeColumn::ALL.iter().position(|column| *column == self.column).map_or(0, |index| index + 1);
        let column = NodeColumn::ALL.get(index).copied().unwrap_or(NodeColumn::Name);
        Self { column, descending: !column.is_text() }
    }

    pub(crate) fn reversed(self) -> Self {
        Self { descending: !self.descending, ..self }
    }

    /// The nodes in this order; equal ones by name, then by URL.
    pub(crate) fn sort(self, cluster: &ClusterState) -> Vec<&Node> {
        let mut nodes: Vec<_> =
            cluster.nodes.iter().map(|node| (Key::new(self.column, node, cluster), node)).collect();
        nodes.sort_by(|(a, a_node), (b, b_node)| {
            let order = match (&a.main, &b.main) {
                (Main::Value(Some(a)), Main::Value(Some(b))) => self.directed(a.total_cmp(b)),
                (Main::Value(a), Main::Value(b)) => b.is_some().cmp(&a.is_some()),
                (Main::Urgency(a), Main::Urgency(b)) => self.directed(a.cmp(b)),
                (Main::Text(a), Main::Text(b)) => self.directed(natural(a, b)),
                // One column gives one kind of key.
                (Main::Value(_) | Main::Urgency(_) | Main::Text(_), _) => Ordering::Equal,
            };
            order.then_with(|| natural(&a.name, &b.name)).then_with(|| a_node.url.cmp(&b_node.url))
        });
        nodes.into_iter().map(|(_, node)| node).collect()
    }

    fn directed(self, order: Ordering) -> Ordering {
        if self.descending { order.reverse() } else { order }
    }
}

/// The sort key of a node, computed once per node and not once per comparison.
struct Key {
    main: Main,
    name: String,
}

enum Main {
    Text(String),
    Urgency(u8),
    Value(Option<f64>),
}

impl Key {
    fn new(column: NodeColumn, node: &Node, cluster: &ClusterState) -> Self {
        let name = node.label().as_str().to_owned();
        let main = match column {
            NodeColumn::Name => Main::Text(name.clone()),
            NodeColumn::Address => Main::Text(node.url.to_string()),
            NodeColumn::State => Main::Urgency(cluster.health(node).urgency()),
            NodeColumn::Connections
            | NodeColumn::Published
            | NodeColumn::Sent
            | NodeColumn::P50
            | NodeColumn::P99
            | NodeColumn::Lag
            | NodeColumn::Rtt
            | NodeColumn::Cpu
            | NodeColumn::Rss
            | NodeColumn::Age
            | NodeColumn::Gaps => Main::Value(column.value(node, cluster)),
        };
        Self { main, name }
    }
}

/// Compares numbers in texts by value: `node-2` before `node-10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a.chars().peekable(), b.chars().peekable());
    loop {
        let order = match (rest_a.peek().copied(), rest_b.peek().copied()) {
            (None, None) => return a.cmp(b),
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (x, y) = (digits(&mut rest_a), digits(&mut rest_b));
                x.len().cmp(&y.len()).then_with(|| x.cmp(&y))
            }
            (Some(x), Some(y)) => {
                rest_a.next();
                rest_b.next();
                x.cmp(&y)
            }
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Takes a number off the front, without its leading zeros.
fn digits(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut number = String::new();
    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
        if !(number.is_empty() && digit == '0') {
            number.push(digit);
        }
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_column_is_reached_by_sorting_on() {
        let mut node_order = NodeOrder::default();
        for column in NodeColumn::ALL {
            assert_eq!(node_order.column, column);
            node_order = node_order.next();
        }
        assert_eq!(node_order, NodeOrder::default());
    }

    #[test]
    fn importance_names_every_column_once() {
        for column in NodeColumn::ALL {
            assert_eq!(
                NodeColumn::BY_IMPORTANCE.iter().filter(|other| **other == column).count(),
                1,
                "{column:?}"
            );
            assert!(
                column.min_width() > column.header().len() || column.is_text() || column.header().len() < 5
            );
        }
    }

    proptest! {
        #[test]
        fn the_natural_order_is_an_order(a in "[a0-9-]{0,6}", b in "[a0-9-]{0,6}", c in "[a0-9-]{0,6}") {
            prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            prop_assert_eq!(natural(&a, &b) == Ordering::Equal, a == b);
            if natural(&a, &b) == Ordering::Less && natural(&b, &c) == Ordering::Less {
                prop_assert_eq!(natural(&a, &c), Ordering::Less);
            }
        }
    }
}
