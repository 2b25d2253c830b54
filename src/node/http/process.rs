//! Memory, CPU time and open files of this process, read from `/proc`. Every value is 0 where `/proc` cannot be read.

use std::fs;

use crate::protocol::api::MemoryUsage;

fn field(path: &str, name: &str) -> u64 {
    let Ok(text) = fs::read_to_string(path) else { return 0 };
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes =
        line.and_then(|rest| rest.trim_start_matches(':').trim().trim_end_matches(" kB").parse().ok());
    kilobytes.unwrap_or(0)
}

/// Memory of this process and of the machine, in bytes.
pub(crate) fn memory() -> MemoryUsage {
    const KB: u64 = 1024;
    let used = field("/proc/self/status", "VmRSS") * KB;
    MemoryUsage {
        max: field("/proc/meminfo", "MemTotal") * KB,
        // The two are read one after the other, and the process may grow in between.
        total: (field("/proc/self/status", "VmHWM") * KB).max(used),
        used,
        free: field("/proc/meminfo", "MemAvailable") * KB,
    }
}

/// User and system CPU time of this process, in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return 0.0 };
    // The name of the process is in parentheses and may contain blanks; the fields are counted after it.
    let Some((_, fields)) = stat.rsplit_once(") ") else { return 0.0 };
    let ticks =
        |index: usize| fields.split(' ').nth(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    // Fields 14 and 15 of proc_pid_stat(5), the first field behind the parenthesis being 3.
    let hertz = f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100));
    (ticks(11) + ticks(12)) / hertz
}

/// Open file descriptors of this process.
pub(crate) fn open_files() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_has_memory_time_and_files() {
        let usage = memory();
        assert!(usage.used > 0 && usage.total >= usage.used && usage.max > usage.used, "{usage:?}");
        assert!(open_files() >= 3);
        let before = cpu_seconds();
        let spent = (0..10_000).any(|_| {
            std::hint::black_box((0..1_000_000_u64).fold(0, |sum, n| std::hint::black_box(sum ^ n)));
            cpu_seconds() > before
        });
        assert!(spent, "work takes time");
    }
}
