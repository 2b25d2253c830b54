//! Values taken at equal steps; a hole (`None`) is a step whose value is not known.

use std::collections::VecDeque;

/// Steps that are kept: 15 minutes at one per second.
pub(crate) const KEPT: usize = 900;

/// The newest [`KEPT`] values.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Series(VecDeque<Option<f64>>);

impl Series {
    /// Adds the newest value and forgets the oldest when the ring is full.
    pub(crate) fn push(&mut self, value: Option<f64>) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(value.filter(|value| value.is_finite()));
    }

    /// The newest `count` steps, oldest first.
    pub(crate) fn last(&self, count: usize) -> impl ExactSizeIterator<Item = Option<f64>> {
        self.0.iter().skip(self.0.len().saturating_sub(count)).copied()
    }

    /// The series as it was `steps` steps ago.
    pub(crate) fn before(&self, steps: usize) -> Self {
        let mut series = self.clone();
        series.0.truncate(self.0.len().saturating_sub(steps));
        series
    }

    /// Largest value of the newest `count` steps.
    pub(crate) fn max(&self, count: usize) -> Option<f64> {
        self.last(count).flatten().reduce(f64::max)
    }

    /// Value of the newest step.
    pub(crate) fn newest(&self) -> Option<f64> {
        self.0.back().copied().flatten()
    }
}

impl FromIterator<Option<f64>> for Series {
    fn from_iter<I: IntoIterator<Item = Option<f64>>>(values: I) -> Self {
        let mut series = Self::default();
        values.into_iter().for_each(|value| series.push(value));
        series
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_newest_steps_and_their_holes() {
        let series: Series = (0..2000).map(|n| (n % 2 == 0).then(|| f64::from(n))).collect();
        assert_eq!(series.last(usize::MAX).len(), KEPT);
        assert_eq!(series.last(3).collect::<Vec<_>>(), [None, Some(1998.0), None]);
        assert_eq!(series.max(4), Some(1998.0));
        assert_eq!(series.newest(), None);
        assert_eq!(Series::default().max(10), None);
    }

    #[test]
    fn what_is_not_a_number_is_a_hole() {
        let series: Series = [Some(f64::NAN), Some(f64::INFINITY)].into_iter().collect();
        assert_eq!(series.last(2).flatten().count(), 0);
    }
}
