//! A replay shows the frames of the recorded session, on every screen.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::tui::sources::recording::{Head, Player, Recorder};
use crate::tui::state::bench_run::{Run, RunUpdate};
use crate::tui::state::connections::ListResult;
use crate::tui::state::events::{EventBatch, StreamState};
use crate::tui::state::message::Message;
use crate::tui::state::model::{Model, Source};
use crate::tui::state::moment::Moment;
use crate::tui::state::reading::FetchError;
use crate::tui::state::tests::fixture::{
    INTERVAL, answered, at, failed, page, reading, received_event, run, url,
};
use crate::tui::update::apply::update;
use crate::tui::update::tests::fixture::{console, keys};
use crate::tui::view::draw::view;

/// Everything but the title, which says whether it is live.
fn frame(model: &Model) -> String {
    let mut terminal = Terminal::new(TestBackend::new(model.size.width, model.size.height)).unwrap();
    terminal.draw(|frame| view(model, frame)).unwrap();
    terminal.backend().to_string().lines().skip(1).collect::<Vec<_>>().join("\n")
}

/// The messages of a cluster of two in half a minute.
fn story() -> Vec<Message> {
    let mut story = Vec::new();
    let connections = crate::tui::state::connections::ConnectionTable::default();
    for line in run().seconds {
        story.push(Message::Run(RunUpdate::Line(Box::new(crate::tui::state::bench_run::Line::Second(line)))));
    }
    for second in 1..=30_u32 {
        let seconds = f64::from(second);
        story.push(answered(1, seconds, reading("node-1", seconds)));
        story.push(match second {
            ..20 => answered(2, seconds, reading("node-2", seconds)),
            _ => failed(2, seconds, FetchError::Timeout(Duration::from_millis(800)), second - 19),
        });
        let query = connections.query(url(1), 20);
        let outcome = Ok(std::sync::Arc::new(page(0..100, 31_204)));
        story.push(Message::Listed(Box::new(ListResult { query, at: at(seconds), outcome })));
        let events = vec![received_event(seconds, &format!("e-{second}"))];
        let batch =
            EventBatch { at: at(seconds), stream: StreamState::Open, events, left_out: 4, per_second: 5.0 };
        story.push(Message::Streamed(Box::new(batch)));
        story.push(Message::Tick(at(seconds + 0.1)));
    }
    story
}

#[test]
fn a_replayed_recording_shows_the_frames_of_the_live_session() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("session.jsonl");
    let head = Head::new(&[url(1), url(2)], INTERVAL, Some("runs/x".to_owned()));
    let mut recorder = Recorder::create(&path, head).unwrap();
    let size = (120, 40);
    let mut live = console(&[1, 2], size);
    live.run = Some(Run::new("runs/x"));
    let mut seen = Vec::new();
    for message in story() {
        recorder.record(&message).unwrap();
        let is_tick = matches!(message, Message::Tick(_));
        update(&mut live, message);
        if is_tick {
            for screen in "123456".chars() {
                keys(&mut live, &screen.to_string());
                seen.push(frame(&live));
            }
        }
    }
    drop(recorder);
    let mut player = Player::open(&path).unwrap();
    let mut again = console(&[], size);
    again = Model { size: again.size, ..Model::new(&player.head.nodes, player.head.interval, again.theme) };
    again.source = Source::Recording;
    again.run = player.head.run.as_deref().map(Run::new);
    let mut seen = seen.into_iter();
    while let Some(message) = player.next().unwrap() {
        let is_tick = matches!(message, Message::Tick(_));
        update(&mut again, message);
        if is_tick {
            for screen in "123456".chars() {
                keys(&mut again, &screen.to_string());
                assert_eq!(frame(&again), seen.next().unwrap(), "screen {screen}");
            }
        }
    }
    assert_eq!(seen.next(), None);
}

#[test]
fn what_is_no_recording_is_refused_and_a_cut_one_is_shown_as_far_as_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.jsonl");
    let refused = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Player::open(&path).err().unwrap_or_default()
    };
    assert!(refused("").contains("not a recording"));
    assert!(refused("{\"tick\":{}}\n").contains("line 1"));
    assert!(
        refused(
            "{\"head\":{\"schema\":9,\"nodes\":[],\"interval\":{\"secs\":1,\"nanos\":0},\"run\":null}}\n"
        )
        .contains("schema 9")
    );
    std::fs::remove_file(&path).unwrap();
    let mut recorder = Recorder::create(&path, Head::new(&[], INTERVAL, None)).unwrap();
    recorder.record(&Message::Tick(at(1.0))).unwrap();
    recorder.record(&Message::Tick(Moment::default())).unwrap();
    drop(recorder);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 5]).unwrap();
    let mut player = Player::open(&path).unwrap();
    assert!(matches!(player.next(), Ok(Some(Message::Tick(_)))));
    assert!(matches!(player.next(), Ok(None)));
    assert!(Recorder::create(&path, Head::new(&[], INTERVAL, None)).is_err(), "it is not written over");
}

#[test]
fn a_recording_of_an_earlier_build_is_read() {
    let at = r#""at":{"elapsed":{"secs":1,"nanos":0},"unix":{"secs":9,"nanos":0}}"#;
    let node = "http://127.0.0.1:8081";
    let lines = [
        format!(
            r#"{{"head":{{"schema":1,"nodes":["{node}"],"interval":{{"secs":1,"nanos":0}},"run":"runs/x"}}}}"#
        ),
        r#"{"tick":{"elapsed":{"secs":1,"nanos":0},"unix":{"secs":9,"nanos":0}}}"#.to_owned(),
        format!(
            r#"{{"polled":{{"url":"{node}",{at},"outcome":{{"Err":{{"trouble":{{"BadJson":"eof"}},"tries":2,"retry_in":{{"secs":1,"nanos":0}}}}}}}}}}"#
        ),
        format!(
            r#"{{"listed":{{"query":{{"node":"{node}","filter":"","order":{{"column":"Lag","descending":true}},"offset":0,"limit":100}},{at},"outcome":{{"Err":{{"Trouble":"Refused"}}}}}}}}"#
        ),
        format!(
            r#"{{"streamed":{{{at},"link":{{"Waiting":"gone"}},"events":[],"left_out":4,"per_second":5.0}}}}"#
        ),
        r#"{"run":{"Trouble":"waiting"}}"#.to_owned(),
        r#"{"run":{"Growing":true}}"#.to_owned(),
    ];
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    std::fs::write(&old, lines.join("\n") + "\n").unwrap();
    let mut player = Player::open(&old).unwrap();
    let mut recorder = Recorder::create(&new, player.head.clone()).unwrap();
    while let Some(message) = player.next().unwrap() {
        recorder.record(&message).unwrap();
    }
    drop(recorder);
    let again = std::fs::read_to_string(&new).unwrap();
    assert_eq!(again.lines().collect::<Vec<_>>(), lines, "read, and written in the same form");
}
