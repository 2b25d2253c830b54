//! Keys, clicks and answers: their effects on the model.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Position;

use crate::tui::config::bindings::BINDINGS;
use crate::tui::config::key::Step;
use crate::tui::config::screen::Screen;
use crate::tui::state::bench_run::{Run, RunUpdate};
use crate::tui::state::message::{Access, Effect, Message};
use crate::tui::state::model::{Model, Pane, Source};
use crate::tui::state::reading::FetchError;
use crate::tui::state::tests::fixture::{answered, at, failed, reading, url};
use crate::tui::update::apply::update;
use crate::tui::update::tests::fixture::{console, keys, mixed};

fn press(model: &mut Model, code: KeyCode, modifiers: KeyModifiers) -> Vec<Effect> {
    update(model, Message::Key(KeyEvent::new(code, modifiers)))
}

#[track_caller]
fn check(typed: &str, effects: &[Effect], expected: impl FnOnce(&Model) -> bool) {
    let mut model = mixed();
    assert_eq!(keys(&mut model, typed), effects, "{typed}");
    assert!(expected(&model), "{typed}: {:?} {:?} {:?}", model.focus, model.selected, model.node_order);
}

#[test]
fn keys_do_what_they_say() {
    let selected = |number| move |model: &Model| model.selected == Some(url(number));
    check("q", &[Effect::Quit], |_| true);
    check("␃", &[Effect::Quit], |_| true);
    check("Q", &[Effect::QuitAndLeave], |_| true);
    check("?Q", &[Effect::QuitAndLeave], |_| true);
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
    check("⏎⇥⇥⇥jj", &[Effect::List(None)], |model| {
        model.scroll.changes == 2 && model.selected.is_none()
    });
    check("S", &[], |model| model.node_order.descending);
    check("+", &[], |model| model.span.steps() == 300);
    check("-", &[], |model| model.span.steps() == 60);
    check("--=", &[], |model| model.span.steps() == 120);
}

fn texts(effects: &[Effect]) -> Vec<String> {
    let word = |effect: &Effect| match effect {
        Effect::List(Some(query)) => format!("list {} {} {}", query.filter, query.order.key(), query.offset),
        Effect::List(None) => "list nothing".to_owned(),
        Effect::ReadEvents(Some(query)) => format!("tail {} {}", query.filter, query.topics.join(",")),
        Effect::ReadEvents(None) => "tail nothing".to_owned(),
        Effect::Act(request) => format!("act {}", request.what),
        other => format!("{other:?}"),
    };
    effects.iter().map(word).collect()
}

/// The effects of keys, for a console that may act.
#[track_caller]
fn check_effects(typed: &str, expected: &[&str]) {
    let mut model = mixed();
    model.access = Access::Granted;
    assert_eq!(texts(&keys(&mut model, typed)), expected, "{typed}");
}

#[test]
fn screens_ask_for_what_they_show_and_no_more() {
    check_effects("2", &[]);
    check_effects("3", &["list nothing"]);
    check_effects("4", &["list nothing"]);
    check_effects("5", &["list nothing"]);
    check_effects("6", &["list lag>0 -lag 0"]);
    check_effects("61", &["list lag>0 -lag 0", "list  -lag 0"]);
    check_effects("⏎", &["list nothing"]);
    // A pause stops the list, which must not change, and not the events.
    check_effects(" ", &["list nothing"]);
    check_effects("  ", &["list nothing", "list  -lag 0"]);
}

#[test]
fn a_tail_is_read_on_for_a_while_after_it_left_the_screen() {
    let mut model = mixed();
    let tails = |effects: Vec<Effect>| -> Vec<String> {
        texts(&effects).into_iter().filter(|effect| effect.starts_with("tail")).collect()
    };
    assert_eq!(tails(keys(&mut model, "5")), Vec::<String>::new());
    assert_eq!(tails(update(&mut model, Message::Tick(at(119.0)))), Vec::<String>::new());
    assert_eq!(tails(keys(&mut model, "3")), Vec::<String>::new(), "it is the same stream");
    assert_eq!(tails(keys(&mut model, "5")), Vec::<String>::new());
    assert_eq!(tails(update(&mut model, answered(1, 148.5, reading("node-1", 148.5)))), Vec::<String>::new());
    assert_eq!(tails(update(&mut model, Message::Tick(at(150.0)))), ["tail nothing"]);
    assert_eq!(tails(keys(&mut model, "3")), ["tail  "]);
}

#[test]
fn filters_and_orders_are_sent_to_the_nodes() {
    check_effects("2/slow⏎", &["list slow -lag 0"]);
    check_effects("2/slow⏎⎋", &["list slow -lag 0", "list  -lag 0"]);
    check_effects("2/slow⎋", &[]);
    check_effects("2/lag>x⏎", &[]);
    check_effects("2s", &["list  -sent 0"]);
    check_effects("2S", &["list  lag 0"]);
    check_effects("2G", &["list  -lag 31150"]);
    check_effects("3/type:A⏎", &["list nothing", "tail type:A "]);
    check_effects("torders chat⏎", &["list nothing", "tail  orders,chat"]);
}

#[test]
fn nothing_is_done_without_its_dialog_and_its_button() {
    for typed in ["b", "b⏎", "b⇥⏎", "m⏎", "d⏎", "d⇥⏎", "x⎋", "bq", "d⇥⇥⇥⇥node-2⎋"] {
        check_effects(typed, &[]);
    }
    check_effects("b⇥⇥⇥hello⇥⇥⏎", &["act broadcast"]);
    check_effects("d⇥⇥⇥⇥node-1⇥⇥⏎", &["act drain node-1"]);
    check_effects("⇥⇥x→⏎", &["act disconnect u-00000"]);
    check_effects("⇥⇥jm⇥⇥⇥⇥hi⇥⇥⏎", &["act message to client:u-00037"]);
}

#[test]
fn a_console_that_may_not_act_opens_no_dialog_and_says_why() {
    let denied = [
        (Access::ReadOnly, "start sse-tui with --token"),
        (Access::Unknown, "no node has accepted"),
        (Access::Refused(403), "refused with 403"),
    ];
    for (access, why) in denied {
        for key in ["b", "m", "d", "x", ":drain node-2⏎"] {
            let mut model = mixed();
            model.access = access.clone();
            let effects = keys(&mut model, key);
            assert!(!effects.iter().any(|effect| matches!(effect, Effect::Act(_))), "{key}");
            assert!(model.dialog.is_none(), "{key}");
            assert!(
                model.flash.as_ref().is_some_and(|flash| flash.text.contains(why)),
                "{key}: {:?}",
                model.flash
            );
        }
    }
    let mut model = mixed();
    (model.access, model.source) = (Access::Granted, Source::Recording);
    keys(&mut model, "b");
    assert!(model.dialog.is_none() && model.flash.is_some_and(|flash| flash.text.contains("recording")));
}

#[test]
fn a_connection_that_is_gone_is_not_disconnected() {
    let mut model = mixed();
    model.access = Access::Granted;
    keys(&mut model, "2jj");
    let query = model.queries.list.clone().unwrap();
    let page = std::sync::Arc::new(crate::tui::state::tests::fixture::page(5..80, 31_204));
    let listed = crate::tui::state::connections::ListResult { query, at: at(91.0), outcome: Ok(page) };
    update(&mut model, Message::Listed(Box::new(listed)));
    assert_eq!(texts(&keys(&mut model, "x→⏎")), Vec::<String>::new());
    assert!(model.flash.is_some_and(|flash| flash.text.starts_with("u-00074 is gone")));
}

#[test]
fn a_token_is_checked_once_a_node_is_there_and_again_when_it_was_refused() {
    let mut model = console(&[1], (80, 24));
    model.access = Access::Unknown;
    let asked = |effects: Vec<Effect>| effects.contains(&Effect::Check(url(1)));
    assert!(!asked(update(&mut model, Message::Tick(at(0.5)))));
    assert!(asked(update(&mut model, answered(1, 1.0, reading("node-1", 1.0)))));
    update(&mut model, Message::Checked(Access::Refused(401)));
    assert!(!asked(update(&mut model, Message::Tick(at(5.0)))));
    update(&mut model, answered(1, 10.5, reading("node-1", 10.5)));
    assert!(asked(update(&mut model, Message::Tick(at(12.0)))));
    update(&mut model, Message::Checked(Access::Granted));
    assert!(!asked(update(&mut model, Message::Tick(at(30.0)))));
}

#[test]
fn a_paused_console_looks_back_and_forth() {
    let mut model = mixed();
    let node = |model: &Model| model.cluster().health(model.cluster().node(&url(10)).unwrap()).word();
    keys(&mut model, "←");
    assert!(model.frozen.is_none(), "only while it is paused");
    keys(&mut model, " ");
    let (now, then) = (model.cluster().now, node(&model));
    assert_eq!(then, "DOWN");
    keys(&mut model, &"←".repeat(65));
    assert_eq!((model.cluster().now, node(&model)), (at(25.05), "UP".to_owned()));
    assert_eq!(model.cluster().totals.connections, 240_640, "four nodes were up");
    assert!(model.cluster().changes.iter().all(|change| change.at.elapsed <= at(25.05).elapsed));
    assert_eq!(model.cluster().series.sent.last(999).len(), 26);
    keys(&mut model, &"→".repeat(70));
    assert_eq!(model.cluster().now, now);
    keys(&mut model, &"←".repeat(999));
    assert_eq!(model.cluster().now, at(0.1), "as far as is remembered");
    keys(&mut model, " ");
    assert_eq!(model.cluster().now, now);
}

#[test]
fn a_tail_stays_with_its_node_while_that_answers() {
    let mut model = console(&[1, 2], (120, 40));
    let tailed = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::ReadEvents(query) => Some(query.as_ref().map(|query| query.node.clone())),
            _ => None,
        })
    };
    assert_eq!(tailed(&update(&mut model, answered(2, 1.0, reading("node-2", 1.0)))), Some(Some(url(2))));
    assert_eq!(tailed(&update(&mut model, answered(1, 1.1, reading("node-1", 1.1)))), None);
    let effects = update(&mut model, failed(2, 2.0, FetchError::Refused, 1));
    assert_eq!(tailed(&effects), Some(Some(url(1))));
}

#[test]
fn every_listed_key_is_handled_and_every_handled_key_is_listed() {
    let seen = |model: &Model, effects: &[Effect]| format!("{model:?}{effects:?}");
    // Places from where every key has somewhere to go.
    let starts: Vec<_> = [("zj", false), ("2j", false), ("", true)]
        .into_iter()
        .map(|(typed, is_back)| {
            let mut model = mixed();
            model.access = Access::Granted;
            keys(&mut model, typed);
            if is_back {
                keys(&mut model, " ←←");
            }
            let before = seen(&model, &[]);
            (model, before)
        })
        .collect();
    let changes = |code, modifiers| {
        starts.iter().any(|(start, before)| {
            let mut model = start.clone();
            let effects = press(&mut model, code, modifiers);
            seen(&model, &effects) != *before
        })
    };
    let listed: Vec<_> = BINDINGS.iter().flat_map(|binding| binding.chords.iter()).collect();
    for chord in &listed {
        let modifiers = if chord.control { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
        assert!(changes(chord.code, modifiers), "{chord:?} is listed and does nothing");
    }
    let characters = ('\0'..='\u{7f}').chain(['\u{9b}', 'é']).map(KeyCode::Char);
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
    let shown = format!("{:?}", model.cluster());
    for second in 91..=100_u32 {
        let seconds = f64::from(second);
        update(&mut model, answered(1, seconds, reading("node-1", seconds)));
        update(&mut model, Message::Tick(at(seconds)));
    }
    assert_eq!(format!("{:?}", model.cluster()), shown);
    let live = model.live.node(&url(1)).unwrap().latest.as_ref().unwrap();
    assert_eq!(live.at, at(100.0), "collection goes on");
    keys(&mut model, " ");
    assert_eq!(model.cluster().now, at(100.0));
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
    keys(&mut model, "⏎⇥⇥⇥jjj");
    let shown = model.cluster().changes[model.scroll.changes].clone();
    update(&mut model, answered(10, 91.0, reading("node-10", 91.0)));
    assert_eq!(model.cluster().changes[0].at, at(91.0), "there is a new one");
    assert_eq!(model.cluster().changes[model.scroll.changes], shown);
}

fn click(model: &mut Model, x: u16, y: u16) -> Vec<Effect> {
    update(model, Message::Clicked(Position { x, y }))
}

#[test]
fn a_click_chooses_what_lies_under_it() {
    // The second line names the screens, the fifth the columns of the nodes.
    let mut model = mixed();
    for (x, screen) in
        [(2, Screen::Overview), (20, Screen::Connections), (33, Screen::Events), (70, Screen::Alerts)]
    {
        click(&mut model, x, 1);
        assert_eq!(model.screen, screen, "{x}");
    }
    click(&mut model, 2, 1);
    let row = |number: usize, model: &Model| {
        let sorted = model.node_order.sort(model.cluster());
        Some(sorted[number].url.clone())
    };
    let second = row(1, &model);
    click(&mut model, 10, 6);
    assert_eq!((model.selected.clone(), model.focus, model.is_open), (second, Pane::Nodes, false));
    click(&mut model, 10, 6);
    assert!(model.is_open, "the same row again");
    click(&mut model, 10, 6);
    assert!(!model.is_open);
    for y in [0, 3, 4, 39] {
        let before = model.selected.clone();
        click(&mut model, 10, y);
        assert_eq!((model.selected.clone(), model.is_open), (before, false), "{y}: no row of a list");
    }
    keys(&mut model, "2");
    click(&mut model, 10, 7);
    assert_eq!(model.connections.row, 2);
    let found = model.connections.current().unwrap().client.clone();
    assert_eq!(found.as_str(), "u-00074", "the third of them");
    keys(&mut model, "3");
    click(&mut model, 10, 6);
    assert_eq!((model.live_events.row(), model.live_events.selected.is_some()), (2, true));
    // What lies over the screen takes no clicks.
    keys(&mut model, "?");
    click(&mut model, 2, 1);
    assert_eq!(model.screen, Screen::Events);
}

#[test]
fn a_second_click_on_a_connection_of_the_overview_opens_it_and_not_the_node() {
    let mut model = mixed();
    click(&mut model, 10, 30);
    assert_eq!((model.screen, model.focus), (Screen::Overview, Pane::Connections));
    click(&mut model, 10, 30);
    assert_eq!((model.screen, model.is_open), (Screen::Connections, true));
}

#[test]
fn the_wheel_moves_what_lies_under_it() {
    let mut model = mixed();
    let wheel = |model: &mut Model, y| {
        update(model, Message::Scrolled(Step::Down, Position { x: 10, y }));
    };
    wheel(&mut model, 6);
    assert_eq!((model.selected_row(), model.connections.row), (1, 0));
    wheel(&mut model, 30);
    assert_eq!((model.selected_row(), model.connections.row, model.focus), (1, 1, Pane::Nodes));
    update(&mut model, Message::Resized(ratatui::layout::Size { width: 120, height: 30 }));
    keys(&mut model, "?");
    wheel(&mut model, 20);
    assert_eq!((model.connections.row, model.scroll.help), (1, 1), "help is what lies there");
}

#[test]
fn a_paste_is_typed_where_something_is_typed_and_nothing_elsewhere() {
    let mut model = mixed();
    model.access = Access::Granted;
    let paste = |model: &mut Model, text: &str| update(model, Message::Pasted(text.to_owned()));
    assert_eq!(paste(&mut model, "qd\n"), [], "these are no keys");
    assert!(model.dialog.is_none());
    keys(&mut model, "2/");
    paste(&mut model, "topic:a\nlag>x\n");
    let prompt = model.prompt.clone().unwrap();
    assert_eq!(prompt.editor.text(), "topic:a lag>x");
    assert!(prompt.problem.is_some(), "it is checked as if it had been typed");
    keys(&mut model, "⎋b");
    paste(&mut model, "lost");
    keys(&mut model, "⇥⇥⇥");
    paste(&mut model, "{\"a\": 1}\n");
    let dialog = model.dialog.clone().unwrap();
    assert_eq!(dialog.request().unwrap().body.as_deref(), Some(r#"{"data":{"a":1}}"#));
}

#[test]
fn the_nodes_of_a_run_are_found_and_those_of_a_finished_one_left_alone() {
    let line = |json: serde_json::Value| {
        Message::Run(RunUpdate::Line(Box::new(serde_json::from_value(json).unwrap())))
    };
    let cluster =
        serde_json::json!({ "kind": "cluster", "nodes": [{ "name": "node-1", "url": url(1).to_string() }] });
    let end = serde_json::json!({ "kind": "end", "verdict": "PASS" });
    let mut model = console(&[], (120, 40));
    model.run = Some(Run::new("runs/x"));
    update(&mut model, line(serde_json::json!({ "kind": "begin" })));
    assert_eq!(update(&mut model, line(cluster.clone())), []);
    assert_eq!(update(&mut model, Message::Tick(at(0.5))), [], "nobody writes the file, as far as is known");
    update(&mut model, Message::Run(RunUpdate::Growing(true)));
    assert_eq!(update(&mut model, Message::Tick(at(1.0))), [Effect::FollowUntrusted(url(1))]);
    assert_eq!(update(&mut model, Message::Tick(at(2.0))), []);
    update(&mut model, answered(1, 2.5, reading("node-1", 2.5)));
    update(&mut model, line(end.clone()));
    update(&mut model, failed(1, 3.0, FetchError::Refused, 1));
    assert!(update(&mut model, Message::Tick(at(3.5))).contains(&Effect::Forget(url(1))));
    let mut model = console(&[], (120, 40));
    model.run = Some(Run::new("runs/x"));
    for message in
        [line(serde_json::json!({ "kind": "begin" })), line(cluster), line(end), Message::Tick(at(1.0))]
    {
        assert_eq!(update(&mut model, message), []);
    }
}

#[test]
fn a_recording_asks_nobody() {
    let mut model = console(&[1], (120, 40));
    model.source = Source::Recording;
    let mut told = reading("node-1", 1.0);
    let id = crate::protocol::NodeId::parse("node-2").unwrap();
    told.roster = Ok(vec![crate::tui::state::reading::Peer { id, url: Some(url(2)) }]);
    assert_eq!(update(&mut model, answered(1, 1.0, told)), []);
    assert_eq!(model.live.nodes.len(), 2, "the other one is shown as it was");
}

#[test]
fn a_message_about_a_node_that_is_not_followed_changes_nothing() {
    let mut model = console(&[1], (80, 24));
    let before = format!("{:?}", model.live.nodes);
    assert_eq!(update(&mut model, answered(9, 1.0, reading("node-9", 1.0))), []);
    assert_eq!(format!("{:?}", model.live.nodes), before);
}

#[test]
fn a_message_of_the_past_does_not_turn_the_clock_back() {
    let mut model = console(&[1], (80, 24));
    update(&mut model, Message::Tick(at(10.0)));
    update(&mut model, answered(1, 9.0, reading("node-1", 9.0)));
    assert_eq!(model.live.now, at(10.0));
    assert!(model.live.nodes[0].latest.is_some());
}
