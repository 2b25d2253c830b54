//! Which nodes are alive, by the clock of the server: incarnations by their last beat, and the records that they sent.

use std::sync::Arc;
use std::time::Duration;

use super::connection::Ask;
use super::log::Redis;
use crate::broker::StoreError;
use crate::broker::roster::{ALIVE_FOR, Alive};
use crate::runtime::clock::millis;

impl Redis {
    pub(in crate::broker) async fn beat(
        &self,
        incarnation: &Arc<str>,
        record: &Arc<str>,
    ) -> Result<(), StoreError> {
        let keys = &self.shared.keys;
        let mut script = self.shared.scripts.beat.key(&keys.nodes);
        script.key(&keys.records).arg(&**incarnation).arg(&**record);
        let _now: u64 =
            self.shared.commands.ask("report that this node is alive", Ask::Script(&script)).await?;
        Ok(())
    }

    pub(in crate::broker) async fn leave(&self, incarnation: &str) -> Result<(), StoreError> {
        let keys = &self.shared.keys;
        let mut script = self.shared.scripts.leave.key(&keys.nodes);
        script.key(&keys.records).arg(incarnation);
        let _records: u64 = self.shared.commands.ask("leave the roster", Ask::Script(&script)).await?;
        Ok(())
    }

    pub(in crate::broker) async fn alive(&self) -> Result<Vec<Alive>, StoreError> {
        let keys = &self.shared.keys;
        let mut script = self.shared.scripts.alive.key(&keys.nodes);
        script.key(&keys.records).arg(millis(ALIVE_FOR));
        let told: Vec<(String, String, u64)> =
            self.shared.commands.ask("read the roster", Ask::Script(&script)).await?;
        let mut alive: Vec<_> = told
            .into_iter()
            .map(|(incarnation, record, silent)| Alive {
                incarnation: Arc::from(incarnation),
                record: Arc::from(record),
                age: Duration::from_millis(silent),
            })
            .collect();
        alive.sort_by(|a, b| a.incarnation.cmp(&b.incarnation));
        Ok(alive)
    }
}
