//! The way of the ledgers to the swarm: each client sends its own, once, at its end. Read [`spawn_client`] first.

use tokio::sync::mpsc;

use crate::bench::ids::SubscriberId;
use crate::bench::verdict::ledger::SubscriberLedger;
use crate::runtime::Tasks;

/// Has room for the ledgers of all clients.
pub(super) type LedgerSender = mpsc::Sender<(SubscriberId, SubscriberLedger)>;

/// Sends the ledger of a client that has ended.
pub(super) async fn hand_in(ledgers: &LedgerSender, id: SubscriberId, ledger: SubscriberLedger) {
    // Nobody takes it where the swarm has run out of patience.
    let _nobody = ledgers.send((id, ledger)).await;
}

/// Makes the life of a client a task, up to its ledger or the end of the tasks.
pub(super) fn spawn_client(
    tasks: &Tasks,
    ledgers: &LedgerSender,
    id: SubscriberId,
    life: impl Future<Output = SubscriberLedger> + Send + 'static,
) {
    let (ledgers, token) = (ledgers.clone(), tasks.token().clone());
    tasks.spawn("client", async move {
        if let Some(ledger) = token.run_until_cancelled(Box::pin(life)).await {
            hand_in(&ledgers, id, ledger).await;
        }
    });
}
