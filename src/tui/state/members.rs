//! The set of polled nodes: those that the user named, those of a bench run, and those of their rosters. A roster
//! must not make the console open connections without a limit, and one node may have several addresses. Pure. Read
//! [`ClusterState::discover`] first.

use std::time::Duration;

use crate::protocol::NodeId;
use crate::tui::state::bench_run::RunNode;
use crate::tui::state::change::Tone;
use crate::tui::state::cluster::ClusterState;
use crate::tui::state::message::Effect;
use crate::tui::state::moment::Moment;
use crate::tui::state::node::{Node, Origin};
use crate::tui::state::reading::Peer;
use crate::tui::text::url::NodeUrl;

/// Most nodes that are polled.
pub(crate) const MAX_NODES: usize = 64;
/// A node that no roster names and that does not answer is removed after this time.
const FORGET_AFTER: Duration = Duration::from_secs(60);

impl ClusterState {
    /// Replaces the nodes of the previous run by those of a run that has begun.
    pub(crate) fn follow_run(&mut self, nodes: &[RunNode]) -> Vec<Effect> {
        self.run_is_over = false;
        let named: Vec<(NodeId, NodeUrl)> = nodes
            .iter()
            .filter_map(|node| {
                Some((NodeId::parse(node.name.as_str()).ok()?, node.url.as_str().parse().ok()?))
            })
            .collect();
        let is_old = |node: &Node| {
            matches!(node.origin, Origin::Run(_)) && !named.iter().any(|(_, url)| *url == node.url)
        };
        let old: Vec<_> = self.nodes.extract_if(.., |node| is_old(node)).collect();
        let mut effects: Vec<_> = old.into_iter().map(|node| Effect::Forget(node.url)).collect();
        for (id, url) in named {
            if self.node(&url).is_none() && self.nodes.len() < MAX_NODES {
                self.nodes.push(Node::new(url.clone(), Origin::Run(id), self.now));
                effects.push(Effect::FollowUntrusted(url));
            }
        }
        effects
    }

    /// Notes the end of the run: its nodes are removed when they stop answering.
    pub(crate) fn leave_run(&mut self) {
        self.run_is_over = true;
    }

    /// Adds the new nodes of the roster that came `at` this moment.
    pub(super) fn discover(&mut self, teller: &NodeUrl, at: Moment) -> Vec<Effect> {
        let latest = self.node(teller).and_then(|node| node.latest.as_ref()).filter(|latest| latest.at == at);
        let Some(Ok(roster)) = latest.map(|latest| latest.reading.roster.clone()) else {
            return Vec::new();
        };
        let is_untrusted = self.node(teller).is_none_or(|teller| teller.is_untrusted);
        let mut effects = Vec::new();
        for Peer { id, url } in roster {
            let now = self.now.elapsed;
            let is_same =
                |node: &&mut Node| node.expected_id() == Some(&id) || Some(&node.url) == url.as_ref();
            if let Some(known) = self.nodes.iter_mut().find(is_same) {
                known.listed_at = now;
            } else if let Some(url) = url.filter(|_| self.nodes.len() < MAX_NODES) {
                let mut node = Node::new(url.clone(), Origin::Roster(id), self.now);
                node.is_untrusted = is_untrusted;
                self.note(Tone::Neutral, node.label(), format!("found in the roster, at {}", url.short()));
                self.nodes.push(node);
                let follow = if is_untrusted { Effect::FollowUntrusted } else { Effect::Follow };
                effects.push(follow(url));
            }
        }
        effects
    }

    /// Removes second addresses of a node, such as a name that the user wrote, the address in the roster, a balancer.
    /// Of two addresses that answer with the same id the one of the roster stays; an address that has not answered
    /// yields to one that has.
    pub(super) fn drop_duplicates(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(index) = self.duplicate() {
            let node = self.nodes.remove(index);
            effects.push(Effect::Forget(node.url));
        }
        effects
    }

    fn duplicate(&self) -> Option<usize> {
        self.nodes.iter().enumerate().find_map(|(index, node)| {
            let id = node.expected_id()?;
            let is_same = |(_, other): &(usize, &Node)| other.url != node.url && other.id() == Some(id);
            let (other_index, other) = self.nodes.iter().enumerate().find(is_same)?;
            let gives_way =
                match (node.id().is_some(), self.is_roster_url(id, node), self.is_roster_url(id, other)) {
                    (false, _, _) => node.failing.is_some(),
                    (true, false, true) => true,
                    (true, true, false) => false,
                    (true, true, true) | (true, false, false) => index > other_index,
                };
            gives_way.then_some(index)
        })
    }

    fn is_roster_url(&self, id: &NodeId, node: &Node) -> bool {
        let readings = self.nodes.iter().filter_map(|node| node.latest.as_ref());
        readings
            .filter_map(|latest| latest.reading.roster.as_ref().ok())
            .flatten()
            .any(|peer| peer.id == *id && peer.url.as_ref() == Some(&node.url))
    }

    /// Removes nodes that left the cluster: nodes that do not answer, and that no roster has named for a while. Nodes
    /// that the user named stay.
    pub(super) fn forget_the_gone(&mut self) -> Vec<Effect> {
        let (now, someone_answers) = (self.now.elapsed, self.totals.fresh > 0);
        let belongs_to_a_run = !self.nodes.iter().any(|node| node.origin == Origin::Given);
        let run_is_over = self.run_is_over;
        let is_gone = |node: &Node| {
            let is_missing = someone_answers && now.saturating_sub(node.listed_at) > FORGET_AFTER;
            node.failing.is_some()
                && match node.origin {
                    Origin::Given => false,
                    Origin::Run(_) => run_is_over,
                    Origin::Roster(_) => is_missing || (run_is_over && belongs_to_a_run),
                }
        };
        let gone: Vec<_> = self.nodes.extract_if(.., |node| is_gone(node)).collect();
        let mut effects = Vec::new();
        for node in gone {
            let why = if run_is_over { "ended with its run" } else { "left the roster and was removed" };
            self.note(Tone::Neutral, node.label(), why.to_owned());
            effects.push(Effect::Forget(node.url));
        }
        effects
    }
}
