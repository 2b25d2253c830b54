//! A dialog over the screen: what it is about, fields, the equal `curl` or what is missing, and two buttons.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget as _};

use super::frame_lines::{self, Titles};
use super::{help, text};
use crate::tui::dialog::{Dialog, Field, Focus, Kind};
use crate::tui::listing::Listing;
use crate::tui::model::Model;
use crate::tui::numbers::grouped;
use crate::tui::theme::Role;

const WIDTH: usize = 76;
const LABEL: usize = 8;
/// Lines of the `curl` at the most.
const CURL_LINES: usize = 4;

/// Draws it in the middle.
pub(super) fn draw(model: &Model, dialog: &Dialog, area: Rect, buffer: &mut Buffer) {
    let room = WIDTH.min(usize::from(area.width)).saturating_sub(4);
    let lines = lines(model, dialog, room);
    let overlay = help::centred(area, (WIDTH, lines.len() + 2));
    Clear.render(overlay, buffer);
    let titles = Titles { left: title(dialog), right: Vec::new() };
    let inner = frame_lines::draw(model, None, titles, overlay, buffer);
    // The buttons are the last line: on a low screen what is above gives way.
    let hidden = lines.len().saturating_sub(usize::from(inner.height));
    for (line, row) in lines.into_iter().skip(hidden).zip(inner.rows()) {
        line.render(row, buffer);
    }
}

fn title(dialog: &Dialog) -> String {
    match &dialog.kind {
        Kind::Broadcast { connections } => format!("Broadcast to {} connections", grouped(*connections)),
        Kind::Message => "Message".to_owned(),
        Kind::Drain { name, .. } => format!("Drain {name}"),
        Kind::Disconnect { client, .. } => format!("Disconnect {client}"),
    }
}

fn about(dialog: &Dialog, listing: &Listing) -> Vec<String> {
    match &dialog.kind {
        Kind::Broadcast { .. } => vec!["Every open stream of the cluster gets it.".to_owned()],
        Kind::Message => vec!["To one client, user, topic or node.".to_owned()],
        Kind::Drain { connections, .. } => vec![
            format!("{} clients are told to reconnect, each at its own moment.", grouped(*connections)),
            "New streams are refused until the drain is taken back.".to_owned(),
        ],
        Kind::Disconnect { id, place, .. } => {
            let is_gone = listing.selected.as_ref() == Some(id) && listing.is_there() == Some(false);
            let fate = if is_gone { "It is gone already." } else { "The client may reconnect by itself." };
            vec![place.as_str().to_owned(), fate.to_owned()]
        }
    }
}

fn lines(model: &Model, dialog: &Dialog, room: usize) -> Vec<Line<'static>> {
    let theme = model.theme;
    let mut lines: Vec<_> = about(dialog, &model.listing)
        .iter()
        .flat_map(|words| text::wrapped(words, room))
        .map(|words| Line::raw(format!(" {words}")))
        .collect();
    if !dialog.fields.is_empty() {
        lines.push(Line::default());
    }
    for (index, field) in dialog.fields.iter().enumerate() {
        lines.push(field_line(model, field, dialog.focus == Focus::Field(index), room));
    }
    lines.push(Line::default());
    let (words, role) = match dialog.act() {
        Ok(act) => (act.curl(), Role::Dim),
        Err(missing) => (format!("! {missing}"), Role::Warning),
    };
    let mut pieces = text::wrapped(&words, room);
    if pieces.len() > CURL_LINES {
        pieces.truncate(CURL_LINES);
        pieces[CURL_LINES - 1] =
            text::cut(&format!("{} …", pieces[CURL_LINES - 1]), room, theme.glyphs().ellipsis);
    }
    lines.extend(pieces.into_iter().map(|piece| Line::styled(format!(" {piece}"), theme.style(role))));
    lines.push(Line::default());
    lines.push(buttons(model, dialog, room));
    lines
}

fn field_line(model: &Model, field: &Field, is_focused: bool, room: usize) -> Line<'static> {
    let theme = model.theme;
    let label = Span::styled(format!(" {}", text::left(field.label, LABEL)), theme.style(Role::Dim));
    let cells = room.saturating_sub(LABEL + 2);
    if field.editor.text().is_empty() && !is_focused {
        let hint = text::cut(field.hint, cells, theme.glyphs().ellipsis);
        return Line::from(vec![
            label,
            Span::styled(format!("[{}]", text::left(&hint, cells)), theme.style(Role::Dim)),
        ]);
    }
    let mut spans = vec![label, Span::raw("[")];
    spans.extend(text::edited(&field.editor, cells, is_focused, theme));
    spans.push(Span::raw("]"));
    Line::from(spans)
}

fn buttons(model: &Model, dialog: &Dialog, room: usize) -> Line<'static> {
    let theme = model.theme;
    let button = |name: &str, is_focused: bool| {
        let words = format!("[ {name} ]");
        if is_focused {
            Span::styled(words, theme.style(Role::Selected))
        } else {
            Span::styled(words, theme.style(Role::Text))
        }
    };
    let cancel = button("Cancel", dialog.focus == Focus::Cancel);
    let go = button(dialog.verb(), dialog.focus == Focus::Go);
    let used = cancel.width() + go.width() + 2;
    let keys = "Tab moves, Enter presses";
    let indent = room.saturating_sub(used + text::width(keys) + 1);
    let mut spans = vec![Span::raw(" "), cancel, Span::raw("  "), go];
    if indent > 0 {
        spans.push(Span::styled(format!("{}{keys}", " ".repeat(indent)), theme.style(Role::Dim)));
    }
    Line::from(spans)
}
