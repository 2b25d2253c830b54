//! The resources of a process, read from `/proc/<pid>`: resident memory, CPU time, open files. What cannot be read (the
//! process is gone, the system is not Linux) is `None`, never a guess.

use std::path::Path;
use std::time::Duration;

/// The resources of a process at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// User and system time since its start.
    pub cpu: Duration,
    /// Number of open files; zero where the directory cannot be read (another user's process).
    pub open_files: u64,
}

/// Reads the usage of a process.
#[must_use]
pub fn read(pid: u32) -> Option<Usage> {
    let root = Path::new("/proc").join(pid.to_string());
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    let statm = std::fs::read_to_string(root.join("statm")).ok()?;
    let stat = std::fs::read_to_string(root.join("stat")).ok()?;
    Some(Usage {
        resident_bytes: parse_resident_pages(&statm)?.saturating_mul(page),
        cpu: parse_cpu(&stat, rustix::param::clock_ticks_per_second())?,
        open_files: open_files(&root.join("fd")),
    })
}

/// Linux 6.2 and later give the number as the size of the directory. Counting ten thousand entries takes milliseconds, in
/// which a thread of the bench does nothing else, so only older systems count.
fn open_files(directory: &Path) -> u64 {
    let told = std::fs::metadata(directory).map_or(0, |directory| directory.len());
    if told > 0 { told } else { std::fs::read_dir(directory).map_or(0, |entries| entries.count() as u64) }
}

/// The resources of this process.
#[must_use]
pub fn of_this_process() -> Option<Usage> {
    read(std::process::id())
}

fn parse_resident_pages(statm: &str) -> Option<u64> {
    statm.split_whitespace().nth(1)?.parse().ok()
}

/// Parses fields 14 and 15 (utime, stime). The second field is the program's name in brackets and may hold blanks and
/// brackets itself, so counting starts behind the last bracket.
fn parse_cpu(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let millis = (user + system).saturating_mul(1_000).checked_div(ticks_per_second)?;
    Some(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_brackets() {
        let stat = "12 (a (b) c) S 1 12 12 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 4 0 99 1 2";
        assert_eq!(parse_cpu(stat, 100), Some(Duration::from_secs(2)));
        assert_eq!(parse_cpu("12 (x) S 1", 100), None);
        assert_eq!(parse_cpu(stat, 0), None);
    }

    #[test]
    fn this_process_uses_memory_and_files() {
        let before = of_this_process().unwrap();
        let held = std::fs::File::open("/proc/self/stat").unwrap();
        let after = of_this_process().unwrap();
        assert!(before.resident_bytes > 100_000);
        let counted = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
        assert!(after.open_files.abs_diff(counted) < 100, "{} is not {counted}", after.open_files);
        assert!(after.open_files > 2, "{after:?} with {held:?} open");
    }

    #[test]
    fn a_process_that_is_gone_has_no_usage() {
        assert_eq!(read(u32::MAX), None);
    }
}
