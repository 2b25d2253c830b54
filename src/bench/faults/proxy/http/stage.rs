//! One event toxic on one connection: which events it meets, and what becomes of them. Units and times go in, units and
//! times come out. Read [`EventStage::pass`] first.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use super::findings::Findings;
use super::head;
use super::lines::Shape;
use super::unit::{Unit, is_of_the_node};
use crate::bench::scenario::{EventAction, EventToxic, Which};
use crate::protocol::Frame;
use crate::protocol::api::{GapEvent, GapReason};
use crate::protocol::event::control;

/// How long an event waits to be overtaken where the toxic does not say it.
const OVERTAKEN_WITHIN: Duration = Duration::from_secs(1);
/// Shortest time between two bursts.
const BURST_MIN: Duration = Duration::from_millis(1);

/// What comes out of a stage.
#[derive(Debug)]
pub(super) enum Out {
    Unit(Unit),
    /// From here on the stream is silent.
    Silence,
    /// The connection ends here.
    Close,
}

/// An event toxic on one connection.
#[derive(Debug)]
pub(super) struct EventStage {
    pub(super) name: String,
    pub(super) toxic: EventToxic,
    /// Whether the toxic meets this connection.
    pub(super) is_hit: bool,
    rng: ChaCha8Rng,
    findings: Arc<Findings>,
    /// Whether it meets the stream that passes now, or will.
    is_on_stream: bool,
    /// Whether the stream was resumed, and the stage has seen it from its beginning.
    is_resumed: bool,
    /// Candidates that passed on this stream.
    count: u64,
    held: Option<Held>,
}

/// An event that later ones overtake.
#[derive(Debug)]
struct Held {
    unit: Unit,
    /// Number of events that still pass before it.
    left: u64,
    /// When it leaves in any case.
    until: Duration,
}

impl EventStage {
    pub(super) fn new(
        name: &str,
        toxic: EventToxic,
        is_hit: bool,
        seed: u64,
        findings: &Arc<Findings>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            toxic,
            is_hit,
            rng: ChaCha8Rng::seed_from_u64(seed),
            findings: Arc::clone(findings),
            is_on_stream: false,
            is_resumed: false,
            count: 0,
            held: None,
        }
    }

    /// A stream begins; `target` is what was asked for, `is_resumed` whether with a cursor.
    pub(super) fn begin_stream(&mut self, target: &str, is_resumed: bool) {
        self.follow_stream(target);
        self.is_resumed = is_resumed;
    }

    /// A stream is under way that had begun before the toxic came.
    pub(super) fn follow_stream(&mut self, target: &str) {
        let is_of_streams = !self.toxic.action.is_of_requests() || self.toxic.back > 0;
        self.is_on_stream = self.is_hit && is_of_streams && head::is_of(&self.toxic.path, target);
        (self.is_resumed, self.count) = (false, 0);
    }

    /// Whether the stream must be read for this toxic.
    pub(super) fn is_on_stream(&self) -> bool {
        self.is_on_stream
    }

    /// Whether it meets a request.
    pub(super) fn meets_request(&mut self, target: &str) -> bool {
        self.is_hit
            && self.toxic.action.is_of_requests()
            && head::is_of(&self.toxic.path, target)
            && self.draws()
    }

    pub(super) fn note_met(&self) {
        self.findings.note_met(&self.name);
    }

    pub(super) fn note_unreadable(&self, why: &str) {
        if self.is_hit {
            self.findings.note_unreadable(&self.name, why);
        }
    }

    pub(super) fn id_before(&self, id: &str) -> Option<String> {
        self.findings.id_before(id, self.toxic.back)
    }

    fn draws(&mut self) -> bool {
        self.rng.random::<f64>() < self.toxic.rate
    }

    /// Takes a unit at the time when it would leave, and hands on what does.
    pub(super) fn pass(&mut self, unit: Unit, out: &mut Vec<Out>) {
        if !self.is_on_stream {
            return out.push(Out::Unit(unit));
        }
        if self.toxic.action == EventAction::HoldBack {
            return out.push(Out::Unit(self.in_burst(unit)));
        }
        if self.toxic.action == EventAction::RewriteLastEventId {
            unit.id().iter().for_each(|id| self.findings.note_id(id));
            return out.push(Out::Unit(unit));
        }
        if self.toxic.action == EventAction::Split || !self.chooses(&unit) {
            self.overtake(unit, out);
        } else if self.act(unit, out) {
            self.note_met();
        }
    }

    /// Whether it meets this unit.
    fn chooses(&mut self, unit: &Unit) -> bool {
        let toxic = &self.toxic;
        let event = unit.event_type();
        let is_of_type = |event: &String| match toxic.event.as_str() {
            "" => toxic.which == Which::All || !is_of_the_node(event),
            wanted => event == wanted,
        };
        let is_candidate = match toxic.which {
            Which::Events | Which::FirstAfterReconnect => event.as_ref().is_some_and(is_of_type),
            Which::Comments => unit.shape == Shape::Comment,
            Which::All if toxic.event.is_empty() => matches!(unit.shape, Shape::Block | Shape::Comment),
            Which::All => event.as_ref().is_some_and(is_of_type),
        };
        if !is_candidate {
            return false;
        }
        self.count += 1;
        let is_first = toxic.which != Which::FirstAfterReconnect || self.is_resumed && self.count == 1;
        let is_nth = toxic.nth == 0 || self.count == toxic.nth;
        is_first && is_nth && self.draws()
    }

    /// Returns whether anything is different now.
    fn act(&mut self, unit: Unit, out: &mut Vec<Out>) -> bool {
        let Self { toxic, rng, .. } = self;
        let changed = match toxic.action {
            EventAction::Drop => return true,
            EventAction::Duplicate => {
                out.extend([Out::Unit(unit.clone()), Out::Unit(unit)]);
                return true;
            }
            EventAction::Reorder => return self.hold(unit, out),
            EventAction::Truncate => {
                out.push(Out::Unit(unit.truncated(toxic.bytes, rng)));
                out.extend(toxic.close.then_some(Out::Close));
                return true;
            }
            EventAction::Mute => {
                out.push(Out::Silence);
                return true;
            }
            EventAction::InjectGap => {
                let gap = unit.with(gap());
                out.extend([Out::Unit(unit), Out::Unit(gap)]);
                return true;
            }
            EventAction::Delay => {
                let most = toxic.delay.saturating_add(toxic.jitter);
                let late = rng.random_range(toxic.delay.saturating_sub(toxic.jitter)..=most);
                Some(Unit { due: unit.due + millis(late), ..unit.clone() })
            }
            EventAction::Corrupt => unit.corrupted(rng),
            EventAction::ChangeId => unit.with_id(&toxic.value),
            EventAction::ChangeType => Some(unit.with_type(&toxic.value)),
            EventAction::HoldBack
            | EventAction::Split
            | EventAction::StripLastEventId
            | EventAction::RewriteLastEventId
            | EventAction::SwallowPublish
            | EventAction::AnswerPublish => None,
        };
        let is_changed = changed.is_some();
        out.push(Out::Unit(changed.unwrap_or(unit)));
        is_changed
    }

    /// Keeps an event back for later ones to overtake it; one at a time.
    fn hold(&mut self, unit: Unit, out: &mut Vec<Out>) -> bool {
        if self.held.is_some() {
            self.overtake(unit, out);
            return false;
        }
        let wait = if self.toxic.delay == 0 { OVERTAKEN_WITHIN } else { millis(self.toxic.delay) };
        let until = unit.due + wait;
        self.held = Some(Held { unit, left: self.toxic.span.max(1), until });
        true
    }

    /// Lets a unit pass, and behind it what it was the last one to overtake.
    fn overtake(&mut self, unit: Unit, out: &mut Vec<Out>) {
        let is_event = self.held.is_some() && unit.event_type().is_some_and(|event| !is_of_the_node(&event));
        out.push(Out::Unit(unit));
        if let Some(held) = self.held.as_mut().filter(|_| is_event) {
            held.left -= 1;
            if held.left == 0 {
                out.extend(self.held.take().map(|held| Out::Unit(held.unit)));
            }
        }
    }

    /// When something that it keeps must leave.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.held.as_ref().map(|held| held.until)
    }

    /// What has been kept long enough; with `None` everything.
    pub(super) fn release(&mut self, now: Option<Duration>) -> Option<Unit> {
        self.held.take_if(|held| now.is_none_or(|now| held.until <= now)).map(|held| held.unit)
    }

    /// The unit with the time of the next burst.
    fn in_burst(&self, unit: Unit) -> Unit {
        let every = millis(self.toxic.delay).max(BURST_MIN).as_nanos();
        let at = unit.due.as_nanos();
        let next = (at / every + 1) * every;
        let due = Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX));
        self.note_met();
        Unit { due, ..unit }
    }

    /// The pieces in which bytes leave.
    pub(super) fn places_to_cut(&mut self, length: usize) -> Vec<usize> {
        if !self.is_on_stream || self.toxic.action != EventAction::Split {
            return Vec::new();
        }
        let places: Vec<usize> = (1..length).filter(|_| self.rng.random::<f64>() < self.toxic.rate).collect();
        if !places.is_empty() {
            self.note_met();
        }
        places
    }
}

/// A `GAP` as a node sends it, although nothing is missing.
fn gap() -> bytes::Bytes {
    let gap =
        GapEvent { reason: GapReason::Trimmed, requested: None, oldest: None, newest: None, missed: Some(1) };
    let data = serde_json::to_string(&gap).unwrap_or_default();
    Frame { retry: None, id: None, event: control::GAP, data: &data }.encode()
}

fn millis(value: u64) -> Duration {
    // A year stands for ever, and can be added to any time without overflow.
    Duration::from_millis(value.min(365 * 24 * 3_600_000))
}
