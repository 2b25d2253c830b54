//! Where an event stands in a message that was not understood: searches the whole message, for the advice which key to
//! write. Read [`Locator::find`] first.

use serde_json::Value;

use super::dialect::stamp_in;
use super::pointer::Pointer;
use crate::bench::stamp::Stamp;

/// Messages without an event that one client searches: enough for a greeting and a few heartbeats.
const SEARCHES_MAX: u8 = 16;

/// The search of one client.
#[derive(Debug, Default)]
pub struct Locator {
    /// Where an event stood before: others stand there too.
    found: Option<Pointer>,
    searched: u8,
}

impl Locator {
    /// The place of an event in a message; `None`: it has none, or too many messages had none.
    pub fn find(&mut self, data: &str) -> Option<&Pointer> {
        let has_event = |place: &Pointer| {
            place.find(data).is_ok_and(|value| value.is_some_and(|value| stamp_in(value).is_ok()))
        };
        if self.found.as_ref().is_some_and(has_event) {
            return self.found.as_ref();
        }
        if self.searched >= SEARCHES_MAX {
            return None;
        }
        self.searched += 1;
        let message = serde_json::from_str(data).ok()?;
        let mut steps = Vec::new();
        if !search(&message, &mut steps) {
            return None;
        }
        self.searched = 0;
        self.found = Some(Pointer::of(steps));
        self.found.as_ref()
    }
}

/// Whether there is an event at or below this value; then `steps` leads to it. `serde_json` limits the depth.
fn search(value: &Value, steps: &mut Vec<String>) -> bool {
    let mut below = |step: String, value: &Value| {
        steps.push(step);
        let found = search(value, steps);
        if !found {
            steps.pop();
        }
        found
    };
    match value {
        Value::String(text) => Stamp::decode_bare(text).is_ok(),
        Value::Array(list) => list.iter().enumerate().any(|(index, value)| below(index.to_string(), value)),
        Value::Object(map) => {
            Stamp::decode_bare(&value.to_string()).is_ok()
                || map.iter().any(|(key, value)| below(key.clone(), value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::ids::{AddressId, PublisherId, RunId};
    use crate::bench::metrics::time::RunTime;

    fn stamp() -> String {
        let (run, publisher, address) = (RunId::from_random(1), PublisherId(0), AddressId(0));
        Stamp { run, publisher, address, seq: 1, due: RunTime::ZERO, sent: RunTime::ZERO }
            .encode(200)
            .to_string()
    }

    #[track_caller]
    fn check(message: &str, expected: Option<&str>) {
        let found = Locator::default().find(message).map(ToString::to_string);
        assert_eq!(found.as_deref(), expected, "{message}");
    }

    #[test]
    fn an_event_is_found_wherever_it_stands() {
        let stamp = stamp();
        check(&stamp, Some(""));
        check(&format!(r#"{{"type":"x","data":{{"body":{stamp},"n":1}}}}"#), Some("/data/body"));
        check(&format!(r#"[0,{{"a/b":{stamp}}}]"#), Some("/1/a~1b"));
        let text = Value::from(stamp.as_str()).to_string();
        check(&format!(r#"{{"data":{text}}}"#), Some("/data"));
        for message in ["", "hello", "{}", r#"{"data":{"body":[1,null,"x"]}}"#] {
            check(message, None);
        }
    }

    #[test]
    fn messages_without_events_are_not_searched_for_ever() {
        let (mut locator, wrapped) = (Locator::default(), format!(r#"{{"a":{}}}"#, stamp()));
        assert!(locator.find(&wrapped).is_some());
        (0..=SEARCHES_MAX).for_each(|_| assert!(locator.find("{}").is_none()));
        assert!(locator.find(&wrapped).is_some(), "the known place costs no search");
        assert!(locator.find(&format!(r#"{{"b":{}}}"#, stamp())).is_none());
    }
}
