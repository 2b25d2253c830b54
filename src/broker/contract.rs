//! The contract suite: every broker passes it. Each fact is a function of a [`Bed`], which knows how to make a log of
//! its kind; `for_every_broker!` makes a test of each for every kind. Facts about time and about one kind alone stand
//! beside that kind.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::{
    AppendError, Appended, Bounds, Broker, BrokerUrl, Durability, Entry, Follower, LogLimits, Missing,
    NewEvent, Page,
};
use crate::protocol::api::GapReason;
use crate::protocol::{Address, Cursor, Epoch, EventType, MessageId, Position};
use crate::runtime::Tasks;

mod model;

/// Where logs of one kind come from.
pub(super) struct Bed {
    url: BrokerUrl,
    durability: Durability,
    /// Removed with the bed.
    _dir: Option<tempfile::TempDir>,
}

impl Bed {
    fn memory() -> Self {
        Self { url: BrokerUrl::Memory, durability: Durability::Accepted, _dir: None }
    }

    fn file(durability: Durability) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { url: BrokerUrl::File(dir.path().join("log")), durability, _dir: Some(dir) }
    }

    /// Whether a log of this kind is there again after it was closed.
    fn is_durable(&self) -> bool {
        match self.url {
            BrokerUrl::Memory => false,
            BrokerUrl::File(_) => true,
        }
    }

    async fn open(&self, limits: LogLimits) -> Log {
        let tasks = Tasks::new();
        let broker = Broker::open(&self.url, limits, self.durability, &tasks).await.unwrap();
        Log { broker, tasks }
    }
}

/// An open log with its tasks.
pub(super) struct Log {
    broker: Broker,
    tasks: Tasks,
}

impl std::ops::Deref for Log {
    type Target = Broker;
    fn deref(&self) -> &Broker {
        &self.broker
    }
}

impl Log {
    /// Ends the log's tasks and lets go of it, so that it can be opened again.
    async fn close(self) {
        self.tasks.token().cancel();
        assert_eq!(self.tasks.join(Duration::from_secs(60)).await, Ok(()));
        assert_eq!(self.tasks.failure(), None);
    }

    async fn put(&self, event: NewEvent) -> Cursor {
        let appended = self.append(event).await.unwrap();
        assert!(!appended.duplicate);
        appended.cursor
    }

    async fn put_many(&self, count: usize) -> Vec<Cursor> {
        let mut cursors = Vec::new();
        for n in 0..count {
            cursors.push(self.put(event(&format!("m{n}"), "all")).await);
        }
        cursors
    }

    async fn look(&self) -> Bounds {
        self.bounds().await.unwrap()
    }

    async fn page(&self, after: Cursor, limit: usize) -> Page {
        self.read_after(after, limit).await.unwrap()
    }

    async fn mailbox_ids(&self, owner: &str) -> (Vec<String>, u64) {
        let mailbox = self.mailbox(&address(owner)).await.unwrap();
        (ids(&mailbox.entries), mailbox.overflowed)
    }

    async fn confirmed(&self, owner: &str, up_to: Cursor) -> u64 {
        self.confirm(&address(owner), up_to.position).await.unwrap()
    }
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn event(id: &str, to: &str) -> NewEvent {
    NewEvent {
        message_id: MessageId::parse(id).unwrap(),
        address: address(to),
        event_type: EventType::parse("MESSAGE").unwrap(),
        envelope: Arc::from(format!(r#"{{"id":"{id}"}}"#)),
        mailbox: false,
    }
}

fn mail(id: &str, to: &str) -> NewEvent {
    NewEvent { mailbox: true, ..event(id, to) }
}

fn ids(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.message_id.to_string()).collect()
}

fn named(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("m{n}")).collect()
}

fn at_most(max_events: u64) -> LogLimits {
    LogLimits { max_events, ..LogLimits::default() }
}

#[track_caller]
fn check_gap(page: &Page, reason: GapReason, resumed_after: Cursor, missed: Option<u64>) {
    assert_eq!(page.gap, Some(Missing { reason, resumed_after, missed }));
}

/// A wake that is lost must fail, not hang. Far longer than any fact takes.
async fn in_time(fact: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(60), fact).await.expect("something waits for ever");
}

macro_rules! for_every_broker {
    ($($fact:ident),* $(,)?) => {
        for_every_broker!(@kind memory, super::Bed::memory(), 128, $($fact),*);
        for_every_broker!(@kind file, super::Bed::file(super::Durability::Accepted), 24, $($fact),*);
        for_every_broker!(@kind file_fsync, super::Bed::file(super::Durability::Fsync), 8, $($fact),*);
    };
    (@kind $kind:ident, $bed:expr, $histories:literal, $($fact:ident),*) => {
        mod $kind {
            $(#[tokio::test] async fn $fact() { super::in_time(super::$fact(&$bed)).await; })*

            // On two threads, or an append could not fall between a follower's read and its wait.
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn followers_miss_nothing_of_many_appenders() {
                super::in_time(super::followers_miss_nothing_of_many_appenders(&$bed)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_follower_misses_no_wake() {
                super::in_time(super::a_follower_misses_no_wake(&$bed)).await;
            }

            #[test]
            fn random_histories_agree_with_the_model() {
                super::model::check_random_histories($histories, || $bed);
            }
        }
    };
}

for_every_broker! {
    an_event_reads_back_as_it_was_appended,
    a_new_log_is_empty_and_its_start_is_sound,
    a_repeated_message_id_gives_the_first_position_and_adds_nothing,
    of_many_simultaneous_repeats_one_is_kept,
    positions_strictly_increase_among_many_appenders,
    pages_follow_one_another_without_hole_or_repeat,
    a_cursor_of_another_history_gets_a_gap_and_all_that_is_kept,
    a_trimmed_cursor_gets_a_gap_and_all_that_is_kept,
    the_last_trimmed_entry_is_a_sound_cursor,
    a_cursor_beyond_the_newest_is_a_rollback,
    a_cursor_whose_entry_is_not_there_is_a_rollback,
    bytes_are_counted_and_trimmed,
    the_newest_entries_stay_within_both_limits,
    a_mailbox_keeps_what_asked_for_it_until_confirmed,
    only_users_and_clients_have_a_mailbox,
    a_full_mailbox_drops_its_oldest_and_says_so_until_told,
    a_mailbox_outlives_the_trim_of_the_log,
    a_duplicate_is_not_put_into_the_mailbox_again,
    a_follower_wakes_for_every_append,
    a_cancelled_wait_loses_nothing,
    a_follower_behind_the_trim_gets_one_gap_and_goes_on,
    a_closed_log_refuses_and_has_written_what_it_accepted,
    a_cancelled_append_is_in_the_log_all_the_same,
    a_full_queue_refuses_at_once,
}

async fn an_event_reads_back_as_it_was_appended(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let mut sent = Vec::new();
    for (n, to) in
        ["all", "topic:t", "user:u", "client:c", "node:n", "node:n/client:c"].into_iter().enumerate()
    {
        let new = NewEvent {
            event_type: EventType::parse("größe").unwrap(),
            envelope: Arc::from("{\"data\":\"ä\\n\"}"),
            ..event(&format!("id {n}"), to)
        };
        let cursor = log.put(new.clone()).await;
        let NewEvent { message_id, address, event_type, envelope, .. } = new;
        sent.push(Entry { cursor, message_id, address, event_type, envelope });
    }
    let start = log.look().await.start_cursor();
    assert_eq!(log.page(start, 100).await.entries, sent);
    assert_eq!(log.read_newest(100, u64::MAX).await.unwrap(), sent);
    for entry in sent {
        assert_eq!(log.get(entry.cursor).await.unwrap(), Some(entry));
    }
    log.close().await;
}

async fn a_new_log_is_empty_and_its_start_is_sound(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let bounds = log.look().await;
    assert_eq!((bounds.start, bounds.newest), (Position::ZERO, Position::ZERO));
    assert_eq!((bounds.length, bounds.bytes, bounds.mailboxes, bounds.mailbox_messages), (0, 0, 0, 0));
    let page = log.page(Cursor::start_of(bounds.epoch), 10).await;
    assert_eq!((page.gap, page.entries.len()), (None, 0));
    assert_eq!(log.read_newest(10, u64::MAX).await.unwrap(), []);
    log.close().await;
}

async fn a_repeated_message_id_gives_the_first_position_and_adds_nothing(bed: &Bed) {
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

async fn of_many_simultaneous_repeats_one_is_kept(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let appends = (0..50).map(|_| log.append(event("same", "all")));
    let answers: Vec<_> =
        futures_util::future::join_all(appends).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.duplicate).count(), 1);
    assert_eq!(answers.iter().map(|answer| answer.cursor).collect::<HashSet<_>>().len(), 1);
    assert_eq!(log.look().await.length, 1);
    log.close().await;
}

async fn positions_strictly_increase_among_many_appenders(bed: &Bed) {
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

async fn pages_follow_one_another_without_hole_or_repeat(bed: &Bed) {
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

async fn a_cursor_of_another_history_gets_a_gap_and_all_that_is_kept(bed: &Bed) {
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

async fn a_trimmed_cursor_gets_a_gap_and_all_that_is_kept(bed: &Bed) {
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

async fn the_last_trimmed_entry_is_a_sound_cursor(bed: &Bed) {
    let log = bed.open(at_most(10)).await;
    let cursors = log.put_many(25).await;
    let page = log.page(cursors[14], 100).await;
    assert_eq!((page.gap, ids(&page.entries)), (None, named(15..25)));
    log.close().await;
}

async fn a_cursor_beyond_the_newest_is_a_rollback(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let cursors = log.put_many(3).await;
    let page = log.page(Cursor::new(cursors[2].epoch, cursors[2].position.next()), 100).await;
    check_gap(&page, GapReason::Rollback, cursors[2], None);
    assert_eq!(page.entries, []);
    log.close().await;
}

async fn a_cursor_whose_entry_is_not_there_is_a_rollback(bed: &Bed) {
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

/// Bytes of an event by the words of the contract.
fn bytes_of(event: &NewEvent) -> u64 {
    let texts = [event.message_id.as_str(), event.event_type.as_str(), &event.envelope];
    (texts.map(str::len).iter().sum::<usize>() + event.address.to_string().len()) as u64
}

async fn bytes_are_counted_and_trimmed(bed: &Bed) {
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

async fn the_newest_entries_stay_within_both_limits(bed: &Bed) {
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

async fn a_mailbox_keeps_what_asked_for_it_until_confirmed(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    log.put(event("not kept", "user:u")).await;
    let first = log.put(mail("m0", "user:u")).await;
    log.put(mail("other", "user:v")).await;
    log.put(mail("client", "client:u")).await;
    let second = log.put(mail("m1", "user:u")).await;
    log.put(mail("m2", "user:u")).await;

    assert_eq!(log.mailbox_ids("user:u").await, (named(0..3), 0));
    let whole = log.mailbox(&address("user:u")).await.unwrap().entries;
    assert_eq!(log.get(first).await.unwrap().as_ref(), whole.first());
    let bounds = log.look().await;
    assert_eq!((bounds.mailboxes, bounds.mailbox_messages, bounds.length), (3, 5, 6));

    assert_eq!(log.confirmed("user:u", second).await, 2);
    assert_eq!(log.confirmed("user:u", second).await, 0);
    assert_eq!(log.mailbox_ids("user:u").await, (named(2..3), 0));
    assert_eq!(log.mailbox_ids("client:u").await, (vec!["client".to_owned()], 0));
    let newest = log.look().await.newest_cursor();
    assert_eq!(log.confirmed("user:u", newest).await, 1);
    let bounds = log.look().await;
    assert_eq!((bounds.mailboxes, bounds.mailbox_messages, bounds.length), (2, 2, 6));
    log.close().await;
}

async fn only_users_and_clients_have_a_mailbox(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    for to in ["all", "topic:t", "node:n", "node:n/client:c"] {
        let cursor = log.put(mail(&format!("to {to}"), to)).await;
        assert_eq!(log.mailbox_ids(to).await, (vec![], 0));
        assert_eq!(log.confirmed(to, cursor).await, 0);
    }
    assert_eq!(log.look().await.mailbox_messages, 0);
    log.close().await;
}

async fn a_full_mailbox_drops_its_oldest_and_says_so_until_told(bed: &Bed) {
    let log = bed.open(LogLimits { mailbox_max_messages: 3, ..LogLimits::default() }).await;
    let mut cursors = Vec::new();
    for n in 0..5 {
        cursors.push(log.put(mail(&format!("m{n}"), "user:u")).await);
    }
    assert_eq!(log.mailbox_ids("user:u").await, (named(2..5), 2));
    assert_eq!(log.look().await.mailbox_messages, 3);
    // Reaches the first dropped message, not the second.
    assert_eq!(log.confirmed("user:u", cursors[0]).await, 0);
    assert_eq!(log.mailbox_ids("user:u").await, (named(2..5), 2));
    assert_eq!(log.confirmed("user:u", cursors[2]).await, 1);
    assert_eq!(log.mailbox_ids("user:u").await, (named(3..5), 0));
    // A new overflow counts from zero.
    for n in 5..8 {
        log.put(mail(&format!("m{n}"), "user:u")).await;
    }
    assert_eq!(log.mailbox_ids("user:u").await, (named(5..8), 2));
    let newest = log.look().await.newest_cursor();
    assert_eq!(log.confirmed("user:u", newest).await, 3);
    assert_eq!(log.mailbox_ids("user:u").await, (vec![], 0));
    assert_eq!((log.look().await.mailboxes, log.look().await.mailbox_messages), (0, 0));
    log.close().await;
}

async fn a_mailbox_outlives_the_trim_of_the_log(bed: &Bed) {
    let log = bed.open(at_most(2)).await;
    let kept = log.put(mail("kept", "client:c")).await;
    log.put_many(5).await;
    assert_eq!(log.get(kept).await.unwrap(), None);
    assert_eq!(log.mailbox_ids("client:c").await, (vec!["kept".to_owned()], 0));
    assert_eq!(log.confirmed("client:c", kept).await, 1);
    assert_eq!(log.mailbox_ids("client:c").await, (vec![], 0));
    log.close().await;
}

async fn a_duplicate_is_not_put_into_the_mailbox_again(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let cursor = log.put(mail("m0", "user:u")).await;
    assert!(log.append(mail("m0", "user:u")).await.unwrap().duplicate);
    assert_eq!(log.mailbox_ids("user:u").await, (named(0..1), 0));
    assert_eq!(log.confirmed("user:u", cursor).await, 1);
    assert!(log.append(mail("m0", "user:u")).await.unwrap().duplicate);
    assert_eq!(log.mailbox_ids("user:u").await, (vec![], 0));
    log.close().await;
}

async fn a_follower_wakes_for_every_append(bed: &Bed) {
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

async fn a_cancelled_wait_loses_nothing(bed: &Bed) {
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

async fn a_follower_behind_the_trim_gets_one_gap_and_goes_on(bed: &Bed) {
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

async fn followers_miss_nothing_of_many_appenders(bed: &Bed) {
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

/// One event at a time, each appended while the follower goes to sleep: a wake that is lost has no second one behind it.
async fn a_follower_misses_no_wake(bed: &Bed) {
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

async fn a_closed_log_refuses_and_has_written_what_it_accepted(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let mut waiting: Vec<_> = (0..50).map(|n| Box::pin(log.append(event(&format!("m{n}"), "all")))).collect();
    for append in &mut waiting {
        // Into the queue; the answer comes later.
        assert!(append.as_mut().now_or_never().is_none());
    }
    log.tasks.token().cancel();
    let answers = futures_util::future::join_all(waiting).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(log.tasks.join(Duration::from_secs(60)).await, Ok(()));
    assert!(matches!(log.append(event("late", "all")).await, Err(AppendError::Closed)));
    assert!(log.confirm(&address("user:u"), Position::ZERO).await.is_err());
    let kept = log.page(log.look().await.start_cursor(), 100).await;
    assert_eq!(ids(&kept.entries), named(0..50));
    log.close().await;
}

async fn a_cancelled_append_is_in_the_log_all_the_same(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    assert!(log.append(event("m0", "all")).now_or_never().is_none());
    log.put(event("m1", "all")).await;
    let kept = log.page(log.look().await.start_cursor(), 100).await;
    assert_eq!(ids(&kept.entries), named(0..2));
    log.close().await;
}

async fn a_full_queue_refuses_at_once(bed: &Bed) {
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
