//! Due times of an open-loop load, as data. Never sleeps and never reads a clock, so that a late generator cannot hide
//! its own lateness. Read [`Pacer`] first.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use crate::bench::metrics::format::to_f64;
use crate::bench::scenario::{Arrival, Pace, Stage};

/// Due times of events since the start of the run; ends with the last stage.
///
/// The rate is piecewise linear. An event is due when the integral of the rate reaches the next target. Targets are one
/// apart (`uniform`, with a random start in the first interval, so that publishers of one rate do not fire together)
/// or exponentially distributed (`poisson`).
#[derive(Debug)]
pub struct Pacer {
    arrival: Arrival,
    lines: std::vec::IntoIter<Line>,
    line: Option<Line>,
    /// Integral at which the next event is due.
    target: f64,
    /// Integral at the beginning of `line`.
    passed: f64,
    rng: ChaCha8Rng,
}

/// A linear piece of the rate, in seconds and events per second.
#[derive(Debug, Clone, Copy)]
struct Line {
    start: f64,
    seconds: f64,
    from: f64,
    to: f64,
}

impl Line {
    fn area(self) -> f64 {
        (self.from + self.to) / 2.0 * self.seconds
    }

    /// Seconds since the beginning of the line until its integral reaches `area`. This form of the root is exact for a
    /// flat line.
    fn reaches(self, area: f64) -> f64 {
        let slope = (self.to - self.from) / self.seconds;
        let root = (self.from * self.from + 2.0 * slope * area).max(0.0).sqrt();
        let sum = self.from + root;
        if sum > 0.0 { (2.0 * area / sum).min(self.seconds) } else { 0.0 }
    }
}

fn lines(from: f64, stages: &[Stage]) -> Vec<Line> {
    let mut start = 0.0;
    let mut level = from;
    let mut lines = Vec::with_capacity(stages.len());
    for stage in stages {
        let seconds = stage.duration.as_secs_f64();
        if seconds > 0.0 {
            lines.push(Line { start, seconds, from: level, to: stage.target });
        }
        start += seconds;
        level = stage.target;
    }
    lines
}

impl Pacer {
    /// The due times of a pace, drawn from a seed.
    #[must_use]
    pub fn new(pace: &Pace, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let target = match pace.arrival {
            Arrival::Uniform => rng.random::<f64>(),
            Arrival::Poisson => exponential(&mut rng),
        };
        let mut lines = lines(pace.from, &pace.stages).into_iter();
        let line = lines.next();
        Self { arrival: pace.arrival, lines, line, target, passed: 0.0, rng }
    }
}

impl Iterator for Pacer {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let mut line = self.line?;
        while self.target >= self.passed + line.area() {
            self.passed += line.area();
            self.line = self.lines.next();
            line = self.line?;
        }
        let at = line.start + line.reaches(self.target - self.passed);
        self.target += match self.arrival {
            Arrival::Uniform => 1.0,
            Arrival::Poisson => exponential(&mut self.rng),
        };
        Some(Duration::from_secs_f64(at))
    }
}

fn exponential(rng: &mut ChaCha8Rng) -> f64 {
    // `random` is below one, so the logarithm's argument is above zero.
    -(1.0 - rng.random::<f64>()).ln()
}

/// Mean number of events of a pace.
#[must_use]
pub fn expected_events(pace: &Pace) -> f64 {
    lines(pace.from, &pace.stages).into_iter().map(Line::area).sum()
}

/// Joins and leaves of clients whose number follows stages, starting at zero. The newest client leaves first. `None`:
/// never leaves.
#[must_use]
pub fn lifetimes(stages: &[Stage]) -> Vec<(Duration, Option<Duration>)> {
    let mut lifetimes: Vec<(Duration, Option<Duration>)> = Vec::new();
    let mut alive: Vec<usize> = Vec::new();
    let mut start = Duration::ZERO;
    let mut level = 0.0_f64;
    for stage in stages {
        // The time within the stage when a level is reached.
        let reaches = |wanted: f64| {
            let share = ((wanted - level) / (stage.target - level)).clamp(0.0, 1.0);
            start + stage.duration.mul_f64(share)
        };
        while to_f64(alive.len() as u64) + 1.0 <= stage.target {
            alive.push(lifetimes.len());
            lifetimes.push((reaches(to_f64(alive.len() as u64)), None));
        }
        while to_f64(alive.len() as u64) > stage.target {
            let leaves = reaches(to_f64(alive.len() as u64) - 1.0);
            if let Some(newest) = alive.pop() {
                lifetimes[newest].1 = Some(leaves);
            }
        }
        start += stage.duration;
        level = stage.target;
    }
    lifetimes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64, target: f64) -> Stage {
        Stage { duration: Duration::from_secs(count), target }
    }

    fn pace(arrival: Arrival, from: f64, stages: &[Stage]) -> Pace {
        Pace { arrival, from, stages: stages.to_vec() }
    }

    #[test]
    fn uniform_events_are_one_interval_apart_and_as_many_as_the_rate_says() {
        let times: Vec<_> = Pacer::new(&pace(Arrival::Uniform, 100.0, &[seconds(10, 100.0)]), 7).collect();
        assert_eq!(times.len(), 1_000);
        assert!(times[0] < Duration::from_millis(10));
        for pair in times.windows(2) {
            let apart = pair[1] - pair[0];
            assert!(apart.abs_diff(Duration::from_millis(10)) < Duration::from_micros(1), "{apart:?}");
        }
    }

    #[test]
    fn poisson_events_are_as_irregular_as_they_should_be() {
        let times: Vec<_> =
            Pacer::new(&pace(Arrival::Poisson, 1_000.0, &[seconds(20, 1_000.0)]), 7).collect();
        // 20,000 ± 5 standard deviations of a Poisson number.
        assert!((19_300..20_700).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted());
        let short = times.windows(2).filter(|pair| pair[1] - pair[0] < Duration::from_millis(1)).count();
        // An exponential gap is shorter than its mean with probability 1 - 1/e = 63.2 %.
        let share = short * 1_000 / times.len();
        assert!((600..665).contains(&share), "{share} of a thousand");
    }

    #[test]
    fn a_ramp_makes_as_many_events_as_its_area() {
        let stages = [seconds(10, 100.0), seconds(0, 20.0), seconds(5, 20.0), seconds(10, 0.0)];
        let times: Vec<_> = Pacer::new(&pace(Arrival::Uniform, 0.0, &stages), 1).collect();
        // 500 while rising, 100 on the plain, 100 while falling.
        assert!((699..=700).contains(&times.len()), "{}", times.len());
        let until = |end: u64| times.iter().filter(|at| **at < Duration::from_secs(end)).count();
        assert!((124..=126).contains(&until(5)), "a quarter of a triangle: {}", until(5));
        assert!((499..=501).contains(&until(10)));
        assert!(times.iter().all(|at| *at < Duration::from_secs(25)));
        assert!((expected_events(&pace(Arrival::Uniform, 0.0, &stages)) - 700.0).abs() < 1e-9);
    }

    #[test]
    fn one_seed_is_one_pace() {
        let pace = pace(Arrival::Poisson, 50.0, &[seconds(10, 50.0)]);
        let times = |seed| Pacer::new(&pace, seed).collect::<Vec<_>>();
        assert_eq!(times(1), times(1));
        assert_ne!(times(1), times(2));
    }

    #[test]
    fn nothing_is_due_at_a_rate_of_zero() {
        assert_eq!(Pacer::new(&pace(Arrival::Uniform, 0.0, &[seconds(10, 0.0)]), 1).count(), 0);
        assert_eq!(Pacer::new(&pace(Arrival::Uniform, 9.0, &[]), 1).count(), 0);
    }

    #[test]
    fn clients_come_and_the_newest_goes_first() {
        let second = Duration::from_secs;
        let lifetimes = lifetimes(&[seconds(4, 4.0), seconds(4, 4.0), seconds(2, 2.0), seconds(0, 3.0)]);
        assert_eq!(
            lifetimes,
            [
                (second(1), None),
                (second(2), None),
                (second(3), Some(second(10))),
                (second(4), Some(second(9))),
                (second(10), None),
            ]
        );
    }
}
