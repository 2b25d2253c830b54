//! Keys: what each does where the focus is. A dialog and a line that is typed take keys before everything else.
//! Pure. Read [`key`] first.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::command;
use super::dialog::{Dialog, Outcome};
use super::editor::Editor;
use super::keymap::{Action, Step};
use super::message::{Access, Effect};
use super::model::{Frozen, Model, Pane, Prompt, PromptKind, Source};
use super::plain::Plain;
use super::screen::Screen;
use super::update::flash;
use super::view::layout;

/// What a key does.
pub(super) fn key(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    if key.kind == KeyEventKind::Release {
        return Vec::new();
    }
    let action = model.keymap.action(key);
    if action == Some(Action::Interrupt) {
        return vec![Effect::Quit];
    }
    if model.dialog.is_some() {
        return in_dialog(model, key);
    }
    if model.prompt.is_some() {
        return in_prompt(model, key);
    }
    let Some(action) = action else { return Vec::new() };
    if model.is_help_open {
        return in_help(model, action);
    }
    act(model, action)
}

fn in_dialog(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    let Some(dialog) = &mut model.dialog else { return Vec::new() };
    match dialog.press(key) {
        Outcome::Open => Vec::new(),
        Outcome::Cancelled => {
            model.dialog = None;
            Vec::new()
        }
        Outcome::Act(act) => {
            model.dialog = None;
            flash(model, true, format!("{} …", act.what));
            vec![Effect::Act(act)]
        }
    }
}

fn in_prompt(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    let Some(prompt) = &mut model.prompt else { return Vec::new() };
    let is_plain = !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    match key.code {
        KeyCode::Esc => model.prompt = None,
        KeyCode::Backspace if prompt.editor.text().is_empty() => model.prompt = None,
        KeyCode::Tab if prompt.kind == PromptKind::Command => {
            prompt.editor = Editor::new(&command::completed(prompt.editor.text()));
        }
        KeyCode::Enter if is_plain => {
            let (kind, text) = (prompt.kind, prompt.editor.text().trim().to_owned());
            return command::enter(model, kind, &text);
        }
        _ => {
            prompt.editor.press(key);
            prompt.problem = command::problem(prompt.kind, prompt.editor.text());
        }
    }
    Vec::new()
}

/// While the help lies over the screen, keys are its own: nothing may change that cannot be seen.
pub(super) fn in_help(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Quit | Action::Help | Action::Back => model.is_help_open = false,
        Action::QuitAndLeave => return vec![Effect::QuitAndLeave],
        Action::Move(step) => {
            let (page, count) = (layout::help_lines(model.size), model.keymap.bindings().len());
            model.help_line = step.from(model.help_line, page, count.saturating_sub(page));
        }
        _ => {}
    }
    Vec::new()
}

/// Carries out what a key of the table asks for.
pub(super) fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Quit | Action::Interrupt => return vec![Effect::Quit],
        Action::QuitAndLeave => return vec![Effect::QuitAndLeave],
        Action::Help => (model.is_help_open, model.help_line) = (true, 0),
        Action::Back => back(model),
        Action::Screen(screen) => show(model, screen),
        Action::Pause => toggle_pause(model),
        Action::Earlier => look(model, 1),
        Action::Later => look(model, -1),
        Action::Move(step) => go(model, model.focus, step),
        Action::Open => model.is_open = !model.is_open && opens(model),
        Action::NextPane => model.focus = model.pane(1),
        Action::PreviousPane => model.focus = model.pane(-1),
        Action::Zoom => model.is_zoomed = !model.is_zoomed,
        Action::Filter => ask_for_filter(model),
        Action::SortNext => sort(model, true),
        Action::SortReverse => sort(model, false),
        Action::LongerSpan => model.span = model.span.longer(),
        Action::ShorterSpan => model.span = model.span.shorter(),
        Action::Topics => {
            show(model, Screen::Events);
            ask(model, PromptKind::Topics, &model.tail.topics.join(" "));
        }
        Action::Command => ask(model, PromptKind::Command, ""),
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

/// Closes the topmost thing.
fn back(model: &mut Model) {
    if model.is_zoomed {
        model.is_zoomed = false;
    } else if model.is_open {
        model.is_open = false;
    } else if lists_events(model) && !model.tail.filter.is_empty() {
        let topics = model.tail.topics.clone();
        model.tail.restart("", topics);
    } else if !lists_events(model) && !model.listing.filter.is_empty() {
        model.listing.set_filter("");
    } else if model.frozen.is_some() {
        toggle_pause(model);
    }
}

/// Changes the screen; what was open or zoomed belongs to the old one.
pub(super) fn show(model: &mut Model, screen: Screen) {
    if model.screen != screen {
        model.screen = screen;
        (model.is_open, model.is_zoomed) = (false, false);
        model.focus = model.panes()[0];
    }
}

fn toggle_pause(model: &mut Model) {
    model.frozen = match model.frozen {
        None => Some(Box::new(Frozen::new(model.live.clone(), model.tail.clone()))),
        Some(_) => None,
    };
}

fn look(model: &mut Model, earlier: isize) {
    if let Some(frozen) = &mut model.frozen {
        frozen.look(frozen.back.saturating_add_signed(earlier));
    }
}

/// Whether there is something to be shown in full.
fn opens(model: &Model) -> bool {
    match model.screen {
        Screen::Overview => !model.picture().nodes.is_empty(),
        Screen::Connections => model.listing.seen.is_some(),
        Screen::Events => model.events().selected_event().is_some(),
        Screen::Bench | Screen::Broker | Screen::Alerts => false,
    }
}

/// Whether keys for lists are about events here, and not about connections.
fn lists_events(model: &Model) -> bool {
    matches!(model.focus, Pane::Events | Pane::Payload)
}

fn ask_for_filter(model: &mut Model) {
    match model.screen {
        Screen::Overview | Screen::Events | Screen::Connections if lists_events(model) => {
            ask(model, PromptKind::FilterEvents, &model.tail.filter.clone());
        }
        Screen::Overview | Screen::Connections => {
            ask(model, PromptKind::FilterConnections, &model.listing.filter.clone());
        }
        Screen::Events | Screen::Bench | Screen::Broker | Screen::Alerts => {}
    }
}

fn ask(model: &mut Model, kind: PromptKind, text: &str) {
    model.prompt = Some(Prompt { kind, editor: Editor::new(text), problem: None });
}

fn sort(model: &mut Model, next: bool) {
    match model.focus {
        Pane::Connections | Pane::Connection => {
            let order = model.listing.order;
            model.listing.set_order(if next { order.next() } else { order.reversed() });
        }
        Pane::Nodes | Pane::Charts | Pane::Detail => {
            model.sorting = if next { model.sorting.next() } else { model.sorting.reversed() };
        }
        _ => {}
    }
}

/// Moves what is chosen in this pane, or what it shows of a list.
pub(super) fn go(model: &mut Model, pane: Pane, step: Step) {
    let rows = layout::rows_of(model, pane);
    match pane {
        Pane::Nodes | Pane::Charts | Pane::Detail | Pane::Log | Pane::LogCharts | Pane::LogNodes => {
            let pane = if model.screen == Screen::Broker { Pane::LogNodes } else { Pane::Nodes };
            let rows = layout::rows_of(model, pane);
            select_node(model, step, rows);
        }
        Pane::Connections | Pane::Connection => {
            let rows = layout::rows_of(model, Pane::Connections);
            model.listing.go(step, rows);
        }
        Pane::Events | Pane::Payload => {
            let rows = layout::rows_of(model, Pane::Events);
            model.events_mut().go(step, rows);
        }
        Pane::Changes => {
            let last = model.picture().changes.len().saturating_sub(1);
            model.first_change = step.from(model.first_change, rows, last);
        }
        Pane::Alerts => {
            let last = model.picture().alerts.len().saturating_sub(1);
            model.first_alert = step.from(model.first_alert, rows, last);
        }
        Pane::Bench | Pane::Drops | Pane::Slow => {}
    }
}

fn select_node(model: &mut Model, step: Step, rows: usize) {
    let sorted = model.sorting.sort(model.picture());
    let row = step.from(model.selected_row(), rows, sorted.len().saturating_sub(1));
    model.selected = sorted.get(row).map(|node| node.url.clone());
}

/// A pasted text is typed where something is typed. Elsewhere it is nothing: its letters would be keys.
pub(super) fn paste(model: &mut Model, text: &str) {
    if let Some(dialog) = &mut model.dialog {
        dialog.paste(text);
    } else if let Some(prompt) = &mut model.prompt {
        prompt.editor.paste(text);
        prompt.problem = command::problem(prompt.kind, prompt.editor.text());
    }
}

fn open_dialog(model: &mut Model, action: Action) {
    if let Some(why) = why_not(model) {
        flash(model, false, why);
        return;
    }
    let Some(speaker) = model.live.speaker() else {
        flash(model, false, "no node answers".to_owned());
        return;
    };
    let (node, connections) = (speaker.url.clone(), model.live.totals.connections);
    let dialog = match action {
        Action::Broadcast => Some(Dialog::broadcast(node, connections)),
        Action::Message => Some(Dialog::message(node, &addressee(model))),
        Action::Drain => drain_dialog(model),
        Action::Disconnect => model.listing.current().map(|row| {
            let place = Plain::new(&format!("on {} from {}, lag {}", row.node, row.remote, row.lag));
            Dialog::disconnect(node, row.id.clone(), row.client.clone(), place)
        }),
        _ => None,
    };
    if dialog.is_none() {
        let why = match (action, &model.listing.seen) {
            (Action::Disconnect, Some(row)) => {
                format!("{} is gone, or not in this part of the list", row.client)
            }
            _ => "nothing is selected".to_owned(),
        };
        flash(model, false, why);
    }
    model.dialog = dialog;
}

/// Why nothing may be changed.
fn why_not(model: &Model) -> Option<String> {
    match (&model.access, model.source) {
        (_, Source::Recording | Source::EndedRecording) => Some("read-only: this is a recording".to_owned()),
        (Access::Granted, Source::Nodes) => None,
        (Access::ReadOnly, _) => Some("read-only: start sse-tui with --token to act".to_owned()),
        (Access::Unknown, _) => Some("read-only: no node has said yet what the token is worth".to_owned()),
        (Access::Refused(status), _) => Some(format!("read-only: the token was refused with {status}")),
    }
}

/// Whom a message is most likely for.
fn addressee(model: &Model) -> String {
    let is_listed = matches!(model.focus, Pane::Connections | Pane::Connection);
    let seen = model.listing.current().filter(|_| is_listed && !model.is_masked);
    seen.map_or_else(|| "topic:".to_owned(), |row| format!("client:{}", row.client))
}

fn drain_dialog(model: &Model) -> Option<Dialog> {
    let sorted = model.sorting.sort(model.picture());
    let node = sorted.get(model.selected_row())?;
    let connections = node.latest.as_ref().map_or(0, |latest| latest.reading.connections);
    Some(Dialog::drain(node.url.clone(), node.label(), connections))
}
