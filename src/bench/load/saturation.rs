//! CPU use of the bench itself: time on cores, time waiting for a core, and whether the bench had all cores. If it had, the
//! figures measure the bench and not the cluster. Reading and judging are apart. Read [`Saturation`] first.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::bench::metrics::format::to_f64;

/// Time between two samples.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
/// Share of all cores from which the bench has no room left.
const NEARLY_ALL_CORES: f64 = 0.85;
/// Time for which it may use them: a burst of connects is short.
const BURST_MAX: Duration = Duration::from_secs(5);
/// Waiting time, as a share of the time on cores, from which other processes had the cores.
const STARVED_SHARE: f64 = 0.5;
/// Percent of all cores below which the bench was not busy.
const IDLE_PERCENT: f64 = 30.0;

/// CPU use of all processes of a bench together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saturation {
    /// Duration of the measurement.
    pub watched: Duration,
    /// Time on cores, of all their threads.
    pub ran: Duration,
    /// Time in which threads were ready to run and had no core.
    pub waited: Duration,
    /// Longest time in a row in which they used nearly all cores.
    pub at_the_limit: Duration,
}

/// Both times of all threads of some processes at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Times {
    ran: Duration,
    waited: Duration,
}

/// Sums samples up to a [`Saturation`].
#[derive(Debug, Default)]
struct CpuSampler {
    saturation: Saturation,
    /// For how long they have used nearly all cores up to now.
    at_the_limit: Duration,
}

impl CpuSampler {
    /// Adds the time since the previous sample, and the CPU time spent in it.
    fn add(&mut self, since: Duration, spent: Times, cores: usize) {
        self.saturation.watched += since;
        self.saturation.ran += spent.ran;
        self.saturation.waited += spent.waited;
        let is_at_the_limit = share(spent.ran, since) >= NEARLY_ALL_CORES * to_f64(cores as u64);
        self.at_the_limit = if is_at_the_limit { self.at_the_limit + since } else { Duration::ZERO };
        self.saturation.at_the_limit = self.saturation.at_the_limit.max(self.at_the_limit);
    }
}

impl Saturation {
    /// Why the run is invalid; `None`: the bench had cores to spare.
    #[must_use]
    pub fn problem_message(&self, cores: usize) -> Option<String> {
        (self.at_the_limit > BURST_MAX).then(|| {
            format!(
                "the bench itself used nearly all of the {cores} cores for {:.1} s in a row, so it measured itself and not the \
                 cluster: lower the rate, use fewer clients, or run the cluster on other machines (--target)",
                self.at_the_limit.as_secs_f64(),
            )
        })
    }

    /// Why the bench was late, if it was.
    #[must_use]
    pub fn explanation(&self, cores: usize) -> String {
        let used = 100.0 * share(self.ran, self.watched) / to_f64(cores as u64).max(1.0);
        let waited = share(self.waited, self.ran);
        let why = if waited >= STARVED_SHARE {
            "other processes used the cores"
        } else if used < IDLE_PERCENT {
            "it was neither busy nor short of cores, so it was stopped or swapped out, or it waited for a disk"
        } else {
            "it had more work at a time than its cores can do"
        };
        format!(
            "the bench was late. It used {used:.0} % of {cores} cores. Per second of CPU time its threads waited \
             {waited:.2} s for a core. The reason: {why}"
        )
    }
}

/// Measures this process and `children` from `started` until `stop` is cancelled.
pub async fn watch(
    children: Vec<u32>,
    cores: usize,
    started: CancellationToken,
    stop: CancellationToken,
) -> Saturation {
    let mut pids = vec![std::process::id()];
    pids.extend(children);
    let mut sampler = CpuSampler::default();
    if stop.run_until_cancelled(started.cancelled()).await.is_none() {
        return sampler.saturation;
    }
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut at) = (sample(&pids), Instant::now());
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let (now, since) = (sample(&pids), at.elapsed());
        sampler.add(since, spent(&before, &now), cores);
        (before, at) = (now, at + since);
    }
    sampler.saturation
}

/// CPU times of each thread, by process and thread.
type Threads = HashMap<(u32, OsString), Times>;

/// CPU time between two samples, of the threads in the later one. Threads that have ended are left out: /proc has their
/// times no longer.
fn spent(before: &Threads, now: &Threads) -> Times {
    let mut all = Times::default();
    for (thread, times) in now {
        let then = before.get(thread).copied().unwrap_or_default();
        all.ran += times.ran.saturating_sub(then.ran);
        all.waited += times.waited.saturating_sub(then.waited);
    }
    all
}

fn sample(pids: &[u32]) -> Threads {
    let mut all = Threads::new();
    for pid in pids {
        let Ok(threads) = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task")) else {
            continue;
        };
        for thread in threads.flatten() {
            let text = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            all.insert((*pid, thread.file_name()), parse(&text).unwrap_or_default());
        }
    }
    all
}

/// `schedstat` of Linux: nanoseconds on a core, nanoseconds waiting for one, number of time slices.
fn parse(schedstat: &str) -> Option<Times> {
    let mut fields = schedstat.split_whitespace().map(|field| field.parse().ok().map(Duration::from_nanos));
    Some(Times { ran: fields.next()??, waited: fields.next()?? })
}

fn share(part: Duration, of: Duration) -> f64 {
    if of.is_zero() { 0.0 } else { part.as_secs_f64() / of.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples of half a second, each with milliseconds on cores and milliseconds waiting for one.
    fn saturation(samples: &[(u64, u64)]) -> Saturation {
        let mut sampler = CpuSampler::default();
        for (ran, waited) in samples {
            let spent = Times { ran: Duration::from_millis(*ran), waited: Duration::from_millis(*waited) };
            sampler.add(SAMPLE_EVERY, spent, 2);
        }
        sampler.saturation
    }

    #[test]
    fn a_bench_with_all_cores_for_long_makes_the_run_invalid() {
        let problem_message = saturation(&[(900, 0); 11]).problem_message(2).unwrap();
        assert!(problem_message.contains("nearly all of the 2 cores for 5.5 s"), "{problem_message}");
    }

    #[test]
    fn a_burst_is_allowed_and_so_is_half_a_machine() {
        assert_eq!(saturation(&[(900, 0); 10]).problem_message(2), None);
        assert_eq!(saturation(&[(800, 0); 100]).problem_message(2), None);
        let with_pauses: Vec<(u64, u64)> =
            (0..40).map(|n| if n % 10 == 0 { (100, 0) } else { (1_000, 0) }).collect();
        assert_eq!(saturation(&with_pauses).problem_message(2), None);
        assert_eq!(Saturation::default().problem_message(2), None);
    }

    #[test]
    fn a_bench_that_was_late_says_whether_it_had_cores() {
        let starved = saturation(&[(200, 300); 4]).explanation(2);
        assert!(starved.contains("used 20 % of 2 cores") && starved.contains("waited 1.50 s"), "{starved}");
        assert!(starved.ends_with("other processes used the cores"), "{starved}");
        assert!(saturation(&[(600, 60); 4]).explanation(2).contains("more work at a time"));
        assert!(saturation(&[(100, 10); 4]).explanation(2).contains("it was stopped"));
    }

    #[test]
    fn times_are_read_as_linux_writes_them() {
        let times = Times { ran: Duration::from_nanos(12), waited: Duration::from_nanos(7) };
        assert_eq!(parse("12 7 3\n"), Some(times));
        assert_eq!(parse(""), None);
        let now = sample(&[std::process::id()]);
        assert!(spent(&Threads::new(), &now).ran > Duration::ZERO);
        assert_eq!(spent(&now, &now), Times::default());
    }

    #[test]
    fn a_thread_that_ended_takes_nothing_from_what_the_others_spent() {
        let thread = |id: &str| (1, OsString::from(id));
        let ran = |ms| Times { ran: Duration::from_millis(ms), waited: Duration::ZERO };
        let before = Threads::from([(thread("7"), ran(100)), (thread("8"), ran(90_000))]);
        let now = Threads::from([(thread("7"), ran(600)), (thread("9"), ran(20))]);
        assert_eq!(spent(&before, &now), ran(520));
    }
}
