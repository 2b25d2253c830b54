//! The mouse, while the console has it: a click chooses the screen, the pane and the row under it, a second one on the
//! same row opens it, the wheel moves what lies under it. What lies over the screen takes no clicks. Pure. Read
//! [`click`] first.

use ratatui::layout::Position;

use super::keymap::{Action, Step};
use super::model::{Model, Pane};
use super::press;
use super::screen::Screen;
use super::view::layout;

/// What a click does.
pub(super) fn click(model: &mut Model, position: Position) {
    if is_covered(model) {
        return;
    }
    if let Some(screen) = layout::tab_at(model, position) {
        press::show(model, screen);
    } else if let Some((pane, row)) = layout::pane_at(model, position) {
        model.focus = pane;
        if let Some(row) = row
            && choose(model, pane, row)
        {
            // A connection or an event is opened on its own screen, as the keys do.
            match pane {
                Pane::Connections => press::show(model, Screen::Connections),
                Pane::Events => press::show(model, Screen::Events),
                _ => {}
            }
            // Opening asks for nothing that `update` does not see by itself.
            let _none = press::act(model, Action::Open);
        }
    }
}

/// What the wheel does.
pub(super) fn scroll(model: &mut Model, step: Step, position: Position) {
    if model.is_help_open {
        let _none = press::in_help(model, Action::Move(step));
    } else if !is_covered(model) {
        let pane = layout::pane_at(model, position).map_or(model.focus, |(pane, _)| pane);
        press::go(model, pane, step);
    }
}

fn is_covered(model: &Model) -> bool {
    model.dialog.is_some() || model.prompt.is_some() || model.is_help_open
}

/// Chooses the row of a list, counted on the screen, and says whether it was chosen before.
fn choose(model: &mut Model, pane: Pane, row: usize) -> bool {
    match pane {
        Pane::Nodes | Pane::LogNodes => {
            let sorted = model.sorting.sort(model.picture());
            let Some(url) = sorted.get(model.first_node + row).map(|node| node.url.clone()) else {
                return false;
            };
            model.selected.replace(url.clone()) == Some(url)
        }
        Pane::Connections => model.listing.choose(model.listing.first + row),
        Pane::Events => {
            let tail = model.events_mut();
            tail.choose(tail.first + row)
        }
        _ => false,
    }
}
