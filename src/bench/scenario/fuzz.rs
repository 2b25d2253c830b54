//! Target of `make fuzz`: the text of a scenario.

use super::{ScenarioSource, parse};

/// Problems have a place in the text and say something; a scenario is one without its secrets too.
pub(crate) fn scenario(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let source =
        ScenarioSource { file: "s.toml".to_owned(), text: text.clone().into_owned(), ..Default::default() };
    match source.scenario() {
        Err(found) => {
            assert!(!found.problems.is_empty());
            for problem in &found.problems {
                let (line, column) = problem.at.expect("nothing was overridden");
                let longest = text.split('\n').map(str::len).max().unwrap_or_default();
                assert!((1..=text.split('\n').count() + 1).contains(&line), "{problem}");
                assert!((1..=longest + 1).contains(&column) && !problem.message.is_empty(), "{problem}");
            }
        }
        Ok(scenario) => {
            let again = parse("s.toml", &text, &[]).map(|again| format!("{again:?}"));
            assert_eq!(again, Ok(format!("{scenario:?}")));
            let hidden = source.without_secrets();
            let stored = hidden.scenario().expect("what is stored is a scenario");
            assert_eq!((stored.name, stored.duration), (scenario.name, scenario.duration));
            assert_eq!(hidden.without_secrets(), hidden, "nothing more is to be hidden");
        }
    }
}
