//! How kinds of clients behave when a stream ends or is refused, as measured with real ones. A pure state machine: the
//! caller waits and connects. Read [`Reconnect`] first.

use std::fmt;
use std::time::Duration;

use rand::{Rng, RngExt as _};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};

use super::connect::ConnectError;
use super::stream::{Ending, Received};
use crate::protocol::Item;
use crate::runtime::Backoff;

/// The kind of client that is imitated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// EventSource of Chromium, Firefox, WebKit, Node and npm `eventsource`: back after `retry:` when a stream ends,
    /// however it ends, or cannot be reached; anything but 200 and the right type is final, also a 503.
    #[default]
    Browser,
    /// `@microsoft/fetch-event-source`: back after a fixed delay whatever happened, also a 204 or a 404; but a
    /// clean end is the end.
    Fetch,
    /// A careful client: as a browser when a stream ends; 5xx, 408, 425 and 429 are retried with full jitter, no
    /// sooner than `Retry-After`. 204 and other refusals are final.
    Tolerant,
    /// Connects once and never again.
    None,
}

/// Bounds and jitter of the waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReconnectOptions {
    /// The wait until a server says `retry:`; `None`: as the policy's clients have it, 3 s, or 1 s for fetch and
    /// tolerant ones. Also where the backoff of a tolerant client starts.
    pub default_retry: Option<Duration>,
    /// No wait is shorter, whatever the server says: `retry: 0` would be a hot loop. Firefox has 500 ms too.
    pub min_delay: Duration,
    /// No wait is longer, whatever the server says.
    pub max_delay: Duration,
    /// Every wait is stretched by up to this share, at random: 0.5 makes 3 s 3 to 4.5 s. Browsers have none.
    pub jitter: f64,
    /// Whether the last event id is remembered and sent.
    pub send_last_event_id: bool,
}

impl Default for ReconnectOptions {
    fn default() -> Self {
        Self {
            default_retry: None,
            min_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(600),
            jitter: 0.0,
            send_last_event_id: true,
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    /// The attempt did not become a stream.
    NotOpened(&'a ConnectError),
    /// The stream was open.
    Ended(&'a Ending),
}

impl<'a> From<&'a ConnectError> for End<'a> {
    fn from(error: &'a ConnectError) -> Self {
        Self::NotOpened(error)
    }
}

impl<'a> From<&'a Ending> for End<'a> {
    fn from(ending: &'a Ending) -> Self {
        Self::Ended(ending)
    }
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Connect again after this wait.
    RetryIn(Duration),
    /// Do not connect again, for this reason.
    GiveUp(GiveUp),
}

/// Why a client does not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// The stream ended cleanly, which is final for this kind of client.
    Finished,
    /// The server answered with a status that is final for this kind of client; 204 asks for exactly that.
    Status(StatusCode),
    /// The response is not an event stream.
    ContentType,
    /// The request itself cannot be sent.
    Request,
    /// The decoder cannot read this stream, and will not be able to next time.
    Decoder,
    /// This kind of client connects only once.
    Once,
}

impl fmt::Display for GiveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => {
                f.write_str("this client does not reconnect after the server ended the stream properly")
            }
            Self::Status(status) => write!(f, "status {status} is final for this client"),
            Self::ContentType => f.write_str("the response is not an event stream"),
            Self::Request => f.write_str("the request cannot be sent"),
            Self::Decoder => f.write_str("the stream cannot be read"),
            Self::Once => f.write_str("this client connects only once"),
        }
    }
}

/// The memory of a client between its connections: cursor, reconnection time, failed attempts.
#[derive(Debug, Clone)]
pub struct Reconnect {
    policy: Policy,
    options: ReconnectOptions,
    retry: Option<Duration>,
    last_event_id: String,
    backoff: Backoff,
}

impl Reconnect {
    /// A client that has not connected yet. A `max_delay` below `min_delay` counts as equal to it, a jitter that is
    /// negative or not a number as none.
    #[must_use]
    pub fn new(policy: Policy, options: ReconnectOptions) -> Self {
        let min_delay = options.min_delay.max(Duration::from_millis(1));
        let max_delay = options.max_delay.max(min_delay);
        let jitter = if options.jitter.is_finite() { options.jitter.max(0.0) } else { 0.0 };
        let options = ReconnectOptions { min_delay, max_delay, jitter, ..options };
        let first = default_retry(policy, &options).clamp(min_delay, max_delay);
        let backoff =
            Backoff::new(first, max_delay).expect("both were put in order just now, and are not zero");
        Self { policy, options, retry: None, last_event_id: String::new(), backoff }
    }

    /// Remembers cursor and reconnection time. Must be called for everything that a stream returns.
    pub fn learn(&mut self, received: &Received) {
        self.learn_of(&received.as_item());
    }

    /// As [`Self::learn`], for a borrowed item.
    pub fn learn_of(&mut self, item: &Item<'_>) {
        match item {
            Item::Event { last_event_id, .. } => {
                self.backoff.reset();
                if self.last_event_id != *last_event_id {
                    (*last_event_id).clone_into(&mut self.last_event_id);
                }
            }
            Item::Comment(_) => self.backoff.reset(),
            Item::Retry(time) => self.retry = Some(*time),
            Item::IdCommitted(id) => (*id).clone_into(&mut self.last_event_id),
        }
    }

    /// Decides what this kind of client does now.
    pub fn after<'a>(&mut self, end: impl Into<End<'a>>, rng: &mut impl Rng) -> Decision {
        let end = end.into();
        if let Some(why) = self.is_final(end) {
            return Decision::GiveUp(why);
        }
        let told = match (self.policy, end) {
            (Policy::Tolerant, End::NotOpened(error)) => {
                // Clients that got the same `Retry-After` would come back together; the backoff on top spreads them.
                retry_after(error).unwrap_or_default() + self.backoff.next_wait(rng)
            }
            (Policy::Tolerant, End::Ended(_)) if self.retry.is_none() => self.backoff.next_wait(rng),
            (Policy::Browser | Policy::Fetch | Policy::Tolerant | Policy::None, _) => {
                self.retry.unwrap_or_else(|| default_retry(self.policy, &self.options))
            }
        };
        Decision::RetryIn(self.stretched(told, rng))
    }

    /// Value of `Last-Event-ID` for the next request. Empty: do not send the header.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        if self.options.send_last_event_id { &self.last_event_id } else { "" }
    }

    /// Starts from a cursor that an earlier process kept.
    pub fn set_last_event_id(&mut self, last_event_id: &str) {
        last_event_id.clone_into(&mut self.last_event_id);
    }

    /// The reconnection time that the server gave last. It holds for later connections too.
    #[must_use]
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.retry
    }

    /// The kind of client.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    fn is_final(&self, end: End<'_>) -> Option<GiveUp> {
        match (self.policy, end) {
            (Policy::None, _) => Some(GiveUp::Once),
            (_, End::NotOpened(ConnectError::Request { .. })) => Some(GiveUp::Request),
            (
                _,
                End::Ended(
                    Ending::LimitExceeded(_) | Ending::Malformed { .. } | Ending::DecoderPanicked { .. },
                ),
            ) => Some(GiveUp::Decoder),
            (Policy::Fetch, End::Ended(Ending::Clean)) => Some(GiveUp::Finished),
            (Policy::Browser, End::NotOpened(ConnectError::Status { status, .. })) => {
                Some(GiveUp::Status(*status))
            }
            (Policy::Tolerant, End::NotOpened(ConnectError::Status { status, .. })) => {
                (!is_temporary(*status)).then_some(GiveUp::Status(*status))
            }
            (Policy::Browser | Policy::Tolerant, End::NotOpened(ConnectError::ContentType { .. })) => {
                Some(GiveUp::ContentType)
            }
            (_, End::NotOpened(ConnectError::Coding { .. })) => Some(GiveUp::Decoder),
            (
                Policy::Browser | Policy::Tolerant | Policy::Fetch,
                End::NotOpened(
                    ConnectError::Refused { .. }
                    | ConnectError::Broken { .. }
                    | ConnectError::Timeout { .. }
                    | ConnectError::Status { .. }
                    | ConnectError::ContentType { .. },
                )
                | End::Ended(Ending::Clean | Ending::Aborted { .. } | Ending::Idle { .. }),
            ) => None,
        }
    }

    fn stretched(&self, wait: Duration, rng: &mut impl Rng) -> Duration {
        let wait = wait.clamp(self.options.min_delay, self.options.max_delay);
        // Draws nothing without jitter, so that a seeded run without jitter does not depend on other draws.
        if self.options.jitter == 0.0 {
            return wait;
        }
        let stretch = 1.0 + rng.random_range(0.0..=self.options.jitter);
        // Saturates where the product leaves the range of durations.
        let stretched = Duration::try_from_secs_f64(wait.as_secs_f64() * stretch).unwrap_or(Duration::MAX);
        stretched.min(self.options.max_delay)
    }
}

fn default_retry(policy: Policy, options: &ReconnectOptions) -> Duration {
    options.default_retry.unwrap_or(match policy {
        Policy::Browser | Policy::None => Duration::from_secs(3),
        Policy::Fetch | Policy::Tolerant => Duration::from_secs(1),
    })
}

/// Whether a status may be another one soon: the server starts, is busy, or lets nobody in for a while.
pub(super) fn is_temporary(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
}

fn retry_after(error: &ConnectError) -> Option<Duration> {
    match error {
        ConnectError::Status { retry_after, .. } => *retry_after,
        ConnectError::Request { .. }
        | ConnectError::Refused { .. }
        | ConnectError::Broken { .. }
        | ConnectError::Timeout { .. }
        | ConnectError::ContentType { .. }
        | ConnectError::Coding { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha8Rng;

    use super::super::stream::Event;
    use super::*;
    use crate::protocol::LimitExceeded;

    const RETRY: Duration = Duration::from_secs(7);

    fn not_opened(name: &str) -> ConnectError {
        let url: reqwest::Url = "http://127.0.0.1/".parse().unwrap();
        let source = || "a cause".into();
        match name {
            "refused" => ConnectError::Refused { url, source: source() },
            "broken" => ConnectError::Broken { url, source: source() },
            "timeout" => ConnectError::Timeout { url, limit: RETRY },
            "type" => ConnectError::ContentType { url, head: Box::default(), content_type: None },
            "request" => ConnectError::Request { url, why: String::new() },
            status => {
                let status = StatusCode::from_bytes(status.as_bytes()).unwrap();
                ConnectError::Status { url, status, head: Box::default(), retry_after: None }
            }
        }
    }

    fn ended(name: &str) -> Option<Ending> {
        let reason = String::new();
        Some(match name {
            "clean" => Ending::Clean,
            "abort" => Ending::Aborted { reason },
            "idle" => Ending::Idle { after: RETRY },
            "limit" => Ending::LimitExceeded(LimitExceeded::Line { max: 1 }),
            "panic" => Ending::DecoderPanicked { reason },
            "malformed" => Ending::Malformed { reason },
            _ => return None,
        })
    }

    fn decide(reconnect: &mut Reconnect, name: &str) -> Decision {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        match ended(name) {
            Some(ending) => reconnect.after(&ending, &mut rng),
            None => reconnect.after(&not_opened(name), &mut rng),
        }
    }

    /// How each of the ends is answered, before and after the server has said `retry: 7000`.
    #[track_caller]
    fn check(policy: Policy, default: u64, ends: &[&str]) {
        for name in ends {
            let mut reconnect = Reconnect::new(policy, ReconnectOptions::default());
            let decision = decide(&mut reconnect, name);
            assert_eq!(decision, Decision::RetryIn(Duration::from_secs(default)), "{policy:?} {name}");
            reconnect.learn(&Received::Retry(RETRY));
            assert_eq!(decide(&mut reconnect, name), Decision::RetryIn(RETRY), "{policy:?} {name}, told");
        }
    }

    #[track_caller]
    fn check_final(policy: Policy, ends: &[(&str, GiveUp)]) {
        for (name, why) in ends {
            let mut reconnect = Reconnect::new(policy, ReconnectOptions::default());
            assert_eq!(decide(&mut reconnect, name), Decision::GiveUp(*why), "{policy:?} {name}");
        }
    }

    fn status(code: u16) -> GiveUp {
        GiveUp::Status(StatusCode::from_u16(code).unwrap())
    }

    const UNREADABLE: [(&str, GiveUp); 4] = [
        ("limit", GiveUp::Decoder),
        ("panic", GiveUp::Decoder),
        ("malformed", GiveUp::Decoder),
        ("request", GiveUp::Request),
    ];

    #[test]
    fn a_browser_comes_back_from_every_end_and_from_no_refusal() {
        check(Policy::Browser, 3, &["clean", "abort", "idle", "refused", "broken", "timeout"]);
        check_final(Policy::Browser, &[("type", GiveUp::ContentType)]);
        check_final(Policy::Browser, &UNREADABLE);
        for code in [204, 205, 210, 299, 301, 400, 404, 410, 429, 500, 502, 503, 504] {
            check_final(Policy::Browser, &[(&code.to_string(), status(code))]);
        }
    }

    #[test]
    fn fetch_comes_back_from_everything_but_a_clean_end() {
        let ends =
            ["abort", "idle", "refused", "broken", "timeout", "204", "404", "429", "500", "503", "type"];
        check(Policy::Fetch, 1, &ends);
        check_final(Policy::Fetch, &[("clean", GiveUp::Finished)]);
        check_final(Policy::Fetch, &UNREADABLE);
    }

    #[test]
    fn none_connects_once() {
        for name in ["clean", "abort", "refused", "503", "request", "panic"] {
            check_final(Policy::None, &[(name, GiveUp::Once)]);
        }
    }

    #[test]
    fn tolerant_comes_back_from_what_is_temporary() {
        check_final(
            Policy::Tolerant,
            &[
                ("204", status(204)),
                ("404", status(404)),
                ("401", status(401)),
                ("type", GiveUp::ContentType),
            ],
        );
        check_final(Policy::Tolerant, &UNREADABLE);
        let mut reconnect = Reconnect::new(Policy::Tolerant, ReconnectOptions::default());
        for name in
            ["clean", "abort", "idle", "refused", "broken", "timeout", "429", "408", "425", "500", "503"]
        {
            assert!(matches!(decide(&mut reconnect, name), Decision::RetryIn(_)), "{name}");
        }
        reconnect.learn(&Received::Retry(RETRY));
        assert_eq!(
            decide(&mut reconnect, "abort"),
            Decision::RetryIn(RETRY),
            "a server that drains says when"
        );
    }

    fn waits(reconnect: &mut Reconnect, error: &ConnectError, count: usize) -> Vec<Duration> {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut wait = || match reconnect.after(error, &mut rng) {
            Decision::RetryIn(wait) => wait,
            Decision::GiveUp(why) => panic!("gave up: {why}"),
        };
        (0..count).map(|_| wait()).collect()
    }

    #[test]
    fn tolerant_backs_off_to_the_cap_until_something_comes() {
        let max_delay = Duration::from_secs(20);
        let options = ReconnectOptions { max_delay, ..ReconnectOptions::default() };
        let mut reconnect = Reconnect::new(Policy::Tolerant, options);
        let waits_before = waits(&mut reconnect, &not_opened("refused"), 100);
        assert!(
            waits_before[0] <= Duration::from_secs(1) && waits_before.iter().all(|wait| *wait <= max_delay)
        );
        assert!(waits_before[10..].iter().any(|wait| *wait > max_delay / 2), "{waits_before:?}");
        reconnect.learn(&Received::Comment(String::new()));
        assert!(waits(&mut reconnect, &not_opened("refused"), 1)[0] <= Duration::from_secs(1));
    }

    #[test]
    fn tolerant_waits_at_least_retry_after_and_not_all_the_same() {
        let options = ReconnectOptions { max_delay: Duration::from_secs(60), ..ReconnectOptions::default() };
        let url: reqwest::Url = "http://127.0.0.1/".parse().unwrap();
        let refusal = |retry_after| ConnectError::Status {
            url: url.clone(),
            status: StatusCode::SERVICE_UNAVAILABLE,
            head: Box::default(),
            retry_after: Some(Duration::from_secs(retry_after)),
        };
        let waits_for =
            |retry_after| waits(&mut Reconnect::new(Policy::Tolerant, options), &refusal(retry_after), 20);
        let (least, most) = (Duration::from_secs(30), Duration::from_secs(60));
        let drawn = waits_for(30);
        assert!(drawn.iter().all(|wait| (least..=most).contains(wait)), "{drawn:?}");
        assert!(drawn.iter().any(|wait| *wait != drawn[0]), "the herd is spread: {drawn:?}");
        assert!(waits_for(1_000_000).iter().all(|wait| *wait == most), "no server can send it away for ever");
        let mut browser = Reconnect::new(Policy::Fetch, options);
        assert_eq!(waits(&mut browser, &refusal(30), 1), [Duration::from_secs(1)], "others ignore it");
    }

    #[test]
    fn waits_stay_within_their_bounds() {
        let bounds = (Duration::from_millis(200), Duration::from_secs(10));
        let options =
            ReconnectOptions { min_delay: bounds.0, max_delay: bounds.1, jitter: 0.5, ..Default::default() };
        let mut reconnect = Reconnect::new(Policy::Browser, options);
        for (told, least, most) in [(0, 200, 300), (4_000, 4_000, 6_000), (u64::MAX, 10_000, 10_000)] {
            reconnect.learn(&Received::Retry(Duration::from_millis(told)));
            let waits = waits(&mut reconnect, &not_opened("refused"), 50);
            let range = Duration::from_millis(least)..=Duration::from_millis(most);
            assert!(waits.iter().all(|wait| range.contains(wait)), "{told} ms: {waits:?}");
            assert!(least == most || waits.iter().any(|wait| *wait != waits[0]), "jitter is drawn");
        }
    }

    #[test]
    fn senseless_options_are_put_in_order() {
        let options = ReconnectOptions {
            default_retry: Some(Duration::ZERO),
            min_delay: Duration::ZERO,
            max_delay: Duration::ZERO,
            jitter: f64::NAN,
            send_last_event_id: true,
        };
        for policy in [Policy::Browser, Policy::Fetch, Policy::Tolerant] {
            let mut reconnect = Reconnect::new(policy, options);
            assert_eq!(waits(&mut reconnect, &not_opened("refused"), 1), [Duration::from_millis(1)]);
        }
    }

    #[test]
    fn the_cursor_follows_events_and_bare_ids() {
        let event = |id: &str| {
            let (event, data) = (String::new(), String::new());
            Received::Event(Event { event, data, last_event_id: id.into(), id_in_block: true })
        };
        for (send, expected) in [(true, ["1", "2", ""]), (false, ["", "", ""])] {
            let options = ReconnectOptions { send_last_event_id: send, ..Default::default() };
            let mut reconnect = Reconnect::new(Policy::Browser, options);
            for (received, expected) in
                [event("1"), Received::IdCommitted("2".into()), event("")].iter().zip(expected)
            {
                reconnect.learn(received);
                assert_eq!(reconnect.last_event_id(), expected, "{received:?}");
            }
        }
    }
}
