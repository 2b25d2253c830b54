//! What other programs and people do to the keys of a log: it is noticed, and events go on without repetition.

use std::time::Duration;

use super::load::event;
use crate::broker::tests::redis_server::Server;
use crate::broker::{
    AppendError, Appended, Broker, Durability, Follower, LogLimits, Missing, NewEvent, PageLimit, Synced,
};
use crate::protocol::api::GapReason;
use crate::protocol::{Address, Cursor};
use crate::runtime::Tasks;

const USER: &str = "user:u";

/// A log with a reader that has read what was appended.
struct Bed {
    server: Server,
    tasks: Tasks,
    log: Broker,
    start: Cursor,
    follower: Follower,
}

impl Bed {
    async fn new() -> Self {
        let server = Server::start(&[]);
        let tasks = Tasks::new();
        let log = open(&server, &tasks).await;
        let start = log.bounds().await.unwrap().start_cursor();
        let follower = log.follow(start);
        let mut bed = Self { server, tasks, log, start, follower };
        for n in 0..3 {
            bed.append(&format!("m{n}")).await;
        }
        bed.until("m2").await;
        bed
    }

    async fn append(&self, id: &str) -> Appended {
        self.log.append(event(id)).await.unwrap()
    }

    /// What the reader gets up to this event.
    async fn until(&mut self, last: &str) -> Seen {
        let mut seen = Seen::default();
        let read = async {
            while seen.ids.last().is_none_or(|id| id != last) {
                let Ok(page) = self.follower.next(10).await else { continue };
                seen.gaps.extend(page.gap);
                seen.syncs.extend(page.sync);
                seen.ids.extend(page.entries.iter().map(|entry| entry.message_id.to_string()));
            }
        };
        tokio::time::timeout(Duration::from_secs(60), read)
            .await
            .unwrap_or_else(|_| panic!("{last} did not come"));
        seen
    }

    async fn end(self) {
        self.tasks.token().cancel();
        assert_eq!(self.tasks.join(Duration::from_secs(60)).await, Ok(()));
    }
}

#[derive(Debug, Default)]
struct Seen {
    ids: Vec<String>,
    gaps: Vec<Missing>,
    syncs: Vec<Synced>,
}

async fn open(server: &Server, tasks: &Tasks) -> Broker {
    let url = format!("redis://{}", server.address()).parse().unwrap();
    Broker::open(&url, LogLimits::default(), Durability::Accepted, tasks).await.unwrap()
}

/// Whoever comes first: a publish, or a node that starts and knows no history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_numbers_were_removed_goes_on_where_it_ended() {
    for starts_first in [false, true] {
        let mut bed = Bed::new().await;
        bed.server.cli(&["DEL", "{sse}:meta"]);
        if starts_first {
            open(&bed.server, &bed.tasks).await;
        }
        let appended = bed.append("m3").await;
        let seen = bed.until("m3").await;
        assert_eq!((&seen.ids[..], seen.gaps.len()), (&["m3".to_owned()][..], 0), "{seen:?}");
        assert!(seen.syncs.iter().all(|sync| !sync.is_lost()) && seen.syncs.len() == 1, "{seen:?}");
        assert_eq!(bed.server.cli(&["XLEN", "{sse}:log"]).trim(), "4");
        let history = bed.log.read_after(bed.start, PageLimit::entries(10)).await.unwrap();
        assert_eq!((history.entries.len(), history.gap), (4, None));
        let bounds = bed.log.bounds().await.unwrap();
        assert_eq!((bounds.newest, bounds.length), (appended.cursor.position, 4));
        bed.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_entries_were_removed_says_that_they_are_gone_and_goes_on() {
    let mut bed = Bed::new().await;
    bed.server.cli(&["DEL", "{sse}:log"]);
    bed.append("m3").await;
    let seen = bed.until("m3").await;
    assert_eq!(
        (&seen.ids[..], seen.gaps.len(), seen.syncs.len()),
        (&["m3".to_owned()][..], 0, 0),
        "{seen:?}"
    );
    let history = bed.log.read_after(bed.start, PageLimit::entries(10)).await.unwrap();
    let gap = history.gap.unwrap();
    assert_eq!((history.entries.len(), gap.reason, gap.missed), (1, GapReason::Trimmed, Some(3)));
    bed.end().await;
}

/// Copied by somebody, or written by another program: it has the fields of an event, and does not follow the last one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_only_looks_like_an_event_does_not_stop_delivery() {
    let mut bed = Bed::new().await;
    let all = Address::All.to_string();
    for before in ["0-0", "9999999999999-9"] {
        let copy =
            ["m", "copy", "a", &all, "t", "MESSAGE", "d", "{}", "p", before, "c", "1:1", "e", "abcdef"];
        bed.server.cli(&[&["XADD", "{sse}:log", "*"], &copy[..]].concat());
        let id = format!("after {before}");
        bed.append(&id).await;
        let seen = bed.until(&id).await;
        assert_eq!(seen.ids, ["copy", &id], "{seen:?}");
        assert!(!seen.gaps.is_empty(), "{seen:?}");
    }
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_another_program_are_skipped() {
    let mut bed = Bed::new().await;
    bed.server.cli(&["XADD", "{sse}:log", "*", "x", "y"]);
    bed.server.cli(&["XADD", "{sse}:log", "9999999999999-7", "x", "y"]);
    let mail = NewEvent { mailbox: true, address: USER.parse().unwrap(), ..event("m3") };
    bed.log.append(mail).await.unwrap();
    let seen = bed.until("m3").await;
    assert_eq!(
        (&seen.ids[..], seen.gaps.len(), seen.syncs.len()),
        (&["m3".to_owned()][..], 0, 0),
        "{seen:?}"
    );
    assert_eq!(bed.log.mailbox(&USER.parse().unwrap()).await.unwrap().entries.len(), 1);
    bed.end().await;
}

/// The mailbox does not get it, and a publisher that asks again learns that the log has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_mailbox_is_another_key_is_in_the_log_and_its_publisher_knows_that_it_may_be() {
    let mut bed = Bed::new().await;
    bed.server.cli(&["SET", "{sse}:mb:user:u", "x"]);
    let mail = NewEvent { mailbox: true, address: USER.parse().unwrap(), ..event("m3") };
    let unknown = bed.log.append(mail.clone()).await.unwrap_err();
    assert!(
        matches!(&unknown, AppendError::Store(cause) if cause.cause.contains("{sse}:mb:user:u")),
        "{unknown:?}"
    );
    assert_eq!(bed.until("m3").await.ids, ["m3"]);
    assert!(bed.log.append(mail).await.unwrap().duplicate);
    bed.server.cli(&["DEL", "{sse}:mb:user:u"]);
    let mail = NewEvent { mailbox: true, address: USER.parse().unwrap(), ..event("m4") };
    assert!(!bed.log.append(mail).await.unwrap().duplicate);
    let seen = bed.until("m4").await;
    assert_eq!((&seen.ids[..], seen.gaps.len()), (&["m4".to_owned()][..], 0), "{seen:?}");
    assert_eq!(bed.log.mailbox(&USER.parse().unwrap()).await.unwrap().entries.len(), 1);
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_a_user_that_must_not_trim_is_acknowledged() {
    let server = Server::start(&[]);
    let tasks = Tasks::new();
    let url = format!("redis://{}", server.address()).parse().unwrap();
    let limits = LogLimits { max_events: 2, ..LogLimits::default() };
    let log = Broker::open(&url, limits, Durability::Accepted, &tasks).await.unwrap();
    server.cli(&["ACL", "SETUSER", "default", "-xtrim"]);
    for n in 0..4 {
        assert!(!log.append(event(&format!("m{n}"))).await.unwrap().duplicate, "m{n}");
    }
    // Its id cannot be noted, so the event is not there, and nothing is left open.
    server.cli(&["ACL", "SETUSER", "default", "-hset"]);
    let refused = log.append(event("m4")).await.unwrap_err();
    assert!(matches!(refused, AppendError::Away(_)), "{refused:?}");
    assert_eq!(server.cli(&["XLEN", "{sse}:log"]).trim(), "4");
    tasks.token().cancel();
    assert_eq!(tasks.join(Duration::from_secs(60)).await, Ok(()));
}

/// No event can follow an entry with the last id that there can be. Nobody says otherwise, and when it is gone, all goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_end_was_moved_is_not_ready_and_goes_on_when_it_was_moved_back() {
    let mut bed = Bed::new().await;
    let newest = bed.server.cli(&["HGET", "{sse}:meta", "newest"]).trim().to_owned();
    let last = "18446744073709551615-1";
    bed.server.cli(&["XADD", "{sse}:log", last, "x", "y"]);
    assert!(bed.log.append(event("refused")).await.is_err());
    let unready = bed.log.probe().await.unwrap_err().to_string();
    assert!(unready.contains("another program") && unready.contains("XSETID"), "{unready}");
    bed.server.cli(&["XDEL", "{sse}:log", last]);
    assert_eq!(bed.server.cli(&["XSETID", "{sse}:log", &newest]).trim(), "OK");
    bed.append("m3").await;
    assert_eq!(bed.until("m3").await.ids, ["m3"]);
    bed.log.probe().await.unwrap();
    bed.end().await;
}
