//! Targets of `make fuzz`: a stream, and the texts that name a place in the log or a receiver.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::cursor::EVENT_ID_MAX_BYTES;
use super::path::publish_path;
use super::{Address, Cursor, Decoder, Epoch, Format, Frame, Item, Limits, Position, Resume};

/// Three bytes say how to cut the rest, and the limits.
pub(crate) fn decoder(bytes: &[u8]) {
    let Some((&[size, max_line, max_event], stream)) = bytes.split_first_chunk() else { return };
    let pieces = || stream.chunks(usize::from(size % 16) + 1);
    let whole = items(Limits::default(), [stream]);
    assert_eq!(whole, by_the_standard(stream));
    assert_eq!(items(Limits::default(), pieces()), whole);
    let limits = Limits { max_line: max_line.into(), max_event: max_event.into() };
    let limited = items(limits, [stream]);
    assert_eq!(items(limits, pieces()), limited);
    let kept = limited.iter().zip(&whole).take_while(|(limited, whole)| limited == whole).count();
    assert!(
        limited.len() - kept <= 1 && (kept < limited.len() || kept == whole.len()),
        "{limited:?} {whole:?}"
    );
    let mut decoder = Decoder::new(Limits::default());
    let read = decoder.feed(stream, |item| {
        if let Item::Event { event, data, .. } = item {
            comes_back(event, data);
        }
    });
    assert_eq!(read, Ok(()));
}

/// What was read, and why nothing more could be.
fn items<'a>(limits: Limits, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut decoder = Decoder::new(limits);
    let mut items = Vec::new();
    for chunk in chunks {
        if let Err(why) = decoder.feed(chunk, |item| items.push(format!("{item:?}"))) {
            items.push(format!("{why:?}"));
            break;
        }
    }
    items
}

/// HTML standard 9.2.6, word for word: the whole text first, then its lines.
fn by_the_standard(stream: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    // What follows the last line end is no line.
    lines.pop();
    let (mut items, mut last_event_id) = (Vec::new(), "");
    let (mut event, mut data, mut id) = ("", String::new(), None);
    for line in lines {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        let item = match field {
            "" if line.is_empty() => {
                last_event_id = id.unwrap_or(last_event_id);
                let data = std::mem::take(&mut data);
                let event = match std::mem::take(&mut event) {
                    "" => "message",
                    event => event,
                };
                let id_in_block = id.take().is_some();
                match data.strip_suffix('\n') {
                    Some(data) => format!("{:?}", Item::Event { event, data, last_event_id, id_in_block }),
                    None if id_in_block => format!("{:?}", Item::IdCommitted(last_event_id)),
                    None => continue,
                }
            }
            "" => format!("{:?}", Item::Comment(&line[1..])),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                format!("{:?}", Item::Retry(Duration::from_millis(value.parse().unwrap_or(u64::MAX))))
            }
            "data" => {
                data.extend([value, "\n"]);
                continue;
            }
            "event" => {
                event = value;
                continue;
            }
            "id" if !value.contains('\0') => {
                id = Some(value);
                continue;
            }
            _ => continue,
        };
        items.push(item);
    }
    items
}

/// An event that was read is read again from what it is written as.
fn comes_back(event: &str, data: &str) {
    let event: Cow<'_, str> = event.replace('\0', "0").into();
    let frame = Frame { retry: None, id: None, event: &event, data }.encode();
    let expected = Item::Event { event: &event, data, last_event_id: "", id_in_block: false };
    assert_eq!(items(Limits::default(), [&frame[..]]), [format!("{expected:?}")]);
}

/// A text as a cursor and as an address, and its bytes as the numbers of a cursor.
pub(crate) fn cursor(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(cursor) = text.parse::<Cursor>() {
        let spelled = spellings(cursor);
        assert!(spelled.iter().any(|spelled| *spelled == text), "{text} is {spelled:?}");
    }
    match Resume::parse(&text) {
        Resume::Live => assert!(text.is_empty()),
        Resume::Earliest => assert_eq!(text, "earliest"),
        Resume::After(cursor) => assert_eq!(text.parse(), Ok(cursor)),
        Resume::Malformed(kept) => {
            assert!(text.starts_with(&kept) && kept.chars().count() <= EVENT_ID_MAX_BYTES, "{kept:?}");
        }
    }
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string(), text);
        if address.check_new().is_ok() {
            leads_to(&address);
        }
    }
    if let Some((numbers, _)) = bytes.split_first_chunk::<24>() {
        let number = |at: usize| {
            numbers[at..at + 8].iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte))
        };
        spellings(Cursor::new(Epoch::from_random(number(0)), Position { ms: number(8), seq: number(16) }));
    }
}

/// Both spellings, each of which is read as the cursor.
fn spellings(cursor: Cursor) -> [String; 2] {
    let spelled = [Format::Envelope, Format::Data].map(|format| cursor.spelled(format).to_string());
    for text in &spelled {
        assert_eq!(text.parse(), Ok(cursor), "{text}");
        assert!(
            text.len() <= EVENT_ID_MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic()),
            "{text}"
        );
    }
    spelled
}

/// The names of an address are segments of its path, and no others.
fn leads_to(address: &Address) {
    let path = publish_path(address);
    let segments: Vec<_> =
        path.split('/').map(|segment| percent_decode_str(segment).decode_utf8_lossy()).collect();
    let segments: Vec<_> = segments.iter().map(|segment| &**segment).collect();
    assert!(!segments.contains(&".") && !segments.contains(&".."), "{path}");
    let names = match address {
        Address::All => vec!["api", "sse", "broadcast"],
        Address::Topic(topic) => vec!["api", "sse", "topics", topic.as_str()],
        Address::User(user) => vec!["api", "sse", "users", user.as_str()],
        Address::Client(client) => vec!["api", "sse", "broadcast", client.as_str()],
        Address::Node(node) => vec!["api", "sse", "broadcast", "server", node.as_str()],
        Address::NodeClient(node, client) => {
            vec!["api", "sse", "broadcast", "server", node.as_str(), "client", client.as_str()]
        }
    };
    assert_eq!(segments[1..], names);
}
