//! What the processes of a server have cost so far, as the kernel counts it.

use rustix::time::{ClockId, clock_gettime};
use std::fs::{read_dir, read_to_string};

/// Seconds of CPU of all threads that live. The kernel counts them in nanoseconds, not in ticks of a clock.
pub fn cpu(pids: &[u32]) -> f64 {
    let tasks =
        pids.iter().flat_map(|pid| read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten());
    let spent = tasks.filter_map(|task| {
        let text = read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    spent.sum::<u64>() as f64 / 1e9
}

/// Bytes of resident memory; what processes share is counted once.
pub fn memory(pids: &[u32]) -> u64 {
    let texts = pids.iter().filter_map(|pid| read_to_string(format!("/proc/{pid}/smaps_rollup")).ok());
    let lines = texts.filter_map(|text| {
        let line = text.lines().find(|line| line.starts_with("Pss:"))?.to_owned();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    lines.sum::<u64>() * 1024
}

/// Nanoseconds on the clock that all processes of the machine share.
pub fn clock() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
