//! Makes the books again from a history in full, and lays them beside those that were stored. Read [`differences`] first.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::case::StoredRun;
use super::files::ArchiveError;
use super::op::Op;
use crate::bench::ids::{PublisherId, SubscriberId};
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::ledger::{Arrival, PublishLedger, StoredClients, SubscriberLedger};

/// Differences that are told.
const DIFFERENCES_MAX: usize = 10;

/// Books that are written anew.
struct RebuiltLedgers<'a> {
    plan: &'a Plan,
    clients: BTreeMap<SubscriberId, SubscriberLedger>,
    publishes: BTreeMap<PublisherId, PublishLedger>,
}

/// Where the books of a case are not those that these files give.
///
/// # Errors
/// A file that cannot be read to its end.
pub(super) fn differences(case: &StoredRun, files: &[PathBuf]) -> Result<Vec<String>, ArchiveError> {
    let mut anew = RebuiltLedgers { plan: &case.plan, clients: BTreeMap::new(), publishes: BTreeMap::new() };
    for path in files {
        anew.read(path)?;
    }
    let mut differences = Vec::new();
    for stored in &case.books.subscribers {
        let client = case.plan.subscriber(stored.id());
        let name = client.map_or_else(|| format!("{:?}", stored.id()), |client| client.client.to_string());
        match anew.clients.remove(&stored.id()) {
            None => differences.push(format!("client {name} has a book, and nothing happened to it")),
            Some(book) if of(&book) == of(stored) => {}
            Some(_) => differences.push(format!("the book of client {name} is not what its arrivals give")),
        }
    }
    for stored in &case.books.publishes {
        let publisher = stored.publisher();
        let empty = PublishLedger::new(publisher);
        let book = anew.publishes.remove(&publisher).unwrap_or(empty);
        if book != *stored {
            let plan = case.plan.publishers.iter().find(|plan| plan.id == publisher);
            let name = plan.map_or_else(|| format!("{publisher:?}"), |plan| plan.name.clone());
            differences.push(format!("the book of publisher {name} is not what its publishes give"));
        }
    }
    let unknown = anew.clients.len() + anew.publishes.len();
    if unknown > 0 {
        differences.push(format!("the history tells of {unknown} clients or publishers that have no book"));
    }
    let more = differences.len().saturating_sub(DIFFERENCES_MAX);
    differences.truncate(DIFFERENCES_MAX);
    if more > 0 {
        differences.push(format!("and {more} more"));
    }
    Ok(differences)
}

fn of(book: &SubscriberLedger) -> StoredClients {
    StoredClients::of(std::slice::from_ref(book))
}

impl RebuiltLedgers<'_> {
    fn read(&mut self, path: &Path) -> Result<(), ArchiveError> {
        let broken = |source: io::Error| ArchiveError::Io { path: path.to_owned(), source };
        let damaged = |why: String| ArchiveError::Damaged { path: path.to_owned(), why };
        let file = File::open(path).map_err(broken)?;
        for (number, text) in (1_u64..).zip(BufReader::new(MultiGzDecoder::new(file)).lines()) {
            let text = text.map_err(|error| damaged(error.to_string()))?;
            let line = serde_json::from_str(&text);
            let line: Op = line.map_err(|error| damaged(format!("line {number}: {error}")))?;
            self.tell(line).ok_or_else(|| damaged(format!("line {number} is of another plan")))?;
        }
        Ok(())
    }

    /// `None`: nobody of this plan.
    fn tell(&mut self, line: Op) -> Option<()> {
        match line {
            Op::Confirmed { client, at, resumed } => self.client(client)?.confirmed(at, resumed),
            Op::ServedBy { client, node } => self.client(client)?.served_by(node),
            Op::Disconnected { client, at } => self.client(client)?.disconnected(at),
            Op::TurnedAway { client, began, at } => self.client(client)?.turned_away(began, at),
            Op::Gap { client, at } => self.client(client)?.gap(at),
            Op::Event { client, at, id, stamp } => {
                let _arrival: Arrival = self.client(client)?.arrive(at, id.as_deref(), stamp);
            }
            Op::Foreign { client, at } => {
                let _arrival: Arrival = self.client(client)?.foreign(at);
            }
            Op::Finished { client, at, ending } => self.client(client)?.finish(at, ending),
            Op::Publish { publisher, address, at } => {
                self.publisher(publisher).begin(address, at);
            }
            Op::Ended { publisher, address, seq, at, outcome } => {
                let book = self.publisher(publisher);
                // What was never sent cannot have ended.
                if seq <= book.sent(address) {
                    book.end(address, seq, at, outcome);
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
        Some(self.clients.entry(id).or_insert_with(|| SubscriberLedger::new(self.plan, id)))
    }

    fn publisher(&mut self, id: PublisherId) -> &mut PublishLedger {
        self.publishes.entry(id).or_insert_with(|| PublishLedger::new(id))
    }
}
