//! Actions: the effects of keys, commands and clicks on the model. Pure. Read [`perform`] first.

use crate::tui::config::key::{Action, Step};
use crate::tui::config::screen::Screen;
use crate::tui::state::dialog::Dialog;
use crate::tui::state::editor::Editor;
use crate::tui::state::message::{Access, Effect};
use crate::tui::state::model::{Frozen, Model, Pane, Prompt, PromptKind, Source};
use crate::tui::text::sanitize::SafeText;
use crate::tui::update::flash::flash;
use crate::tui::view::layout;

pub(super) fn perform(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Quit | Action::Interrupt => return vec![Effect::Quit],
        Action::QuitAndLeave => return vec![Effect::QuitAndLeave],
        Action::Help => (model.is_help_open, model.scroll.help) = (true, 0),
        Action::Back => back(model),
        Action::Screen(screen) => show(model, screen),
        Action::Pause => toggle_pause(model),
        Action::Earlier => step_through_history(model, 1),
        Action::Later => step_through_history(model, -1),
        Action::Move(step) => move_selection(model, model.focus, step),
        Action::Open => model.is_open = !model.is_open && can_open(model),
        Action::NextPane => model.focus = model.pane(1),
        Action::PreviousPane => model.focus = model.pane(-1),
        Action::Zoom => model.is_zoomed = !model.is_zoomed,
        Action::Filter => prompt_for_filter(model),
        Action::SortNext => sort(model, true),
        Action::SortReverse => sort(model, false),
        Action::LongerSpan => model.span = model.span.longer(),
        Action::ShorterSpan => model.span = model.span.shorter(),
        Action::Topics => {
            show(model, Screen::Events);
            open_prompt(model, PromptKind::Topics, &model.live_events.topics.join(" "));
        }
        Action::Command => open_prompt(model, PromptKind::Command, ""),
        Action::Broadcast | Action::Message | Action::Drain | Action::Disconnect => {
            open_dialog(model, action);
        }
        Action::NextTheme => model.theme = model.theme.next(),
        Action::Mouse => {
            model.has_mouse = !model.has_mouse;
            return vec![Effect::Mouse(model.has_mouse)];
        }
    }
    Vec::new()
}

/// Closes the topmost of zoom, open row, filter and pause.
fn back(model: &mut Model) {
    if model.is_zoomed {
        model.is_zoomed = false;
    } else if model.is_open {
        model.is_open = false;
    } else if lists_events(model) && !model.live_events.filter.is_empty() {
        let topics = model.live_events.topics.clone();
        model.live_events.restart("", topics);
    } else if !lists_events(model) && !model.connections.filter.is_empty() {
        model.connections.set_filter("");
    } else if model.frozen.is_some() {
        toggle_pause(model);
    }
}

/// Changes the screen, and closes an open row and the zoom of the old one.
pub(crate) fn show(model: &mut Model, screen: Screen) {
    if model.screen != screen {
        model.screen = screen;
        (model.is_open, model.is_zoomed) = (false, false);
        model.focus = model.panes()[0];
    }
}

fn toggle_pause(model: &mut Model) {
    model.frozen = match model.frozen {
        None => Some(Box::new(Frozen::new(model.live.clone(), model.live_events.clone()))),
        Some(_) => None,
    };
}

fn step_through_history(model: &mut Model, earlier: isize) {
    if let Some(frozen) = &mut model.frozen {
        frozen.show_step(frozen.back.saturating_add_signed(earlier));
    }
}

/// Whether there is a row to show in full.
fn can_open(model: &Model) -> bool {
    match model.screen {
        Screen::Overview => !model.cluster().nodes.is_empty(),
        Screen::Connections => model.connections.seen.is_some(),
        Screen::Events => model.events().selected_event().is_some(),
        Screen::Bench | Screen::Broker | Screen::Alerts => false,
    }
}

/// Whether the focused list is the one of events, and not the one of connections.
fn lists_events(model: &Model) -> bool {
    matches!(model.focus, Pane::Events | Pane::Payload)
}

fn prompt_for_filter(model: &mut Model) {
    match model.screen {
        Screen::Overview | Screen::Events | Screen::Connections if lists_events(model) => {
            open_prompt(model, PromptKind::FilterEvents, &model.live_events.filter.clone());
        }
        Screen::Overview | Screen::Connections => {
            open_prompt(model, PromptKind::FilterConnections, &model.connections.filter.clone());
        }
        Screen::Events | Screen::Bench | Screen::Broker | Screen::Alerts => {}
    }
}

fn open_prompt(model: &mut Model, kind: PromptKind, text: &str) {
    model.prompt = Some(Prompt { kind, editor: Editor::new(text), problem: None });
}

fn sort(model: &mut Model, next: bool) {
    match model.focus {
        Pane::Connections | Pane::Connection => {
            let order = model.connections.order;
            model.connections.set_order(if next { order.next() } else { order.reversed() });
        }
        Pane::Nodes | Pane::Charts | Pane::Detail => {
            model.node_order = if next { model.node_order.next() } else { model.node_order.reversed() };
        }
        _ => {}
    }
}

/// Moves the selection or the scroll position of this pane.
pub(super) fn move_selection(model: &mut Model, pane: Pane, step: Step) {
    let rows = layout::rows_of(model, pane);
    match pane {
        Pane::Nodes | Pane::Charts | Pane::Detail | Pane::Log | Pane::LogCharts | Pane::LogNodes => {
            let pane = if model.screen == Screen::Broker { Pane::LogNodes } else { Pane::Nodes };
            let rows = layout::rows_of(model, pane);
            select_node(model, step, rows);
        }
        Pane::Connections | Pane::Connection => {
            let rows = layout::rows_of(model, Pane::Connections);
            model.connections.move_cursor(step, rows);
        }
        Pane::Events | Pane::Payload => {
            let rows = layout::rows_of(model, Pane::Events);
            model.events_mut().move_cursor(step, rows);
        }
        Pane::Changes => {
            let last = model.cluster().changes.len().saturating_sub(1);
            model.scroll.changes = step.from(model.scroll.changes, rows, last);
        }
        Pane::Alerts => {
            let last = model.cluster().alerts.len().saturating_sub(1);
            model.scroll.alerts = step.from(model.scroll.alerts, rows, last);
        }
        Pane::Bench | Pane::Drops | Pane::Slow => {}
    }
}

fn select_node(model: &mut Model, step: Step, rows: usize) {
    let sorted = model.node_order.sort(model.cluster());
    let row = step.from(model.selected_row(), rows, sorted.len().saturating_sub(1));
    model.selected = sorted.get(row).map(|node| node.url.clone());
}

fn open_dialog(model: &mut Model, action: Action) {
    if let Some(why) = read_only_reason(model) {
        flash(model, false, why);
        return;
    }
    let Some(answering_node) = model.live.answering_node() else {
        flash(model, false, "no node answers".to_owned());
        return;
    };
    let (node, connections) = (answering_node.url.clone(), model.live.totals.connections);
    let dialog = match action {
        Action::Broadcast => Some(Dialog::broadcast(node, connections)),
        Action::Message => Some(Dialog::message(node, &default_recipient(model))),
        Action::Drain => drain_dialog(model),
        Action::Disconnect => model.connections.current().map(|row| {
            let place = SafeText::new(&format!("on {} from {}, lag {}", row.node, row.remote, row.lag));
            Dialog::disconnect(node, row.id.clone(), row.client.clone(), place)
        }),
        _ => None,
    };
    if dialog.is_none() {
        let why = match (action, &model.connections.seen) {
            (Action::Disconnect, Some(row)) => {
                format!("{} is gone, or not in this part of the list", row.client)
            }
            _ => "nothing is selected".to_owned(),
        };
        flash(model, false, why);
    }
    model.dialog = dialog;
}

/// Why actions are not allowed; `None` when they are.
fn read_only_reason(model: &Model) -> Option<String> {
    match (&model.access, model.source) {
        (_, Source::Recording | Source::EndedRecording) => Some("read-only: this is a recording".to_owned()),
        (Access::Granted, Source::Nodes) => None,
        (Access::ReadOnly, _) => Some("read-only: start sse-tui with --token to act".to_owned()),
        (Access::Unknown, _) => Some("read-only: no node has accepted the token yet".to_owned()),
        (Access::Refused(status), _) => Some(format!("read-only: the token was refused with {status}")),
    }
}

/// The default receiver of a message: the selected client, or a topic.
fn default_recipient(model: &Model) -> String {
    let is_listed = matches!(model.focus, Pane::Connections | Pane::Connection);
    let seen = model.connections.current().filter(|_| is_listed && !model.is_masked);
    seen.map_or_else(|| "topic:".to_owned(), |row| format!("client:{}", row.client))
}

fn drain_dialog(model: &Model) -> Option<Dialog> {
    let sorted = model.node_order.sort(model.cluster());
    let node = sorted.get(model.selected_row())?;
    let connections = node.latest.as_ref().map_or(0, |latest| latest.reading.connections);
    Some(Dialog::drain(node.url.clone(), node.label(), connections))
}
