//! Who is alive.

use std::sync::Arc;

use super::bed::Bed;
use crate::broker::LogLimits;
use crate::broker::roster::ALIVE_FOR;

pub(super) async fn a_node_is_alive_until_it_leaves(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    assert_eq!(log.alive().await.unwrap(), []);
    let (old, new): (Arc<str>, Arc<str>) = (Arc::from("01A"), Arc::from("01B"));
    log.beat(&new, &Arc::from("new")).await.unwrap();
    log.beat(&old, &Arc::from("first")).await.unwrap();
    log.beat(&old, &Arc::from("\"größe\"")).await.unwrap();
    let alive = log.alive().await.unwrap();
    let said: Vec<_> = alive.iter().map(|node| (&*node.incarnation, &*node.record)).collect();
    assert_eq!(said, [("01A", "\"größe\""), ("01B", "new")]);
    assert!(alive.iter().all(|node| node.age < ALIVE_FOR), "{alive:?}");
    log.leave("01A").await.unwrap();
    log.leave("01A").await.unwrap();
    let left = log.alive().await.unwrap();
    assert_eq!(left.iter().map(|node| &*node.incarnation).collect::<Vec<_>>(), ["01B"]);
    log.close().await;
}
