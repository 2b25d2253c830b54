//! Appending: positions, repeats, a full queue, the end.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::bed::{Bed, address, event, ids, named};
use crate::broker::{AppendError, Appended, LogLimits};
use crate::protocol::Position;

pub(super) async fn a_repeated_message_id_gives_the_first_position_and_adds_nothing(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let first = log.put(event("m0", "all")).await;
    log.put(event("m1", "all")).await;
    let before = log.look().await;
    // The id alone decides, whatever else the repeat says.
    let again = log.append(event("m0", "user:u")).await.unwrap();
    assert_eq!(again, Appended { cursor: first, duplicate: true });
    assert_eq!(log.look().await, before);
    log.close().await;
}

pub(super) async fn of_many_simultaneous_repeats_one_is_kept(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let appends = (0..50).map(|_| log.append(event("same", "all")));
    let answers: Vec<_> =
        futures_util::future::join_all(appends).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.duplicate).count(), 1);
    assert_eq!(answers.iter().map(|answer| answer.cursor).collect::<HashSet<_>>().len(), 1);
    assert_eq!(log.look().await.length, 1);
    log.close().await;
}

pub(super) async fn positions_strictly_increase_among_many_appenders(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let appender = |a: usize| {
        let log = &log;
        async move {
            let mut own = Vec::new();
            for n in 0..20 {
                own.push(log.put(event(&format!("{a}-{n}"), "all")).await.position);
            }
            own
        }
    };
    let given = futures_util::future::join_all((0..10).map(appender)).await;
    for own in &given {
        assert!(own.is_sorted_by(|a, b| a < b), "one publisher's events stand in its own order: {own:?}");
    }
    let mut given: Vec<_> = given.into_iter().flatten().collect();
    given.sort();
    let kept = log.page(log.look().await.start_cursor(), 1_000).await.entries;
    let kept: Vec<_> = kept.iter().map(|entry| entry.cursor.position).collect();
    assert_eq!(kept, given);
    assert!(kept.is_sorted_by(|a, b| a < b), "{kept:?}");
    log.close().await;
}

pub(super) async fn a_closed_log_refuses_and_has_written_what_it_accepted(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let (mut waiting, mut answers) = (Vec::new(), Vec::new());
    for n in 0..50 {
        let mut append = Box::pin(log.append(event(&format!("m{n}"), "all")));
        match append.as_mut().now_or_never() {
            Some(answer) => answers.push(answer),
            // Into the queue; the answer comes later.
            None => waiting.push(append),
        }
    }
    assert_eq!(waiting.len(), if bed.has_queue() { 50 } else { 0 });
    log.tasks.token().cancel();
    answers.extend(futures_util::future::join_all(waiting).await);
    assert!(answers.len() == 50 && answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(log.tasks.join(Duration::from_secs(60)).await, Ok(()));
    assert!(matches!(log.append(event("late", "all")).await, Err(AppendError::Closed)));
    assert!(log.confirm(&address("user:u"), Position::ZERO).await.is_err());
    let kept = log.page(log.look().await.start_cursor(), 100).await;
    assert_eq!(ids(&kept.entries), named(0..50));
    log.close().await;
}

pub(super) async fn a_cancelled_append_is_in_the_log_all_the_same(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let cancelled = log.append(event("m0", "all")).now_or_never();
    assert_eq!(cancelled.is_none(), bed.has_queue());
    log.put(event("m1", "all")).await;
    let kept = log.page(log.look().await.start_cursor(), 100).await;
    assert_eq!(ids(&kept.entries), named(0..2));
    log.close().await;
}

pub(super) async fn a_full_queue_refuses_at_once(bed: &Bed) {
    if !bed.has_queue() {
        return;
    }
    let log = bed.open(LogLimits { append_queue: 4, ..LogLimits::default() }).await;
    // Nothing awaits here, so the writer (same thread) takes nothing out of the queue.
    let mut accepted = Vec::new();
    for n in 0..4 {
        let mut append = Box::pin(log.append(event(&format!("m{n}"), "all")));
        assert!(append.as_mut().now_or_never().is_none());
        accepted.push(append);
    }
    let refused = log.append(event("refused", "all")).now_or_never();
    assert!(matches!(refused, Some(Err(AppendError::Busy { waiting: 4 }))), "{refused:?}");
    for answer in futures_util::future::join_all(accepted).await {
        assert!(!answer.unwrap().duplicate);
    }
    // There is room again, and the refused event left no trace.
    log.put(event("m4", "all")).await;
    let kept = log.page(log.look().await.start_cursor(), 100).await;
    assert_eq!(ids(&kept.entries), named(0..5));
    log.close().await;
}
