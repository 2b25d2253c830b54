//! The newest events of the console's own stream, and the selected one with its payload.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use crate::tui::config::key::Action;
use crate::tui::config::theme::Role;
use crate::tui::state::events::{EventList, ReceivedEvent, StreamState};
use crate::tui::state::model::{Model, Pane};
use crate::tui::text::cells;
use crate::tui::text::format::{self, grouped};
use crate::tui::view::border::{self, Titles};
use crate::tui::view::facts;

/// Longest type and source on a line; ids are never cut.
const KIND_MAX: usize = 18;
const SOURCE_MAX: usize = 12;

/// Draws the list.
pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let list = model.events();
    let inner = border::draw(model, Some(Pane::Events), titles(model, list), area, buffer);
    if list.events.is_empty() {
        let words = cells::wrapped(&silence(model, list), usize::from(inner.width.saturating_sub(1)));
        for (words, row) in words.iter().zip(inner.rows()) {
            Line::styled(format!(" {words}"), model.theme.style(Role::Dim)).render(row, buffer);
        }
        return;
    }
    let selected = list.row();
    let has_cursor = list.selected.is_some() || model.focus == Pane::Events || model.is_open;
    let count = usize::from(inner.height);
    let shown: Vec<_> = list.events.iter().enumerate().skip(list.first).take(count).collect();
    let widest = |of: fn(&ReceivedEvent) -> &str, max: usize| {
        shown.iter().map(|(_, event)| cells::width(of(event))).max().unwrap_or(0).min(max)
    };
    let widths = (
        widest(|event| event.source.as_str(), SOURCE_MAX),
        widest(|event| event.kind.as_str(), KIND_MAX),
        widest(|event| event.id.as_str(), 40),
    );
    for ((index, event), row) in shown.iter().zip(inner.rows()) {
        let is_selected = has_cursor && *index == selected;
        line(model, event, widths, is_selected, usize::from(row.width)).render(row, buffer);
        if is_selected {
            buffer.set_style(row, model.theme.style(Role::Selected));
        }
    }
}

fn line(
    model: &Model,
    event: &ReceivedEvent,
    (source, kind, id): (usize, usize, usize),
    is_selected: bool,
    room: usize,
) -> Line<'static> {
    let theme = model.theme;
    let glyphs = theme.glyphs();
    let cursor = if is_selected { glyphs.cursor } else { " " };
    let clock = format::clock_ms(event.at.unix);
    let cut = |text: &str, cells| cells::left(&cells::cut(text, cells, glyphs.ellipsis), cells);
    let mut spans = vec![Span::raw(cursor), Span::styled(clock, theme.style(Role::Dim))];
    let mut used = 13;
    // A less important part is shown only when it and some of the payload fit.
    let parts = [
        (cut(event.kind.as_str(), kind), Role::Key, 0),
        (cells::right(&format::bytes(event.bytes as u64), 6), Role::Dim, 20),
        (cut(event.source.as_str(), source), Role::Text, 40),
        (cells::left(event.id.as_str(), id), Role::Dim, 24),
    ];
    for (part, role, payload) in parts {
        let needed = 1 + cells::width(&part);
        if used + needed + payload <= room {
            used += needed;
            spans.push(Span::styled(format!(" {part}"), theme.style(role)));
        }
    }
    let payload = cells::cut(event.payload.as_str(), room.saturating_sub(used + 1), glyphs.ellipsis);
    spans.push(Span::raw(format!(" {payload}")));
    Line::from(spans)
}

fn titles(model: &Model, list: &EventList) -> Titles<'static> {
    let theme = model.theme;
    let mode = if list.selected.is_some() { "HOLD" } else { "FOLLOW" };
    let mut left = format!("Events  {mode}");
    if !list.topics.is_empty() {
        left += &format!("  topics {}", list.topics.join(" "));
    }
    if !list.filter.is_empty() {
        left += &format!("  /{}", list.filter);
    }
    let mut right = Vec::new();
    match &list.stream {
        StreamState::Idle | StreamState::Open => {}
        StreamState::Connecting => right.push(Span::styled(" connecting ", theme.style(Role::Dim))),
        StreamState::Waiting(_) => right.push(Span::styled(" ! reconnecting ", theme.style(Role::Warning))),
        StreamState::Over(why) => {
            let why = cells::cut(why.as_str(), 40, theme.glyphs().ellipsis);
            right.push(Span::styled(format!(" ! ended: {why} "), theme.style(Role::Bad)));
        }
    }
    if list.left_out > 0 {
        let shown = list.passed.saturating_sub(list.left_out);
        let words = format!(" sampled {} of {} ", grouped(shown), format::count(list.passed));
        right.push(Span::styled(words, theme.style(Role::Warning)));
    }
    right.push(Span::styled(format!(" {}/s ", format::rate(list.per_second)), theme.style(Role::Dim)));
    Titles { left, right }
}

/// The text of an empty list.
fn silence(model: &Model, list: &EventList) -> String {
    match &list.stream {
        _ if list.passed > 0 => "no event had arrived by then".to_owned(),
        StreamState::Idle => "waiting for a node".to_owned(),
        StreamState::Connecting => "connecting".to_owned(),
        StreamState::Waiting(why) | StreamState::Over(why) => why.as_str().to_owned(),
        StreamState::Open if !list.filter.is_empty() => {
            "connected; no event passes the filter yet".to_owned()
        }
        StreamState::Open if list.topics.is_empty() => {
            let key = model.keymap.key(Action::Topics, model.theme.glyphs().ascii);
            format!("connected; no broadcast yet. {key} chooses topics to read too")
        }
        StreamState::Open => "connected; no event yet".to_owned(),
    }
}

/// Draws the selected event in full.
pub(super) fn draw_one(model: &Model, area: Rect, buffer: &mut Buffer) {
    let Some(event) = model.events().selected_event() else {
        let titles = Titles { left: "Event".to_owned(), right: Vec::new() };
        border::draw(model, Some(Pane::Payload), titles, area, buffer);
        return;
    };
    let size = format!(" {} ", format::bytes(event.bytes as u64));
    let right = vec![Span::styled(size, model.theme.style(Role::Dim))];
    let titles = Titles { left: format!("Event {}", event.kind), right };
    let inner = border::draw(model, Some(Pane::Payload), titles, area, buffer);
    let fact = |label, text: &str| facts::Fact { label, text: text.to_owned(), role: Role::Text };
    let list = [
        fact("id", event.id.as_str()),
        fact("message", event.message.as_str()),
        fact("source", event.source.as_str()),
        fact("seen", &format::clock_ms(event.at.unix)),
    ];
    let head = u16::try_from(list.len()).unwrap_or(u16::MAX).min(inner.height);
    facts::draw(model, &list, Rect { height: head, ..inner }, buffer);
    let below = Rect { y: inner.y + head, height: inner.height - head, ..inner };
    let room = usize::from(below.width.saturating_sub(2));
    let lines = event.lines.iter().flat_map(|line| cells::wrapped_exactly(line.as_str(), room));
    let lines: Vec<_> = lines.take(usize::from(below.height) + 1).collect();
    let zoom = model.keymap.key(Action::Zoom, model.theme.glyphs().ascii);
    let is_cut = lines.len() > usize::from(below.height);
    for (index, (line, row)) in lines.iter().zip(below.rows()).enumerate() {
        let is_last = is_cut && index + 1 == usize::from(below.height);
        let (words, role) =
            if is_last { (format!("{zoom} shows more"), Role::Dim) } else { (line.clone(), Role::Text) };
        Line::styled(format!(" {words}"), model.theme.style(role)).render(row, buffer);
    }
}
