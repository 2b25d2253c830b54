//! For tests only: a console, the keys that are typed into it, and a cluster in mixed states.

use std::sync::Arc;
use std::time::Duration;

use ratatui::layout::Size;

use crate::tui::config::theme::{Theme, ThemeName};
use crate::tui::state::connections::ListResult;
use crate::tui::state::events::{EventBatch, ReceivedEvent, StreamState};
use crate::tui::state::message::{Effect, Message};
use crate::tui::state::model::Model;
use crate::tui::state::reading::{FetchError, Serving};
use crate::tui::state::tests::fixture::{
    INTERVAL, answered, at, failed, page, reading, received_event, slow, url,
};
use crate::tui::text::sanitize::SafeText;
use crate::tui::update::apply::update;

/// A console with these nodes before any answer, on a screen of this size.
pub(crate) fn console(nodes: &[u16], size: (u16, u16)) -> Model {
    let urls: Vec<_> = nodes.iter().map(|number| url(*number)).collect();
    let mut model = Model::new(&urls, INTERVAL, Theme::new(ThemeName::Dark, false));
    update(&mut model, Message::Resized(Size { width: size.0, height: size.1 }));
    update(&mut model, Message::Tick(at(0.1)));
    model
}

/// Gives the console the lists that it asked for.
pub(crate) fn fill(model: &mut Model) {
    if let Some(query) = model.queries.list.clone() {
        let rows = query.offset..query.offset + query.limit.min(200);
        let mut page = page(rows, 31_204);
        page.offset = query.offset;
        let listed = ListResult { query, at: model.now(), outcome: Ok(Arc::new(page)) };
        update(model, Message::Listed(Box::new(listed)));
    }
    let now = model.now();
    let events = (0..18).map(|number| ReceivedEvent {
        at: now,
        ..received_event(0.0, &format!("k3f9ab-1788271260{number:03}-0"))
    });
    let events = events.collect();
    let batch = EventBatch { at: now, stream: StreamState::Open, events, left_out: 182, per_second: 2_000.0 };
    update(model, Message::Streamed(Box::new(batch)));
}

/// Keys as they are typed; `⇥` is Tab, `⎋` is Escape, `⏎` is Enter, `←` and `→` are themselves, `␃` is Control-C.
pub(crate) fn keys(model: &mut Model, keys: &str) -> Vec<Effect> {
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    let key = |key| match key {
        '⇥' => (KeyCode::Tab, KeyModifiers::NONE),
        '⎋' => (KeyCode::Esc, KeyModifiers::NONE),
        '⏎' => (KeyCode::Enter, KeyModifiers::NONE),
        '←' => (KeyCode::Left, KeyModifiers::NONE),
        '→' => (KeyCode::Right, KeyModifiers::NONE),
        '␃' => (KeyCode::Char('c'), KeyModifiers::CONTROL),
        key => (KeyCode::Char(key), KeyModifiers::NONE),
    };
    let mut effects = Vec::new();
    for (code, modifiers) in keys.chars().map(key) {
        effects.extend(update(model, Message::Key(KeyEvent::new(code, modifiers))));
    }
    effects
}

/// Four nodes after a minute and a half: one is up, one drains, one fell silent, one refuses. Loads go up and down,
/// so that there is something to see.
pub(crate) fn mixed() -> Model {
    let mut model = console(&[1, 2, 3, 10], (120, 40));
    let mut sent = [0_u64; 4];
    for second in 1..=90_u32 {
        let seconds = f64::from(second);
        for (index, number) in [1_u16, 2, 3].into_iter().enumerate() {
            if number == 3 && second > 84 {
                update(
                    &mut model,
                    failed(3, seconds, FetchError::Timeout(Duration::from_millis(800)), second - 84),
                );
                continue;
            }
            let mut reading = reading(&format!("node-{number}"), seconds);
            let wave = 1.0 + 0.4 * (seconds / 9.0 + f64::from(number)).sin();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a wave around 20,000"
            )]
            let load = (20_000.0 * wave * f64::from(number)) as u64;
            sent[index] += load;
            reading.counters.sent = sent[index];
            if number == 2 && second > 60 {
                reading.serving = Serving::Draining;
                reading.gaps = vec![(SafeText::new("trimmed"), 3)];
            }
            if second % 7 == 0 {
                reading.latency = slow(u64::from(number));
            }
            update(&mut model, answered(number, seconds, reading));
        }
        if second < 30 {
            update(&mut model, answered(10, seconds, reading("node-10", seconds)));
        } else if second % 5 == 0 {
            update(&mut model, failed(10, seconds, FetchError::Refused, (second - 30) / 5 + 1));
        }
        update(&mut model, Message::Tick(at(seconds + 0.05)));
    }
    fill(&mut model);
    model
}
