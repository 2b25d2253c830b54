//! Following a log: every entry, once, however it is waited for.

use futures_util::FutureExt as _;

use super::bed::{Bed, at_most, check_gap, event, ids, named};
use crate::broker::{Follower, LogLimits};
use crate::protocol::api::GapReason;
use crate::protocol::{Cursor, Epoch, Position};

pub(super) async fn a_follower_wakes_for_every_append(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let mut follower = log.follow(log.look().await.start_cursor());
    for n in 0..20 {
        // Waiting before the append and after it must come to the same.
        let event = event(&format!("m{n}"), "all");
        let page = if n % 2 == 0 {
            let (page, _) = tokio::join!(follower.next(10), log.put(event));
            page.unwrap()
        } else {
            log.put(event).await;
            follower.next(10).await.unwrap()
        };
        assert_eq!((page.gap, ids(&page.entries)), (None, named(n..n + 1)));
    }
    log.close().await;
}

pub(super) async fn a_cancelled_wait_loses_nothing(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let mut follower = log.follow(log.look().await.start_cursor());
    let mut seen = Vec::new();
    for n in 0..30 {
        assert!(follower.next(10).now_or_never().is_none_or(|page| {
            seen.extend(ids(&page.unwrap().entries));
            true
        }));
        log.put(event(&format!("m{n}"), "all")).await;
        // Cancelled wherever it happens to be: in the read, or in the wait.
        if let Some(page) = follower.next(10).now_or_never() {
            seen.extend(ids(&page.unwrap().entries));
        }
    }
    while seen.len() < 30 {
        seen.extend(ids(&follower.next(10).await.unwrap().entries));
    }
    assert_eq!(seen, named(0..30));
    log.close().await;
}

pub(super) async fn a_follower_behind_the_trim_gets_one_gap_and_goes_on(bed: &Bed) {
    let log = bed.open(at_most(4)).await;
    let cursors = log.put_many(3).await;
    let mut follower = log.follow(cursors[0]);
    for n in 3..10 {
        log.put(event(&format!("m{n}"), "all")).await;
    }
    let page = follower.next(3).await.unwrap();
    check_gap(&page, GapReason::Trimmed, log.look().await.start_cursor(), None);
    assert_eq!(ids(&page.entries), named(6..9));
    let page = follower.next(3).await.unwrap();
    assert_eq!((page.gap, ids(&page.entries)), (None, named(9..10)));
    // A gap comes at once even where no entry follows it.
    let foreign = Cursor::start_of(Epoch::from_random(7));
    let beyond = Cursor::new(cursors[0].epoch, Position { ms: u64::MAX, seq: 0 });
    assert_eq!(log.follow(beyond).next(3).await.unwrap().gap.unwrap().reason, GapReason::Rollback);
    assert_eq!(log.follow(foreign).next(3).await.unwrap().gap.unwrap().reason, GapReason::Epoch);
    log.close().await;
}

async fn read_all(mut follower: Follower, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let page = follower.next(7).await.unwrap();
        assert_eq!(page.gap, None);
        assert!((1..=7).contains(&page.entries.len()));
        seen.extend(ids(&page.entries));
    }
    seen
}

pub(super) async fn followers_miss_nothing_of_many_appenders(bed: &Bed) {
    const APPENDERS: usize = 20;
    const EACH: usize = 15;
    let log = bed.open(LogLimits::default()).await;
    let start = log.look().await.start_cursor();
    let mut tasks = tokio::task::JoinSet::new();
    for a in 0..APPENDERS {
        let broker = log.broker.clone();
        tasks.spawn(async move {
            for n in 0..EACH {
                assert!(!broker.append(event(&format!("{a}-{n}"), "all")).await.unwrap().duplicate);
            }
        });
    }
    let followers = (0..3).map(|_| read_all(log.follow(start), APPENDERS * EACH));
    let seen = futures_util::future::join_all(followers).await;
    while let Some(joined) = tasks.join_next().await {
        joined.unwrap();
    }
    let kept = ids(&log.page(start, 1_000).await.entries);
    assert_eq!(kept.len(), APPENDERS * EACH);
    for seen in seen {
        assert_eq!(seen, kept);
    }
    log.close().await;
}

pub(super) async fn a_follower_misses_no_wake(bed: &Bed) {
    const ROUNDS: usize = 400;
    let log = bed.open(LogLimits::default()).await;
    let mut follower = log.follow(log.look().await.start_cursor());
    let (seen, mut next) = tokio::sync::mpsc::channel(1);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        for _ in 0..ROUNDS {
            let page = follower.next(10).await.unwrap();
            seen.send(ids(&page.entries)).await.unwrap();
        }
    });
    for n in 0..ROUNDS {
        log.put(event(&format!("m{n}"), "all")).await;
        assert_eq!(next.recv().await, Some(named(n..n + 1)));
    }
    tasks.join_next().await.unwrap().unwrap();
    log.close().await;
}
