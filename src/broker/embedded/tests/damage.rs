//! Bits that flip, files that are cut or vanish: in whatever file of a log, the log is refused, or it says how many
//! events are missing and where. Never a panic of the process, never silence, and never a file that we delete.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::fixture::{Log, Places, event, mail, open, start, user};
use crate::broker::embedded::disk::{Disk, check, repair};
use crate::broker::embedded::store::Store;
use crate::broker::{BrokerUrl, Durability, LogLimits, Lost, OpenError, PageLimit};
use crate::protocol::api::GapReason;
use crate::protocol::{Cursor, Position};

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
    // Without the space that is reserved in it, it is copied faster.
    let journal = fs::File::options().write(true).open(journal(&places)).unwrap();
    journal.set_len(written(&fs::read(self::journal(&places)).unwrap())).unwrap();
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
    let mut at = log.bounds().await.ok()?.start_cursor();
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
            let log = start(store, limits, 9_000).await;
            let lost = log.condition().lost;
            let outcome = match use_it(&log, newest, lost).await {
                None => Outcome::Unreadable,
                Some(()) => lost.map_or(Outcome::Whole, Outcome::Lost),
            };
            log.abandon().await;
            outcome
        }
    };
    let left = files(&victim.path());
    // Sorted files are merged by the database itself, but no table vanishes.
    let is_kept = |file: &PathBuf| left.contains(file) || file.to_string_lossy().contains("keyspaces");
    assert!(before.iter().all(is_kept), "{outcome:?}: {before:?} became {left:?}");
    let tables =
        |files: &BTreeSet<PathBuf>| files.iter().map(|file| file.parent().unwrap().to_owned()).collect();
    let (before, left): (BTreeSet<_>, BTreeSet<_>) = (tables(&before), tables(&left));
    assert!(before.is_subset(&left), "{outcome:?}: {before:?} became {left:?}");
    outcome
}

/// What is left works: every event is there or counted as lost, and no counter is below zero. `None` if something
/// cannot be read.
async fn use_it(log: &Log, newest: Cursor, lost: Option<Lost>) -> Option<()> {
    let kept = readable(log).await?;
    assert_eq!(kept + lost.map_or(0, |lost| lost.events), ALL, "silence");
    if lost.is_some() {
        let page = log.read_after(newest, PageLimit::entries(1)).await.ok()?;
        assert_eq!(page.gap.map(|gap| gap.reason), Some(GapReason::Epoch), "readers hear of it");
    }
    log.append(mail("new")).await.ok()?;
    let bounds = log.bounds().await.ok()?;
    assert_eq!(bounds.length, kept + 1);
    let mailbox = log.mail_after(&user(), Position::default(), PageLimit::entries(usize::MAX)).await.ok()?;
    let (there, all) = (mailbox.entries.len() as u64, ALL / MAIL_EVERY + 1);
    assert!(there + mailbox.overflowed <= all && bounds.mailbox_messages == there, "{mailbox:?}");
    assert_eq!(log.confirm(&user(), bounds.newest).await.ok()?, there);
    Some(())
}

fn journal(places: &Places) -> PathBuf {
    places.path().join("0.jnl")
}

fn written(bytes: &[u8]) -> u64 {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

fn flip(file: &Path, at: u64) {
    let mut bytes = fs::read(file).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

/// Head, middle and tail of a file.
fn places_in(file: &Path) -> [u64; 3] {
    let length = fs::metadata(file).unwrap().len();
    [0, length / 2, length.saturating_sub(1)]
}

#[tokio::test]
async fn a_bit_that_flips_in_a_journal_costs_a_batch_and_is_told() {
    let (places, newest) = log().await;
    let bytes = fs::read(journal(&places)).unwrap();
    let last = bytes.windows(5).rposition(|text| text == b"m2999").unwrap() as u64;
    let length = bytes.len() as u64;
    // The events of the first half stand in sorted files, too, and the last batch has none.
    for (at, costs) in
        [(0, false), (length / 4, false), (length * 3 / 4, true), (last, true), (length - 1, false)]
    {
        match outcome(&places, newest, |directory| flip(&directory.join("0.jnl"), at)).await {
            Outcome::Whole => assert!(!costs, "at {at} of {length}"),
            Outcome::Lost(lost) => {
                assert!(costs && (1..=50).contains(&lost.events), "{lost:?} at {at} of {length}");
                let (after, up_to) = (lost.after.position, lost.up_to.position);
                assert!(after < up_to && up_to <= newest.position, "{lost:?}");
            }
            other => panic!("at {at} of {length}: {other:?}"),
        }
    }
}

/// The database leaves out a batch whose number it believes to be on the disk already, without a word.
#[tokio::test]
async fn a_bit_that_flips_in_the_number_of_a_batch_costs_the_batch_and_is_told() {
    let (places, newest) = log().await;
    let mut bytes = fs::read(journal(&places)).unwrap();
    let last = bytes.windows(5).rposition(|text| text == b"m2999").unwrap();
    let number = bytes[..last].windows(4).rposition(|end| end == b"FJL\x03").unwrap() + 4 + 5;
    let at = number + bytes[number..number + 8].iter().rposition(|byte| *byte != 0).unwrap();
    bytes[at] ^= 1 << bytes[at].ilog2();
    let damage = |directory: &Path| fs::write(directory.join("0.jnl"), &bytes).unwrap();
    let outcome = outcome(&places, newest, damage).await;
    damage(&places.path());
    let report = check(&places.path()).unwrap();
    assert!(report.damage.iter().any(|line| line.contains("message ids in them: m")), "{report:?}");
    assert!(matches!(&outcome, Outcome::Lost(lost) if (1..=50).contains(&lost.events)), "{outcome:?}");
}

#[tokio::test]
async fn a_bit_that_flips_in_any_other_file_is_no_silence() {
    let (places, newest) = log().await;
    for file in files(&places.path()) {
        let name = file.strip_prefix(places.path()).unwrap().to_owned();
        if file == journal(&places) || fs::metadata(&file).unwrap().len() == 0 {
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
            // What was lost is told only where it was; all else is refused, or cannot be read, or makes no difference.
            let Outcome::Lost(lost) = outcome else {
                assert_ne!(name, Path::new("0.jnl"), "{outcome:?}");
                continue;
            };
            assert_eq!((name, lost.up_to), (Path::new("0.jnl"), newest));
            assert!(cut || lost.events == ALL - SORTED, "{lost:?}");
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
    assert_eq!(repair(&places.path()).unwrap().kept, None, "there is nothing more to repair");
    let beside = fs::read_dir(places.dir.path()).unwrap().count();
    assert_eq!(beside, 2, "no copy is left behind");
}
