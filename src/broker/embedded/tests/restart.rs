//! Opening a directory again: the content is kept, and unfit directories are refused.

use std::fs;
use std::path::Path;

use super::fixture::{Places, event, ids, mail, open, open_error, user};
use crate::broker::{LogLimits, Missing, OpenError, PageLimit};
use crate::protocol::api::GapReason;
use crate::protocol::{Cursor, Position};

#[tokio::test]
async fn a_restart_keeps_history_ids_mailboxes_overflow_and_trim() {
    let places = Places::new();
    let limits = LogLimits { max_events: 3, mailbox_max_messages: 2, ..LogLimits::default() };
    let log = open(&places.file(), limits.clone(), 9_000).await;
    let mut cursors = Vec::new();
    for n in 0..5 {
        cursors.push(log.put(mail(&format!("m{n}"))).await);
    }
    let before = log.bounds().await.unwrap();
    assert_eq!((before.start_cursor(), before.length), (cursors[1], 3));
    log.close().await;

    // The clock has been set back meanwhile.
    let log = open(&places.file(), limits, 100).await;
    assert_eq!(log.bounds().await.unwrap(), before);
    assert_eq!(log.mailbox_ids(&user()).await, (vec!["m3".to_owned(), "m4".to_owned()], 3));
    let again = log.append(mail("m0")).await.unwrap();
    assert_eq!((again.cursor, again.duplicate), (cursors[0], true), "its entry is trimmed, its id is not");
    let page = log.read_after(cursors[1], PageLimit::entries(10)).await.unwrap();
    assert_eq!((page.gap, ids(&page.entries)), (None, vec!["m2".into(), "m3".into(), "m4".into()]));
    let page = log.read_after(cursors[0], PageLimit::entries(10)).await.unwrap();
    assert_eq!(page.gap.map(|gap| gap.reason), Some(GapReason::Trimmed));
    let next = log.put(event("m5")).await;
    assert!(next.epoch == cursors[4].epoch && next.position > cursors[4].position, "{next}");
    assert_eq!(log.bounds().await.unwrap().start_cursor(), cursors[2]);
    log.close().await;
}

#[tokio::test]
async fn an_emptied_directory_begins_another_history() {
    let places = Places::new();
    let log = open(&places.file(), LogLimits::default(), 9_000).await;
    let cursor = log.put(event("a")).await;
    log.close().await;
    fs::remove_dir_all(places.path()).unwrap();
    fs::create_dir(places.path()).unwrap();
    let log = open(&places.file(), LogLimits::default(), 9_000).await;
    let bounds = log.bounds().await.unwrap();
    assert_ne!(bounds.epoch, cursor.epoch);
    assert_eq!((bounds.length, bounds.newest), (0, Position::ZERO));
    let page = log.read_after(cursor, PageLimit::entries(10)).await.unwrap();
    assert_eq!(page.gap.map(|gap| gap.reason), Some(GapReason::Epoch));
    log.close().await;
}

/// The tables of a log as they are at this moment, as a power failure might leave them.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &target);
        } else {
            fs::copy(file.path(), target).unwrap();
        }
    }
}

#[track_caller]
fn check_rollback(gap: Option<Missing>, resumed_after: Cursor) {
    assert_eq!(gap, Some(Missing { reason: GapReason::Rollback, resumed_after, missed: None }));
}

#[tokio::test]
async fn a_lost_tail_is_a_rollback_for_those_who_had_read_it() {
    let places = Places::new();
    let log = open(&places.file(), LogLimits::default(), 1_000).await;
    let kept = log.put(event("kept")).await;
    let saved = places.dir.path().join("saved");
    copy(&places.path(), &saved);
    log.set_clock(2_000);
    let lost = log.put(event("lost")).await;
    log.set_clock(3_000);
    let lost_too = log.put(event("lost too")).await;
    log.close().await;

    fs::remove_dir_all(places.path()).unwrap();
    fs::rename(saved, places.path()).unwrap();
    // Nothing new yet: the cursors lie beyond the newest entry.
    let log = open(&places.file(), LogLimits::default(), 30_000).await;
    for cursor in [lost, lost_too] {
        let page = log.read_after(cursor, PageLimit::entries(10)).await.unwrap();
        check_rollback(page.gap, kept);
        assert_eq!(page.entries, []);
    }
    assert_eq!(log.read_after(kept, PageLimit::entries(10)).await.unwrap().gap, None);
    // New entries have passed them: only the missing entry tells.
    let new = log.put(event("new")).await;
    assert!(new.position > lost_too.position);
    for cursor in [lost, lost_too] {
        let page = log.read_after(cursor, PageLimit::entries(10)).await.unwrap();
        check_rollback(page.gap, kept);
        assert_eq!(ids(&page.entries), ["new"]);
    }
    assert!(!log.append(event("lost")).await.unwrap().duplicate, "what was lost can be published again");
    log.close().await;
}

#[tokio::test]
async fn positions_of_a_lost_tail_are_not_given_out_again() {
    let places = Places::new();
    let log = open(&places.file(), LogLimits::default(), 1_000).await;
    log.put(event("kept")).await;
    let saved = places.dir.path().join("saved");
    copy(&places.path(), &saved);
    log.set_clock(2_000);
    let lost = log.put(event("lost")).await;
    log.close().await;

    fs::remove_dir_all(places.path()).unwrap();
    fs::rename(saved, places.path()).unwrap();
    // The clock stands where it stood before: without a fence on the disk the next entry would take the lost place.
    let log = open(&places.file(), LogLimits::default(), 2_000).await;
    let new = log.put(event("new")).await;
    assert!(new.position > lost.position, "{new} must come after {lost}");
    let page = log.read_after(lost, PageLimit::entries(10)).await.unwrap();
    assert_eq!(page.gap.map(|gap| gap.reason), Some(GapReason::Rollback));
    assert_eq!(ids(&page.entries), ["new"]);
    log.close().await;
}

#[tokio::test]
async fn a_log_in_use_is_refused_and_free_again_after_its_end() {
    let places = Places::new();
    let log = open(&places.file(), LogLimits::default(), 1_000).await;
    let error = open_error(&places.path()).await;
    assert!(matches!(&error, OpenError::InUse { path } if *path == places.path()), "{error:?}");
    log.close().await;
    open(&places.file(), LogLimits::default(), 1_000).await.close().await;
}

#[tokio::test]
async fn a_file_is_not_a_directory() {
    let places = Places::new();
    fs::write(places.path(), "x").unwrap();
    for path in [places.path(), places.path().join("below")] {
        let error = open_error(&path).await;
        assert!(matches!(&error, OpenError::Directory { path: named, .. } if *named == path), "{error:?}");
    }
}

#[tokio::test]
async fn a_directory_of_other_things_is_refused_and_left_alone() {
    let places = Places::new();
    fs::create_dir(places.path()).unwrap();
    fs::write(places.path().join("letter.txt"), "x").unwrap();
    let error = open_error(&places.path()).await;
    let OpenError::Directory { cause, .. } = &error else { panic!("{error:?}") };
    assert!(cause.to_string().contains("letter.txt"), "{cause}");
    let left: Vec<_> = fs::read_dir(places.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["letter.txt"]);
}

#[tokio::test]
async fn an_interrupted_beginning_is_begun_again() {
    let places = Places::new();
    fs::create_dir_all(places.path().join("keyspaces")).unwrap();
    fs::write(places.path().join("lock"), "").unwrap();
    fs::write(places.path().join("0.jnl"), "half").unwrap();
    let log = open(&places.file(), LogLimits::default(), 1_000).await;
    log.put(event("a")).await;
    log.close().await;
    let log = open(&places.file(), LogLimits::default(), 1_000).await;
    assert_eq!(log.bounds().await.unwrap().length, 1);
    log.close().await;
}
