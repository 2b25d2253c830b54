//! Reading from a cursor: pages, gaps, the newest entries.

use std::sync::Arc;

use super::bed::{Bed, at_most, bytes_of, check_gap, event, ids, named};
use crate::broker::{Entry, LogLimits, NewEvent, Origins, PageLimit};
use crate::protocol::api::GapReason;
use crate::protocol::{Cursor, Epoch, EventType, Position};

pub(super) async fn an_event_reads_back_as_it_was_appended(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let mut sent = Vec::new();
    for (n, to) in
        ["all", "topic:t", "user:u", "client:c", "node:n", "node:n/client:c", "topic:..", "client:\u{fffd}"]
            .into_iter()
            .enumerate()
    {
        let new = NewEvent {
            event_type: EventType::parse("größe").unwrap(),
            envelope: Arc::from("{\"data\":\"ä\\n\"}"),
            ..event(&format!("id {n}"), to)
        };
        let cursor = log.put(new.clone()).await;
        let NewEvent { message_id, address, event_type, envelope, .. } = new;
        sent.push(Entry { cursor, message_id, address, event_type, envelope, origins: Origins::default() });
    }
    let start = log.look().await.start_cursor();
    assert_eq!(log.page(start, 100).await.entries, sent);
    assert_eq!(log.read_newest(100, u64::MAX).await.unwrap(), sent);
    for entry in sent {
        assert_eq!(log.get(entry.cursor).await.unwrap(), Some(entry));
    }
    log.close().await;
}

pub(super) async fn a_new_log_is_empty_and_its_start_is_sound(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let bounds = log.look().await;
    assert_eq!((bounds.start, bounds.newest), (Position::ZERO, Position::ZERO));
    assert_eq!((bounds.length, bounds.bytes, bounds.mailboxes, bounds.mailbox_messages), (0, 0, 0, 0));
    let page = log.page(Cursor::start_of(bounds.epoch), 10).await;
    assert_eq!((page.gap, page.entries.len()), (None, 0));
    assert_eq!(log.read_newest(10, u64::MAX).await.unwrap(), []);
    log.close().await;
}

pub(super) async fn pages_follow_one_another_without_hole_or_repeat(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let cursors = log.put_many(23).await;
    let (mut at, mut seen) = (log.look().await.start_cursor(), Vec::new());
    loop {
        let page = log.page(at, 5).await;
        assert_eq!(page.gap, None);
        let Some(last) = page.entries.last() else { break };
        assert!(page.entries.len() == 5 || last.cursor == cursors[22]);
        at = last.cursor;
        seen.extend(ids(&page.entries));
    }
    assert_eq!(seen, named(0..23));
    log.close().await;
}

pub(super) async fn a_cursor_of_another_history_gets_a_gap_and_all_that_is_kept(bed: &Bed) {
    let log = bed.open(at_most(5)).await;
    let cursors = log.put_many(8).await;
    let foreign = Epoch::from_random(cursors[0].epoch.to_string().len() as u64);
    assert_ne!(foreign, cursors[0].epoch);
    for at in [Position::ZERO, cursors[6].position] {
        let page = log.page(Cursor::new(foreign, at), 100).await;
        check_gap(&page, GapReason::Epoch, log.look().await.start_cursor(), None);
        assert_eq!(ids(&page.entries), named(3..8));
    }
    assert_eq!(log.get(Cursor::new(foreign, cursors[6].position)).await.unwrap(), None);
    log.close().await;
}

pub(super) async fn a_trimmed_cursor_gets_a_gap_and_all_that_is_kept(bed: &Bed) {
    let log = bed.open(at_most(10)).await;
    let cursors = log.put_many(25).await;
    let bounds = log.look().await;
    assert_eq!(
        (bounds.start_cursor(), bounds.newest_cursor(), bounds.length),
        (cursors[14], cursors[24], 10)
    );
    let page = log.page(cursors[13], 100).await;
    check_gap(&page, GapReason::Trimmed, cursors[14], None);
    assert_eq!(ids(&page.entries), named(15..25));
    // From the start of the history the log knows how much is missing.
    let page = log.page(Cursor::start_of(bounds.epoch), 2).await;
    check_gap(&page, GapReason::Trimmed, cursors[14], Some(15));
    assert_eq!(ids(&page.entries), named(15..17));
    assert_eq!(log.get(cursors[14]).await.unwrap(), None);
    // An append after a trim moves the start by one.
    log.put(event("m25", "all")).await;
    assert_eq!(log.look().await.start_cursor(), cursors[15]);
    log.close().await;
}

pub(super) async fn the_last_trimmed_entry_is_a_sound_cursor(bed: &Bed) {
    let log = bed.open(at_most(10)).await;
    let cursors = log.put_many(25).await;
    let page = log.page(cursors[14], 100).await;
    assert_eq!((page.gap, ids(&page.entries)), (None, named(15..25)));
    log.close().await;
}

pub(super) async fn a_cursor_beyond_the_newest_is_a_rollback(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let cursors = log.put_many(3).await;
    let page = log.page(Cursor::new(cursors[2].epoch, cursors[2].position.next()), 100).await;
    check_gap(&page, GapReason::Rollback, cursors[2], None);
    assert_eq!(page.entries, []);
    log.close().await;
}

pub(super) async fn a_cursor_whose_entry_is_not_there_is_a_rollback(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let cursors = log.put_many(2).await;
    let lost = cursors[1].position.next();
    // The clock must have left the lost position behind, or the next entry would take exactly its place.
    let later = loop {
        let cursor =
            log.append(event(&format!("later-{}", rand::random::<u64>()), "all")).await.unwrap().cursor;
        if cursor.position.ms > lost.ms {
            break cursor;
        }
        tokio::task::yield_now().await;
    };
    let before = log.page(cursors[1], 1_000).await.entries;
    let sought = Position { ms: later.position.ms - 1, seq: u64::MAX };
    let sound = before.iter().rev().map(|entry| entry.cursor).find(|at| at.position < sought);
    let page = log.page(Cursor::new(later.epoch, sought), 100).await;
    check_gap(&page, GapReason::Rollback, sound.unwrap_or(cursors[1]), None);
    assert_eq!(page.entries.first().map(|entry| entry.cursor), Some(later));
    log.close().await;
}

pub(super) async fn bytes_are_counted_and_trimmed(bed: &Bed) {
    let one = bytes_of(&event("m0", "user:u"));
    let log = bed.open(LogLimits { max_bytes: 3 * one, ..LogLimits::default() }).await;
    for n in 0..3 {
        log.put(event(&format!("m{n}"), "user:u")).await;
    }
    assert_eq!((log.look().await.bytes, log.look().await.length), (3 * one, 3));
    // One byte more than fits for two of the old ones.
    log.put(event("m3-longer", "user:u")).await;
    let bounds = log.look().await;
    let kept = log.page(bounds.start_cursor(), 10).await.entries;
    assert_eq!(ids(&kept), ["m2", "m3-longer"]);
    assert_eq!((bounds.bytes, bounds.length), (one + bytes_of(&event("m3-longer", "user:u")), 2));
    log.close().await;
}

pub(super) async fn the_newest_entries_stay_within_both_limits(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    log.put_many(9).await;
    let one = bytes_of(&event("m0", "all"));
    for (limit, bytes, expected) in [
        (3, u64::MAX, 6..9),
        (100, 4 * one, 5..9),
        (100, 5 * one - 1, 5..9),
        (100, u64::MAX, 0..9),
        (0, one, 9..9),
    ] {
        let newest = log.read_newest(limit, bytes).await.unwrap();
        assert_eq!(ids(&newest), named(expected), "at most {limit} and {bytes} bytes");
    }
    log.close().await;
}

pub(super) async fn a_page_stays_within_both_limits_but_is_never_empty(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let cursors = log.put_many(9).await;
    let one = bytes_of(&event("m0", "all"));
    for (entries, bytes, expected) in [
        (3, u64::MAX, 1..4),
        (100, 4 * one, 1..5),
        (100, 5 * one - 1, 1..5),
        (100, u64::MAX, 1..9),
        (100, one - 1, 1..2),
        (100, 0, 1..2),
    ] {
        let page = log.read_after(cursors[0], PageLimit { entries, bytes }).await.unwrap();
        assert_eq!(ids(&page.entries), named(expected), "at most {entries} and {bytes} bytes");
    }
    log.close().await;
}
