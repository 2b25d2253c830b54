//! A node with lines that are broken on purpose, which production code does not have: each patch beside this file breaks
//! one of them where `SSE_NODE_MUTANT` has the patch's name. All are applied to a copy of the tree, so one build serves
//! all. Read [`tree`] first.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a build of the node needs.
const PARTS: [&str; 8] = ["Cargo.toml", "Cargo.lock", "src", "docs", "scenarios", "web", "tests", "benches"];

/// A patch: its name, and its first line, which says what it breaks.
pub(crate) fn patches() -> Vec<(String, String)> {
    let dir = root().join("tests/mutants");
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let patches = files.filter(|file| file.extension().is_some_and(|extension| extension == "patch"));
    let told = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, text.lines().next().unwrap_or_default().to_owned())
    };
    let mut patches: Vec<_> = patches.map(told).collect();
    patches.sort();
    patches
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A copy of the tree with all patches in it.
///
/// # Panics
/// Patches do not apply: their names and why.
pub(crate) fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for part in PARTS {
        copy(&root().join(part), &tree.path().join(part));
    }
    let failed: Vec<String> = patches().iter().filter_map(|(name, _)| apply(tree.path(), name)).collect();
    assert!(failed.is_empty(), "patches that no longer apply:\n{}", failed.join("\n"));
    tree
}

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        // Packages of other ecosystems that tests install.
        if entry.file_name() != "node_modules" && !entry.file_type().unwrap().is_symlink() {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    }
}

/// Why a patch does not apply.
fn apply(tree: &Path, name: &str) -> Option<String> {
    let patch = root().join("tests/mutants").join(format!("{name}.patch"));
    let mut command = Command::new("git");
    // Inside of a repository git would look for the files from its root.
    command.env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap()).current_dir(tree);
    let output = command.arg("apply").arg("--recount").arg(&patch).output().expect("git is there");
    (!output.status.success()).then(|| format!("{name}: {}", words(&output)))
}

pub(crate) fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
