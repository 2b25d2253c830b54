//! How many cores there are to use.

/// Number of cores that this process may use, by its affinity and its cgroup.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
