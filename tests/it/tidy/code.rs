//! What no code may hold, wherever it stands: things left for later, and tasks that nobody owns.

use super::{house::Violations, source::Source, tokens::words_at};

pub(super) fn nothing_is_left_for_later(sources: &[Source]) -> Violations {
    // Not written out, or this file would break its own rule.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    let mut violations = Vec::new();
    for source in sources {
        let marked = marks.iter().filter(|mark| words_at(&source.text, mark).next().is_some());
        violations.extend(marked.map(|mark| format!("{}: {mark}", source.path)));
        let macros = ["todo", "unimplemented"].into_iter().filter(|name| {
            words_at(&source.code, name).any(|at| source.code[at + name.len()..].starts_with('!'))
        });
        violations.extend(macros.map(|name| format!("{}: {name}!", source.path)));
        violations.extend(ignores_a_test(source).then(|| format!("{}: a test is ignored", source.path)));
    }
    violations
}

/// Only a test with real processes may be left to `make full`, which runs whatever is ignored in these words.
fn ignores_a_test(source: &Source) -> bool {
    let left_to_full = source.text.matches("#[ignore = \"make full\"]").count();
    let allowed = if source.path.starts_with("tests/it/") { left_to_full } else { 0 };
    source.code.matches("#[ignore").count() > allowed || source.code.contains("#[cfg_attr(ignore")
}

pub(super) fn every_task_has_an_owner(sources: &[Source]) -> Violations {
    let ownerless = sources.iter().filter(|source| {
        words_at(&source.code, "spawn").any(|at| {
            let before = source.code[..at].trim_end();
            // `tasks.spawn` and `set.spawn` have an owner in front; a path has none.
            before.ends_with("tokio::") || before.ends_with("task::")
        })
    });
    ownerless.map(|source| format!("{}: a task without an owner; use runtime::Tasks", source.path)).collect()
}

#[cfg(test)]
mod planted {
    use super::{super::house::check, *};

    #[test]
    fn what_is_left_for_later_is_caught() {
        let rule = nothing_is_left_for_later;
        check(rule, "src/node/x.rs", concat!("// TO", "DO: more"), 1);
        check(rule, "src/node/x.rs", concat!("/* FIX", "ME */"), 1);
        check(rule, "src/node/x.rs", "fn f() { todo!() }", 1);
        check(rule, "src/node/x.rs", "fn f() { unimplemented!(\"x\") }", 1);
        check(rule, "src/node/x.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}", 1);
        check(rule, "src/node/x.rs", "#[test]\n#[ignore = \"make full\"]\nfn f() {}", 1);
        check(rule, "tests/it/x.rs", "#[test]\n#[ignore = \"make full\"]\nfn f() {}", 0);
        check(rule, "tests/it/x.rs", "#[test]\n#[ignore]\nfn f() {}", 1);
        check(rule, "src/node/x.rs", "let todo = \"todo!\"; // unimplemented", 0);
    }

    #[test]
    fn a_task_without_an_owner_is_caught() {
        let rule = every_task_has_an_owner;
        check(rule, "src/node/x.rs", "tokio::spawn(async {});", 1);
        check(rule, "src/node/x.rs", "use tokio::task::spawn;", 1);
        check(rule, "tests/it/x.rs", "tokio::task::spawn (f())", 1);
        check(
            rule,
            "src/node/x.rs",
            "tasks.spawn(\"x\", f()); set.spawn(f()); tokio::task::spawn_blocking(f)",
            0,
        );
    }
}
