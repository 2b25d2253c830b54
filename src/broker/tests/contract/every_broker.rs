//! Every fact of the suite as a test of every kind of broker.

use super::bed::{Bed, in_time};
use super::{following, mailbox, model, reading, roster, writing};
use crate::broker::Durability;
use crate::broker::tests::redis_server::Topology;

macro_rules! for_every_broker {
    ($($story:ident { $($fact:ident,)* })*) => {
        for_every_broker!(@kind memory, Bed::memory(), 128, $($story { $($fact,)* })*);
        for_every_broker!(@kind file, Bed::file(Durability::Accepted), 24, $($story { $($fact,)* })*);
        for_every_broker!(@kind redis, Bed::redis(Topology::Standalone), 24, $($story { $($fact,)* })*);
        for_every_broker!(@kind redis_sentinel, Bed::redis(Topology::Sentinel), 6, $($story { $($fact,)* })*);
        for_every_broker!(@kind redis_cluster, Bed::redis(Topology::Cluster), 6, $($story { $($fact,)* })*);
        for_every_broker!(@kind file_fsync, Bed::file(Durability::Fsync), 8, $($story { $($fact,)* })*);
    };
    (@kind $kind:ident, $bed:expr, $histories:literal, $($story:ident { $($fact:ident,)* })*) => {
        mod $kind {
            use super::*;

            $($(
                #[tokio::test]
                async fn $fact() {
                    in_time($story::$fact(&$bed)).await;
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
        a_mailbox_is_read_in_parts_also_while_its_front_goes,
        only_users_and_clients_have_a_mailbox,
        a_full_mailbox_drops_its_oldest_and_says_so_until_told,
        all_mailboxes_together_are_bounded_and_the_oldest_mail_is_told_as_dropped,
        all_mailboxes_together_are_bounded_and_the_oldest_messages_go_first,
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
