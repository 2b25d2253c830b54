//! Which nodes are looked at: those that the user named, those of a bench run, and whoever these know of. A roster may
//! not make the console open connections without a limit, and one node may have several addresses. Pure.

use std::time::Duration;

use super::{Picture, Tone};
use crate::protocol::NodeId;
use crate::tui::message::{Effect, Moment};
use crate::tui::node::{Node, Origin};
use crate::tui::reading::Peer;
use crate::tui::run::Place;
use crate::tui::url::NodeUrl;

/// Nodes that are followed at the most.
pub(crate) const MAX_NODES: usize = 64;
/// A node that no roster names and that does not answer is forgotten after this time.
const FORGET_AFTER: Duration = Duration::from_secs(60);

impl Picture {
    /// Follows the nodes of a run that has begun, instead of those of the run before.
    pub(crate) fn follow_run(&mut self, places: &[Place]) -> Vec<Effect> {
        self.run_is_over = false;
        let places: Vec<(NodeId, NodeUrl)> = places
            .iter()
            .filter_map(|place| {
                Some((NodeId::parse(place.name.as_str()).ok()?, place.url.as_str().parse().ok()?))
            })
            .collect();
        let is_old = |node: &Node| {
            matches!(node.origin, Origin::Run(_)) && !places.iter().any(|(_, url)| *url == node.url)
        };
        let old: Vec<_> = self.nodes.extract_if(.., |node| is_old(node)).collect();
        let mut effects: Vec<_> = old.into_iter().map(|node| Effect::Forget(node.url)).collect();
        for (id, url) in places {
            if self.node(&url).is_none() && self.nodes.len() < MAX_NODES {
                self.nodes.push(Node::new(url.clone(), Origin::Run(id), self.now));
                effects.push(Effect::FollowStranger(url));
            }
        }
        effects
    }

    /// The run is over: those of its nodes that do not answer any more are forgotten.
    pub(crate) fn leave_run(&mut self) {
        self.run_is_over = true;
    }

    /// Follows the nodes of the roster that came `at` this moment and are not followed yet.
    pub(super) fn discover(&mut self, teller: &NodeUrl, at: Moment) -> Vec<Effect> {
        let latest = self.node(teller).and_then(|node| node.latest.as_ref()).filter(|latest| latest.at == at);
        let Some(Ok(roster)) = latest.map(|latest| latest.reading.roster.clone()) else {
            return Vec::new();
        };
        let is_stranger = self.node(teller).is_none_or(|teller| teller.is_stranger);
        let mut effects = Vec::new();
        for Peer { id, url } in roster {
            let now = self.now.elapsed;
            let is_same =
                |node: &&mut Node| node.expected_id() == Some(&id) || Some(&node.url) == url.as_ref();
            if let Some(known) = self.nodes.iter_mut().find(is_same) {
                known.listed_at = now;
            } else if let Some(url) = url.filter(|_| self.nodes.len() < MAX_NODES) {
                let mut node = Node::new(url.clone(), Origin::Roster(id), self.now);
                node.is_stranger = is_stranger;
                self.note(Tone::Neutral, node.label(), format!("found in the roster, at {}", url.short()));
                self.nodes.push(node);
                let follow = if is_stranger { Effect::FollowStranger } else { Effect::Follow };
                effects.push(follow(url));
            }
        }
        effects
    }

    /// One node may have two addresses: as the user wrote it, as the roster tells it, through a balancer. Of two
    /// that answer with the same id the one with the roster's address stays; one that was only promised and does not
    /// answer gives way to one that does.
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

    /// A node that left the cluster is shown for a while, then forgotten: when it does not answer, and a node that
    /// does no longer names it. What the user named himself stays.
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
            let why =
                if run_is_over { "is gone, as its run is over" } else { "left the roster and was forgotten" };
            self.note(Tone::Neutral, node.label(), why.to_owned());
            effects.push(Effect::Forget(node.url));
        }
        effects
    }
}
