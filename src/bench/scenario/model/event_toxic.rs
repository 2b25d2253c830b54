//! Toxics that know what an event is: they read text/event-stream in HTTP/1 and meet whole events, requests for streams
//! and publishes. Pure data; [`crate::bench::faults::proxy::http`] applies them. Read [`EventToxic`] first.

use super::toxic::{Attribute, Direction};

/// What an event toxic does to what it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventAction {
    /// The event never arrives.
    Drop,
    /// The event arrives twice in a row.
    Duplicate,
    /// The event arrives behind later ones.
    Reorder,
    /// A letter or digit of the data is another one.
    Corrupt,
    /// The event has another `id:`.
    ChangeId,
    /// The event has another `event:`.
    ChangeType,
    /// The event breaks off in the middle.
    Truncate,
    /// From this event on the stream stays open and silent.
    Mute,
    /// The stream arrives in bursts.
    HoldBack,
    /// The event arrives later, and everything behind it too.
    Delay,
    /// A `GAP` follows the event.
    InjectGap,
    /// The stream arrives in pieces that end anywhere.
    Split,
    /// A request loses its `Last-Event-ID`.
    StripLastEventId,
    /// A request gets another `Last-Event-ID`.
    RewriteLastEventId,
    /// A publish gets no answer.
    SwallowPublish,
    /// The proxy answers a publish.
    AnswerPublish,
}

impl EventAction {
    /// Names as in scenarios and in the API.
    pub const WORDS: [(&'static str, Self); 16] = [
        ("drop_event", Self::Drop),
        ("duplicate_event", Self::Duplicate),
        ("reorder_events", Self::Reorder),
        ("corrupt_payload", Self::Corrupt),
        ("change_id", Self::ChangeId),
        ("change_type", Self::ChangeType),
        ("truncate_event", Self::Truncate),
        ("mute", Self::Mute),
        ("hold_back", Self::HoldBack),
        ("delay_event", Self::Delay),
        ("inject_gap", Self::InjectGap),
        ("split_everywhere", Self::Split),
        ("strip_last_event_id", Self::StripLastEventId),
        ("rewrite_last_event_id", Self::RewriteLastEventId),
        ("swallow_publish", Self::SwallowPublish),
        ("answer_publish", Self::AnswerPublish),
    ];

    /// As in scenarios and in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::WORDS.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| name)
    }

    /// The direction of what it meets.
    #[must_use]
    pub fn direction(self) -> Direction {
        if self.is_of_requests() { Direction::Upstream } else { Direction::Downstream }
    }

    /// Whether it meets requests, not events.
    #[must_use]
    pub fn is_of_requests(self) -> bool {
        self.is_of_publishes() || matches!(self, Self::StripLastEventId | Self::RewriteLastEventId)
    }

    /// Whether it meets publishes: requests with POST or PUT.
    #[must_use]
    pub fn is_of_publishes(self) -> bool {
        matches!(self, Self::SwallowPublish | Self::AnswerPublish)
    }
}

/// Which parts of a stream an event toxic may meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Events with data, but not those that a node itself sends (`CONNECTION`, `GAP`, …) unless their type is asked for.
    Events,
    /// The first of these events on a stream that was asked for with a `Last-Event-ID`.
    FirstAfterReconnect,
    /// Comment lines between events.
    Comments,
    /// Everything: all events, blocks without data, comments.
    All,
}

impl Which {
    /// Names as in scenarios and in the API.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("events", Self::Events),
        ("first-after-reconnect", Self::FirstAfterReconnect),
        ("comments", Self::Comments),
        ("all", Self::All),
    ];
}

/// An event toxic: its action, what it meets, and the attributes of all actions; [`EventToxic::attributes`] says which
/// belong to this one.
#[derive(Debug, Clone, PartialEq)]
pub struct EventToxic {
    pub action: EventAction,
    /// Share of what it may meet that it meets, 0 to 1; of a split, the share of all places between two bytes.
    pub rate: f64,
    pub which: Which,
    /// Only events of this type; empty: of any.
    pub event: String,
    /// Only the event of this number among those of one stream, from 1; 0: all.
    pub nth: u64,
    /// Only requests with such a path, and their streams; `*` stands for anything. Empty: any.
    pub path: String,
    /// Milliseconds: by which an event is late, between two bursts, or how long a reordered event waits for later ones.
    pub delay: u64,
    /// Deviation from `delay` in milliseconds.
    pub jitter: u64,
    /// The id or type that replaces the true one; empty: a wrong one is made up.
    pub value: String,
    /// The `Last-Event-ID` becomes the id of so many events before.
    pub back: u64,
    /// Number of later events that a reordered one lets pass.
    pub span: u64,
    /// Bytes that a truncated event lacks at its end; 0: it breaks off anywhere.
    pub bytes: u64,
    /// Whether the connection ends where a truncated event breaks off.
    pub close: bool,
    /// Status with which the proxy answers.
    pub status: u64,
    /// JSON with which the proxy answers.
    pub body: String,
    /// Whether the server gets the publish all the same.
    pub deliver: bool,
}

impl EventToxic {
    /// Meets everything that the action can meet.
    #[must_use]
    pub const fn new(action: EventAction) -> Self {
        Self {
            action,
            rate: 1.0,
            which: Which::Events,
            event: String::new(),
            nth: 0,
            path: String::new(),
            delay: 0,
            jitter: 0,
            value: String::new(),
            back: 0,
            span: 1,
            bytes: 0,
            close: true,
            status: 0,
            body: String::new(),
            deliver: false,
        }
    }

    /// The attributes of its action by name, in the order of the documentation.
    pub fn attributes(&mut self) -> Vec<(&'static str, Attribute<'_>)> {
        let mut found = vec![("path", Attribute::Text(&mut self.path))];
        if self.action != EventAction::HoldBack {
            found.push(("rate", Attribute::Share(&mut self.rate)));
        }
        if !self.action.is_of_requests() && !matches!(self.action, EventAction::HoldBack | EventAction::Split)
        {
            found.push(("which", Attribute::Which(&mut self.which)));
            found.push(("event", Attribute::Text(&mut self.event)));
            found.push(("nth", Attribute::Number(&mut self.nth)));
        }
        let value = ("value", Attribute::Text(&mut self.value));
        let delay = ("delay", Attribute::Number(&mut self.delay));
        let deliver = ("deliver", Attribute::Flag(&mut self.deliver));
        match self.action {
            EventAction::Reorder => found.extend([("span", Attribute::Number(&mut self.span)), delay]),
            EventAction::ChangeId | EventAction::ChangeType => found.push(value),
            EventAction::Truncate => found.extend([
                ("bytes", Attribute::Number(&mut self.bytes)),
                ("close", Attribute::Flag(&mut self.close)),
            ]),
            EventAction::HoldBack => found.push(delay),
            EventAction::Delay => found.extend([delay, ("jitter", Attribute::Number(&mut self.jitter))]),
            EventAction::RewriteLastEventId => {
                found.extend([value, ("back", Attribute::Number(&mut self.back))]);
            }
            EventAction::SwallowPublish => found.push(deliver),
            EventAction::AnswerPublish => found.extend([
                ("status", Attribute::Number(&mut self.status)),
                ("body", Attribute::Text(&mut self.body)),
                deliver,
            ]),
            EventAction::Drop
            | EventAction::Duplicate
            | EventAction::Corrupt
            | EventAction::Mute
            | EventAction::InjectGap
            | EventAction::Split
            | EventAction::StripLastEventId => {}
        }
        found
    }

    /// An attribute with which it could not act, and why.
    #[must_use]
    pub fn problem(&self) -> Option<(&'static str, &'static str)> {
        let needs_delay = matches!(self.action, EventAction::HoldBack | EventAction::Delay);
        let is_one_line = |text: &str| !text.contains(['\r', '\n', '\0']);
        match self.action {
            _ if needs_delay && self.delay == 0 => Some(("delay", "must be at least 1 ms")),
            _ if !(0.0..=1.0).contains(&self.rate) => Some(("rate", "must be between 0 and 1")),
            _ if !is_one_line(&self.value) => Some(("value", "must be one line")),
            EventAction::AnswerPublish if !(200..=599).contains(&self.status) => {
                Some(("status", "must be an HTTP status from 200 to 599"))
            }
            EventAction::RewriteLastEventId if self.value.is_empty() && self.back == 0 => {
                Some(("value", "or back must say which Last-Event-ID the server gets"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_has_its_own_attributes_and_says_what_is_missing() {
        for (name, action) in EventAction::WORDS {
            let mut toxic = EventToxic::new(action);
            let names: Vec<&str> = toxic.attributes().iter().map(|(name, _)| *name).collect();
            assert!(names.contains(&"path"), "{name}");
            if let Some((attribute, _)) = toxic.problem() {
                assert!(names.contains(&attribute), "{name}: {attribute}");
            }
        }
        let problem = |action| EventToxic::new(action).problem().map(|(attribute, _)| attribute);
        assert_eq!(problem(EventAction::HoldBack), Some("delay"));
        assert_eq!(problem(EventAction::AnswerPublish), Some("status"));
        assert_eq!(problem(EventAction::RewriteLastEventId), Some("value"));
        assert_eq!(problem(EventAction::Drop), None);
    }
}
