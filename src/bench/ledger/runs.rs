//! A set of numbers that mostly follow each other, kept as runs.

/// A set of numbers as sorted, disjoint, non-adjacent runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Runs {
    runs: Vec<(u64, u64)>,
}
