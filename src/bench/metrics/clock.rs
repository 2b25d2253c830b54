//! The only reader of a clock in the bench: `CLOCK_MONOTONIC` of Linux, which all processes of a machine share until
//! its next boot. So clients in one process can measure the latency of events from another. Read [`RunClock`] first.

use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use super::time::RunTime;

/// Nanoseconds since this machine booted.
#[must_use]
pub fn monotonic_nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // The kernel counts from the boot: neither part is negative.
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// Identifies the boot that the clock counts from: two processes with the same value share a clock.
#[must_use]
pub fn clock_identity() -> u32 {
    // Each client asks for each run that it hears of, and the answer is in a file.
    static IDENTITY: LazyLock<u32> = LazyLock::new(read_clock_identity);
    *IDENTITY
}

fn read_clock_identity() -> u32 {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // FNV-1a: stable across processes and builds, which the standard library's hasher does not promise.
    boot.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The clock of a run. Shows zero until it starts; clones show the same time. Started with [`RunClock::start`], it
/// follows tokio's clock, which tests can pause.
#[derive(Debug, Clone, Default)]
pub struct RunClock(Arc<OnceLock<Zero>>);

/// The moment when the clock shows zero.
#[derive(Debug)]
enum Zero {
    /// In nanoseconds since the machine's boot.
    SinceBoot(u64),
    At(Instant),
}

impl RunClock {
    /// A clock that counts from the machine's boot, as every other process of the machine does.
    #[must_use]
    pub fn since_boot() -> Self {
        Self(Arc::new(OnceLock::from(Zero::SinceBoot(0))))
    }

    /// Starts the clock now, unless it is started. Returns the current time since the machine's boot.
    pub fn start(&self) -> RunTime {
        // Read first: if the thread is interrupted in between, measured latencies are too long, never too short.
        let since_boot = RunTime::from_nanos(monotonic_nanos());
        self.0.get_or_init(|| Zero::At(Instant::now()));
        since_boot
    }

    /// Starts the clock at a moment in nanoseconds since the machine's boot, which other processes share, unless it is
    /// started. The moment may be in the future; the clock shows zero until then.
    pub fn start_at(&self, zero: u64) {
        self.0.get_or_init(|| Zero::SinceBoot(zero));
    }

    /// Zero before the start.
    #[must_use]
    pub fn now(&self) -> RunTime {
        match self.0.get() {
            None => RunTime::ZERO,
            Some(Zero::SinceBoot(zero)) => RunTime::from_nanos(monotonic_nanos().saturating_sub(*zero)),
            Some(Zero::At(zero)) => RunTime::from(zero.elapsed()),
        }
    }

    /// A time of this clock since the machine's boot. Exact where the start was given so: else it costs a look at both clocks.
    #[must_use]
    pub fn since_machine_boot(&self, time: RunTime) -> RunTime {
        match self.0.get() {
            Some(Zero::SinceBoot(zero)) => time.plus(Duration::from_nanos(*zero)),
            Some(Zero::At(_)) | None => RunTime::from_nanos(monotonic_nanos()).minus(self.now().after(time)),
        }
    }

    /// The instant at which this time of the run is reached, for sleeping; now if it is reached already.
    #[must_use]
    pub fn instant_of(&self, since_start: Duration) -> Instant {
        let ahead = match self.0.get() {
            // The start may be in the future.
            Some(Zero::SinceBoot(zero)) => {
                let due = RunTime::from_nanos(*zero).plus(since_start);
                due.after(RunTime::from_nanos(monotonic_nanos()))
            }
            Some(Zero::At(_)) | None => since_start.saturating_sub(self.now().since_start()),
        };
        Instant::now() + ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stands_at_zero_until_it_is_started() {
        let clock = RunClock::default();
        assert_eq!(clock.now(), RunTime::ZERO);
        let before = monotonic_nanos();
        let started = clock.start();
        assert!(started.as_nanos() >= before);
        while monotonic_nanos() == before {}
        assert!(clock.clone().now() > RunTime::ZERO, "clones show the same time");
    }

    #[test]
    fn a_start_that_lies_ahead_is_waited_for() {
        let (clock, ahead) = (RunClock::default(), Duration::from_secs(3_600));
        clock.start_at(monotonic_nanos() + RunTime::from(ahead).as_nanos());
        assert_eq!(clock.now(), RunTime::ZERO);
        let until = clock.instant_of(Duration::from_secs(60)) - Instant::now();
        assert!(until > ahead && until <= ahead + Duration::from_secs(60), "{until:?}");
        clock.start_at(0);
        assert_eq!(clock.now(), RunTime::ZERO, "it is started once");
    }

    #[test]
    fn two_clocks_since_boot_agree() {
        let (first, second) = (RunClock::since_boot(), RunClock::since_boot());
        let (a, b, c) = (first.now(), second.now(), first.now());
        assert!(a <= b && b <= c, "{a:?} {b:?} {c:?}");
        assert_eq!(clock_identity(), clock_identity());
    }
}
