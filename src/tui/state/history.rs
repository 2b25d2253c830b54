//! Earlier states of the cluster, for looking back while the console is paused. The limit counts readings, not steps,
//! so that many nodes take no more memory than few. Pure. Read [`History`] first.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::tui::state::moment::Moment;
use crate::tui::state::node::Node;
use crate::tui::state::series::KEPT;
use crate::tui::state::totals::Totals;

/// Readings kept over all steps; each takes about a kilobyte.
const READINGS: usize = 20_000;

/// The states of the cluster, one per step, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    steps: VecDeque<Arc<HistoryStep>>,
    readings: usize,
}

/// The state of the cluster at one step.
#[derive(Debug)]
pub(crate) struct HistoryStep {
    /// Number of the step, counted in intervals since the start.
    pub(crate) step: u128,
    pub(crate) now: Moment,
    /// Without their trends, and with summaries instead of histograms.
    pub(crate) nodes: Vec<Node>,
    pub(crate) totals: Totals,
}

impl History {
    pub(crate) fn push(&mut self, step: HistoryStep) {
        self.readings += step.nodes.len();
        self.steps.push_back(Arc::new(step));
        while self.steps.len() > KEPT || (self.readings > READINGS && self.steps.len() > 1) {
            self.readings -= self.steps.pop_front().map_or(0, |step| step.nodes.len());
        }
    }

    /// Number of steps.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// The state `back` steps before the newest one.
    pub(crate) fn back(&self, back: usize) -> Option<&Arc<HistoryStep>> {
        self.steps.get(self.steps.len().checked_sub(back + 1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::state::node::Origin;
    use crate::tui::state::tests::fixture::{at, url};

    fn then(step: u128, nodes: usize) -> HistoryStep {
        let node = |_| Node::new(url(1), Origin::Given, at(0.0));
        HistoryStep { step, now: at(0.0), nodes: (0..nodes).map(node).collect(), totals: Totals::default() }
    }

    #[test]
    fn many_nodes_take_no_more_memory_than_few() {
        let mut past = History::default();
        (0..1_000).for_each(|step| past.push(then(step, 3)));
        assert_eq!((past.len(), past.back(0).unwrap().step), (KEPT, 999));
        assert!(past.back(KEPT).is_none());
        (0..1_000).for_each(|step| past.push(then(step, 64)));
        assert_eq!(past.len(), READINGS / 64);
    }
}
