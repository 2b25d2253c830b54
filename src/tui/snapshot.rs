//! `--once`: one reading on standard output, as a table or as one JSON object ([`Report`]). It uses the same code as
//! the screens and polls each node twice, one interval apart, because a rate needs two readings. Read [`run`] first.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;

use crate::runtime::exit::Failure;
use crate::tui::config::cli::{Format, Settings};
use crate::tui::sources::clock::Clock;
use crate::tui::sources::fetch::Fetcher;
use crate::tui::state::alerts::update_alerts;
use crate::tui::state::change::{Alert, Tone};
use crate::tui::state::cluster::ClusterState;
use crate::tui::state::message::{Effect, Failed, Polled};
use crate::tui::state::node::{Latest, Node};
use crate::tui::state::node_column::{NodeColumn, NodeOrder};
use crate::tui::state::reading::FetchError;
use crate::tui::text::sanitize::SafeText;
use crate::tui::text::url::NodeUrl;
use crate::tui::text::{cells, format};

/// Exit code when a node does not answer.
const NOT_ALL_UP: u8 = 3;

/// One reading of a cluster, printed by `--once --format json`. Unknown figures are null; a node that did not answer
/// has no figures.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// Milliseconds since 1970.
    at: u128,
    /// Milliseconds between the two polls that the rates are computed from.
    interval_ms: u128,
    cluster: ClusterReport,
    nodes: Vec<NodeReport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterReport {
    nodes: usize,
    /// Nodes that answered, in any state.
    up: usize,
    connections: u64,
    /// Events per second, accepted from publishers.
    in_per_second: Option<f64>,
    /// Events per second, written to connections.
    out_per_second: Option<f64>,
    /// From the log's append to the write, of the last minute, from the nodes' merged histograms.
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    /// Events of the log that the slowest node has not read yet.
    lag_max: u64,
    /// `GAP` events since the nodes' start.
    gaps: u64,
    /// Streams closed as too slow since the nodes' start.
    closed_slow: u64,
    /// Whether all nodes that answered follow the same log.
    one_log: bool,
    log: Option<LogReport>,
    /// Problems, the worst first.
    alerts: Vec<AlertReport>,
}

/// The log, as the node of cluster-wide requests sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogReport {
    broker: String,
    epoch: String,
    events: u64,
    bytes: u64,
    /// Events per second.
    in_per_second: Option<f64>,
    oldest: String,
    newest: String,
    /// Null when the log did not answer.
    rtt_ms: Option<f64>,
    mailboxes: u64,
    mailbox_messages: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertReport {
    /// `bad` or `warning`.
    tone: &'static str,
    /// The node, or `cluster`.
    subject: String,
    text: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeReport {
    /// Null for a node that never answered and that no roster names.
    id: Option<String>,
    url: String,
    up: bool,
    /// `UP`, `STARTING`, `DEGRADED`, `DRAINING`, `DOWN`, or another state that the node reports, in capitals.
    state: String,
    /// Why it is down.
    #[serde(rename = "trouble")]
    error: Option<String>,
    #[serde(flatten)]
    figures: Option<Figures>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    version: String,
    uptime_seconds: u64,
    connections: u64,
    in_per_second: Option<f64>,
    out_per_second: Option<f64>,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    lag: u64,
    rtt_ms: f64,
    /// Of one core.
    cpu_percent: Option<f64>,
    rss_bytes: u64,
    gaps: u64,
    closed_slow: u64,
    /// Since the node's start, by reason.
    gaps_by_reason: BTreeMap<String, u64>,
    closed_by_reason: BTreeMap<String, u64>,
    refused_by_reason: BTreeMap<String, u64>,
}

/// Reads the cluster and prints it.
pub(super) async fn run(settings: Settings) -> Result<u8, Failure> {
    let format = settings.format;
    let cluster = read(&settings).await?;
    let report = Report::new(&cluster);
    let output = match format {
        Format::Text => table(&cluster, &report).into_bytes(),
        Format::Json => {
            let mut json = serde_json::to_vec_pretty(&report).map_err(|error| Failure::new(1, error))?;
            json.push(b'\n');
            json
        }
    };
    print(&output)?;
    Ok(if report.cluster.up == report.cluster.nodes { 0 } else { NOT_ALL_UP })
}

/// Writes to standard output. A closed pipe, as after `head`, is not an error.
pub(super) fn print(output: &[u8]) -> Result<u8, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(output).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(1, error)),
        Ok(()) | Err(_) => Ok(0),
    }
}

async fn read(settings: &Settings) -> Result<ClusterState, Failure> {
    let fetcher = Fetcher::new(settings.timeout, settings.credentials(), &settings.http)
        .map_err(|error| Failure::new(1, error))?;
    let clock = Clock::start();
    let mut cluster = ClusterState::new(&settings.nodes, settings.interval);
    let second_poll = tokio::time::Instant::now() + settings.interval;
    poll_all(&fetcher, clock, &mut cluster, settings.nodes.clone()).await;
    tokio::time::sleep_until(second_poll).await;
    let known = cluster.nodes.iter().map(|node| node.url.clone()).collect();
    poll_all(&fetcher, clock, &mut cluster, known).await;
    cluster.tick(clock.now());
    update_alerts(&mut cluster);
    Ok(cluster)
}

/// Polls these nodes and the nodes of their rosters, and so on; the cluster state limits their number.
async fn poll_all(fetcher: &Fetcher, clock: Clock, cluster: &mut ClusterState, mut urls: Vec<NodeUrl>) {
    while !urls.is_empty() {
        let asked = urls.drain(..).map(|url| async move {
            let outcome = fetcher.read(&url).await;
            let failed = |error| Failed { error, tries: 1, retry_in: Duration::ZERO };
            Polled { url, at: clock.now(), outcome: outcome.map_err(failed) }
        });
        for polled in join_all(asked.collect::<Vec<_>>()).await {
            for effect in cluster.take(polled) {
                match effect {
                    Effect::Follow(url) | Effect::FollowUntrusted(url) => urls.push(url),
                    Effect::Forget(url) => urls.retain(|other| *other != url),
                    Effect::Quit
                    | Effect::QuitAndLeave
                    | Effect::List(_)
                    | Effect::ReadEvents(_)
                    | Effect::Check(_)
                    | Effect::Act(_)
                    | Effect::Mouse(_) => {}
                }
            }
        }
    }
}

/// The figures of a node that answered the last poll. A node is up or down here, never LATE.
fn answered(node: &Node) -> Result<&Latest, Option<&FetchError>> {
    match (&node.failing, &node.latest) {
        (Some(failing), _) => Err(Some(&failing.error)),
        (None, Some(latest)) => Ok(latest),
        (None, None) => Err(None),
    }
}

impl Report {
    fn new(cluster: &ClusterState) -> Self {
        let nodes: Vec<_> = NodeOrder::default()
            .sort(cluster)
            .into_iter()
            .map(|node| NodeReport::new(node, cluster))
            .collect();
        let totals = &cluster.totals;
        Self {
            at: cluster.now.unix.as_millis(),
            interval_ms: cluster.interval.as_millis(),
            cluster: ClusterReport {
                nodes: nodes.len(),
                up: nodes.iter().filter(|node| node.up).count(),
                connections: totals.connections,
                in_per_second: totals.published.map(rounded),
                out_per_second: totals.sent.map(rounded),
                p50_ms: totals.p50.map(ms),
                p99_ms: totals.p99.map(ms),
                lag_max: totals.lag_max,
                gaps: totals.gaps,
                closed_slow: totals.closed_slow,
                one_log: totals.epochs.len() < 2,
                log: LogReport::new(cluster),
                alerts: cluster.alerts.iter().map(AlertReport::new).collect(),
            },
            nodes,
        }
    }
}

impl LogReport {
    fn new(cluster: &ClusterState) -> Option<Self> {
        let log = &cluster.answering_node()?.latest.as_ref()?.reading.log;
        Some(Self {
            broker: log.broker.as_str().to_owned(),
            epoch: log.epoch.as_str().to_owned(),
            events: log.length,
            bytes: log.bytes,
            in_per_second: cluster.totals.appended.map(rounded),
            oldest: log.oldest.as_str().to_owned(),
            newest: log.newest.as_str().to_owned(),
            rtt_ms: log.rtt.map(ms),
            mailboxes: log.mailboxes,
            mailbox_messages: log.mailbox_messages,
        })
    }
}

impl AlertReport {
    fn new(alert: &Alert) -> Self {
        Self {
            tone: if alert.tone == Tone::Bad { "bad" } else { "warning" },
            subject: alert.subject.as_str().to_owned(),
            text: alert.text.clone(),
        }
    }
}

impl NodeReport {
    fn new(node: &Node, cluster: &ClusterState) -> Self {
        let answered = answered(node);
        Self {
            id: node.expected_id().map(|id| id.as_str().to_owned()),
            url: node.url.to_string(),
            up: answered.is_ok(),
            state: if answered.is_ok() { cluster.health(node).word() } else { "DOWN".to_owned() },
            error: answered.err().flatten().map(FetchError::to_string),
            figures: answered.ok().map(Figures::new),
        }
    }
}

impl Figures {
    fn new(latest: &Latest) -> Self {
        let reading = &latest.reading;
        Self {
            version: reading.version.as_str().to_owned(),
            uptime_seconds: reading.uptime.as_secs(),
            connections: reading.connections,
            in_per_second: latest.rates.map(|rates| rounded(rates.published)),
            out_per_second: latest.rates.map(|rates| rounded(rates.sent)),
            p50_ms: reading.latency.quantile(0.5).map(ms),
            p99_ms: reading.latency.quantile(0.99).map(ms),
            lag: reading.lag,
            rtt_ms: ms(latest.rtt),
            cpu_percent: latest.rates.map(|rates| rounded(rates.cpu * 100.0)),
            rss_bytes: reading.rss,
            gaps: reading.gaps_total(),
            closed_slow: reading.closed_slow(),
            gaps_by_reason: by_reason(&reading.gaps),
            closed_by_reason: by_reason(&reading.closed),
            refused_by_reason: by_reason(&reading.rejected),
        }
    }
}

fn by_reason(counts: &[(SafeText, u64)]) -> BTreeMap<String, u64> {
    counts.iter().map(|(reason, count)| (reason.as_str().to_owned(), *count)).collect()
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

const HEADER: [&str; 12] =
    ["NODE", "ADDR", "STATE", "CONNS", "IN/s", "OUT/s", "P50ms", "P99ms", "LAG", "RTTms", "CPU%", "RSS"];
/// Columns of text, which are aligned to the left.
const TEXTS: usize = 3;

/// One line per node and one for the cluster. Cells hold no blanks, so that `awk` can read them; only the reason at
/// the end of a line may.
fn table(cluster: &ClusterState, report: &Report) -> String {
    let mut rows = vec![HEADER.map(str::to_owned).to_vec()];
    for node in NodeOrder::default().sort(cluster) {
        let word = |text: &str| text.replace(' ', "_");
        let mut row = vec![word(node.label().as_str()), node.url.short()];
        match answered(node) {
            Ok(latest) => {
                row.push(word(&cluster.health(node).word()));
                row.extend(cells(latest));
            }
            Err(error) => {
                row.push("DOWN".to_owned());
                row.extend((TEXTS..HEADER.len()).map(|_| "-".to_owned()));
                row.extend(error.map(FetchError::to_string));
            }
        }
        rows.push(row);
    }
    rows.push(cluster_row(&report.cluster));
    aligned(&rows)
}

fn cells(latest: &Latest) -> [String; HEADER.len() - TEXTS] {
    let figures = Figures::new(latest);
    [
        figures.connections.to_string(),
        whole(figures.in_per_second),
        whole(figures.out_per_second),
        short(figures.p50_ms),
        short(figures.p99_ms),
        figures.lag.to_string(),
        short(Some(figures.rtt_ms)),
        whole(figures.cpu_percent),
        NodeColumn::Rss.figure(latest),
    ]
}

fn cluster_row(cluster: &ClusterReport) -> Vec<String> {
    let mut row = vec!["CLUSTER".to_owned(), "-".to_owned(), format!("{}/{}", cluster.up, cluster.nodes)];
    row.extend([
        cluster.connections.to_string(),
        whole(cluster.in_per_second),
        whole(cluster.out_per_second),
        short(cluster.p50_ms),
        short(cluster.p99_ms),
        cluster.lag_max.to_string(),
    ]);
    row.resize(HEADER.len(), "-".to_owned());
    if !cluster.one_log {
        row.push("the nodes follow different logs".to_owned());
    }
    row
}

fn whole(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"))
}

fn short(ms: Option<f64>) -> String {
    let time = ms.map(|ms| Duration::try_from_secs_f64(ms / 1e3).unwrap_or(Duration::MAX));
    time.map_or_else(|| "-".to_owned(), format::millis)
}

fn aligned(rows: &[Vec<String>]) -> String {
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cells::width(cell)).max();
    let widths: Vec<_> = (0..HEADER.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut output = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| match widths.get(column) {
            Some(width) if column < TEXTS => cells::left(cell, *width),
            Some(width) => cells::right(cell, *width),
            None => cell.clone(),
        });
        output += cells.collect::<Vec<_>>().join("  ").trim_end();
        output.push('\n');
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::config::keymap::Keymap;
    use crate::tui::config::theme::{Theme, ThemeName};
    use crate::tui::sources::tests::server::Server;

    const PATIENT: Duration = Duration::from_secs(20);

    async fn reading_of(nodes: &[&NodeUrl], timeout: Duration) -> (ClusterState, Report) {
        let settings = Settings {
            http: crate::client::HttpOptions::default(),
            nodes: nodes.iter().map(|url| (*url).clone()).collect(),
            interval: Duration::from_millis(250),
            timeout,
            theme: Theme::new(ThemeName::Dark, false),
            format: Format::Text,
            token: None,
            topics: Vec::new(),
            mask: false,
            run: None,
            record: None,
            replay: None,
            speed: 1.0,
            keymap: Keymap::default(),
        };
        let cluster = read(&settings).await.unwrap();
        let report = Report::new(&cluster);
        (cluster, report)
    }

    #[tokio::test]
    async fn a_node_that_is_up_is_read_twice_for_its_rates() {
        let server = Server::up("node-1").await;
        let (cluster, report) = reading_of(&[&server.url], PATIENT).await;
        assert_eq!((report.cluster.up, report.cluster.nodes, server.asked()), (1, 1, 2));
        let figures = report.nodes[0].figures.as_ref().unwrap();
        assert_eq!((figures.connections, figures.cpu_percent), (15_040, Some(0.0)));
        assert!(figures.out_per_second.unwrap() > 0.0, "1,000 more events at the second look");
        let table = table(&cluster, &report);
        let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], HEADER);
        assert_eq!(rows[1][..4], ["node-1", server.url.short().as_str(), "UP", "15040"]);
        assert_eq!(rows[2][..4], ["CLUSTER", "-", "1/1", "15040"]);
        assert!(rows.iter().all(|row| row.len() == HEADER.len()), "{table}");
    }

    #[tokio::test]
    async fn one_address_is_enough() {
        let (second, gone) = (Server::up("node-2").await, Server::up("node-3").await);
        let unreachable = gone.url.clone();
        gone.stop().await;
        let roster = vec![("node-2".to_owned(), second.url.clone()), ("node-3".to_owned(), unreachable)];
        let first = Server::node("node-1", Some(roster)).await;
        let (cluster, report) = reading_of(&[&first.url], PATIENT).await;
        let nodes: Vec<_> = report.nodes.iter().map(|node| (node.id.as_deref().unwrap(), node.up)).collect();
        assert_eq!(nodes, [("node-1", true), ("node-2", true), ("node-3", false)]);
        assert_eq!(report.cluster.connections, 30_080);
        let table = table(&cluster, &report);
        assert!(table.lines().nth(3).unwrap().ends_with("-  connection refused"), "{table}");
        assert!(table.contains("2/3"), "{table}");
    }

    #[tokio::test]
    async fn a_node_that_hangs_is_down_and_holds_nobody_up() {
        let (up, hanging) = (Server::up("node-1").await, Server::hanging().await);
        let (_, report) = reading_of(&[&hanging.url, &up.url], Duration::from_secs(2)).await;
        let down = report.nodes.iter().find(|node| !node.up).unwrap();
        assert_eq!((down.state.as_str(), down.error.as_deref()), ("DOWN", Some("no answer within 2000 ms")));
        assert!(down.figures.is_none());
        assert_eq!(report.cluster.up, 1);
    }

    #[tokio::test]
    async fn the_json_has_the_keys_that_are_promised() {
        let (up, bad) = (Server::up("node-1").await, Server::answering(500, "").await);
        let (_, report) = reading_of(&[&up.url, &bad.url], PATIENT).await;
        let mut json = serde_json::to_value(&report).unwrap();
        // What differs from run to run.
        for node in json["nodes"].as_array_mut().unwrap() {
            node["url"] = "URL".into();
            if node["up"] == true {
                node["rttMs"] = 1.0.into();
                node["outPerSecond"] = 1.0.into();
            }
        }
        json["at"] = 0.into();
        json["cluster"]["alerts"][0]["subject"] = "HOST:PORT".into();
        json["cluster"]["outPerSecond"] = 1.0.into();
        insta::assert_snapshot!("once_json", serde_json::to_string_pretty(&json).unwrap());
    }
}
