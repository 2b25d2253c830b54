//! Random messages in random order: every frame can be drawn, and every action comes from an open dialog.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proptest::prelude::*;
use ratatui::layout::{Position, Size};

use super::frames::{drawn, text};
use crate::protocol::NodeId;
use crate::tui::config::bindings::BINDINGS;
use crate::tui::config::key::Step;
use crate::tui::config::theme::{Theme, ThemeName};
use crate::tui::state::bench_run::RunUpdate;
use crate::tui::state::connections::ListResult;
use crate::tui::state::events::{EventBatch, StreamState};
use crate::tui::state::message::{Access, Effect, Message};
use crate::tui::state::model::Model;
use crate::tui::state::reading::{FetchError, Peer, Serving};
use crate::tui::state::tests::fixture::{self, answered, at, failed, page, reading, received_event};
use crate::tui::text::sanitize::SafeText;
use crate::tui::update::apply::update;
use crate::tui::update::tests::fixture::console;

/// Any number, and often the largest, since a node may send any.
fn edge() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(u64::MAX), 1 => Just(0), 2 => any::<u64>()]
}

/// Figures of an answer.
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
    ListError(u16),
    /// Rows of a list: the first row, their number, and the length of the list.
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
        1 => (1..5_u16).prop_map(Happening::ListError),
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
            let query = model.connections.query(fixture::url(1), 20);
            let mut page = page(from..from + count, of);
            page.offset = from;
            Message::Listed(Box::new(ListResult {
                query,
                at: at(seconds),
                outcome: Ok(std::sync::Arc::new(page)),
            }))
        }
        Happening::Events(count, text) => {
            let events = (0..count).map(|_| received_event(seconds, &text)).collect();
            let stream = StreamState::Waiting(SafeText::new(&text));
            let batch =
                EventBatch { at: at(seconds), stream, events, left_out: u64::from(count), per_second: 1.0 };
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
            Message::Run(RunUpdate::Line(Box::new(serde_json::from_value(line).unwrap())))
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
        Happening::ListError(number) => failed(number, seconds, FetchError::Refused, u32::MAX),
        Happening::Answer(number, figures) => {
            let mut reading = reading("node-1", 0.0);
            let text = SafeText::new(&figures.text);
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
            // An action is always the request of the open dialog.
            for effect in effects {
                if let Effect::Act(request) = effect {
                    prop_assert_eq!(was_open.as_ref().and_then(|dialog| dialog.request().ok()), Some(request));
                }
            }
            prop_assert!(model.panes().contains(&model.focus));
            let here = (model.size.width.max(1), model.size.height.max(1));
            let shown = text(drawn(&model, here).backend().buffer());
            prop_assert!(!shown.contains(|c: char| c != '\n' && c.is_control()));
        }
        // The frame may have another size than the model.
        drawn(&model, size);
        prop_assert!(model.selected_row() < model.cluster().nodes.len().max(1));
    }
}
