//! JSON pointers (RFC 6901) that find a value in a message without building the rest of it. Read [`Pointer::find`]
//! first.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as _, Deserializer};
use serde_json::value::RawValue;

/// A JSON pointer. The empty one refers to the whole message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pointer {
    steps: Vec<String>,
}

/// A text that is not a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a JSON pointer (RFC 6901); allowed are \"\" for the whole message and paths as in \"/pub/data\""
)]
pub struct InvalidPointer(String);

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
    }
}

impl FromStr for Pointer {
    type Err = InvalidPointer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let invalid = || InvalidPointer(text.to_owned());
        let steps = text.strip_prefix('/').ok_or_else(invalid)?.split('/');
        let is_escaped = |step: &str| step.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        let step = |step: &str| is_escaped(step).then(|| step.replace("~1", "/").replace("~0", "~"));
        Ok(Self { steps: steps.map(step).collect::<Option<_>>().ok_or_else(invalid)? })
    }
}

impl Pointer {
    pub(super) fn of(steps: Vec<String>) -> Self {
        Self { steps }
    }

    /// Whether it refers to the whole message.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.steps.is_empty()
    }

    /// The value at the pointer; `None`: the message has no such place.
    ///
    /// # Errors
    /// The message is not JSON, before or behind the place.
    pub fn find<'a>(&self, json: &'a str) -> Result<Option<&'a RawValue>, serde_json::Error> {
        let mut from = serde_json::Deserializer::from_str(json);
        let found = Walk { steps: &self.steps }.deserialize(&mut from)?;
        from.end()?;
        Ok(found)
    }
}

/// The steps that are left.
struct Walk<'p> {
    steps: &'p [String],
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        if self.steps.is_empty() {
            return <&RawValue>::deserialize(from).map(Some);
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == self.steps[0] {
                found = map.next_value_seed(Walk { steps: &self.steps[1..] })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let wanted = self.steps[0].parse::<usize>().ok();
        let mut found = None;
        for index in 0_usize.. {
            if Some(index) == wanted {
                match list.next_element_seed(Walk { steps: &self.steps[1..] })? {
                    Some(there) => found = there,
                    None => break,
                }
            } else if list.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pointer: &str, json: &str, expected: Option<&str>) {
        let pointer: Pointer = pointer.parse().unwrap();
        assert_eq!(pointer.find(json).unwrap().map(RawValue::get), expected, "{pointer:?} in {json}");
    }

    #[test]
    fn what_stands_there_is_found_and_nothing_else() {
        check("", " 1 ", Some("1"));
        check("/pub/data", r#"{"channel":"a","pub":{"offset":1,"data":{"x":[1]}}}"#, Some(r#"{"x":[1]}"#));
        check("/pub/data", r#"{"connect":{"client":"c"}}"#, None);
        check("/pub/data", r#"{"pub":7}"#, None);
        check("/pub/data", r#"{"pub":null}"#, None);
        check("/pub/data", r#"{"pub":{"data":null}}"#, Some("null"));
        check("/1/a", r#"[0,{"a":"b"},2]"#, Some(r#""b""#));
        check("/3", "[0,1,2]", None);
        check("/x", "[0,1,2]", None);
        check("/a~1b/~0", r#"{"a/b":{"~":1}}"#, Some("1"));
        assert_eq!("/a~1b/~0".parse::<Pointer>().unwrap().to_string(), "/a~1b/~0");
        for scalar in ["true", "-1", "1.5", "\"text\"", "1", "{}", "[]"] {
            check("/a", scalar, None);
        }
    }

    #[test]
    fn what_is_no_json_is_an_error_behind_the_place_too() {
        let pointer: Pointer = "/a".parse().unwrap();
        for json in ["", "{", "{\"a\":1", "{\"a\":1}x", "hi"] {
            assert!(pointer.find(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_text_that_is_no_pointer_is_refused() {
        for text in ["pub", "pub/data", "/a~", "/a~2", " /a"] {
            assert!(text.parse::<Pointer>().is_err(), "{text}");
        }
    }
}
