//! Bits that flip, files that are cut or vanish: in whatever file of a log, the log is refused, or it says how many
//! events are missing and where. Never a panic of the process, never silence, and never a file that we delete.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::fixture::{Log, Places, event, mail, open, user};
use crate::broker::embedded::disk::{Disk, check, repair};
use crate::broker::embedded::store::Store;
use crate::broker::{BrokerUrl, Durability, LogLimits, Lost, OpenError, PageLimit};
use crate::protocol::Cursor;

const SORTED: u64 = 1_500;
const ALL: u64 = 3_000;
const MAIL_EVERY: u64 = 10;

/// A log of which one half stands in sorted files and the other in the journal.
async fn log() -> (Places, Cursor) {
    let places = Places::new();
    for range in [0..SORTED, SORTED..ALL] {
        let log = open(&places.file(), LogLimits::default(), 1_000 + range.start).await;
        for chunk in range.clone().collect::<Vec<_>>().chunks(50) {
            let appends = chunk.iter().map(|n| {
                let id = format!("m{n}");
                log.append(if n % MAIL_EVERY == 0 { mail(&id) } else { event(&id) })
            });
            for appended in futures_util::future::join_all(appends).await {
                appended.unwrap();
            }
        }
        log.close().await;
        if range.start == 0 {
            let disk = Disk::open(&places.path(), &LogLimits::default(), Durability::Accepted).unwrap();
            disk.sort();
        }
    }
    let log = open(&places.file(), LogLimits::default(), 9_000).await;
    let newest = log.bounds().await.unwrap().newest_cursor();
    log.close().await;
    (places, newest)
}

fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for file in fs::read_dir(directory).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_dir() {
            found.extend(files(&file.path()));
        } else {
            found.insert(file.path());
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}

/// Events that can be read, or that some cannot.
async fn readable(log: &Log) -> Option<u64> {
    let mut at = log.bounds().await.unwrap().start_cursor();
    let mut count = 0;
    loop {
        let page = log.read_after(at, PageLimit::entries(1_000)).await.ok()?;
        assert_eq!(page.gap, None);
        let Some(last) = page.entries.last() else { return Some(count) };
        at = last.cursor;
        count += page.entries.len() as u64;
    }
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Whole,
    Refused,
    Unreadable,
    Lost(Lost),
}

/// Opens a damaged copy of a log and checks that nothing is silent.
async fn outcome(places: &Places, newest: Cursor, damage: impl FnOnce(&Path)) -> Outcome {
    let victim = Places::new();
    copy(&places.path(), &victim.path());
    damage(&victim.path());
    let before = files(&victim.path());
    let limits = LogLimits::default();
    let store = Store::open(&BrokerUrl::File(victim.path()), &limits, Durability::Accepted).await;
    let outcome = match store {
        Err(OpenError::Store(_) | OpenError::Directory { .. }) => Outcome::Refused,
        Err(error) => panic!("{error}"),
        Ok(store) => {
            drop(store);
            let log = open(&BrokerUrl::File(victim.path()), limits, 9_000).await;
            let (lost, kept) = (log.condition().lost, readable(&log).await);
            if let (Some(lost), Some(kept)) = (lost, kept) {
                assert_eq!(kept + lost.events, ALL);
                let page = log.read_after(newest, PageLimit::entries(1)).await.unwrap();
                assert!(page.gap.is_some(), "readers hear of it");
            }
            // What is left works: no counter is below zero.
            log.put(mail("new")).await;
            let bounds = log.bounds().await.unwrap();
            assert!(bounds.mailbox_messages <= ALL && bounds.length <= ALL + 1, "{bounds:?}");
            if let Some(kept) = kept {
                let mailbox = log.mailbox(&user()).await.unwrap();
                assert_eq!(mailbox.entries.len() as u64 + mailbox.overflowed, ALL / MAIL_EVERY + 1);
                assert_eq!(log.confirm(&user(), bounds.newest).await.unwrap(), mailbox.entries.len() as u64);
                assert_eq!(bounds.length, kept + 1);
            }
            log.close().await;
            match (lost, kept) {
                (Some(lost), _) => Outcome::Lost(lost),
                (None, Some(kept)) => {
                    assert_eq!(kept, ALL, "silence");
                    Outcome::Whole
                }
                (None, None) => Outcome::Unreadable,
            }
        }
    };
    let left = files(&victim.path());
    let is_kept = |file: &PathBuf| {
        // Sorted files are merged by the database itself.
        left.contains(file) || outcome != Outcome::Refused && file.to_string_lossy().contains("keyspaces")
    };
    assert!(before.iter().all(is_kept), "{outcome:?}: {before:?} became {left:?}");
    outcome
}

fn flip(file: &Path, at: u64) {
    let mut bytes = fs::read(file).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    bytes[usize::try_from(at.min(end)).unwrap()] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

/// Head, middle and tail of what is written in a file.
fn places_in(file: &Path) -> [u64; 3] {
    let bytes = fs::read(file).unwrap();
    let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
    [0, length / 2, length.saturating_sub(1)]
}

#[tokio::test]
async fn a_bit_that_flips_in_a_journal_costs_a_batch_and_is_told() {
    let (places, newest) = log().await;
    let journals: Vec<_> = files(&places.path())
        .into_iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "jnl"))
        .collect();
    for file in &journals {
        let name = file.file_name().unwrap().to_owned();
        for at in places_in(file) {
            let outcome = outcome(&places, newest, |directory| flip(&directory.join(&name), at)).await;
            match outcome {
                // A batch of the first half stands in the sorted files, too.
                Outcome::Whole if at == 0 => {}
                Outcome::Lost(lost) => assert!((1..=50).contains(&lost.events), "{lost:?}"),
                other => panic!("{name:?} at {at}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_bit_that_flips_in_any_other_file_is_no_silence() {
    let (places, newest) = log().await;
    for file in files(&places.path()) {
        let name = file.strip_prefix(places.path()).unwrap().to_owned();
        if name.extension().is_some_and(|ending| ending == "jnl") || fs::metadata(&file).unwrap().len() == 0 {
            continue;
        }
        for at in places_in(&file) {
            let outcome = outcome(&places, newest, |directory| flip(&directory.join(&name), at)).await;
            assert!(!matches!(outcome, Outcome::Lost(_)), "{name:?} at {at}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn files_that_are_cut_or_gone_are_told() {
    let (places, newest) = log().await;
    let all = files(&places.path());
    let names = all.iter().map(|file| file.strip_prefix(places.path()).unwrap());
    for name in names {
        for cut in [true, false] {
            let damage = |directory: &Path| {
                let file = directory.join(name);
                if cut {
                    let half = places_in(&file)[1];
                    fs::File::options().write(true).open(&file).unwrap().set_len(half).unwrap();
                } else {
                    fs::remove_file(&file).unwrap();
                }
            };
            let outcome = outcome(&places, newest, damage).await;
            let text = name.to_str().unwrap();
            match outcome {
                Outcome::Lost(lost) => {
                    assert!(text.ends_with(".jnl"), "{name:?}");
                    assert_eq!(lost.up_to, newest);
                    assert!(cut || lost.events >= ALL - SORTED, "{lost:?}");
                }
                Outcome::Whole => {
                    assert!(["lock", "version", "numbers"].contains(&text), "{name:?} cut: {cut}")
                }
                Outcome::Refused | Outcome::Unreadable => {}
            }
        }
    }
}

#[tokio::test]
async fn a_check_changes_nothing_and_a_repair_keeps_the_damaged_directory() {
    let (places, newest) = log().await;
    assert!(check(&places.path()).unwrap().is_whole());
    let journal = files(&places.path())
        .into_iter()
        .rfind(|file| file.extension().is_some_and(|ending| ending == "jnl"));
    let journal = journal.unwrap();
    flip(&journal, places_in(&journal)[1]);
    let damaged = fs::read(&journal).unwrap();
    let report = check(&places.path()).unwrap();
    assert!(
        !report.is_whole() && report.damage.iter().any(|line| line.contains("message ids in them: m")),
        "{report:?}"
    );
    assert_eq!((fs::read(&journal).unwrap(), report.kept), (damaged.clone(), None));
    let report = repair(&places.path()).unwrap();
    let kept = report.kept.unwrap();
    assert_eq!(fs::read(kept.join(journal.file_name().unwrap())).unwrap(), damaged);
    let (bounds, lost) = report.content.unwrap();
    assert_ne!(bounds.epoch, newest.epoch);
    let log = open(&places.file(), LogLimits::default(), 9_000).await;
    assert_eq!(log.condition().lost, lost);
    assert_eq!(readable(&log).await.unwrap() + lost.unwrap().events, ALL);
    log.close().await;
    assert!(check(&places.path()).unwrap().damage.is_empty());
    let beside = fs::read_dir(places.dir.path()).unwrap().count();
    assert_eq!(beside, 2, "no copy is left behind");
}
