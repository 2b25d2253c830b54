//! Where the units of an event stream end: a unit is a comment line between events, or a block up to its blank line.
//! Follows a stream with any split of its bytes and keeps none of them. Read [`Lines::unit_end`].

/// What a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Lines and the blank line behind them.
    Block,
    /// A comment line that stands between blocks.
    Comment,
    /// A line end that ends nothing.
    LineEnd,
    /// Bytes that are no whole unit: the rest of one that was begun before anybody asked, or of a stream that has ended.
    Rest,
}

/// The state between two bytes of a stream.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Bytes of the unfinished line.
    line: usize,
    /// The first byte of the unfinished line.
    first: u8,
    /// Finished lines of the unfinished block.
    lines: usize,
    /// The last byte was a CR: an LF that comes next belongs to it.
    after_cr: bool,
}

impl Lines {
    /// Whether no unit has begun.
    pub(super) fn is_between_units(&self) -> bool {
        self.line == 0 && self.lines == 0
    }

    /// The end of the next unit in these bytes, which continue the stream, and its shape. `None`: they hold no end, and all
    /// of them are taken. Otherwise call it again with the bytes behind the end.
    pub(super) fn unit_end(&mut self, bytes: &[u8]) -> Option<(usize, Shape)> {
        let mut at = 0;
        if std::mem::take(&mut self.after_cr) {
            match bytes.first() {
                Some(b'\n') if self.is_between_units() => return Some((1, Shape::LineEnd)),
                Some(b'\n') => at = 1,
                Some(_) => {}
                None => self.after_cr = true,
            }
        }
        loop {
            let rest = &bytes[at..];
            if self.line == 0 {
                self.first = rest.first().copied().unwrap_or_default();
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.line += rest.len();
                return None;
            };
            let length = self.line + end;
            self.line = 0;
            at += end + 1;
            if rest[end] == b'\r' {
                match rest.get(end + 1) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    // CR ends the line at once, since an idle stream may not send another byte for minutes.
                    None => self.after_cr = true,
                }
            }
            if length == 0 {
                let lines = std::mem::take(&mut self.lines);
                return Some((at, if lines == 0 { Shape::LineEnd } else { Shape::Block }));
            }
            if self.lines == 0 && self.first == b':' {
                return Some((at, Shape::Comment));
            }
            self.lines += 1;
        }
    }
}
