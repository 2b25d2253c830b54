//! The decoder: finds lines, gathers blocks, yields items. Must never rescan a byte of an unfinished line, and copies
//! only blocks that are cut by the end of a chunk: a block that lies whole in one chunk is borrowed from it. Read
//! [`Decoder::decode`] first.

use std::time::Duration;

use super::line::Line;

/// U+FEFF in UTF-8. One at the very start of a stream is not part of it.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
/// A buffer that grew beyond this is given back after use, so that one large event does not hold its memory for the
/// life of an idle connection.
const KEPT_CAPACITY: usize = 16 * 1024;

/// Size limits of the parts of a stream. A larger part is an error, not growth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest line in bytes, without its end.
    pub max_line: usize,
    /// Most bytes in the `data` lines of one event, one per line end included.
    pub max_event: usize,
}

impl Default for Limits {
    /// Lines of 1 MiB, events of 4 MiB.
    fn default() -> Self {
        Self { max_line: 1024 * 1024, max_event: 4 * 1024 * 1024 }
    }
}

/// A stream that asks for more memory than it may have. The decoder cannot be used for this connection any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitExceeded {
    /// A line does not end.
    #[error("a line of the stream is longer than {max} bytes")]
    Line {
        /// The limit in bytes.
        max: usize,
    },
    /// An event does not end.
    #[error("the data of an event of the stream is longer than {max} bytes")]
    Event {
        /// The limit in bytes.
        max: usize,
    },
}

/// An item of a stream. Texts live until the next call of [`Decoder::decode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A block with data was ended by a blank line.
    Event {
        /// The type; `message` when the block named none.
        event: &'a str,
        /// The `data` lines, joined with LF.
        data: &'a str,
        /// The last event ID as of this event, its own or an earlier one's. Empty: none.
        last_event_id: &'a str,
        /// Whether the block itself set the id.
        id_in_block: bool,
    },
    /// A comment line: the text behind the colon, as it stands. Heartbeats are comments.
    Comment(&'a str),
    /// A `retry` line. In force as soon as the line has ended.
    Retry(Duration),
    /// A block without data set the last event ID: nothing is dispatched, but a reconnect sends it.
    IdCommitted(&'a str),
}

/// What has arrived of an event that is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    /// The last line was whole, and no event is under way.
    Nothing,
    /// The last line has no end.
    Line,
    /// All lines are whole, and the blank line that would dispatch their data is missing.
    Block,
}

/// Reads the body of one connection, and of the connections after it: [`Decoder::finish`] between them keeps what a
/// reconnect needs.
#[derive(Debug, Default)]
pub struct Decoder {
    limits: Limits,
    start: Start,
    /// The line before ended with CR: an LF that comes first now belongs to that end.
    skip_line_feed: bool,
    /// An unfinished line. Holds no line end, so it is never searched again.
    line: Vec<u8>,
    block: Block,
    comment: String,
    last_event_id: String,
    reconnection_time: Option<Duration>,
    failed: Option<LimitExceeded>,
}

/// How much of a byte order mark has been seen at the start of the body.
#[derive(Debug, Clone, Copy, Default)]
enum Start {
    /// No byte of it yet.
    #[default]
    Nothing,
    OneByte,
    TwoBytes,
    /// The start lies behind.
    Over,
}

/// The block under construction, as far as it is owned.
#[derive(Debug, Default)]
struct Block {
    data: String,
    event: String,
    id: String,
    has_data: bool,
    has_id: bool,
    /// Bytes that count against the limit; `data` is empty while the only data line is borrowed.
    data_bytes: usize,
    /// The block was handed out and is cleared on the next call.
    is_over: bool,
}

/// Parts of the block that are still where they arrived.
#[derive(Debug, Default)]
struct Borrowed<'a> {
    data: Option<&'a [u8]>,
    event: Option<&'a [u8]>,
    comment: Option<&'a [u8]>,
}

/// The item that a line completed; the texts are in [`Borrowed`], or else in the decoder.
enum Found {
    Event,
    Comment,
    Retry(Duration),
    IdCommitted,
}

impl Decoder {
    /// Reads a first connection.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Reads a connection that continues another: events without an id of their own carry this one. The text of
    /// the standard starts from nothing, but the web platform tests and all engines seed it.
    #[must_use]
    pub fn resume(limits: Limits, last_event_id: &str) -> Self {
        Self { limits, last_event_id: last_event_id.to_owned(), ..Self::default() }
    }

    /// Takes bytes off the front of `input` until there is an item. `None`: all were taken and more are needed. May
    /// be called with any split of the stream, also with nothing.
    ///
    /// Returns one item a call, so that an async reader needs no queue between the socket and its caller.
    ///
    /// # Errors
    /// [`LimitExceeded`], on this call and every one after it.
    pub fn decode<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Result<Option<Item<'a>>, LimitExceeded> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        self.block.clear_if_over();
        recycle(&mut self.comment);
        self.skip_start(input);
        let mut borrowed = Borrowed::default();
        match self.find(input, &mut borrowed) {
            Ok(Some(found)) => Ok(Some(self.item(&found, &borrowed))),
            Ok(None) => {
                self.block.own(&borrowed);
                Ok(None)
            }
            Err(failed) => {
                self.failed = Some(failed);
                Err(failed)
            }
        }
    }

    /// Reads a whole chunk and hands every item to `sink`.
    ///
    /// # Errors
    /// [`LimitExceeded`]; the items before it were handed out.
    pub fn feed(&mut self, mut bytes: &[u8], mut sink: impl FnMut(Item<'_>)) -> Result<(), LimitExceeded> {
        while let Some(item) = self.decode(&mut bytes)? {
            sink(item);
        }
        Ok(())
    }

    /// The body has ended: an unfinished line or block is dropped, its id included. The last event ID and the
    /// reconnection time stay, and the next byte is the first of the next connection.
    pub fn finish(&mut self) {
        let kept = std::mem::take(self);
        *self = Self {
            limits: kept.limits,
            last_event_id: kept.last_event_id,
            reconnection_time: kept.reconnection_time,
            ..Self::default()
        };
    }

    /// What is unfinished, now that all received bytes were decoded.
    #[must_use]
    pub fn pending(&self) -> Pending {
        match (self.line.is_empty(), self.block.has_data && !self.block.is_over) {
            (false, _) => Pending::Line,
            (true, true) => Pending::Block,
            (true, false) => Pending::Nothing,
        }
    }

    /// Value of `Last-Event-ID` for a reconnect. Empty: the header is not sent.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The value of the last `retry`; `None` before the first one.
    #[must_use]
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.reconnection_time
    }

    /// A byte order mark, and the LF of a CRLF that was cut in two.
    fn skip_start(&mut self, input: &mut &[u8]) {
        while let (Some(seen), Some((first, rest))) = (self.start.seen(), input.split_first()) {
            if *first == BYTE_ORDER_MARK[seen] {
                self.start = self.start.next();
                *input = rest;
            } else {
                // It was none: the bytes belong to the first line.
                self.line.extend_from_slice(&BYTE_ORDER_MARK[..seen]);
                self.start = Start::Over;
            }
        }
        if self.skip_line_feed && !input.is_empty() {
            *input = input.strip_prefix(b"\n").unwrap_or(input);
            self.skip_line_feed = false;
        }
    }

    /// Reads lines until one of them completes an item.
    fn find<'a>(
        &mut self,
        input: &mut &'a [u8],
        borrowed: &mut Borrowed<'a>,
    ) -> Result<Option<Found>, LimitExceeded> {
        while let Some(piece) = self.take_line(input)? {
            let found =
                if self.line.is_empty() { self.apply(piece, borrowed)? } else { self.apply_cut_line(piece)? };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The rest of the line up to its end, or `None` when the input has no end: then all of it is kept.
    fn take_line<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, LimitExceeded> {
        let bytes = *input;
        let end = memchr::memchr2(b'\n', b'\r', bytes);
        let length = end.unwrap_or(bytes.len());
        if self.line.len() + length > self.limits.max_line {
            return Err(LimitExceeded::Line { max: self.limits.max_line });
        }
        let Some(end) = end else {
            self.line.extend_from_slice(bytes);
            *input = &[];
            return Ok(None);
        };
        let mut behind = end + 1;
        if bytes[end] == b'\r' {
            // CR ends the line at once, as an idle stream may not send another byte for minutes.
            match bytes.get(behind) {
                Some(b'\n') => behind += 1,
                Some(_) => {}
                None => self.skip_line_feed = true,
            }
        }
        *input = &bytes[behind..];
        Ok(Some(&bytes[..end]))
    }

    /// A line that ends of chunks cut into parts: joins the parts, and copies the value.
    fn apply_cut_line(&mut self, last_piece: &[u8]) -> Result<Option<Found>, LimitExceeded> {
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(last_piece);
        let mut from_line = Borrowed::default();
        let found = self.apply(&line, &mut from_line)?;
        self.block.own(&from_line);
        if let Some(comment) = from_line.comment {
            replace_lossy(&mut self.comment, comment);
        }
        line.clear();
        line.shrink_to(KEPT_CAPACITY);
        self.line = line;
        Ok(found)
    }

    fn apply<'a>(
        &mut self,
        line: &'a [u8],
        borrowed: &mut Borrowed<'a>,
    ) -> Result<Option<Found>, LimitExceeded> {
        match Line::parse(line) {
            Line::Blank => return Ok(self.dispatch(borrowed)),
            Line::Data(value) => self.block.add_data(value, borrowed, self.limits)?,
            Line::Event(value) => borrowed.event = Some(value),
            Line::Id(value) => {
                replace_lossy(&mut self.block.id, value);
                self.block.has_id = true;
            }
            Line::Retry(ms) => {
                let time = Duration::from_millis(ms);
                self.reconnection_time = Some(time);
                return Ok(Some(Found::Retry(time)));
            }
            Line::Comment(text) => {
                borrowed.comment = Some(text);
                return Ok(Some(Found::Comment));
            }
            Line::Ignored => {}
        }
        Ok(None)
    }

    fn dispatch(&mut self, borrowed: &mut Borrowed<'_>) -> Option<Found> {
        if self.block.has_id {
            // The id counts also when the block has no data. The old one becomes the spare buffer.
            std::mem::swap(&mut self.last_event_id, &mut self.block.id);
        }
        if self.block.has_data {
            self.block.is_over = true;
            return Some(Found::Event);
        }
        let found = self.block.has_id.then_some(Found::IdCommitted);
        *borrowed = Borrowed::default();
        self.block.clear();
        found
    }

    /// Puts an item together. A borrowed text that is not UTF-8 is repaired into the decoder's own buffer.
    fn item<'a>(&'a mut self, found: &Found, borrowed: &Borrowed<'a>) -> Item<'a> {
        match found {
            Found::Event => {
                let id_in_block = self.block.has_id;
                Item::Event {
                    data: text(borrowed.data, &mut self.block.data),
                    event: match text(borrowed.event, &mut self.block.event) {
                        "" => "message",
                        event => event,
                    },
                    last_event_id: &self.last_event_id,
                    id_in_block,
                }
            }
            Found::Comment => {
                self.block.own(borrowed);
                Item::Comment(text(borrowed.comment, &mut self.comment))
            }
            Found::Retry(time) => {
                self.block.own(borrowed);
                Item::Retry(*time)
            }
            Found::IdCommitted => Item::IdCommitted(&self.last_event_id),
        }
    }
}

impl Start {
    /// How many bytes of the mark were seen, as long as it may still be one.
    fn seen(self) -> Option<usize> {
        match self {
            Self::Nothing => Some(0),
            Self::OneByte => Some(1),
            Self::TwoBytes => Some(2),
            Self::Over => None,
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Nothing => Self::OneByte,
            Self::OneByte => Self::TwoBytes,
            Self::TwoBytes | Self::Over => Self::Over,
        }
    }
}

impl Block {
    /// The first data line stays where it is; a second one makes both move into one text.
    fn add_data<'a>(
        &mut self,
        value: &'a [u8],
        borrowed: &mut Borrowed<'a>,
        limits: Limits,
    ) -> Result<(), LimitExceeded> {
        self.data_bytes += value.len() + 1;
        if self.data_bytes > limits.max_event {
            return Err(LimitExceeded::Event { max: limits.max_event });
        }
        if self.has_data {
            if let Some(first) = borrowed.data.take() {
                push_lossy(&mut self.data, first);
            }
            self.data.push('\n');
            push_lossy(&mut self.data, value);
        } else {
            self.has_data = true;
            borrowed.data = Some(value);
        }
        Ok(())
    }

    /// Copies the borrowed texts before the caller takes the chunk away.
    fn own(&mut self, borrowed: &Borrowed<'_>) {
        if let Some(data) = borrowed.data {
            push_lossy(&mut self.data, data);
        }
        if let Some(event) = borrowed.event {
            replace_lossy(&mut self.event, event);
        }
    }

    fn clear_if_over(&mut self) {
        if self.is_over {
            self.clear();
        }
    }

    fn clear(&mut self) {
        for text in [&mut self.data, &mut self.event, &mut self.id] {
            recycle(text);
        }
        self.has_data = false;
        self.has_id = false;
        self.data_bytes = 0;
        self.is_over = false;
    }
}

/// The borrowed text if there is one and it is UTF-8, or else the owned one.
fn text<'a>(borrowed: Option<&'a [u8]>, owned: &'a mut String) -> &'a str {
    match borrowed.map(std::str::from_utf8) {
        Some(Ok(text)) => text,
        Some(Err(_)) => {
            replace_lossy(owned, borrowed.unwrap_or_default());
            owned
        }
        None => owned,
    }
}

fn recycle(text: &mut String) {
    text.clear();
    text.shrink_to(KEPT_CAPACITY);
}

fn replace_lossy(text: &mut String, bytes: &[u8]) {
    text.clear();
    push_lossy(text, bytes);
}

/// Malformed bytes become U+FFFD. Value by value is the same as over the whole stream, since what cuts values out
/// of it is ASCII.
fn push_lossy(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}
