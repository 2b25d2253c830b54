//! What a client gets when it comes back, told in words: one event too many or too few, a fixed number of them, nothing at
//! all, or a cursor that nobody sends. Honest servers beside them have no such finding.

use super::diagnosis::{STORM, assert_first, assert_silent, causes, run, run_node};
use super::harness::Ran;
use super::small_node::Defect;
use super::street::{Framing, Replay, Ways};

/// Enough events for the fifty milliseconds after which clients of a small node come back.
const BUSY: &str = "--set=publishers.main.rate=400";
const NO_CURSOR: &str = "--set=clients.all.reconnect={ policy = \"browser\", last_event_id = false }";
const GAPS: &str = "--set=verify.gaps=allowed";

async fn replayed(replay: Replay, framing: Framing) -> Ran {
    run(Ways { replay, framing, ..Ways::default() }, 4, STORM, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make full"]
async fn a_replay_that_is_off_by_one_at_the_front_is_told() {
    let (first, other, cursor, twice) = tokio::join!(
        replayed(Replay::WithoutFirst, Framing::Chunked),
        replayed(Replay::WithoutFirst, Framing::Close),
        replayed(Replay::WithCursor, Framing::Chunked),
        replayed(Replay::WithCursor, Framing::Close),
    );
    for ran in [&first, &other] {
        assert_first(ran, "replay_front", "the first event behind the cursor is left out");
    }
    for ran in [&cursor, &twice] {
        assert_first(ran, "replay_front", "the event of the cursor itself comes again");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make full"]
async fn a_replay_that_is_off_by_one_at_the_back_is_told() {
    let (left_out, other, twice, again) = tokio::join!(
        replayed(Replay::WithoutLast, Framing::Chunked),
        replayed(Replay::WithoutLast, Framing::Close),
        replayed(Replay::LastTwice, Framing::Chunked),
        replayed(Replay::LastTwice, Framing::Close),
    );
    for ran in [&left_out, &other] {
        assert_first(ran, "replay_back", "one is left out");
        assert_eq!(causes(ran), ["replay_back"], "it explains the loss\n{}", ran.stdout);
    }
    for ran in [&twice, &again] {
        assert_first(ran, "replay_back", "comes again as the first live one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_ends_at_a_number_is_told_with_the_number() {
    let (oldest, newest, node, says_so) = tokio::join!(
        replayed(Replay::Oldest(4), Framing::Chunked),
        replayed(Replay::Newest(6), Framing::Close),
        run_node(Defect::ReplaysFew, 4, STORM, &[BUSY]),
        run_node(Defect::KeepsFew, 4, STORM, &[BUSY, GAPS]),
    );
    assert_first(&oldest, "replay_limit", "Replay ends at 4 events: what a client missed beyond that");
    assert_first(&newest, "replay_limit", "of what a client missed, only the newest ones came");
    assert_first(&node, "replay_limit", "of what a client missed, only the newest ones came");
    assert_eq!((says_so.code, causes(&says_so)), (Some(0), Vec::new()), "{}", says_so.stdout);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make full"]
async fn a_server_that_replays_nothing_is_told_and_so_are_clients_that_send_no_cursor() {
    let at_most_once = ["--set=verify.delivery=at-most-once", NO_CURSOR];
    let (nothing, node, no_cursor, node_no_cursor, promised) = tokio::join!(
        replayed(Replay::Nothing, Framing::Close),
        run_node(Defect::JumpsSilently, 4, STORM, &[BUSY]),
        run(Ways::default(), 4, STORM, &[NO_CURSOR]),
        run_node(Defect::None, 4, STORM, &[BUSY, NO_CURSOR]),
        run(Ways::default(), 4, STORM, &at_most_once),
    );
    for ran in [&nothing, &node] {
        assert_first(ran, "replay_nothing", "The server does not replay");
        assert_silent(ran, "no_cursor");
    }
    for ran in [&no_cursor, &node_no_cursor] {
        assert_first(ran, "no_cursor", "come back without Last-Event-ID");
        assert_silent(ran, "replay_nothing");
    }
    assert_eq!((promised.code, causes(&promised)), (Some(0), Vec::new()), "{}", promised.stdout);
}
