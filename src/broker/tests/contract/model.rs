//! A log as simple as it can be, and random histories in which every broker must agree with it.

use std::collections::HashMap;

use proptest::prelude::*;

use super::bed::{Bed, Log, address, bytes_of, event, ids};
use crate::broker::{Entry, LogLimits, NewEvent, Origins, Page};
use crate::protocol::api::GapReason;
use crate::protocol::{Cursor, Epoch, MessageId, Position};

const MAX_EVENTS: u64 = 8;
const MAX_MESSAGES: usize = 3;
const ADDRESSES: [&str; 5] = ["all", "topic:t", "user:a", "user:b", "client:c"];

/// One step of a history. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    Append { id: u8, to: usize, mailbox: bool },
    Burst { ids: Vec<u8>, to: usize },
    Confirm { to: usize, up_to: usize },
    Read { after: usize, limit: usize },
    ReadForeign,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..40_u8, 0..ADDRESSES.len(), any::<bool>())
            .prop_map(|(id, to, mailbox)| Step::Append { id, to, mailbox }),
        2 => (prop::collection::vec(0..40_u8, 1..12), 0..ADDRESSES.len())
            .prop_map(|(ids, to)| Step::Burst { ids, to }),
        2 => (0..ADDRESSES.len(), 0..100_usize).prop_map(|(to, up_to)| Step::Confirm { to, up_to }),
        3 => (0..100_usize, 1..12_usize).prop_map(|(after, limit)| Step::Read { after, limit }),
        1 => Just(Step::ReadForeign),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Default)]
struct ModelBox {
    messages: Vec<Entry>,
    overflowed: u64,
    dropped_up_to: Position,
}

#[derive(Default)]
struct Model {
    /// Everything ever appended.
    all: Vec<Entry>,
    seen: HashMap<MessageId, Cursor>,
    boxes: HashMap<usize, ModelBox>,
}

impl Model {
    fn append(&mut self, new: NewEvent, to: usize, cursor: Cursor, duplicate: bool) {
        if let Some(first) = self.seen.get(&new.message_id) {
            assert_eq!((cursor, duplicate), (*first, true));
            return;
        }
        assert!(!duplicate);
        let newest = self.all.last().map_or(Position::ZERO, |entry| entry.cursor.position);
        assert!(cursor.position > newest, "{cursor} does not come after {newest:?}");
        let NewEvent { message_id, address, event_type, envelope, mailbox, fresh: _ } = new;
        self.seen.insert(message_id.clone(), cursor);
        let entry = Entry { cursor, message_id, address, event_type, envelope, origins: Origins::default() };
        if mailbox && entry.address.has_mailbox() {
            let own = self.boxes.entry(to).or_default();
            own.messages.push(entry.clone());
            if own.messages.len() > MAX_MESSAGES {
                own.dropped_up_to = own.messages.remove(0).cursor.position;
                own.overflowed += 1;
            }
        }
        self.all.push(entry);
    }

    fn confirm(&mut self, to: usize, up_to: Position) -> u64 {
        let Some(own) = self.boxes.get_mut(&to) else { return 0 };
        let before = own.messages.len();
        own.messages.retain(|entry| entry.cursor.position > up_to);
        if own.dropped_up_to <= up_to {
            own.overflowed = 0;
        }
        (before - own.messages.len()) as u64
    }

    fn kept(&self) -> &[Entry] {
        let trimmed = self.all.len().saturating_sub(usize::try_from(MAX_EVENTS).unwrap());
        &self.all[trimmed..]
    }

    fn start(&self) -> Position {
        let trimmed = self.all.len() - self.kept().len();
        trimmed.checked_sub(1).map_or(Position::ZERO, |last| self.all[last].cursor.position)
    }

    /// Position of the nth event, or a place where nothing stands.
    fn position(&self, n: usize) -> Position {
        match n % (self.all.len() + 3) {
            0 => Position::ZERO,
            1 => self.all.last().map_or(Position::ZERO.next(), |entry| entry.cursor.position.next()),
            2 => Position { ms: u64::MAX, seq: 1 },
            n => self.all[n - 3].cursor.position,
        }
    }

    fn check_page(&self, after: Position, limit: usize, page: &Page) {
        let start = self.start();
        let newest = self.all.last().map_or(Position::ZERO, |entry| entry.cursor.position);
        let reason = if after < start {
            Some(GapReason::Trimmed)
        } else if after > newest {
            Some(GapReason::Rollback)
        } else {
            None
        };
        assert_eq!(page.gap.map(|gap| gap.reason), reason, "after {after:?}");
        let from = page.gap.map_or(after, |gap| gap.resumed_after.position);
        let expected: Vec<_> =
            self.kept().iter().filter(|entry| entry.cursor.position > from).take(limit).cloned().collect();
        assert_eq!(page.entries, expected, "after {after:?}");
        if reason == Some(GapReason::Trimmed) {
            assert_eq!(from, start, "nothing that is kept may be skipped");
        }
    }
}

struct Case<'a> {
    bed: &'a Bed,
    log: Log,
    model: Model,
}

fn limits() -> LogLimits {
    LogLimits { max_events: MAX_EVENTS, mailbox_max_messages: MAX_MESSAGES as u64, ..LogLimits::default() }
}

impl Case<'_> {
    async fn run(mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Append { id, to, mailbox } => self.append(&[id], to, mailbox).await,
                Step::Burst { ids, to } => self.append(&ids, to, true).await,
                Step::Confirm { to, up_to } => {
                    let up_to = self.model.position(up_to);
                    let confirmed = self.log.confirm(&address(ADDRESSES[to]), up_to).await.unwrap();
                    assert_eq!(confirmed, self.model.confirm(to, up_to));
                }
                Step::Read { after, limit } => {
                    let after = self.model.position(after);
                    let epoch = self.log.look().await.epoch;
                    let page = self.log.page(Cursor::new(epoch, after), limit).await;
                    self.model.check_page(after, limit, &page);
                }
                Step::ReadForeign => {
                    let page = self.log.page(Cursor::start_of(Epoch::from_random(1)), 100).await;
                    assert_eq!(page.gap.map(|gap| gap.reason), Some(GapReason::Epoch));
                    assert_eq!(page.entries, self.model.kept());
                }
                Step::Reopen => self = self.reopen().await,
            }
            self.check_state().await;
        }
        self.log.close().await;
    }

    /// All at once, so that they may become one batch.
    async fn append(&mut self, ids: &[u8], to: usize, mailbox: bool) {
        let events: Vec<_> =
            ids.iter().map(|id| NewEvent { mailbox, ..event(&format!("m{id}"), ADDRESSES[to]) }).collect();
        let appends = events.iter().map(|event| self.log.append(event.clone()));
        let answers = futures_util::future::join_all(appends).await;
        for (event, answer) in events.into_iter().zip(answers) {
            let answer = answer.unwrap();
            self.model.append(event, to, answer.cursor, answer.duplicate);
        }
    }

    async fn reopen(self) -> Self {
        let Self { bed, log, model } = self;
        if !bed.is_durable() {
            return Self { bed, log, model };
        }
        let before = log.look().await;
        log.close().await;
        let log = bed.open(limits()).await;
        assert_eq!(log.look().await, before);
        Self { bed, log, model }
    }

    async fn check_state(&self) {
        let bounds = self.log.look().await;
        let kept = self.model.kept();
        assert_eq!(bounds.start, self.model.start());
        assert_eq!(bounds.length, kept.len() as u64);
        assert_eq!(
            bounds.newest,
            self.model.all.last().map_or(Position::ZERO, |entry| entry.cursor.position)
        );
        let bytes: u64 = kept.iter().map(|entry| bytes_of(&as_new(entry))).sum();
        assert_eq!(bounds.bytes, bytes);
        let boxes = self.model.boxes.values();
        assert_eq!(bounds.mailbox_messages, boxes.clone().map(|own| own.messages.len() as u64).sum::<u64>());
        assert_eq!(bounds.mailboxes, boxes.filter(|own| !own.messages.is_empty()).count() as u64);
        for (to, name) in ADDRESSES.iter().enumerate() {
            let expected = self.model.boxes.get(&to);
            let (messages, overflowed) = self.log.mailbox_ids(name).await;
            assert_eq!(messages, expected.map_or(vec![], |own| ids(&own.messages)), "{name}");
            assert_eq!(overflowed, expected.map_or(0, |own| own.overflowed), "{name}");
        }
    }
}

fn as_new(entry: &Entry) -> NewEvent {
    let Entry { message_id, address, event_type, envelope, .. } = entry.clone();
    NewEvent { message_id, address, event_type, envelope, mailbox: false, fresh: false }
}

/// Compares `cases` random histories. Each runs in a log of its own.
pub(super) fn check_random_histories(cases: u32, bed: impl Fn() -> Bed) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..60))| {
        runtime.block_on(async {
            let bed = bed();
            let log = bed.open(limits()).await;
            Case { bed: &bed, log, model: Model::default() }.run(steps).await;
        });
    });
}
