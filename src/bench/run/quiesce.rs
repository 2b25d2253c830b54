//! The end of a run: clients reconnect, each address gets a sentinel, and then no event may arrive for a while. Returns
//! whether that state was reached.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bench::ids::{AddressId, PublisherId};
use crate::bench::load::clients::Commands;
use crate::bench::load::clients::context::SwarmContext;
use crate::bench::load::publishers::{PreparedRequest, PublishContext, Published, Retry, deliver};
use crate::bench::scenario::Quiesce;
use crate::bench::scenario::plan::{Plan, PublisherPlan};
use crate::bench::stamp::Stamp;
use crate::bench::verdict::ledger::{PublishLedger, PublishOutcome};
use crate::runtime::plural;

/// Time limit of the quiet end after ^C.
const INTERRUPTED_TIMEOUT: Duration = Duration::from_secs(5);
/// Sentinels in flight at once.
const SENTINELS_AT_ONCE: usize = 64;
/// Longest wait until clients that lack something have connected again.
const RECONNECTS_WITHIN: Duration = Duration::from_secs(5);
/// Period of checking.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How the run became quiet.
#[derive(Debug)]
pub(super) struct Quiescence {
    /// The ledger of the sentinels as sent. The clients' ledgers say who received them.
    pub(super) sentinels: PublishLedger,
    /// Why the run did not become quiet; `None` if it did.
    pub(super) missing: Vec<String>,
}

/// Waits for the publishers' last answers. After `patience`, what is unanswered stays so.
pub(super) async fn collect(
    mut publishers: JoinSet<Published>,
    patience: Duration,
    give_up: &CancellationToken,
) -> Vec<Published> {
    let mut all = Vec::new();
    let deadline = Instant::now() + patience;
    loop {
        let joined = match tokio::time::timeout_at(deadline, publishers.join_next()).await {
            Ok(joined) => joined,
            Err(_) => {
                give_up.cancel();
                // A publisher without unanswered publishes ends at once.
                publishers.join_next().await
            }
        };
        match joined {
            Some(Ok(published)) => all.push(published),
            Some(Err(panicked)) => std::panic::resume_unwind(panicked.into_panic()),
            None => return all,
        }
    }
}

/// For each address that was published to, a publisher that the server accepted events from: the address's sentinel is sent
/// with its headers and to its nodes. Where it accepted none, any publisher that tried.
pub(super) fn senders<'a>(plan: &'a Plan, published: &[Published]) -> BTreeMap<AddressId, &'a PublisherPlan> {
    let mut senders = BTreeMap::new();
    for Published { ledger, .. } in published {
        let Some(publisher) = plan.publishers.iter().find(|plan| plan.id == ledger.publisher()) else {
            continue;
        };
        for address in ledger.addresses() {
            if !senders.contains_key(&address) || is_acknowledged(ledger, address) {
                senders.insert(address, publisher);
            }
        }
    }
    senders
}

/// The limits of the plan, with less patience for a run that was interrupted.
pub(super) fn limits(plan: &Plan, was_interrupted: bool) -> Quiesce {
    let limits = plan.verify.quiesce;
    let timeout = if was_interrupted { limits.timeout.min(INTERRUPTED_TIMEOUT) } else { limits.timeout };
    Quiesce { timeout, ..limits }
}

/// Waits until the run is quiet. `senders`: as of [`senders`]. Unless the run was interrupted, clients whose streams stay
/// silent connect again.
pub(super) async fn quiesce(
    context: &Arc<SwarmContext>,
    publishing: &PublishContext,
    commands: &Commands,
    senders: &BTreeMap<AddressId, &PublisherPlan>,
    was_interrupted: bool,
) -> Quiescence {
    let limits = limits(&context.plan, was_interrupted);
    let deadline = Instant::now() + limits.timeout;
    let mut missing = Vec::new();
    // A client that is away when the sentinel is sent, and reconnects without a cursor, would never receive it.
    let all_back = || context.progress.snapshot().connected >= u64::from(context.board.alive());
    if !wait_until(deadline, all_back).await {
        let away = u64::from(context.board.alive()).saturating_sub(context.progress.snapshot().connected);
        missing.push(format!("not connected: {away} {}", plural(away, "client")));
    }
    commands.announce_sentinels(senders.keys().copied().collect());
    let mut sentinels = PublishLedger::new(PublisherId::SENTINEL);
    let failure = send_sentinels(publishing, senders, &mut sentinels, deadline).await;
    let unsent = senders.keys().filter(|address| !is_acknowledged(&sentinels, **address)).count();
    if unsent > 0 {
        let why = failure.map(|failure| format!(": {failure}")).unwrap_or_default();
        missing.push(format!("{unsent} of {} sentinels were not acknowledged{why}", senders.len()));
    }
    let is_silent = wait_for_sentinels(context, limits.idle, deadline).await == Silence::OfClients;
    if is_silent && unsent == 0 && !was_interrupted {
        let ending = Ending { context, publishing, senders, idle: limits.idle, deadline };
        ending.recheck(commands, &mut sentinels).await;
    }
    Quiescence { sentinels, missing }
}

fn is_acknowledged(ledger: &PublishLedger, address: AddressId) -> bool {
    ledger.outcomes(address).any(|outcome| outcome == PublishOutcome::Acknowledged)
}

/// A publish that is unanswered at the deadline is not in the ledger. Also returns the last reason why one was not
/// acknowledged.
async fn send_sentinels(
    publishing: &PublishContext,
    senders: &BTreeMap<AddressId, &PublisherPlan>,
    ledger: &mut PublishLedger,
    deadline: Instant,
) -> Option<String> {
    let mut failure = None;
    let numbers: Vec<_> =
        senders.iter().map(|(address, sender)| (address, sender, ledger.sent(*address) + 1)).collect();
    let sends = numbers.into_iter().map(|(address, sender, seq)| async move {
        let due = publishing.clock.now();
        let stamp = Stamp {
            run: publishing.run,
            publisher: PublisherId::SENTINEL,
            address: *address,
            seq,
            due,
            sent: due,
        };
        let request = PreparedRequest::new(publishing, stamp, 0, 0);
        let request = request.through(&sender.nodes).with_headers(&sender.headers);
        (due, deliver(request, publishing.clone(), Retry::usual(), u64::from(address.0)).await)
    });
    let mut sending = std::pin::pin!(futures_util::stream::iter(sends).buffer_unordered(SENTINELS_AT_ONCE));
    while let Ok(Some((began, sent))) = tokio::time::timeout_at(deadline, sending.next()).await {
        let seq = ledger.begin(sent.address, began);
        ledger.end(sent.address, seq, sent.ended, sent.outcome);
        failure = sent.failure.or(failure);
    }
    failure
}

/// Why the wait for sentinels ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// All clients have theirs.
    Whole,
    /// Some clients lack one, and nothing arrived for long.
    OfClients,
    /// The time was up.
    TimedOut,
}

/// What the end of a run is made of.
#[derive(Clone, Copy)]
struct Ending<'a> {
    context: &'a Arc<SwarmContext>,
    publishing: &'a PublishContext,
    senders: &'a BTreeMap<AddressId, &'a PublisherPlan>,
    idle: Duration,
    deadline: Instant,
}

impl Ending<'_> {
    /// Finds out what is wrong with clients that lack a sentinel. First another one is sent: a stream that gets it is alive, and
    /// what it lacks is lost. Clients that lack it too connect again. A client that cannot say where it was gets only
    /// what is sent from then on, so there is a third sentinel.
    async fn recheck(self, commands: &Commands, sentinels: &mut PublishLedger) {
        let Self { context, publishing, senders, idle, deadline } = self;
        send_sentinels(publishing, senders, sentinels, deadline).await;
        if wait_for_sentinels(context, idle, deadline).await != Silence::OfClients {
            return;
        }
        let silent = u64::from(context.board.alive()).saturating_sub(u64::from(context.board.satisfied()));
        tracing::info!(silent, "clients whose streams stay silent connect again");
        let before = context.progress.snapshot().reconnects;
        commands.recheck();
        let are_back = || context.progress.snapshot().reconnects >= before + silent;
        let _all = wait_until(deadline.min(Instant::now() + RECONNECTS_WITHIN), are_back).await;
        send_sentinels(publishing, senders, sentinels, deadline).await;
        wait_for_sentinels(context, idle, deadline).await;
    }
}

/// Waits until all clients have their sentinels, or no event arrives for `idle`, or the time is up.
async fn wait_for_sentinels(context: &Arc<SwarmContext>, idle: Duration, deadline: Instant) -> Silence {
    let mut last = (0, 0);
    let mut last_change = Instant::now();
    loop {
        let (alive, satisfied) = (context.board.alive(), context.board.satisfied());
        if satisfied >= alive {
            return Silence::Whole;
        }
        let now = (context.progress.snapshot().delivered, satisfied);
        if now != last {
            (last, last_change) = (now, Instant::now());
        }
        if Instant::now() >= deadline {
            return Silence::TimedOut;
        }
        if last_change.elapsed() >= idle {
            return Silence::OfClients;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn wait_until(deadline: Instant, condition: impl Fn() -> bool) -> bool {
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    true
}
