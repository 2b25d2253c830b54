//! A dialog over the screen: explanation, fields, the `curl` command or the missing field, and two buttons.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget as _};

use crate::tui::config::theme::Role;
use crate::tui::state::connections::ConnectionTable;
use crate::tui::state::dialog::{Dialog, Field, Focus, Kind};
use crate::tui::state::model::Model;
use crate::tui::text::cells;
use crate::tui::text::format::grouped;
use crate::tui::view::border::{self, Titles};
use crate::tui::view::{help, input_line};

const WIDTH: usize = 76;
const LABEL: usize = 8;
/// Most lines of the `curl` command.
const CURL_LINES: usize = 4;

/// Draws the dialog in the middle of the screen.
pub(super) fn draw(model: &Model, dialog: &Dialog, area: Rect, buffer: &mut Buffer) {
    let room = WIDTH.min(usize::from(area.width)).saturating_sub(4);
    let lines = lines(model, dialog, room);
    let overlay = help::centred(area, (WIDTH, lines.len() + 2));
    Clear.render(overlay, buffer);
    let titles = Titles { left: title(dialog), right: Vec::new() };
    let inner = border::draw(model, None, titles, overlay, buffer);
    // The buttons are the last line: a low screen leaves out the lines above.
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

fn about(dialog: &Dialog, connections: &ConnectionTable) -> Vec<String> {
    match &dialog.kind {
        Kind::Broadcast { .. } => vec!["Every open stream of the cluster receives it.".to_owned()],
        Kind::Message => vec!["To the clients of one address: a client, user, topic or node.".to_owned()],
        Kind::Drain { connections, .. } => vec![
            format!("{} clients are asked to reconnect, each at its own time.", grouped(*connections)),
            "New streams are refused until the drain is cancelled.".to_owned(),
        ],
        Kind::Disconnect { id, place, .. } => {
            let is_gone = connections.selected.as_ref() == Some(id) && connections.is_there() == Some(false);
            let fate = if is_gone { "It is gone already." } else { "The client may reconnect by itself." };
            vec![place.as_str().to_owned(), fate.to_owned()]
        }
    }
}

fn lines(model: &Model, dialog: &Dialog, room: usize) -> Vec<Line<'static>> {
    let theme = model.theme;
    let mut lines: Vec<_> = about(dialog, &model.connections)
        .iter()
        .flat_map(|words| cells::wrapped(words, room))
        .map(|words| Line::raw(format!(" {words}")))
        .collect();
    if !dialog.fields.is_empty() {
        lines.push(Line::default());
    }
    for (index, field) in dialog.fields.iter().enumerate() {
        lines.push(field_line(model, field, dialog.focus == Focus::Field(index), room));
    }
    lines.push(Line::default());
    let (words, role) = match dialog.request() {
        Ok(request) => (request.curl(), Role::Dim),
        Err(missing) => (format!("! {missing}"), Role::Warning),
    };
    let mut pieces = cells::wrapped(&words, room);
    if pieces.len() > CURL_LINES {
        pieces.truncate(CURL_LINES);
        pieces[CURL_LINES - 1] =
            cells::cut(&format!("{} …", pieces[CURL_LINES - 1]), room, theme.glyphs().ellipsis);
    }
    lines.extend(pieces.into_iter().map(|piece| Line::styled(format!(" {piece}"), theme.style(role))));
    lines.push(Line::default());
    lines.push(buttons(model, dialog, room));
    lines
}

fn field_line(model: &Model, field: &Field, is_focused: bool, room: usize) -> Line<'static> {
    let theme = model.theme;
    let label = Span::styled(format!(" {}", cells::left(field.label, LABEL)), theme.style(Role::Dim));
    let cells = room.saturating_sub(LABEL + 2);
    if field.editor.text().is_empty() && !is_focused {
        let hint = cells::cut(field.hint, cells, theme.glyphs().ellipsis);
        return Line::from(vec![
            label,
            Span::styled(format!("[{}]", cells::left(&hint, cells)), theme.style(Role::Dim)),
        ]);
    }
    let mut spans = vec![label, Span::raw("[")];
    spans.extend(input_line::spans(&field.editor, cells, is_focused, theme));
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
    let go = button(dialog.button(), dialog.focus == Focus::Go);
    let used = cancel.width() + go.width() + 2;
    let keys = "Tab moves, Enter presses";
    let indent = room.saturating_sub(used + cells::width(keys) + 1);
    let mut spans = vec![Span::raw(" "), cancel, Span::raw("  "), go];
    if indent > 0 {
        spans.push(Span::styled(format!("{}{keys}", " ".repeat(indent)), theme.style(Role::Dim)));
    }
    Line::from(spans)
}
