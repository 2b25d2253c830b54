//! The HTTP statuses with which a server accepts a publish: single ones and ranges. Read [`Statuses::parse`] first.

use std::ops::RangeInclusive;

/// Every status of HTTP (RFC 9110, 15).
const ALL: RangeInclusive<u16> = 100..=599;

/// A set of HTTP statuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses {
    ranges: Vec<RangeInclusive<u16>>,
}

impl Statuses {
    /// 2xx, as HTTP has it (RFC 9110, 15.3).
    #[must_use]
    pub fn successful() -> Self {
        Self { ranges: vec![200..=299] }
    }

    /// Reads single statuses, classes and ranges: `202`, `2xx`, `200-204`.
    ///
    /// # Errors
    /// The text that is none of these, with what is allowed.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let range = |text: &str| {
            let class = text.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok()?.checked_mul(100));
            let (from, to) = match (class, text.split_once('-')) {
                (Some(first), _) => (Some(first), first.checked_add(99)),
                (None, Some((from, to))) => (from.trim().parse().ok(), to.trim().parse().ok()),
                (None, None) => (text.parse().ok(), text.parse().ok()),
            };
            let range =
                from.zip(to).filter(|(from, to)| from <= to && ALL.contains(from) && ALL.contains(to));
            range.map(|(from, to)| from..=to).ok_or_else(|| {
                format!("{text:?} is not a status; allowed are 100 to 599, ranges as in \"200-204\", and classes as in \"2xx\"")
            })
        };
        Ok(Self { ranges: texts.into_iter().map(range).collect::<Result<_, _>>()? })
    }

    /// Whether a status belongs to the set.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.ranges.iter().any(|range| range.contains(&status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_classes_and_ranges_are_read() {
        let statuses = Statuses::parse(["202", "303", "4xx", "500-502"]).unwrap();
        let known = |statuses: &Statuses| (100..600).filter(|status| statuses.contains(*status)).count();
        assert_eq!(known(&statuses), 1 + 1 + 100 + 3);
        assert!([202, 303, 400, 499, 502].iter().all(|status| statuses.contains(*status)));
        assert!(![200, 302, 503].iter().any(|status| statuses.contains(*status)));
        assert_eq!(known(&Statuses::successful()), 100);
        assert!(!Statuses::parse([]).unwrap().contains(200));
    }

    #[test]
    fn what_is_no_status_is_refused() {
        for text in ["", "ok", "99", "600", "204-200", "200-", "0xx", "6xx", "655xx", "-"] {
            assert!(Statuses::parse([text]).is_err(), "{text:?}");
        }
    }
}
