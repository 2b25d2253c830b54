//! The text of a panic that was caught.

use std::any::Any;

/// The message of a panic; `None` where its payload is not a text.
#[must_use]
pub fn panic_message(payload: &(dyn Any + Send)) -> Option<&str> {
    let literal = payload.downcast_ref::<&str>().copied();
    literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_and_a_formatted_message_are_texts_and_a_number_is_none() {
        assert_eq!(panic_message(&"broken"), Some("broken"));
        assert_eq!(panic_message(&"broken 7".to_owned()), Some("broken 7"));
        assert_eq!(panic_message(&7), None);
    }
}
