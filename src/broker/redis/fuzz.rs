//! Target of `make fuzz`: what a server answers, from its bytes to entries, the numbers of the log, and its masters.

use redis::{FromRedisValue as _, Value};

use super::entry::{self, Raw, Stored};
use super::finder::owner_of;
use super::info::parsed;
use super::meta::{EpochChain, HistoryEnd, Meta};
use super::url::Server;
use crate::broker::Origins;
use crate::protocol::{Address, Epoch, Position};

/// A reply in RESP, read as each answer that a node waits for.
pub(crate) fn replies(bytes: &[u8]) {
    let Ok(value) = redis::parse_redis_value(bytes) else { return };
    if let Ok(entries) = Vec::<Raw>::from_redis_value(value.clone()) {
        entries.iter().filter_map(entry::stored).for_each(|stored| comes_back(&stored));
        numbers(&[], &entries);
    }
    if let Ok((fields, entries)) = <(Vec<Option<String>>, Vec<Raw>)>::from_redis_value(value.clone()) {
        numbers(&fields, &entries);
    }
    if let Ok(text) = String::from_redis_value(value.clone()) {
        let server = parsed("here".to_owned(), &text);
        assert!(server.place == "here" && text.contains(&server.version), "{server:?}");
        ended(&text);
    }
    if let Ok(message) = Vec::<u8>::from_redis_value(value.clone()) {
        mail(&message);
    }
    if let Ok(ranges) = Vec::<Vec<Value>>::from_redis_value(value) {
        masters(&ranges);
    }
}

/// An entry is read again from the fields that it was read from, written as a node writes them.
fn comes_back(stored: &Stored) {
    let mut fields = vec![
        ("m", stored.message_id.to_string()),
        ("a", stored.address.to_string()),
        ("t", stored.event_type.to_string()),
        ("d", stored.envelope.to_string()),
        ("p", entry::id(stored.before)),
        ("c", format!("{}:{}", stored.total.0, stored.total.1)),
    ];
    fields.extend(stored.mailbox.then(|| ("q", "1".to_owned())));
    fields.extend(stored.begins.map(|epoch| ("e", epoch.to_string())));
    fields.extend((stored.origins != Origins::default()).then(|| ("o", stored.origins.to_string())));
    let fields = fields.into_iter().flat_map(|(name, value)| [name.as_bytes().to_vec(), value.into_bytes()]);
    let again = entry::stored(&(entry::id(stored.position), fields.collect()));
    assert_eq!(again.as_ref(), Some(stored));
}

/// A reader that is told of a gap goes on from a place where it is told of none.
fn numbers(fields: &[Option<String>], oldest: &[Raw]) {
    let Some(meta) = Meta::read(fields, oldest) else { return };
    let bounds = meta.bounds(0);
    assert!(bounds.length <= meta.appended && bounds.bytes <= meta.bytes, "{bounds:?} {meta:?}");
    assert_eq!(meta.unknown_epoch().resumed_after.position, bounds.start);
    for at in [Position::ZERO, bounds.start, bounds.newest, bounds.start.next(), bounds.newest.next()] {
        for nearest in [None, Some(bounds.newest), Some(at)] {
            let Some(missing) = meta.missing(at, nearest) else { continue };
            assert_eq!(missing.resumed_after.epoch, meta.epoch);
            let sound = missing.resumed_after.position;
            assert_eq!(meta.missing(sound, nearest.filter(|nearest| *nearest == sound)), None, "{meta:?}");
        }
    }
}

/// The ends of histories lead to the present one, or nowhere: never round and round.
fn ended(text: &str) {
    let present = Epoch::from_random(1);
    let mut chain = EpochChain::new(Epoch::from_random(2), present);
    let ends: Vec<_> = text.lines().map(HistoryEnd::parse).collect();
    for (read, end) in ends.iter().cycle().enumerate() {
        if chain.next_unknown().is_none() {
            break;
        }
        assert!(read < 10_000, "{text:?}");
        chain.push(*end);
    }
    if let Some(end) = HistoryEnd::parse(text) {
        assert_eq!(HistoryEnd::parse(&format!("{} {}", entry::id(end.at), end.next)), Some(end));
    }
}

fn mail(message: &[u8]) {
    let owner = Address::All;
    let Some(found) = entry::mail(&owner, Epoch::from_random(1), message) else { return };
    let written =
        [entry::id(found.cursor.position), found.message_id.to_string(), found.event_type.to_string()];
    let written = format!("{}\n{}", written.join("\n"), found.envelope);
    let again = entry::mail(&owner, found.cursor.epoch, written.as_bytes());
    assert_eq!(format!("{again:?}"), format!("{:?}", Some(found)));
}

/// The master of a slot is one of the masters, and each of them can be connected to.
fn masters(ranges: &[Vec<Value>]) {
    let seed = Server { host: "seed".to_owned(), port: 6379 };
    for slot in [0, 7_000, 16_383] {
        let (owner, members) = owner_of(slot, ranges, &seed);
        assert!(owner.is_none_or(|owner| members.contains(&owner)));
        assert!(members.iter().all(|member| !member.host.is_empty()) && members.len() <= ranges.len());
    }
}
