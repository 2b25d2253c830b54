//! Earlier readings, for looking back while the console is paused. One entry a step of the history, bounded by the
//! number of readings and not of steps, so that many nodes take no more memory than few. Pure. Read [`Past`] first.

use std::collections::VecDeque;
use std::sync::Arc;

use super::message::Moment;
use super::node::Node;
use super::picture::Totals;
use super::series::KEPT;

/// Readings that are kept over all steps; each takes about a kilobyte.
const READINGS: usize = 20_000;

/// What was known at the steps of the history, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past {
    steps: VecDeque<Arc<Then>>,
    readings: usize,
}

/// What was known at one step.
#[derive(Debug)]
pub(crate) struct Then {
    /// Counted in intervals since the start.
    pub(crate) step: u128,
    pub(crate) now: Moment,
    /// Without their trends, and with summaries in place of their histograms.
    pub(crate) nodes: Vec<Node>,
    pub(crate) totals: Totals,
}

impl Past {
    pub(crate) fn push(&mut self, then: Then) {
        self.readings += then.nodes.len();
        self.steps.push_back(Arc::new(then));
        while self.steps.len() > KEPT || (self.readings > READINGS && self.steps.len() > 1) {
            self.readings -= self.steps.pop_front().map_or(0, |then| then.nodes.len());
        }
    }

    /// How many steps there are.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// What was known so many steps before the newest one.
    pub(crate) fn back(&self, back: usize) -> Option<&Arc<Then>> {
        self.steps.get(self.steps.len().checked_sub(back + 1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::{at, url};
    use crate::tui::node::Origin;

    fn then(step: u128, nodes: usize) -> Then {
        let node = |_| Node::new(url(1), Origin::Given, at(0.0));
        Then { step, now: at(0.0), nodes: (0..nodes).map(node).collect(), totals: Totals::default() }
    }

    #[test]
    fn many_nodes_take_no_more_memory_than_few() {
        let mut past = Past::default();
        (0..1_000).for_each(|step| past.push(then(step, 3)));
        assert_eq!((past.len(), past.back(0).unwrap().step), (KEPT, 999));
        assert!(past.back(KEPT).is_none());
        (0..1_000).for_each(|step| past.push(then(step, 64)));
        assert_eq!(past.len(), READINGS / 64);
    }
}
