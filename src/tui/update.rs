//! `update`: what a message changes, and what is to be done about it. Pure: no clock, no I/O, no terminal.

use super::keymap::{self, Action, Step};
use super::message::{Effect, Message};
use super::model::{Model, Pane};
use super::view::layout;

/// Applies one message.
pub(crate) fn update(model: &mut Model, message: Message) -> Vec<Effect> {
    let seen = model.picture().changes_seen;
    let effects = match message {
        Message::Key(key) => keymap::action(key).map_or_else(Vec::new, |action| act(model, action)),
        Message::Resized(size) => {
            model.size = size;
            Vec::new()
        }
        Message::Tick(now) => model.live.tick(now),
        Message::Polled(polled) => model.live.take(*polled),
    };
    // Who looks at older changes keeps looking at them while new ones come in above.
    if model.first_change > 0 {
        model.first_change += model.picture().changes_seen.saturating_sub(seen);
    }
    keep_in_bounds(model);
    effects
}

fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    if model.is_help_open {
        return act_in_help(model, action);
    }
    match action {
        Action::Quit | Action::Interrupt => return vec![Effect::Quit],
        Action::Help => {
            model.is_help_open = true;
            model.help_line = 0;
        }
        Action::Back => model.is_zoomed = false,
        Action::Pause => toggle_pause(model),
        Action::Move(step) => go(model, step),
        Action::NextPane => model.focus = model.focus.next(),
        Action::PreviousPane => model.focus = model.focus.previous(),
        Action::Zoom => model.is_zoomed = !model.is_zoomed,
        Action::SortNext => model.sorting = model.sorting.next(),
        Action::SortReverse => model.sorting = model.sorting.reversed(),
        Action::LongerSpan => model.span = model.span.longer(),
        Action::ShorterSpan => model.span = model.span.shorter(),
    }
    Vec::new()
}

/// While the help lies over the screen, keys are its own: nothing may change that cannot be seen.
fn act_in_help(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Interrupt => return vec![Effect::Quit],
        Action::Quit | Action::Help | Action::Back => model.is_help_open = false,
        Action::Move(step) => {
            let (page, count) = (layout::help_lines(model.size), keymap::BINDINGS.len());
            model.help_line = moved(model.help_line, step, page, count.saturating_sub(page));
        }
        Action::Pause
        | Action::NextPane
        | Action::PreviousPane
        | Action::Zoom
        | Action::SortNext
        | Action::SortReverse
        | Action::LongerSpan
        | Action::ShorterSpan => {}
    }
    Vec::new()
}

fn toggle_pause(model: &mut Model) {
    model.paused_at = model.live.now.elapsed;
    model.frozen = match model.frozen {
        None => Some(Box::new(model.live.clone())),
        Some(_) => None,
    };
}

fn go(model: &mut Model, step: Step) {
    match model.focus {
        Pane::Nodes | Pane::Charts | Pane::Detail => select(model, step),
        Pane::Changes => {
            let last = model.picture().changes.len().saturating_sub(1);
            model.first_change = moved(model.first_change, step, layout::rows(model, Pane::Changes), last);
        }
    }
}

fn select(model: &mut Model, step: Step) {
    let sorted = model.sorting.sort(model.picture());
    let row =
        moved(model.selected_row(), step, layout::rows(model, Pane::Nodes), sorted.len().saturating_sub(1));
    model.selected = sorted.get(row).map(|node| node.url.clone());
}

fn moved(row: usize, step: Step, page: usize, last: usize) -> usize {
    let row = match step {
        Step::Up => row.saturating_sub(1),
        Step::Down => row.saturating_add(1),
        Step::PageUp => row.saturating_sub(page.max(1)),
        Step::PageDown => row.saturating_add(page.max(1)),
        Step::First => 0,
        Step::Last => last,
    };
    row.min(last)
}

/// Whatever happened, the selected row is on the screen and no pane is scrolled beyond its end.
fn keep_in_bounds(model: &mut Model) {
    let nodes = model.picture().nodes.len();
    let rows = layout::rows(model, Pane::Nodes).max(1);
    let row = model.selected_row();
    model.first_node =
        model.first_node.min(nodes.saturating_sub(rows)).clamp(row.saturating_sub(rows - 1), row);
    model.first_change = model.first_change.min(model.picture().changes.len().saturating_sub(1));
    model.help_line = model.help_line.min(keymap::BINDINGS.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::{answered, at, console, mixed, reading, url};
    use crate::tui::keymap::BINDINGS;
    use crate::tui::message::Effect;
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    fn press(model: &mut Model, code: KeyCode, modifiers: KeyModifiers) -> Vec<Effect> {
        update(model, Message::Key(KeyEvent::new(code, modifiers)))
    }

    /// Types characters; `⇥` is Tab, `⎋` is Escape, `␃` is Control-C.
    fn keys(model: &mut Model, keys: &str) -> Vec<Effect> {
        let key = |key| match key {
            '⇥' => (KeyCode::Tab, KeyModifiers::NONE),
            '⎋' => (KeyCode::Esc, KeyModifiers::NONE),
            '␃' => (KeyCode::Char('c'), KeyModifiers::CONTROL),
            key => (KeyCode::Char(key), KeyModifiers::NONE),
        };
        keys.chars().map(key).flat_map(|(code, modifiers)| press(model, code, modifiers)).collect()
    }

    #[track_caller]
    fn check(typed: &str, effects: &[Effect], expected: impl FnOnce(&Model) -> bool) {
        let mut model = mixed();
        assert_eq!(keys(&mut model, typed), effects, "{typed}");
        assert!(expected(&model), "{typed}: {:?} {:?} {:?}", model.focus, model.selected, model.sorting);
    }

    #[test]
    fn keys_do_what_they_say() {
        let selected = |number| move |model: &Model| model.selected == Some(url(number));
        check("q", &[Effect::Quit], |_| true);
        check("␃", &[Effect::Quit], |_| true);
        check("⎋", &[], |_| true);
        check("?", &[], |model| model.is_help_open);
        check("?q", &[], |model| !model.is_help_open);
        check("??", &[], |model| !model.is_help_open);
        check("?⎋", &[], |model| !model.is_help_open);
        check("?␃", &[Effect::Quit], |_| true);
        check("?s zj", &[], |model| model.frozen.is_none() && !model.is_zoomed && model.selected.is_none());
        check("?qq", &[Effect::Quit], |_| true);
        check("j", &[], selected(2));
        check("jjk", &[], selected(2));
        check("G", &[], selected(10));
        check("jjjjjjjj", &[], selected(10));
        check("Gg", &[], selected(1));
        check("kk", &[], selected(1));
        check("z", &[], |model| model.is_zoomed);
        check("zz", &[], |model| !model.is_zoomed);
        check("z⎋", &[], |model| !model.is_zoomed);
        check("⇥", &[], |model| model.focus == Pane::Charts);
        check("⇥⇥⇥⇥", &[], |model| model.focus == Pane::Nodes);
        check("⇥⇥⇥jj", &[], |model| model.first_change == 2 && model.selected.is_none());
        check("S", &[], |model| model.sorting.descending);
        check("+", &[], |model| model.span.steps() == 300);
        check("-", &[], |model| model.span.steps() == 60);
        check("--=", &[], |model| model.span.steps() == 120);
        check(" ", &[], |model| model.frozen.is_some());
        check("  ", &[], |model| model.frozen.is_none());
    }

    #[test]
    fn every_listed_key_is_handled_and_every_handled_key_is_listed() {
        // A place from where every key has somewhere to go.
        let mut start = mixed();
        keys(&mut start, "zj");
        let seen = |model: &Model, effects: &[Effect]| format!("{model:?}{effects:?}");
        let before = seen(&start, &[]);
        let changes = |code, modifiers| {
            let mut model = start.clone();
            let effects = press(&mut model, code, modifiers);
            seen(&model, &effects) != before
        };
        let listed: Vec<_> = BINDINGS.iter().flat_map(|binding| binding.chords).collect();
        for chord in &listed {
            let modifiers = if chord.control { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
            assert!(changes(chord.code, modifiers), "{chord:?} is listed and does nothing");
        }
        let characters = ('\0'..'\u{180}').map(KeyCode::Char);
        let others = [
            KeyCode::Esc,
            KeyCode::Enter,
            KeyCode::Left,
            KeyCode::Right,
            KeyCode::Up,
            KeyCode::Down,
            KeyCode::Home,
            KeyCode::End,
            KeyCode::PageUp,
            KeyCode::PageDown,
            KeyCode::Tab,
            KeyCode::BackTab,
            KeyCode::Delete,
            KeyCode::Insert,
            KeyCode::Backspace,
            KeyCode::Null,
        ];
        for code in characters.chain(others).chain((0..=24).map(KeyCode::F)) {
            for control in [false, true] {
                let modifiers = if control { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
                let is_listed = listed.iter().any(|chord| chord.code == code && chord.control == control);
                assert_eq!(changes(code, modifiers), is_listed, "{code:?} control: {control}");
            }
        }
    }

    #[test]
    fn a_pause_freezes_what_is_shown_and_nothing_else() {
        let mut model = mixed();
        keys(&mut model, " ");
        let shown = format!("{:?}", model.picture());
        for second in 91..=100_u32 {
            let seconds = f64::from(second);
            update(&mut model, answered(1, seconds, reading("node-1", seconds)));
            update(&mut model, Message::Tick(at(seconds)));
        }
        assert_eq!(format!("{:?}", model.picture()), shown);
        let live = model.live.node(&url(1)).unwrap().latest.as_ref().unwrap();
        assert_eq!(live.at, at(100.0), "collection goes on");
        keys(&mut model, " ");
        assert_eq!(model.picture().now, at(100.0));
    }

    #[test]
    fn the_selection_stays_with_the_node_when_the_order_changes() {
        let mut model = mixed();
        keys(&mut model, "j");
        assert_eq!(model.selected_row(), 1);
        keys(&mut model, "S");
        assert_eq!((model.selected.clone(), model.selected_row()), (Some(url(2)), 2));
        keys(&mut model, "j");
        assert_eq!(model.selected, Some(url(1)));
    }

    #[test]
    fn older_changes_stay_in_sight_while_new_ones_come() {
        let mut model = mixed();
        keys(&mut model, "⇥⇥⇥jjj");
        let shown = model.picture().changes[model.first_change].clone();
        update(&mut model, answered(10, 91.0, reading("node-10", 91.0)));
        assert_eq!(model.picture().changes[0].at, at(91.0), "there is a new one");
        assert_eq!(model.picture().changes[model.first_change], shown);
    }

    #[test]
    fn a_message_about_a_node_that_is_not_followed_changes_nothing() {
        let mut model = console(&[1], (80, 24));
        let before = format!("{:?}", model.live.nodes);
        assert_eq!(update(&mut model, answered(9, 1.0, reading("node-9", 1.0))), []);
        assert_eq!(format!("{:?}", model.live.nodes), before);
    }
}
