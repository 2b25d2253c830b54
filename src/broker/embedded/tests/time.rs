//! The passing of time, forwards and backwards.

use std::time::Duration;

use super::fixture::{Places, event, mail, open, user};
use crate::broker::embedded::disk::{Disk, WriteView};
use crate::broker::embedded::memory::Memory;
use crate::broker::embedded::tables::{Reads as _, Tables};
use crate::broker::embedded::writing::Rules;
use crate::broker::{BrokerUrl, Durability, LogLimits, NewEvent, PageLimit};
use crate::protocol::{Epoch, Position};

const SECOND: u64 = 1_000;

/// Lets the writer sweep: more than one tick of its interval. Time is paused, so this takes none.
async fn sweeps() {
    tokio::time::sleep(Duration::from_secs(3)).await;
}

#[tokio::test]
async fn positions_increase_also_when_the_clock_goes_backwards() {
    let places = Places::new();
    for url in places.both() {
        let log = open(&url, LogLimits::default(), 9_000).await;
        let first = log.put(event("a")).await;
        log.set_clock(2_000);
        let second = log.put(event("b")).await;
        log.set_clock(9_001);
        let third = log.put(event("c")).await;
        assert_eq!(first.position, Position { ms: 9_000, seq: 0 });
        assert_eq!(second.position, Position { ms: 9_000, seq: 1 });
        assert_eq!(third.position, Position { ms: 9_001, seq: 0 });
        log.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn old_entries_are_trimmed_without_an_append() {
    let places = Places::new();
    for url in places.both() {
        let limits = LogLimits { max_age: Duration::from_secs(10), ..LogLimits::default() };
        let log = open(&url, limits, SECOND).await;
        let old = log.put(event("old")).await;
        log.set_clock(5 * SECOND);
        let young = log.put(event("young")).await;
        log.set_clock(11 * SECOND);
        sweeps().await;
        assert_eq!(log.bounds().await.unwrap().length, 2, "as old as allowed is not too old");
        log.set_clock(11 * SECOND + 1);
        sweeps().await;
        let bounds = log.bounds().await.unwrap();
        assert_eq!((bounds.start_cursor(), bounds.newest_cursor(), bounds.length), (old, young, 1));
        log.set_clock(100 * SECOND);
        sweeps().await;
        let bounds = log.bounds().await.unwrap();
        assert_eq!((bounds.start_cursor(), bounds.newest_cursor(), bounds.length), (young, young, 0));
        assert_eq!(bounds.bytes, 0);
        // Whoever had read everything misses nothing.
        assert_eq!(log.read_after(young, PageLimit::entries(10)).await.unwrap().gap, None);
        log.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_a_day_ahead_lets_things_age_at_half_the_speed_and_is_told() {
    const DAY: u64 = 24 * 60 * 60 * SECOND;
    let places = Places::new();
    for url in places.both() {
        let limits = LogLimits { max_age: Duration::from_secs(10), ..LogLimits::default() };
        let log = open(&url, limits, SECOND).await;
        log.set_clock(DAY);
        log.put(event("ahead")).await;
        log.set_clock(2 * SECOND);
        log.pass(2 * SECOND);
        let back = log.put(event("back")).await;
        assert_eq!(back.position, Position { ms: DAY + SECOND, seq: 0 });
        assert_eq!(log.condition().clock_ahead, Duration::from_millis(DAY - SECOND));
        log.pass(18 * SECOND);
        sweeps().await;
        assert_eq!(log.bounds().await.unwrap().length, 2, "10 s old are allowed");
        log.pass(2 * SECOND);
        sweeps().await;
        assert_eq!(log.bounds().await.unwrap().length, 1);
        log.pass(4 * SECOND);
        sweeps().await;
        assert_eq!(log.bounds().await.unwrap().length, 0);
        log.set_clock(DAY + 20 * SECOND);
        assert_eq!(log.condition().clock_ahead, Duration::ZERO);
        log.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_id_is_remembered_for_its_window_also_beyond_the_trim() {
    let places = Places::new();
    for url in places.both() {
        let window = Duration::from_secs(10);
        let limits = LogLimits { idempotency_window: window, max_events: 1, ..LogLimits::default() };
        let log = open(&url, limits, SECOND).await;
        let first = log.put(event("a")).await;
        log.put(event("b")).await;
        log.set_clock(11 * SECOND);
        sweeps().await;
        let again = log.append(event("a")).await.unwrap();
        assert_eq!((again.cursor, again.duplicate), (first, true));
        log.set_clock(11 * SECOND + 1);
        let anew = log.put(event("a")).await;
        assert!(anew.position > first.position);
        // The sweep forgets the first memory of the id, not the second.
        sweeps().await;
        assert_eq!(log.append(event("a")).await.unwrap().cursor, anew);
        log.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn mail_that_is_too_old_counts_as_overflow_at_once_and_leaves_with_the_sweep() {
    let places = Places::new();
    for url in places.both() {
        let limits = LogLimits { mailbox_max_age: Duration::from_secs(10), ..LogLimits::default() };
        let log = open(&url, limits, SECOND).await;
        log.put(mail("old")).await;
        log.set_clock(5 * SECOND);
        let young = log.put(mail("young")).await;
        log.set_clock(12 * SECOND);
        assert_eq!(log.mailbox_ids(&user()).await, (vec!["young".to_owned()], 1));
        assert_eq!(log.bounds().await.unwrap().mailbox_messages, 2);
        sweeps().await;
        assert_eq!(log.mailbox_ids(&user()).await, (vec!["young".to_owned()], 1));
        assert_eq!(log.bounds().await.unwrap().mailbox_messages, 1);
        // A clock that is set back makes nothing young again.
        log.set_clock(2 * SECOND);
        assert_eq!(log.mailbox_ids(&user()).await, (vec!["young".to_owned()], 1));
        log.set_clock(12 * SECOND);
        assert_eq!(log.confirm(&user(), young.position).await.unwrap(), 1);
        assert_eq!(log.mailbox_ids(&user()).await, (vec![], 0));
        log.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_counts_no_message_that_was_already_too_old() {
    let places = Places::new();
    for url in places.both() {
        let limits = LogLimits { mailbox_max_age: Duration::from_secs(10), ..LogLimits::default() };
        let log = open(&url, limits, SECOND).await;
        let old = log.put(mail("old")).await;
        log.put(mail("also old")).await;
        log.set_clock(20 * SECOND);
        assert_eq!(log.confirm(&user(), old.position).await.unwrap(), 0);
        assert_eq!(log.mailbox_ids(&user()).await, (vec![], 2), "the newest of the two is not told yet");
        log.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn overflow_that_nobody_comes_to_hear_is_forgotten_after_the_age_of_a_message() {
    let places = Places::new();
    for url in places.both() {
        let age = Duration::from_secs(10);
        let limits = LogLimits { mailbox_max_age: age, mailbox_max_messages: 1, ..LogLimits::default() };
        let log = open(&url, limits, SECOND).await;
        log.put(mail("a")).await;
        log.put(mail("b")).await;
        log.set_clock(9 * SECOND);
        log.put(mail("c")).await;
        // The first drop is old enough to be forgotten, the second is not: the count stays whole.
        log.set_clock(12 * SECOND);
        sweeps().await;
        assert_eq!(log.mailbox_ids(&user()).await, (vec!["c".to_owned()], 2));
        // "c" is dropped for its age, which is an overflow of its own; it is reported for as long again.
        log.set_clock(20 * SECOND);
        sweeps().await;
        assert_eq!(log.mailbox_ids(&user()).await, (vec![], 3));
        log.set_clock(29 * SECOND);
        sweeps().await;
        assert_eq!(log.mailbox_ids(&user()).await, (vec![], 3));
        log.set_clock(31 * SECOND);
        sweeps().await;
        assert_eq!(log.mailbox_ids(&user()).await, (vec![], 0));
        log.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn ids_are_remembered_up_to_a_number_and_up_to_their_bytes() {
    let places = Places::new();
    for (dir, width) in [("short", 1), ("long", 128)] {
        let id_of = |n: u64| format!("{n:0>width$}");
        for url in [BrokerUrl::Memory, BrokerUrl::File(places.dir.path().join(dir))] {
            let limits = LogLimits { idempotency_max_ids: 100, ..LogLimits::default() };
            let log = open(&url, limits, SECOND).await;
            for n in 0..150 {
                log.put(event(&id_of(n))).await;
            }
            // Long ids have twice the bytes of what an id may have on average.
            let remembered = if dir == "short" { 100 } else { 50 };
            assert_eq!(log.bounds().await.unwrap().ids_forgotten, 150 - remembered);
            assert!(log.append(event(&id_of(150 - remembered))).await.unwrap().duplicate);
            log.put(event(&id_of(149 - remembered))).await;
            log.close().await;
        }
    }
}

#[test]
fn owners_who_never_come_to_hear_of_a_loss_are_bounded_too() {
    let limits = LogLimits { mailboxes_max_messages: 10, ..LogLimits::default() };
    let rules = Rules::new(limits);
    let mut tables = Memory::new(Epoch::from_random(1));
    for n in 0..100_u64 {
        let address = format!("user:{n}").parse().unwrap();
        rules.append(&mut tables, NewEvent { address, ..mail(&format!("m{n}")) }, n).unwrap();
    }
    let meta = tables.meta();
    assert_eq!((meta.mailbox_messages, meta.overflowed), (10, 10));
}

#[tokio::test(start_paused = true)]
async fn a_smaller_limit_after_a_restart_trims_what_is_over_it() {
    let places = Places::new();
    let log = open(&places.file(), LogLimits::default(), SECOND).await;
    for n in 0..20 {
        log.put(event(&format!("m{n}"))).await;
    }
    log.close().await;
    let log = open(&places.file(), LogLimits { max_events: 3, ..LogLimits::default() }, SECOND).await;
    sweeps().await;
    assert_eq!(log.bounds().await.unwrap().length, 3);
    log.close().await;
}

/// Ten thousand messages for five thousand users, then twice the age of a message without anything.
fn check_traces<T: Tables>(mut change: impl FnMut(&mut dyn FnMut(&mut T))) {
    let limits = LogLimits { mailbox_max_messages: 1, ..LogLimits::default() };
    let rules = Rules::new(limits.clone());
    change(&mut |tables| {
        for n in 0..10_000_u64 {
            let address = format!("user:{}", n % 5_000).parse().unwrap();
            rules.append(tables, NewEvent { address, ..mail(&format!("m{n}")) }, n).unwrap();
        }
        assert_eq!(tables.meta().mailbox_messages, 5_000);
    });
    let much_later = 10_000 + u64::try_from(limits.mailbox_max_age.as_millis()).unwrap() * 3;
    let mut sweep = |now_ms| {
        let mut rounds = 0;
        let mut more = true;
        while more {
            rounds += 1;
            change(&mut |tables| more = rules.sweep(tables, now_ms).unwrap());
        }
        rounds
    };
    assert!(sweep(much_later) > 1, "no sweep takes 10,000 things at once");
    sweep(much_later * 2);
    change(&mut |tables| {
        let meta = *tables.meta();
        assert_eq!((meta.length, meta.bytes, meta.trimmed), (0, 0, 10_000));
        assert_eq!((meta.mailboxes, meta.mailbox_messages, meta.mailbox_bytes), (0, 0, 0));
        assert_eq!((meta.overflowed, meta.ids, meta.id_bytes), (0, 0, 0));
    });
}

#[test]
fn sweeping_leaves_no_trace_in_memory() {
    let mut tables = Memory::new(Epoch::from_random(1));
    check_traces::<Memory>(|change| change(&mut tables));
    assert!(tables.is_empty(), "{tables:?}");
}

#[test]
fn sweeping_leaves_no_trace_on_the_disk() {
    let places = Places::new();
    let disk = Disk::open(&places.path(), &LogLimits::default(), Durability::Accepted).unwrap();
    check_traces::<WriteView<'_>>(|change| {
        disk.write(|tables| {
            change(tables);
            Ok(())
        })
        .unwrap();
    });
    assert!(disk.is_empty());
}
