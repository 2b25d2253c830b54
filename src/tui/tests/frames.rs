//! Frames of every screen: snapshots at two sizes, properties at the others, and the themes.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Size;
use ratatui::style::{Color, Modifier};

use super::sizes::problems;
use crate::protocol::NodeId;
use crate::tui::config::theme::{Theme, ThemeName};
use crate::tui::state::action_request::ActionResult;
use crate::tui::state::bench_run::{Run, RunUpdate};
use crate::tui::state::events::{EventBatch, StreamState};
use crate::tui::state::message::{Access, Message};
use crate::tui::state::model::Model;
use crate::tui::state::reading::{FetchError, Latency, Serving};
use crate::tui::state::tests::fixture::{answered, at, failed, reading, received_event, run};
use crate::tui::text::sanitize::SafeText;
use crate::tui::update::apply::update;
use crate::tui::update::tests::fixture::{console, fill, keys, mixed};
use crate::tui::view::draw::view;

/// Sizes whose frames are snapshots.
const WHOLE: [(u16, u16); 2] = [(120, 40), (80, 24)];
/// Sizes whose frames are checked by the properties of `sizes`.
const OTHERS: [(u16, u16); 4] = [(100, 30), (60, 15), (40, 10), (30, 8)];

pub(super) fn drawn(model: &Model, (width, height): (u16, u16)) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view(model, frame)).unwrap();
    terminal
}

pub(super) fn resized(mut model: Model, (width, height): (u16, u16)) -> Model {
    update(&mut model, Message::Resized(Size { width, height }));
    model
}

fn press(model: &mut Model, typed: &str) {
    keys(model, typed);
}

pub(super) fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let symbols: Vec<_> = buffer.content.iter().map(|cell| cell.symbol()).collect();
    symbols.chunks(width).map(|row| row.concat()).collect::<Vec<_>>().join("\n")
}

/// Checks the frames of all sizes; these words must be seen in the small ones too.
#[track_caller]
fn check(name: &str, model: &Model, must: &[&str]) {
    for size in OTHERS {
        let problems = problems(model, size, must);
        let shown = text(drawn(&resized(model.clone(), size), size).backend().buffer());
        assert!(problems.is_empty(), "{name} at {size:?}: {problems:#?}\n{shown}");
    }
    for size in WHOLE {
        let model = resized(model.clone(), size);
        insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), drawn(&model, size).backend());
    }
}

#[test]
fn connecting() {
    check("connecting", &console(&[1, 2], (120, 40)), &["Nodes 2", "127.0.0.1:8081", "CONNECTING"]);
}

#[test]
fn nodes_in_mixed_states() {
    let must =
        ["node-1", "node-2", "node-3", "node-10", " UP ", "DRAINING", "STALE 6s", "DOWN", "out 43.4k/s"];
    check("mixed", &mixed(), &must);
}

#[test]
fn screens() {
    for (name, typed, must) in [
        ("connections", "2", &["1/31,204", "u-00000", "412", "replaying"][..]),
        ("connections_open", "2jj⏎", &["3/31,204", "u-00074", "slow"]),
        ("events", "3", &["Events FOLLOW", "14:01:30.050", "MESSAGE", r#"{"order":17,"#]),
        ("events_open", "3jj⏎", &["Events HOLD", "14:01:30.050", "MESSAGE"]),
        ("bench_none", "4", &["No run is followed", "starts both."]),
        ("broker", "5", &["Log file", "0.41 ms", "1,000,000 kept", "2.43k/s in"]),
        ("alerts", "6", &["Now 4", "3 GAP events sent", "STALE: no answer", "DOWN: connection refused"]),
        ("overview_open", "j⏎", &["›◐ node-2", "DRAINING"]),
    ] {
        let mut model = mixed();
        press(&mut model, typed);
        fill(&mut model);
        check(name, &model, must);
    }
}

#[test]
fn a_bench_run() {
    let mut model = mixed();
    model.run = Some(run());
    press(&mut model, "4");
    check("bench", &model, &["fanout-failover", "70%", "18s left", "9,990 of 10,000", "126k/s"]);
    let end = serde_json::json!({
        "kind": "end", "verdict": "FAIL", "exit_code": 102,
        "summary": {
            "failed": ["events_lost: count==0"], "events_expected": 420_000, "events_ok": 419_998, "events_lost": 2,
        },
    });
    let end = RunUpdate::Line(Box::new(serde_json::from_value(end).unwrap()));
    update(&mut model, Message::Run(end));
    check("bench_over", &model, &["FAIL", "exit code 102", "419,998 of 420,000", "2 lost"]);
    model.run = Some(Run::new("runs/next"));
    let waits =
        RunUpdate::Error(SafeText::new("waiting for runs/next/live.jsonl: No such file or directory"));
    update(&mut model, Message::Run(waits));
    check("bench_waits", &model, &["waiting for runs/next/live.jsonl"]);
}

#[test]
fn dialogs() {
    for (name, typed, must) in [
        ("broadcast", "b⇥⇥⇥{\"at\":14}", &["Broadcast to 45,120 connections", "[ send ]", "-d"][..]),
        ("message", "2m", &["Message", "[ send ]", "client:u-00000", "data is empty"]),
        ("drain", "d⇥⇥⇥⇥node", &["Drain node-1", "[ drain ]", "type the node's id, node-1"]),
        (
            "disconnect",
            "2x",
            &["Disconnect u-00000", "[ disconnect ]", "curl -X DELETE", "/connections/c-0000"],
        ),
    ] {
        let mut model = mixed();
        model.access = Access::Granted;
        press(&mut model, typed);
        check(&format!("dialog_{name}"), &model, &[must, &["[ Cancel ]"]].concat());
    }
}

#[test]
fn lines_that_are_typed() {
    for (name, typed, must) in [
        ("filter", "2/state:slow lag", "/state:slow lag"),
        ("filter_wrong", "2/lag>x⏎", "/lag>x !"),
        ("command", ":dr", ":dr"),
    ] {
        let mut model = mixed();
        press(&mut model, typed);
        check(&format!("typed_{name}"), &model, &[must]);
    }
}

#[test]
fn what_was_done_is_told_for_a_moment() {
    let mut model = mixed();
    let acted = ActionResult { what: "drain node-2".to_owned(), outcome: Ok(SafeText::new("accepted")) };
    update(&mut model, Message::Acted(Box::new(acted)));
    let shown = |model: &Model| text(drawn(model, (80, 24)).backend().buffer());
    let model_80 = resized(model.clone(), (80, 24));
    assert!(shown(&model_80).contains("drain node-2: accepted"), "{}", shown(&model_80));
    update(&mut model, Message::Tick(at(97.0)));
    assert!(!shown(&resized(model, (80, 24))).contains("drain node-2: accepted"));
}

#[test]
fn looking_back() {
    let mut model = mixed();
    press(&mut model, " ");
    press(&mut model, &"←".repeat(65));
    check("back", &model, &["PAUSED -1m05s", "conns 240,640", "4 up"]);
}

#[test]
fn ten_thousand_connections_build_no_more_rows_than_there_are_on_the_screen() {
    let mut model = mixed();
    press(&mut model, "2G");
    assert_eq!(model.connections.page.as_ref().map(|page| page.rows.len() <= 200), Some(true));
    fill(&mut model);
    let shown = text(drawn(&model, (120, 40)).backend().buffer());
    assert!(shown.contains("31,204/31,204") && shown.contains("c-31203"), "{shown}");
}

#[test]
fn paused() {
    let mut model = mixed();
    press(&mut model, "jj ");
    update(&mut model, answered(1, 132.0, reading("node-1", 132.0)));
    update(&mut model, Message::Tick(at(132.05)));
    check("paused", &model, &["PAUSED -42s", "›○ node-3"]);
}

#[test]
fn help() {
    let mut model = mixed();
    press(&mut model, "?");
    check("help", &model, &["Keys", "? F1", "show these keys", "reverse the order"]);
}

#[test]
fn ascii() {
    let mut model = mixed();
    model.theme = Theme::new(ThemeName::Mono, true);
    for size in WHOLE.into_iter().chain(OTHERS) {
        assert!(text(drawn(&resized(model.clone(), size), size).backend().buffer()).is_ascii());
    }
    check("ascii", &model, &[">* node-1", "~ node-2", "o node-3", "x node-10"]);
}

#[test]
fn all_nodes_down_from_the_start() {
    let mut model = console(&[1, 2], (120, 40));
    update(&mut model, failed(1, 1.0, FetchError::Refused, 1));
    update(
        &mut model,
        failed(2, 1.2, FetchError::BadJson(SafeText::new("missing field `uptime` at line 1")), 1),
    );
    update(&mut model, Message::Tick(at(2.0)));
    check("down", &model, &["2 down", "refused", "bad JSON"]);
}

#[test]
fn zoomed_panes() {
    for (name, tabs) in [("charts", 1), ("detail", 2), ("changes", 3)] {
        let mut model = mixed();
        press(&mut model, "⏎");
        for _ in 0..tabs {
            update(&mut model, Message::Key(KeyEvent::new(KeyCode::Tab, KeyModifiers::NONE)));
        }
        press(&mut model, "z");
        let size = (80, 24);
        insta::assert_snapshot!(format!("zoomed_{name}"), drawn(&resized(model, size), size).backend());
    }
}

/// One letter per cell: its style without its text.
fn looks(buffer: &Buffer) -> String {
    let look = |cell: &ratatui::buffer::Cell| {
        let has = |modifier| cell.modifier.contains(modifier);
        if has(Modifier::REVERSED) {
            'R'
        } else if has(Modifier::BOLD) {
            'B'
        } else if has(Modifier::DIM) {
            'd'
        } else {
            '.'
        }
    };
    let width = usize::from(buffer.area.width);
    let looks: Vec<_> = buffer.content.iter().map(look).collect();
    looks.chunks(width).map(|row| row.iter().collect::<String>()).collect::<Vec<_>>().join("\n")
}

#[test]
fn without_colours_selection_and_badges_still_show() {
    let mut model = mixed();
    model.theme = Theme::new(ThemeName::Mono, false);
    press(&mut model, " j");
    let size = (80, 24);
    let terminal = drawn(&resized(model, size), size);
    let buffer = terminal.backend().buffer();
    assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    insta::assert_snapshot!("mono_looks", looks(buffer));
}

#[test]
fn numbers_and_addresses_are_whole_at_every_width() {
    let model = mixed();
    // For each row, the texts that are shown whole or not at all.
    let whole = [
        ["127.0.0.1:8081", "15,040", "12.0k", "812", "413M", "1h13m", "0.41"],
        ["127.0.0.1:8082", "30,080", "31.4k", "1.62k", "826M", "2h13m", "0.44"],
    ];
    for width in 40..=200 {
        let model = resized(model.clone(), (width, 30));
        let terminal = drawn(&model, (width, 30));
        let shown = text(terminal.backend().buffer());
        let rows: Vec<_> =
            shown.lines().filter(|line| line.contains("● node-1") || line.contains("◐ node-2")).collect();
        assert_eq!(rows.len(), 2, "{width}\n{shown}");
        for (row, whole) in rows.iter().zip(&whole) {
            for cell in row.split([' ', '│']) {
                let is_cut = |text: &str| cell.len() > 2 && text.starts_with(cell) && text != cell;
                assert!(
                    !whole.iter().any(|text| is_cut(text)),
                    "{cell} is cut at a width of {width}\n{shown}"
                );
            }
        }
    }
}

#[test]
fn texts_of_a_node_do_nothing_to_the_terminal() {
    let mut model = console(&[1], (120, 40));
    let mut evil = reading("node-1", 1.0);
    let text_of = SafeText::new("\x1b]0;owned\x07\u{202e}\0\u{9b}2J\r\n");
    evil.id = NodeId::parse("node\u{202e}1\u{200b}").unwrap();
    evil.name = text_of.clone();
    evil.version = text_of.clone();
    evil.serving = Serving::Other(text_of.clone());
    evil.gaps = vec![(text_of.clone(), 3)];
    evil.closed = vec![(text_of.clone(), 3)];
    evil.latency = Latency::Unreadable(text_of.clone());
    evil.log.broker = text_of.clone();
    evil.log.epoch = text_of.clone();
    evil.roster = Err(FetchError::BadJson(text_of));
    update(&mut model, answered(1, 1.0, evil));
    update(&mut model, Message::Tick(at(1.1)));
    let event = crate::tui::state::events::ReceivedEvent {
        payload: SafeText::new("\x1b]0;x\x07\u{202e}"),
        lines: vec![SafeText::new("\x1b[2J")],
        ..received_event(1.0, "e\x1b")
    };
    let batch = EventBatch {
        at: at(1.0),
        stream: StreamState::Open,
        events: vec![event],
        left_out: 0,
        per_second: 1.0,
    };
    update(&mut model, Message::Streamed(Box::new(batch)));
    press(&mut model, "3⏎");
    for size in WHOLE.into_iter().chain(OTHERS) {
        let shown = text(drawn(&resized(model.clone(), size), size).backend().buffer());
        let harmful = |c: char| {
            c != '\n' && (c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'))
        };
        assert!(!shown.contains(harmful), "{shown:?}");
    }
    let shown = text(drawn(&model, (120, 40)).backend().buffer());
    assert!(shown.contains("\\u{1b}]0;x\\u{7}") && shown.contains("\\u{1b}[2J"), "{shown}");
    press(&mut model, "1");
    let shown = text(drawn(&model, (120, 40)).backend().buffer());
    assert!(shown.contains("node\\u{202e}1") && shown.contains("\\u{1b}]0"), "{shown}");
}

#[test]
fn only_the_rows_on_the_screen_are_shown_and_the_selected_one_is_among_them() {
    let mut model = console(&(1..=40).collect::<Vec<_>>(), (80, 24));
    for number in 1..=40 {
        update(&mut model, answered(number, 1.0, reading(&format!("node-{number}"), 1.0)));
    }
    update(&mut model, Message::Tick(at(1.1)));
    press(&mut model, "jjjjjjjjjjjj");
    let shown = text(drawn(&model, (80, 24)).backend().buffer());
    assert!(shown.contains("›● node-13") && !shown.contains("● node-1 "), "{shown}");
    press(&mut model, "s");
    let shown = text(drawn(&model, (80, 24)).backend().buffer());
    assert!(shown.contains("›● node-13"), "the selection follows the node, not the row\n{shown}");
    insta::assert_snapshot!("many_nodes", drawn(&model, (80, 24)).backend());
}
