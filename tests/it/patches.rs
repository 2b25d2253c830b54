//! The patches of `make mutants` still apply to the tree; the one that does not is named.

#[path = "../mutants/patched.rs"]
mod patched;

#[test]
fn every_patch_of_a_mutant_applies() {
    let tree = patched::tree();
    assert!(tree.path().join("src/node").is_dir() && patched::patches().len() >= 10);
}
