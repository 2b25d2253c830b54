//! Draws a model into a frame, without a clock and without changing the model. Read [`view`] first, then [`layout`],
//! which decides what fits.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Widget as _;

use crate::tui::config::key::Action;
use crate::tui::config::theme::Role;
use crate::tui::state::model::{Model, Pane};
use crate::tui::text::cells;
use crate::tui::view::layout::{self, Shape};
use crate::tui::view::{
    alerts, bench, broker, changes, charts, connections, detail, dialog, events, header, help, nodes,
};

/// Draws the whole frame, of any size down to a single cell.
pub(crate) fn view(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    match layout::shape(area) {
        None => too_small(model, area, buffer),
        Some(shape) => {
            screen(model, shape, area, buffer);
            if let Some(open) = &model.dialog {
                dialog::draw(model, open, area, buffer);
            }
            if model.is_help_open {
                help::draw(model, area, buffer);
            }
        }
    }
    if model.theme.glyphs().ascii {
        only_ascii(buffer);
    }
}

fn screen(model: &Model, shape: Shape, area: Rect, buffer: &mut Buffer) {
    let areas = layout::areas(shape, area, model);
    header::title(model, shape, areas.title, buffer);
    if let Some(tabs) = areas.tabs {
        header::tabs(model, tabs, buffer);
    }
    header::totals(model, areas.totals, buffer);
    for (pane, area) in areas.panes {
        match pane {
            Pane::Nodes => nodes::draw(model, area, buffer),
            Pane::Charts => charts::draw(model, area, buffer),
            Pane::Connections => connections::draw(model, area, buffer),
            Pane::Connection => connections::draw_one(model, area, buffer),
            Pane::Slow => connections::draw_slow(model, area, buffer),
            Pane::Events => events::draw(model, area, buffer),
            Pane::Payload => events::draw_one(model, area, buffer),
            Pane::Detail => detail::draw(model, area, buffer),
            Pane::Changes => changes::draw(model, area, buffer),
            Pane::Bench => bench::draw(model, area, buffer),
            Pane::Log => broker::draw(model, area, buffer),
            Pane::LogCharts => charts::draw_log(model, area, buffer),
            Pane::LogNodes => broker::draw_nodes(model, area, buffer),
            Pane::Alerts => alerts::draw(model, area, buffer),
            Pane::Drops => alerts::draw_drops(model, area, buffer),
        }
    }
    if let Some(area) = areas.flash {
        header::flash(model, area, buffer);
    }
    header::footer(model, shape, areas.footer, buffer);
}

fn too_small(model: &Model, area: Rect, buffer: &mut Buffer) {
    let (width, height) = layout::SMALLEST;
    let sentence = format!(
        "sse-tui needs {width}x{height} cells, this terminal has {}x{}. Enlarge it, or press {} to quit.",
        area.width,
        area.height,
        model.keymap.key(Action::Quit, model.theme.glyphs().ascii),
    );
    let style = model.theme.style(Role::Text);
    let lines = cells::wrapped(&sentence, usize::from(area.width));
    for (line, row) in lines.iter().zip(area.rows()) {
        Line::styled(line.as_str(), style).render(row, buffer);
    }
}

/// Replaces all other characters for a terminal that knows only ASCII, since remote texts may hold any.
fn only_ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if !cell.symbol().is_ascii() {
            cell.set_symbol("?");
        }
    }
}
