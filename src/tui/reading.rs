//! What one look at a node gave: figures whose texts are harmless already, or the trouble that prevented it.
//! Read [`Reading`] first. Pure: whoever asks the node is `fetch`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use super::plain::Plain;
use super::url::NodeUrl;
use crate::protocol::NodeId;
use crate::protocol::api::{HistogramDump, LogMetrics, LogServer, NodeMetrics, Servers};

/// The figures of a node at one moment. Counters count since the node's start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) id: NodeId,
    pub(crate) name: Plain,
    pub(crate) serving: Serving,
    pub(crate) version: Plain,
    pub(crate) uptime: Duration,
    pub(crate) counters: Counters,
    pub(crate) connections: u64,
    pub(crate) lag: u64,
    /// By reason, as the node names them.
    pub(crate) gaps: Vec<(Plain, u64)>,
    /// By reason, as the node names them.
    pub(crate) closed: Vec<(Plain, u64)>,
    /// By reason, as the node names them.
    pub(crate) rejected: Vec<(Plain, u64)>,
    pub(crate) latency: Latency,
    pub(crate) rss: u64,
    pub(crate) open_files: u64,
    pub(crate) window_frames: u64,
    pub(crate) window_bytes: u64,
    pub(crate) log: Log,
    /// The nodes that this one knows of, or why it did not tell.
    pub(crate) roster: Result<Vec<Peer>, Trouble>,
    /// The roster is what was known last, since it cannot be read now.
    pub(crate) is_roster_stale: bool,
    /// Ids that several nodes have at once.
    pub(crate) duplicates: Vec<Plain>,
}

/// What only grows while a node lives.
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

/// What the node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Serving {
    Ready,
    Starting,
    Degraded,
    Draining,
    /// A word that this console does not know.
    Other(Plain),
}

/// Delivery latency of the last minute, in microseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "RecordedLatency", into = "RecordedLatency")]
pub(crate) enum Latency {
    /// Nothing was delivered.
    Quiet,
    Known(Arc<Histogram<u64>>),
    /// What is left of a histogram when it is only looked back at.
    Kept(Quantiles),
    /// The node sent something that is not a histogram.
    Unreadable(Plain),
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
    Unreadable(Plain),
}

/// The log, as the node's broker sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Log {
    pub(crate) broker: Plain,
    pub(crate) epoch: Plain,
    pub(crate) length: u64,
    pub(crate) bytes: u64,
    pub(crate) oldest: Plain,
    pub(crate) newest: Plain,
    pub(crate) mailboxes: u64,
    pub(crate) mailbox_messages: u64,
    pub(crate) histories_ended: u64,
    pub(crate) appended_again: u64,
    /// How long it took to say this; `None` when it did not answer in time.
    pub(crate) rtt: Option<Duration>,
    pub(crate) server: Option<StoreServer>,
}

/// The server that keeps the log, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoreServer {
    pub(crate) place: Plain,
    pub(crate) version: Plain,
    pub(crate) uptime: Duration,
    pub(crate) memory: u64,
    /// 0: no limit.
    pub(crate) memory_max: u64,
    pub(crate) clients: u64,
    pub(crate) commands_per_second: u64,
    pub(crate) replicas: u64,
    /// Its last write to disk succeeded.
    pub(crate) saves: bool,
}

/// A node in another node's roster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    /// `None` when what the roster holds is not a URL that can be asked.
    pub(crate) url: Option<NodeUrl>,
}

/// Why a node did not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Trouble {
    /// No answer within this time.
    Timeout(Duration),
    /// Nobody listens there.
    Refused,
    /// No connection, for the reason given.
    Unreachable(Plain),
    /// Another status than 200.
    Status(u16),
    /// The answer was longer than this many bytes.
    TooLong(usize),
    /// The answer was not the JSON that it should be.
    BadJson(Plain),
}

impl Trouble {
    /// One or two words.
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

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(after) => write!(f, "no answer within {} ms", after.as_millis()),
            Self::Refused => f.write_str("connection refused"),
            Self::Unreachable(why) => write!(f, "cannot connect: {why}"),
            Self::Status(status) => write!(f, "it answered HTTP {status}"),
            Self::TooLong(limit) => write!(f, "its answer is longer than {limit} bytes"),
            Self::BadJson(why) => write!(f, "its answer is not what a node sends: {why}"),
        }
    }
}

impl Reading {
    /// Puts the two answers of a node together.
    pub(crate) fn new(metrics: NodeMetrics, roster: Result<Servers, Trouble>) -> Self {
        Self {
            name: Plain::new(&metrics.instance_name),
            serving: Serving::new(&metrics.state),
            version: Plain::new(&metrics.version),
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
                |servers| servers.duplicates.iter().map(|id| Plain::new(id.as_str())).collect(),
            ),
            roster: roster.map(peers),
            id: metrics.instance_id,
        }
    }

    /// `GAP` events sent, whatever the reason.
    pub(crate) fn gaps_total(&self) -> u64 {
        self.gaps.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The same without its histogram and roster: what is kept for looking back.
    pub(crate) fn summary(&self) -> Self {
        Self { latency: self.latency.summary(), roster: Ok(Vec::new()), ..self.clone() }
    }

    /// Streams that were refused, whatever the reason.
    pub(crate) fn rejected_total(&self) -> u64 {
        self.rejected.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Streams that were closed because their reader was too slow.
    pub(crate) fn closed_slow(&self) -> u64 {
        self.closed.iter().find(|(reason, _)| reason.as_str() == "slow").map_or(0, |(_, count)| *count)
    }
}

impl Log {
    fn new(log: &LogMetrics) -> Self {
        Self {
            broker: Plain::new(&log.broker),
            epoch: Plain::new(&log.epoch),
            length: log.length,
            bytes: log.bytes,
            oldest: Plain::new(log.oldest.as_str()),
            newest: Plain::new(log.newest.as_str()),
            mailboxes: log.mailboxes,
            mailbox_messages: log.mailbox_messages,
            histories_ended: log.histories_ended,
            appended_again: log.appended_again,
            rtt: log.rtt_us.map(Duration::from_micros),
            server: log.server.as_ref().map(StoreServer::new),
        }
    }
}

impl StoreServer {
    fn new(server: &LogServer) -> Self {
        Self {
            place: Plain::new(&server.place),
            version: Plain::new(&server.version),
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
            other => Self::Other(Plain::new(other)),
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
            Err(error) => return Self::Unreadable(Plain::new(&error.to_string())),
        };
        match Deserializer::new().deserialize(&mut bytes.as_slice()) {
            Ok(histogram) => Self::Known(Arc::new(histogram)),
            Err(error) => Self::Unreadable(Plain::new(&error.to_string())),
        }
    }

    /// Deliveries in it.
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

    /// This quantile, when something was delivered.
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
                    Err(error) => Self::Unreadable(Plain::new(&format!("{error:?}"))),
                }
            }
        }
    }
}

/// A quantile of a histogram of microseconds; nothing when it is empty.
pub(crate) fn quantile_of(histogram: &Histogram<u64>, quantile: f64) -> Option<Duration> {
    (!histogram.is_empty()).then(|| Duration::from_micros(histogram.value_at_quantile(quantile)))
}

/// The reasons that occurred, the most frequent first.
fn by_reason(counts: &BTreeMap<String, u64>) -> Vec<(Plain, u64)> {
    let mut reasons: Vec<_> = counts.iter().filter(|(_, count)| **count > 0).collect();
    reasons.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    reasons.into_iter().map(|(reason, count)| (Plain::new(reason), *count)).collect()
}

fn peers(servers: Servers) -> Vec<Peer> {
    let peer =
        |server: crate::protocol::api::Server| Peer { url: server.url.parse().ok(), id: server.instance_id };
    servers.available_servers.into_iter().map(peer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture;

    #[test]
    fn texts_of_a_node_are_harmless_in_a_reading() {
        let mut metrics = fixture::metrics("node-1", 1);
        metrics.instance_name = "n\x1b[2J".to_owned();
        metrics.state = "re\x07ady".to_owned();
        metrics.version = "1\u{202e}0".to_owned();
        metrics.log.broker = "re\0dis".to_owned();
        metrics.gaps.insert("tri\rmmed".to_owned(), 3);
        metrics.closed.insert("sl\now".to_owned(), 2);
        let reading = Reading::new(metrics, Err(Trouble::Refused));
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
        let reading = Reading::new(metrics, Err(Trouble::Refused));
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
