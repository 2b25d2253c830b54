//! Frames: what stands where, at every size and in every look, and that no input breaks the drawing.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Size;
use ratatui::style::{Color, Modifier};

use super::view;
use crate::protocol::NodeId;
use crate::tui::fixture::{self, answered, at, console, failed, mixed, reading};
use crate::tui::keymap::BINDINGS;
use crate::tui::message::Message;
use crate::tui::model::Model;
use crate::tui::plain::Plain;
use crate::tui::reading::{Latency, Serving, Trouble};
use crate::tui::theme::{Theme, ThemeName};
use crate::tui::update::update;

const SIZES: [(u16, u16); 5] = [(120, 40), (80, 24), (60, 15), (40, 10), (30, 8)];

fn drawn(model: &Model, (width, height): (u16, u16)) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view(model, frame)).unwrap();
    terminal
}

fn resized(mut model: Model, (width, height): (u16, u16)) -> Model {
    update(&mut model, Message::Resized(Size { width, height }));
    model
}

fn press(model: &mut Model, keys: &str) {
    for key in keys.chars() {
        update(model, Message::Key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE)));
    }
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
    for size in SIZES {
        let shown = text(drawn(&resized(model.clone(), size), size).backend().buffer());
        let harmful = |c: char| {
            c != '\n' && (c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'))
        };
        assert!(!shown.contains(harmful), "{shown:?}");
    }
    let shown = text(drawn(&model, (120, 40)).backend().buffer());
    assert!(shown.contains("node\\u{202e}1") && shown.contains("\\u{1b}]0;owned"), "{shown}");
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

fn any_message() -> impl Strategy<Value = Message> {
    let codes: Vec<KeyCode> =
        BINDINGS.iter().flat_map(|binding| binding.chords).map(|chord| chord.code).collect();
    let key = (
        prop_oneof![3 => prop::sample::select(codes), 1 => any::<char>().prop_map(KeyCode::Char)],
        any::<bool>(),
    );
    let key = key.prop_map(|(code, control)| {
        let modifiers = if control { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
        Message::Key(KeyEvent::new(code, modifiers))
    });
    let size = (0..=200_u16, 0..=60_u16).prop_map(|(width, height)| Message::Resized(Size { width, height }));
    let tick = (0.0..3000.0).prop_map(|seconds| Message::Tick(at(seconds)));
    let good = (1..6_u16, 0.0..3000.0, any::<(u64, u64, f64, u64)>(), "\\PC{1,8}").prop_map(
        |(number, seconds, (sent, connections, cpu, uptime), name)| {
            let mut reading = reading(&format!("node-{number}"), 0.0);
            reading.counters.sent = sent;
            reading.counters.cpu_seconds = cpu;
            reading.connections = connections;
            reading.uptime = std::time::Duration::from_secs(uptime);
            reading.gaps = vec![(Plain::new(&name), connections)];
            reading.serving = Serving::Other(Plain::new(&name));
            reading.roster = Ok(vec![crate::tui::reading::Peer {
                id: NodeId::parse("node-77").unwrap(),
                url: Some(fixture::url(number * 3)),
            }]);
            reading.id = NodeId::parse(name.trim()).unwrap_or(reading.id);
            answered(number, seconds, reading)
        },
    );
    let bad =
        (1..6_u16, 0.0..3000.0).prop_map(|(number, seconds)| failed(number, seconds, Trouble::Refused, 1));
    prop_oneof![4 => key, 2 => size, 2 => tick, 3 => good, 1 => bad]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_that_happens_breaks_the_screen(
        messages in prop::collection::vec(any_message(), 0..40),
        size in (1..=200_u16, 1..=60_u16),
        ascii: bool,
    ) {
        let mut model = console(&[1, 2, 3], size);
        model.theme = Theme::new(ThemeName::ColourBlind, ascii);
        for message in messages {
            update(&mut model, message);
            let here = (model.size.width.max(1), model.size.height.max(1));
            drawn(&model, here);
        }
        // The frame may have another size than the model was told last.
        drawn(&model, size);
        prop_assert!(model.selected_row() < model.picture().nodes.len().max(1));
    }
}
