//! The contract suite: every broker passes it. Each fact is a function of a [`Bed`], which knows how to make a log of
//! its kind; `for_every_broker!` makes a test of each for every kind. Facts about time and about one kind alone stand
//! beside that kind.

use std::sync::Arc;
use std::time::Duration;

use super::redis::server::{self, Topology};
use super::{Bounds, Broker, BrokerUrl, Durability, Entry, LogLimits, Missing, NewEvent, Page, PageLimit};
use crate::protocol::api::GapReason;
use crate::protocol::{Address, Cursor, EventType, MessageId};
use crate::runtime::Tasks;

mod following;
mod mailbox;
mod model;
mod reading;
mod roster;
mod writing;

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

    fn redis(topology: Topology) -> Self {
        Self { url: server::url(topology), durability: Durability::Accepted, _dir: None }
    }

    fn file(durability: Durability) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { url: BrokerUrl::File(dir.path().join("log")), durability, _dir: Some(dir) }
    }

    /// Whether a log of this kind is there again after it was closed.
    fn is_durable(&self) -> bool {
        match self.url {
            BrokerUrl::Memory => false,
            BrokerUrl::File(_) | BrokerUrl::Redis(_) => true,
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
        self.read_after(after, PageLimit::entries(limit)).await.unwrap()
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

fn bytes_of(event: &NewEvent) -> u64 {
    let texts = [event.message_id.as_str(), event.event_type.as_str(), &event.envelope];
    (texts.map(str::len).iter().sum::<usize>() + event.address.to_string().len()) as u64
}

macro_rules! for_every_broker {
    ($($story:ident { $($fact:ident,)* })*) => {
        for_every_broker!(@kind memory, super::Bed::memory(), 128, $($story { $($fact,)* })*);
        for_every_broker!(@kind file, super::Bed::file(super::Durability::Accepted), 24, $($story { $($fact,)* })*);
        for_every_broker!(@kind redis, super::Bed::redis(super::Topology::Standalone), 24, $($story { $($fact,)* })*);
        for_every_broker!(@kind redis_sentinel, super::Bed::redis(super::Topology::Sentinel), 6, $($story { $($fact,)* })*);
        for_every_broker!(@kind redis_cluster, super::Bed::redis(super::Topology::Cluster), 6, $($story { $($fact,)* })*);
        for_every_broker!(@kind file_fsync, super::Bed::file(super::Durability::Fsync), 8, $($story { $($fact,)* })*);
    };
    (@kind $kind:ident, $bed:expr, $histories:literal, $($story:ident { $($fact:ident,)* })*) => {
        mod $kind {
            use super::{following, in_time, model};

            $($(
                #[tokio::test]
                async fn $fact() {
                    in_time(super::$story::$fact(&$bed)).await;
                }
            )*)*

            // On two threads, or an append could not fall between a follower's read and its wait.
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn followers_miss_nothing_of_many_appenders() {
                in_time(following::followers_miss_nothing_of_many_appenders(&$bed)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_follower_misses_no_wake() {
                in_time(following::a_follower_misses_no_wake(&$bed)).await;
            }

            #[test]
            fn random_histories_agree_with_the_model() {
                model::check_random_histories($histories, || $bed);
            }
        }
    };
}

for_every_broker! {
    reading {
        an_event_reads_back_as_it_was_appended,
        a_new_log_is_empty_and_its_start_is_sound,
        pages_follow_one_another_without_hole_or_repeat,
        a_cursor_of_another_history_gets_a_gap_and_all_that_is_kept,
        a_trimmed_cursor_gets_a_gap_and_all_that_is_kept,
        the_last_trimmed_entry_is_a_sound_cursor,
        a_cursor_beyond_the_newest_is_a_rollback,
        a_cursor_whose_entry_is_not_there_is_a_rollback,
        bytes_are_counted_and_trimmed,
        the_newest_entries_stay_within_both_limits,
        a_page_stays_within_both_limits_but_is_never_empty,
    }
    writing {
        a_repeated_message_id_gives_the_first_position_and_adds_nothing,
        of_many_simultaneous_repeats_one_is_kept,
        positions_strictly_increase_among_many_appenders,
        a_closed_log_refuses_and_has_written_what_it_accepted,
        a_cancelled_append_is_in_the_log_all_the_same,
        a_full_queue_refuses_at_once,
    }
    mailbox {
        a_mailbox_keeps_what_asked_for_it_until_confirmed,
        only_users_and_clients_have_a_mailbox,
        a_full_mailbox_drops_its_oldest_and_says_so_until_told,
        a_mailbox_outlives_the_trim_of_the_log,
        a_duplicate_is_not_put_into_the_mailbox_again,
    }
    roster {
        a_node_is_alive_until_it_leaves,
    }
    following {
        a_follower_wakes_for_every_append,
        a_cancelled_wait_loses_nothing,
        a_follower_behind_the_trim_gets_one_gap_and_goes_on,
    }
}
