//! Rebuilds the ledgers from a full history and compares them with the stored ones. Read [`differences`] first.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::files::ArchiveError;
use super::op::Op;
use super::stored_run::StoredRun;
use crate::bench::ids::{PublisherId, SubscriberId};
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::ledger::{
    Arrival, Fields, IdTable, PublishLedger, StoredClients, SubscriberLedger,
};

/// Differences that are reported.
const DIFFERENCES_MAX: usize = 10;

/// Ledgers made from the operations of a history.
pub(super) struct RebuiltLedgers<'a> {
    plan: &'a Plan,
    rules: u16,
    ids: IdTable,
    clients: BTreeMap<SubscriberId, SubscriberLedger>,
    publishes: BTreeMap<PublisherId, PublishLedger>,
}

/// Where the ledgers of a run differ from those that its history files give.
///
/// # Errors
/// A file that cannot be read to its end.
pub(super) fn differences(run: &StoredRun, files: &[PathBuf]) -> Result<Vec<String>, ArchiveError> {
    let mut rebuilt = RebuiltLedgers::new(&run.plan, run.facts.rules);
    for path in files {
        rebuilt.read(path)?;
    }
    let mut differences = Vec::new();
    for stored in &run.ledgers.subscribers {
        let client = run.plan.subscriber(stored.id());
        let name = client.map_or_else(|| format!("{:?}", stored.id()), |client| client.client.to_string());
        match rebuilt.clients.remove(&stored.id()) {
            None => differences.push(format!("client {name} has a ledger but no line in the history")),
            Some(ledger) if stored_form(&ledger) == stored_form(stored) => {}
            Some(_) => differences
                .push(format!("the ledger of client {name} differs from the one that the history gives")),
        }
    }
    for stored in &run.ledgers.publishes {
        let publisher = stored.publisher();
        let empty = PublishLedger::new(publisher);
        let ledger = rebuilt.publishes.remove(&publisher).unwrap_or(empty);
        if ledger != *stored {
            let plan = run.plan.publishers.iter().find(|plan| plan.id == publisher);
            let name = plan.map_or_else(|| format!("{publisher:?}"), |plan| plan.name.clone());
            differences
                .push(format!("the ledger of publisher {name} differs from the one that the history gives"));
        }
    }
    let unknown = rebuilt.clients.len() + rebuilt.publishes.len();
    if unknown > 0 {
        differences
            .push(format!("the history has lines of {unknown} clients or publishers without a ledger"));
    }
    let more = differences.len().saturating_sub(DIFFERENCES_MAX);
    differences.truncate(DIFFERENCES_MAX);
    if more > 0 {
        differences.push(format!("and {more} more"));
    }
    Ok(differences)
}

fn stored_form(ledger: &SubscriberLedger) -> StoredClients {
    StoredClients::of(std::slice::from_ref(ledger))
}

impl<'a> RebuiltLedgers<'a> {
    pub(super) fn new(plan: &'a Plan, rules: u16) -> Self {
        let (ids, clients, publishes) = (IdTable::default(), BTreeMap::new(), BTreeMap::new());
        Self { plan, rules, ids, clients, publishes }
    }

    fn read(&mut self, path: &Path) -> Result<(), ArchiveError> {
        let broken = |source: io::Error| ArchiveError::Io { path: path.to_owned(), source };
        let damaged = |why: String| ArchiveError::Damaged { path: path.to_owned(), why };
        let file = File::open(path).map_err(broken)?;
        for (number, text) in (1_u64..).zip(BufReader::new(MultiGzDecoder::new(file)).lines()) {
            let text = text.map_err(|error| damaged(error.to_string()))?;
            let op = serde_json::from_str(&text);
            let op: Op = op.map_err(|error| damaged(format!("line {number}: {error}")))?;
            self.apply(op).ok_or_else(|| damaged(format!("line {number} belongs to another plan")))?;
        }
        Ok(())
    }

    /// `None`: the plan has no such client, or the publish did not begin.
    pub(super) fn apply(&mut self, op: Op) -> Option<()> {
        match op {
            Op::Confirmed { client, at, resumed, began } => {
                let client = self.client(client)?;
                client.confirmed(at, resumed);
                client.requested(began.unwrap_or(at));
            }
            Op::ServedBy { client, node } => self.client(client)?.served_by(node),
            Op::Disconnected { client, at } => self.client(client)?.disconnected(at),
            Op::AttemptFailed { client, began, at } => self.client(client)?.record_failed_attempt(began, at),
            Op::Gap { client, at } => self.client(client)?.gap(at),
            Op::Event { client, at, id, event, stamp } => {
                let fields = Fields { id: id.as_deref(), event: event.as_deref() };
                let _arrival: Arrival = self.client(client)?.arrive(at, fields, stamp);
            }
            Op::Altered { client, at, id, event, stamp } => {
                let fields = Fields { id: id.as_deref(), event: event.as_deref() };
                let _arrival: Arrival = self.client(client)?.altered(at, fields, stamp);
            }
            Op::Rechecks { client, at } => self.client(client)?.rechecks(at),
            Op::Reopened { client } => _ = self.client(client)?.opened(),
            Op::Foreign { client, at } => {
                let _arrival: Arrival = self.client(client)?.foreign(at);
            }
            Op::Finished { client, at, ending } => self.client(client)?.finish(at, ending),
            Op::Publish { publisher, address, at } => {
                self.publisher(publisher).begin(address, at);
            }
            Op::Ended { publisher, address, seq, at, outcome } => {
                let ledger = self.publisher(publisher);
                // A publish that never began cannot have ended.
                if (1..=ledger.sent(address)).contains(&seq) {
                    ledger.end(address, seq, at, outcome);
                } else {
                    return None;
                }
            }
            Op::Dropped { publisher, phase } => self.publisher(publisher).dropped(phase),
        }
        Some(())
    }

    fn client(&mut self, id: SubscriberId) -> Option<&mut SubscriberLedger> {
        self.plan.subscriber(id)?;
        let (plan, rules, ids) = (self.plan, self.rules, &self.ids);
        Some(
            self.clients
                .entry(id)
                .or_insert_with(|| SubscriberLedger::sharing(plan, id, ids).by_rules(rules, plan)),
        )
    }

    fn publisher(&mut self, id: PublisherId) -> &mut PublishLedger {
        self.publishes.entry(id).or_insert_with(|| PublishLedger::new(id))
    }
}
