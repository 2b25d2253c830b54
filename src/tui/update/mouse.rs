//! The mouse, while the console has it: a click selects the screen, pane or row under it, a second click on the same
//! row opens it, the wheel scrolls the pane under it. Clicks do nothing while a dialog, input line or the help is
//! open. Pure. Read [`click`] first.

use ratatui::layout::Position;

use crate::tui::config::key::{Action, Step};
use crate::tui::config::screen::Screen;
use crate::tui::state::model::{Model, Pane};
use crate::tui::update::{actions, keys};
use crate::tui::view::{header, layout};

/// Applies a click.
pub(super) fn click(model: &mut Model, position: Position) {
    if is_covered(model) {
        return;
    }
    if let Some(screen) = header::tab_at(model, position) {
        actions::show(model, screen);
    } else if let Some((pane, row)) = layout::pane_at(model, position) {
        model.focus = pane;
        if let Some(row) = row
            && choose(model, pane, row)
        {
            // A connection or an event opens on its own screen, as with keys.
            match pane {
                Pane::Connections => actions::show(model, Screen::Connections),
                Pane::Events => actions::show(model, Screen::Events),
                _ => {}
            }
            // `Open` has no effects of its own; `update` derives the new queries.
            let _none = actions::perform(model, Action::Open);
        }
    }
}

/// Applies a turn of the wheel.
pub(super) fn scroll(model: &mut Model, step: Step, position: Position) {
    if model.is_help_open {
        let _none = keys::in_help(model, Action::Move(step));
    } else if !is_covered(model) {
        let pane = layout::pane_at(model, position).map_or(model.focus, |(pane, _)| pane);
        actions::move_selection(model, pane, step);
    }
}

fn is_covered(model: &Model) -> bool {
    model.dialog.is_some() || model.prompt.is_some() || model.is_help_open
}

/// Selects a row, counted from the first visible one. Returns whether it was selected before.
fn choose(model: &mut Model, pane: Pane, row: usize) -> bool {
    match pane {
        Pane::Nodes | Pane::LogNodes => {
            let sorted = model.node_order.sort(model.cluster());
            let Some(url) = sorted.get(model.scroll.nodes + row).map(|node| node.url.clone()) else {
                return false;
            };
            model.selected.replace(url.clone()) == Some(url)
        }
        Pane::Connections => model.connections.choose(model.connections.first + row),
        Pane::Events => {
            let list = model.events_mut();
            list.choose(list.first + row)
        }
        _ => false,
    }
}
