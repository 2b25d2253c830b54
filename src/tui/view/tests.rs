//! Frames: what stands where, at every size and in every look, and that no input breaks the drawing.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Size};
use ratatui::style::{Color, Modifier};

use super::view;
use crate::protocol::NodeId;
use crate::tui::act::Acted;
use crate::tui::bindings::BINDINGS;
use crate::tui::fixture::{
    self, answered, arrival, at, console, failed, fill, keys, mixed, page, reading, run,
};
use crate::tui::keymap::Step;
use crate::tui::listing::Listed;
use crate::tui::message::{Access, Effect, Message};
use crate::tui::model::Model;
use crate::tui::plain::Plain;
use crate::tui::reading::{Latency, Peer, Serving, Trouble};
use crate::tui::run::{Run, RunNews};
use crate::tui::tail::{Batch, Link};
use crate::tui::theme::{Theme, ThemeName};
use crate::tui::update::update;

const SIZES: [(u16, u16); 6] = [(120, 40), (100, 30), (80, 24), (60, 15), (40, 10), (30, 8)];

fn drawn(model: &Model, (width, height): (u16, u16)) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view(model, frame)).unwrap();
    terminal
}

fn resized(mut model: Model, (width, height): (u16, u16)) -> Model {
    update(&mut model, Message::Resized(Size { width, height }));
    model
}

fn press(model: &mut Model, typed: &str) {
    keys(model, typed);
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let symbols: Vec<_> = buffer.content.iter().map(|cell| cell.symbol()).collect();
    symbols.chunks(width).map(|row| row.concat()).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(name: &str, model: &Model) {
    for size in SIZES {
        let model = resized(model.clone(), size);
        insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), drawn(&model, size).backend());
    }
}

#[test]
fn connecting() {
    check("connecting", &console(&[1, 2], (120, 40)));
}

#[test]
fn nodes_in_mixed_states() {
    check("mixed", &mixed());
}

#[test]
fn screens() {
    for (name, typed) in [
        ("connections", "2"),
        ("connections_open", "2jj⏎"),
        ("events", "3"),
        ("events_open", "3jj⏎"),
        ("bench_none", "4"),
        ("broker", "5"),
        ("alerts", "6"),
        ("overview_open", "j⏎"),
    ] {
        let mut model = mixed();
        press(&mut model, typed);
        fill(&mut model);
        check(name, &model);
    }
}

#[test]
fn a_bench_run() {
    let mut model = mixed();
    model.run = Some(run());
    press(&mut model, "4");
    check("bench", &model);
    let end = serde_json::json!({
        "kind": "end", "verdict": "FAIL", "exit_code": 102,
        "summary": {
            "failed": ["events_lost: count==0"], "events_expected": 420_000, "events_ok": 419_998, "events_lost": 2,
        },
    });
    let end = RunNews::Line(Box::new(serde_json::from_value(end).unwrap()));
    update(&mut model, Message::Run(end));
    check("bench_over", &model);
    model.run = Some(Run::new("runs/next"));
    let waits = RunNews::Trouble(Plain::new("waiting for runs/next/live.jsonl: No such file or directory"));
    update(&mut model, Message::Run(waits));
    check("bench_waits", &model);
}

#[test]
fn dialogs() {
    for (name, typed) in
        [("broadcast", "b⇥⇥⇥{\"at\":14}"), ("message", "2m"), ("drain", "d⇥⇥⇥⇥node"), ("disconnect", "2x")]
    {
        let mut model = mixed();
        model.access = Access::Granted;
        press(&mut model, typed);
        check(&format!("dialog_{name}"), &model);
    }
}

#[test]
fn lines_that_are_typed() {
    for (name, typed) in [("filter", "2/state:slow lag"), ("filter_wrong", "2/lag>x⏎"), ("command", ":dr")]
    {
        let mut model = mixed();
        press(&mut model, typed);
        check(&format!("typed_{name}"), &model);
    }
}

#[test]
fn what_was_done_is_told_for_a_moment() {
    let mut model = mixed();
    let acted = Acted { what: "drain node-2".to_owned(), outcome: Ok(Plain::new("accepted")) };
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
    check("back", &model);
}

#[test]
fn ten_thousand_connections_build_no_more_rows_than_there_are_on_the_screen() {
    let mut model = mixed();
    press(&mut model, "2G");
    assert_eq!(model.listing.page.as_ref().map(|page| page.rows.len() <= 200), Some(true));
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
    check("paused", &model);
}

#[test]
fn help() {
    let mut model = mixed();
    press(&mut model, "?");
    check("help", &model);
}

#[test]
fn ascii() {
    let mut model = mixed();
    model.theme = Theme::new(ThemeName::Mono, true);
    for size in SIZES {
        assert!(text(drawn(&resized(model.clone(), size), size).backend().buffer()).is_ascii());
    }
    check("ascii", &model);
}

#[test]
fn all_nodes_down_from_the_start() {
    let mut model = console(&[1, 2], (120, 40));
    update(&mut model, failed(1, 1.0, Trouble::Refused, 1));
    update(&mut model, failed(2, 1.2, Trouble::BadJson(Plain::new("missing field `uptime` at line 1")), 1));
    update(&mut model, Message::Tick(at(2.0)));
    check("down", &model);
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

/// One letter a cell: how it looks, without what it says.
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
    // In the order of the rows: what may stand there whole or not at all.
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
    let text_of = Plain::new("\x1b]0;owned\x07\u{202e}\0\u{9b}2J\r\n");
    evil.id = NodeId::parse("node\u{202e}1\u{200b}").unwrap();
    evil.name = text_of.clone();
    evil.version = text_of.clone();
    evil.serving = Serving::Other(text_of.clone());
    evil.gaps = vec![(text_of.clone(), 3)];
    evil.closed = vec![(text_of.clone(), 3)];
    evil.latency = Latency::Unreadable(text_of.clone());
    evil.log.broker = text_of.clone();
    evil.log.epoch = text_of.clone();
    evil.roster = Err(Trouble::BadJson(text_of));
    update(&mut model, answered(1, 1.0, evil));
    update(&mut model, Message::Tick(at(1.1)));
    let event = crate::tui::tail::Arrival {
        payload: Plain::new("\x1b]0;x\x07\u{202e}"),
        lines: vec![Plain::new("\x1b[2J")],
        ..arrival(1.0, "e\x1b")
    };
    let batch = Batch { at: at(1.0), link: Link::Open, events: vec![event], left_out: 0, per_second: 1.0 };
    update(&mut model, Message::Streamed(Box::new(batch)));
    press(&mut model, "3⏎");
    for size in SIZES {
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

/// Any number, and often the largest: a node may send what it likes.
fn edge() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(u64::MAX), 1 => Just(0), 2 => any::<u64>()]
}

/// What a node may answer.
#[derive(Debug, Clone)]
struct Figures {
    counter: u64,
    connections: u64,
    cpu: f64,
    uptime: u64,
    name: String,
    text: String,
}

/// Something that may happen; when is decided by those before it.
#[derive(Debug, Clone)]
enum Happening {
    Key(KeyEvent),
    Size(u16, u16),
    Tick,
    Answer(u16, Figures),
    Refusal(u16),
    /// So many rows of a list of so many, at this place.
    List(usize, usize, u64),
    Events(u8, String),
    Second(u64, f64, String),
    Access(bool),
    Click(u16, u16),
    Wheel(bool, u16, u16),
    Paste(String),
}

fn happening() -> impl Strategy<Value = Happening> {
    let codes: Vec<KeyCode> =
        BINDINGS.iter().flat_map(|binding| binding.chords.iter()).map(|chord| chord.code).collect();
    let code = prop_oneof![3 => prop::sample::select(codes), 1 => any::<char>().prop_map(KeyCode::Char)];
    let key = (code, any::<bool>()).prop_map(|(code, control)| {
        let modifiers = if control { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
        Happening::Key(KeyEvent::new(code, modifiers))
    });
    let name = prop_oneof![3 => "node-[1-4]", 1 => "\\PC{1,8}"];
    let figures = (edge(), edge(), any::<f64>(), edge(), name, "(?s).{0,8}").prop_map(
        |(counter, connections, cpu, uptime, name, text)| Figures {
            counter,
            connections,
            cpu,
            uptime,
            name,
            text,
        },
    );
    prop_oneof![
        4 => key,
        2 => (0..=200_u16, 0..=60_u16).prop_map(|(width, height)| Happening::Size(width, height)),
        2 => Just(Happening::Tick),
        4 => (1..5_u16, figures).prop_map(|(number, figures)| Happening::Answer(number, figures)),
        1 => (1..5_u16).prop_map(Happening::Refusal),
        2 => (0..300_usize, 0..100_usize, edge()).prop_map(|(from, count, of)| Happening::List(from, count, of)),
        2 => (0..30_u8, "(?s).{0,8}").prop_map(|(count, text)| Happening::Events(count, text)),
        1 => (edge(), any::<f64>(), "(?s).{0,8}").prop_map(|(ms, rate, text)| Happening::Second(ms, rate, text)),
        1 => any::<bool>().prop_map(Happening::Access),
        2 => (0..210_u16, 0..70_u16).prop_map(|(x, y)| Happening::Click(x, y)),
        1 => (any::<bool>(), 0..210_u16, 0..70_u16).prop_map(|(down, x, y)| Happening::Wheel(down, x, y)),
        1 => "(?s).{0,8}".prop_map(Happening::Paste),
    ]
}

fn message(happening: Happening, seconds: f64, model: &Model) -> Message {
    match happening {
        Happening::List(from, count, of) => {
            let query = model.listing.query(fixture::url(1), 20);
            let mut page = page(from..from + count, of);
            page.offset = from;
            Message::Listed(Box::new(Listed {
                query,
                at: at(seconds),
                outcome: Ok(std::sync::Arc::new(page)),
            }))
        }
        Happening::Events(count, text) => {
            let events = (0..count).map(|_| arrival(seconds, &text)).collect();
            let link = Link::Waiting(Plain::new(&text));
            let batch = Batch { at: at(seconds), link, events, left_out: u64::from(count), per_second: 1.0 };
            Message::Streamed(Box::new(batch))
        }
        Happening::Second(ms, rate, text) => {
            let fault = serde_json::json!({ "name": text, "planned_ms": ms, "planned_heal_ms": 0 });
            let line = if ms % 2 == 0 {
                serde_json::json!({ "kind": "begin", "scenario": text, "duration_ms": ms / 2, "faults": [fault] })
            } else {
                let rate = if rate.is_finite() { rate } else { 0.0 };
                serde_json::json!({ "kind": "second", "elapsed_ms": ms, "phase": text, "delivered_per_s": rate,
                    "p99_ms": rate, "faults": [text] })
            };
            Message::Run(RunNews::Line(Box::new(serde_json::from_value(line).unwrap())))
        }
        Happening::Access(granted) => {
            Message::Checked(if granted { Access::Granted } else { Access::Refused(403) })
        }
        Happening::Key(key) => Message::Key(key),
        Happening::Click(x, y) => Message::Clicked(Position { x, y }),
        Happening::Wheel(down, x, y) => {
            Message::Scrolled(if down { Step::Down } else { Step::Up }, Position { x, y })
        }
        Happening::Paste(text) => Message::Pasted(text),
        Happening::Size(width, height) => Message::Resized(Size { width, height }),
        Happening::Tick => Message::Tick(at(seconds)),
        Happening::Refusal(number) => failed(number, seconds, Trouble::Refused, u32::MAX),
        Happening::Answer(number, figures) => {
            let mut reading = reading("node-1", 0.0);
            let text = Plain::new(&figures.text);
            reading.counters.sent = figures.counter;
            reading.counters.bytes = figures.counter;
            reading.counters.cpu_seconds = figures.cpu;
            reading.connections = figures.connections;
            reading.uptime = Duration::from_secs(figures.uptime);
            reading.gaps = vec![(text.clone(), figures.connections), (text.clone(), figures.counter)];
            reading.serving = Serving::Other(text);
            let peer = Peer { id: NodeId::parse("node-7").unwrap(), url: Some(fixture::url(number * 3)) };
            reading.roster = Ok(vec![peer]);
            reading.id = NodeId::parse(figures.name.trim()).unwrap_or(reading.id);
            answered(number, seconds, reading)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_that_happens_breaks_the_screen(
        happenings in prop::collection::vec((happening(), -1.0..20.0_f64), 0..40),
        size in (1..=200_u16, 1..=60_u16),
        ascii: bool,
    ) {
        let mut model = console(&[1, 2, 3], size);
        model.theme = Theme::new(ThemeName::ColourBlind, ascii);
        let mut seconds = 1.0_f64;
        for (happening, passed) in happenings {
            seconds = (seconds + passed).max(0.0);
            let was_open = model.dialog.clone();
            let message = message(happening, seconds, &model);
            let effects = update(&mut model, message);
            // Nothing is ever done that no open dialog was about, and by nobody who may not.
            for effect in effects {
                if let Effect::Act(act) = effect {
                    prop_assert_eq!(was_open.as_ref().and_then(|dialog| dialog.act().ok()), Some(act));
                }
            }
            prop_assert!(model.panes().contains(&model.focus));
            let here = (model.size.width.max(1), model.size.height.max(1));
            let shown = text(drawn(&model, here).backend().buffer());
            prop_assert!(!shown.contains(|c: char| c != '\n' && c.is_control()));
        }
        // The frame may have another size than the model was told last.
        drawn(&model, size);
        prop_assert!(model.selected_row() < model.picture().nodes.len().max(1));
    }
}
