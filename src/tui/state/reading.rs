//! A reading: the figures of a node at one moment, with sanitised texts, or the error that prevented it.
//! `sources::fetch` asks the node. Pure. Read [`Reading`] first.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use crate::protocol::NodeId;
use crate::protocol::api::{HistogramDump, LogMetrics, LogServer, NodeMetrics, Servers};
use crate::tui::text::sanitize::SafeText;
use crate::tui::text::url::NodeUrl;

/// The figures of a node at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) id: NodeId,
    pub(crate) name: SafeText,
    pub(crate) serving: Serving,
    pub(crate) version: SafeText,
    pub(crate) uptime: Duration,
    pub(crate) counters: Counters,
    pub(crate) connections: u64,
    pub(crate) lag: u64,
    /// By reason, as the node names them.
    pub(crate) gaps: Vec<(SafeText, u64)>,
    /// By reason, as the node names them.
    pub(crate) closed: Vec<(SafeText, u64)>,
    /// By reason, as the node names them.
    pub(crate) rejected: Vec<(SafeText, u64)>,
    pub(crate) latency: Latency,
    pub(crate) rss: u64,
    pub(crate) open_files: u64,
    pub(crate) window_frames: u64,
    pub(crate) window_bytes: u64,
    pub(crate) log: Log,
    /// The nodes that this one knows of, or why its roster could not be read.
    pub(crate) roster: Result<Vec<Peer>, FetchError>,
    /// Whether the roster is an old one, because the node cannot read a new one.
    pub(crate) is_roster_stale: bool,
    /// Ids that several nodes use at the same time.
    pub(crate) duplicates: Vec<SafeText>,
}

/// Counters since the node's start.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Counters {
    pub(crate) published: u64,
    /// Events read from the log.
    pub(crate) tailed: u64,
    pub(crate) sent: u64,
    pub(crate) bytes: u64,
    pub(crate) opened: u64,
    pub(crate) cpu_seconds: f64,
}

/// The state that a node reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Serving {
    Ready,
    Starting,
    Degraded,
    Draining,
    /// Another word, which this version of the console does not know.
    Other(SafeText),
}

/// Delivery latency of the last minute; histograms hold microseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "RecordedLatency", into = "RecordedLatency")]
pub(crate) enum Latency {
    /// Nothing was delivered.
    Quiet,
    Known(Arc<Histogram<u64>>),
    /// The summary of a histogram that the history keeps.
    Kept(Quantiles),
    /// The node did not send a valid histogram, for this reason.
    Unreadable(SafeText),
}

/// A histogram in four numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    pub(crate) count: u64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

/// [`Latency`] as a recording holds it.
#[derive(Serialize, Deserialize)]
enum RecordedLatency {
    Quiet,
    /// HdrHistogram V2 DEFLATE in base64.
    Known(String),
    Kept(Quantiles),
    Unreadable(SafeText),
}

/// The log, as the node's broker sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Log {
    pub(crate) broker: SafeText,
    pub(crate) epoch: SafeText,
    pub(crate) length: u64,
    pub(crate) bytes: u64,
    pub(crate) oldest: SafeText,
    pub(crate) newest: SafeText,
    pub(crate) mailboxes: u64,
    pub(crate) mailbox_messages: u64,
    pub(crate) histories_ended: u64,
    pub(crate) appended_again: u64,
    /// Round trip from the node to the log; `None` when the log did not answer in time.
    pub(crate) rtt: Option<Duration>,
    pub(crate) server: Option<BrokerServer>,
}

/// The server that keeps the log, by its own figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BrokerServer {
    pub(crate) place: SafeText,
    pub(crate) version: SafeText,
    pub(crate) uptime: Duration,
    pub(crate) memory: u64,
    /// Bytes; 0 means no limit.
    pub(crate) memory_max: u64,
    pub(crate) clients: u64,
    pub(crate) commands_per_second: u64,
    pub(crate) replicas: u64,
    /// Whether its last write to disk succeeded.
    pub(crate) saves: bool,
}

/// A node in another node's roster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    /// `None` when the roster does not hold a valid URL of a node.
    pub(crate) url: Option<NodeUrl>,
}

/// Why a request to a node failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FetchError {
    /// No answer within this time.
    Timeout(Duration),
    /// Nothing listens at this address.
    Refused,
    /// No connection, for the reason given.
    Unreachable(SafeText),
    /// Another status than 200.
    Status(u16),
    /// The answer was longer than this many bytes.
    TooLong(usize),
    /// The answer was not the expected JSON.
    BadJson(SafeText),
}

impl FetchError {
    /// The error in one or two words, for tables.
    pub(crate) fn short(&self) -> String {
        match self {
            Self::Timeout(_) => "timeout".to_owned(),
            Self::Refused => "refused".to_owned(),
            Self::Unreachable(_) => "unreachable".to_owned(),
            Self::Status(status) => format!("HTTP {status}"),
            Self::TooLong(_) => "too long".to_owned(),
            Self::BadJson(_) => "bad JSON".to_owned(),
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(after) => write!(f, "no answer within {} ms", after.as_millis()),
            Self::Refused => f.write_str("connection refused"),
            Self::Unreachable(why) => write!(f, "cannot connect: {why}"),
            Self::Status(status) => write!(f, "it answered HTTP {status}"),
            Self::TooLong(limit) => write!(f, "its answer is longer than {limit} bytes"),
            Self::BadJson(why) => write!(f, "its answer is invalid: {why}"),
        }
    }
}

impl Reading {
    /// Combines the two answers of a node.
    pub(crate) fn new(metrics: NodeMetrics, roster: Result<Servers, FetchError>) -> Self {
        Self {
            name: SafeText::new(&metrics.instance_name),
            serving: Serving::new(&metrics.state),
            version: SafeText::new(&metrics.version),
            uptime: Duration::from_secs(metrics.uptime),
            counters: Counters {
                published: metrics.total_messages_published,
                tailed: metrics.total_messages_tailed,
                sent: metrics.total_messages_sent,
                bytes: metrics.total_bytes_sent,
                opened: metrics.total_connections,
                cpu_seconds: metrics.cpu_seconds,
            },
            connections: metrics.active_connections,
            lag: metrics.tail_lag,
            gaps: by_reason(&metrics.gaps),
            closed: by_reason(&metrics.closed),
            rejected: by_reason(&metrics.rejected),
            latency: Latency::new(&metrics.delivery_latency),
            rss: metrics.memory_usage.used,
            open_files: metrics.open_files,
            window_frames: metrics.window_frames,
            window_bytes: metrics.window_bytes,
            log: Log::new(&metrics.log),
            is_roster_stale: roster.as_ref().is_ok_and(|servers| servers.stale),
            duplicates: roster.as_ref().map_or_else(
                |_| Vec::new(),
                |servers| servers.duplicates.iter().map(|id| SafeText::new(id.as_str())).collect(),
            ),
            roster: roster.map(peers),
            id: metrics.instance_id,
        }
    }

    /// `GAP` events sent, for any reason.
    pub(crate) fn gaps_total(&self) -> u64 {
        self.gaps.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The reading in the form that the history keeps: without histogram and roster.
    pub(crate) fn summary(&self) -> Self {
        Self { latency: self.latency.summary(), roster: Ok(Vec::new()), ..self.clone() }
    }

    /// Streams refused, for any reason.
    pub(crate) fn rejected_total(&self) -> u64 {
        self.rejected.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Streams closed because their reader was too slow.
    pub(crate) fn closed_slow(&self) -> u64 {
        self.closed.iter().find(|(reason, _)| reason.as_str() == "slow").map_or(0, |(_, count)| *count)
    }
}

impl Log {
    fn new(log: &LogMetrics) -> Self {
        Self {
            broker: SafeText::new(&log.broker),
            epoch: SafeText::new(&log.epoch),
            length: log.length,
            bytes: log.bytes,
            oldest: SafeText::new(log.oldest.as_str()),
            newest: SafeText::new(log.newest.as_str()),
            mailboxes: log.mailboxes,
            mailbox_messages: log.mailbox_messages,
            histories_ended: log.histories_ended,
            appended_again: log.appended_again,
            rtt: log.rtt_us.map(Duration::from_micros),
            server: log.server.as_ref().map(BrokerServer::new),
        }
    }
}

impl BrokerServer {
    fn new(server: &LogServer) -> Self {
        Self {
            place: SafeText::new(&server.place),
            version: SafeText::new(&server.version),
            uptime: Duration::from_secs(server.uptime),
            memory: server.memory,
            memory_max: server.memory_max,
            clients: server.clients,
            commands_per_second: server.commands_per_second,
            replicas: server.replicas,
            saves: server.saves,
        }
    }
}

impl Serving {
    fn new(word: &str) -> Self {
        match word {
            "ready" => Self::Ready,
            "starting" => Self::Starting,
            "degraded" => Self::Degraded,
            "draining" => Self::Draining,
            other => Self::Other(SafeText::new(other)),
        }
    }
}

impl Latency {
    fn new(dump: &HistogramDump) -> Self {
        if dump.count == 0 {
            return Self::Quiet;
        }
        Self::decoded(&dump.hdr)
    }

    fn decoded(hdr: &str) -> Self {
        let bytes = match base64::engine::general_purpose::STANDARD.decode(hdr) {
            Ok(bytes) => bytes,
            Err(error) => return Self::Unreadable(SafeText::new(&error.to_string())),
        };
        match Deserializer::new().deserialize(&mut bytes.as_slice()) {
            Ok(histogram) => Self::Known(Arc::new(histogram)),
            Err(error) => Self::Unreadable(SafeText::new(&error.to_string())),
        }
    }

    /// Number of deliveries.
    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::Quiet | Self::Unreadable(_) => 0,
            Self::Known(histogram) => histogram.len(),
            Self::Kept(quantiles) => quantiles.count,
        }
    }

    fn summary(&self) -> Self {
        let quantile = |q| self.quantile(q).unwrap_or_default();
        match self {
            Self::Known(_) => Self::Kept(Quantiles {
                count: self.count(),
                p50: quantile(0.5),
                p99: quantile(0.99),
                max: quantile(1.0),
            }),
            Self::Quiet | Self::Unreadable(_) | Self::Kept(_) => self.clone(),
        }
    }

    /// This quantile; `None` when nothing was delivered. A kept summary has only 0.5, 0.99 and 1.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<Duration> {
        match self {
            Self::Quiet | Self::Unreadable(_) => None,
            Self::Known(histogram) => quantile_of(histogram, quantile),
            Self::Kept(kept) if quantile <= 0.5 => Some(kept.p50),
            Self::Kept(kept) if quantile < 1.0 => Some(kept.p99),
            Self::Kept(kept) => Some(kept.max),
        }
    }
}

impl From<RecordedLatency> for Latency {
    fn from(recorded: RecordedLatency) -> Self {
        match recorded {
            RecordedLatency::Quiet => Self::Quiet,
            RecordedLatency::Known(hdr) => Self::decoded(&hdr),
            RecordedLatency::Kept(quantiles) => Self::Kept(quantiles),
            RecordedLatency::Unreadable(why) => Self::Unreadable(why),
        }
    }
}

impl From<Latency> for RecordedLatency {
    fn from(latency: Latency) -> Self {
        match latency {
            Latency::Quiet => Self::Quiet,
            Latency::Kept(quantiles) => Self::Kept(quantiles),
            Latency::Unreadable(why) => Self::Unreadable(why),
            Latency::Known(histogram) => {
                let mut bytes = Vec::new();
                match V2DeflateSerializer::new().serialize(&*histogram, &mut bytes) {
                    Ok(_) => Self::Known(base64::engine::general_purpose::STANDARD.encode(bytes)),
                    Err(error) => Self::Unreadable(SafeText::new(&format!("{error:?}"))),
                }
            }
        }
    }
}

/// A quantile of a histogram of microseconds; `None` when it is empty.
pub(crate) fn quantile_of(histogram: &Histogram<u64>, quantile: f64) -> Option<Duration> {
    (!histogram.is_empty()).then(|| Duration::from_micros(histogram.value_at_quantile(quantile)))
}

/// The reasons that occurred, most frequent first.
fn by_reason(counts: &BTreeMap<String, u64>) -> Vec<(SafeText, u64)> {
    let mut reasons: Vec<_> = counts.iter().filter(|(_, count)| **count > 0).collect();
    reasons.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    reasons.into_iter().map(|(reason, count)| (SafeText::new(reason), *count)).collect()
}

fn peers(servers: Servers) -> Vec<Peer> {
    let peer =
        |server: crate::protocol::api::Server| Peer { url: server.url.parse().ok(), id: server.instance_id };
    servers.available_servers.into_iter().map(peer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::state::tests::fixture;

    #[test]
    fn texts_of_a_node_are_harmless_in_a_reading() {
        let mut metrics = fixture::metrics("node-1", 1);
        metrics.instance_name = "n\x1b[2J".to_owned();
        metrics.state = "re\x07ady".to_owned();
        metrics.version = "1\u{202e}0".to_owned();
        metrics.log.broker = "re\0dis".to_owned();
        metrics.gaps.insert("tri\rmmed".to_owned(), 3);
        metrics.closed.insert("sl\now".to_owned(), 2);
        let reading = Reading::new(metrics, Err(FetchError::Refused));
        let debug = format!("{reading:?}");
        // Debug escapes a backslash once more; what it must not hold is a single one before a control escape.
        for raw in ["\x1b", "\x07", "\u{202e}", "\0", "\r", "\n"] {
            assert!(!debug.contains(raw));
        }
        assert_eq!(reading.name.as_str(), "n\\u{1b}[2J");
        assert!(matches!(&reading.serving, Serving::Other(word) if word.as_str() == "re\\u{7}ady"));
        assert_eq!(reading.gaps[0].0.as_str(), "tri\\rmmed");
        assert!(reading.closed.iter().any(|(reason, _)| reason.as_str() == "sl\\now"));
        assert_eq!(reading.log.broker.as_str(), "re\\u{0}dis");
    }

    #[test]
    fn quantiles_come_from_the_histogram_and_not_from_the_figures_for_people() {
        let mut metrics = fixture::metrics("node-1", 1);
        metrics.delivery_latency = fixture::dump((1..=1000).map(|n| n * 10));
        metrics.delivery_latency.p99_us = 77;
        let reading = Reading::new(metrics, Err(FetchError::Refused));
        let p99 = reading.latency.quantile(0.99).unwrap();
        assert!((9_890..9_920).contains(&p99.as_micros()), "{p99:?}");
    }

    #[test]
    fn a_histogram_that_is_none_is_said_to_be_unreadable() {
        for hdr in ["", "!!", "AAAA", "HISTF"] {
            let dump = HistogramDump { count: 3, hdr: hdr.to_owned(), ..HistogramDump::default() };
            assert!(matches!(Latency::new(&dump), Latency::Unreadable(_)), "{hdr}");
        }
        assert!(matches!(Latency::new(&HistogramDump::default()), Latency::Quiet));
    }

    #[test]
    fn a_roster_row_without_a_usable_url_is_kept_without_it() {
        let servers = fixture::servers(&[("node-1", "http://127.0.0.1:1"), ("node-2", "ftp://x")]);
        let reading = Reading::new(fixture::metrics("node-1", 1), Ok(servers));
        let peers = reading.roster.unwrap();
        assert!(peers[0].url.is_some() && peers[1].url.is_none());
    }
}
