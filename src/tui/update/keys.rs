//! Keys. A dialog or an input line gets them first, then the help overlay, then the keymap. Pure. Read [`key`] first.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::tui::config::key::Action;
use crate::tui::state::dialog::Outcome;
use crate::tui::state::editor::Editor;
use crate::tui::state::message::Effect;
use crate::tui::state::model::{Model, PromptKind};
use crate::tui::update::actions::perform;
use crate::tui::update::command;
use crate::tui::update::flash::flash;
use crate::tui::view::layout;

/// Applies a key.
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
    perform(model, action)
}

fn in_dialog(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    let Some(dialog) = &mut model.dialog else { return Vec::new() };
    match dialog.on_key(key) {
        Outcome::Open => Vec::new(),
        Outcome::Cancelled => {
            model.dialog = None;
            Vec::new()
        }
        Outcome::Act(request) => {
            model.dialog = None;
            flash(model, true, format!("{} …", request.what));
            vec![Effect::Act(request)]
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
            prompt.editor.on_key(key);
            prompt.problem = command::problem(prompt.kind, prompt.editor.text());
        }
    }
    Vec::new()
}

/// Applies a key while the help covers the screen: nothing behind it may change.
pub(super) fn in_help(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Quit | Action::Help | Action::Back => model.is_help_open = false,
        Action::QuitAndLeave => return vec![Effect::QuitAndLeave],
        Action::Move(step) => {
            let (page, count) = (layout::help_lines(model.size), model.keymap.bindings().len());
            model.scroll.help = step.from(model.scroll.help, page, count.saturating_sub(page));
        }
        _ => {}
    }
    Vec::new()
}

/// Inserts pasted text into a dialog or an input line. Elsewhere it is ignored, since its letters would act as keys.
pub(super) fn paste(model: &mut Model, text: &str) {
    if let Some(dialog) = &mut model.dialog {
        dialog.paste(text);
    } else if let Some(prompt) = &mut model.prompt {
        prompt.editor.paste(text);
        prompt.problem = command::problem(prompt.kind, prompt.editor.text());
    }
}
