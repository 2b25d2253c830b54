//! The causes below an error. The outermost text of a library says that something failed, the innermost says why.
//! Read [`causes`] first.

use std::error::Error;

/// The error itself, then its cause, then the cause of that, down to the innermost.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// The texts of an error and of all its causes in one line, separated by `: `.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for cause in error.source().into_iter().flat_map(causes) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    text
}

/// The innermost cause; the error itself where it has none.
#[must_use]
pub fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("sending the request")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("connecting")]
    struct Middle(#[source] io::Error);

    fn nested() -> Outer {
        Outer(Middle(io::ErrorKind::ConnectionRefused.into()))
    }

    #[test]
    fn a_chain_has_every_cause_in_order() {
        assert_eq!(error_chain(&nested()), "sending the request: connecting: connection refused");
        assert_eq!(error_chain(&io::Error::other("alone")), "alone");
    }

    #[test]
    fn the_root_cause_is_the_innermost_error_or_the_error_itself() {
        let nested = nested();
        let root = root_cause(&nested).downcast_ref::<io::Error>().unwrap();
        assert_eq!(root.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(root_cause(&io::Error::other("alone")).to_string(), "alone");
    }
}
