//! A suggestion for a misspelt name in an error message.

/// `; did you mean X?` with the most similar of the known names, as the end of a message that has named what is
/// allowed; empty where none is similar.
#[must_use]
pub fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    const SIMILAR: f64 = 0.8;
    let scored = known.map(|candidate| (strsim::jaro_winkler(name, candidate), candidate));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(score, _)| *score > SIMILAR)
        .map_or_else(String::new, |(_, name)| format!("; did you mean {name}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_name_is_suggested_and_a_foreign_one_is_not() {
        let known = ["rate", "payload", "pattern"];
        assert_eq!(did_you_mean("paylod", known.into_iter()), "; did you mean payload?");
        assert_eq!(did_you_mean("zebra", known.into_iter()), "");
        assert_eq!(did_you_mean("rate", std::iter::empty()), "");
    }
}
