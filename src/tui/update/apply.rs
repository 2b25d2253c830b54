//! `update`: applies a message to the model and returns the effects. Pure: no clock, no I/O, no terminal. Read
//! [`update`] first.

use std::time::Duration;

use crate::tui::config::screen::Screen;
use crate::tui::state::action_request::ActionResult;
use crate::tui::state::alerts::update_alerts;
use crate::tui::state::bench_run::Run;
use crate::tui::state::connections::ListQuery;
use crate::tui::state::events::EventQuery;
use crate::tui::state::message::{Access, Effect, Message};
use crate::tui::state::model::{Model, Pane, SLOW_FILTER, Source};
use crate::tui::update::flash::flash;
use crate::tui::update::{keys, mouse};
use crate::tui::view::layout;

/// Time between two checks of a token that no node has accepted.
const CHECK: Duration = Duration::from_secs(10);
/// The stream of events stays open for this time after its screens were left.
const STREAM_KEPT: Duration = Duration::from_secs(30);
/// Rows of the list of slow readers.
const SLOW_ROWS: usize = 20;

/// Applies one message and returns its effects.
pub(crate) fn update(model: &mut Model, message: Message) -> Vec<Effect> {
    let seen = model.cluster().changes_seen;
    let mut effects = apply(model, message);
    if model.source != Source::Nodes {
        // A replay shows the past, so its nodes are not polled.
        effects.retain(|effect| {
            !matches!(effect, Effect::Follow(_) | Effect::FollowUntrusted(_) | Effect::Forget(_))
        });
    }
    // Older changes on the screen stay there while new ones come in above.
    if model.scroll.changes > 0 {
        model.scroll.changes += model.cluster().changes_seen.saturating_sub(seen);
    }
    keep_in_bounds(model);
    effects.extend(new_queries(model));
    effects
}

fn apply(model: &mut Model, message: Message) -> Vec<Effect> {
    match message {
        Message::Key(key) => return keys::key(model, key),
        Message::Scrolled(step, position) => mouse::scroll(model, step, position),
        Message::Clicked(position) => mouse::click(model, position),
        Message::Pasted(text) => keys::paste(model, &text),
        Message::Resized(size) => model.size = size,
        Message::Tick(now) => {
            let mut effects = follow_run(model);
            effects.extend(model.live.tick(now));
            update_alerts(&mut model.live);
            model.flash = model.flash.take().filter(|flash| flash.until > now.elapsed);
            return effects;
        }
        Message::Polled(polled) => return model.live.take(*polled),
        Message::Listed(listed) => {
            if model.source != Source::Nodes && listed.query.filter != SLOW_FILTER {
                model.connections.adopt(&listed.query);
            }
            if model.frozen.is_none() {
                model.slow.take((*listed).clone());
                model.connections.take(*listed);
            }
        }
        Message::Streamed(batch) => model.live_events.take(*batch),
        Message::Checked(access) => model.access = access,
        Message::Acted(acted) => take_acted(model, *acted),
        Message::Run(update) => model.run.get_or_insert_with(Run::default).take(update),
        Message::RecordingEnded => model.source = Source::EndedRecording,
    }
    Vec::new()
}

/// Polls the nodes of a run in progress like all others. The nodes of a finished or abandoned run are not polled:
/// they ended with it, and other programs may have their addresses now.
fn follow_run(model: &mut Model) -> Vec<Effect> {
    let Some(run) = &mut model.run else { return Vec::new() };
    // A replay polls no node.
    if run.end.is_none() && !run.is_growing && model.source == Source::Nodes {
        return Vec::new();
    }
    let unfollowed = std::mem::take(&mut run.unfollowed);
    if run.end.is_some() {
        model.live.leave_run();
        return Vec::new();
    }
    if unfollowed.is_empty() { Vec::new() } else { model.live.follow_run(&unfollowed) }
}

fn take_acted(model: &mut Model, acted: ActionResult) {
    let (is_good, text) = match acted.outcome {
        Ok(answer) => (true, format!("{}: {answer}", acted.what)),
        Err(why) => (false, format!("{} failed: {why}", acted.what)),
    };
    model.live.note_action(is_good, text.clone());
    flash(model, is_good, text);
}

/// The effects that change the running queries: list, events, check of the token.
fn new_queries(model: &mut Model) -> Vec<Effect> {
    let mut effects = Vec::new();
    if model.source != Source::Nodes {
        return effects;
    }
    let list = wanted_list(model);
    if list != model.queries.list {
        model.queries.list.clone_from(&list);
        effects.push(Effect::List(list));
    }
    let tail = wanted_events(model);
    if tail != model.queries.events {
        model.queries.events.clone_from(&tail);
        effects.push(Effect::ReadEvents(tail));
    }
    effects.extend(wanted_check(model));
    effects
}

/// The wanted part of the list; `None` during a pause, which must not change the screen.
fn wanted_list(model: &Model) -> Option<ListQuery> {
    if model.frozen.is_some() {
        return None;
    }
    let answering_node = || model.live.answering_node().map(|node| node.url.clone());
    match model.screen {
        Screen::Overview if model.is_open => None,
        Screen::Overview | Screen::Connections => {
            let rows = layout::rows_of(model, Pane::Connections).max(1);
            Some(model.connections.query(answering_node()?, rows))
        }
        Screen::Alerts => Some(model.slow.query(answering_node()?, SLOW_ROWS)),
        Screen::Events | Screen::Bench | Screen::Broker => None,
    }
}

/// The wanted stream. It stays open during a pause and for a while on other screens, so that no event is missing
/// afterwards.
fn wanted_events(model: &mut Model) -> Option<EventQuery> {
    let now = model.now().elapsed;
    let shows = matches!(model.screen, Screen::Events | Screen::Overview);
    if shows {
        model.queries.events_shown_at = now;
    }
    let was_just_shown = now.saturating_sub(model.queries.events_shown_at) < STREAM_KEPT;
    let goes_on = model.queries.events.is_some() && (was_just_shown || model.frozen.is_some());
    if !shows && !goes_on {
        return None;
    }
    // A stream stays with its node while that serves it, since moving it would miss events.
    let current = model.queries.events.as_ref().map(|query| &query.node);
    let is_up = |url: &&_| model.live.node(url).is_some_and(|node| node.failing.is_none());
    let node = current.filter(is_up).or_else(|| model.live.answering_node().map(|node| &node.url))?;
    Some(model.live_events.query(node.clone()))
}

fn wanted_check(model: &mut Model) -> Option<Effect> {
    if !matches!(model.access, Access::Unknown | Access::Refused(_)) {
        return None;
    }
    let now = model.now().elapsed;
    if model.queries.token_check.as_ref().is_some_and(|(_, at)| now.saturating_sub(*at) < CHECK) {
        return None;
    }
    let url = model.live.answering_node()?.url.clone();
    model.queries.token_check = Some((url.clone(), now));
    Some(Effect::Check(url))
}

/// Keeps the selected row on the screen, and every pane scrolled within its list.
fn keep_in_bounds(model: &mut Model) {
    if !model.panes().contains(&model.focus) {
        model.focus = model.panes()[0];
    }
    let nodes = model.cluster().nodes.len();
    let pane = if model.screen == Screen::Broker { Pane::LogNodes } else { Pane::Nodes };
    let rows = layout::rows_of(model, pane).max(1);
    let row = model.selected_row();
    model.scroll.nodes =
        model.scroll.nodes.min(nodes.saturating_sub(rows)).clamp(row.saturating_sub(rows - 1), row);
    model.scroll.changes = model.scroll.changes.min(model.cluster().changes.len().saturating_sub(1));
    model.scroll.alerts = model.scroll.alerts.min(model.cluster().alerts.len().saturating_sub(1));
    model.scroll.help = model.scroll.help.min(model.keymap.bindings().len());
    let rows = layout::rows_of(model, Pane::Connections);
    model.connections.keep_in_bounds(rows);
    let rows = layout::rows_of(model, Pane::Events);
    model.events_mut().keep_in_bounds(rows);
}
