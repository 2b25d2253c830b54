//! The right form of a noun after a number.

/// The noun, with an `s` unless there is exactly one: `1 stream`, `2 streams`.
#[must_use]
pub fn plural(count: u64, noun: &str) -> String {
    format!("{noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_has_no_s() {
        let all = [0, 1, 2].map(|count| format!("{count} {}", plural(count, "stream")));
        assert_eq!(all, ["0 streams", "1 stream", "2 streams"]);
    }
}
